"""Looks that arrive together share a transaction and a round trip, so that a crowd is answered at the cost of a few.

A request waits for its own outlook only. While some are looked up the next ones gather; requests whose turn it is come first.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from dataclasses import dataclass
from typing import NamedTuple

import psycopg
import structlog

from db.session import Database
from runtime.tracing import span, trace_parent
from services import redemptions
from services.redemptions import Glance
from services.tickets import Outlook
from services.transactions import transact

log = structlog.get_logger(__name__)

LOOKERS = 2
GROUP = 50


class Seen(NamedTuple):
    """An outlook, and when the look for it began, by the loop's clock: that may be long after it was asked for."""

    outlook: Outlook
    began: float


@dataclass(frozen=True, slots=True)
class _Waiting:
    glance: Glance
    answer: "asyncio.Future[Seen]"
    trace: str | None


class Looks:
    """Looks for all requests of this process; a statement may take `patience` seconds."""

    def __init__(self, database: Database, patience: float) -> None:
        self._database = database
        self._patience_ms = int(1000 * patience)
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Waiting] = deque()
        self._first: deque[_Waiting] = deque()
        self._idle = LOOKERS
        self._threads = ThreadPoolExecutor(LOOKERS, "look")
        self._tasks: set[asyncio.Task[None]] = set()

    async def look(self, glance: Glance, *, is_first: bool) -> Seen:
        """What there is to see; `is_first`: before all that aren't. Raises what the database raised."""
        answer: asyncio.Future[Seen] = self._loop.create_future()
        (self._first if is_first else self._waiting).append(_Waiting(glance, answer, trace_parent()))
        if self._idle:
            self._idle -= 1
            task = asyncio.create_task(self._work(), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await answer

    async def close(self) -> None:
        """Look for whom there is, then stop."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self._threads.shutdown()

    async def _work(self) -> None:
        try:
            while group := self._take_group():
                await self._answer(group)
        finally:
            self._idle += 1

    def _take_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        for queue in (self._first, self._waiting):
            while queue and len(group) < GROUP:
                one = queue.popleft()
                if not one.answer.done():
                    group.append(one)
        return group

    async def _answer(self, group: Sequence[_Waiting]) -> None:
        began = self._loop.time()
        try:
            outlooks = await self._loop.run_in_executor(self._threads, self._look, group)
        except (psycopg.DataError, psycopg.ProgrammingError) as error:
            if len(group) == 1:
                _fail(group, error)
                return
            # one bad look mustn't fail its neighbours: each gets a transaction of its own
            log.warning("looks_failed", looks=len(group), error=type(error).__name__)
            for one in group:
                await self._answer([one])
        except Exception as error:  # noqa: BLE001 - each request of the group learns of it
            _fail(group, error)
        else:
            for one, outlook in zip(group, outlooks, strict=True):
                if not one.answer.done():
                    one.answer.set_result(Seen(outlook, began))

    def _look(self, group: Sequence[_Waiting]) -> list[Outlook]:
        glances = [one.glance for one in group]
        with span("look", parent=group[0].trace, links=[one.trace for one in group[1:]]):
            return transact(self._database, lambda session: redemptions.glance(session, glances, self._patience_ms))


def _fail(group: Sequence[_Waiting], error: Exception) -> None:
    for one in group:
        if not one.answer.done():
            one.answer.set_exception(error)
