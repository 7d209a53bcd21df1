"""Checking the books, a part of them at each call: what breaks an invariant is counted, logged and named."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import structlog
from temporalio import activity

from activities.lanes import is_unreachable
from db.session import Database
from runtime.metrics import INVARIANT_VIOLATIONS
from services import books, invariants
from services.books import Page
from services.transactions import transact
from workflows.contracts_reconcile import BooksPlace, BooksReport, Breach

log = structlog.get_logger(__name__)

# One call checks for about this long; the next goes on where it stopped.
SLICE_SECONDS = 10.0
# Entries of a window, whose accounts are looked at whole.
PAGE_ENTRIES = 2000
# Balances of a page that are looked at for postings.
PAGE_BALANCES = 2000
# Rows of a check that one page tells of, and breaches that are handed on.
A_PAGE = 5
MOST_NAMED = 50
# A process that hasn't checked anything for this long doesn't know any more.
REMEMBERED_SECONDS = 1200.0


class Findings:
    """The gauge of this process: what the last look at each invariant found, as long as that isn't too long ago."""

    def __init__(self) -> None:
        self._noted_at: float | None = None

    def note(self, place: BooksPlace) -> None:
        """Show what this round and the one before found."""
        self._noted_at = time.monotonic()
        for check in invariants.ALL:
            INVARIANT_VIOLATIONS.labels(check.name).set(place.broken.get(check.name, 0))

    def forget_old(self) -> None:
        """Show nothing that another process may know better by now."""
        if self._noted_at is not None and time.monotonic() - self._noted_at > REMEMBERED_SECONDS:
            self._noted_at = None
            INVARIANT_VIOLATIONS.clear()


findings = Findings()


@dataclass(frozen=True, slots=True)
class BooksActivities:
    """Checks the books, with the database of this worker."""

    database: Database

    @activity.defn(no_thread_cancel_exception=True)
    def check_books(self, place: BooksPlace) -> BooksReport:
        """Go on checking, organization by organization and window by window, to the end of the round or the slice of time."""
        deadline = time.monotonic() + SLICE_SECONDS
        beat = partial(activity.heartbeat, place.organization_id)
        run = _Round(self.database, BooksReport(place=place.model_copy(deep=True)), beat)
        run.page()
        while not run.report.is_round and time.monotonic() < deadline and not activity.is_worker_shutdown():
            run.page()
        findings.note(run.report.place)
        return run.report


@dataclass(slots=True)
class _Round:
    """One call's pages."""

    database: Database
    report: BooksReport
    beat: Callable[[], None]

    def page(self) -> None:
        """Check the next page of entries; after the last one, of accounts that no entry leads to."""
        place = self.report.place
        page = transact(self.database, lambda session: books.next_page(session, place.organization_id, place.since, PAGE_ENTRIES))
        self.report.pages += 1
        if page is None:
            self._look_for_unposted()
            return
        self._check(page)
        place.organization_id, place.since = page.organization_id, page.until

    def _check(self, page: Page) -> None:
        for check in invariants.ALL:
            self.beat()
            try:
                found = transact(self.database, partial(books.check_page, page=page, check=check, limit=A_PAGE))
            except Exception as error:
                if is_unreachable(error):
                    raise
                self.report.failed += 1
                log.exception("invariant_not_checked", check=check.name, organization=str(page.organization_id))
                continue
            for violation in found:
                self._note(page.organization_id, violation)

    def _look_for_unposted(self) -> None:
        """Look at the next page of accounts, and end the round with the last one, or with one that can't be looked at."""
        place = self.report.place
        self.beat()
        look = partial(books.unposted_accounts, after=place.holder_id, balances=PAGE_BALANCES, limit=A_PAGE)
        try:
            page = transact(self.database, look)
        except Exception as error:
            if is_unreachable(error):
                raise
            self.report.failed += 1
            log.exception("invariant_not_checked", check=invariants.BALANCES_MATCH.name, after=str(place.holder_id))
            self._end()
            return
        for organization_id, violation in page.found:
            self._note(organization_id, violation)
        place.holder_id = page.until
        if page.until is None:
            self._end()

    def _note(self, organization_id: UUID, violation: invariants.Violation) -> None:
        place, name = self.report.place, violation.check.name
        breach = Breach(check=name, organization_id=organization_id, row=str(violation).partition(": ")[2])
        log.error("invariant_violated", check=name, organization=str(organization_id), row=breach.row)
        place.found[name] = place.found.get(name, 0) + 1
        if len(place.breaches) < MOST_NAMED:
            place.breaches.append(breach)

    def _end(self) -> None:
        """The next round begins anew; what this one found stands until then."""
        place = self.report.place
        self.report.is_round = True
        self.report.place = BooksPlace(found_before=place.found, breaches_before=place.breaches)
