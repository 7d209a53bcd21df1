"""Record histories of every flow, to be replayed in CI: `python -m tests.workflows.record [NAME ...]`; without names, all.

Do this when a flow was changed on purpose and no running one of the old kind is left; otherwise use `workflow.patched`.
"""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

from temporalio.client import Client, WorkflowFailureError, WorkflowHistory
from temporalio.testing import WorkflowEnvironment

from tests.workflows import redeemers, sealers, servers, timers
from tests.workflows import webhook_script as webhooks
from tests.workflows.lanes import Queue, Script, report, wake, working
from tests.workflows.recording import REST_SECONDS, continued, ended, looked, rested
from tests.workflows.timers import (
    Answers,
    automation_report,
    due_report,
    fulfillment_report,
    hold_report,
    run_report,
    tier_report,
)
from workflows import contracts
from workflows.contracts import DueInput, DueKind, DueReport, LaneStatus, RunInput, RunState
from workflows.contracts_automation import (
    AutomationInput,
    AutomationPhase,
    AutomationSignal,
    SubscriptionsReport,
    automation_workflow_id,
)
from workflows.contracts_clock import ClockInput
from workflows.contracts_fulfillment import (
    AttemptReport,
    FulfillmentInput,
    FulfillmentReport,
    FulfillmentSignal,
    FulfillmentState,
    fulfillment_workflow_id,
)
from workflows.contracts_hold import HoldInput, HoldReport, HoldSignal, HoldState, hold_workflow_id
from workflows.contracts_seal import SEAL_WORKFLOW, SealInput
from workflows.contracts_tiers import TierRetentionInput, TierState, tier_retention_workflow_id
from workflows.contracts_webhooks import EndpointInput, RetryInput, endpoint_workflow_id, retry_workflow_id
from workflows.policies import LANE_IDLE, WEBHOOK_IDLE
from workflows.signals import (
    start_automation,
    start_automation_run,
    start_clock,
    start_fulfillment,
    start_hold,
    start_redemption,
    start_reversal,
    start_tier_retention,
)
from workflows.webhook_signals import start_retry, wake_endpoint

HISTORIES = Path(__file__).parent / "histories"

Recorder = Callable[[WorkflowEnvironment], Awaitable[WorkflowHistory]]


async def _settled(client: Client, workflow_id: str) -> None:
    handle = client.get_workflow_handle(workflow_id)
    while (await handle.query(contracts.STATUS_QUERY, result_type=LaneStatus)).phase != "waiting":
        await asyncio.sleep(0.05)


async def idle_lane(environment: WorkflowEnvironment) -> WorkflowHistory:
    """Drains, is woken twice, drains again, waits for an attempt, and ends."""
    busy = [report(events=200, batches=2, more=True), report(events=5, failed=1, batches=1, backlog=1, retry_in_seconds=2.0)]
    script = Script(*busy, report(events=1), report(busy=True), report(events=3))
    async with working(environment.client, script) as queue:
        lane = await wake(environment.client, script, queue)
        await environment.sleep(timedelta(seconds=3))
        await _settled(environment.client, lane.id)
        for _ in range(2):
            await wake(environment.client, script, queue)
            await environment.sleep(timedelta(seconds=3))
        await environment.sleep(LANE_IDLE + timedelta(seconds=30))
        return await ended(lane)


async def continued_lane(environment: WorkflowEnvironment) -> WorkflowHistory:
    """Drains until its history is long enough, and continues as new."""
    script = Queue()
    async with working(environment.client, script) as queue:
        lane = await wake(environment.client, script, queue)

        async def wake_again() -> None:
            script.add()
            await wake(environment.client, script, queue)
            await _settled(environment.client, lane.id)

        return await continued(environment.client, lane, wake_again)


async def sweep(environment: WorkflowEnvironment) -> WorkflowHistory:
    """One pass."""
    script = Script()
    async with working(environment.client, script) as queue:
        handle = await environment.client.start_workflow(
            contracts.SWEEP_WORKFLOW, id=f"lane-sweep-{script.lane}", task_queue=queue
        )
        return await ended(handle)


async def due_work(environment: WorkflowEnvironment) -> WorkflowHistory:
    """Posts a page, sleeps to a moment, is woken from the next sleep, and continues as new."""
    answers = Answers([due_report(accounts=3, entries=4, pages=1, next_in_seconds=0.5)])
    async with timers.working(environment.client, answers) as queue:
        flow = await environment.client.start_workflow(
            contracts.DUE_WORKFLOW, DueInput(), id="due-work-recorded", task_queue=queue
        )
        await looked(answers, 2)
        return await continued(environment.client, flow, partial(flow.signal, contracts.WAKE_SIGNAL))


async def scheduled_events(environment: WorkflowEnvironment) -> WorkflowHistory:
    """Fires a page and more, sleeps to a moment, and is woken from the next sleep."""
    pages = [due_report(events=100, pages=1, more=True), due_report(events=5, runs=1, pages=1, next_in_seconds=0.5)]
    return await _woken_due_work(environment, DueKind.SCHEDULED_EVENTS, pages, "due-work-events-recorded")


async def expiry_notices(environment: WorkflowEnvironment) -> WorkflowHistory:
    """Announces a slice and the rest, sleeps to a moment, and is woken from the next sleep."""
    slices = [due_report(notices=900, pages=18, more=True), due_report(notices=5, pages=1, next_in_seconds=0.5)]
    return await _woken_due_work(environment, DueKind.EXPIRY_NOTICES, slices, "due-work-notices-recorded")


async def _woken_due_work(
    environment: WorkflowEnvironment, kind: DueKind, reports: list[DueReport], name: str
) -> WorkflowHistory:
    """Is woken from its sleep after the third and the fourth look, and is terminated."""
    answers = Answers(reports)
    async with timers.working(environment.client, answers) as queue:
        flow = await environment.client.start_workflow(contracts.DUE_WORKFLOW, DueInput(kind=kind), id=name, task_queue=queue)
        for looks in (3, 4):
            await rested(answers, looks)
            await flow.signal(contracts.WAKE_SIGNAL)
        await asyncio.sleep(REST_SECONDS)
        await flow.terminate()
        return await flow.fetch_history()


_RUN = RunInput(automation_id=UUID(int=9), organization_id=UUID(int=1), program_id=UUID(int=2))


async def completed_run(environment: WorkflowEnvironment) -> WorkflowHistory:
    """Makes pages, waits for room in the lanes, and ends."""
    full = run_report(events=0, pages=0)
    answers = Answers(runs=[run_report(processed=0), full, run_report(), run_report(RunState.COMPLETED, 1000)])
    async with timers.working(environment.client, answers) as queue:
        await start_automation_run(environment.client, _RUN, queue=queue)
        flow = environment.client.get_workflow_handle(contracts.automation_run_workflow_id(_RUN.automation_id))
        return await ended(flow)


async def cancelled_run(environment: WorkflowEnvironment) -> WorkflowHistory:
    """Is cancelled while it waits for room."""
    answers = Answers(runs=[run_report(), run_report(events=0, pages=0)])
    run = RunInput(automation_id=UUID(int=10), organization_id=UUID(int=1), program_id=UUID(int=2))
    async with timers.working(environment.client, answers) as queue:
        await start_automation_run(environment.client, run, queue=queue)
        flow = environment.client.get_workflow_handle(contracts.automation_run_workflow_id(run.automation_id))
        await looked(answers, 2)
        await flow.signal(contracts.CANCEL_SIGNAL)
        return await ended(flow)


_AUTOMATION = AutomationInput(automation_id=UUID(int=11), organization_id=UUID(int=1), program_id=UUID(int=2))


async def fired_automation(environment: WorkflowEnvironment) -> WorkflowHistory:
    """Sleeps to its moment, lets a fan-out begin, is paused and triggered by hand, and is archived."""
    moments = [automation_report(seconds=0.5), automation_report(has_pending_run=True, execution_status="pending")]
    paused, over = automation_report(AutomationPhase.PAUSED, None), automation_report(AutomationPhase.OVER, None)
    answers = Answers(automations=[*moments, automation_report(), paused, over], runs=[run_report(RunState.COMPLETED, 1000)])
    async with timers.working(environment.client, answers) as queue:
        await start_automation(environment.client, _AUTOMATION, queue=queue)
        flow = environment.client.get_workflow_handle(automation_workflow_id(_AUTOMATION.automation_id))
        await rested(answers, 3)
        await flow.signal(AutomationSignal.PAUSE)
        await rested(answers, 4)
        await flow.signal(AutomationSignal.TRIGGER)
        return await ended(flow)


async def continued_automation(environment: WorkflowEnvironment) -> WorkflowHistory:
    """Is woken until its history is long enough, and continues as new."""
    answers = Answers(automations=[automation_report()])
    async with timers.working(environment.client, answers) as queue:
        await start_automation(environment.client, _AUTOMATION, queue=queue)
        flow = environment.client.get_workflow_handle(automation_workflow_id(_AUTOMATION.automation_id))
        wake_again = partial(start_automation, environment.client, _AUTOMATION, wake=True, queue=queue)
        return await continued(environment.client, flow, wake_again)


async def subscribed_automation(environment: WorkflowEnvironment) -> WorkflowHistory:
    """Evaluates its filter page by page, sleeps to the first date, fires, is asked for an evaluation, and is archived."""
    looks = [automation_report(trigger_type="participant_state", seconds=None, has_subscriptions=True) for _ in range(4)]
    pages = [
        SubscriptionsReport(looked_at=500, more=True),
        SubscriptionsReport(looked_at=120, next_in_seconds=0.5),
        SubscriptionsReport(events=3, next_in_seconds=3600.0),
        SubscriptionsReport(looked_at=620, next_in_seconds=300.0),
    ]
    answers = Answers(automations=[*looks, automation_report(AutomationPhase.OVER, None)], subscriptions=pages)
    async with timers.working(environment.client, answers) as queue:
        await start_automation(environment.client, _AUTOMATION, queue=queue)
        flow = environment.client.get_workflow_handle(automation_workflow_id(_AUTOMATION.automation_id))
        await rested(answers, 3)
        await flow.signal(AutomationSignal.REFRESH)
        await rested(answers, 4)
        await start_automation(environment.client, _AUTOMATION, wake=True, queue=queue)
        return await ended(flow)


_HOLD = HoldInput(hold_id=UUID(int=7), organization_id=UUID(int=1), program_id=UUID(int=2))


async def expired_hold(environment: WorkflowEnvironment) -> WorkflowHistory:
    """Hears of a part that was released, waits for its deadline, and ends there."""
    reports = [hold_report(), hold_report(remaining="30.00", seconds=0.5), hold_report(HoldState.EXPIRED)]
    return await _told_hold(environment, reports, HoldSignal.RELEASED)


async def voided_hold(environment: WorkflowEnvironment) -> WorkflowHistory:
    """Ends before its deadline."""
    return await _told_hold(environment, [hold_report(), hold_report(HoldState.ENDED)], HoldSignal.VOIDED)


async def _told_hold(environment: WorkflowEnvironment, reports: list[HoldReport], what: HoldSignal) -> WorkflowHistory:
    answers = Answers(hold=reports)
    async with timers.working(environment.client, answers) as queue:
        await start_hold(environment.client, _HOLD, queue=queue)
        flow = environment.client.get_workflow_handle(hold_workflow_id(_HOLD.hold_id))
        await rested(answers, 1)
        await flow.signal(what)
        return await ended(flow)


_FULFILLMENT = FulfillmentInput(redemption_id=UUID(int=8), organization_id=UUID(int=1), program_id=UUID(int=2))


async def reported_fulfillment(environment: WorkflowEnvironment) -> WorkflowHistory:
    """Is woken for nothing, and ends by a report."""
    answers = [fulfillment_report(), fulfillment_report(), fulfillment_report(FulfillmentState.FULFILLED)]
    return await _ended_fulfillment(environment, answers, contracts.WAKE_SIGNAL, FulfillmentSignal.REPORTED)


async def failed_fulfillment(environment: WorkflowEnvironment) -> WorkflowHistory:
    """Nobody reports anything until its deadline."""
    answers = [fulfillment_report(seconds=0.5), fulfillment_report(FulfillmentState.FAILED)]
    return await _ended_fulfillment(environment, answers)


async def cancelled_fulfillment(environment: WorkflowEnvironment) -> WorkflowHistory:
    """The redemption is reversed."""
    answers = [fulfillment_report(seconds=None), fulfillment_report(FulfillmentState.FAILED)]
    return await _ended_fulfillment(environment, answers, FulfillmentSignal.CANCELLED)


async def webhook_fulfillment(environment: WorkflowEnvironment) -> WorkflowHistory:
    """The webhook fails, is asked again after a while, and does it."""
    answers = [
        fulfillment_report(attempt_in_seconds=0.0, next_attempt_at=timers.MOMENT),
        fulfillment_report(attempt_in_seconds=0.5, next_attempt_at=timers.MOMENT, attempt_count=1, last_response_status=500),
        fulfillment_report(attempt_in_seconds=0.0, next_attempt_at=timers.MOMENT, attempt_count=1, last_response_status=500),
        fulfillment_report(FulfillmentState.FULFILLED, attempt_count=2, last_response_status=200),
    ]
    made = [("FAILED", 500), ("FULFILLED", 200)]
    attempts = [AttemptReport(number=n, outcome=what, response_status=status) for n, (what, status) in enumerate(made, 1)]
    script = Answers(fulfillments=answers, attempts=attempts)
    async with timers.working(environment.client, script) as queue, timers.asking(environment.client, script):
        await start_fulfillment(environment.client, _FULFILLMENT, queue=queue)
        flow = environment.client.get_workflow_handle(fulfillment_workflow_id(_FULFILLMENT.redemption_id))
        return await ended(flow)


async def unanswered_fulfillment(environment: WorkflowEnvironment) -> WorkflowHistory:
    """The outcome is reported while the webhook is still being asked."""
    answers = [fulfillment_report(attempt_in_seconds=0.0), fulfillment_report(FulfillmentState.FULFILLED)]
    return await _ended_fulfillment(environment, answers, FulfillmentSignal.REPORTED)


async def _ended_fulfillment(
    environment: WorkflowEnvironment, answers: list[FulfillmentReport], *signals: str
) -> WorkflowHistory:
    script = Answers(fulfillments=answers)
    async with timers.working(environment.client, script) as queue:
        await start_fulfillment(environment.client, _FULFILLMENT, queue=queue)
        flow = environment.client.get_workflow_handle(fulfillment_workflow_id(_FULFILLMENT.redemption_id))
        for looks, what in enumerate(signals, 1):
            await rested(script, looks)
            await flow.signal(what)
        return await ended(flow)


_TIER = TierRetentionInput(tier_id=UUID(int=12), organization_id=UUID(int=1), program_id=UUID(int=2))


async def archived_tier(environment: WorkflowEnvironment) -> WorkflowHistory:
    """A period end in two slices, a lapse at its moment, a change that it is woken for, and the archive."""
    answers = [tier_report(holders=600, levels=9, counters=600, more=True), tier_report(seconds=0.5), tier_report(levels=1)]
    script = Answers(tiers=[*answers, tier_report(TierState.ARCHIVED)])
    async with timers.working(environment.client, script) as queue:
        await start_tier_retention(environment.client, _TIER, queue=queue)
        flow = environment.client.get_workflow_handle(tier_retention_workflow_id(_TIER.tier_id))
        await rested(script, 3)
        await flow.signal(contracts.WAKE_SIGNAL)
        return await ended(flow)


async def continued_tier(environment: WorkflowEnvironment) -> WorkflowHistory:
    """Is woken until its history is long enough, and continues as new."""
    tier = _TIER.model_copy(update={"tier_id": UUID(int=13)})
    async with timers.working(environment.client, Answers(tiers=[tier_report(seconds=3600.0)])) as queue:
        await start_tier_retention(environment.client, tier, queue=queue)
        flow = environment.client.get_workflow_handle(tier_retention_workflow_id(tier.tier_id))
        return await continued(environment.client, flow, partial(flow.signal, contracts.WAKE_SIGNAL))


async def reconciliation(environment: WorkflowEnvironment) -> WorkflowHistory:
    """A pass that can't start everything, a check of the books that finds something, and the passes that make up for it."""
    async with timers.working(environment.client, Answers()) as queue:
        flow = await environment.client.start_workflow(contracts.RECONCILE_WORKFLOW, id="reconcile-recorded", task_queue=queue)
        return await ended(flow)


async def moved_clock(environment: WorkflowEnvironment) -> WorkflowHistory:
    """Two slices: one that stops on its way, past the deadline of a hold, and one that arrives."""
    async with timers.working(environment.client, Answers()) as queue:
        wanted = ClockInput(target=timers.MOMENT, seconds=30.0)
        flow = await start_clock(environment.client, wanted, timedelta(seconds=30), queue=queue)
        return await ended(flow)


_REDEMPTION = UUID(int=8)


async def redemption(environment: WorkflowEnvironment) -> WorkflowHistory:
    """Done at the second attempt: the database was away at the first one."""
    script = redeemers.Script(ConnectionError("the database is away"), redeemers.redeemed())
    async with redeemers.working(environment.client, script) as queue:
        flow = await start_redemption(environment.client, redeemers.order(redemption_id=_REDEMPTION), queue=queue)
        return await ended(flow)


async def refused_redemption(environment: WorkflowEnvironment) -> WorkflowHistory:
    """The balance is too small."""
    async with redeemers.working(environment.client, redeemers.Script(redeemers.REFUSED)) as queue:
        flow = await start_redemption(environment.client, redeemers.order(redemption_id=_REDEMPTION), queue=queue)
        with suppress(WorkflowFailureError):
            await flow.result()
        return await flow.fetch_history()


async def reversal(environment: WorkflowEnvironment) -> WorkflowHistory:
    """A part comes back."""
    script = redeemers.Script(redeemers.redeemed(redemption={"amount": "120", "reversed_amount": "30"}))
    async with redeemers.working(environment.client, script) as queue:
        flow = await start_reversal(environment.client, redeemers.return_of(_REDEMPTION, reversal_id=UUID(int=9)), queue=queue)
        return await ended(flow)


async def webhook_endpoint(environment: WorkflowEnvironment) -> WorkflowHistory:
    """Sends in two slices, rests for a block that a change ends, hears of messages, and ends when nothing comes."""
    broken = webhooks.sent(10, delivered=0, blocked="circuit_broken", blocked_until=webhooks.MOMENT, next_in_seconds=300.0)
    answers = webhooks.Answers([webhooks.sent(600, more=True, pending=400), broken, webhooks.sent(400)])
    endpoint = EndpointInput(endpoint_id=UUID(int=11), organization_id=UUID(int=1))
    async with webhooks.working(environment.client, answers) as queue:
        await wake_endpoint(environment.client, endpoint, queue=queue)
        flow = environment.client.get_workflow_handle(endpoint_workflow_id(endpoint.endpoint_id))
        for looks, is_changed in ((2, True), (3, False)):
            await rested(answers, looks)
            await wake_endpoint(environment.client, endpoint, is_changed=is_changed, queue=queue)
        await looked(answers, 4)
        await environment.sleep(WEBHOOK_IDLE + timedelta(seconds=30))
        return await ended(flow)


async def continued_webhook_endpoint(environment: WorkflowEnvironment) -> WorkflowHistory:
    """Sends until its history is long enough, and continues as new."""
    answers = webhooks.Answers([webhooks.sent(1)])
    endpoint = EndpointInput(endpoint_id=UUID(int=12), organization_id=UUID(int=1))
    async with webhooks.working(environment.client, answers) as queue:
        await wake_endpoint(environment.client, endpoint, queue=queue)
        flow = environment.client.get_workflow_handle(endpoint_workflow_id(endpoint.endpoint_id))
        return await continued(environment.client, flow, partial(wake_endpoint, environment.client, endpoint, queue=queue))


async def webhook_retry(environment: WorkflowEnvironment) -> WorkflowHistory:
    """Tries again, is told of an attempt that somebody else made, and is delivered at the fourth."""
    tries = [webhooks.tried(1, next_in_seconds=4.5), webhooks.tried(2, next_in_seconds=300.0, next_attempt_at=webhooks.MOMENT)]
    last = webhooks.tried(4, "DELIVERED", last_response_status=200)
    answers = webhooks.Answers(tries=[*tries, webhooks.tried(3, blocked="circuit_broken", next_in_seconds=0.5), last])
    retry = RetryInput(delivery_id=UUID(int=13), endpoint_id=UUID(int=11), organization_id=UUID(int=1))
    async with webhooks.working(environment.client, answers) as queue:
        await start_retry(environment.client, retry, queue=queue)
        flow = environment.client.get_workflow_handle(retry_workflow_id(retry.delivery_id))
        await rested(answers, 2)
        await flow.signal(contracts.WAKE_SIGNAL)
        await environment.sleep(timedelta(minutes=10))
        return await ended(flow)


async def ledger_seal(environment: WorkflowEnvironment) -> WorkflowHistory:
    """Seals until its history is long enough, and continues as new."""
    script = sealers.Script([sealers.sealed(1000), sealers.sealed(3, unsealed=1, lag_seconds=0.2)], is_endless=True)
    async with sealers.working(environment.client, script) as queue:
        flow = await environment.client.start_workflow(SEAL_WORKFLOW, SealInput(), id="ledger-seal-recorded", task_queue=queue)
        return await continued(environment.client, flow)


@asynccontextmanager
async def _shut_down(environment: WorkflowEnvironment) -> AsyncIterator[WorkflowEnvironment]:
    try:
        yield environment
    finally:
        await environment.shutdown()


SKIPPING: dict[str, Recorder] = {
    "event_lane_idle": idle_lane,
    "due_work_scheduled_events": scheduled_events,
    "due_work_expiry_notices": expiry_notices,
    "automation_run_completed": completed_run,
    "webhook_endpoint_idle": webhook_endpoint,
    "webhook_retry": webhook_retry,
    "fulfillment_webhook": webhook_fulfillment,
    "tier_retention_archived": archived_tier,
    "automation_fired": fired_automation,
    "reconcile": reconciliation,
    "automation_subscribed": subscribed_automation,
}
SHORT: dict[str, Recorder] = {
    "event_lane_continued": continued_lane,
    "lane_sweep": sweep,
    "due_work": due_work,
    "automation_run_cancelled": cancelled_run,
    "automation_continued": continued_automation,
    "hold_expired": expired_hold,
    "hold_voided": voided_hold,
    "fulfillment_reported": reported_fulfillment,
    "fulfillment_failed": failed_fulfillment,
    "fulfillment_cancelled": cancelled_fulfillment,
    "fulfillment_unanswered": unanswered_fulfillment,
    "tier_retention_continued": continued_tier,
    "ledger_seal": ledger_seal,
    "clock": moved_clock,
    "redemption": redemption,
    "redemption_refused": refused_redemption,
    "redemption_reversal": reversal,
    "webhook_endpoint_continued": continued_webhook_endpoint,
}


async def main(names: list[str]) -> None:
    """Write the named histories anew."""
    HISTORIES.mkdir(exist_ok=True)
    for server, recorders in ((servers.time_skipping, SKIPPING), (servers.with_short_histories, SHORT)):
        wanted = {name: recorders[name] for name in recorders if name in names or not names}
        if wanted:
            async with _shut_down(await server()) as environment:
                for name, recorder in wanted.items():
                    _write(name, await recorder(environment))


def _write(name: str, history: WorkflowHistory) -> None:
    file = HISTORIES / f"{name}.json"
    # who recorded it is nobody's business
    text = re.sub(r'"identity": "[^"]*"', '"identity": "recorder"', history.to_json())
    # where it was recorded neither
    text = re.sub(r'"stackTrace": "(?:[^"\\]|\\.)*"', '"stackTrace": ""', text)
    file.write_text(re.sub(r'("buildId"|"binaryChecksum"): "[^"]*"', r'\1: "recorded"', text) + "\n", encoding="utf-8")
    print(f"{file.name}: {len(history.events)} events")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
