"""Group commit: submissions that arrive together are stored by one transaction (ADR 1).

A request waits for its own answer only. While one group is being stored the next one gathers, so a lone event is stored at
once and a flood shares transactions.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from dataclasses import dataclass, replace

import psycopg
import structlog

from api.waker import LaneWaker
from db.session import Database
from runtime.metrics import EVENTS_ACCEPTED, EVENTS_REPLAYED, INGEST_GROUP_SIZE
from runtime.tracing import span, trace_parent
from services.ingest import Accepted, Result, Submission, accept

log = structlog.get_logger(__name__)

FLUSHERS = 2
GROUP_EVENTS = 1000


@dataclass(frozen=True, slots=True)
class _Waiting:
    """One request's submissions and where its answer goes."""

    submissions: Sequence[Submission]
    answer: asyncio.Future[list[Result]]
    trace: str | None


class EventIngest:
    """Stores events for all requests of this process; made and closed by the application's lifespan."""

    def __init__(self, database: Database, waker: LaneWaker, lanes: int) -> None:
        self._database = database
        self._waker = waker
        self._lanes = lanes
        self._waiting: list[_Waiting] = []
        self._idle = FLUSHERS
        self._threads = ThreadPoolExecutor(FLUSHERS, "ingest")
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, submissions: Sequence[Submission]) -> list[Result]:
        """Store events, durably before this returns; one result for each, in order.

        Raises what the database raised when the submissions couldn't be stored even alone.
        """
        answer: asyncio.Future[list[Result]] = asyncio.get_running_loop().create_future()
        trace = trace_parent()
        if trace is not None:
            submissions = [replace(submission, trace_parent=trace) for submission in submissions]
        self._waiting.append(_Waiting(submissions, answer, trace))
        if self._idle:
            self._idle -= 1
            task = asyncio.create_task(self._flush(), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await answer

    async def close(self) -> None:
        """Store what is waiting, then stop."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self._threads.shutdown()

    async def _flush(self) -> None:
        try:
            while self._waiting:
                group = self._take_group()
                try:
                    await self._store(group)
                except Exception as error:  # noqa: BLE001 - each request of the group learns of it
                    _fail(group, error)
        finally:
            self._idle += 1

    def _take_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        size = 0
        while self._waiting and size < GROUP_EVENTS:
            request = self._waiting.pop(0)
            size += len(request.submissions)
            group.append(request)
        return group

    async def _store(self, group: list[_Waiting]) -> None:
        try:
            results = await self._in_thread(group)
        except psycopg.Error as error:
            if len(group) == 1:
                raise
            # one bad request must not refuse its neighbours: each gets a transaction of its own
            log.warning("ingest_group_failed", requests=len(group), error=type(error).__name__)
            for request in group:
                try:
                    await self._store([request])
                except psycopg.Error as own:
                    _fail([request], own)
            return
        self._answer(group, results)

    async def _in_thread(self, group: list[_Waiting]) -> list[Result]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._transact, group)

    def _transact(self, group: list[_Waiting]) -> list[Result]:
        submissions = [submission for request in group for submission in request.submissions]
        others = [request.trace for request in group[1:]]
        with span("store events", parent=group[0].trace, links=others), self._database.connection() as conn:
            return accept(conn, submissions, self._lanes)

    def _answer(self, group: list[_Waiting], results: list[Result]) -> None:
        accepted = [result for result in results if isinstance(result, Accepted)]
        fresh = [result.lane for result in accepted if result.lane is not None]
        INGEST_GROUP_SIZE.observe(len(results))
        EVENTS_ACCEPTED.inc(len(fresh))
        EVENTS_REPLAYED.inc(len(accepted) - len(fresh))
        self._waker.wake(set(fresh))
        position = 0
        for request in group:
            end = position + len(request.submissions)
            if not request.answer.done():
                request.answer.set_result(results[position:end])
            position = end


def _fail(group: Sequence[_Waiting], error: Exception) -> None:
    for request in group:
        if not request.answer.done():
            request.answer.set_exception(error)
