"""Turns: so many at once, first come, first served. Whoever waits goes on waiting for as long as those before get on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from domain.errors import ServiceUnavailable


class Turns:
    """At most so many at once; who waits gives up when nobody got on for `patience` seconds, or after `most_seconds`."""

    def __init__(self, at_once: int, patience: float, most_seconds: float) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._patience = patience
        self._most_seconds = most_seconds
        self._loop = asyncio.get_running_loop()
        self._got_on = self._loop.time()

    def got_on(self) -> None:
        """Somebody who had a turn came to an end."""
        self._got_on = self._loop.time()

    @asynccontextmanager
    async def take(self) -> AsyncIterator[bool]:
        """Take a turn for the block; gives whether there was a wait. ServiceUnavailable when it was for nothing."""
        has_waited = self._free.locked()
        if has_waited:
            await self._wait()
        else:
            await self._free.acquire()
        try:
            yield has_waited
        finally:
            self._free.release()

    async def _wait(self) -> None:
        arrived = self._loop.time()
        turn = asyncio.ensure_future(self._free.acquire())
        try:
            while not turn.done():
                until = min(max(arrived, self._got_on) + self._patience, arrived + self._most_seconds)
                if until <= self._loop.time():
                    raise ServiceUnavailable
                await asyncio.wait({turn}, timeout=until - self._loop.time())
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._free.release()
            turn.cancel()
            raise
