"""Fan-outs: their record on the automation, and the list of those whom an event has still to be made for."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Json

from db.repositories.candidates import CandidateQuery
from db.session import Connection

# What a flow could bring further: all wait for their program to be ACTIVE; what has begun also goes on while its automation is
# paused, and is ended when it is archived.
_RUNNABLE = """
    (a.execution_status = 'pending' AND a.status = 'active' AND p.status = 'ACTIVE'
     OR a.execution_status = 'executing' AND (p.status = 'ACTIVE' OR a.status = 'archived'))
"""


# A fan-out keeps those it began with.
_SETTINGS = ("event_name", "payload", "guard_condition", "participant_filter")
# The firing of a one_time automation is that of its own moment, not one that was started by hand.
_IS_ITS_FIRING = "(trigger_type = 'immediate' OR trigger_type = 'one_time' AND execution_at = trigger_at)"


@dataclass(frozen=True, slots=True)
class FanOut:
    """The fan-out of a locked automation, with the settings of its program that decide whether it goes on.

    Event name, payload, guard, filter and hints are those it began with. `total` is None until the filter has come to the end
    of the list; `filter_after` is how far it has come.
    """

    id: UUID
    organization_id: UUID
    program_id: UUID
    program_status: str
    status: str
    trigger_type: str
    event_name: str
    payload: dict[str, Any]
    caused_by_event_id: UUID | None
    chain_depth: int
    execution_status: str
    execution_at: datetime
    execution_error: str | None
    total: int | None
    processed: int | None
    failures: int
    participant_filter: str | None
    guard_condition: str | None
    filter_hints: list[dict[str, str]]
    filter_after: UUID | None


@dataclass(frozen=True, slots=True)
class FanOutKey:
    """What names a fan-out."""

    automation_id: UUID
    organization_id: UUID
    program_id: UUID


def runnable(conn: Connection, limit: int, *, only_pending: bool) -> list[FanOutKey]:
    """Fan-outs that a flow should bring further, oldest first; `only_pending`: those that nobody has begun."""
    rows = conn.execute(
        f"""
        SELECT a.id, a.organization_id, a.program_id FROM automations a JOIN programs p ON p.id = a.program_id
        WHERE a.execution_status IN ('pending', 'executing') AND {_RUNNABLE} AND (a.execution_status = 'pending' OR NOT %s)
        ORDER BY a.execution_at, a.id LIMIT %s
        """,
        [only_pending, limit],
    )
    return [FanOutKey(*row) for row in rows]


def lock_fan_out(conn: Connection, automation_id: UUID) -> FanOut | None:
    """The automation's fan-out, locked; None when it has none."""
    row = conn.execute(
        """
        SELECT a.run_settings, a.id, a.organization_id, a.program_id, p.status, a.status, a.trigger_type, a.event_name, a.payload,
               a.caused_by_event_id, a.chain_depth, a.execution_status, a.execution_at, a.execution_error,
               a.participants_total, a.participants_processed, a.failures, a.participant_filter, a.guard_condition,
               a.filter_hints, a.filter_after
        FROM automations a JOIN programs p ON p.id = a.program_id
        WHERE a.id = %s AND a.execution_at IS NOT NULL FOR UPDATE OF a
        """,
        [automation_id],
    ).fetchone()
    if row is None:
        return None
    found = FanOut(*row[1:])
    return replace(found, **row[0]) if row[0] is not None and found.execution_status == "executing" else found


def begin(conn: Connection, fan_out: FanOut, wanted: CandidateQuery, now: datetime) -> int | None:
    """List everybody wanted who is ACTIVE and actively enrolled, in one statement, and note the beginning with its settings.

    Gives their number, None when some have still to be filtered.
    """
    # a million participants take longer than any request may
    conn.execute("SET LOCAL statement_timeout = '10min'")
    ids = {"id": fan_out.id, "at": fan_out.execution_at, "program": fan_out.program_id}
    listed = conn.execute(
        f"""
        INSERT INTO fan_out_candidates (automation_id, occurrence, participant_id, is_certain)
        SELECT %(id)s, %(at)s, e.participant_id, {wanted.certain}
        FROM enrollments e JOIN participants p ON p.id = e.participant_id {wanted.join}
        WHERE e.program_id = %(program)s AND e.status = 'ACTIVE' AND p.status = 'ACTIVE' AND {wanted.condition}
        """,
        {**ids, **wanted.values},
    )
    total = listed.rowcount if not wanted.may_be_uncertain or not _has_uncertain(conn, ids) else None
    settings = {name: getattr(fan_out, name) for name in _SETTINGS}
    conn.execute(
        """
        UPDATE automations SET execution_status = 'executing', execution_started_at = %(now)s, execution_completed_at = NULL,
               execution_error = NULL, participants_total = %(total)s, participants_processed = CASE WHEN %(known)s THEN 0 END,
               run_settings = %(settings)s, filter_after = NULL, updated_at = %(now)s
        WHERE id = %(id)s
        """,
        {**ids, "now": now, "total": total, "known": total is not None, "settings": Json(settings)},
    )
    return total


def _has_uncertain(conn: Connection, ids: dict[str, Any]) -> bool:
    found = conn.execute(
        "SELECT 1 FROM fan_out_candidates WHERE automation_id = %(id)s AND occurrence = %(at)s AND NOT is_certain LIMIT 1", ids
    )
    return found.fetchone() is not None


def unfiltered(conn: Connection, fan_out: FanOut, limit: int) -> list[UUID]:
    """The next participants on the list that the filter has still to look at."""
    rows = conn.execute(
        """
        SELECT participant_id FROM fan_out_candidates
        WHERE automation_id = %s AND occurrence = %s AND participant_id > %s AND NOT is_certain
        ORDER BY participant_id LIMIT %s
        """,
        [fan_out.id, fan_out.execution_at, fan_out.filter_after or UUID(int=0), limit],
    )
    return [row[0] for row in rows]


def note_filtered(conn: Connection, fan_out: FanOut, last: UUID | None, rejected: list[UUID], now: datetime) -> int | None:
    """Take the rejected off the list and note how far the filter has come; without `last` it is at its end: gives the total."""
    ids = [fan_out.id, fan_out.execution_at]
    conn.execute(
        "DELETE FROM fan_out_candidates WHERE automation_id = %s AND occurrence = %s AND participant_id = ANY(%s::uuid[])",
        [*ids, rejected],
    )
    if last is not None:
        conn.execute("UPDATE automations SET filter_after = %s, updated_at = %s WHERE id = %s", [last, now, fan_out.id])
        return None
    row: Any = conn.execute(
        "SELECT count(*) FROM fan_out_candidates WHERE automation_id = %s AND occurrence = %s", ids
    ).fetchone()
    conn.execute(
        "UPDATE automations SET participants_total = %s, participants_processed = 0, updated_at = %s WHERE id = %s",
        [row[0], now, fan_out.id],
    )
    return int(row[0])


def take_candidates(conn: Connection, fan_out: FanOut, limit: int) -> list[tuple[UUID, str]]:
    """(id, external id) of the next participants, taken off the list."""
    rows = conn.execute(
        """
        WITH page AS (
            SELECT participant_id FROM fan_out_candidates WHERE automation_id = %(id)s AND occurrence = %(at)s
            ORDER BY participant_id LIMIT %(limit)s
        ), taken AS (
            DELETE FROM fan_out_candidates c USING page
            WHERE c.automation_id = %(id)s AND c.occurrence = %(at)s AND c.participant_id = page.participant_id
        )
        SELECT p.id, p.external_id FROM page JOIN participants p ON p.id = page.participant_id ORDER BY p.id
        """,
        {"id": fan_out.id, "at": fan_out.execution_at, "limit": limit},
    )
    return [(row[0], row[1]) for row in rows]


def note_page(conn: Connection, automation_id: UUID, processed: int, now: datetime) -> None:
    """Count the participants of a page."""
    conn.execute(
        """
        UPDATE automations SET participants_processed = participants_processed + %s, updated_at = %s WHERE id = %s
        """,
        [processed, now, automation_id],
    )


def complete(conn: Connection, automation_id: UUID, now: datetime) -> None:
    """Note the good end of a fan-out; an immediate or one_time automation has then fired."""
    conn.execute(
        f"""
        UPDATE automations SET execution_status = 'completed', execution_completed_at = %(now)s, updated_at = %(now)s,
               last_error = NULL, failures = 0, error_message = CASE WHEN {_IS_ITS_FIRING} THEN NULL ELSE error_message END,
               processed_at = CASE WHEN {_IS_ITS_FIRING} THEN %(now)s ELSE processed_at END
        WHERE id = %(id)s
        """,
        {"id": automation_id, "now": now},
    )


def fail(conn: Connection, fan_out: FanOut, error: str, now: datetime) -> None:
    """End a fan-out early and forget who is left."""
    conn.execute(
        f"""
        UPDATE automations SET execution_status = 'failed', execution_completed_at = %(now)s, execution_error = %(error)s,
               updated_at = %(now)s, processed_at = CASE WHEN {_IS_ITS_FIRING} THEN %(now)s ELSE processed_at END
        WHERE id = %(id)s
        """,
        {"id": fan_out.id, "error": error, "now": now},
    )
    conn.execute(
        "DELETE FROM fan_out_candidates WHERE automation_id = %s AND occurrence = %s", [fan_out.id, fan_out.execution_at]
    )


def archive(conn: Connection, automation_id: UUID, now: datetime) -> None:
    """End an automation: it fires no more; what hasn't begun doesn't begin."""
    conn.execute(
        """
        UPDATE automations SET status = 'archived', next_run_at = NULL, updated_at = %s,
               execution_status = CASE WHEN execution_status = 'pending' THEN 'idle' ELSE execution_status END
        WHERE id = %s
        """,
        [now, automation_id],
    )
