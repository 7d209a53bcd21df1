"""What both sides of Temporal agree on about redemptions and reversals. Pure data, importable from anywhere."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

from pydantic import BaseModel, Field

REDEMPTION_WORKFLOW = "RedemptionWorkflow"
REVERSAL_WORKFLOW = "RedemptionReversalWorkflow"


def redemption_workflow_id(program_id: UUID, redemption_id: UUID, key: str | None) -> str:
    """`redemption/...`: with an idempotency key one id for all requests that carry it, else the redemption's own."""
    return f"redemption/{redemption_id if key is None else uuid5(program_id, key)}"


def reversal_workflow_id(redemption_id: UUID) -> str:
    """`redemption-reversal/0190...`: one for a redemption at a time."""
    return f"redemption-reversal/{redemption_id}"


class RedemptionState(StrEnum):
    """Where a redemption or reversal under way stands; REFUSED leaves nothing behind."""

    PENDING = "PENDING"
    COMPLETED = "COMPLETED"
    REFUSED = "REFUSED"


class RedemptionInput(BaseModel):
    """Start of a redemption: what was asked for, and until when it may be done, by the database's own clock.

    An amount of an asset; or a reward of the catalog, by `quantity` or `amount`, then without `asset_id`.
    """

    redemption_id: UUID
    organization_id: UUID
    api_key_id: UUID
    program_id: UUID
    participant_id: UUID
    asset_id: UUID | None = None
    amount: Decimal | None = None
    description: str | None = None
    reward_id: UUID | None = None
    quantity: int | None = None
    idempotency_key: str | None = None
    fingerprint: str
    valid_until: datetime


class ReversalInput(BaseModel):
    """Start of a reversal, as above; neither amount nor quantity means everything that is left."""

    reversal_id: UUID
    redemption_id: UUID
    organization_id: UUID
    api_key_id: UUID
    program_id: UUID
    reason: str
    amount: Decimal | None = None
    quantity: int | None = None
    idempotency_key: str | None = None
    fingerprint: str
    valid_until: datetime


class LotLine(BaseModel):
    """What a lot gave or got back."""

    lot_id: UUID
    amount: str


class RedemptionResult(BaseModel):
    """What was done: `answer` is the response to the request, of plain texts; `lots` are the first ones of `lot_count`.

    `redemption` is there for reversals: the redemption as it is then.
    """

    answer: dict[str, Any]
    is_replay: bool = False
    symbol: str = ""
    lots: list[LotLine] = Field(default_factory=list)
    lot_count: int = 0
    redemption: dict[str, Any] | None = None


class RedemptionStatus(BaseModel):
    """Answer of the `status` query of a redemption or reversal."""

    state: RedemptionState
    refusal: str | None = None
    result: RedemptionResult | None = None
