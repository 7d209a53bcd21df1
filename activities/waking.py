"""Waking flows from a worker: lanes that got events, and the due work when rules planned something soon. Best effort."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine
from functools import partial
from uuid import UUID

import structlog
from temporalio.client import Client

from runtime.metrics import LANE_WAKES, TIMER_CALLS
from services.fan_outs import FanOutKey
from workflows.contracts import DueKind, RunInput
from workflows.signals import RPCError, ensure_due_work, start_automation_run, wake_hold, wake_lane

log = structlog.get_logger(__name__)

WAKE_GAP_SECONDS = 0.5


async def wake_lanes(client: Client, woken: Collection[int], lanes: int) -> None:
    """Wake these of `lanes` lanes; what can't be woken is found by the sweep."""
    results = await asyncio.gather(*(wake_lane(client, lane, lanes) for lane in sorted(woken)), return_exceptions=True)
    for lane, error in zip(sorted(woken), results, strict=True):
        LANE_WAKES.labels("failed" if error else "sent").inc()
        if isinstance(error, RPCError):
            log.warning("wake_failed", lane=lane, error=str(error))
        elif error is not None:
            raise error


async def start_runs(client: Client, keys: Collection[FanOutKey]) -> int:
    """Start the flows of fan-outs where they don't run; gives how many run then. The reconciliation finds the others."""
    started = 0
    for key in keys:
        run = RunInput(automation_id=key.automation_id, organization_id=key.organization_id, program_id=key.program_id)
        try:
            await start_automation_run(client, run)
        except RPCError as error:
            log.warning("automation_run_failed", automation=str(key.automation_id), error=str(error))
        else:
            started += 1
    return started


class FlowWaker:
    """Tells flows what a batch of events did, after its commit: there is something of the next minute, a hold was taken from.

    Made on the loop, used from threads. Best effort: the due work looks twice a minute by itself, a hold at its deadline.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._next = 0.0
        self._is_planned = False
        self._tasks: set[asyncio.Task[None]] = set()

    def wake_hold(self, hold_id: UUID) -> None:
        """Have a hold's flow look again; returns at once."""
        self._loop.call_soon_threadsafe(self._keep, self._call(f"wake hold {hold_id}", partial(wake_hold, self._client, hold_id)))

    def wake_due_work(self) -> None:
        """Wake the due work of scheduled events soon, calls that come together by one signal; returns at once."""
        self._loop.call_soon_threadsafe(self._plan)

    def _plan(self) -> None:
        if not self._is_planned:
            self._is_planned = True
            self._loop.call_at(max(self._loop.time(), self._next), self._start)

    def _start(self) -> None:
        self._is_planned = False
        self._next = self._loop.time() + WAKE_GAP_SECONDS
        wake = partial(ensure_due_work, self._client, DueKind.SCHEDULED_EVENTS, wake=True)
        self._keep(self._call("wake scheduled-events", wake))

    def _keep(self, call: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(call)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _call(self, name: str, call: Callable[[], Awaitable[None]]) -> None:
        try:
            await call()
        except RPCError as error:
            TIMER_CALLS.labels("failed").inc()
            log.warning("timer_call_failed", call=name, error=str(error))
        else:
            TIMER_CALLS.labels("sent").inc()
