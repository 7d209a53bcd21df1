"""Reversals: a redemption's value comes back, in whole or in parts (redemptions-rewards.md 3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlmodel import Session

from db.repositories import ledger
from db.repositories import redemptions as repository
from db.repositories.ledger_terms import find_terms
from db.repositories.redemptions import RedemptionRow, ReversalRow
from db.session import Connection, psycopg_of
from domain.errors import (
    AssetArchived,
    InvalidState,
    ProgramArchived,
    ReversalExceedsRemaining,
    bad_request,
    not_found,
)
from domain.ledger.accounts import NIL, AccountKey, AssetTerms, EntityType, subtract
from domain.ledger.due import is_due
from domain.ledger.entries import Origin
from domain.ledger.redeem import LotPart, require_returnable, reverse
from domain.messages.redemptions import EndedBy, Ending
from domain.money import CONTEXT, format_amount
from runtime.ids import new_id
from services import due, fulfillment_requests, tickets
from services.catalog import return_units
from services.idempotency import Kind, Outcome, Scope
from services.messages.redemptions import reversing
from services.posting import recorded
from services.redemption_views import redemption_body, reversal_body
from services.redemptions import lock_holders, open_accounts, sink_of
from services.tickets import Errand, Outlook, Ticket


@dataclass(frozen=True, slots=True)
class Reversing:
    """What is asked for; its form is checked. Neither amount nor quantity: everything that is left."""

    redemption_id: UUID
    reason: str
    amount: Decimal | None = None
    quantity: int | None = None


@dataclass(frozen=True, slots=True)
class Reversed:
    """The answer, the redemption as it is then, the asset's symbol, and what each lot got back."""

    outcome: Outcome
    redemption: dict[str, Any]
    symbol: str
    lots: tuple[LotPart, ...] = ()


@dataclass(frozen=True, slots=True)
class _Size:
    """How much is reversed; `quantity` for redemptions of units."""

    amount: Decimal
    quantity: int | None


@dataclass(frozen=True, slots=True)
class _Cause:
    """The id that a reversal will have, why it is made, and by whom; with `ending` it ends a fulfilment, which failed."""

    id: UUID
    reason: str
    api_key_id: UUID | None
    ending: Ending | None = None


def errand_of(session: Session, ticket: Ticket, program_id: UUID) -> Errand:
    """The ticket of a reversal, in the scope of its key."""
    organization_id = ticket.author.organization_id

    def find_made() -> dict[str, Any] | None:
        made = repository.find_reversal(psycopg_of(session), organization_id, ticket.id)
        return None if made is None else reversal_body(made)

    return Errand(ticket, Scope(organization_id, program_id, Kind.REVERSAL, ticket.key), find_made)


def look(session: Session, ticket: Ticket, wanted: Reversing, patience_ms: int, *, is_strict: bool) -> Outlook:
    """Whether a reversal was done, is refused, or would succeed now; what is due for its holders is written.

    Refusals: NotFound; IdempotencyConflict; BadRequest, InvalidScale; ProgramArchived, AssetArchived, InvalidState;
    ReversalExceedsRemaining, BalanceOutOfRange.
    """

    def check() -> tuple[UUID, Outcome | None]:
        found = _find(session, ticket, wanted)
        answer = errand_of(session, ticket, found.program_id).known_answer(session)
        if answer is None:
            _check(session, found, wanted, is_strict=is_strict)
        return found.program_id, answer

    return tickets.look(session, patience_ms, check)


def last_look(session: Session, ticket: Ticket, program_id: UUID) -> Outlook:
    """Whether it was done after all, once its time is over."""
    return tickets.last_look(session, errand_of(session, ticket, program_id))


def carry_out(session: Session, ticket: Ticket, wanted: Reversing, valid_until: datetime) -> Reversed:
    """Reverse, deciding again under locks. Refused as in `look`; ServiceUnavailable after `valid_until`."""
    lots: list[LotPart] = []
    found = _find(session, ticket, wanted)

    def operation() -> dict[str, Any]:
        made, restored = _reverse(session, ticket, wanted)
        lots.extend(restored)
        return reversal_body(made)

    outcome = errand_of(session, ticket, found.program_id).do(session, valid_until, operation)
    redemption = _find(session, ticket, wanted)
    symbol = ledger.find_assets(psycopg_of(session), found.organization_id, [found.asset_id])[found.asset_id].symbol
    return Reversed(outcome, redemption_body(redemption), symbol, tuple(lots))


def _find(session: Session, ticket: Ticket, wanted: Reversing) -> RedemptionRow:
    found = repository.find(psycopg_of(session), ticket.author.organization_id, wanted.redemption_id)
    if found is None:
        raise not_found("redemption", wanted.redemption_id)
    return found


def _check(session: Session, found: RedemptionRow, wanted: Reversing, *, is_strict: bool) -> None:
    conn = psycopg_of(session)
    asset, size = _decide(conn, found, wanted, is_strict=is_strict)
    sink = sink_of(repository.captured_target(conn, found), asset.id, found.program_id)
    keys = [_key_of(found), sink] if isinstance(sink, AccountKey) else [_key_of(found)]
    desk, accounts = open_accounts(conn, asset, keys)
    if any(is_due(account, asset, desk.now) for account in accounts):
        due.settle_all(session, found.organization_id, {key.holder_id for key in keys})
        _, accounts = open_accounts(conn, asset, keys)
    require_returnable(asset, accounts[0], accounts[1] if len(accounts) > 1 else None, size.amount)


def _reverse(session: Session, ticket: Ticket, wanted: Reversing) -> tuple[ReversalRow, Sequence[LotPart]]:
    conn = psycopg_of(session)
    found = _find(session, ticket, wanted)
    target = repository.captured_target(conn, found)
    lock_holders(conn, found.participant_id, target)
    # Every reversal of it holds the participant's lock: this is what is left of it until the commit.
    found = _find(session, ticket, wanted)
    asset, size = _decide(conn, found, wanted, is_strict=False)
    api_key_id = ticket.author.api_key_id
    ending = Ending(EndedBy.CANCELLED, api_key_id=api_key_id) if found.fulfillment_status == "PENDING" else None
    return _post(conn, found, asset, size, _Cause(ticket.id, wanted.reason, api_key_id, ending))


def reverse_all(conn: Connection, found: RedemptionRow, reason: str, ending: Ending) -> None:
    """Reverse all that is left of a redemption whose fulfilment failed, whatever the status of program and participant.

    Its holders are locked. Only the ledger refuses: AssetArchived, BalanceOutOfRange.
    """
    asset = find_terms(conn, found.organization_id, found.program_id, found.asset_id).asset
    assert asset is not None, "assets aren't deleted"
    _post(conn, found, asset, _left(found), _Cause(new_id(), reason, ending.api_key_id, ending))


def _post(
    conn: Connection, found: RedemptionRow, asset: AssetTerms, size: _Size, cause: _Cause
) -> tuple[ReversalRow, Sequence[LotPart]]:
    """Write a reversal that was decided under the locks of its holders."""
    sink = sink_of(repository.captured_target(conn, found), asset.id, found.program_id)
    keys = [_key_of(found), sink] if isinstance(sink, AccountKey) else [_key_of(found)]
    desk, _ = open_accounts(conn, asset, keys)
    owed = repository.owed_lots(conn, found.id) if asset.is_lot else []
    origin = Origin(found.program_id, cause.reason, api_key_id=cause.api_key_id)
    done = desk.do(lambda books: reverse(books, keys[0], size.amount, sink, owed, now=desk.now, origin=origin))
    made = ReversalRow(
        id=cause.id,
        organization_id=found.organization_id,
        redemption_id=found.id,
        amount=size.amount,
        quantity=size.quantity,
        reason=cause.reason,
        entry_id=done.entry.id,
        created_at=done.entry.created_at,
        scale=asset.scale,
    )
    repository.insert_reversal(conn, made, done.restored)
    return_units(conn, found, size.quantity, made.created_at)
    if cause.ending is not None:
        fulfillment_requests.settle(conn, found.id, "FAILED", cause.ending.note, made.created_at)
    desk.flush(reversing(conn, made, done.entry, keys[0], cause.ending))
    return made, done.restored


def _key_of(found: RedemptionRow) -> AccountKey:
    return AccountKey(EntityType.PARTICIPANT, found.participant_id, found.asset_id, NIL)


def _decide(conn: Connection, found: RedemptionRow, wanted: Reversing, *, is_strict: bool) -> tuple[AssetTerms, _Size]:
    """The checks up to what is left of the redemption, in their order."""
    terms = find_terms(conn, found.organization_id, found.program_id, found.asset_id)
    assert terms.asset is not None, "assets aren't deleted"
    asked = _asked(found, terms.asset, wanted, is_strict=is_strict)
    if terms.program_status == "ARCHIVED":
        raise ProgramArchived(program_id=str(found.program_id))
    if terms.asset.is_archived:
        raise AssetArchived(asset_id=str(found.asset_id))
    left = _left(found)
    if found.fulfillment_status == "PENDING" and asked is not None and asked.amount < left.amount:
        raise InvalidState("Its fulfilment is pending: it can be reversed in full only", reason="fulfillment_pending")
    if not left.amount or (asked is not None and asked.amount > left.amount):
        raise _exceeds(found, left, asked)
    return terms.asset, asked or left


def _asked(found: RedemptionRow, asset: AssetTerms, wanted: Reversing, *, is_strict: bool) -> _Size | None:
    """What the request names, at the asset's scale; None when it names nothing."""
    if found.quantity is None and wanted.quantity is not None:
        raise bad_request("quantity", "not_allowed", "Only redemptions of units are reversed by quantity")
    if found.quantity is not None and wanted.amount is not None:
        raise bad_request("amount", "not_allowed", "Redemptions of units are reversed by quantity")
    if wanted.quantity is not None:
        assert found.unit_cost is not None, "units have a cost"
        return _Size(CONTEXT.multiply(found.unit_cost, Decimal(wanted.quantity)), wanted.quantity)
    if wanted.amount is not None:
        return _Size(recorded(wanted.amount, asset, is_strict=is_strict), None)
    return None


def _left(found: RedemptionRow) -> _Size:
    quantity = None
    if found.quantity is not None and found.reversed_quantity is not None:
        quantity = found.quantity - found.reversed_quantity
    return _Size(subtract(found.amount, found.reversed_amount), quantity)


def _exceeds(found: RedemptionRow, left: _Size, asked: _Size | None) -> ReversalExceedsRemaining:
    def shown(size: _Size) -> str | int:
        return format_amount(size.amount, found.scale) if size.quantity is None else size.quantity

    requested = None if asked is None else shown(asked)
    return ReversalExceedsRemaining(redemption_id=str(found.id), remaining=shown(left), requested=requested)
