"""Redemptions: a participant's value leaves for the program's redemption target (redemptions-rewards.md 2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

from sqlmodel import Session

from db.repositories import ledger, parties
from db.repositories import redemptions as repository
from db.repositories.redemptions import RedemptionRow, TargetRow
from db.session import Connection, psycopg_of
from domain.errors import InvalidState, not_found
from domain.ledger.accounts import Account, AccountKey, AssetTerms, EntityType, OutsideAccount
from domain.ledger.due import is_due
from domain.ledger.entries import Origin
from domain.ledger.redeem import LotPart, Target, redeem, require_redeemable
from domain.messages.notices import Cause
from services import due, tickets
from services.idempotency import Kind, Outcome, Scope
from services.messages.ledger import Occasion
from services.posting import Desk, account_of, named_terms, open_desk, recorded, require_active, require_usable
from services.redemption_views import redemption_body
from services.state import Entity, EntityKind
from services.tickets import Errand, Outlook, Ticket


@dataclass(frozen=True, slots=True)
class Priced:
    """What a redemption debits, and why. The rest is set for catalog items."""

    asset_id: UUID
    amount: Decimal
    description: str
    reward_id: UUID | None = None
    unit_cost: Decimal | None = None
    quantity: int | None = None
    fulfillment_type: str | None = None
    fulfillment_timeout: timedelta | None = None


class CatalogItem(Protocol):
    """What the catalog adds to a redemption."""

    def price(self, conn: Connection, *, is_strict: bool) -> Priced:
        """What it costs now; NotFound, BadRequest, InvalidScale."""

    def admit(self, conn: Connection, participant_id: UUID, *, is_final: bool) -> tuple[Priced, datetime]:
        """What it costs, if it may be had, and the moment of that; locked when final.

        OutOfStock, RewardUnavailable, ParticipantLimitReached.
        """

    def count(self, conn: Connection, made: RedemptionRow) -> None:
        """Note what was redeemed."""


@dataclass(frozen=True, slots=True)
class Redeeming:
    """What is asked for; its form is checked. `what` is an amount of an asset, or a catalog item."""

    participant_id: UUID
    program_id: UUID
    what: Priced | CatalogItem


@dataclass(frozen=True, slots=True)
class Redeemed:
    """The answer, the asset's symbol, and what each lot gave."""

    outcome: Outcome
    symbol: str
    lots: tuple[LotPart, ...] = ()


@dataclass(frozen=True, slots=True)
class _Case:
    """A redemption that ids, forms and states allow: what is left to decide is money."""

    asset: AssetTerms
    priced: Priced
    key: AccountKey
    target: Target

    @property
    def holders(self) -> list[AccountKey]:
        return [self.key, self.target] if isinstance(self.target, AccountKey) else [self.key]


def errand_of(session: Session, ticket: Ticket, program_id: UUID) -> Errand:
    """The ticket of a redemption, in the scope of its key."""
    organization_id = ticket.author.organization_id

    def find_made() -> dict[str, Any] | None:
        made = repository.find(psycopg_of(session), organization_id, ticket.id)
        return None if made is None else redemption_body(made)

    return Errand(ticket, Scope(organization_id, program_id, Kind.REDEMPTION, ticket.key), find_made)


def look(session: Session, ticket: Ticket, wanted: Redeeming, patience_ms: int, *, is_strict: bool) -> Outlook:
    """Whether a redemption was done, is refused, or would succeed now; what is due for its holders is written.

    Refusals: IdempotencyConflict; NotFound; BadRequest, InvalidScale; ProgramInactive, AssetArchived, AssetNotLinked,
    ParticipantInactive, InvalidState, GroupArchived; those of the catalog; MaxTransactionAmountExceeded, InsufficientBalance,
    BalanceOutOfRange.
    """

    def check() -> tuple[UUID, Outcome | None]:
        errand = errand_of(session, ticket, wanted.program_id)
        answer = errand.known_answer(session)
        if answer is None:
            _check(session, ticket.author.organization_id, wanted, is_strict=is_strict)
        return wanted.program_id, answer

    return tickets.look(session, patience_ms, check)


def last_look(session: Session, ticket: Ticket, program_id: UUID) -> Outlook:
    """Whether it was done after all, once its time is over."""
    return tickets.last_look(session, errand_of(session, ticket, program_id))


def carry_out(session: Session, ticket: Ticket, wanted: Redeeming, valid_until: datetime) -> Redeemed:
    """Redeem, deciding again under locks. Refused as in `look`; ServiceUnavailable after `valid_until`."""
    done: list[tuple[str, tuple[LotPart, ...]]] = []

    def operation() -> dict[str, Any]:
        made, symbol, taken = _redeem(session, ticket, wanted)
        done.append((symbol, taken))
        return redemption_body(made)

    outcome = errand_of(session, ticket, wanted.program_id).do(session, valid_until, operation)
    if not done:
        # done before: by an attempt whose answer was lost, or by another request with the key
        conn, asset_id = psycopg_of(session), UUID(outcome.body["asset_id"])
        symbol = ledger.find_assets(conn, ticket.author.organization_id, [asset_id])[asset_id].symbol
        done.append((symbol, tuple(repository.lots_given(conn, UUID(outcome.body["id"])))))
    return Redeemed(outcome, *done[0])


def _check(session: Session, organization_id: UUID, wanted: Redeeming, *, is_strict: bool) -> None:
    conn = psycopg_of(session)
    target = repository.find_target(conn, organization_id, wanted.program_id)
    case = _decide(conn, organization_id, wanted, target, is_strict=is_strict)
    desk, accounts = open_accounts(conn, case.asset, case.holders)
    if any(is_due(account, case.asset, desk.now) for account in accounts):
        due.settle_all(session, organization_id, {key.holder_id for key in case.holders})
        desk, accounts = open_accounts(conn, case.asset, case.holders)
    case, _ = _admit(conn, case, wanted, desk.now, is_final=False)
    require_redeemable(case.asset, accounts[0], accounts[1] if len(accounts) > 1 else None, case.priced.amount)


def _redeem(session: Session, ticket: Ticket, wanted: Redeeming) -> tuple[RedemptionRow, str, tuple[LotPart, ...]]:
    conn, author = psycopg_of(session), ticket.author
    # The target as it is while the request is under way: who changes it meanwhile may see either order.
    target = repository.find_target(conn, author.organization_id, wanted.program_id)
    lock_holders(conn, wanted.participant_id, target)
    case = _decide(conn, author.organization_id, wanted, target, is_strict=False)
    desk, accounts = open_accounts(conn, case.asset, case.holders)
    case, now = _admit(conn, case, wanted, desk.now, is_final=True)
    origin = Origin(wanted.program_id, case.priced.description, api_key_id=author.api_key_id)
    if case.asset.is_lot or any(is_due(account, case.asset, now) for account in accounts):
        ledger.load_accounts(conn, desk.books, case.holders, with_lots=True)
    done = desk.do(lambda books: redeem(books, case.key, case.priced.amount, case.target, now=now, origin=origin))
    desk.flush(Occasion(done.entry.id, Cause(ticket.id)))
    made = _row(ticket, wanted, case, target, done.entry.id, done.entry.created_at)
    repository.insert(conn, made, done.taken)
    if not isinstance(wanted.what, Priced):
        wanted.what.count(conn, made)
    return made, case.asset.symbol, done.taken


def _decide(conn: Connection, organization_id: UUID, wanted: Redeeming, target: TargetRow | None, *, is_strict: bool) -> _Case:
    """The checks up to the 409s, in their order."""
    participant = Entity(EntityKind.PARTICIPANT, wanted.participant_id)
    statuses = parties.participant_statuses(conn, organization_id, [participant.id])
    if participant.id not in statuses:
        raise not_found("participant", participant.id)
    if target is None:
        raise not_found("program", wanted.program_id, "program_id")
    priced = wanted.what
    if not isinstance(priced, Priced):
        priced = priced.price(conn, is_strict=is_strict)
    terms, asset = named_terms(conn, organization_id, wanted.program_id, priced.asset_id)
    if priced.reward_id is None:
        amount = recorded(priced.amount, asset, is_strict=is_strict)
        priced = Priced(priced.asset_id, amount, priced.description)
    require_active(terms, asset, wanted.program_id)
    require_usable(participant, statuses[participant.id])
    if target.entity_id == participant.id:
        raise InvalidState("The participant is the program's redemption target", reason="redeemer_is_target")
    if target.entity_id is not None and target.kind == EntityKind.GROUP:
        group = parties.group_statuses(conn, organization_id, [target.entity_id])
        require_usable(Entity(EntityKind.GROUP, target.entity_id), group[target.entity_id])
    return _Case(
        asset, priced, account_of(participant, asset.id, wanted.program_id), sink_of(target, asset.id, wanted.program_id)
    )


def _admit(conn: Connection, case: _Case, wanted: Redeeming, now: datetime, *, is_final: bool) -> tuple[_Case, datetime]:
    """With what the catalog says, and the moment after its lock; hot rows come after the holders' locks."""
    if isinstance(wanted.what, Priced):
        return case, now
    priced, moment = wanted.what.admit(conn, wanted.participant_id, is_final=is_final)
    return _Case(case.asset, priced, case.key, case.target), moment


def _row(
    ticket: Ticket, wanted: Redeeming, case: _Case, target: TargetRow | None, entry_id: UUID, moment: datetime
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


def sink_of(target: TargetRow, asset_id: UUID, program_id: UUID) -> Target:
    """The account that a target is for one program and asset."""
    if target.entity_id is None:
        return EntityType(target.type)
    if target.kind is None:
        return OutsideAccount(target.entity_id)
    return account_of(Entity(EntityKind(target.kind), target.entity_id), asset_id, program_id)


def lock_holders(conn: Connection, participant_id: UUID, target: TargetRow | None) -> None:
    """Lock the participant and a target that is a holder, in id order."""
    others = {target.entity_id} if target is not None and target.kind is not None and target.entity_id is not None else set()
    ledger.lock_holders(conn, {participant_id} | others)


def open_accounts(conn: Connection, asset: AssetTerms, keys: Sequence[AccountKey]) -> tuple[Desk, list[Account]]:
    """A desk with these accounts as they are, without their lots."""
    desk = open_desk(conn, asset, None)
    ledger.load_accounts(conn, desk.books, keys, with_lots=False)
    return desk, [desk.books.account(key) for key in keys]
