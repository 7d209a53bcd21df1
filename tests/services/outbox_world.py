"""Endpoints straight in the database, and what they are to hear."""

import json
from typing import Any
from uuid import UUID

from runtime.ids import new_id
from tests.services.lane_world import Shop

COMPLETED, FAILED = "event.completed", "event.failed"


def endpoint(shop: Shop, *enabled: str, status: str = "ACTIVE") -> UUID:
    """An endpoint of the shop's organization."""
    id_ = new_id()
    with shop.database.connection() as conn:
        conn.execute(
            """
            INSERT INTO webhook_endpoints
                (id, organization_id, url, enabled_events, status, secret, created_at, updated_at)
            VALUES (%s, %s, 'https://example.com/', %s, %s, 'sealed', openscrip_now(), openscrip_now())
            """,
            [id_, shop.organization_id, list(enabled), status],
        )
    return id_


def messages(shop: Shop) -> list[tuple[str, dict[str, Any]]]:
    """Type and data of the organization's messages, in the order of their numbers."""
    found = shop.fetch(
        """
        SELECT m.type, m.data::text FROM webhook_messages m WHERE m.organization_id = %s
        ORDER BY (SELECT min(d.outbox_seq) FROM webhook_deliveries d WHERE d.webhook_event_id = m.id)
        """,
        shop.organization_id,
    )
    return [(type_, json.loads(data)) for type_, data in found]


def told(shop: Shop) -> list[tuple[str, str]]:
    """The messages in short: type and event."""
    return [(type_, data["event_id"]) for type_, data in messages(shop)]


def heard_by(shop: Shop, endpoint_id: UUID) -> list[str]:
    """The types of what an endpoint is to get, in order."""
    found = shop.fetch(
        "SELECT event_type FROM webhook_deliveries WHERE webhook_endpoint_id = %s ORDER BY outbox_seq", endpoint_id
    )
    return [row[0] for row in found]


def paying(shop: Shop) -> None:
    """Each event credits `event.points`; without them it fails."""
    shop.rule(shop.world.credit(amount="event.points"))


def run(shop: Shop, data: dict[str, Any] | None = None) -> UUID:
    """An event, sent and processed."""
    accepted = shop.send("ann", {"points": 1} if data is None else data)
    shop.drain_all()
    return accepted.event.id
