"""Turns: so many at once, first come, first served. Whoever waits goes on waiting for as long as those before get on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

# At least so much between two things that one does meanwhile.
PAUSE_SECONDS = 1.5


class NobodyGotOnError(Exception):
    """The time of a turn was over before it came."""


class Turn(NamedTuple):
    """A turn lasts until `deadline`, of the loop's clock, which may move on; `has_waited`: what was known may be old."""

    deadline: Callable[[], float]
    has_waited: bool


class Turns:
    """At most so many at once. Time is over `patience` seconds after the last sign that turns lead to something.

    No sign counts from before an arrival, and nobody waits longer than `most_seconds`.
    """

    def __init__(self, at_once: int, patience: float, most_seconds: float) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._patience = patience
        self._most_seconds = most_seconds
        self._loop = asyncio.get_running_loop()
        self._got_on = self._loop.time()
        self._news: asyncio.Future[None] = self._loop.create_future()
        self._told = 0

    def got_on(self) -> None:
        """What the turns are for has worked, for somebody who had one."""
        self._got_on = self._loop.time()

    def tell(self) -> None:
        """Something was learnt in a turn that may concern those who wait."""
        self._told += 1
        self._news.set_result(None)
        self._news = self._loop.create_future()

    @asynccontextmanager
    async def take(self, arrived: float, meanwhile: Callable[[], Awaitable[object]]) -> AsyncIterator[Turn]:
        """Take a turn for the block. Who waits does something `meanwhile` when there is news; what it raises ends the wait.

        NobodyGotOnError.
        """
        has_waited = self._free.locked()
        if has_waited:
            await self._wait(arrived, meanwhile)
        else:
            await self._free.acquire()
        try:
            yield Turn(partial(self._deadline, arrived), has_waited)
        finally:
            self._free.release()

    def _deadline(self, arrived: float) -> float:
        return min(max(arrived, self._got_on) + self._patience, arrived + self._most_seconds)

    async def _wait(self, arrived: float, meanwhile: Callable[[], Awaitable[object]]) -> None:
        turn: asyncio.Future[Any] = asyncio.ensure_future(self._free.acquire())
        known, looked = self._told, arrived
        try:
            while not turn.done():
                now, until = self._loop.time(), self._deadline(arrived)
                if until <= now:
                    raise NobodyGotOnError
                if known != self._told and looked + PAUSE_SECONDS <= now:
                    known, looked = self._told, now
                    await meanwhile()
                    continue
                wake = until if known == self._told else min(until, looked + PAUSE_SECONDS)
                await asyncio.wait([turn, self._news], timeout=wake - now, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._free.release()
            turn.cancel()
            raise
