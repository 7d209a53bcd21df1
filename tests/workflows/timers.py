"""Workers for flows of due moments: with scripted answers, or with the product's activities on a clock that jumps."""

import contextlib
import random
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from temporalio import activity
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.due import DueActivities, HoldActivities
from activities.tiers import TierActivities
from db.session import Database
from tests.support.loop import LoopThread
from tests.workflows.workers import serving
from workflows.automation import AutomationWorkflow
from workflows.automation_run import AutomationRunWorkflow
from workflows.clock import ClockWorkflow
from workflows.contracts import WEBHOOK_QUEUE, DueReport, RunInput, RunReport, RunState
from workflows.contracts_automation import (
    AutomationCommand,
    AutomationInput,
    AutomationPhase,
    AutomationReport,
    AutomationSignal,
    CommandReport,
    SubscriptionsReport,
)
from workflows.contracts_clock import ClockInput, ClockReport
from workflows.contracts_fulfillment import AttemptReport, FulfillmentInput, FulfillmentReport, FulfillmentState
from workflows.contracts_hold import HoldInput, HoldReport, HoldState
from workflows.contracts_reconcile import BooksPlace, BooksReport, Breach, ReconcileReport
from workflows.contracts_tiers import TierRetentionReport, TierState
from workflows.due_work import DueWorkWorkflow
from workflows.fulfillment import FulfillmentWorkflow
from workflows.hold import HoldWorkflow
from workflows.reconcile import ReconcileWorkflow
from workflows.tier_retention import TierRetentionWorkflow

FLOWS = (
    DueWorkWorkflow,
    HoldWorkflow,
    FulfillmentWorkflow,
    TierRetentionWorkflow,
    AutomationWorkflow,
    AutomationRunWorkflow,
    ReconcileWorkflow,
    ClockWorkflow,
)
_HOLD = HoldInput(hold_id=UUID(int=7), organization_id=UUID(int=1), program_id=UUID(int=2))
MOMENT = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)


def due_report(**fields: object) -> DueReport:
    """What a pass of the due work did: nothing, unless said otherwise."""
    return DueReport.model_validate({"finished_at": MOMENT, **fields})


def hold_report(state: HoldState = HoldState.OPEN, seconds: float | None = 3600.0, **fields: object) -> HoldReport:
    """What a look at a hold of 40.00 USD found."""
    open_ = state is HoldState.OPEN
    usual = {"state": state, "amount": "40.00", "remaining": "40.00" if open_ else "0.00", "symbol": "USD"}
    return HoldReport.model_validate(
        {**usual, "reference_id": "auth-1", "expires_at": MOMENT, "deadline_in_seconds": seconds, **fields}
    )


def run_report(state: RunState = RunState.EXECUTING, processed: int = 500, **fields: object) -> RunReport:
    """What a look at a fan-out over 1000 participants did: a page, unless said otherwise."""
    usual = {"state": state, "event_name": "gift", "total": 1000, "processed": processed, "events": 500, "pages": 1}
    return RunReport.model_validate({**usual, "finished_at": MOMENT, **fields})


def automation_report(
    phase: AutomationPhase = AutomationPhase.ACTIVE, seconds: float | None = 3600.0, **fields: object
) -> AutomationReport:
    """What a look at a daily automation found: nothing was due, unless said otherwise."""
    usual = {"phase": phase, "status": "active", "trigger_type": "cron", "scope": "program", "event_name": "tick"}
    dated = {"schedule": "0 9 * * *, UTC", "next_at": MOMENT, "next_in_seconds": seconds, "finished_at": MOMENT}
    return AutomationReport.model_validate({**usual, **dated, **fields})


def fulfillment_report(
    state: FulfillmentState = FulfillmentState.PENDING, seconds: float | None = 3600.0, **attempts: Any
) -> FulfillmentReport:
    """What a look at the fulfilment of two units for 20.00 found; by hand, unless `attempts` of a webhook are given."""
    is_given_back = state in (FulfillmentState.FAILED, FulfillmentState.CANCELLED)
    return FulfillmentReport(
        state=state,
        participant_id=UUID(int=4),
        amount="20.00",
        quantity=2,
        ledger_status="FULLY_REVERSED" if is_given_back else "COMPLETED",
        expires_at=MOMENT,
        deadline_in_seconds=seconds,
        **attempts,
    )


def tier_report(state: TierState = TierState.ACTIVE, seconds: float | None = None, **fields: object) -> TierRetentionReport:
    """What a look at a tier's holders did: nothing, unless said otherwise."""
    return TierRetentionReport.model_validate({"state": state, "key": "club", "next_in_seconds": seconds, **fields})


class Answers:
    """Stands for the database: each call of an activity gets the next answer, the last one again and again."""

    def __init__(
        self,
        due: Sequence[DueReport] = (),
        hold: Sequence[HoldReport] = (),
        runs: Sequence[RunReport] = (),
        fulfillments: Sequence[FulfillmentReport] = (),
        attempts: Sequence[AttemptReport] = (),
        tiers: Sequence[TierRetentionReport] = (),
        automations: Sequence[AutomationReport] = (),
        subscriptions: Sequence[SubscriptionsReport] = (),
    ) -> None:
        self._attempts = iter(attempts)
        self.looks = 0
        self.commands: list[AutomationSignal] = []
        self._automations, self._last_automation = iter(automations), automation_report()
        self._subscriptions, self._last_subscriptions = iter(subscriptions), SubscriptionsReport()
        self.cancels = 0
        self.waited: list[bool] = []
        self._runs, self._last_run = iter(runs), run_report()
        self._due: Iterator[DueReport] = iter(due)
        self._hold, self._last_hold = iter(hold), hold_report()
        self._fulfillments, self._last_fulfillment = iter(fulfillments), fulfillment_report()
        self._tiers, self._last_tier = iter(tiers), tier_report()
        self._lock = threading.Lock()

    @activity.defn
    def attend_tier(self, _: UUID) -> TierRetentionReport:
        with self._lock:
            self.looks += 1
            self._last_tier = next(self._tiers, self._last_tier)
            return self._last_tier

    @activity.defn
    def post_due(self) -> DueReport:
        with self._lock:
            self.looks += 1
            return next(self._due, due_report())

    @activity.defn
    def attend_hold(self, hold: HoldInput) -> HoldReport:
        with self._lock:
            self.looks += 1
            self._last_hold = next(self._hold, self._last_hold)
            return self._last_hold

    @activity.defn
    def attend_fulfillment(self, _: FulfillmentInput) -> FulfillmentReport:
        with self._lock:
            self.looks += 1
            self._last_fulfillment = next(self._fulfillments, self._last_fulfillment)
            return self._last_fulfillment

    @activity.defn
    def attempt_fulfillment(self, _: FulfillmentInput) -> AttemptReport:
        with self._lock:
            return next(self._attempts)

    @activity.defn
    def fire_due_events(self) -> DueReport:
        with self._lock:
            self.looks += 1
            return next(self._due, due_report())

    @activity.defn
    def announce_expiry(self) -> DueReport:
        with self._lock:
            self.looks += 1
            return next(self._due, due_report())

    @activity.defn
    def run_fan_out(self, run: RunInput) -> RunReport:
        with self._lock:
            self.looks += 1
            self.waited.append(run.has_waited)
            self._last_run = next(self._runs, self._last_run)
            return self._last_run

    @activity.defn
    def cancel_fan_out(self, run: RunInput) -> RunReport:
        with self._lock:
            self.cancels += 1
            return run_report(RunState.FAILED, self._last_run.processed, error="cancelled", events=0, pages=0)

    @activity.defn
    def attend_automation(self, _: AutomationInput) -> AutomationReport:
        with self._lock:
            self.looks += 1
            self._last_automation = next(self._automations, self._last_automation)
            return self._last_automation

    @activity.defn
    def attend_subscriptions(self, _: AutomationInput) -> SubscriptionsReport:
        with self._lock:
            self._last_subscriptions = next(self._subscriptions, self._last_subscriptions)
            return self._last_subscriptions

    @activity.defn
    def command_automation(self, call: AutomationCommand) -> CommandReport:
        with self._lock:
            self.commands.append(call.command)
            refusal = "Nothing to cancel" if call.command is AutomationSignal.CANCEL else None
            return CommandReport(command=call.command, refusal=refusal)

    @activity.defn
    async def reconcile_flows(self) -> ReconcileReport:
        """The first pass can't start one of the flows, and the second has more than it takes."""
        with self._lock:
            self.looks += 1
            return ReconcileReport(holds=2, runs=1, failed=int(self.looks == 1), more=self.looks == 2)

    @activity.defn
    def check_books(self, place: BooksPlace) -> BooksReport:
        breach = Breach(check="balances_match", organization_id=UUID(int=2), row="available=2, posted_available=1")
        found = place.model_copy(update={"found_before": {"balances_match": 1}, "breaches_before": [breach]})
        return BooksReport(place=found, pages=3, is_round=True)

    @activity.defn
    def move_clock(self, call: ClockInput) -> ClockReport:
        with self._lock:
            self.looks += 1
            steps = 2 if self.looks == 1 else 1
            return ClockReport(now=call.target, steps=steps, reached=self.looks > 1, passed_holds=[_HOLD] * (2 - steps))

    @activity.defn
    async def wake_sleepers(self, passed: list[HoldInput], waiting: list[FulfillmentInput]) -> int:
        return len(passed) + len(waiting)

    @property
    def activities(self) -> list[Any]:
        events = [self.fire_due_events, self.announce_expiry, self.run_fan_out, self.cancel_fan_out]
        clock = [self.move_clock, self.wake_sleepers]
        handed = [self.attend_fulfillment, self.attend_tier]
        automations = [self.attend_automation, self.attend_subscriptions, self.command_automation]
        reconciled = [self.reconcile_flows, self.check_books]
        return [self.post_due, self.attend_hold, *handed, *reconciled, *events, *clock, *automations]


class JumpingClock:
    """The product's clock bound to the time of a time-skipping server, by the offset that the database's clock has anyway.

    Timers and the database then agree on what time it is, and no code of the product knows of it.
    """

    def __init__(self, environment: WorkflowEnvironment, loop: LoopThread, database: Database) -> None:
        self.environment, self.loop, self.database = environment, loop, database

    def set(self) -> datetime:
        now = self.loop.run(self.environment.get_current_time())
        with self.database.connection() as conn:
            conn.execute("UPDATE deployment SET clock_offset = %s::timestamptz - clock_timestamp()", [now])
        return now


class Bound:
    """The product's own activities; the clock is set before each call."""

    def __init__(self, clock: JumpingClock) -> None:
        self.clock = clock
        self.looks = 0

    @activity.defn
    def post_due(self) -> DueReport:
        self.clock.set()
        self.looks += 1
        return DueActivities(self.clock.database).post_due()

    @activity.defn
    def attend_hold(self, hold: HoldInput) -> HoldReport:
        self.clock.set()
        self.looks += 1
        return HoldActivities(self.clock.database).attend_hold(hold)

    @activity.defn
    def attend_tier(self, tier_id: UUID) -> TierRetentionReport:
        self.clock.set()
        self.looks += 1
        return TierActivities(self.clock.database).attend_tier(tier_id)

    @property
    def activities(self) -> list[Any]:
        return [self.post_due, self.attend_hold, self.attend_tier]


@contextlib.asynccontextmanager
async def working(client: Client, answers: Answers | Bound) -> AsyncIterator[str]:
    """A worker with these activities; gives the name of its queue."""
    async with serving(client, "timers", FLOWS, answers.activities) as queue:
        yield queue


@contextlib.asynccontextmanager
async def asking(client: Client, answers: Answers) -> AsyncIterator[None]:
    """A worker of the webhooks' queue, on a server that nobody else uses."""
    with ThreadPoolExecutor(1) as executor:
        activities = [answers.attempt_fulfillment]
        async with Worker(client, task_queue=WEBHOOK_QUEUE, activities=activities, activity_executor=executor):
            yield


def some_run() -> RunInput:
    """Ids of a fan-out."""
    return RunInput(automation_id=UUID(int=random.getrandbits(100)), organization_id=UUID(int=1), program_id=UUID(int=2))


def some_automation() -> AutomationInput:
    """Ids of an automation."""
    return AutomationInput(automation_id=UUID(int=random.getrandbits(100)), organization_id=UUID(int=1), program_id=UUID(int=2))


def some_hold() -> HoldInput:
    """Ids of a hold."""
    number = random.getrandbits(100)
    return HoldInput(hold_id=UUID(int=number), organization_id=UUID(int=1), program_id=UUID(int=2))
