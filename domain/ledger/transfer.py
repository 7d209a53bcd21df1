"""TRANSFER: existing value moves from one holder to others, in one entry (ledger.md, Entries by action type)."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from domain.ledger.accounts import Account, AccountKey, Bucket, Lot, LotStatus, add, negate, subtract, total
from domain.ledger.books import Books, Line
from domain.ledger.checks import insufficient, require_room, require_within_maximum
from domain.ledger.due import ready_all
from domain.ledger.entries import ActionType, Entry, LotMove, Origin
from domain.ledger.lots import consume, draw, moves_of, overdraft_of, pick
from domain.money import ZERO


class Leg(NamedTuple):
    """What one recipient gets; the same account may occur in several legs, but never the source's."""

    key: AccountKey
    amount: Decimal


class Arrival(NamedTuple):
    """A leg's new lot, and how much of it fills an overdraft."""

    lot_id: UUID
    account: Account
    amount: Decimal
    filled: Decimal


def transfer(books: Books, source: AccountKey, legs: Sequence[Leg], *, now: datetime, origin: Origin) -> Entry:
    """Take the sum of the legs from the source's AVAILABLE, FIFO, and credit each leg; on LOT assets as a lot without dates.

    Refused: AssetArchived, MaxTransactionAmountExceeded, InsufficientBalance, BalanceOutOfRange (a recipient).
    """
    asset = books.live_asset(source.asset_id)
    moment = ready_all(books, [source, *(leg.key for leg in legs)], now)
    account = books.account(source)
    amount = total(leg.amount for leg in legs)
    # Legs are positive: where the total is within the ceiling, each of them is.
    require_within_maximum(asset, amount)
    chosen = pick(books, account, asset, Bucket.AVAILABLE)
    if amount > chosen.amount:
        raise insufficient(asset, Bucket.AVAILABLE, chosen.amount, amount)
    for key, arriving in _by_recipient(legs).items():
        require_room(asset, books.account(key), arriving, available=arriving)
    draws = draw(chosen.lots, amount)
    arrivals = arrivals_of(books, legs)
    lines: list[Line] = [(account, Bucket.AVAILABLE, negate(amount))]
    lines += [(arrival.account, Bucket.AVAILABLE, arrival.amount) for arrival in arrivals]
    moves = moves_of(draws, Bucket.AVAILABLE)
    if asset.is_lot:
        moves += tuple(LotMove(arrival.lot_id, arrival.amount, Bucket.AVAILABLE, None) for arrival in arrivals)
    entry = books.post(ActionType.TRANSFER, asset, lines, now=moment, origin=origin, lots=moves)
    consume(books, account, draws)
    if asset.is_lot:
        for arrival in arrivals:
            books.add_lot(arrival.account, lot_of(arrival, entry))
    return entry


def _by_recipient(legs: Iterable[Leg]) -> dict[AccountKey, Decimal]:
    sums: dict[AccountKey, Decimal] = {}
    for key, amount in legs:
        sums[key] = add(sums.get(key, ZERO), amount)
    return sums


def arrivals_of(books: Books, legs: Iterable[Leg]) -> list[Arrival]:
    """What each leg brings; legs to one account fill its overdraft in turn."""
    overdrafts: dict[AccountKey, Decimal] = {}
    found = []
    for key, amount in legs:
        account = books.account(key)
        overdraft = overdrafts.setdefault(key, overdraft_of(account))
        filled = min(overdraft, amount)
        overdrafts[key] = subtract(overdraft, filled)
        found.append(Arrival(books.new_id(), account, amount, filled))
    return found


def lot_of(arrival: Arrival, entry: Entry) -> Lot:
    """The lot without dates that an arrival is."""
    remaining = subtract(arrival.amount, arrival.filled)
    return Lot(
        id=arrival.lot_id,
        program_id=entry.origin.program_id,
        amount=arrival.amount,
        remaining=remaining,
        status=LotStatus.AVAILABLE if remaining else LotStatus.CONSUMED,
        created_at=entry.created_at,
        entry_id=entry.id,
    )
