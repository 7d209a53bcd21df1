"""What lanes call: drain one lane in short transactions; find lanes whose wake signal was lost."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from temporalio import activity
from temporalio.client import Client

from db.repositories import event_queue as queue
from db.repositories import processing as rows
from db.repositories.webhook_sending import EndpointKey, due_endpoints
from db.session import Connection, Database
from runtime.metrics import EVENT_BATCH_SECONDS, EVENT_BATCH_SIZE, EVENT_LAG_SECONDS, EVENT_POSTED_SECONDS, EVENTS_PROCESSED
from runtime.tracing import note
from services.processing import BATCH_EVENTS, Batch, Locks, StartAgain, give_up_or_postpone, process_batch
from services.transactions import is_transient
from workflows.contracts import DrainInput, DrainReport, SweepReport
from workflows.contracts_webhooks import EndpointInput
from workflows.signals import wake_lane
from workflows.webhook_signals import wake_endpoint

log = structlog.get_logger(__name__)

# One call drains for about this long: then other lanes of this worker have their turn, and the flow renews its details.
SLICE_SECONDS = 0.3
FIRST_BATCH = 64
SMALLEST_BATCH = 8
CONFLICT_RETRIES = 20
ENDPOINTS_A_PASS = 200
# The server is going away, coming up, or out of connections; everything of class 08 is a lost connection.
_GOING_AWAY = frozenset({"57P01", "57P02", "57P03", "53300"})


@dataclass(frozen=True, slots=True)
class LaneActivities:
    """The activities of event lanes, with the database of this worker.

    After a commit: `wake_due_work` when it planned SYSTEM events of the next minute, `wake_hold` for each hold with a flow that a
    rule took from.
    """

    database: Database
    wake_due_work: Callable[[], None] = lambda: None
    wake_hold: Callable[[UUID], None] = lambda _: None

    @activity.defn(no_thread_cancel_exception=True)
    def drain_lane(self, call: DrainInput) -> DrainReport:
        """Process the lane's events until none is left or its slice of time is over; any number of runs have one effect."""
        report = DrainReport()
        deadline = time.monotonic() + SLICE_SECONDS
        size = FIRST_BATCH
        while True:
            began = time.monotonic()
            batch = self._drain_once(call.lane, size)
            size = next_size(size, batch)
            if batch.busy or not batch.taken:
                return self._finish(call.lane, report, busy=batch.busy)
            _note(report, batch, time.monotonic() - began)
            if batch.plans_soon:
                self.wake_due_work()
            for hold_id in batch.lowered_holds:
                self.wake_hold(hold_id)
            if time.monotonic() > deadline:
                return self._finish(call.lane, report, more=True)

    def _drain_once(self, lane: int, limit: int) -> Batch:
        """One batch; when it fails, halves of it, until the culprit stands alone and its attempt is counted."""
        while True:
            try:
                return self._transact(lane, limit)
            except Exception as error:
                # while the database can't be reached nothing counts as an attempt: Temporal tries again
                if limit == 1 or is_unreachable(error):
                    raise
                log.warning("batch_failed", lane=lane, limit=limit, error=type(error).__name__)
                limit //= 2

    def _transact(self, lane: int, limit: int) -> Batch:
        """One transaction, again with more locks where they came too late, and where the database asks for it."""
        locks = Locks()
        for _ in range(CONFLICT_RETRIES):
            try:
                with self.database.connection("lane batch") as conn:
                    note(lane=lane)
                    batch = _alone(conn, lane, locks) if limit == 1 else process_batch(conn, lane, limit=limit, locks=locks)
                return batch.committed()
            except StartAgain as late:
                locks = locks.plus(late)
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("batch_conflict", lane=lane)
        return Batch(busy=True)

    def _finish(self, lane: int, report: DrainReport, *, busy: bool = False, more: bool = False) -> DrainReport:
        with self.database.connection() as conn:
            backlog = queue.backlog(conn, lane)
            retry = queue.next_attempt_in(conn, lane) if backlog else None
        return report.model_copy(
            update={
                "backlog": backlog,
                "busy": busy,
                "more": more,
                "retry_in_seconds": retry,
                "finished_at": datetime.now(UTC),
            }
        )


def _alone(conn: Connection, lane: int, locks: Locks) -> Batch:
    """One event. Its lane stays locked while its failure is counted: nobody else's can be taken for it."""
    if not queue.lock_lane(conn, lane):
        return Batch(busy=True)
    try:
        with conn.transaction():
            return process_batch(conn, lane, limit=1, locks=locks)
    except StartAgain:
        raise
    except Exception as error:
        if is_unreachable(error) or is_transient(error):
            raise
        culprit = queue.take_events(conn, lane, 1)
        ids = {"event_id": str(culprit[0].event.id), "attempt": culprit[0].attempts + 1} if culprit else {}
        log.warning("event_attempt_failed", lane=lane, error=type(error).__name__, exc_info=True, **ids)
        return give_up_or_postpone(conn, lane)


def next_size(size: int, batch: Batch) -> int:
    """How many events to load next: twice as many while all fit the time box, else about as many as did."""
    if batch.events < batch.taken:
        return max(SMALLEST_BATCH, batch.events)
    return min(BATCH_EVENTS, 2 * size) if batch.taken == size else size


def _note(report: DrainReport, batch: Batch, seconds: float) -> None:
    report.events += batch.events
    report.failed += batch.failed
    report.entries += batch.entries
    report.batches += 1
    report.last_batch_events = batch.events
    report.last_batch_ms = round(seconds * 1000, 1)
    EVENTS_PROCESSED.labels("FAILED").inc(batch.failed)
    EVENTS_PROCESSED.labels("COMPLETED").inc(batch.events - batch.failed)
    EVENT_BATCH_SECONDS.observe(seconds)
    EVENT_BATCH_SIZE.observe(batch.events)
    if batch.accepted:
        now = datetime.now(UTC)
        waited = [max(0.0, (now - moment).total_seconds()) for moment in batch.accepted]
        EVENT_LAG_SECONDS.observe(waited[0])
        for age in waited:
            EVENT_POSTED_SECONDS.observe(age)


def is_unreachable(error: Exception) -> bool:
    """Whether the database could not be reached, rather than refused something."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, psycopg.Error):
        state = cause.sqlstate
        lost = state is None and isinstance(cause, (psycopg.OperationalError, psycopg.InterfaceError))
        return lost or (state is not None and (state.startswith("08") or state in _GOING_AWAY))
    return isinstance(error, PoolTimeout)


@dataclass(frozen=True, slots=True)
class SweepActivities:
    """The sweep, with the database and the Temporal client of this worker."""

    database: Database
    client: Client
    lanes: int
    older_than_seconds: float

    @activity.defn
    async def sweep_lanes(self) -> SweepReport:
        """Wake every lane and webhook endpoint with what has waited too long, and keep the coming months' partitions ready."""
        lanes, endpoints = await asyncio.to_thread(self._look)
        for lane in lanes:
            await wake_lane(self.client, lane, self.lanes)
        for key in endpoints:
            endpoint = EndpointInput(endpoint_id=key.endpoint_id, organization_id=key.organization_id)
            await wake_endpoint(self.client, endpoint)
        return SweepReport(woken=lanes, endpoints=len(endpoints))

    def _look(self) -> tuple[list[int], list[EndpointKey]]:
        with self.database.connection() as conn:
            rows.ensure_partitions(conn)
            since = timedelta(seconds=self.older_than_seconds)
            return queue.waiting_lanes(conn, since.total_seconds()), due_endpoints(conn, since, ENDPOINTS_A_PASS)
