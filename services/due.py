"""Due entries of a holder, written before anybody looks at its accounts (ledger.md, Maturity and expiry)."""

from uuid import UUID

from sqlmodel import Session

from db.repositories import ledger
from db.repositories.ledger_terms import DueAccount, database_now, due_accounts
from db.session import psycopg_of
from domain.ledger.accounts import AccountKey
from domain.ledger.books import Books
from domain.ledger.due import post_due
from runtime.ids import new_id


def settle(session: Session, organization_id: UUID, holder_id: UUID) -> None:
    """Write what is due on the holder's accounts; one indexed read when nothing is.

    Every read that shows balances, lots, a history or a statement begins with it; it never fails for what is due.
    """
    conn = psycopg_of(session)
    if not due_accounts(conn, organization_id, holder_id):
        return
    ledger.lock_holders(conn, [holder_id])
    # Read again under the lock: somebody else may have written them meanwhile.
    keys = [_key(account) for account in due_accounts(conn, organization_id, holder_id)]
    books = Books(ledger.find_assets(conn, organization_id, {key.asset_id for key in keys}), new_id)
    ledger.load_accounts(conn, books, keys, with_lots=True)
    now = database_now(conn)
    for key in keys:
        post_due(books, key, now)
    ledger.flush(conn, books)


def _key(account: DueAccount) -> AccountKey:
    return AccountKey(account.kind, account.holder_id, account.asset_id, account.program_id)
