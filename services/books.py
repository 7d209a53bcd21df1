"""The books in parts that can be checked one after the other: organization by organization, large ones by windows of time."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlmodel import Session

from db.repositories import books as repository
from db.session import psycopg_of
from services.invariants import BALANCES_MATCH, WALLETS_MATCH, Check, Violation, Window, violations

# A check of a window that takes longer isn't made: the others have their turn.
CHECK_MILLISECONDS = 10_000
BEGINNING, END = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Page:
    """A part of an organization's books: a window, or all of them; the next part begins `until`, None when there is none."""

    organization_id: UUID
    window: Window | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class UnpostedAccounts:
    """Accounts of a page of holders that nothing was ever posted to, each with its organization; `until` is the last holder."""

    found: list[tuple[UUID, Violation]]
    until: UUID | None


def next_page(session: Session, organization_id: UUID | None, since: datetime | None, entries: int) -> Page | None:
    """The part after an organization, or of it from a moment on; with about so many entries. None when there is none."""
    conn = psycopg_of(session)
    if organization_id is None or since is None:
        organization_id = repository.next_organization(conn, organization_id)
        if organization_id is None:
            return None
    until = repository.moment_after(conn, organization_id, since or BEGINNING, entries)
    if until is None and since is None:
        return Page(organization_id, None, None)
    if until is not None and since is not None:
        until = max(until, since + timedelta(microseconds=1))
    return Page(organization_id, Window(since or BEGINNING, until or END), until)


def check_page(session: Session, page: Page, check: Check, limit: int) -> list[Violation]:
    """The first rows of a part that break a check, at most `limit`; an error of the database when it takes too long."""
    repository.limit_statements(psycopg_of(session), CHECK_MILLISECONDS)
    return violations(session, page.organization_id, [check], window=page.window, limit=limit)


def unposted_accounts(session: Session, after: UUID | None, balances: int, limit: int) -> UnpostedAccounts:
    """What says something without a posting, so that no window touches it: about so many balances after a holder, and wallets.

    Wallets are few, and come with the last page, which has no `until`. At most `limit` of each kind are told.
    """
    conn = psycopg_of(session)
    repository.limit_statements(conn, CHECK_MILLISECONDS)
    until = repository.holder_after(conn, after, balances)
    found = [Violation(BALANCES_MATCH, row) for row in repository.unposted_balances(conn, after, until, limit)]
    if until is None:
        found += [Violation(WALLETS_MATCH, row) for row in repository.unposted_wallets(conn, limit)]
    return UnpostedAccounts([(violation.row.pop("organization_id"), violation) for violation in found], until)
