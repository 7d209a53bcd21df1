"""Due entries, written before anybody looks at an account, or without a visitor (ledger.md, Maturity and expiry)."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from db.repositories import due as repository
from db.repositories import ledger
from db.repositories.due import DueAccount
from db.repositories.ledger_terms import database_now
from db.session import psycopg_of
from domain.ledger.accounts import AccountKey
from domain.ledger.books import Books
from domain.ledger.due import post_due
from runtime.ids import new_id
from services.messages import ledger as messages


def settle(session: Session, organization_id: UUID, holder_id: UUID) -> None:
    """Write what is due on the holder's accounts; one indexed read when nothing is.

    Every read that shows balances, lots, a history or a statement begins with it; it never fails for what is due.
    """
    if repository.due_accounts(psycopg_of(session), organization_id, [holder_id]):
        settle_all(session, organization_id, [holder_id])


def settle_all(
    session: Session, organization_id: UUID, holder_ids: Collection[UUID], until: datetime | None = None
) -> tuple[int, int]:
    """Write what is due on the accounts of some holders, locked in id order; returns the numbers of accounts and of entries.

    With `until` only what is due at that moment, which has come, and dated so.
    """
    conn = psycopg_of(session)
    ledger.lock_holders(conn, holder_ids)
    # Asked under the locks: somebody else may have written them meanwhile.
    keys = [_key(account) for account in repository.due_accounts(conn, organization_id, holder_ids, until)]
    if not keys:
        return 0, 0
    books = Books(ledger.find_assets(conn, organization_id, {key.asset_id for key in keys}), new_id)
    ledger.load_accounts(conn, books, keys, with_lots=True)
    now = until or database_now(conn)
    for key in keys:
        post_due(books, key, now)
    messages.flush(conn, books)
    return len(keys), len(books.entries)


def holders_due(session: Session, limit: int, without: Collection[UUID], until: datetime | None = None) -> dict[UUID, list[UUID]]:
    """Holders with something due, now or at an earlier moment, by organization: of the `limit` accounts due longest."""
    found: dict[UUID, list[UUID]] = {}
    for organization_id, holder_id in repository.due_holders(psycopg_of(session), limit, without, until):
        found.setdefault(organization_id, []).append(holder_id)
    return found


def seconds_until_next(session: Session, without: Collection[UUID]) -> float | None:
    """From the database's clock to the next due moment of any account; None when none is known."""
    return repository.seconds_until_due(psycopg_of(session), without)


def _key(account: DueAccount) -> AccountKey:
    return AccountKey(account.kind, account.holder_id, account.asset_id, account.program_id)
