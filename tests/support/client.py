"""A tenant's view of the API: an httpx client that carries the tenant's key."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx

from db.session import Database
from services import organizations


@dataclass(frozen=True)
class Tenant:
    """One organization with one key and a client that uses it."""

    organization_id: UUID
    key: str
    http: httpx.Client

    def get(self, path: str, status: int = 200, **query: Any) -> Any:
        """GET, the status checked; returns the JSON body."""
        return self.call("GET", path, status, params=query)

    def post(self, path: str, body: object = None, status: int = 200, **options: Any) -> Any:
        """POST, the status checked; returns the JSON body."""
        return self.call("POST", path, status, json=body, **options)

    def patch(self, path: str, body: object, status: int = 200) -> Any:
        """PATCH, the status checked; returns the JSON body."""
        return self.call("PATCH", path, status, json=body)

    def call(self, method: str, path: str, status: int, **options: Any) -> Any:
        """Any request, the status checked with the answer in the message; returns the JSON body, None for 204."""
        response = self.http.request(method, path, **options)
        assert response.status_code == status, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None


def new_tenant(database: Database, base_url: str, name: str = "Test") -> Tenant:
    """Create an organization with a key, straight through the service the CLI uses."""
    with database.session() as session:
        organization = organizations.create_organization(session, name)
        _, key = organizations.create_api_key(session, organization.id, "test")
    client = httpx.Client(base_url=base_url, headers={"Authorization": f"Bearer {key}"}, timeout=30)
    return Tenant(organization.id, key, client)
