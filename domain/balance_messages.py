"""`balance.credited` and `balance.debited` about redemptions, as they are told (webhooks.md 5.1-5.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID

from domain.ledger.accounts import AccountKey, Balance, Bucket, EntityType, add, negate
from domain.ledger.entries import Entry, LotMove
from domain.money import ZERO, format_amount
from domain.outbox import Message, MessageType
from domain.timestamps import format_timestamp

MOST_LOTS = 100


@dataclass(frozen=True, slots=True)
class Movement:
    """What an entry moved on one holder's account. `lots` is None on SIMPLE assets; `extra` are the fields of one type only."""

    organization_id: UUID
    key: AccountKey
    external_id: str | None
    asset_symbol: str
    scale: int
    entry: Entry
    amount: Decimal
    lots: Sequence[LotMove] | None = None
    extra: Mapping[str, object] = field(default_factory=dict)


def credited(moved: Movement) -> Message:
    """Value arrived in AVAILABLE."""
    return _message(MessageType.BALANCE_CREDITED, moved, {"bucket": Bucket.AVAILABLE})


def debited(moved: Movement) -> Message:
    """Value was taken from AVAILABLE, into overdraft if need be."""
    left = moved.entry.after[moved.key].available
    overdraft = min(moved.amount, negate(left)) if left < 0 else ZERO
    fields = {"bucket": Bucket.AVAILABLE, "overdraft": format_amount(overdraft, moved.scale)}
    return _message(MessageType.BALANCE_DEBITED, moved, fields)


def balance_body(balance: Balance, scale: int) -> dict[str, str]:
    """A balance as messages show it."""
    return {
        "available": format_amount(balance.available, scale),
        "held": format_amount(balance.held, scale),
        "deferred": format_amount(balance.deferred, scale),
    }


def _message(type_: MessageType, moved: Movement, fields: Mapping[str, object]) -> Message:
    entry, origin = moved.entry, moved.entry.origin
    data: dict[str, object] = {
        **_holder(moved),
        "program_id": str(origin.program_id),
        "asset_id": str(moved.key.asset_id),
        "asset_symbol": moved.asset_symbol,
        "amount": format_amount(moved.amount, moved.scale),
        "balance": balance_body(entry.after[moved.key], moved.scale),
        "action_type": entry.action_type,
        "journal_entry_id": str(entry.id),
        "description": origin.description,
    }
    if origin.reference_id is not None:
        data["reference_id"] = origin.reference_id
    data |= {
        "event_id": _id(origin.event_id),
        "rule_id": _id(origin.rule_id),
        "created_by_api_key_id": _id(origin.api_key_id),
    }
    if moved.lots is not None:
        data["lots"] = _lots(moved.lots, moved.scale)
    data["occurred_at"] = format_timestamp(entry.created_at)
    return Message(type_, moved.organization_id, moved.key.holder_id, data | dict(fields) | dict(moved.extra))


def _holder(moved: Movement) -> dict[str, object]:
    if moved.key.kind is EntityType.GROUP:
        return {"group_id": str(moved.key.holder_id)}
    return {"participant_id": str(moved.key.holder_id), "external_id": moved.external_id}


def _lots(moves: Sequence[LotMove], scale: int) -> list[dict[str, str]]:
    """Each lot once, with all that was moved of it."""
    amounts: dict[UUID, Decimal] = {}
    for move in moves:
        amounts[move.lot_id] = add(amounts.get(move.lot_id, ZERO), move.amount)
    return [{"id": str(lot), "amount": format_amount(amount, scale)} for lot, amount in list(amounts.items())[:MOST_LOTS]]


def _id(id_: UUID | None) -> str | None:
    return None if id_ is None else str(id_)
