"""What both sides of Temporal agree on about sealing the ledger."""

from datetime import datetime

from pydantic import BaseModel, Field

SEAL_WORKFLOW = "LedgerSealWorkflow"
SEAL_WORKFLOW_ID = "ledger-seal"
SEAL_ACTIVITY = "seal_ledger"


class SealTotals(BaseModel):
    """What sealing has done since its workflow first started; carried over continue-as-new."""

    entries: int = 0
    pages: int = 0
    passes: int = 0


class SealInput(BaseModel):
    """Start of sealing, and what its earlier runs did."""

    totals: SealTotals = Field(default_factory=SealTotals)


class SealReport(BaseModel):
    """What one call of `seal_ledger` did, and what it left: `unsealed` entries, counted up to 10000.

    The oldest of them has waited for `lag_seconds`. `failed` pages are tried again.
    """

    entries: int = 0
    pages: int = 0
    failed: int = 0
    unsealed: int = 0
    lag_seconds: float = 0.0
    finished_at: datetime | None = None


class SealStatus(BaseModel):
    """Answer of sealing's `status` query."""

    totals: SealTotals
    last: SealReport | None = None
