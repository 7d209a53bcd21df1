"""What direct operations on balances are asked for and what they answer (participants-groups.md, Balances)."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from domain.ledger.accounts import AssetTerms, Balance, Bucket
from domain.ledger.credit import Settle, When
from domain.ledger.entries import LotMove
from domain.ledger.lots import EVERYTHING, Selection


class AdjustType(StrEnum):
    CREDIT = "CREDIT"
    DEBIT = "DEBIT"


class Operation(StrEnum):
    HOLD = "HOLD"
    RELEASE = "RELEASE"
    FORFEIT = "FORFEIT"
    VOID_HOLD = "VOID_HOLD"


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A manual credit or debit; its form is checked."""

    program_id: UUID
    asset_id: UUID
    type: AdjustType
    amount: Decimal
    description: str
    bucket: Bucket = Bucket.AVAILABLE
    allow_negative: bool = False
    reference_id: str | None = None
    expires_at: When | None = None
    matures_at: When | None = None


@dataclass(frozen=True, slots=True)
class Movement:
    """A hold, release, forfeit or void; `amount` None means everything that the selection matches."""

    program_id: UUID
    asset_id: UUID
    description: str
    amount: Decimal | None = None
    bucket: Bucket = Bucket.AVAILABLE
    reference_id: str | None = None
    earned_from: datetime | None = None
    earned_to: datetime | None = None
    lot_ids: tuple[UUID, ...] | None = None
    expires_at: When | None = None

    @property
    def lot_filters(self) -> dict[str, object]:
        """The filters that only assets with lots have, as far as they were given."""
        filters = {"earned_from": self.earned_from, "earned_to": self.earned_to, "lot_ids": self.lot_ids}
        return {name: value for name, value in filters.items() if value is not None}

    @property
    def selection(self) -> Selection:
        """The same for the ledger."""
        if not self.lot_filters:
            return EVERYTHING
        chosen = None if self.lot_ids is None else frozenset(self.lot_ids)
        return Selection(chosen, self.earned_from, self.earned_to)


@dataclass(frozen=True, slots=True)
class Adjusted:
    """What an adjustment did; `lowered` names holds with a deadline that it took from."""

    asset: AssetTerms
    amount: Decimal
    bucket: Bucket
    balance: Balance
    journal_entry_id: UUID
    lot_id: UUID | None = None
    settle: Settle | None = None
    lowered: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Moved:
    """What a movement did; `lots` names each lot touched, in order, `expires_at` is the end of a new hold.

    `hold_id` is the new hold, `lowered` names holds with a deadline that it took from.
    """

    operation: Operation
    asset: AssetTerms
    amount: Decimal
    balance: Balance
    journal_entry_id: UUID
    lots: tuple[LotMove, ...]
    expires_at: datetime | None = None
    hold_id: UUID | None = None
    lowered: tuple[UUID, ...] = ()
