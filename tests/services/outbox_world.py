"""Endpoints straight in the database, and what they are to hear."""

from typing import Any
from uuid import UUID

from tests.services.lane_world import Shop
from tests.support.outbox import make_endpoint, recorded

COMPLETED, FAILED = "event.completed", "event.failed"


def endpoint(shop: Shop, *enabled: str, status: str = "ACTIVE") -> UUID:
    """An endpoint of the shop's organization."""
    return make_endpoint(shop.database, shop.organization_id, *enabled, status=status)


def messages(shop: Shop, about: str = "event.") -> list[tuple[str, dict[str, Any]]]:
    """Type and data of the organization's messages of one kind, in the order of their numbers."""
    found = recorded(shop.database, shop.organization_id)
    return [(message.type, message.data) for message in found if message.type.startswith(about)]


def told(shop: Shop) -> list[tuple[str, str]]:
    """The messages about events in short: type and event."""
    return [(type_, data["event_id"]) for type_, data in messages(shop)]


def heard_by(shop: Shop, endpoint_id: UUID) -> list[str]:
    """The types of what an endpoint is to get about events, in order."""
    found = shop.fetch(
        "SELECT event_type FROM webhook_deliveries WHERE webhook_endpoint_id = %s ORDER BY outbox_seq", endpoint_id
    )
    return [row[0] for row in found if row[0].startswith("event.")]


def paying(shop: Shop) -> None:
    """Each event credits `event.points`; without them it fails."""
    shop.rule(shop.world.credit(amount="event.points"))


def run(shop: Shop, data: dict[str, Any] | None = None) -> UUID:
    """An event, sent and processed."""
    accepted = shop.send("ann", {"points": 1} if data is None else data)
    shop.drain_all()
    return accepted.event.id
