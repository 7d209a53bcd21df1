"""kill -9 of the API right before and right after the commit of each keyed operation: the retry makes it one effect.

Redemptions and reversals, which go through a flow, have theirs in tests/workflows/test_killed_api.py.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from db.session import Database
from runtime.embedded import EmbeddedPostgres
from runtime.processes import free_port
from services import organizations
from tests.faults.crashing import MOMENTS
from tests.faults.nursery import Nursery, open_nursery
from tests.support.books import assert_books
from tests.support.client import Tenant
from tests.support.databases import make_database
from tests.support.stack import poll

# The whole matrix: make crashes.
IS_WHOLE = os.environ.get("OPENSCRIP_CRASHES") == "all"
USUAL = ("credit", "transfer", "event")
PATIENCE_SECONDS = 30.0


class World:
    """A program with everything that the operations need, and their requests."""

    def __init__(self, api: Tenant) -> None:
        self.api = api
        self.program = api.post("/v1/programs", {"name": "Crashes"}, 201)["id"]
        self.asset = self._asset("PTS", "LOT", "UNLIMITED")
        self.wallet = self._asset("GIFT", "SIMPLE", "PREFUNDED")
        people = [{"external_id": name, "program_id": self.program} for name in ("ann", "bob")]
        self.ann, self.bob = (api.post("/v1/participants", person, 201)["id"] for person in people)
        members = [{"participant_id": self.ann, "role": "ADMIN"}]
        self.group = api.post("/v1/groups", {"name": "Pool", "members": members}, 201)["id"]
        give = {"type": "CREDIT", "amount": "100.00"}
        for holder in (f"participants/{self.ann}", f"groups/{self.group}"):
            api.post(f"/v1/{holder}/balances/adjust", self._body(**give))
            api.post(f"/v1/{holder}/balances/hold", self._body(amount="20.00", reference_id="given"))
            api.post(
                f"/v1/{holder}/balances/adjust", self._body(type="CREDIT", bucket="HELD", amount="9.00", reference_id="void")
            )

    def _asset(self, symbol: str, mode: str, policy: str) -> str:
        asset = {"name": symbol, "symbol": symbol, "inventory_mode": mode, "issuance_policy": policy, "scale": 2}
        return str(self.api.post("/v1/assets", asset | {"program_id": self.program}, 201)["id"])

    def _body(self, **fields: Any) -> dict[str, Any]:
        return {"program_id": self.program, "asset_id": self.asset, "description": "Set-up", **fields}

    def requests(self) -> Mapping[str, tuple[str, dict[str, Any]]]:
        """Path and body of each operation."""
        ann, group = f"/v1/participants/{self.ann}/balances", f"/v1/groups/{self.group}/balances"
        wallet = f"/v1/programs/{self.program}/assets/{self.wallet}"
        recipients = [{"participant_id": self.bob, "amount": "1.00"}, {"group_id": self.group, "amount": "2.00"}]
        event = {"program_id": self.program, "external_id": "cid", "event_timestamp": "2026-01-15T10:30:00Z"}
        void = self._body(reference_id="void")
        return {
            "credit": (f"{ann}/adjust", self._body(type="CREDIT", amount="3.00")),
            "debit": (f"{ann}/adjust", self._body(type="DEBIT", amount="3.00")),
            "hold": (f"{ann}/hold", self._body(amount="2.00", expires_at="1h")),
            "release": (f"{ann}/release", self._body(amount="1.00", reference_id="given")),
            "forfeit": (f"{ann}/forfeit", self._body(amount="1.00", bucket="AVAILABLE")),
            "void": (f"{ann}/void-hold", void),
            "transfer": ("/v1/transfers", self._body(source_participant_id=self.ann, recipients=recipients)),
            "credit to a group": (f"{group}/adjust", self._body(type="CREDIT", amount="3.00")),
            "release of a group": (f"{group}/release", self._body(amount="1.00", reference_id="given")),
            "fund": (f"{wallet}/fund", {"amount": "5.00"}),
            "burn": (f"{wallet}/burn", {"amount": "1.00"}),
            "event": ("/v1/events", event | {"event_data": {"type": "purchase"}}),
        }


@pytest.fixture
def nursery(postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[tuple[Nursery, Database]]:
    url = make_database(postgres.dsn, "crashing_api")
    settings = {
        "OPENSCRIP_DATABASE_URL": url,
        "OPENSCRIP_TEMPORAL_ADDRESS": "127.0.0.1:1",
        "OPENSCRIP_DATA_DIR": str(tmp_path),
        "OPENSCRIP_RATE_LIMIT": "off",
        "OPENSCRIP_DATABASE_POOL_SIZE": "4",
    }
    with closing(Database(url, pool_size=2)) as database, open_nursery(settings, tmp_path / "api.log") as opened:
        yield opened, database


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_one_effect_whenever_it_is_killed(nursery: tuple[Nursery, Database]) -> None:
    apis, database = nursery
    port = free_port()
    with database.session() as session:
        organization = organizations.create_organization(session, "Crashes")
        _, key = organizations.create_api_key(session, organization.id, "test")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:
        api = Tenant(organization.id, key, client)
        _start(apis, client, port)
        world = World(api)
        apis.end()
        for name, (path, body) in world.requests().items():
            # a voided hold can't be voided again
            for moment in MOMENTS if name != "void" else MOMENTS[:1]:
                if IS_WHOLE or name in USUAL:
                    _crash(apis, database, client, (port, moment), (path, body | {"idempotency_key": f"{name} {moment}"}))
        assert_books(database, organization.id)


def _crash(
    apis: Nursery, database: Database, client: httpx.Client, place: tuple[int, str], request: tuple[str, dict[str, Any]]
) -> None:
    (port, moment), (path, body) = place, request
    body = body | ({"description": body["idempotency_key"]} if path != "/v1/events" else {})
    seen = _stored(body["idempotency_key"])
    _start(apis, client, port, moment, seen)
    with pytest.raises(httpx.TransportError):
        client.post(path, json=body)
    apis.require_killed()
    assert _count(database, seen) == (moment == MOMENTS[1])
    _start(apis, client, port)
    first, second = (client.post(path, json=body) for _ in range(2))
    assert first.is_success, first.text
    assert second.json() == first.json()
    assert _count(database, seen) == 1
    entries = f"SELECT count(*) FROM journal_entries WHERE description = '{body['idempotency_key']}'"
    assert _count(database, entries) == (path != "/v1/events")
    apis.end()


def _start(apis: Nursery, client: httpx.Client, port: int, moment: str = "", query: str = "") -> None:
    apis.start("api", moment, query, port)

    def is_alive() -> bool:
        with suppress(httpx.TransportError):
            return client.get("/healthz").is_success
        return False

    poll(is_alive, PATIENCE_SECONDS)


def _stored(key: str) -> str:
    tables = "SELECT key FROM idempotency_keys UNION ALL SELECT idempotency_key FROM events"
    return f"SELECT count(*) FROM ({tables}) AS kept (key) WHERE key = '{key}'"


def _count(database: Database, query: str) -> int:
    with database.connection() as conn:
        [(count,)] = conn.execute(query).fetchall()
    return int(count)
