"""Where the parts of the books begin and end."""

from datetime import datetime
from typing import Any
from uuid import UUID

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
