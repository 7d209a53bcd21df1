"""What scheduled events and fan-outs call: make SYSTEM events in short transactions, then wake their lanes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import structlog
from sqlmodel import Session
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from activities.lanes import is_unreachable
from activities.subscriptions import SubscriptionPass
from activities.waking import start_runs, wake_lanes
from db.repositories import event_queue as queue
from db.session import Database, psycopg_of
from runtime.metrics import FAN_OUTS, SYSTEM_EVENTS
from services import fan_outs, scheduled, subscriptions
from services.fan_outs import Progress, Stage
from services.system_events import Made
from services.transactions import transact
from workflows.contracts import DueReport, RunInput, RunReport, RunState

log = structlog.get_logger(__name__)

# One call of the due work fires for about this long, one of a fan-out pages for about that long.
FIRE_SECONDS = 3.0
FAN_OUT_SECONDS = 1.0
# Automations of one transaction.
PAGE_AUTOMATIONS = 100
RUNS_A_PASS = 500
# A lane is first come, first served: a fan-out leaves room, so that the events of others don't wait behind all of it.
LANES_ARE_FULL = 2000
ROOM_POLL_SECONDS = 0.05
WAKE_GAP_SECONDS = 0.2
# After so many failures that aren't the database's absence a fan-out is given up.
MOST_FAILURES = 6
# To list a million participants takes one statement long: meanwhile the flow hears that somebody is at it.
BEAT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class ScheduledActivities:
    """Fires scheduled events, with the database and the Temporal client of this worker."""

    database: Database
    client: Client
    lanes: int

    @activity.defn
    async def fire_due_events(self) -> DueReport:
        """Start the flows of pending fan-outs, then fire what is due until nothing is or the slice of time is over."""
        report = DueReport()
        failed: set[UUID] = set()
        run = SubscriptionPass(self.database, self.lanes)
        await self._start_runs(report)
        deadline = time.monotonic() + FIRE_SECONDS
        while time.monotonic() < deadline and not activity.is_worker_shutdown():
            made = await asyncio.to_thread(self._fire_page, report, failed) or await asyncio.to_thread(run.page)
            if made is None:
                return await asyncio.to_thread(self._finish, report, failed | run.failed)
            await wake_lanes(self.client, made.lanes, self.lanes)
            activity.heartbeat(report.events)
        return (await asyncio.to_thread(self._finish, report, failed | run.failed)).model_copy(update={"more": True})

    async def _start_runs(self, report: DueReport) -> None:
        pending = await asyncio.to_thread(
            transact, self.database, lambda session: fan_outs.runnable(session, RUNS_A_PASS, only_pending=True)
        )
        report.runs = await start_runs(self.client, pending)

    def _fire_page(self, report: DueReport, failed: set[UUID]) -> Made | None:
        """Fire one page; None when nothing is due."""
        page = transact(self.database, lambda session: scheduled.due_now(session, PAGE_AUTOMATIONS, failed))
        return self._fire(page, report, failed) if page else None

    def _fire(self, ids: list[UUID], report: DueReport, failed: set[UUID]) -> Made:
        """In one transaction; when it fails, halves of it, until the culprit stands alone and is left for later."""
        try:
            made = transact(self.database, lambda session: scheduled.fire(session, ids, self.lanes))
        except Exception as error:
            if is_unreachable(error):
                raise
            if len(ids) == 1:
                log.warning("due_failed", automation=str(ids[0]), error=type(error).__name__, exc_info=True)
                failed.update(ids)
                return Made()
            middle = len(ids) // 2
            return self._fire(ids[:middle], report, failed).plus(self._fire(ids[middle:], report, failed))
        report.events += made.events
        report.pages += 1
        SYSTEM_EVENTS.labels("scheduled").inc(made.events)
        return made

    def _finish(self, report: DueReport, failed: set[UUID]) -> DueReport:
        ahead = transact(self.database, lambda session: _seconds_until_next(session, failed))
        return report.model_copy(update={"failed": len(failed), "next_in_seconds": ahead, "finished_at": datetime.now(UTC)})


@dataclass(frozen=True, slots=True)
class FanOutActivities:
    """Brings fan-outs further, with the database and the Temporal client of this worker."""

    database: Database
    client: Client
    lanes: int

    @activity.defn
    async def run_fan_out(self, run: RunInput) -> RunReport:
        """Begin, or make pages until the end or for a slice of time; any number of runs give each participant one event."""
        failures = _failures()
        try:
            return await self._pages(run, failures)
        except Exception as error:
            if is_unreachable(error) or isinstance(error, ApplicationError):
                raise
            if failures + 1 < MOST_FAILURES:
                activity.heartbeat(failures + 1)
                raise
            log.exception("fan_out_given_up", automation=str(run.automation_id))
            return _counted(await self._once(run, fan_outs.give_up))

    @activity.defn
    async def cancel_fan_out(self, run: RunInput) -> RunReport:
        """Stop the fan-out as the API does."""
        return _counted(await self._once(run, fan_outs.cancel))

    async def _pages(self, run: RunInput, failures: int) -> RunReport:
        waking = _Waking(lambda woken: wake_lanes(self.client, woken, self.lanes))
        deadline = time.monotonic() + FAN_OUT_SECONDS
        made, pages = Made(), 0
        while True:
            step = asyncio.to_thread(self._advance, run, has_waited=run.has_waited and not pages)
            progress = await _beating(step, lambda: activity.heartbeat(failures))
            made = made.plus(progress.made)
            pages += bool(progress.looked_at)
            if progress.made.events:
                SYSTEM_EVENTS.labels("fan_out").inc(progress.made.events)
            await waking.note(progress.made.lanes)
            if progress.stage is not Stage.EXECUTING or time.monotonic() > deadline or activity.is_worker_shutdown():
                await waking.close()
                return _counted(_report(progress, made.events, pages))
            if not progress.looked_at:
                await asyncio.sleep(ROOM_POLL_SECONDS)

    def _advance(self, run: RunInput, *, has_waited: bool) -> Progress:
        """The next page; while the lanes are full only a look, unless it has waited long enough."""

        def step(session: Session) -> Progress | None:
            has_room = has_waited or queue.total_backlog(psycopg_of(session), LANES_ARE_FULL) < LANES_ARE_FULL
            return fan_outs.advance(session, run.automation_id, self.lanes, has_room=has_room)

        return _found(transact(self.database, step), run.automation_id)

    async def _once(self, run: RunInput, step: Callable[[Session, UUID], Progress | None]) -> RunReport:
        found = await asyncio.to_thread(transact, self.database, lambda session: step(session, run.automation_id))
        return _report(_found(found, run.automation_id), 0, 0)


def _seconds_until_next(session: Session, failed: set[UUID]) -> float | None:
    found = (scheduled.seconds_until_next(session, failed), subscriptions.seconds_until_next(session, failed))
    return min((seconds for seconds in found if seconds is not None), default=None)


class _Waking:
    """Gathers the lanes of pages and wakes them a few times a second."""

    def __init__(self, wake: Callable[[frozenset[int]], Awaitable[None]]) -> None:
        self._wake = wake
        self._lanes: frozenset[int] = frozenset()
        self._next = 0.0

    async def note(self, lanes: frozenset[int]) -> None:
        self._lanes |= lanes
        if time.monotonic() >= self._next:
            await self.close()
            self._next = time.monotonic() + WAKE_GAP_SECONDS

    async def close(self) -> None:
        woken, self._lanes = self._lanes, frozenset()
        if woken:
            await self._wake(woken)


def _failures() -> int:
    """How often attempts of this call have failed that reached the database; a worker that was killed doesn't count."""
    details = activity.info().heartbeat_details
    return int(details[0]) if details else 0


async def _beating(step: Coroutine[Any, Any, Progress], beat: Callable[[], None]) -> Progress:
    """What a step gives, with a beat now and then while it runs and one at its end."""
    task = asyncio.create_task(step)
    while not task.done():
        await asyncio.wait({task}, timeout=BEAT_SECONDS)
        beat()
    return task.result()


def _found(progress: Progress | None, automation_id: UUID) -> Progress:
    if progress is None:
        raise ApplicationError(f"automation {automation_id} has no fan-out", type="FanOutNotFound", non_retryable=True)
    return progress


def _report(progress: Progress, events: int, pages: int) -> RunReport:
    return RunReport(
        state=RunState(progress.stage),
        event_name=progress.event_name,
        total=progress.total,
        processed=progress.processed,
        error=progress.error,
        events=events,
        pages=pages,
        finished_at=datetime.now(UTC),
    )


def _counted(report: RunReport) -> RunReport:
    """The report; a fan-out that has ended is counted."""
    if report.state not in (RunState.EXECUTING, RunState.WAITING):
        FAN_OUTS.labels(report.state.value).inc()
    return report
