"""What is taken from a bucket, and what becomes of the lots and hold records it is taken from (ledger.md, Lots, Holds)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from domain.ledger.accounts import (
    LOT_STATUS_OF,
    Account,
    AssetTerms,
    Bucket,
    Hold,
    HoldKind,
    Lot,
    LotStatus,
    subtract,
    total,
)
from domain.ledger.books import Books
from domain.ledger.entries import ActionType, Entry, LotMove, Origin
from domain.money import ZERO


@dataclass(frozen=True, slots=True)
class Selection:
    """Filters among the lots of a bucket; all that are given must hold. The range is inclusive."""

    lot_ids: frozenset[UUID] | None = None
    earned_from: datetime | None = None
    earned_to: datetime | None = None

    def admits(self, lot: Lot) -> bool:
        """Whether the lot satisfies every filter."""
        return (
            (self.lot_ids is None or lot.id in self.lot_ids)
            and (self.earned_from is None or lot.created_at >= self.earned_from)
            and (self.earned_to is None or lot.created_at <= self.earned_to)
        )


EVERYTHING = Selection()


class Draw(NamedTuple):
    """A part of a lot to be taken; `moved_id` is the lot's own id unless moving the part splits it."""

    lot: Lot
    part: Decimal
    moved_id: UUID


@dataclass(slots=True)
class Pick:
    """What a selection matches in one bucket: its amount, and the lots (LOT) or hold records (SIMPLE, HELD) it lies in."""

    amount: Decimal
    lots: Iterable[Lot] = ()
    holds: Sequence[Hold] = ()


def pick(books: Books, account: Account, asset: AssetTerms, bucket: Bucket, selection: Selection = EVERYTHING) -> Pick:
    """Everything of a bucket that the selection matches; MissingLots when that takes lots or hold records to know."""
    balance = max(account.bucket(bucket), ZERO)
    if not balance:
        return Pick(ZERO)
    if not asset.is_lot:
        if bucket is Bucket.AVAILABLE:
            return Pick(balance)
        return Pick(balance, holds=tuple(books.account_with_lots(account.key).holds.values()))
    lots = books.account_with_lots(account.key).open_lots(LOT_STATUS_OF[bucket])
    if selection is EVERYTHING:
        return Pick(balance, lots)
    return pick_lots(lot for lot in lots if selection.admits(lot))


def pick_lots(lots: Iterable[Lot]) -> Pick:
    """All of these lots."""
    chosen = list(lots)
    return Pick(total(lot.remaining for lot in chosen), chosen)


def pick_reference(books: Books, account: Account, asset: AssetTerms, origin: Origin, selection: Selection = EVERYTHING) -> Pick:
    """What is HELD under the origin's reference in its program."""
    if not account.held:
        return Pick(ZERO)
    books.account_with_lots(account.key)
    named = (origin.reference_id, origin.program_id)
    holds = [hold for hold in account.holds.values() if (hold.reference_id, hold.program_id) == named]
    if not asset.is_lot:
        return Pick(total(hold.remaining for hold in holds), holds=holds)
    chosen = {hold.id for hold in holds}
    return pick_lots(lot for lot in account.open_lots(LotStatus.HELD) if lot.hold_id in chosen and selection.admits(lot))


def pick_provisional(books: Books, account: Account, origin: Origin) -> Pick:
    """The provisional lots under the origin's reference in its program."""
    if not account.held:
        return Pick(ZERO)
    books.account_with_lots(account.key)
    chosen = {
        hold.id
        for hold in account.holds.values()
        if hold.kind is HoldKind.PROVISIONAL and (hold.reference_id, hold.program_id) == (origin.reference_id, origin.program_id)
    }
    return pick_lots(lot for lot in account.open_lots(LotStatus.HELD) if lot.hold_id in chosen)


def draw(lots: Iterable[Lot], amount: Decimal, new_id: Callable[[], UUID] | None = None) -> list[Draw]:
    """Take the amount from the lots in their order, each used up before the next; with `new_id` a part gets an id of its own."""
    draws: list[Draw] = []
    for lot in lots:
        if not amount:
            break
        part = min(lot.remaining, amount)
        amount = subtract(amount, part)
        is_split = new_id is not None and part < lot.remaining
        draws.append(Draw(lot, part, new_id() if new_id is not None and is_split else lot.id))
    return draws


def moves_of(draws: Iterable[Draw], bucket: Bucket) -> tuple[LotMove, ...]:
    """The draws as an entry names them."""
    return tuple(LotMove(moved_id, part, bucket, lot.expires_at) for lot, part, moved_id in draws)


def consume(books: Books, account: Account, draws: Iterable[Draw]) -> None:
    """Use the drawn parts up, and lower the hold records they lay in."""
    for lot, part, _ in draws:
        left = subtract(lot.remaining, part)
        spent = replace(lot, remaining=left) if left else replace(lot, remaining=ZERO, status=LotStatus.CONSUMED, hold_id=None)
        books.save_lot(account, lot, spent)
        lower_hold(books, account, lot.hold_id, part)


def shift(
    books: Books, account: Account, draws: Iterable[Draw], status: LotStatus, entry: Entry, hold: Hold | None = None
) -> list[Lot]:
    """Move the drawn parts to another status, splitting lots that move in part; the moved lots, in order."""
    return [_shift_one(books, account, taken, status, entry, hold) for taken in draws]


def _shift_one(books: Books, account: Account, taken: Draw, status: LotStatus, entry: Entry, hold: Hold | None) -> Lot:
    lot, part, moved_id = taken
    reference = lot.reference_id if hold is None else hold.reference_id
    hold_id = None if hold is None else hold.id
    moved = replace(lot, status=status, hold_id=hold_id, reference_id=reference)
    if moved_id == lot.id:
        books.save_lot(account, lot, moved)
    else:
        rest = replace(lot, amount=subtract(lot.amount, part), remaining=subtract(lot.remaining, part))
        moved = replace(moved, id=moved_id, amount=part, remaining=part, parent_lot_id=lot.id, entry_id=entry.id)
        books.save_lot(account, lot, rest)
        books.add_lot(account, moved)
    lower_hold(books, account, lot.hold_id, part)
    return moved


def lower_hold(books: Books, account: Account, hold_id: UUID | None, part: Decimal) -> None:
    """Take a part from a hold record, if there is one."""
    if hold_id is not None:
        hold = account.holds[hold_id]
        books.save_hold(account, replace(hold, remaining=subtract(hold.remaining, part)))


def lower_holds(books: Books, account: Account, holds: Iterable[Hold], amount: Decimal) -> None:
    """Take the amount from hold records, oldest first."""
    for hold in holds:
        if not amount:
            return
        part = min(hold.remaining, amount)
        amount = subtract(amount, part)
        lower_hold(books, account, hold.id, part)


def arrive(books: Books, account: Account, lots: Iterable[Lot], overdraft: Decimal) -> None:
    """Let lots that came into AVAILABLE fill the overdraft that was there before them."""
    consume(books, account, draw(lots, overdraft))


def overdraft_of(account: Account) -> Decimal:
    """How far AVAILABLE is below zero; zero when it isn't."""
    return max(account.available.copy_negate(), ZERO)


def release_pick(
    books: Books, account: Account, asset: AssetTerms, chosen: Pick, size: Decimal, *, now: datetime, origin: Origin
) -> Entry:
    """RELEASE: HELD -> AVAILABLE for `size` of what was picked."""
    overdraft = overdraft_of(account)
    draws = draw(chosen.lots, size, books.new_id)
    lines = [(account, Bucket.HELD, size.copy_negate()), (account, Bucket.AVAILABLE, size)]
    entry = books.post(ActionType.RELEASE, asset, lines, now=now, origin=origin, lots=moves_of(draws, Bucket.HELD))
    if asset.is_lot:
        arrive(books, account, shift(books, account, draws, LotStatus.AVAILABLE, entry), overdraft)
    else:
        lower_holds(books, account, chosen.holds, size)
    return entry
