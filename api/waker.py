"""Waking lanes: at most one signal in flight per lane and process; what arrives meanwhile sets a dirty bit (ADR 1)."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context

import structlog

from runtime.metrics import LANE_WAKES
from workflows.signals import RPCError

log = structlog.get_logger(__name__)

# A lane that was signalled drains until it is empty, so under load a signal soon after another one does nothing: the gap
# between two grows while they keep coming. A signal costs the Temporal server some milliseconds.
SHORTEST_GAP_SECONDS = 0.01
LONGEST_GAP_SECONDS = 0.2
RETRY_SECONDS = 1.0


class LaneWaker:
    """Sends wake signals for the events this process accepted.

    A signal that fails is repeated; one that is lost costs the sweep's delay.
    """

    def __init__(self, signal: Callable[[int], Awaitable[None]]) -> None:
        self._signal = signal
        self._dirty: set[int] = set()
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def wake(self, lanes: set[int]) -> None:
        """Note that these lanes have new events; returns at once."""
        self._dirty |= lanes
        for lane in lanes:
            if lane not in self._tasks:
                self._tasks[lane] = asyncio.create_task(self._run(lane), context=Context())

    async def close(self) -> None:
        """Stop signalling; the sweep wakes what was not."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, lane: int) -> None:
        gap = SHORTEST_GAP_SECONDS
        try:
            while lane in self._dirty:
                self._dirty.discard(lane)
                try:
                    await self._signal(lane)
                except (RPCError, RuntimeError) as error:
                    # RuntimeError is what a client that has never reached Temporal raises
                    LANE_WAKES.labels("failed").inc()
                    log.warning("wake_failed", lane=lane, error=str(error))
                    self._dirty.add(lane)
                    await asyncio.sleep(RETRY_SECONDS)
                else:
                    LANE_WAKES.labels("sent").inc()
                    await asyncio.sleep(gap)
                    gap = min(2 * gap, LONGEST_GAP_SECONDS)
        finally:
            del self._tasks[lane]
