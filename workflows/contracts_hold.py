"""What both sides of Temporal agree on about holds. Pure data, importable from anywhere."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import BaseModel

HOLD_WORKFLOW = "HoldWorkflow"


def hold_workflow_id(hold_id: UUID) -> str:
    """`hold/0190...`: one workflow per hold with a deadline that was made through the API."""
    return f"hold/{hold_id}"


class HoldSignal(StrEnum):
    """What an operation did to a hold: the signal it sends to the hold's workflow."""

    RELEASED = "released"
    FORFEITED = "forfeited"
    VOIDED = "voided"
    SETTLED = "settled"
    DEBITED = "debited"


class HoldState(StrEnum):
    """Where a hold stands; all but OPEN are ends. FROZEN: its asset was archived, so that its deadline does nothing."""

    OPEN = "OPEN"
    EXPIRED = "EXPIRED"
    RELEASED = "RELEASED"
    FORFEITED = "FORFEITED"
    VOIDED = "VOIDED"
    SETTLED = "SETTLED"
    DEBITED = "DEBITED"
    ENDED = "ENDED"
    FROZEN = "FROZEN"


class HoldInput(BaseModel):
    """Start of a hold's workflow: ids only."""

    hold_id: UUID
    organization_id: UUID
    program_id: UUID


class HoldReport(BaseModel):
    """What one call of `attend_hold` found after posting what was due. Amounts are text at the asset's scale."""

    state: HoldState
    amount: str
    remaining: str
    symbol: str
    reference_id: str | None = None
    expires_at: datetime | None = None
    deadline_in_seconds: float | None = None


class HoldStatus(BaseModel):
    """Answer of a hold's `status` query, and the result of its workflow."""

    hold_id: UUID
    state: HoldState
    hold: HoldReport | None = None
