"""What a flow does for a request that waits: look without locks, do it under locks and in time, and look once more at the end.

Only a request that would succeed starts its flow. The flow decides again under locks, and refuses after `valid_until` of the
database's own clock. Whoever asked waits until then and looks once more: nothing can happen after that look (`last_look`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Session

from db.repositories import redemptions as repository
from db.session import psycopg_of
from domain.errors import DomainError, ServiceUnavailable
from services.idempotency import Outcome, Scope, find_answer, lock, run_once
from services.state import Author

# A statement of an attempt that begins late may take this long; the last look outlasts it.
LEAST_MS = 400
LAST_LOOK_MS = 800


@dataclass(frozen=True, slots=True)
class Ticket:
    """One request: who asks, the id that what is made will have, and the idempotency key with the request's fingerprint."""

    author: Author
    id: UUID
    key: str | None
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a look found at `now` of the database's own clock: an answer, a refusal, or neither, and then it would succeed.

    `is_due`: it can't be told before what is due was written, for who asks and for `also_due`.
    """

    now: datetime
    answer: Outcome | None = None
    refusal: DomainError | None = None
    program_id: UUID | None = None
    is_due: bool = False
    also_due: UUID | None = None


def own(ticket: Ticket, body: dict[str, Any]) -> Outcome:
    """The outcome of an answer that is stored under the ticket's key; what this very ticket stored is no replay."""
    return Outcome(body, is_replay=body["id"] != str(ticket.id))


@dataclass(frozen=True, slots=True)
class Errand:
    """A ticket in the scope of its key; `find_made` gives the body of what the ticket's id names, if it was made."""

    ticket: Ticket
    scope: Scope
    find_made: Callable[[], dict[str, Any] | None]

    def known_answer(self, session: Session) -> Outcome | None:
        """The answer, if it was done already; IdempotencyConflict."""
        found = find_answer(session, self.scope, self.ticket.fingerprint)
        if self.ticket.key is None:
            made = self.find_made()
            return None if made is None else Outcome(made)
        return None if found is None else own(self.ticket, found.body)

    def lock(self, session: Session) -> None:
        """Wait for whoever does the same; without a key the ticket's id stands for one."""
        if self.ticket.key is None:
            repository.lock_name(psycopg_of(session), self.ticket.id)
        else:
            lock(session, self.scope)

    def do(self, session: Session, valid_until: datetime, operation: Callable[[], dict[str, Any]]) -> Outcome:
        """Do it once, and only in time: ServiceUnavailable after `valid_until`. IdempotencyConflict."""
        conn = psycopg_of(session)
        repository.limit_until(conn, valid_until, LEAST_MS)

        def in_time() -> dict[str, Any]:
            if repository.real_time(conn) > valid_until:
                raise ServiceUnavailable
            return operation()

        if self.ticket.key is not None:
            return own(self.ticket, run_once(session, self.scope, self.ticket.fingerprint, in_time).body)
        self.lock(session)
        made = self.find_made()
        return Outcome(in_time() if made is None else made)


def look(session: Session, patience_ms: int, check: Callable[[], tuple[UUID, Outcome | None]]) -> Outlook:
    """Look with a check that gives the program and an answer there is; a refusal is returned, so that what was due stays."""
    now = repository.limit_to(psycopg_of(session), patience_ms)
    try:
        program_id, answer = check()
    except DomainError as refusal:
        return Outlook(now, refusal=refusal)
    return Outlook(now, answer, program_id=program_id)


def last_look(session: Session, errand: Errand) -> Outlook:
    """Whether it was done after all: waits for an attempt under way; any later one sees that its time is over."""
    conn = psycopg_of(session)
    repository.limit_to(conn, LAST_LOOK_MS)
    errand.lock(session)
    return Outlook(repository.real_time(conn), errand.known_answer(session))
