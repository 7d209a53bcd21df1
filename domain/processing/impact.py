"""What an event changed, as the impact of a stored event and the dry run of one show it (events-rules.md 2.6, 2.9)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from domain.ledger.accounts import add


@dataclass(frozen=True, slots=True)
class BalanceChange:
    """A signed amount on one bucket of one entity: a posting's, or the sum of several; `entity_id` None for SYSTEM accounts."""

    entity_type: str
    entity_id: UUID | None
    asset_id: UUID
    asset_symbol: str
    scale: int
    bucket: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class StateEffect:
    """A row of the state history with its owner; without `id` and `event_id` when nothing was stored."""

    id: UUID | None
    entity_type: str
    entity_id: UUID
    state_type: str
    key: str
    operation: str
    old_value: str | None
    new_value: str | None
    changed_at: datetime
    changed_by_api_key_id: UUID | None
    event_id: UUID | None
    rule_id: UUID | None
    program_id: UUID | None


def net(changes: Iterable[BalanceChange]) -> list[BalanceChange]:
    """The sum per entity, asset and bucket, by entity, symbol and bucket; what nets to zero is left out."""
    sums: dict[tuple[str, str, str, str], BalanceChange] = {}
    for change in changes:
        key = (change.entity_type, str(change.entity_id or ""), change.asset_symbol, change.bucket)
        so_far = sums.get(key)
        sums[key] = change if so_far is None else replace(so_far, amount=add(so_far.amount, change.amount))
    return [change for _, change in sorted(sums.items(), key=lambda item: item[0]) if change.amount]
