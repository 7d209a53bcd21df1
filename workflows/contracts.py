"""What both sides of Temporal agree on: queues, workflow ids, inputs and results. Pure data, importable from anywhere."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

from pydantic import BaseModel, Field

from workflows.contracts_fulfillment import FulfillmentInput

LEDGER_QUEUE = "openscrip-ledger"
REDEMPTION_QUEUE = "openscrip-redemptions"
WEBHOOK_QUEUE = "openscrip-webhooks"

LANE_WORKFLOW = "EventLaneWorkflow"
SWEEP_WORKFLOW = "LaneSweepWorkflow"
SWEEP_SCHEDULE = "lane-sweep"
DUE_WORKFLOW = "DueWorkWorkflow"
DUE_WORKFLOW_ID = "due-work/lots"
SCHEDULED_WORKFLOW_ID = "due-work/scheduled-events"
AUTOMATION_RUN_WORKFLOW = "AutomationRunWorkflow"
CANCEL_SIGNAL = "cancel"
HOLD_WORKFLOW = "HoldWorkflow"
RECONCILE_WORKFLOW = "ReconcileWorkflow"
RECONCILE_SCHEDULE = "reconcile"
REDEMPTION_WORKFLOW = "RedemptionWorkflow"
REVERSAL_WORKFLOW = "RedemptionReversalWorkflow"
CLOCK_WORKFLOW = "ClockWorkflow"
CLOCK_WORKFLOW_ID = "test-clock"
WAKE_SIGNAL = "wake"
STATUS_QUERY = "status"


def lane_workflow_id(lane: int) -> str:
    """`event-lane/3`: one workflow per lane of the deployment."""
    return f"event-lane/{lane}"


def hold_workflow_id(hold_id: UUID) -> str:
    """`hold/0190...`: one workflow per hold with a deadline that was made through the API."""
    return f"hold/{hold_id}"


def automation_run_workflow_id(automation_id: UUID) -> str:
    """`automation-run/5f0c...`: one workflow per automation with a fan-out under way."""
    return f"automation-run/{automation_id}"


def redemption_workflow_id(program_id: UUID, redemption_id: UUID, key: str | None) -> str:
    """`redemption/...`: with an idempotency key one id for all requests that carry it, else the redemption's own."""
    return f"redemption/{redemption_id if key is None else uuid5(program_id, key)}"


def reversal_workflow_id(redemption_id: UUID) -> str:
    """`redemption-reversal/0190...`: one for a redemption at a time."""
    return f"redemption-reversal/{redemption_id}"


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
    """What a due work attends to: accounts (lots and holds), or automations with one moment."""

    ACCOUNTS = "accounts"
    SCHEDULED_EVENTS = "scheduled-events"

    @property
    def workflow_id(self) -> str:
        """The id of its flow: one per deployment."""
        return DUE_WORKFLOW_ID if self is DueKind.ACCOUNTS else SCHEDULED_WORKFLOW_ID


class DueTotals(BaseModel):
    """What a due work has done since its workflow first started; carried over continue-as-new."""

    accounts: int = 0
    entries: int = 0
    passes: int = 0
    events: int = 0
    runs: int = 0


class DueInput(BaseModel):
    """Start of a due work, and what its earlier runs did."""

    totals: DueTotals = Field(default_factory=DueTotals)
    kind: DueKind = DueKind.ACCOUNTS


class DueReport(BaseModel):
    """What one call of `post_due` or `fire_due_events` did.

    `failed` accounts or automations are left for the next call; `next_in_seconds` counts from the database's clock to the next
    due moment. `events` were made, `runs` are fan-outs whose flow was started.
    """

    accounts: int = 0
    entries: int = 0
    events: int = 0
    runs: int = 0
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


class ClockInput(BaseModel):
    """A move of the test clock, for how many seconds it may go on, and the moment up to which everything is done."""

    target: datetime
    seconds: float = 60.0
    after: datetime | None = None


class ClockReport(BaseModel):
    """Where the clock is after a slice of a move, what it visited on the way, and whether the target is reached.

    `visited` is the last moment that it went to; moments that the running clock has passed since are still to be visited.
    """

    now: datetime
    visited: datetime | None = None
    steps: int = 0
    reached: bool = False
    passed_holds: list[HoldInput] = Field(default_factory=list)
    passed_fulfillments: list[FulfillmentInput] = Field(default_factory=list)


class ClockResult(BaseModel):
    """How a move ended; also the answer of its `status` query."""

    target: datetime
    now: datetime | None = None
    steps: int = 0
    reached: bool = False


class ReconcileReport(BaseModel):
    """What a reconciliation made sure of: how many holds near their deadline, fan-outs, fulfilments and retries have a flow."""

    holds: int = 0
    runs: int = 0
    fulfillments: int = 0
    retries: int = 0
    failed: int = 0
