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

from workflows import contracts


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


async def ensure_schedules(client: Client, every: timedelta) -> None:
    """Create the schedules, or bring existing ones to this version."""
    schedule = lane_sweep(every)
    try:
        await client.create_schedule(contracts.SWEEP_SCHEDULE, schedule)
    except ScheduleAlreadyRunningError:

        async def renew(_: ScheduleUpdateInput) -> ScheduleUpdate:
            return ScheduleUpdate(schedule)

        await client.get_schedule_handle(contracts.SWEEP_SCHEDULE).update(renew)
