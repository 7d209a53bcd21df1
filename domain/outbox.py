"""The outbox: messages about what happened, and who wants to hear of it (webhooks.md 1.1, 2, 3.1)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

EVERYTHING = "*"


class MessageType(StrEnum):
    """webhooks.md 5, in its order."""

    BALANCE_CREDITED = "balance.credited"
    BALANCE_DEBITED = "balance.debited"
    BALANCE_HELD = "balance.held"
    BALANCE_RELEASED = "balance.released"
    BALANCE_EXPIRED = "balance.expired"
    REDEMPTION_COMPLETED = "redemption.completed"
    REDEMPTION_REVERSED = "redemption.reversed"
    TRANSFER_COMPLETED = "transfer.completed"
    EVENT_COMPLETED = "event.completed"
    EVENT_FAILED = "event.failed"
    PARTICIPANT_CREATED = "participant.created"
    TIER_CHANGED = "participant.tier_changed"
    PROGRAM_FUNDED = "program.funded"
    PROGRAM_BURNED = "program.burned"
    BALANCE_EXPIRING = "balance.expiring"
    REDEMPTION_FULFILLED = "redemption.fulfilled"
    REDEMPTION_FULFILLMENT_FAILED = "redemption.fulfillment_failed"


@dataclass(frozen=True, slots=True)
class Message:
    """Something that happened. Messages about one entity (participant, group or program) are sent in order.

    `data` is JSON as it will be sent: ids, times and amounts are texts already.
    """

    type: MessageType
    organization_id: UUID
    entity_id: UUID
    data: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Subscription:
    """What an ACTIVE endpoint of an organization is enabled for: types, or `*` for all of them."""

    endpoint_id: UUID
    organization_id: UUID
    enabled_events: frozenset[str]


class Audience:
    """The subscriptions of some organizations at one moment; false when there are none."""

    def __init__(self, subscriptions: Iterable[Subscription] = ()) -> None:
        self._endpoints: dict[tuple[UUID, str], list[UUID]] = {}
        for each in subscriptions:
            wanted = MessageType if EVERYTHING in each.enabled_events else each.enabled_events
            for type_ in wanted:
                self._endpoints.setdefault((each.organization_id, type_), []).append(each.endpoint_id)

    def __bool__(self) -> bool:
        return bool(self._endpoints)

    def endpoints(self, organization_id: UUID, type_: MessageType) -> list[UUID]:
        """The organization's endpoints that want messages of a type; each once."""
        return self._endpoints.get((organization_id, type_), [])
