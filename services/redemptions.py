"""Redemptions: a participant's value leaves for the program's redemption target (redemptions-rewards.md 2)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Session

from db.repositories import idempotency, ledger
from db.repositories import redemption_facts as facts_of
from db.repositories import redemptions as repository
from db.repositories.redemption_facts import Facts
from db.repositories.redemptions import RedemptionRow, TargetRow
from db.session import Connection, psycopg_of
from domain.errors import DomainError, IdempotencyConflict, ServiceUnavailable
from domain.ledger.accounts import Account, AccountKey, AssetTerms
from domain.ledger.books import Books
from domain.ledger.due import is_due
from domain.ledger.entries import Origin
from domain.ledger.redeem import LotPart, redeem
from runtime.ids import new_id
from services import due, fulfillment_requests, tickets
from services.idempotency import Kind, Outcome, Scope
from services.messages.redemptions import redeeming
from services.posting import Desk, open_desk
from services.redemption_cases import Case, CatalogItem, Glance, Priced, Redeeming, Stock, decide, sink_of
from services.redemption_views import redemption_body
from services.tickets import LEAST_MS, Errand, Outlook, Ticket

__all__ = ["CatalogItem", "Glance", "Priced", "Redeeming", "Stock", "sink_of"]


@dataclass(frozen=True, slots=True)
class Redeemed:
    """The answer, the asset's symbol, and what each lot gave."""

    outcome: Outcome
    symbol: str
    lots: tuple[LotPart, ...] = ()


def errand_of(session: Session, ticket: Ticket, program_id: UUID) -> Errand:
    """The ticket of a redemption, in the scope of its key."""
    organization_id = ticket.author.organization_id

    def find_made() -> dict[str, Any] | None:
        made = repository.find(psycopg_of(session), organization_id, ticket.id)
        return None if made is None else redemption_body(made)

    return Errand(ticket, Scope(organization_id, program_id, Kind.REDEMPTION, ticket.key), find_made)


def glance(session: Session, glances: Sequence[Glance], patience_ms: int) -> list[Outlook]:
    """The outlooks of requests in one round trip, without writing: `is_due` where something due has to be written first.

    Refusals: IdempotencyConflict; NotFound; BadRequest, InvalidScale; ProgramInactive, AssetArchived, AssetNotLinked,
    ParticipantInactive, InvalidState, GroupArchived; those of the catalog; MaxTransactionAmountExceeded, InsufficientBalance,
    BalanceOutOfRange.
    """
    conn = psycopg_of(session)
    with conn.pipeline():
        repository.limit(conn, patience_ms)
        asked = [facts_of.ask(conn, one.question) for one in glances]
    return [_outlook(session, one, facts_of.answer(cursor)) for one, cursor in zip(glances, asked, strict=True)]


def look(session: Session, one: Glance, patience_ms: int) -> Outlook:
    """Whether a redemption was done, is refused, or would succeed now; what is due for its holders is written. As `glance`."""
    [outlook] = glance(session, [one], patience_ms)
    if outlook.is_due:
        holders = {one.wanted.participant_id} | ({outlook.also_due} if outlook.also_due is not None else set())
        due.settle_all(session, one.ticket.author.organization_id, holders)
        [outlook] = glance(session, [one], patience_ms)
    return outlook


def _outlook(session: Session, one: Glance, facts: Facts) -> Outlook:
    try:
        answer = _known_answer(session, one, facts)
        if answer is not None:
            return Outlook(facts.real_time, answer, program_id=one.wanted.program_id)
        case = decide(one.wanted, facts, is_strict=one.is_strict)
        if any(is_due(account, case.asset, facts.now) for account in case.accounts):
            target = case.accounts[1].key.holder_id if len(case.accounts) > 1 else None
            return Outlook(facts.real_time, program_id=one.wanted.program_id, is_due=True, also_due=target)
        if not isinstance(one.wanted.what, Priced):
            one.wanted.what.admit(Stock(facts.reward, facts.owned, facts.now), case.priced)
        case.require_money()
    except DomainError as refusal:
        return Outlook(facts.real_time, refusal=refusal)
    return Outlook(facts.real_time, program_id=one.wanted.program_id)


def _known_answer(session: Session, one: Glance, facts: Facts) -> Outcome | None:
    """The answer, if it was done already; IdempotencyConflict."""
    ticket = one.ticket
    if facts.stored is not None:
        if facts.stored.fingerprint != ticket.fingerprint:
            raise IdempotencyConflict(idempotency_key=ticket.key, program_id=str(one.wanted.program_id))
        return tickets.own(ticket, facts.stored.response)
    if not facts.is_made:
        return None
    made = repository.find(psycopg_of(session), ticket.author.organization_id, ticket.id)
    return None if made is None else Outcome(redemption_body(made))


def last_look(session: Session, ticket: Ticket, program_id: UUID) -> Outlook:
    """Whether it was done after all, once its time is over."""
    return tickets.last_look(session, errand_of(session, ticket, program_id))


def carry_out(session: Session, ticket: Ticket, wanted: Redeeming, valid_until: datetime) -> Redeemed:
    """Redeem, deciding again under locks. Refused as in `glance`; ServiceUnavailable after `valid_until`."""
    conn, one = psycopg_of(session), Glance(ticket, wanted, is_strict=False)
    with conn.pipeline():
        repository.limit_until(conn, valid_until, LEAST_MS)
        errand_of(session, ticket, wanted.program_id).lock(session)
        # Each statement sees what was committed while the one before it waited.
        asked = facts_of.ask(conn, one.question)
    facts = facts_of.answer(asked)
    outcome = _known_answer(session, one, facts)
    if outcome is not None:
        # done before: by an attempt whose answer was lost, or by another request with the key
        asset_id = UUID(outcome.body["asset_id"])
        symbol = ledger.find_assets(conn, ticket.author.organization_id, [asset_id])[asset_id].symbol
        return Redeemed(outcome, symbol, tuple(repository.lots_given(conn, UUID(outcome.body["id"]))))
    if facts.real_time > valid_until:
        raise ServiceUnavailable
    return _redeem(session, one, _facts_under_locks(conn, one, facts.target))


def _facts_under_locks(conn: Connection, one: Glance, target: TargetRow | None) -> Facts:
    """The facts after the participant and a target that is a holder were locked, in id order."""
    while True:
        with conn.pipeline():
            lock_holders(conn, one.wanted.participant_id, target)
            asked = facts_of.ask(conn, one.question)
        facts = facts_of.answer(asked)
        if facts.target == target:
            return facts
        # Changed just now. What is locked stays so, out of order: a deadlock is run again.
        target = facts.target


def _redeem(session: Session, one: Glance, facts: Facts) -> Redeemed:
    conn, ticket, wanted = psycopg_of(session), one.ticket, one.wanted
    case, now, stock = decide(wanted, facts, is_strict=False), facts.now, None
    if not isinstance(wanted.what, Priced):
        # Hot rows come after the holders' locks; the moment is that after the last lock.
        stock = wanted.what.lock(conn, wanted.participant_id)
        case, now = replace(case, priced=wanted.what.price(stock.reward, is_strict=False)), stock.now
        wanted.what.admit(stock, case.priced)
    desk = _desk(conn, case, now)
    origin = Origin(wanted.program_id, case.priced.description, api_key_id=ticket.author.api_key_id)
    if case.asset.is_lot or any(is_due(account, case.asset, now) for account in case.accounts):
        ledger.load_accounts(conn, desk.books, case.holders, with_lots=True)
    done = desk.do(lambda books: redeem(books, case.key, case.priced.amount, case.target, now=now, origin=origin))
    made = _row(ticket, wanted, case, facts.target, done.entry.id, done.entry.created_at)
    body, reward = redemption_body(made), None
    with conn.pipeline():
        repository.insert(conn, made, done.taken)
        if stock is not None and not isinstance(wanted.what, Priced):
            reward = wanted.what.count(conn, stock, made)
        if ticket.key is not None:
            idempotency.store(
                session, made.organization_id, made.program_id, Kind.REDEMPTION, ticket.key, ticket.fingerprint, body
            )
    if reward is not None:
        fulfillment_requests.ask(conn, made, reward)
    desk.flush(redeeming(conn, made, done.entry, case.key))
    return Redeemed(Outcome(body), case.asset.symbol, done.taken)


def _desk(conn: Connection, case: Case, now: datetime) -> Desk:
    books = Books({case.asset.id: case.asset}, new_id)
    for account in case.accounts:
        books.add_account(account)
    return Desk(conn, books, now)


def _row(
    ticket: Ticket, wanted: Redeeming, case: Case, target: TargetRow | None, entry_id: UUID, moment: datetime
) -> RedemptionRow:
    priced, timeout = case.priced, case.priced.fulfillment_timeout
    assert target is not None, "a program without a target was refused"
    return RedemptionRow(
        id=ticket.id,
        organization_id=ticket.author.organization_id,
        participant_id=wanted.participant_id,
        program_id=wanted.program_id,
        asset_id=case.asset.id,
        amount=priced.amount,
        description=priced.description,
        redemption_target_type=target.type,
        redemption_target_entity_id=target.entity_id,
        entry_id=entry_id,
        created_at=moment,
        updated_at=moment,
        scale=case.asset.scale,
        reward_id=priced.reward_id,
        quantity=priced.quantity,
        unit_cost=priced.unit_cost,
        reversed_quantity=None if priced.quantity is None else 0,
        fulfillment_type=priced.fulfillment_type,
        fulfillment_status=None if priced.fulfillment_type is None else "PENDING",
        fulfillment_expires_at=None if timeout is None else moment + timeout,
    )


# ------------------------------------------------------------------ shared with reversals


def lock_holders(conn: Connection, participant_id: UUID, target: TargetRow | None) -> None:
    """Lock the participant and a target that is a holder, in id order."""
    others = {target.entity_id} if target is not None and target.kind is not None and target.entity_id is not None else set()
    ledger.lock_holders(conn, {participant_id} | others)


def open_accounts(conn: Connection, asset: AssetTerms, keys: Sequence[AccountKey]) -> tuple[Desk, list[Account]]:
    """A desk with these accounts as they are, without their lots."""
    desk = open_desk(conn, asset, None)
    ledger.load_accounts(conn, desk.books, keys, with_lots=False)
    return desk, [desk.books.account(key) for key in keys]
