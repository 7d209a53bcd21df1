"""Hold records as their flows see them: one hold with its end, and holds whose deadline is near."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from db.repositories.ledger_terms import database_now
from db.session import Connection


@dataclass(frozen=True, slots=True)
class HoldRow:
    """A hold record; `until_deadline` counts in seconds from the database's clock, `has_expired`: its deadline ended it."""

    holder_id: UUID
    amount: Decimal
    remaining: Decimal
    symbol: str
    scale: int
    is_archived: bool
    reference_id: str | None
    expires_at: datetime | None
    until_deadline: float | None
    has_expired: bool


@dataclass(frozen=True, slots=True)
class DatedHold:
    """An open hold that the API made, with a deadline."""

    id: UUID
    organization_id: UUID
    program_id: UUID


def find_hold(conn: Connection, organization_id: UUID, hold_id: UUID, description: str) -> HoldRow | None:
    """The organization's hold; the release at its deadline is known by `description`."""
    row: Any = conn.execute(
        """
        SELECT h.holder_id, h.amount, h.remaining, a.symbol, a.scale, a.status = 'ARCHIVED', h.reference_id, h.expires_at,
               extract(epoch FROM h.expires_at - openscrip_now())::float8,
               h.remaining = 0 AND EXISTS (
                   SELECT 1 FROM postings p JOIN journal_entries e ON e.id = p.entry_id
                   WHERE p.entity_id = h.holder_id AND p.created_at >= h.expires_at AND p.asset_id = h.asset_id
                     AND p.bucket = 'HELD' AND p.amount < 0 AND e.action_type = 'RELEASE' AND e.description = %s
                     AND e.created_by_api_key_id IS NULL AND e.rule_id IS NULL AND e.program_id = h.program_id
                     AND e.reference_id IS NOT DISTINCT FROM h.reference_id)
        FROM holds h JOIN assets a ON a.id = h.asset_id WHERE h.id = %s AND h.organization_id = %s
        """,
        [description, hold_id, organization_id],
    ).fetchone()
    return None if row is None else HoldRow(*row)


def made_by_api(conn: Connection, hold_ids: Collection[UUID]) -> list[UUID]:
    """Those of the holds that have a flow of their own: the ones that the API made."""
    rows = conn.execute(
        """
        SELECT h.id FROM holds h JOIN journal_entries e ON e.id = h.entry_id
        WHERE h.id = ANY(%s) AND e.created_by_api_key_id IS NOT NULL
        """,
        [list(hold_ids)],
    )
    return [row[0] for row in rows]


def holds_ending_soon(conn: Connection, within_seconds: float, limit: int) -> list[DatedHold]:
    """Open holds of the API whose deadline comes soon or has passed, the first first.

    The time is a parameter, so that the planner knows how few they are.
    """
    until = database_now(conn) + timedelta(seconds=within_seconds)
    rows = conn.execute(
        """
        SELECT h.id, h.organization_id, h.program_id
        FROM holds h JOIN assets a ON a.id = h.asset_id JOIN journal_entries e ON e.id = h.entry_id
        WHERE h.expires_at <= %s AND h.remaining > 0 AND a.status <> 'ARCHIVED' AND e.created_by_api_key_id IS NOT NULL
        ORDER BY h.expires_at LIMIT %s
        """,
        [until, limit],
    )
    return [DatedHold(*row) for row in rows]


def holds_between(conn: Connection, after: datetime, until: datetime, limit: int) -> list[DatedHold]:
    """Open holds of the API whose deadline lies after one moment and not after another, the first first."""
    rows = conn.execute(
        """
        SELECT h.id, h.organization_id, h.program_id FROM holds h JOIN journal_entries e ON e.id = h.entry_id
        WHERE h.expires_at > %s AND h.expires_at <= %s AND h.remaining > 0 AND e.created_by_api_key_id IS NOT NULL
        ORDER BY h.expires_at LIMIT %s
        """,
        [after, until, limit],
    )
    return [DatedHold(*row) for row in rows]
