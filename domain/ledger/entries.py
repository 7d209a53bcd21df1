"""Journal entries and postings: immutable, and balanced or not there at all (ledger.md, Model)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from domain.ledger.accounts import AccountKey, Balance, Bucket, EntityType, add
from domain.money import ZERO


class ActionType(StrEnum):
    CREDIT = "CREDIT"
    DEBIT = "DEBIT"
    HOLD = "HOLD"
    RELEASE = "RELEASE"
    FORFEIT = "FORFEIT"
    VOID_HOLD = "VOID_HOLD"
    SETTLE = "SETTLE"
    MATURITY = "MATURITY"
    EXPIRY = "EXPIRY"
    REDEMPTION = "REDEMPTION"
    REDEMPTION_REVERSAL = "REDEMPTION_REVERSAL"
    TRANSFER = "TRANSFER"
    FUND = "FUND"
    BURN = "BURN"


class UnbalancedEntry(ValueError):
    """An entry whose postings don't sum to zero per asset, or that has a zero posting. A fault of ours."""


class Posting(NamedTuple):
    """One signed line of an entry; the last three are set for accounts of holders and wallets."""

    id: UUID
    entity_type: EntityType
    entity_id: UUID | None
    asset_id: UUID
    bucket: Bucket
    amount: Decimal
    account_seq: int | None = None
    balance_after: Decimal | None = None
    total_after: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Who makes an entry, and under which program, text and reference."""

    program_id: UUID
    description: str
    event_id: UUID | None = None
    event_timestamp: datetime | None = None
    rule_id: UUID | None = None
    api_key_id: UUID | None = None
    reference_id: str | None = None


class LotMove(NamedTuple):
    """A part of a lot that an entry created, consumed or moved; `bucket` is where it was, or where a new lot arrived."""

    lot_id: UUID
    amount: Decimal
    bucket: Bucket
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A journal entry; `after` has the balances of the holders it touched as it left them, `lots` the lots it touched."""

    id: UUID
    action_type: ActionType
    origin: Origin
    created_at: datetime
    postings: tuple[Posting, ...]
    after: Mapping[AccountKey, Balance] = field(default_factory=dict)
    lots: tuple[LotMove, ...] = ()

    def __post_init__(self) -> None:
        sums: dict[UUID, Decimal] = {}
        for posting in self.postings:
            if not posting.amount:
                raise UnbalancedEntry(f"{self.action_type}: a posting of zero")
            sums[posting.asset_id] = add(sums.get(posting.asset_id, ZERO), posting.amount)
        if not sums or any(sums.values()):
            raise UnbalancedEntry(f"{self.action_type}: the postings don't sum to zero")
