"""What is due: accounts whose moment has come, and when the next one comes (ledger.md, Maturity and expiry).

Archived assets are left out everywhere: nothing of theirs is ever due again.
"""

from collections.abc import Collection
from dataclasses import dataclass
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


def due_accounts(conn: Connection, organization_id: UUID, holder_ids: Collection[UUID]) -> list[DueAccount]:
    """The holders' accounts with something due."""
    rows = conn.execute(
        """
        SELECT h.kind, b.holder_id, b.asset_id, b.program_id
        FROM balances b JOIN holders h ON h.id = b.holder_id JOIN assets a ON a.id = b.asset_id
        WHERE b.holder_id = ANY(%s) AND h.organization_id = %s AND b.next_due_at <= openscrip_now() AND a.status <> 'ARCHIVED'
        ORDER BY b.holder_id, b.asset_id, b.program_id
        """,
        [list(holder_ids), organization_id],
    )
    return [DueAccount(EntityType(row[0]), *row[1:]) for row in rows]


def due_holders(conn: Connection, limit: int, without: Collection[UUID]) -> list[tuple[UUID, UUID]]:
    """(organization, holder) of the accounts that have been due longest, at most `limit` accounts."""
    rows = conn.execute(
        """
        SELECT b.organization_id, b.holder_id FROM balances b JOIN assets a ON a.id = b.asset_id
        WHERE b.next_due_at <= (SELECT openscrip_now()) AND a.status <> 'ARCHIVED' AND b.holder_id <> ALL(%s::uuid[])
        ORDER BY b.next_due_at LIMIT %s
        """,
        [list(without), limit],
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
