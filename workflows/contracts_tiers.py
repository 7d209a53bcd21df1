"""What both sides of Temporal agree on about tiers' windows. Pure data, importable from anywhere."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import BaseModel, Field

TIER_RETENTION_WORKFLOW = "TierRetentionWorkflow"
ATTEND_TIER = "attend_tier"


def tier_retention_workflow_id(tier_id: UUID) -> str:
    """`tier-retention/0190...`: one workflow per tier whose levels end by themselves."""
    return f"tier-retention/{tier_id}"


class TierState(StrEnum):
    """Whether anything of a tier still happens; ARCHIVED is the end."""

    ACTIVE = "ACTIVE"
    ARCHIVED = "ARCHIVED"


class TierTotals(BaseModel):
    """What the flow of a tier has done since it first started; carried over continue-as-new."""

    holders: int = 0
    levels: int = 0
    counters: int = 0
    passes: int = 0
    pages: int = 0
    renewed: int = 0


class TierRetentionInput(BaseModel):
    """Start of a tier's flow: ids, and what its earlier runs did."""

    tier_id: UUID
    organization_id: UUID
    program_id: UUID
    totals: TierTotals = Field(default_factory=TierTotals)


class TierRetentionReport(BaseModel):
    """What one call of `attend_tier` did: for how many holders, to how many levels and counters; `more` is due at once.

    `renewed`: how many were given what a new lifecycle means for them; `is_new`: perhaps not all yet, so it looks again soon.
    """

    state: TierState = TierState.ACTIVE
    key: str = ""
    holders: int = 0
    levels: int = 0
    counters: int = 0
    renewed: int = 0
    pages: int = 0
    failed: int = 0
    more: bool = False
    is_new: bool = False
    next_in_seconds: float | None = None
    next_at: datetime | None = None


class TierRetentionStatus(BaseModel):
    """Answer of a tier's `status` query."""

    tier_id: UUID
    phase: str
    totals: TierTotals
    last: TierRetentionReport | None = None
