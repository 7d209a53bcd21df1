"""Accounts, lots and hold records: what a holder or a wallet has (ledger.md, Accounts, Lots, Holds)."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from domain.money import CONTEXT, ZERO

NIL = UUID(int=0)

# Operators and sum() would round to the ambient context, whose default is 28 digits; balances may have 38.
add = CONTEXT.add
subtract = CONTEXT.subtract
negate = Decimal.copy_negate


def total(amounts: Iterable[Decimal]) -> Decimal:
    """The exact sum."""
    result = ZERO
    for amount in amounts:
        result = add(result, amount)
    return result


class Bucket(StrEnum):
    AVAILABLE = "AVAILABLE"
    HELD = "HELD"
    DEFERRED = "DEFERRED"


class EntityType(StrEnum):
    PARTICIPANT = "PARTICIPANT"
    GROUP = "GROUP"
    PROGRAM = "PROGRAM"
    SYSTEM_ISSUANCE = "SYSTEM_ISSUANCE"
    SYSTEM_BREAKAGE = "SYSTEM_BREAKAGE"
    SYSTEM_REDEMPTION = "SYSTEM_REDEMPTION"
    LEDGER_ENTITY = "LEDGER_ENTITY"


class LotStatus(StrEnum):
    DEFERRED = "DEFERRED"
    AVAILABLE = "AVAILABLE"
    HELD = "HELD"
    CONSUMED = "CONSUMED"
    EXPIRED = "EXPIRED"


class HoldKind(StrEnum):
    MOVED = "MOVED"
    PROVISIONAL = "PROVISIONAL"


LOT_STATUS_OF = {Bucket.AVAILABLE: LotStatus.AVAILABLE, Bucket.HELD: LotStatus.HELD, Bucket.DEFERRED: LotStatus.DEFERRED}


@dataclass(frozen=True, slots=True)
class AssetTerms:
    """The part of an asset that decides how the ledger behaves; its organization owns every row written for it."""

    id: UUID
    symbol: str
    scale: int
    is_lot: bool
    is_prefunded: bool
    max_transaction_amount: Decimal | None = None
    is_archived: bool = False
    organization_id: UUID = NIL


@dataclass(frozen=True, slots=True)
class AccountKey:
    """One holder's account of one asset: `program_id` is the nil UUID for participants, the pair's program for groups."""

    kind: EntityType
    holder_id: UUID
    asset_id: UUID
    program_id: UUID = NIL
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # looked up many times for each posting, and a UUID's own hash is slow
        object.__setattr__(self, "_hash", hash((self.holder_id.int, self.asset_id.int, self.program_id.int)))

    def __hash__(self) -> int:
        return self._hash


class Balance(NamedTuple):
    """The three buckets of a holder's account."""

    available: Decimal
    held: Decimal
    deferred: Decimal


@dataclass(frozen=True, slots=True)
class Lot:
    """One credit of a LOT asset; `hold_id` names its hold record while it is HELD. Immutable: a change is a new value.

    `is_announced`: its expiry was announced, or that of the lot it was split from before the split.
    """

    id: UUID
    program_id: UUID
    amount: Decimal
    remaining: Decimal
    status: LotStatus
    created_at: datetime
    entry_id: UUID
    expires_at: datetime | None = None
    matures_at: datetime | None = None
    reference_id: str | None = None
    parent_lot_id: UUID | None = None
    hold_id: UUID | None = None
    is_announced: bool = False

    @property
    def due_at(self) -> datetime | None:
        """When it matures or expires next; None while HELD, spent, or without a date."""
        if self.status is LotStatus.DEFERRED:
            return min((at for at in (self.matures_at, self.expires_at) if at is not None), default=None)
        return self.expires_at if self.status is LotStatus.AVAILABLE else None

    def is_expired(self, moment: datetime) -> bool:
        """Whether its expiry date has come."""
        return self.expires_at is not None and self.expires_at <= moment


@dataclass(frozen=True, slots=True)
class Hold:
    """One entry's value in HELD: MOVED there from AVAILABLE, or PROVISIONAL, credited there before settlement."""

    id: UUID
    program_id: UUID
    kind: HoldKind
    amount: Decimal
    remaining: Decimal
    created_at: datetime
    entry_id: UUID
    reference_id: str | None = None
    expires_at: datetime | None = None


def fifo_key(lot: Lot) -> tuple[datetime, UUID]:
    """The order in which lots are used: by creation, ties by id, never by expiry date."""
    return lot.created_at, lot.id


@dataclass(slots=True)
class Account:
    """A holder's account in the working set: balances, and, when `lots_loaded`, all its open lots and hold records.

    Without `lots_loaded` the lots and holds are only those made since it was loaded. `next_due_at` is never later than the
    first due moment; `due_is_stale` says that it may be earlier.
    """

    key: AccountKey
    available: Decimal = ZERO
    held: Decimal = ZERO
    deferred: Decimal = ZERO
    account_seq: int = 0
    last_entry_at: datetime | None = None
    next_due_at: datetime | None = None
    version: int = 0
    lots_loaded: bool = False
    lots: list[Lot] = field(default_factory=list)
    holds: dict[UUID, Hold] = field(default_factory=dict)
    due_is_stale: bool = False

    @property
    def balance(self) -> Balance:
        return Balance(self.available, self.held, self.deferred)

    @property
    def total(self) -> Decimal:
        """The sum of the three buckets."""
        return add(add(self.available, self.held), self.deferred)

    def bucket(self, bucket: Bucket) -> Decimal:
        """The balance of one bucket."""
        if bucket is Bucket.AVAILABLE:
            return self.available
        return self.held if bucket is Bucket.HELD else self.deferred

    def attach(self, lots: Iterable[Lot], holds: Iterable[Hold]) -> None:
        """Take in the open lots and holds of the database beside those made since; does nothing when they are there."""
        if self.lots_loaded:
            return
        self.lots = sorted([*lots, *self.lots], key=fifo_key)
        self.holds = {hold.id: hold for hold in (*holds, *self.holds.values())}
        self.lots_loaded = True

    def open_lots(self, status: LotStatus) -> Iterator[Lot]:
        """The open lots of one status, FIFO."""
        return (lot for lot in self.lots if lot.status is status)

    def clone(self) -> "Account":
        """A copy that later changes of this account don't reach; as cheap as every first touch must be."""
        return Account(
            self.key,
            self.available,
            self.held,
            self.deferred,
            self.account_seq,
            self.last_entry_at,
            self.next_due_at,
            self.version,
            self.lots_loaded,
            self.lots.copy(),
            self.holds.copy(),
            self.due_is_stale,
        )

    def find_open(self, lot: Lot) -> Lot | None:
        """The open lot that has this lot's id, as it is now."""
        index = bisect_left(self.lots, fifo_key(lot), key=fifo_key)
        return self.lots[index] if index < len(self.lots) and self.lots[index].id == lot.id else None

    def place(self, lot: Lot) -> None:
        """Put a lot's new state in: an open one at its place in the order, a spent one out."""
        index = bisect_left(self.lots, fifo_key(lot), key=fifo_key)
        is_there = index < len(self.lots) and self.lots[index].id == lot.id
        if lot.remaining and is_there:
            self.lots[index] = lot
        elif lot.remaining:
            self.lots.insert(index, lot)
        elif is_there:
            del self.lots[index]

    def expect(self, due_at: datetime | None) -> None:
        """Note a new due moment."""
        if due_at is not None and (self.next_due_at is None or due_at < self.next_due_at):
            self.next_due_at = due_at

    def recompute_due(self) -> None:
        """Make `next_due_at` exact again, where the lots are known."""
        if self.due_is_stale and self.lots_loaded:
            moments = [lot.due_at for lot in self.lots]
            moments += [hold.expires_at for hold in self.holds.values()]
            self.next_due_at = min((at for at in moments if at is not None), default=None)
            self.due_is_stale = False


@dataclass(frozen=True, slots=True)
class OutsideAccount:
    """An account of nobody the ledger knows, which a program names as its redemption target."""

    entity_id: UUID


@dataclass(slots=True)
class Wallet:
    """A program's balance of a PREFUNDED asset."""

    program_id: UUID
    asset_id: UUID
    available: Decimal = ZERO
    account_seq: int = 0
    last_entry_at: datetime | None = None
    version: int = 0
