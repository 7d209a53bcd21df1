"""What both sides of Temporal agree on about fulfilments. Pure data, importable from anywhere."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import BaseModel

FULFILLMENT_WORKFLOW = "FulfillmentWorkflow"
ATTEND_FULFILLMENT = "attend_fulfillment"
ATTEMPT_FULFILLMENT = "attempt_fulfillment"


def fulfillment_workflow_id(redemption_id: UUID) -> str:
    """`fulfillment/0190...`: one workflow per redemption that has to be handed over."""
    return f"fulfillment/{redemption_id}"


class FulfillmentSignal(StrEnum):
    """What a request did to a fulfilment: the signal it sends to its workflow."""

    REPORTED = "reported"
    CANCELLED = "cancelled"


class FulfillmentState(StrEnum):
    """Where a fulfilment stands; all but PENDING are ends. CANCELLED: FAILED, because the redemption was reversed."""

    PENDING = "PENDING"
    FULFILLED = "FULFILLED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class FulfillmentInput(BaseModel):
    """Start of a fulfilment's workflow: ids only."""

    redemption_id: UUID
    organization_id: UUID
    program_id: UUID


class FulfillmentReport(BaseModel):
    """What one call of `attend_fulfillment` found after carrying out a deadline that has passed.

    `attempt_in_seconds`: until the webhook may be asked again; None when it won't be. What it answered isn't told here.
    """

    state: FulfillmentState
    participant_id: UUID
    amount: str
    quantity: int | None = None
    ledger_status: str
    expires_at: datetime | None = None
    deadline_in_seconds: float | None = None
    attempt_count: int = 0
    attempt_in_seconds: float | None = None
    next_attempt_at: datetime | None = None
    last_response_status: int | None = None
    last_error: str | None = None


class AttemptReport(BaseModel):
    """What one call of `attempt_fulfillment` did: nothing without a `number`; without an `outcome` its answer came too late."""

    number: int | None = None
    outcome: str | None = None
    response_status: int | None = None
    error: str | None = None


class FulfillmentFlowStatus(BaseModel):
    """Answer of a fulfilment's `status` query, and the result of its workflow."""

    redemption_id: UUID
    state: FulfillmentState
    last: FulfillmentReport | None = None
    attempt: AttemptReport | None = None
