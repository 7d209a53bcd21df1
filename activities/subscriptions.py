"""What flows of automations and the due work call for subscriptions: evaluate filters, fire what is due, in short steps."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import structlog
from sqlmodel import Session
from temporalio import activity
from temporalio.client import Client

from activities.lanes import is_unreachable
from activities.waking import wake_lanes
from db.repositories import event_queue as queue
from db.repositories.processing import clock
from db.session import Database, psycopg_of
from runtime.metrics import SYSTEM_EVENTS
from services import evaluations, subscriptions
from services.system_events import Made
from services.transactions import transact
from workflows.contracts_automation import AutomationInput, SubscriptionsReport

log = structlog.get_logger(__name__)

# One call works for about this long.
SLICE_SECONDS = 1.0
# Subscriptions of one transaction.
PAGE = 500
# A lane is first come, first served: what is due for many leaves room for the events of others, but for one page a call.
LANES_ARE_FULL = 2000
ROOM_POLL_SECONDS = 0.05


@dataclass(slots=True)
class SubscriptionPass:
    """Pages of due subscriptions, of one automation or of all; `failed` ones are left for later."""

    database: Database
    lanes: int
    automation_id: UUID | None = None
    failed: set[UUID] = field(default_factory=set)
    _pages: int = 0

    def page(self) -> Made | None:
        """Fire one page, or pause where the lanes are full; None when nothing is due."""
        ids = transact(
            self.database, lambda session: subscriptions.due_now(session, PAGE, self.failed, automation_id=self.automation_id)
        )
        if not ids:
            return None
        if self._pages and transact(self.database, _is_full):
            time.sleep(ROOM_POLL_SECONDS)
            return Made()
        self._pages += 1
        made = self._fire(ids)
        SYSTEM_EVENTS.labels("subscription").inc(made.events)
        return made

    def _fire(self, ids: list[UUID]) -> Made:
        """In one transaction; when it fails, halves of it, until the culprit stands alone, whose failure is counted."""
        try:
            return transact(self.database, lambda session: subscriptions.fire(session, ids, self.lanes))
        except Exception as error:
            if is_unreachable(error):
                raise
            if len(ids) > 1:
                middle = len(ids) // 2
                return self._fire(ids[:middle]).plus(self._fire(ids[middle:]))
            log.warning("subscription_failed", subscription=str(ids[0]), error=type(error).__name__, exc_info=True)
        self.failed.update(ids)
        transact(self.database, partial(subscriptions.note_failure, subscription_id=ids[0]))
        return Made()


@dataclass(frozen=True, slots=True)
class SubscriptionActivities:
    """Looks after the subscriptions of single automations, with the database and the Temporal client of this worker."""

    database: Database
    client: Client
    lanes: int

    @activity.defn
    async def attend_subscriptions(self, call: AutomationInput) -> SubscriptionsReport:
        """Evaluate the filter where that is due, fire what is due, until nothing is or the slice of time is over."""
        report = SubscriptionsReport()
        run = SubscriptionPass(self.database, self.lanes, call.automation_id)
        deadline = time.monotonic() + SLICE_SECONDS
        evaluate = partial(evaluations.advance, automation_id=call.automation_id)
        while True:
            step = await asyncio.to_thread(transact, self.database, evaluate)
            made = await asyncio.to_thread(run.page)
            report.looked_at += step.looked_at
            if made is not None:
                report.events += made.events
                await wake_lanes(self.client, made.lanes, self.lanes)
            is_idle = made is None and not step.is_under_way
            if is_idle or time.monotonic() > deadline or activity.is_worker_shutdown():
                ahead = await asyncio.to_thread(transact, self.database, partial(_ahead, run=run))
                update = {"more": not is_idle, "next_in_seconds": ahead, "finished_at": datetime.now(UTC)}
                return report.model_copy(update=update)


def _ahead(session: Session, run: SubscriptionPass) -> float | None:
    """From the database's clock to the next moment of the automation's subscriptions or evaluations."""
    assert run.automation_id is not None
    conn = psycopg_of(session)
    now = clock(conn)
    due = subscriptions.seconds_until_next(session, run.failed, run.automation_id)
    evaluation = evaluations.next_at(conn, run.automation_id, now)
    found = [due, None if evaluation is None else (evaluation - now).total_seconds()]
    return min((seconds for seconds in found if seconds is not None), default=None)


def _is_full(session: Session) -> bool:
    return queue.total_backlog(psycopg_of(session), LANES_ARE_FULL) >= LANES_ARE_FULL
