"""What both sides of Temporal agree on: queues, workflow ids, inputs and results. Pure data, importable from anywhere."""

from datetime import datetime

from pydantic import BaseModel, Field

LEDGER_QUEUE = "openscrip-ledger"

LANE_WORKFLOW = "EventLaneWorkflow"
SWEEP_WORKFLOW = "LaneSweepWorkflow"
SWEEP_SCHEDULE = "lane-sweep"
WAKE_SIGNAL = "wake"
STATUS_QUERY = "status"


def lane_workflow_id(lane: int) -> str:
    """`event-lane/3`: one workflow per lane of the deployment."""
    return f"event-lane/{lane}"


class LaneTotals(BaseModel):
    """What a lane has done since its workflow first started; carried over continue-as-new."""

    events: int = 0
    failed: int = 0
    entries: int = 0
    drains: int = 0


class LaneInput(BaseModel):
    """Start of a lane: which one of how many, and what its earlier runs did."""

    lane: int
    lanes: int
    totals: LaneTotals = Field(default_factory=LaneTotals)


class DrainInput(BaseModel):
    """One call of `drain_lane`."""

    lane: int


class DrainReport(BaseModel):
    """What one call of `drain_lane` did. Times are UTC; `retry_in_seconds` is set when an event waits for another attempt."""

    events: int = 0
    failed: int = 0
    entries: int = 0
    batches: int = 0
    backlog: int = 0
    busy: bool = False
    more: bool = False
    last_batch_events: int = 0
    last_batch_ms: float = 0.0
    finished_at: datetime | None = None
    retry_in_seconds: float | None = None


class LaneStatus(BaseModel):
    """Answer of a lane's `status` query."""

    lane: int
    lanes: int
    phase: str
    backlog: int
    totals: LaneTotals
    last: DrainReport | None = None


class SweepReport(BaseModel):
    """Which lanes a sweep had to wake."""

    woken: list[int] = Field(default_factory=list)
