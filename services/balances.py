"""Direct operations on balances of participants and groups: adjust, hold, release, forfeit, void-hold.

participants-groups.md, Balances, Group balances. A group's operation is on its pair of the program named.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from sqlmodel import Session

from db.repositories.ledger_terms import Terms, missing_lots
from db.session import Connection, psycopg_of
from domain.errors import bad_request, not_found
from domain.ledger.accounts import AccountKey, AssetTerms, Balance
from domain.ledger.books import Books
from domain.ledger.credit import When, credit
from domain.ledger.debit import debit
from domain.ledger.due import post_due
from domain.ledger.entries import Origin
from domain.ledger.moves import MoveResult, forfeit, hold, release, void_hold
from services.movements import Adjusted, Adjustment, AdjustType, Moved, Movement, Operation
from services.posting import Desk, account_of, locked_status, named_terms, open_desk, recorded, require_open, require_usable
from services.state import Author, Entity

SHORTEST_HOLD = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class _Bench:
    """A holder's account, ready to be worked on: locked, and with nothing due."""

    desk: Desk
    holder: Entity
    key: AccountKey
    status: str
    terms: Terms
    asset: AssetTerms

    @property
    def balance(self) -> Balance:
        return self.desk.books.account(self.key).balance

    @property
    def lowered(self) -> tuple[UUID, ...]:
        """The holds with a deadline that were taken from."""
        changed = self.desk.books.changed_holds.values()
        return tuple(record.id for _, record in changed if record.expires_at is not None)

    def require_allowed(self, program_id: UUID, *, needs_active: bool) -> None:
        """The 409s, in the order program, asset, link, holder."""
        require_open(self.terms, self.asset, program_id)
        require_usable(self.holder, self.status, needs_active=needs_active)


def adjust(session: Session, author: Author, holder: Entity, wanted: Adjustment, *, is_strict: bool) -> Adjusted:
    """Credit or debit a holder by hand.

    NotFound; BadRequest for an amount that rounds to zero or dates that don't fit, InvalidScale when strict; ProgramArchived,
    AssetArchived, AssetNotLinked, ParticipantInactive, GroupArchived; InsufficientBalance, InsufficientWallet,
    MaxTransactionAmountExceeded, BalanceOutOfRange.
    """
    bench = _open(session, author, holder, wanted.program_id, wanted.asset_id)
    amount = recorded(wanted.amount, bench.asset, is_strict=is_strict)
    _check_dates(wanted, bench.asset, bench.desk.now)
    bench.require_allowed(wanted.program_id, needs_active=True)
    origin = _origin(author, wanted)
    bench.desk.do(lambda books: post_due(books, bench.key, bench.desk.now))
    if wanted.type is AdjustType.DEBIT:
        return _debited(bench, wanted, amount, origin)
    result = bench.desk.do(
        lambda books: credit(
            books,
            bench.key,
            amount,
            now=bench.desk.now,
            origin=origin,
            bucket=wanted.bucket,
            expires_at=wanted.expires_at,
            matures_at=wanted.matures_at,
        )
    )
    bench.desk.flush()
    lot_id = None if result.lot is None else result.lot.id
    return Adjusted(bench.asset, amount, result.bucket, bench.balance, result.entry.id, lot_id, result.settle)


def _debited(bench: _Bench, wanted: Adjustment, amount: Decimal, origin: Origin) -> Adjusted:
    entry = bench.desk.do(
        lambda books: debit(
            books,
            bench.key,
            amount,
            now=bench.desk.now,
            origin=origin,
            bucket=wanted.bucket,
            allow_negative=wanted.allow_negative,
        )
    )
    bench.desk.flush()
    return Adjusted(bench.asset, amount, wanted.bucket, bench.balance, entry.id, lowered=bench.lowered)


def hold_balance(session: Session, author: Author, holder: Entity, wanted: Movement, *, is_strict: bool) -> Moved:
    """AVAILABLE -> HELD. As `adjust`, and BadRequest for filters of lots on a SIMPLE asset or a deadline too near."""

    def work(bench: _Bench, books: Books, amount: Decimal | None) -> MoveResult:
        return hold(
            books,
            bench.key,
            amount,
            now=bench.desk.now,
            origin=_origin(author, wanted),
            selection=wanted.selection,
            expires_at=wanted.expires_at,
        )

    return _move(session, author, holder, wanted, Operation.HOLD, work, is_strict=is_strict)


def release_balance(session: Session, author: Author, holder: Entity, wanted: Movement, *, is_strict: bool) -> Moved:
    """HELD -> AVAILABLE, as far as there is, but exactly the amount on a SIMPLE asset without a reference."""

    def work(bench: _Bench, books: Books, amount: Decimal | None) -> MoveResult:
        origin = _origin(author, wanted)
        return release(books, bench.key, amount, now=bench.desk.now, origin=origin, selection=wanted.selection)

    return _move(session, author, holder, wanted, Operation.RELEASE, work, is_strict=is_strict)


def forfeit_balance(session: Session, author: Author, holder: Entity, wanted: Movement, *, is_strict: bool) -> Moved:
    """A bucket -> SYSTEM_BREAKAGE; in every status of a participant."""

    def work(bench: _Bench, books: Books, amount: Decimal | None) -> MoveResult:
        return forfeit(
            books,
            bench.key,
            amount,
            now=bench.desk.now,
            origin=_origin(author, wanted),
            bucket=wanted.bucket,
            selection=wanted.selection,
        )

    return _move(session, author, holder, wanted, Operation.FORFEIT, work, is_strict=is_strict)


def void_hold_balance(session: Session, author: Author, holder: Entity, wanted: Movement, *, is_strict: bool) -> Moved:
    """All provisional lots of the reference -> their source; in every status. BadRequest on a SIMPLE asset."""

    def work(bench: _Bench, books: Books, _: Decimal | None) -> MoveResult:
        return void_hold(books, bench.key, now=bench.desk.now, origin=_origin(author, wanted))

    return _move(session, author, holder, wanted, Operation.VOID_HOLD, work, is_strict=is_strict)


def _move(
    session: Session,
    author: Author,
    holder: Entity,
    wanted: Movement,
    operation: Operation,
    work: Callable[[_Bench, Books, Decimal | None], MoveResult],
    *,
    is_strict: bool,
) -> Moved:
    with_wallet = operation is Operation.VOID_HOLD
    bench = _open(session, author, holder, wanted.program_id, wanted.asset_id, with_wallet=with_wallet)
    _require_lots(bench.desk.conn, bench.key, bench.asset, wanted.lot_ids)
    amount = None if wanted.amount is None else recorded(wanted.amount, bench.asset, is_strict=is_strict)
    _check_movement(wanted, operation, bench.asset, bench.desk.now)
    bench.require_allowed(wanted.program_id, needs_active=operation in (Operation.HOLD, Operation.RELEASE))
    bench.desk.do(lambda books: post_due(books, bench.key, bench.desk.now))
    result = bench.desk.do(lambda books: work(bench, books, amount))
    bench.desk.flush()
    ends, hold_id = (None, None) if result.hold is None else (result.hold.expires_at, result.hold.id)
    return Moved(operation, bench.asset, result.amount, bench.balance, result.entry.id, result.lots, ends, hold_id, bench.lowered)


def _open(
    session: Session, author: Author, holder: Entity, program_id: UUID, asset_id: UUID, *, with_wallet: bool = True
) -> _Bench:
    conn = psycopg_of(session)
    status = locked_status(conn, author.organization_id, holder)
    terms, asset = named_terms(conn, author.organization_id, program_id, asset_id)
    key = account_of(holder, asset_id, program_id)
    desk = open_desk(conn, asset, key, program_id if with_wallet else None)
    if with_wallet and asset.is_prefunded:
        # Read again under the wallet's lock: an unlinking may have been waited for.
        terms, asset = named_terms(conn, author.organization_id, program_id, asset_id)
    return _Bench(desk, holder, key, status, terms, asset)


def _origin(author: Author, wanted: Adjustment | Movement) -> Origin:
    return Origin(wanted.program_id, wanted.description, api_key_id=author.api_key_id, reference_id=wanted.reference_id)


def _require_lots(conn: Connection, key: AccountKey, asset: AssetTerms, lot_ids: tuple[UUID, ...] | None) -> None:
    if lot_ids is None or not asset.is_lot:
        return
    missing = missing_lots(conn, key.holder_id, key.asset_id, key.program_id, list(lot_ids))
    for index, lot_id in enumerate(lot_ids):
        if lot_id in missing:
            raise not_found("lot", lot_id, f"lot_ids[{index}]")


def _check_dates(wanted: Adjustment, asset: AssetTerms, now: datetime) -> None:
    for name in ("expires_at", "matures_at"):
        if not asset.is_lot and getattr(wanted, name) is not None:
            raise bad_request(name, "not_allowed", "Only assets with lots have dates")
    expires, matures = _moment("expires_at", wanted.expires_at, now), _moment("matures_at", wanted.matures_at, now)
    if expires is not None and expires <= now:
        raise bad_request("expires_at", "out_of_range", "Must lie in the future")
    if expires is not None and matures is not None and expires <= matures:
        raise bad_request("expires_at", "out_of_range", "Must lie after matures_at")


def _check_movement(wanted: Movement, operation: Operation, asset: AssetTerms, now: datetime) -> None:
    if operation is Operation.VOID_HOLD and not asset.is_lot:
        raise bad_request("asset_id", "not_allowed", "Only assets with lots have provisional holds")
    if not asset.is_lot:
        for name in wanted.lot_filters:
            raise bad_request(name, "not_allowed", "Only assets with lots have lots to choose from")
    ends = _moment("expires_at", wanted.expires_at, now)
    if ends is not None and ends < now + SHORTEST_HOLD:
        raise bad_request("expires_at", "out_of_range", "Must lie at least one second ahead")


def _moment(field: str, when: When | None, now: datetime) -> datetime | None:
    try:
        return now + when if isinstance(when, timedelta) else when
    except OverflowError:
        raise bad_request(field, "out_of_range", "Must lie in the years 0001 to 9999") from None
