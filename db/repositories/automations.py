"""Automations: written by event processing, found when they are due, marked when they have fired."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from db.repositories import arrays
from db.session import Connection
from domain.processing.world import PlannedEvents

# Those of a program that isn't ACTIVE aren't due; a one_time automation waits for the fan-out that was started by hand.
# The program's status is looked up and not joined, so that the moments lead whatever the planner thinks.
_WAITING = """
    automations a WHERE a.due_at IS NOT NULL AND (SELECT p.status FROM programs p WHERE p.id = a.program_id) = 'ACTIVE'
      AND NOT (a.trigger_type = 'one_time' AND a.execution_status IS NOT NULL
               AND a.execution_status IN ('pending', 'executing'))
"""


@dataclass(frozen=True, slots=True)
class DueAutomation:
    """A locked automation whose moment has come; `external_id` is its participant's.

    `is_moving`: the test clock is on its way, which misses no occurrence.
    """

    id: UUID
    organization_id: UUID
    program_id: UUID
    event_name: str
    payload: dict[str, Any]
    due_at: datetime
    participant_id: UUID | None
    external_id: str | None
    caused_by_event_id: UUID | None
    chain_depth: int
    trigger_type: str
    scope: str
    cron_expression: str | None
    timezone: str | None
    execution_status: str | None
    is_moving: bool


@dataclass(frozen=True, slots=True)
class Fired:
    """What became of a locked automation at its moment: cron ones have a next one; a dropped fan-out has an error."""

    id: UUID
    occurrence: datetime
    next_run_at: datetime | None = None
    starts_fan_out: bool = False
    is_dropped: bool = False


def insert_planned(conn: Connection, planned: Sequence[PlannedEvents]) -> None:
    """Store the automations of a batch's actions: one event at a moment, or a fan-out that is pending."""
    columns = [
        arrays.uuids(item.automation_id for item in planned),
        arrays.uuids(item.cause.organization_id for item in planned),
        arrays.uuids(item.cause.program_id for item in planned),
        arrays.texts(item.name for item in planned),
        arrays.texts(item.event_name for item in planned),
        arrays.texts(item.payload for item in planned),
        arrays.uuids(item.participant_id for item in planned),
        arrays.moments(item.due_at for item in planned),
        arrays.uuids(item.cause.id for item in planned),
        arrays.numbers(item.chain_depth for item in planned),
        arrays.moments(item.planned_at for item in planned),
    ]
    conn.execute(
        """
        INSERT INTO automations (id, organization_id, program_id, name, trigger_type, scope, source, event_name, payload,
                                 participant_id, trigger_at, execution_status, execution_at, caused_by_event_id, chain_depth,
                                 created_at, updated_at)
        SELECT id, organization_id, program_id, name, CASE WHEN is_fan_out THEN 'immediate' ELSE 'one_time' END,
               CASE WHEN is_fan_out THEN 'participants' ELSE 'program' END, 'rule_action', event_name, payload::json,
               participant_id, CASE WHEN NOT is_fan_out THEN due_at END, CASE WHEN is_fan_out THEN 'pending' END,
               CASE WHEN is_fan_out THEN due_at END, cause_id, chain_depth, planned_at, planned_at
        FROM (SELECT *, participant_id IS NULL AS is_fan_out
              FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::text[], %s::uuid[],
                          %s::timestamptz[], %s::uuid[], %s::smallint[], %s::timestamptz[])
                  AS t (id, organization_id, program_id, name, event_name, payload, participant_id, due_at, cause_id,
                        chain_depth, planned_at)) AS new
        """,
        columns,
        prepare=True,
    )


def due_now(conn: Connection, limit: int, without: Collection[UUID]) -> list[UUID]:
    """The automations that have been due longest."""
    rows = conn.execute(
        f"""
        SELECT a.id FROM {_WAITING} AND a.due_at <= (SELECT openscrip_now()) AND a.id <> ALL(%s::uuid[])
        ORDER BY a.due_at, a.id LIMIT %s
        """,
        [list(without), limit],
    )
    return [row[0] for row in rows]


def lock_due(conn: Connection, automation_ids: Collection[UUID]) -> list[DueAutomation]:
    """Those of these automations that are still to fire, locked, in the order of their moments; others fire nothing."""
    rows = conn.execute(
        f"""
        SELECT a.id, a.organization_id, a.program_id, a.event_name, a.payload, a.due_at, a.participant_id,
               (SELECT external_id FROM participants WHERE id = a.participant_id), a.caused_by_event_id, a.chain_depth,
               a.trigger_type, a.scope, a.cron_expression, a.timezone, a.execution_status,
               coalesce((SELECT clock_target > openscrip_now() FROM deployment), false)
        FROM {_WAITING} AND a.due_at <= (SELECT openscrip_now()) AND a.id = ANY(%s::uuid[])
        ORDER BY a.due_at, a.id FOR UPDATE OF a SKIP LOCKED
        """,
        [list(automation_ids)],
    )
    return [DueAutomation(*row) for row in rows]


def mark_fired(conn: Connection, fired: Sequence[Fired], now: datetime, dropped_error: str) -> None:
    """Note that locked automations have fired: an event was made, a fan-out is pending, or was dropped for `dropped_error`."""
    columns = [
        arrays.uuids(item.id for item in fired),
        arrays.moments(item.occurrence for item in fired),
        arrays.moments(item.next_run_at for item in fired),
        arrays.words("true" if item.starts_fan_out else "false" for item in fired),
        arrays.words("true" if item.is_dropped else "false" for item in fired),
    ]
    conn.execute(
        """
        UPDATE automations a SET updated_at = %s, next_run_at = new.next_run_at,
               last_run_at = CASE WHEN a.trigger_type = 'cron' AND NOT new.is_dropped THEN %s ELSE a.last_run_at END,
               last_error = CASE WHEN new.is_dropped THEN %s ELSE a.last_error END,
               processed_at = CASE WHEN a.trigger_type = 'one_time' AND a.scope = 'program' THEN %s ELSE a.processed_at END,
               error_message = CASE WHEN a.trigger_at = new.occurrence THEN NULL ELSE a.error_message END,
               execution_status = CASE WHEN new.starts THEN 'pending' ELSE a.execution_status END,
               execution_at = CASE WHEN new.starts THEN new.occurrence ELSE a.execution_at END,
               participants_total = CASE WHEN new.starts THEN NULL ELSE a.participants_total END,
               participants_processed = CASE WHEN new.starts THEN NULL ELSE a.participants_processed END,
               execution_started_at = CASE WHEN new.starts THEN NULL ELSE a.execution_started_at END,
               execution_completed_at = CASE WHEN new.starts THEN NULL ELSE a.execution_completed_at END,
               execution_error = CASE WHEN new.starts THEN NULL ELSE a.execution_error END
        FROM unnest(%s::uuid[], %s::timestamptz[], %s::timestamptz[], %s::boolean[], %s::boolean[])
            AS new (id, occurrence, next_run_at, starts, is_dropped)
        WHERE a.id = new.id
        """,
        [now, now, dropped_error, now, *columns],
    )


def program_is_active(conn: Connection, program_id: UUID) -> bool:
    """Whether the program's automations fire."""
    return conn.execute("SELECT 1 FROM programs WHERE id = %s AND status = 'ACTIVE'", [program_id]).fetchone() is not None


def next_scheduled_moment(conn: Connection, after: datetime) -> datetime | None:
    """The first moment after another one at which an automation fires; None without one."""
    row: Any = conn.execute(f"SELECT a.due_at FROM {_WAITING} AND a.due_at > %s ORDER BY a.due_at LIMIT 1", [after]).fetchone()
    return None if row is None else row[0]


def single_moments(conn: Connection, until: datetime, limit: int) -> list[datetime]:
    """The first different moments of one_time automations, from now on and not after `until`."""
    rows = conn.execute(
        f"""
        SELECT DISTINCT a.due_at FROM {_WAITING} AND a.trigger_type = 'one_time' AND a.due_at > openscrip_now()
        AND a.due_at <= %s ORDER BY a.due_at LIMIT %s
        """,
        [until, limit],
    )
    return [row[0] for row in rows]


def schedules(conn: Connection, until: datetime) -> list[tuple[str, str, datetime]]:
    """Expression, zone and next occurrence of cron automations that occur until a moment; equal ones once."""
    rows = conn.execute(
        f"""
        SELECT DISTINCT a.cron_expression, a.timezone, a.due_at FROM {_WAITING} AND a.trigger_type = 'cron' AND a.due_at <= %s
        """,
        [until],
    )
    return [(row[0], row[1], row[2]) for row in rows]


def seconds_until_scheduled(conn: Connection, without: Collection[UUID]) -> float | None:
    """From the database's clock to the next moment, below zero when it has passed; None without one."""
    row: Any = conn.execute(
        f"""
        SELECT extract(epoch FROM a.due_at - openscrip_now())::float8 FROM {_WAITING} AND a.id <> ALL(%s::uuid[])
        ORDER BY a.due_at LIMIT 1
        """,
        [list(without)],
    ).fetchone()
    return None if row is None else float(row[0])
