"""Fan-outs: their record on the automation, and the list of those whom an event has still to be made for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from db.session import Connection

# What a flow could bring further: all wait for their program to be ACTIVE; what has begun also goes on while its automation is
# paused, and is ended when it is archived.
_RUNNABLE = """
    (a.execution_status = 'pending' AND a.status = 'active' AND p.status = 'ACTIVE'
     OR a.execution_status = 'executing' AND (p.status = 'ACTIVE' OR a.status = 'archived'))
"""


@dataclass(frozen=True, slots=True)
class FanOut:
    """The fan-out of a locked automation, with the settings of its program that decide whether it goes on."""

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
        SELECT a.id, a.organization_id, a.program_id, p.status, a.status, a.trigger_type, a.event_name, a.payload,
               a.caused_by_event_id, a.chain_depth, a.execution_status, a.execution_at, a.execution_error,
               a.participants_total, a.participants_processed
        FROM automations a JOIN programs p ON p.id = a.program_id
        WHERE a.id = %s AND a.execution_at IS NOT NULL FOR UPDATE OF a
        """,
        [automation_id],
    ).fetchone()
    return None if row is None else FanOut(*row)


def begin(conn: Connection, fan_out: FanOut, now: datetime) -> int:
    """List everybody who is ACTIVE and actively enrolled, in one statement, and note the beginning; gives their number."""
    # a million participants take longer than any request may
    conn.execute("SET LOCAL statement_timeout = '10min'")
    listed = conn.execute(
        """
        INSERT INTO fan_out_candidates (automation_id, occurrence, participant_id)
        SELECT %s, %s, e.participant_id FROM enrollments e JOIN participants p ON p.id = e.participant_id
        WHERE e.program_id = %s AND e.status = 'ACTIVE' AND p.status = 'ACTIVE'
        """,
        [fan_out.id, fan_out.execution_at, fan_out.program_id],
    )
    conn.execute(
        """
        UPDATE automations SET execution_status = 'executing', execution_started_at = %s, execution_completed_at = NULL,
               execution_error = NULL, participants_total = %s, participants_processed = 0, updated_at = %s
        WHERE id = %s
        """,
        [now, listed.rowcount, now, fan_out.id],
    )
    return listed.rowcount


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
        """
        UPDATE automations SET execution_status = 'completed', execution_completed_at = %(now)s, updated_at = %(now)s,
               last_error = NULL, error_message = NULL,
               processed_at = CASE WHEN trigger_type IN ('immediate', 'one_time') THEN %(now)s ELSE processed_at END
        WHERE id = %(id)s
        """,
        {"id": automation_id, "now": now},
    )


def fail(conn: Connection, fan_out: FanOut, error: str, now: datetime, *, is_failure: bool) -> None:
    """End a fan-out early and forget who is left; `is_failure` is False when somebody stopped it."""
    conn.execute(
        """
        UPDATE automations SET execution_status = 'failed', execution_completed_at = %(now)s, execution_error = %(error)s,
               updated_at = %(now)s,
               last_error = CASE WHEN %(is_failure)s THEN %(error)s ELSE last_error END,
               error_message = CASE WHEN %(is_failure)s AND trigger_type IN ('immediate', 'one_time') THEN %(error)s
                                    ELSE error_message END,
               processed_at = CASE WHEN trigger_type IN ('immediate', 'one_time') THEN %(now)s ELSE processed_at END
        WHERE id = %(id)s
        """,
        {"id": fan_out.id, "error": error, "now": now, "is_failure": is_failure},
    )
    conn.execute(
        "DELETE FROM fan_out_candidates WHERE automation_id = %s AND occurrence = %s", [fan_out.id, fan_out.execution_at]
    )


def archive(conn: Connection, automation_id: UUID, now: datetime) -> None:
    """End an automation that hasn't begun: it won't."""
    conn.execute(
        """
        UPDATE automations SET status = 'archived', execution_status = 'idle', updated_at = %s WHERE id = %s
        """,
        [now, automation_id],
    )
