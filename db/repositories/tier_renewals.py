"""Renewals: a new lifecycle of a tier reaches its holders page by page (tiers.md 2.4); whose rows are still an older one's."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from db.repositories import arrays
from db.session import Connection

BEGINNING = UUID(int=0)

# Of the holders in a window: whose row was written under an older lifecycle, and who has none though a counter of theirs rolls
# over. LATERAL with OFFSET: by the index for each holder, however large the table is.
_STALE = """
FROM seen w JOIN tiers t ON t.organization_id = %(organization)s AND t.renewed_through IS NOT NULL AND t.status = 'ACTIVE'
    AND (%(tier)s::uuid IS NULL OR t.id = %(tier)s::uuid)
LEFT JOIN LATERAL (
    SELECT s.lifecycle_number FROM tier_states s WHERE s.holder_id = w.id AND s.tier_id = t.id OFFSET 0
) AS s ON true
WHERE s.lifecycle_number <> t.lifecycle_number OR (
    s.lifecycle_number IS NULL AND t.lifecycle #>> '{retention,mode}' = 'PERIOD_BASED'
    AND t.lifecycle #>> '{qualification_period,type}' <> 'NONE'
    AND w.counters ?| ARRAY(SELECT jsonb_array_elements_text(t.lifecycle #> '{counters,qualifying}'))
)
"""


@dataclass(frozen=True, slots=True)
class Renewal:
    """How far a tier's renewal is; `is_awaited`: the next pass has still to wait until nobody can know the tier as it was."""

    tier_id: UUID
    organization_id: UUID
    number: int
    through: UUID
    passes: int
    is_awaited: bool


@dataclass(frozen=True, slots=True)
class Window:
    """Some of an organization's holders in order: those to be renewed, and the last one; None is the end."""

    stale: list[UUID]
    last: UUID | None


def begin(conn: Connection, tier_id: UUID) -> None:
    """Have everybody renewed, under the lock for changes."""
    conn.execute("UPDATE tiers SET renewed_through = %s, renewal_passes = 0 WHERE id = %s", [BEGINNING, tier_id])


def end(conn: Connection, tier_id: UUID) -> None:
    """Have nobody renewed any more, under the lock for changes."""
    conn.execute("UPDATE tiers SET renewed_through = NULL WHERE id = %s", [tier_id])


def find(conn: Connection, tier_id: UUID, settled_after_seconds: float) -> Renewal | None:
    """The renewal of an ACTIVE tier that isn't done."""
    row = conn.execute(
        """
        SELECT id, organization_id, lifecycle_number, renewed_through, renewal_passes,
               renewal_passes > 0 AND coalesce(lifecycle_started_at + make_interval(secs => %s) > openscrip_now(), false)
        FROM tiers WHERE id = %s AND renewed_through IS NOT NULL AND status = 'ACTIVE'
        """,
        [settled_after_seconds, tier_id],
    ).fetchone()
    return None if row is None else Renewal(*row)


def window(conn: Connection, renewal: Renewal, limit: int) -> Window:
    """The next holders of the organization, at most `limit`."""
    row: Any = conn.execute(
        f"""
        WITH seen AS MATERIALIZED (
            SELECT h.id, h.counters FROM holders h WHERE h.organization_id = %(organization)s AND h.id > %(through)s
            ORDER BY h.id LIMIT %(limit)s
        )
        SELECT ARRAY(SELECT w.id {_STALE} ORDER BY w.id), (SELECT id FROM seen ORDER BY id OFFSET %(limit)s - 1)
        """,
        {
            "organization": renewal.organization_id,
            "tier": renewal.tier_id,
            "through": renewal.through,
            "limit": limit,
        },
    ).fetchone()
    return Window(*row)


def stale_holders(conn: Connection, organization_id: UUID, holder_ids: Collection[UUID]) -> list[UUID]:
    """Which of an organization's holders have still to be renewed for one of its tiers."""
    rows = conn.execute(
        f"""
        WITH seen AS MATERIALIZED (
            SELECT h.id, h.counters FROM holders h WHERE h.id = ANY(%(ids)s::uuid[]) AND h.organization_id = %(organization)s
        )
        SELECT DISTINCT w.id {_STALE}
        """,
        {"organization": organization_id, "tier": None, "ids": arrays.uuids(holder_ids)},
    )
    return [row[0] for row in rows]


def note(conn: Connection, renewal: Renewal, through: UUID | None, passes: int) -> None:
    """Note how far it is, None being its end; without effect when the lifecycle is another one, or somebody else went on."""
    conn.execute(
        """
        UPDATE tiers SET renewed_through = %s, renewal_passes = %s
        WHERE id = %s AND lifecycle_number = %s AND renewed_through = %s AND renewal_passes = %s
        """,
        [through, passes, renewal.tier_id, renewal.number, renewal.through, renewal.passes],
    )
