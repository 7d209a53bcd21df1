"""What the due work of notices calls: announce lots that expire soon, in short transactions."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog
from temporalio import activity

from activities.due import post_all_due
from activities.lanes import is_unreachable
from db.session import Database
from services import expiry_notices
from services.transactions import transact
from workflows.contracts import DueReport

log = structlog.get_logger(__name__)

# One call works for about this long, so that its flow renews its details and a stopping worker can wait for it.
SLICE_SECONDS = 3.0
# Holders' days of one transaction: the holders are locked while it runs.
PAGE_PLACES = 50


@dataclass(frozen=True, slots=True)
class NoticeActivities:
    """Announces, with the database of this worker; any number of runs have one effect."""

    database: Database

    @activity.defn
    def announce_expiry(self) -> DueReport:
        """Announce what the latest midnight has to, until that is done or the slice of time is over."""
        deadline = time.monotonic() + SLICE_SECONDS
        run = _Run(self.database)
        try:
            if not transact(self.database, expiry_notices.is_done):
                # what ended at midnight has ended before anything is announced: holds give lots back
                post_all_due(self.database, None, lambda: _beat(deadline))
            while run.page():
                _beat(deadline)
        except _OutOfTime:
            return self._finish(run, more=True)
        return self._finish(run)

    def _finish(self, run: "_Run", *, more: bool = False) -> DueReport:
        ahead = transact(self.database, expiry_notices.seconds_until_next)
        return run.report.model_copy(update={"more": more, "next_in_seconds": ahead, "finished_at": datetime.now(UTC)})


class _OutOfTime(Exception):
    """The slice of time is over, or the worker stops."""


def _beat(deadline: float) -> None:
    activity.heartbeat()
    if time.monotonic() > deadline or activity.is_worker_shutdown():
        raise _OutOfTime


def announce_all(database: Database, until: datetime, beat: Callable[[], None]) -> None:
    """Announce all that the midnight before a moment, which has come, has to; `beat` is called after each page."""
    run = _Run(database, until)
    while run.page():
        beat()


@dataclass(slots=True)
class _Run:
    """Pages of the latest midnight, or of that before the moment `until`."""

    database: Database
    until: datetime | None = None
    limit: int = PAGE_PLACES
    report: DueReport = field(default_factory=DueReport)

    def page(self) -> bool:
        """Announce one page; False when the midnight is done."""
        if transact(self.database, lambda session: expiry_notices.is_done(session, self.until)):
            return False
        try:
            announced = transact(self.database, lambda session: expiry_notices.announce(session, self.limit, self.until))
        except Exception as error:
            if is_unreachable(error) or self.limit == 1:
                raise
            # half as many next time, until the culprit stands alone and is left for the next midnight
            self.limit //= 2
            return True
        self.limit = min(2 * self.limit, PAGE_PLACES)
        if announced is None:
            return False
        self.report.notices += announced.sets
        self.report.pages += 1
        if announced.error is not None:
            log.warning("notice_failed", error=type(announced.error).__name__, exc_info=announced.error)
            self.report.failed += 1
        return True
