"""Telling flows of due moments what a request did, after its commit: best effort, in order, repeated while Temporal is away."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import structlog
from temporalio.client import Client
from temporalio.service import RPCStatusCode

from api.deps import Call
from domain.automations import Automation, Source
from domain.ledger.accounts import Bucket
from domain.ledger.credit import When
from runtime.metrics import TIMER_CALLS
from runtime.tracing import carried
from services.movements import Adjusted, Adjustment, AdjustType, Moved, Movement, Operation
from workflows.contracts import DueKind
from workflows.contracts_automation import AutomationInput
from workflows.contracts_fulfillment import FulfillmentInput, FulfillmentSignal
from workflows.contracts_hold import HoldInput, HoldSignal
from workflows.contracts_tiers import TierRetentionInput
from workflows.signals import (
    RPCError,
    ensure_due_work,
    start_automation,
    start_fulfillment,
    start_hold,
    start_tier_retention,
    tell_fulfillment,
    tell_hold,
)

log = structlog.get_logger(__name__)

# The due work looks twice a minute by itself: it needs to hear only of moments that come before that.
NEAR = timedelta(seconds=60)
WAKE_GAP_SECONDS = 0.5
RETRY_SECONDS = 1.0
# What doesn't fit while Temporal is away is left to the reconciliation.
MOST_WAITING = 10_000
_WAKE = "wake"
_AWAY = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.UNKNOWN,
        RPCStatusCode.INTERNAL,
    }
)
_SIGNALS = {
    Operation.RELEASE: HoldSignal.RELEASED,
    Operation.FORFEIT: HoldSignal.FORFEITED,
    Operation.VOID_HOLD: HoldSignal.VOIDED,
}

Job = Callable[[], Awaitable[None]]


class Timers:
    """One process's calls to the flows of due moments, one after the other. Made on the loop, used from any thread."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._task: asyncio.Task[None] | None = None
        self._next_wake = 0.0
        self._wake_is_planned = False

    def wake(self) -> None:
        """There is a due moment within the next minute. Wakes that come together are one."""
        self._loop.call_soon_threadsafe(self._plan_wake)

    def wake_scheduled(self) -> None:
        """Scheduled events that waited may be fired now."""
        kind = DueKind.SCHEDULED_EVENTS
        self._submit(f"{_WAKE} {kind}", partial(ensure_due_work, self._client, kind, wake=True))

    def wake_automation(self, automation: AutomationInput) -> None:
        """An automation was made or changed."""
        self._submit(f"wake {automation.automation_id}", partial(start_automation, self._client, automation, wake=True))

    def start(self, hold: HoldInput) -> None:
        """There is a new hold with a deadline."""
        self._submit(f"start {hold.hold_id}", partial(start_hold, self._client, hold))

    def tell(self, hold_id: UUID, what: HoldSignal) -> None:
        """Something was taken from a hold with a deadline."""
        self._submit(f"{what} {hold_id}", partial(tell_hold, self._client, hold_id, what))

    def start_fulfillment(self, fulfillment: FulfillmentInput) -> None:
        """A redemption was made that has to be handed over."""
        self._submit(f"start {fulfillment.redemption_id}", carried(partial(start_fulfillment, self._client, fulfillment)))

    def tell_fulfillment(self, redemption_id: UUID, what: FulfillmentSignal) -> None:
        """A fulfilment was reported or cancelled."""
        self._submit(f"{what} {redemption_id}", partial(tell_fulfillment, self._client, redemption_id, what))

    def wake_tier(self, tier: TierRetentionInput) -> None:
        """A tier was made or changed, or a level of it given until a moment."""
        self._submit(f"{_WAKE} {tier.tier_id}", partial(start_tier_retention, self._client, tier, wake=True))

    async def close(self) -> None:
        """Stop; what wasn't sent is found by the due work and the reconciliation."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _plan_wake(self) -> None:
        if not self._wake_is_planned:
            self._wake_is_planned = True
            self._loop.call_at(max(self._loop.time(), self._next_wake), self._wake_now)

    def _wake_now(self) -> None:
        self._wake_is_planned = False
        self._next_wake = self._loop.time() + WAKE_GAP_SECONDS
        self._add(_WAKE, partial(ensure_due_work, self._client, wake=True))

    def _submit(self, key: str, job: Job) -> None:
        self._loop.call_soon_threadsafe(self._add, key, job)

    def _add(self, key: str, job: Job) -> None:
        if len(self._jobs) >= MOST_WAITING:
            TIMER_CALLS.labels("dropped").inc()
            return
        self._jobs[key] = job
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._run())

    async def _run(self) -> None:
        while self._jobs:
            key, job = self._jobs.popitem(last=False)
            try:
                await job()
            except (RPCError, RuntimeError) as error:
                TIMER_CALLS.labels("failed").inc()
                # RuntimeError is what a client that has never reached Temporal raises
                if isinstance(error, RPCError) and error.status not in _AWAY:
                    # mostly the flow of a hold that has ended
                    log.info("timer_call_refused", call=key, error=str(error))
                    continue
                log.warning("timer_call_failed", call=key, error=str(error))
                self._jobs.setdefault(key, job)
                self._jobs.move_to_end(key, last=False)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                TIMER_CALLS.labels("sent").inc()


class TimerNews:
    """What one request did to due moments: noted inside its transaction, told after the commit. A replay tells nothing."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._adjusted: tuple[Adjustment, Adjusted] | None = None
        self._moved: tuple[Movement, Moved] | None = None

    def note(self, *, adjusted: tuple[Adjustment, Adjusted] | None = None, moved: tuple[Movement, Moved] | None = None) -> None:
        """Note what was done; a transaction that runs again overwrites it."""
        self._adjusted, self._moved = adjusted, moved

    def tell(self) -> None:
        """Call after the commit; returns at once."""
        timers: Timers | None = getattr(self._call.request.app.state, "timers", None)
        if timers is None:
            return
        if self._adjusted is not None:
            _tell_adjusted(timers, *self._adjusted)
        if self._moved is not None:
            _tell_moved(timers, self._call.organization_id, *self._moved)


def tell_tier(call: Call, tier: TierRetentionInput) -> None:
    """A tier was made or changed, or a level of it given until a moment. Call after the commit."""
    timers: Timers | None = getattr(call.request.app.state, "timers", None)
    if timers is not None:
        timers.wake_tier(tier)


def tell_active(call: Call) -> None:
    """A program is ACTIVE again: what was due meanwhile needn't wait for the next look. Call after the commit."""
    timers: Timers | None = getattr(call.request.app.state, "timers", None)
    if timers is not None:
        timers.wake_scheduled()


def tell_crossing(call: Call) -> None:
    """A counter crossed a threshold that an automation watches: its event is due. Call after the commit."""
    tell_active(call)


def tell_automation(call: Call, automation: Automation) -> None:
    """An automation was made or changed: its flow looks at it. What rules made has none. Call after the commit."""
    timers: Timers | None = getattr(call.request.app.state, "timers", None)
    if timers is None:
        return
    if automation.source is Source.RULE_ACTION:
        timers.wake_scheduled()
        return
    ids = {"automation_id": automation.id, "organization_id": automation.organization_id, "program_id": automation.program_id}
    timers.wake_automation(AutomationInput.model_validate(ids))


def _tell_adjusted(timers: Timers, wanted: Adjustment, done: Adjusted) -> None:
    if wanted.type is AdjustType.DEBIT and wanted.bucket is Bucket.HELD:
        for hold_id in done.lowered:
            timers.tell(hold_id, HoldSignal.DEBITED)
    elif _is_near(wanted.expires_at) or _is_near(wanted.matures_at):
        timers.wake()


def _tell_moved(timers: Timers, organization_id: UUID, wanted: Movement, done: Moved) -> None:
    if done.hold_id is not None and done.expires_at is not None:
        timers.start(HoldInput(hold_id=done.hold_id, organization_id=organization_id, program_id=wanted.program_id))
        if _is_near(done.expires_at):
            timers.wake()
    signal = _SIGNALS.get(done.operation)
    if signal is not None:
        for hold_id in done.lowered:
            timers.tell(hold_id, signal)


def _is_near(when: When | None) -> bool:
    if when is None:
        return False
    return when <= NEAR if isinstance(when, timedelta) else when - datetime.now(UTC) <= NEAR
