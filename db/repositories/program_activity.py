"""What happened in programs: pages of them, and counts (reporting.md, Program activity)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from db.repositories.keyset import Keyset, Slice
from db.repositories.reports import Sums
from db.session import Connection
from domain.ledger.accounts import EntityType
from domain.ledger.entries import ActionType

_TAKES_PART = ", ".join(f"'{type_}'" for type_ in (ActionType.CREDIT, ActionType.SETTLE, ActionType.REDEMPTION))


@dataclass(frozen=True, slots=True)
class ActivityFilter:
    """Which programs: active after `since`, and from `from_` to `to`; without any, those that aren't ARCHIVED."""

    since: datetime | None = None
    from_: datetime | None = None
    to: datetime | None = None


@dataclass(frozen=True, slots=True)
class ProgramRow:
    """A program and the time of its latest entry."""

    program_id: UUID
    program_name: str
    last_activity_at: datetime | None


@dataclass(frozen=True, slots=True)
class ProgramCounts:
    """How many there are of what belongs to a program; `scale` is the largest of its assets'."""

    program_id: UUID
    event_count: int
    journal_count: int
    asset_count: int
    rule_count: int
    reward_count: int
    tier_count: int
    scale: int


def _active(bounds: str) -> str:
    """The condition that a program has an entry or a processed event whose time is in the bounds."""
    return f"""(EXISTS (SELECT 1 FROM journal_entries x WHERE x.program_id = g.id AND {bounds})
        OR EXISTS (SELECT 1 FROM events x WHERE x.program_id = g.id AND {bounds}
                   AND EXISTS (SELECT 1 FROM event_outcomes o WHERE o.event_id = x.id AND o.created_at = x.created_at)))"""


_CONDITIONS = {
    "since": _active("x.created_at > %(since)s"),
    "from_": _active("x.created_at BETWEEN %(from_)s AND %(to)s"),
}


def page_of_programs(conn: Connection, organization_id: UUID, wanted: ActivityFilter, keyset: Keyset) -> Slice[ProgramRow]:
    """One page of the organization's programs; the keyset's columns are `latest.at` and `g.id`."""
    after, parameters = keyset.where_sql()
    conditions = [text for name, text in _CONDITIONS.items() if getattr(wanted, name) is not None] or ["g.status <> 'ARCHIVED'"]
    given = {"organization": organization_id, "since": wanted.since, "from_": wanted.from_, "to": wanted.to}
    with conn.cursor(row_factory=class_row(ProgramRow)) as cursor:
        rows = cursor.execute(
            f"""
            SELECT g.id AS program_id, g.name AS program_name, latest.at AS last_activity_at FROM programs g
            LEFT JOIN LATERAL (SELECT e.created_at AS at FROM journal_entries e WHERE e.program_id = g.id
                               ORDER BY e.created_at DESC, e.id DESC LIMIT 1) AS latest ON TRUE
            WHERE g.organization_id = %(organization)s AND {" AND ".join([*conditions, after])}
            ORDER BY {keyset.order_sql()} LIMIT {keyset.fetch}
            """,
            parameters | given,
            prepare=False,
        ).fetchall()
    return keyset.cut(rows, lambda row: (row.last_activity_at, row.program_id))


_LINKED = "FROM program_assets l JOIN assets a ON a.id = l.asset_id WHERE l.program_id = g.id"


def counts(
    conn: Connection, organization_id: UUID, program_ids: Sequence[UUID], from_: datetime | None, to: datetime | None
) -> dict[UUID, ProgramCounts]:
    """Counts of programs; only the events are those of the window.

    Events are processed unless they wait: a queued one without an outcome isn't counted.
    """
    within = "TRUE" if from_ is None else "{time} BETWEEN %(from)s AND %(to)s"
    events, queued = within.format(time="e.created_at"), within.format(time="q.event_created_at")
    with conn.cursor(row_factory=class_row(ProgramCounts)) as cursor:
        rows = cursor.execute(
            f"""
            SELECT g.id AS program_id,
                   (SELECT count(*) FROM events e WHERE e.program_id = g.id AND {events})
                   - (SELECT count(*) FROM event_queue q WHERE q.program_id = g.id AND {queued} AND NOT EXISTS (
                          SELECT 1 FROM event_outcomes o WHERE o.event_id = q.event_id AND o.created_at = q.event_created_at)
                     ) AS event_count,
                   (SELECT count(*) FROM journal_entries e WHERE e.program_id = g.id) AS journal_count,
                   (SELECT count(*) {_LINKED}) AS asset_count,
                   (SELECT count(*) FROM rules r WHERE r.program_id = g.id AND r.status <> 'ARCHIVED') AS rule_count,
                   (SELECT count(*) FROM rewards r WHERE r.program_id = g.id AND r.status <> 'ARCHIVED') AS reward_count,
                   (SELECT count(*) FROM tiers t WHERE t.program_id = g.id AND t.status <> 'ARCHIVED') AS tier_count,
                   (SELECT coalesce(max(a.scale), 0) {_LINKED}) AS scale
            FROM programs g WHERE g.organization_id = %(organization)s AND g.id = ANY(%(programs)s)
            """,
            {"organization": organization_id, "programs": list(program_ids), "from": from_, "to": to},
            prepare=False,
        ).fetchall()
    return {row.program_id: row for row in rows}


def participants_of(conn: Connection, wanted: Sums) -> dict[UUID, int]:
    """How many participants have a credit, settle or redemption, by program."""
    rows: Any = conn.execute(
        f"""
        SELECT p.program_id, count(DISTINCT p.entity_id) FROM postings p
        WHERE {wanted.condition} AND p.entity_type = '{EntityType.PARTICIPANT}' AND p.action_type IN ({_TAKES_PART})
        GROUP BY p.program_id
        """,
        wanted.parameters,
        prepare=False,
    )
    return dict(rows.fetchall())
