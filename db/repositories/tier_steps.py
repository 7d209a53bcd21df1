"""What is due for holders' tiers: whose moment has come, what they have then, and what is written of it (tiers.md 4)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from db.repositories import arrays, tier_renewals
from db.session import Connection, dumps
from domain.ledger.accounts import EntityType
from domain.state import Counter, StateChange, counters_from_json, counters_to_json
from domain.tiers.changes import LevelHolder

_ACTIVE = "FROM tiers t WHERE t.status = 'ACTIVE'"


@dataclass(frozen=True, slots=True)
class TierKey:
    """A tier and whose it is."""

    id: UUID
    organization_id: UUID
    program_id: UUID


@dataclass(frozen=True, slots=True)
class CountingHolder:
    """A locked holder with its counters."""

    holder: LevelHolder
    counters: Mapping[str, Counter]


@dataclass(frozen=True, slots=True)
class CounterRow:
    """A counter of a holder that a tier of a program rolled over."""

    holder: LevelHolder
    program_id: UUID
    change: StateChange


def due_holders(
    conn: Connection, organization_id: UUID, holder_ids: Collection[UUID], until: datetime | None = None
) -> tuple[list[UUID], datetime | None]:
    """Which of an organization's holders have something due now, or at an earlier moment; and the next moment after that.

    Who hasn't been renewed for a new lifecycle counts as due.
    """
    row: Any = conn.execute(
        """
        SELECT array_agg(DISTINCT holder_id) FILTER (WHERE next_due_at <= now.at),
               min(next_due_at) FILTER (WHERE next_due_at > now.at),
               EXISTS (SELECT FROM tiers WHERE organization_id = %s AND renewed_through IS NOT NULL)
        FROM tier_states CROSS JOIN (SELECT coalesce(%s, openscrip_now()) AS at) AS now
        WHERE holder_id = ANY(%s::uuid[]) AND organization_id = %s AND next_due_at IS NOT NULL
        """,
        [organization_id, until, arrays.uuids(holder_ids), organization_id],
        prepare=True,
    ).fetchone()
    due: list[UUID] = row[0] or []
    if row[2]:
        due = sorted({*due, *tier_renewals.stale_holders(conn, organization_id, holder_ids)})
    return due, row[1]


def load(conn: Connection, organization_id: UUID, holder_ids: Collection[UUID]) -> list[CountingHolder]:
    """The organization's holders among these, which the caller has locked."""
    rows = conn.execute(
        """
        SELECT h.kind, h.id, h.organization_id, p.external_id, h.counters FROM holders h LEFT JOIN participants p USING (id)
        WHERE h.id = ANY(%s::uuid[]) AND h.organization_id = %s
        """,
        [arrays.uuids(holder_ids), organization_id],
    )
    return [CountingHolder(LevelHolder(EntityType(row[0]), *row[1:4]), counters_from_json(row[4])) for row in rows]


def enrolments(conn: Connection, holder_ids: Collection[UUID], program_ids: Collection[UUID]) -> dict[UUID, dict[UUID, datetime]]:
    """Since when participants have been enrolled in some programs, whatever the status; by participant and program."""
    rows = conn.execute(
        """
        SELECT participant_id, program_id, enrolled_at FROM enrollments
        WHERE participant_id = ANY(%s::uuid[]) AND program_id = ANY(%s::uuid[])
        """,
        [arrays.uuids(holder_ids), arrays.uuids(program_ids)],
    )
    found: dict[UUID, dict[UUID, datetime]] = {}
    for participant_id, program_id, enrolled_at in rows:
        found.setdefault(participant_id, {})[program_id] = enrolled_at
    return found


def write_counters(conn: Connection, changed: Sequence[tuple[UUID, Mapping[str, Counter]]], now: datetime) -> None:
    """Replace the counters of locked holders, or only note that something of their state changed."""
    conn.execute(
        """
        UPDATE holders h SET counters = new.counters::jsonb, state_changed_at = %s
        FROM unnest(%s::uuid[], %s::text[]) AS new (id, counters) WHERE h.id = new.id
        """,
        [
            now,
            arrays.uuids(id_ for id_, _ in changed),
            arrays.texts(dumps(counters_to_json(counters)) for _, counters in changed),
        ],
    )


def write_history(conn: Connection, rows: Sequence[CounterRow], ids: Sequence[UUID], now: datetime) -> None:
    """Append counters that rolled over to the state history, in their order."""
    conn.execute(
        """
        INSERT INTO state_history (id, organization_id, entity_type, entity_id, state_type, key, operation, old_value, new_value,
                                   changed_at, program_id)
        SELECT id, organization_id, entity_type, entity_id, 'counter', key, operation, old_value, new_value, %s, program_id
        FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %s::uuid[])
            AS new (id, organization_id, entity_type, entity_id, key, operation, old_value, new_value, program_id)
        """,
        [
            now,
            arrays.uuids(ids),
            arrays.uuids(row.holder.organization_id for row in rows),
            arrays.words(row.holder.kind.value for row in rows),
            arrays.uuids(row.holder.id for row in rows),
            arrays.texts(row.change.key for row in rows),
            arrays.words(row.change.operation for row in rows),
            arrays.texts(row.change.old_value for row in rows),
            arrays.texts(row.change.new_value for row in rows),
            arrays.uuids(row.program_id for row in rows),
        ],
    )


# ------------------------------------------------------------ without a visitor
def holders_due(
    conn: Connection, tier_id: UUID, limit: int, without: Collection[UUID], until: datetime | None = None
) -> list[UUID]:
    """The at most `limit` holders for whom something of a tier has been due longest now, or at an earlier moment."""
    rows = conn.execute(
        """
        SELECT holder_id FROM tier_states
        WHERE tier_id = %s AND next_due_at <= (SELECT coalesce(%s, openscrip_now())) AND holder_id <> ALL(%s::uuid[])
        ORDER BY next_due_at, holder_id LIMIT %s
        """,
        [tier_id, until, list(without), limit],
    )
    return [row[0] for row in rows]


def tiers_due(conn: Connection, until: datetime | None = None) -> list[TierKey]:
    """Tiers of which something is due for somebody now, or at an earlier moment."""
    rows = conn.execute(
        f"""
        SELECT t.id, t.organization_id, t.program_id {_ACTIVE} AND EXISTS (
            SELECT FROM tier_states s WHERE s.tier_id = t.id AND s.next_due_at <= (SELECT coalesce(%s, openscrip_now()))
        ) ORDER BY t.id
        """,
        [until],
    )
    return [TierKey(*row) for row in rows]


def tiers_renewing(conn: Connection) -> list[TierKey]:
    """The ACTIVE tiers with a new lifecycle that hasn't reached everybody."""
    rows = conn.execute(f"SELECT t.id, t.organization_id, t.program_id {_ACTIVE} AND t.renewed_through IS NOT NULL ORDER BY t.id")
    return [TierKey(*row) for row in rows]


def tiers_stopping(conn: Connection) -> list[TierKey]:
    """ARCHIVED tiers with rows that still name a moment."""
    rows = conn.execute(
        """
        SELECT t.id, t.organization_id, t.program_id FROM tiers t WHERE t.status = 'ARCHIVED' AND EXISTS (
            SELECT FROM tier_states s WHERE s.tier_id = t.id AND s.next_due_at IS NOT NULL
        ) ORDER BY t.id
        """
    )
    return [TierKey(*row) for row in rows]


def find_tier(conn: Connection, tier_id: UUID) -> tuple[TierKey, str, bool] | None:
    """A tier, its key, and whether it is ACTIVE."""
    row = conn.execute(
        "SELECT id, organization_id, program_id, key, status = 'ACTIVE' FROM tiers WHERE id = %s", [tier_id]
    ).fetchone()
    return None if row is None else (TierKey(*row[:3]), row[3], bool(row[4]))


def next_of(conn: Connection, tier_id: UUID, without: Collection[UUID]) -> tuple[datetime, float] | None:
    """The next moment of a tier and the seconds to it from the database's clock, below zero when it has passed."""
    row: Any = conn.execute(
        """
        SELECT next_due_at, extract(epoch FROM next_due_at - openscrip_now())::float8 FROM tier_states
        WHERE tier_id = %s AND next_due_at IS NOT NULL AND holder_id <> ALL(%s::uuid[]) ORDER BY next_due_at LIMIT 1
        """,
        [tier_id, list(without)],
    ).fetchone()
    return None if row is None else (row[0], float(row[1]))


def some_timed(conn: Connection, limit: int) -> list[TierKey]:
    """Some of the ACTIVE tiers with a lifecycle, or with something due for somebody one day: others at every call."""
    rows = conn.execute(
        f"""
        SELECT t.id, t.organization_id, t.program_id {_ACTIVE} AND (
            t.lifecycle IS NOT NULL
            OR EXISTS (SELECT FROM tier_states s WHERE s.tier_id = t.id AND s.next_due_at IS NOT NULL)
        ) ORDER BY random() LIMIT %s
        """,
        [limit],
    )
    return [TierKey(*row) for row in rows]


def next_moment(conn: Connection, after: datetime) -> datetime | None:
    """The first moment after another one at which something of a tier is due for somebody."""
    row: Any = conn.execute(
        """
        SELECT min(first.next_due_at) FROM tiers t CROSS JOIN LATERAL (
            SELECT s.next_due_at FROM tier_states s WHERE s.tier_id = t.id AND s.next_due_at > %s ORDER BY s.next_due_at LIMIT 1
        ) AS first WHERE t.status = 'ACTIVE'
        """,
        [after],
    ).fetchone()
    moment: datetime | None = row[0]
    return moment


def moments(conn: Connection, until: datetime, limit: int) -> set[datetime]:
    """The different moments from now on and not after `until` at which something of a tier is due; at most `limit`."""
    rows = conn.execute(
        """
        SELECT DISTINCT s.next_due_at FROM tiers t JOIN tier_states s ON s.tier_id = t.id
        WHERE t.status = 'ACTIVE' AND s.next_due_at > openscrip_now() AND s.next_due_at <= %s LIMIT %s
        """,
        [until, limit],
    )
    return {row[0] for row in rows}


def lifecycles(conn: Connection) -> list[dict[str, Any]]:
    """The different lifecycles of all ACTIVE tiers, as stored."""
    return [row[0] for row in conn.execute(f"SELECT DISTINCT t.lifecycle {_ACTIVE} AND t.lifecycle IS NOT NULL")]
