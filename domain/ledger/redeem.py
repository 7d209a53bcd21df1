"""REDEMPTION and REDEMPTION_REVERSAL (ledger.md, Redemption targets and reversals)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from domain.ledger.accounts import (
    Account,
    AccountKey,
    AssetTerms,
    Bucket,
    EntityType,
    Lot,
    LotStatus,
    OutsideAccount,
    add,
    fifo_key,
    negate,
    subtract,
)
from domain.ledger.books import Books, Line, Owner
from domain.ledger.checks import insufficient, require_room, require_within_maximum
from domain.ledger.due import post_due, ready_all
from domain.ledger.entries import ActionType, Entry, LotMove, Origin
from domain.ledger.lots import arrive, consume, draw, moves_of, overdraft_of, pick
from domain.ledger.transfer import Leg, arrivals_of, lot_of

# Where redeemed value goes: a holder's account, a SYSTEM account, or an outside account.
Target = AccountKey | EntityType | OutsideAccount


class LotPart(NamedTuple):
    """What a lot gave to a redemption, or got back by a reversal."""

    lot_id: UUID
    amount: Decimal


class Owed(NamedTuple):
    """A lot that a redemption consumed, and how much of it wasn't given back yet."""

    lot: Lot
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Redeemed:
    """The entry, and on LOT assets what each lot gave, in the order of consumption."""

    entry: Entry
    taken: tuple[LotPart, ...] = ()


@dataclass(frozen=True, slots=True)
class Reversed:
    """The entry, and on LOT assets what each consumed lot got back, in the order of restoration."""

    entry: Entry
    restored: tuple[LotPart, ...] = ()


class _Restoration(NamedTuple):
    """A part that returns to its lot; `id` is another one when the lot is HELD and the part becomes a lot of its own."""

    lot: Lot
    part: Decimal
    id: UUID


def require_redeemable(asset: AssetTerms, account: Account, target: Account | None, amount: Decimal) -> None:
    """What the amounts allow, for accounts with nothing due; `target` when it is a holder.

    MaxTransactionAmountExceeded, InsufficientBalance, BalanceOutOfRange.
    """
    require_within_maximum(asset, amount)
    if amount > account.available:
        raise insufficient(asset, Bucket.AVAILABLE, account.available, amount)
    if target is not None:
        require_room(asset, target, amount, available=amount)


def require_returnable(asset: AssetTerms, account: Account, target: Account | None, amount: Decimal) -> None:
    """The same for a reversal: BalanceOutOfRange."""
    require_room(asset, account, amount, available=amount)
    if target is not None:
        require_room(asset, target, amount, available=negate(amount))


def redeem(books: Books, key: AccountKey, amount: Decimal, target: Target, *, now: datetime, origin: Origin) -> Redeemed:
    """Spend the amount from AVAILABLE, FIFO; in a target that is a holder it arrives, on LOT assets as a lot without dates.

    Refused: AssetArchived, MaxTransactionAmountExceeded, InsufficientBalance, BalanceOutOfRange (the target).
    """
    asset = books.live_asset(key.asset_id)
    moment = ready_all(books, _holders(key, target), now)
    account, sink = books.account(key), _owner(books, target)
    require_redeemable(asset, account, sink if isinstance(sink, Account) else None, amount)
    draws = draw(pick(books, account, asset, Bucket.AVAILABLE).lots, amount)
    arrivals = arrivals_of(books, [Leg(target, amount)]) if asset.is_lot and isinstance(target, AccountKey) else []
    moves = moves_of(draws, Bucket.AVAILABLE)
    moves += tuple(LotMove(arrival.lot_id, arrival.amount, Bucket.AVAILABLE, None) for arrival in arrivals)
    lines: list[Line] = [(account, Bucket.AVAILABLE, negate(amount)), (sink, Bucket.AVAILABLE, amount)]
    entry = books.post(ActionType.REDEMPTION, asset, lines, now=moment, origin=origin, lots=moves)
    consume(books, account, draws)
    for arrival in arrivals:
        books.add_lot(arrival.account, lot_of(arrival, entry))
    return Redeemed(entry, tuple(LotPart(taken.lot.id, taken.part) for taken in draws))


def reverse(
    books: Books, key: AccountKey, amount: Decimal, target: Target, owed: Sequence[Owed], *, now: datetime, origin: Origin
) -> Reversed:
    """Take the amount back from the target, into overdraft if need be, and restore the consumed lots, LIFO, with their dates.

    `owed` is what the redemption's lots are still owed, in the order of consumption; empty on SIMPLE assets. Restored value
    fills an overdraft first; what has expired meanwhile expires at once. Refused: AssetArchived, BalanceOutOfRange.
    """
    asset = books.live_asset(key.asset_id)
    moment = ready_all(books, _holders(key, target), now)
    account, source = books.account(key), _owner(books, target)
    require_returnable(asset, account, source if isinstance(source, Account) else None, amount)
    overdraft = overdraft_of(account)
    back = list(_backwards(books, books.account_with_lots(key), owed, amount)) if asset.is_lot else []
    draws = []
    if isinstance(source, Account):
        chosen = pick(books, source, asset, Bucket.AVAILABLE)
        draws = draw(chosen.lots, min(amount, chosen.amount))
    moves = moves_of(draws, Bucket.AVAILABLE)
    moves += tuple(LotMove(item.id, item.part, Bucket.AVAILABLE, item.lot.expires_at) for item in back)
    lines: list[Line] = [(source, Bucket.AVAILABLE, negate(amount)), (account, Bucket.AVAILABLE, amount)]
    entry = books.post(ActionType.REDEMPTION_REVERSAL, asset, lines, now=moment, origin=origin, lots=moves)
    if isinstance(source, Account):
        consume(books, source, draws)
    restored = [_restore(books, account, item, entry) for item in back]
    arrive(books, account, sorted(restored, key=fifo_key), overdraft)
    post_due(books, key, entry.created_at)
    return Reversed(entry, tuple(LotPart(item.lot.id, item.part) for item in back))


def _holders(key: AccountKey, target: Target) -> list[AccountKey]:
    return [key, target] if isinstance(target, AccountKey) else [key]


def _owner(books: Books, target: Target) -> Owner:
    return books.account(target) if isinstance(target, AccountKey) else target


def _backwards(books: Books, account: Account, owed: Iterable[Owed], amount: Decimal) -> Iterator[_Restoration]:
    """The last consumed lot first, each at most what it is owed."""
    for loaded, most in reversed(list(owed)):
        part = min(most, amount)
        if part:
            amount = subtract(amount, part)
            lot = books.current(account, loaded)
            yield _Restoration(lot, part, books.new_id() if lot.status is LotStatus.HELD else lot.id)
    if amount:
        raise ValueError("a redemption's lots aren't owed what is left of it")


def _restore(books: Books, account: Account, item: _Restoration, entry: Entry) -> Lot:
    lot, part, _ = item
    if lot.status is not LotStatus.HELD:
        restored = replace(lot, remaining=add(lot.remaining, part), status=LotStatus.AVAILABLE, hold_id=None)
        books.save_lot(account, lot, restored)
        return restored
    books.save_lot(account, lot, replace(lot, amount=subtract(lot.amount, part)))
    restored = replace(
        lot,
        id=item.id,
        amount=part,
        remaining=part,
        status=LotStatus.AVAILABLE,
        entry_id=entry.id,
        reference_id=None,
        parent_lot_id=lot.id,
        hold_id=None,
    )
    books.add_lot(account, restored)
    return restored
