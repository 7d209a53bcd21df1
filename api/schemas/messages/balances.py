"""The data of `balance.*` (webhooks.md 5.1-5.5, 5.13)."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import Field

from api.schemas.messages.parts import Amount, Buckets, MessageModel, Moment, Party, Signed, only
from domain.ledger.accounts import Bucket
from domain.ledger.entries import ActionType


class TouchedLot(MessageModel):
    id: UUID
    amount: Amount


class BalanceMessage(Party):
    """What one journal entry did to one holder."""

    program_id: Annotated[UUID, Field(description="Program of the entry")]
    asset_id: UUID
    asset_symbol: str
    amount: Annotated[Amount, Field(description="What moved, positive")]
    balance: Annotated[Buckets, Field(description="After this very entry")]
    action_type: Annotated[ActionType, Field(description="Of the journal entry")]
    journal_entry_id: UUID
    description: str
    reference_id: str = only("When the entry has one")
    event_id: Annotated[UUID | None, Field(description="When a rule made it")]
    rule_id: Annotated[UUID | None, Field(description="When a rule made it")]
    created_by_api_key_id: Annotated[UUID | None, Field(description="When an API call made it")]
    occurred_at: Annotated[Moment, Field(description="`created_at` of the entry")]


_LOTS = "On LOT assets: each lot created, consumed or moved, at most 100"


class Settled(MessageModel):
    held_amount: Annotated[Amount, Field(description="What was provisional")]
    delta: Annotated[Signed, Field(description="Settled minus held")]


class BalanceCredited(BalanceMessage):
    """Value came in: by CREDIT, SETTLE, REDEMPTION_REVERSAL, or REDEMPTION where the holder is the redemption target."""

    lots: list[TouchedLot] = only(_LOTS)
    bucket: Annotated[Bucket, Field(description="Where it arrived")]
    expires_at: Moment | None = only("On LOT assets with CREDIT or SETTLE: of the new lot")
    matures_at: Moment | None = only("On LOT assets with CREDIT or SETTLE: of the new lot")
    settle: Settled = only("With SETTLE; `amount` is the settled amount")
    redemption_id: UUID = only("With REDEMPTION and REDEMPTION_REVERSAL")
    reversal_id: UUID = only("With REDEMPTION_REVERSAL")


class BalanceDebited(BalanceMessage):
    """Value went out: by DEBIT, FORFEIT, VOID_HOLD, or REDEMPTION_REVERSAL where the holder was the redemption target."""

    lots: list[TouchedLot] = only(_LOTS)
    bucket: Annotated[Bucket, Field(description="Where it was taken")]
    overdraft: Annotated[Amount, Field(description="The part that took AVAILABLE below zero")]
    redemption_id: UUID = only("With REDEMPTION_REVERSAL")
    reversal_id: UUID = only("With REDEMPTION_REVERSAL")


class BalanceHeld(BalanceMessage):
    """Value was reserved: AVAILABLE to HELD."""

    lots: list[TouchedLot] = only(_LOTS)
    from_bucket: Bucket
    to_bucket: Bucket
    hold_expires_at: Annotated[Moment | None, Field(description="When the hold ends by itself")]


class ReleasedBy(StrEnum):
    API = "API"
    RULE = "RULE"
    DEADLINE = "DEADLINE"


class BalanceReleased(BalanceMessage):
    """Reserved value is free again: HELD to AVAILABLE, by the API, a rule or the hold's deadline."""

    lots: list[TouchedLot] = only(_LOTS)
    from_bucket: Bucket
    to_bucket: Bucket
    released_by: ReleasedBy


class ExpiredLot(TouchedLot):
    bucket: Bucket
    expires_at: Moment


class BalanceExpired(BalanceMessage):
    """Lots of one holder, asset and program expired; `amount` is their total."""

    lots: Annotated[list[ExpiredLot], Field(description="At most 100")]
    lot_count: Annotated[int, Field(description="All of them")]


class ExpiringLot(TouchedLot):
    amount: Annotated[Amount, Field(description="What it still has")]
    expires_at: Moment


class BalanceExpiring(Party):
    """Lots of one holder, asset and program will expire, all on one UTC day, `notice_days` days ahead or less.

    Sent at 00:00 UTC, once for each lot, for what is AVAILABLE or DEFERRED then. It moves nothing and promises nothing: lots are
    spent first in, first out, and may be gone before they expire.
    """

    program_id: Annotated[UUID, Field(description="Of the lots")]
    asset_id: UUID
    asset_symbol: str
    amount: Annotated[Amount, Field(description="What all of these lots still have")]
    expires_at: Annotated[Moment, Field(description="The earliest of the lots announced")]
    notice_days: Annotated[int, Field(description="`expiry_notice_days` of the asset")]
    lots: Annotated[list[ExpiringLot], Field(description="By `expires_at`, at most 100")]
    lot_count: Annotated[int, Field(description="All of them")]
    balance: Annotated[Buckets, Field(description="At that moment")]
    occurred_at: Annotated[Moment, Field(description="When it was recorded")]
