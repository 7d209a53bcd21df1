"""What the integrity report asks of the latest entries and the head of the chain."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from db.session import Connection


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The latest sealed entry; the hash in lower-case hex."""

    hash: str
    sequence_number: int
    created_at: datetime | None


def chain_head(conn: Connection, organization_id: UUID) -> ChainHead | None:
    """The end of an organization's chain; without a date when its entry is missing."""
    with conn.cursor(row_factory=class_row(ChainHead)) as cursor:
        return cursor.execute(
            """
            SELECT encode(s.entry_hash, 'hex') AS hash, s.sequence_number, e.created_at FROM entry_seals s
            LEFT JOIN journal_entries e ON e.id = s.entry_id
            WHERE s.organization_id = %s ORDER BY s.sequence_number DESC LIMIT 1
            """,
            [organization_id],
        ).fetchone()


def count_unbalanced(conn: Connection, organization_id: UUID, after: int) -> int:
    """How many entries, of those sealed with a number above `after` and all unsealed ones, don't sum to zero."""
    row = conn.execute(
        """
        WITH looked_at AS MATERIALIZED (
            SELECT entry_id FROM entry_seals WHERE organization_id = %(organization)s AND sequence_number > %(after)s
            UNION
            SELECT entry_id FROM unsealed_entries WHERE organization_id = %(organization)s
        )
        SELECT count(DISTINCT entry_id) FROM (
            SELECT p.entry_id FROM postings p JOIN looked_at l ON l.entry_id = p.entry_id
            GROUP BY p.entry_id, p.asset_id HAVING sum(p.amount) <> 0
        ) AS unbalanced
        """,
        {"organization": organization_id, "after": after},
    ).fetchone()
    assert row is not None
    return int(row[0])
