"""Endpoints straight in the database, and the messages that were recorded for them."""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from db.session import Database
from runtime.ids import new_id


@dataclass(frozen=True)
class Recorded:
    """A message as it lies in the outbox; `number` is that of its deliveries."""

    number: int
    type: str
    entity_id: UUID
    data: dict[str, Any]
    body: dict[str, Any]
    """As it is posted."""


def make_endpoint(database: Database, organization_id: UUID, *enabled: str, status: str = "ACTIVE") -> UUID:
    """An endpoint of the organization for these types."""
    id_ = new_id()
    with database.connection() as conn:
        conn.execute(
            """
            INSERT INTO webhook_endpoints
                (id, organization_id, url, enabled_events, status, secret, created_at, updated_at)
            VALUES (%s, %s, 'https://example.com/', %s, %s, 'sealed', openscrip_now(), openscrip_now())
            """,
            [id_, organization_id, list(enabled), status],
        )
    return id_


def recorded(database: Database, organization_id: UUID) -> list[Recorded]:
    """The organization's messages in the order of their numbers."""
    with database.connection() as conn:
        rows = conn.execute(
            """
            SELECT DISTINCT ON (d.outbox_seq, m.id) d.outbox_seq, m.type, d.entity_id, m.data::text, m.id, m.created_at
            FROM webhook_messages m JOIN webhook_deliveries d ON d.webhook_event_id = m.id
            WHERE m.organization_id = %s ORDER BY d.outbox_seq, m.id
            """,
            [organization_id],
        ).fetchall()
    found = []
    for number, type_, entity_id, text, id_, created_at in rows:
        data = json.loads(text)
        head = {"id": str(id_), "type": type_, "api_version": "2026-03-01", "organization_id": str(organization_id)}
        body = {**head, "created_at": created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), "data": data}
        found.append(Recorded(number, type_, entity_id, data, body))
    return found
