"""Evaluations of the filters of participant_state automations: asked for, begun, brought further (automations.md 3.2)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from db.repositories import arrays
from db.repositories.candidates import CandidateQuery
from db.session import Connection
from domain.automations import ScheduleType

_COLUMNS = "v.automation_id, v.is_timed, v.requested_at, v.started_at, v.full_at, v.is_under_way, v.since, v.after_at, v.after_id"
_SERVED = """a.status = 'active' AND EXISTS (SELECT 1 FROM programs p WHERE p.id = v.program_id AND p.status = 'ACTIVE')"""
# Whoever changed lately, wherever that is written; with their organization's and the moment's values.
_CHANGED = """
    SELECT id FROM holders WHERE organization_id = %(organization)s AND state_changed_at > %(since)s
    UNION ALL SELECT id FROM participants WHERE organization_id = %(organization)s AND updated_at > %(since)s
    UNION ALL SELECT participant_id FROM enrollments WHERE organization_id = %(organization)s AND updated_at > %(since)s
    UNION ALL SELECT entity_id FROM tier_history WHERE organization_id = %(organization)s AND changed_at > %(since)s
"""
# The same asked of one after the other, which is less work where many have changed. Whoever is, or once was, enrolled in the
# program is asked about: nobody else can have a subscription.
_HAS_CHANGED = """
    (h.state_changed_at > %(since)s OR p.updated_at > %(since)s
     OR EXISTS (SELECT 1 FROM enrollments o WHERE o.participant_id = e.participant_id AND o.updated_at > %(since)s)
     OR EXISTS (SELECT 1 FROM tier_history t WHERE t.entity_id = e.participant_id AND t.changed_at > %(since)s))
"""
FEW_CHANGES = 5000
_PEOPLE = "enrollments e JOIN participants p ON p.id = e.participant_id JOIN holders h ON h.id = e.participant_id"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How far the evaluations of an automation are."""

    automation_id: UUID
    is_timed: bool
    requested_at: datetime | None
    started_at: datetime | None
    full_at: datetime | None
    is_under_way: bool
    since: datetime | None
    after_at: datetime | None
    after_id: UUID | None


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What an evaluation has to know of its automation, which stays as it is until commit."""

    automation_id: UUID
    organization_id: UUID
    program_id: UUID
    schedule_type: ScheduleType
    schedule_config: Mapping[str, Any]
    timezone: str
    schedule_version: int
    participant_filter: str | None
    filter_hints: list[dict[str, str]]


def ask(conn: Connection, key: tuple[UUID, UUID, UUID], now: datetime, *, is_timed: bool) -> None:
    """Want an evaluation for everybody of an automation (automation, organization, program); one under way begins anew."""
    conn.execute(
        """
        INSERT INTO automation_evaluations (automation_id, organization_id, program_id, is_timed, requested_at)
        VALUES (%s, %s, %s, %s, %s)
        ON CONFLICT (automation_id) DO UPDATE SET is_timed = EXCLUDED.is_timed, requested_at = EXCLUDED.requested_at
        """,
        [*key, is_timed, now],
    )


def hold(conn: Connection, automation_id: UUID) -> Evaluated | None:
    """An automation that is served, kept from changes until commit; None while it isn't."""
    row: Any = conn.execute(
        f"""
        SELECT a.id, a.organization_id, a.program_id, a.schedule_type, a.schedule_config, a.timezone, a.schedule_version,
               a.participant_filter, a.filter_hints
        FROM automations a JOIN automation_evaluations v ON v.automation_id = a.id
        WHERE a.id = %s AND {_SERVED} FOR KEY SHARE OF a
        """,
        [automation_id],
    ).fetchone()
    if row is None:
        return None
    found = Evaluated(*row)
    return replace(found, schedule_type=ScheduleType(found.schedule_type))


def lock(conn: Connection, automation_id: UUID) -> Evaluation | None:
    """How far it is, locked; None when somebody else is at it."""
    row: Any = conn.execute(
        f"SELECT {_COLUMNS} FROM automation_evaluations v WHERE v.automation_id = %s FOR UPDATE SKIP LOCKED", [automation_id]
    ).fetchone()
    return None if row is None else Evaluation(*row)


def find(conn: Connection, automation_id: UUID) -> Evaluation | None:
    """How far it is; None for an automation that isn't served now."""
    row: Any = conn.execute(
        f"""
        SELECT {_COLUMNS} FROM automation_evaluations v JOIN automations a ON a.id = v.automation_id
        WHERE v.automation_id = %s AND {_SERVED}
        """,
        [automation_id],
    ).fetchone()
    return None if row is None else Evaluation(*row)


def served(conn: Connection) -> list[Evaluation]:
    """How far those of all automations are that are served now."""
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM automation_evaluations v JOIN automations a ON a.id = v.automation_id WHERE {_SERVED} ORDER BY 1"
    )
    return [Evaluation(*row) for row in rows]


def has_changes(conn: Connection, automation_id: UUID, since: datetime) -> bool:
    """Whether anybody of the automation's program has changed since a moment."""
    row: Any = conn.execute(
        "SELECT organization_id, program_id FROM automation_evaluations WHERE automation_id = %s", [automation_id]
    ).fetchone()
    found = conn.execute(
        f"""
        SELECT 1 FROM ({_CHANGED}) AS changed JOIN enrollments e ON e.participant_id = changed.id
        WHERE e.program_id = %(program)s LIMIT 1
        """,
        {"organization": row[0], "program": row[1], "since": since},
    )
    return found.fetchone() is not None


def _which_changed(conn: Connection, organization_id: UUID, since: datetime | None) -> str:
    """The condition of having changed since a moment, put in the way that suits how many have; everybody without a moment."""
    if since is None:
        return "TRUE"
    row: Any = conn.execute(
        f"SELECT count(*) FROM (SELECT FROM ({_CHANGED}) AS changed LIMIT %(limit)s) AS counted",
        {"organization": organization_id, "since": since, "limit": FEW_CHANGES + 1},
    ).fetchone()
    return f"e.participant_id IN ({_CHANGED})" if row[0] <= FEW_CHANGES else _HAS_CHANGED


def begin(conn: Connection, automation_id: UUID, since: datetime | None, now: datetime) -> None:
    """Note the beginning of a locked one: for who changed since a moment, or for everybody, who then needn't be asked for."""
    conn.execute(
        """
        UPDATE automation_evaluations SET is_under_way = true, started_at = %(now)s, since = %(since)s, after_at = NULL,
               after_id = NULL, full_at = CASE WHEN %(since)s::timestamptz IS NULL THEN %(now)s ELSE full_at END,
               requested_at = CASE WHEN %(since)s::timestamptz IS NULL THEN NULL ELSE requested_at END
        WHERE automation_id = %(id)s
        """,
        {"id": automation_id, "now": now, "since": since},
    )


def people(conn: Connection, wanted: Evaluated, found: Evaluation, limit: int) -> list[tuple[UUID, datetime]]:
    """The next participants to look at, with their moments of enrolment, in its order."""
    # a million participants, of whom few have changed, take longer than any request may
    conn.execute("SET LOCAL statement_timeout = '10min'")
    changed = _which_changed(conn, wanted.organization_id, found.since)
    after = "TRUE" if found.after_id is None else "(e.enrolled_at, e.participant_id) > (%(at)s, %(after)s)"
    rows = conn.execute(
        f"""
        SELECT e.participant_id, e.enrolled_at FROM {_PEOPLE} WHERE e.program_id = %(program)s AND {after} AND {changed}
        ORDER BY e.enrolled_at, e.participant_id LIMIT %(limit)s
        """,
        {
            "program": wanted.program_id,
            "organization": wanted.organization_id,
            "since": found.since,
            "at": found.after_at,
            "after": found.after_id,
            "limit": limit,
        },
    )
    return [(row[0], row[1]) for row in rows]


def candidates(conn: Connection, wanted: Evaluated, query: CandidateQuery, ids: Collection[UUID]) -> dict[UUID, bool]:
    """Who of these may match, ACTIVE and actively enrolled, and whether that is certain."""
    rows = conn.execute(
        f"""
        SELECT e.participant_id, {query.certain}
        FROM enrollments e JOIN participants p ON p.id = e.participant_id {query.join}
        WHERE e.participant_id = ANY(%(ids)s::uuid[]) AND e.program_id = %(program)s AND e.status = 'ACTIVE'
          AND p.status = 'ACTIVE' AND {query.condition}
        """,
        {"ids": arrays.uuids(ids), "program": wanted.program_id, **query.values},
    )
    return {row[0]: row[1] for row in rows}


def go_on(conn: Connection, automation_id: UUID, after: tuple[UUID, datetime] | None, now: datetime) -> None:
    """Note how far a locked one has come; without `after` it is at its end."""
    if after is not None:
        conn.execute(
            "UPDATE automation_evaluations SET after_id = %s, after_at = %s WHERE automation_id = %s", [*after, automation_id]
        )
        return
    conn.execute("UPDATE automation_evaluations SET is_under_way = false WHERE automation_id = %s", [automation_id])
    conn.execute("UPDATE automations SET last_evaluated_at = %s WHERE id = %s", [now, automation_id])
