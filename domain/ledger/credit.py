"""CREDIT and SETTLE: value arrives from its source (ledger.md, Entries by action type, Provisional accrual)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from domain.ledger.accounts import (
    LOT_STATUS_OF,
    Account,
    AccountKey,
    AssetTerms,
    Bucket,
    EntityType,
    Hold,
    HoldKind,
    Lot,
    LotStatus,
    Wallet,
    negate,
    subtract,
)
from domain.ledger.books import Books
from domain.ledger.checks import require_cover, require_room, require_wallet_room, require_within_maximum, source_of
from domain.ledger.due import post_due, ready
from domain.ledger.entries import ActionType, Entry, LotMove, Origin
from domain.ledger.lots import Pick, consume, draw, moves_of, overdraft_of, pick_provisional
from domain.money import ZERO

# A time, or a duration from the lot's or hold's creation.
When = datetime | timedelta


@dataclass(frozen=True, slots=True)
class Settle:
    """What a settle did: the provisional amount it ended, and settled minus held."""

    held_amount: Decimal
    delta: Decimal


@dataclass(frozen=True, slots=True)
class CreditResult:
    """The entry, the bucket where the value arrived, the new lot (LOT assets), and the settle if it was one."""

    entry: Entry
    bucket: Bucket
    lot: Lot | None = None
    settle: Settle | None = None


def resolve(when: When | None, moment: datetime) -> datetime | None:
    """A time as it is, a duration counted from `moment`."""
    return moment + when if isinstance(when, timedelta) else when


def credit(
    books: Books,
    key: AccountKey,
    amount: Decimal,
    *,
    now: datetime,
    origin: Origin,
    bucket: Bucket = Bucket.AVAILABLE,
    expires_at: When | None = None,
    matures_at: When | None = None,
) -> CreditResult:
    """Credit AVAILABLE or HELD, or DEFERRED with a future `matures_at`; settles provisional lots of the origin's reference.

    Refused: AssetArchived, MaxTransactionAmountExceeded, InsufficientWallet, BalanceOutOfRange.
    """
    asset = books.live_asset(key.asset_id)
    source = source_of(books, asset, origin.program_id)
    account = ready(books, key, now, source)
    moment = books.time_after(now, account, source)
    expires, matures = resolve(expires_at, moment), resolve(matures_at, moment)
    is_deferred = bucket is Bucket.AVAILABLE and matures is not None and matures > moment
    arrival = Bucket.DEFERRED if is_deferred else bucket
    provisional = Pick(ZERO)
    if asset.is_lot and bucket is Bucket.AVAILABLE and origin.reference_id is not None:
        provisional = pick_provisional(books, account, origin)
    _require_allowed(asset, account, source, amount, arrival, provisional.amount)
    write = _write_settle if provisional.amount else _write_credit
    overdraft = overdraft_of(account) if arrival is Bucket.AVAILABLE else ZERO
    draft = _NewLot(books.new_id(), arrival, amount, min(overdraft, amount), expires, matures)
    result = write(books, account, asset, source, draft, provisional, moment, origin)
    post_due(books, key, result.entry.created_at)
    return result


@dataclass(frozen=True, slots=True)
class _NewLot:
    """The credited value: where it goes, and how much of it fills an overdraft."""

    id: UUID
    bucket: Bucket
    amount: Decimal
    filled: Decimal
    expires_at: datetime | None
    matures_at: datetime | None

    def move(self) -> LotMove:
        return LotMove(self.id, self.amount, self.bucket, self.expires_at)


def _require_allowed(
    asset: AssetTerms, account: Account, source: Wallet | EntityType, amount: Decimal, arrival: Bucket, held: Decimal
) -> None:
    require_within_maximum(asset, amount)
    drawn = subtract(amount, held)
    require_cover(asset, source, drawn)
    if arrival is Bucket.AVAILABLE:
        require_room(asset, account, amount, available=amount, other=negate(held))
    else:
        require_room(asset, account, amount, other=drawn)
    require_wallet_room(asset, source, negate(drawn), amount)


def _write_credit(
    books: Books,
    account: Account,
    asset: AssetTerms,
    source: Wallet | EntityType,
    draft: _NewLot,
    _: Pick,
    moment: datetime,
    origin: Origin,
) -> CreditResult:
    lines = [(source, Bucket.AVAILABLE, negate(draft.amount)), (account, draft.bucket, draft.amount)]
    lots = (draft.move(),) if asset.is_lot else ()
    entry = books.post(ActionType.CREDIT, asset, lines, now=moment, origin=origin, lots=lots)
    hold_id = None
    if draft.bucket is Bucket.HELD:
        hold_id = books.new_id()
        kind = HoldKind.PROVISIONAL if asset.is_lot else HoldKind.MOVED
        hold = Hold(hold_id, origin.program_id, kind, draft.amount, draft.amount, moment, entry.id, origin.reference_id)
        books.open_hold(account, hold)
    lot = _add_lot(books, account, draft, entry, hold_id) if asset.is_lot else None
    return CreditResult(entry, draft.bucket, lot)


def _write_settle(
    books: Books,
    account: Account,
    asset: AssetTerms,
    source: Wallet | EntityType,
    draft: _NewLot,
    provisional: Pick,
    moment: datetime,
    origin: Origin,
) -> CreditResult:
    held = provisional.amount
    draws = draw(provisional.lots, held)
    lines = [
        (account, Bucket.HELD, negate(held)),
        (account, draft.bucket, draft.amount),
        (source, Bucket.AVAILABLE, subtract(held, draft.amount)),
    ]
    lots = (*moves_of(draws, Bucket.HELD), draft.move())
    entry = books.post(ActionType.SETTLE, asset, lines, now=moment, origin=origin, lots=lots)
    consume(books, account, draws)
    lot = _add_lot(books, account, draft, entry, None)
    return CreditResult(entry, draft.bucket, lot, Settle(held, subtract(draft.amount, held)))


def _add_lot(books: Books, account: Account, draft: _NewLot, entry: Entry, hold_id: UUID | None) -> Lot:
    remaining = subtract(draft.amount, draft.filled)
    lot = Lot(
        id=draft.id,
        program_id=entry.origin.program_id,
        amount=draft.amount,
        remaining=remaining,
        status=LOT_STATUS_OF[draft.bucket] if remaining else LotStatus.CONSUMED,
        created_at=entry.created_at,
        entry_id=entry.id,
        expires_at=draft.expires_at,
        matures_at=draft.matures_at,
        reference_id=entry.origin.reference_id if hold_id is not None else None,
        hold_id=hold_id,
    )
    books.add_lot(account, lot)
    return lot
