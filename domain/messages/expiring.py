"""`balance.expiring`: lots of one holder that expire on one UTC day, so many days ahead (webhooks.md 5.13)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from domain.ledger.accounts import NIL, AssetTerms, Balance, EntityType, total
from domain.messages.parts import balance_of, holder_of, moment_of
from domain.money import format_amount
from domain.outbox import Message, MessageType

MOST_LOTS = 100
DAY = timedelta(days=1)


class ExpiringLot(NamedTuple):
    """What an announced lot still has, and until when; ordered as they are listed."""

    expires_at: datetime
    id: UUID
    remaining: Decimal


@dataclass(frozen=True, slots=True)
class LotSet:
    """The lots of a holder, asset and program that expire on one day, those to be announced; there is at least one.

    `pair_program_id` is that of the account: the nil UUID for participants.
    """

    holder_id: UUID
    pair_program_id: UUID
    program_id: UUID
    lots: Sequence[ExpiringLot]


def expiring_message(
    lot_set: LotSet,
    asset: AssetTerms,
    notice_days: int,
    balance: Balance,
    external_ids: Mapping[UUID, str],
    now: datetime,
) -> Message:
    """The message about a lot set; `external_ids` knows its holder if that is a participant."""
    kind = EntityType.PARTICIPANT if lot_set.pair_program_id == NIL else EntityType.GROUP
    lots = sorted(lot_set.lots)
    data: dict[str, object] = {
        **holder_of(kind, lot_set.holder_id, external_ids),
        "program_id": str(lot_set.program_id),
        "asset_id": str(asset.id),
        "asset_symbol": asset.symbol,
        "amount": format_amount(total(lot.remaining for lot in lots), asset.scale),
        "expires_at": moment_of(lots[0].expires_at),
        "notice_days": notice_days,
        "lots": [_lot(lot, asset.scale) for lot in lots[:MOST_LOTS]],
        "lot_count": len(lots),
        "balance": balance_of(balance, asset.scale),
        "occurred_at": moment_of(now),
    }
    return Message(MessageType.BALANCE_EXPIRING, asset.organization_id, lot_set.holder_id, data)


def _lot(lot: ExpiringLot, scale: int) -> dict[str, object]:
    return {"id": str(lot.id), "amount": format_amount(lot.remaining, scale), "expires_at": moment_of(lot.expires_at)}


def midnight_of(moment: datetime) -> datetime:
    """The 00:00 UTC at which the moment's day began."""
    return at_midnight(moment.astimezone(UTC).date())


def at_midnight(day: date) -> datetime:
    """00:00 UTC of a day."""
    return datetime.combine(day, time.min, UTC)
