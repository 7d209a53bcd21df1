"""Temporal Schedules of the product's own periodic flows (ADR 1): overlap, catch-up and jitter are chosen here."""

from datetime import timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)

from workflows import contracts, policies


def lane_sweep(every: timedelta) -> Schedule:
    """Every few seconds, never two at once, and a missed pass isn't made up for: the next one does all the work."""
    return Schedule(
        action=ScheduleActionStartWorkflow(
            contracts.SWEEP_WORKFLOW,
            id="lane-sweep",
            task_queue=contracts.LEDGER_QUEUE,
            static_summary="wakes lanes whose events have waited too long",
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(seconds=10)),
    )


def reconcile() -> Schedule:
    """Twice a minute, never two at once; a missed pass isn't made up for."""
    return Schedule(
        action=ScheduleActionStartWorkflow(
            contracts.RECONCILE_WORKFLOW,
            id="reconcile",
            task_queue=contracts.LEDGER_QUEUE,
            static_summary="starts flows that ought to run and don't",
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=policies.RECONCILE_EVERY)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(seconds=10)),
    )


async def ensure_schedules(client: Client, every: timedelta) -> None:
    """Create the schedules and run each once, or bring existing ones to this version."""
    await _ensure(client, contracts.SWEEP_SCHEDULE, lane_sweep(every))
    await _ensure(client, contracts.RECONCILE_SCHEDULE, reconcile())


async def _ensure(client: Client, name: str, schedule: Schedule) -> None:
    try:
        await client.create_schedule(name, schedule, trigger_immediately=True)
    except ScheduleAlreadyRunningError:

        async def renew(_: ScheduleUpdateInput) -> ScheduleUpdate:
            return ScheduleUpdate(schedule)

        await client.get_schedule_handle(name).update(renew)
