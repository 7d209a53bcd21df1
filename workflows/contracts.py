"""What both sides of Temporal agree on: queues, workflow ids, inputs and results. Pure data, importable from anywhere."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import BaseModel, Field

LEDGER_QUEUE = "openscrip-ledger"
REDEMPTION_QUEUE = "openscrip-redemptions"
WEBHOOK_QUEUE = "openscrip-webhooks"
DELIVERY_QUEUE = "openscrip-deliveries"

LANE_WORKFLOW = "EventLaneWorkflow"
SWEEP_WORKFLOW = "LaneSweepWorkflow"
SWEEP_SCHEDULE = "lane-sweep"
DUE_WORKFLOW = "DueWorkWorkflow"
DUE_WORKFLOW_ID = "due-work/lots"
SCHEDULED_WORKFLOW_ID = "due-work/scheduled-events"
NOTICES_WORKFLOW_ID = "due-work/expiry-notices"
AUTOMATION_RUN_WORKFLOW = "AutomationRunWorkflow"
CANCEL_SIGNAL = "cancel"
RECONCILE_WORKFLOW = "ReconcileWorkflow"
RECONCILE_SCHEDULE = "reconcile"
WAKE_SIGNAL = "wake"
STATUS_QUERY = "status"


def lane_workflow_id(lane: int) -> str:
    """`event-lane/3`: one workflow per lane of the deployment."""
    return f"event-lane/{lane}"


def automation_run_workflow_id(automation_id: UUID) -> str:
    """`automation-run/5f0c...`: one workflow per automation with a fan-out under way."""
    return f"automation-run/{automation_id}"


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
    """Which lanes a sweep had to wake, and how many webhook endpoints."""

    woken: list[int] = Field(default_factory=list)
    endpoints: int = 0


class DueKind(StrEnum):
    """What a due work attends to: accounts (lots and holds), automations with one moment, or notices of expiry."""

    ACCOUNTS = "accounts"
    SCHEDULED_EVENTS = "scheduled-events"
    EXPIRY_NOTICES = "expiry-notices"

    @property
    def workflow_id(self) -> str:
        """The id of its flow: one per deployment."""
        match self:
            case DueKind.ACCOUNTS:
                return DUE_WORKFLOW_ID
            case DueKind.SCHEDULED_EVENTS:
                return SCHEDULED_WORKFLOW_ID
            case DueKind.EXPIRY_NOTICES:
                return NOTICES_WORKFLOW_ID


class DueTotals(BaseModel):
    """What a due work has done since its workflow first started; carried over continue-as-new."""

    accounts: int = 0
    entries: int = 0
    passes: int = 0
    events: int = 0
    runs: int = 0
    notices: int = 0


class DueInput(BaseModel):
    """Start of a due work, and what its earlier runs did."""

    totals: DueTotals = Field(default_factory=DueTotals)
    kind: DueKind = DueKind.ACCOUNTS


class DueReport(BaseModel):
    """What one call of `post_due`, `fire_due_events` or `announce_expiry` did.

    `failed` accounts or automations are left for the next call, holders' lots for the next midnight; `next_in_seconds` counts
    from the database's clock to the next due moment. `events` were made, `runs` are fan-outs whose flow was started, `notices`
    lot sets announced.
    """

    accounts: int = 0
    entries: int = 0
    events: int = 0
    runs: int = 0
    notices: int = 0
    pages: int = 0
    failed: int = 0
    more: bool = False
    next_in_seconds: float | None = None
    finished_at: datetime | None = None


class DueStatus(BaseModel):
    """Answer of the due work's `status` query."""

    phase: str
    totals: DueTotals
    last: DueReport | None = None


class RunState(StrEnum):
    """Where a fan-out stands; all but EXECUTING end its flow. WAITING: its program isn't ACTIVE; it will be started again."""

    EXECUTING = "EXECUTING"
    WAITING = "WAITING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    ARCHIVED = "ARCHIVED"


class RunInput(BaseModel):
    """Start of a fan-out's workflow: ids only; `is_cancelled` is carried over continue-as-new.

    `has_waited`, for its activity, makes the next page although the lanes are full.
    """

    automation_id: UUID
    organization_id: UUID
    program_id: UUID
    is_cancelled: bool = False
    has_waited: bool = False


class RunReport(BaseModel):
    """What one call of `run_fan_out` or `cancel_fan_out` did (`events`, `pages`), and where the fan-out stands then."""

    state: RunState
    event_name: str
    total: int
    processed: int
    error: str | None = None
    events: int = 0
    pages: int = 0
    finished_at: datetime | None = None


class RunStatus(BaseModel):
    """Answer of a fan-out's `status` query, and the result of its workflow."""

    automation_id: UUID
    phase: str
    total: int
    processed: int
    error: str | None = None
