"""Where the parts of the books begin and end, and accounts that no part by time can see."""

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from db.repositories.invariants.check import PAIR
from db.session import Connection


def limit_statements(conn: Connection, milliseconds: int) -> None:
    """Let no statement of this transaction take longer."""
    conn.execute("SELECT set_config('statement_timeout', %s, true)", [str(milliseconds)])


def next_organization(conn: Connection, after: UUID | None) -> UUID | None:
    """The organization whose id follows another one, or the first."""
    row: Any = conn.execute(
        "SELECT id FROM organizations WHERE %(after)s::uuid IS NULL OR id > %(after)s ORDER BY id LIMIT 1", {"after": after}
    ).fetchone()
    return None if row is None else row[0]


def moment_after(conn: Connection, organization_id: UUID, since: datetime, entries: int) -> datetime | None:
    """When the entry was made that comes after so many of an organization from a moment on; None when there are no more."""
    row: Any = conn.execute(
        """
        SELECT created_at FROM journal_entries WHERE organization_id = %s AND created_at >= %s
        ORDER BY created_at, id OFFSET %s LIMIT 1
        """,
        [organization_id, since, entries],
    ).fetchone()
    return None if row is None else row[0]


def holder_after(conn: Connection, after: UUID | None, balances: int) -> UUID | None:
    """Whose the last of so many balances is, of the holders after one or of all; None when there are fewer."""
    row: Any = conn.execute(
        """
        SELECT holder_id FROM balances WHERE %(after)s::uuid IS NULL OR holder_id > %(after)s
        ORDER BY holder_id OFFSET %(skipped)s LIMIT 1
        """,
        {"after": after, "skipped": balances - 1},
    ).fetchone()
    return None if row is None else row[0]


def unposted_balances(conn: Connection, after: UUID | None, until: UUID | None, limit: int) -> list[dict[str, Any]]:
    """Balances that say something though nothing was ever posted to them, of holders after one and until another."""
    # as a value, not as NOT EXISTS: one probe of an index per row, whatever the statistics say
    statement = f"""
        SELECT organization_id, holder_id, asset_id, program_id AS pair_program_id, available, held, deferred, account_seq,
               last_entry_at
        FROM balances b
        WHERE (%(after)s::uuid IS NULL OR holder_id > %(after)s) AND (%(until)s::uuid IS NULL OR holder_id <= %(until)s)
          AND (available <> 0 OR held <> 0 OR deferred <> 0 OR account_seq <> 0 OR last_entry_at IS NOT NULL)
          AND (SELECT 1 FROM (SELECT *, {PAIR} AS pair_program_id FROM postings WHERE account_seq IS NOT NULL) AS p
               WHERE p.entity_id = b.holder_id AND p.asset_id = b.asset_id AND p.pair_program_id = b.program_id
                 AND p.organization_id = b.organization_id LIMIT 1) IS NULL
        ORDER BY holder_id LIMIT %(limit)s
        """
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement, {"after": after, "until": until, "limit": limit}, prepare=False).fetchall()


def unposted_wallets(conn: Connection, limit: int) -> list[dict[str, Any]]:
    """Wallets that say something though nothing was ever posted to them."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """
            SELECT organization_id, program_id, asset_id, available, account_seq, last_entry_at FROM wallets w
            WHERE (available <> 0 OR account_seq <> 0 OR last_entry_at IS NOT NULL)
              AND (SELECT 1 FROM postings p WHERE p.entity_id = w.program_id AND p.asset_id = w.asset_id
                     AND p.entity_type = 'PROGRAM' AND p.organization_id = w.organization_id LIMIT 1) IS NULL
            LIMIT %(limit)s
            """,
            {"limit": limit},
        ).fetchall()
