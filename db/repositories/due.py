"""What is due: accounts whose moment has come, and when the next one comes (ledger.md, Maturity and expiry).

Archived assets are left out everywhere: nothing of theirs is ever due again.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from db.session import Connection
from domain.ledger.accounts import EntityType


@dataclass(frozen=True, slots=True)
class DueAccount:
    """An account whose first due moment has come."""

    kind: EntityType
    holder_id: UUID
    asset_id: UUID
    program_id: UUID


def due_accounts(
    conn: Connection, organization_id: UUID, holder_ids: Collection[UUID], until: datetime | None = None
) -> list[DueAccount]:
    """The holders' accounts with something due now, or at an earlier moment."""
    rows = conn.execute(
        """
        SELECT h.kind, b.holder_id, b.asset_id, b.program_id
        FROM balances b JOIN holders h ON h.id = b.holder_id JOIN assets a ON a.id = b.asset_id
        WHERE b.holder_id = ANY(%s) AND h.organization_id = %s AND b.next_due_at <= coalesce(%s, openscrip_now())
          AND a.status <> 'ARCHIVED'
        ORDER BY b.holder_id, b.asset_id, b.program_id
        """,
        [list(holder_ids), organization_id, until],
    )
    return [DueAccount(EntityType(row[0]), *row[1:]) for row in rows]


def due_holders(
    conn: Connection, limit: int, without: Collection[UUID], until: datetime | None = None
) -> list[tuple[UUID, UUID]]:
    """(organization, holder) of the at most `limit` accounts that have been due longest now, or at an earlier moment."""
    rows = conn.execute(
        """
        SELECT b.organization_id, b.holder_id FROM balances b JOIN assets a ON a.id = b.asset_id
        WHERE b.next_due_at <= (SELECT coalesce(%s, openscrip_now())) AND a.status <> 'ARCHIVED'
          AND b.holder_id <> ALL(%s::uuid[])
        ORDER BY b.next_due_at LIMIT %s
        """,
        [until, list(without), limit],
    )
    return list(dict.fromkeys((row[0], row[1]) for row in rows))


def seconds_until_due(conn: Connection, without: Collection[UUID]) -> float | None:
    """From the database's clock to the next due moment of any account, below zero when it has passed; None without one."""
    row: Any = conn.execute(
        """
        SELECT extract(epoch FROM b.next_due_at - openscrip_now())::float8 FROM balances b JOIN assets a ON a.id = b.asset_id
        WHERE b.next_due_at IS NOT NULL AND a.status <> 'ARCHIVED' AND b.holder_id <> ALL(%s::uuid[])
        ORDER BY b.next_due_at LIMIT 1
        """,
        [list(without)],
    ).fetchone()
    return None if row is None else float(row[0])


def next_moment(conn: Connection, after: datetime) -> datetime | None:
    """The first due moment of any account after another one."""
    row: Any = conn.execute(
        """
        SELECT b.next_due_at FROM balances b JOIN assets a ON a.id = b.asset_id
        WHERE b.next_due_at > %s AND a.status <> 'ARCHIVED' ORDER BY b.next_due_at LIMIT 1
        """,
        [after],
    ).fetchone()
    return None if row is None else row[0]


def count_moments(conn: Connection, until: datetime, limit: int) -> int:
    """How many different moments something of an account is due at, up to `until`; counting stops at `limit`."""
    row: Any = conn.execute(
        """
        SELECT count(*) FROM (
            SELECT DISTINCT moment FROM (
                SELECT asset_id, expires_at FROM holds WHERE remaining > 0
                UNION ALL SELECT asset_id, expires_at FROM lots WHERE remaining > 0
                UNION ALL SELECT asset_id, matures_at FROM lots WHERE remaining > 0 AND status = 'DEFERRED'
            ) AS dates (asset_id, moment) JOIN assets a ON a.id = asset_id
            WHERE moment > openscrip_now() AND moment <= %s AND a.status <> 'ARCHIVED' LIMIT %s
        ) AS moments
        """,
        [until, limit],
    ).fetchone()
    return int(row[0])
