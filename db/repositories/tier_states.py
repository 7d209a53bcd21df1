"""What holders have of tiers, read and written set-based."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from db.repositories import arrays
from db.session import Connection
from domain.tiers.definition import Standing, Tier

# Holder and tier.
Key = tuple[UUID, UUID]

_STANDING = "level_key, acquired_at, expires_at, lifecycle_expires_at, steps_done_through"


class Stored(NamedTuple):
    """A standing, and the number of the lifecycle that it was written under."""

    lifecycle_number: int
    standing: Standing


def load(conn: Connection, organization_ids: Collection[UUID], holder_ids: Collection[UUID]) -> dict[Key, Stored]:
    """What holders have of the tiers of organizations; without a row it is base."""
    # LATERAL with OFFSET: by the index for each holder, also where the planner would rather read a table of some size whole
    rows = conn.execute(
        f"""
        SELECT s.* FROM unnest(%s::uuid[]) AS wanted (id) CROSS JOIN LATERAL (
            SELECT holder_id, tier_id, lifecycle_number, {_STANDING} FROM tier_states
            WHERE holder_id = wanted.id AND organization_id = ANY(%s::uuid[]) OFFSET 0
        ) AS s
        """,
        [arrays.uuids(holder_ids), arrays.uuids(organization_ids)],
        prepare=True,
    )
    return {(row[0], row[1]): Stored(row[2], Standing(*row[3:])) for row in rows}


@dataclass(frozen=True, slots=True)
class NewStanding:
    """A standing to be stored."""

    organization_id: UUID
    holder_id: UUID
    tier: Tier
    standing: Standing
    next_due_at: datetime | None


def save(conn: Connection, standings: Iterable[NewStanding]) -> None:
    """Store standings of locked holders, whose tiers are held still."""
    ordered = sorted(standings, key=lambda new: (new.holder_id, new.tier.id))
    conn.execute(
        """
        INSERT INTO tier_states (holder_id, tier_id, organization_id, program_id, level_key, acquired_at, expires_at,
                                 lifecycle_expires_at, steps_done_through, next_due_at, lifecycle_number)
        SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::uuid[], %s::text[], %s::timestamptz[], %s::timestamptz[],
                             %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::integer[])
        ON CONFLICT (holder_id, tier_id) DO UPDATE SET level_key = excluded.level_key, acquired_at = excluded.acquired_at,
            expires_at = excluded.expires_at, lifecycle_expires_at = excluded.lifecycle_expires_at,
            steps_done_through = excluded.steps_done_through, next_due_at = excluded.next_due_at,
            lifecycle_number = excluded.lifecycle_number
        """,
        _columns(ordered),
        prepare=True,
    )


def _columns(standings: Collection[NewStanding]) -> list[str]:
    return [
        arrays.uuids(new.holder_id for new in standings),
        arrays.uuids(new.tier.id for new in standings),
        arrays.uuids(new.organization_id for new in standings),
        arrays.uuids(new.tier.program_id for new in standings),
        arrays.texts(new.standing.level for new in standings),
        arrays.moments(new.standing.acquired_at for new in standings),
        arrays.moments(new.standing.expires_at for new in standings),
        arrays.moments(new.standing.lifecycle_expires_at for new in standings),
        arrays.moments(new.standing.steps_done_through for new in standings),
        arrays.moments(new.next_due_at for new in standings),
        arrays.numbers(new.tier.lifecycle_number for new in standings),
    ]


def stop(conn: Connection, tier_id: UUID, limit: int) -> int:
    """Let nothing of an archived tier happen by itself any more for some of its holders; for how many there was something."""
    found = conn.execute(
        """
        UPDATE tier_states SET next_due_at = NULL WHERE tier_id = %s AND holder_id IN (
            SELECT holder_id FROM tier_states WHERE tier_id = %s AND next_due_at IS NOT NULL
            ORDER BY next_due_at, holder_id LIMIT %s
        )
        """,
        [tier_id, tier_id, limit],
    )
    return found.rowcount


def levels_held(conn: Connection, organization_id: UUID, holder_id: UUID, program_id: UUID | None) -> dict[str, tuple[str, int]]:
    """Level and rank of every level that a holder has, one program's or all, by tier key; of one key the level acquired last."""
    rows = conn.execute(
        """
        SELECT t.key, l.key, l.rank FROM tier_states s
        JOIN tiers t ON t.id = s.tier_id JOIN tier_levels l ON l.tier_id = s.tier_id AND l.key = s.level_key
        WHERE s.holder_id = %s AND s.organization_id = %s AND (%s::uuid IS NULL OR s.program_id = %s::uuid)
        ORDER BY s.acquired_at, s.tier_id
        """,
        [holder_id, organization_id, program_id, program_id],
    )
    return {row[0]: (row[1], int(row[2])) for row in rows}
