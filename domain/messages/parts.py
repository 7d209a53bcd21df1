"""What messages of several kinds say in the same words (webhooks.md 5)."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from domain.ledger.accounts import Balance, EntityType
from domain.money import format_amount
from domain.timestamps import format_timestamp


def text_of(id_: UUID | None) -> str | None:
    """An id as it is sent."""
    return None if id_ is None else str(id_)


def moment_of(moment: datetime | None) -> str | None:
    """A time as it is sent."""
    return None if moment is None else format_timestamp(moment)


def holder_of(kind: EntityType, holder_id: UUID, external_ids: Mapping[UUID, str]) -> dict[str, object]:
    """Who: a participant with its external id, or a group."""
    if kind is EntityType.GROUP:
        return {"group_id": str(holder_id)}
    return {"participant_id": str(holder_id), "external_id": external_ids[holder_id]}


def balance_of(balance: Balance, scale: int) -> dict[str, str]:
    """The three buckets."""
    return {name: format_amount(amount, scale) for name, amount in balance._asdict().items()}
