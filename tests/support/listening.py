"""What an organization's endpoint is to hear, straight from the outbox."""

import json
from typing import Any
from uuid import UUID

from db.session import Database
from runtime.ids import new_id

Told = list[tuple[str, dict[str, Any]]]


def listen(database: Database, organization_id: UUID, *enabled: str) -> None:
    """An ACTIVE endpoint of the organization, for everything unless said otherwise."""
    with database.connection() as conn:
        conn.execute(
            """
            INSERT INTO webhook_endpoints (id, organization_id, url, enabled_events, secret, created_at, updated_at)
            VALUES (%s, %s, 'https://example.com/', %s, 'sealed', openscrip_now(), openscrip_now())
            """,
            [new_id(), organization_id, list(enabled) or ["*"]],
        )


def heard(database: Database, organization_id: UUID) -> Told:
    """Type and data of the organization's messages, in the order of their numbers."""
    with database.connection() as conn:
        rows = conn.execute(
            """
            SELECT m.type, m.data::text FROM webhook_messages m WHERE m.organization_id = %s
            ORDER BY (SELECT min(d.outbox_seq) FROM webhook_deliveries d WHERE d.webhook_event_id = m.id)
            """,
            [organization_id],
        ).fetchall()
    return [(type_, json.loads(data)) for type_, data in rows]
