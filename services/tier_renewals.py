"""Renewals: a tier's new lifecycle is in force at once, and the rows of its holders follow page by page (tiers.md 2.4).

Until they have, whoever visits a holder reads its standings as the new lifecycle has them, and counts it as due. A holder is
renewed by visiting it, too: so a renewal is a pass over everybody, each page in short transactions, with nobody locked out.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from db.repositories import tier_renewals as repository
from db.repositories.tier_renewals import BEGINNING, Renewal
from db.session import Connection, Database, psycopg_of
from domain.tiers.qualification import first_due
from domain.tiers.resource import TierRecord
from services.transactions import transact

# Holders of an organization that one page looks at, and those of them that are renewed, and locked meanwhile, at once.
PAGE = 1000
PART = 100
# Everybody is looked at twice, the second time so long after the change that no transaction knows the tier as it was.
PASSES = 2
SETTLED_AFTER_SECONDS = 30.0
# Of a pass that left somebody out; it doesn't count.
INCOMPLETE = -1

# Of a page of holders the work of a transaction that brings them up to date.
Visit = Callable[[list[UUID]], Callable[[Session], object]]


@dataclass(frozen=True, slots=True)
class Page:
    """Holders to be renewed, and what to note when they are."""

    renewal: Renewal
    stale: list[UUID]
    last: UUID | None

    @property
    def parts(self) -> Iterator[list[UUID]]:
        """The holders to be renewed, those of one transaction at a time."""
        return (self.stale[start : start + PART] for start in range(0, len(self.stale), PART))

    @property
    def is_last(self) -> bool:
        """Whether a pass ends with it."""
        return self.last is None


def begin(conn: Connection, tier_id: UUID) -> None:
    """Have everybody renewed, under the lock for changes."""
    repository.begin(conn, tier_id)


def end(conn: Connection, tier_id: UUID) -> None:
    """Have nobody renewed any more, under the lock for changes."""
    repository.end(conn, tier_id)


def is_under_way(session: Session, tier_id: UUID) -> bool:
    """Whether somebody may have to be renewed still."""
    return repository.find(psycopg_of(session), tier_id, SETTLED_AFTER_SECONDS) is not None


def next_page(session: Session, tier_id: UUID) -> Page | None:
    """The next page of a tier's renewal; None when all are renewed, or while the second pass has still to wait."""
    conn = psycopg_of(session)
    renewal = repository.find(conn, tier_id, SETTLED_AFTER_SECONDS)
    if renewal is None or renewal.is_awaited:
        return None
    found = repository.window(conn, renewal, PAGE)
    return Page(renewal, found.stale, found.last)


def note(session: Session, page: Page, *, is_complete: bool = True) -> None:
    """Note that a page is done; where it left somebody out everybody is looked at again, after this pass."""
    passes, through = page.renewal.passes if is_complete else INCOMPLETE, page.last
    if page.is_last:
        passes += 1
        through = None if passes >= PASSES else BEGINNING
    repository.note(psycopg_of(session), page.renewal, through, passes)


def renew(database: Database, tier_id: UUID, visit: Visit, beat: Callable[[], None]) -> None:
    """Make one pass, or what is left of it; `visit` gives what brings holders up to date, `beat` is called after each page."""
    page = transact(database, lambda session: next_page(session, tier_id))
    while page is not None:
        _renew_page(database, page, visit)
        beat()
        page = None if page.is_last else transact(database, lambda session: next_page(session, tier_id))


def _renew_page(database: Database, page: Page, visit: Visit) -> None:
    for part in page.parts:
        transact(database, visit(part))
    transact(database, lambda session: note(session, page))


def comes_first(conn: Connection, old: TierRecord, new: TierRecord, now: datetime) -> bool:
    """Whether a renewal must be done before a tier is changed again: something may be due by it, or depends on the ranks."""
    renewal = repository.find(conn, old.id, SETTLED_AFTER_SECONDS)
    if renewal is None or renewal.passes > 0:
        return False
    due = first_due(old.definition())
    ranks = {level.key: level.rank for level in new.levels}
    return (due is not None and due <= now) or any(ranks[level.key] != level.rank for level in old.levels)
