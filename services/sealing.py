"""Sealing: what was posted gets its place in the organization's chain of hashes, in the background (ledger.md, Hash chain)."""

import time
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from db.repositories import seals
from db.repositories.backlog import SealBacklog
from db.repositories.backlog import seals as seal_backlog
from db.repositories.seals import Mark
from db.session import psycopg_of
from domain.seals import extend

__all__ = ["Horizon", "SealBacklog", "backlog", "seal_page", "waiting_organizations"]

# Entries of one transaction.
PAGE_ENTRIES = 1000
COUNTED = 10_000
# Whoever writes for longer doesn't hold everybody else's seals up: what it commits late is sealed late.
PATIENCE_SECONDS = 10.0


@dataclass(slots=True)
class Horizon:
    """Up to which moment entries can't be overtaken any more: whoever might still commit an older one is done.

    Each look makes a mark; a later look finds the newest mark whose transactions are over.
    """

    patience_seconds: float = PATIENCE_SECONDS
    _marks: deque[tuple[float, Mark]] = field(default_factory=deque)
    _moment: datetime | None = None

    def look(self, session: Session) -> datetime | None:
        """The moment as of now; None when nothing is known yet."""
        conn = psycopg_of(session)
        now = time.monotonic()
        self._marks.append((now, seals.mark(conn)))
        running = seals.oldest_running(conn)
        while self._marks and (self._marks[0][1].xid <= running or now - self._marks[0][0] > self.patience_seconds):
            self._moment = self._marks.popleft()[1].moment
        return self._moment


def waiting_organizations(session: Session) -> list[UUID]:
    """Organizations with entries that aren't sealed."""
    return seals.waiting_organizations(psycopg_of(session))


def backlog(session: Session) -> SealBacklog:
    """How many entries of the deployment aren't sealed, counted up to 10000, and how long the oldest has waited."""
    return seal_backlog(psycopg_of(session), COUNTED)


def seal_page(session: Session, organization_id: UUID, until: datetime, limit: int = PAGE_ENTRIES) -> int:
    """Seal an organization's oldest unsealed entries dated `until` at the latest, at most `limit`; how many.

    0 also when another sealer has the chain. Effect and mark are one: with its seal an entry leaves the list of the unsealed.
    An entry that is on the list but not in the journal stays there: the checks name it.
    """
    conn = psycopg_of(session)
    if not seals.lock_chain(conn, organization_id):
        return 0
    waiting = seals.unsealed(conn, organization_id, until, limit)
    found = seals.entries(conn, organization_id, waiting) if waiting else {}
    if not found:
        return 0
    ordered = [found[id_] for id_ in waiting if id_ in found]
    made = extend(seals.head(conn, organization_id), ordered)
    seals.append(conn, organization_id, [(seal, waiting[seal.entry_id]) for seal in made])
    return len(ordered)
