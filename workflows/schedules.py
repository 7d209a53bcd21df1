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
from temporalio.service import RPCError, RPCStatusCode

from workflows import contracts, policies
from workflows.signals import SIGNAL_TIMEOUT


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
    """Every few minutes, never two at once; a missed run isn't made up for. Workers trigger one when they start."""
    return Schedule(
        action=ScheduleActionStartWorkflow(
            contracts.RECONCILE_WORKFLOW,
            id="reconcile",
            task_queue=contracts.LEDGER_QUEUE,
            static_summary="starts flows that ought to run and don't, checks the books",
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=policies.RECONCILE_EVERY)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(seconds=10)),
    )


async def has_schedules(client: Client) -> bool:
    """Whether Temporal's store knows the schedules; a new one doesn't. Raises RPCError."""
    try:
        for name in (contracts.SWEEP_SCHEDULE, contracts.RECONCILE_SCHEDULE):
            await client.get_schedule_handle(name).describe(rpc_timeout=SIGNAL_TIMEOUT)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True


async def reconcile_now(client: Client) -> None:
    """Have the reconciliation run now, unless it does. Raises RPCError."""
    handle = client.get_schedule_handle(contracts.RECONCILE_SCHEDULE)
    await handle.trigger(overlap=ScheduleOverlapPolicy.SKIP, rpc_timeout=SIGNAL_TIMEOUT)


async def ensure_schedules(client: Client, every: timedelta) -> None:
    """Create the schedules, or bring existing ones to this version."""
    await _ensure(client, contracts.SWEEP_SCHEDULE, lane_sweep(every))
    await _ensure(client, contracts.RECONCILE_SCHEDULE, reconcile())


async def _ensure(client: Client, name: str, schedule: Schedule) -> None:
    try:
        await client.create_schedule(name, schedule)
    except ScheduleAlreadyRunningError:

        async def renew(_: ScheduleUpdateInput) -> ScheduleUpdate:
            return ScheduleUpdate(schedule)

        await client.get_schedule_handle(name).update(renew)
