"""Automations: written by event processing, found when they are due, marked when they have fired."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from db.repositories import arrays
from db.session import Connection
from domain.processing.world import PlannedEvents

# Those of a program that isn't ACTIVE wait; so do paused ones.
_WAITING = """
    automations a JOIN programs p ON p.id = a.program_id
    WHERE a.trigger_type = 'one_time' AND a.scope = 'program' AND a.status = 'active' AND a.processed_at IS NULL
      AND p.status = 'ACTIVE'
"""


@dataclass(frozen=True, slots=True)
class DueAutomation:
    """A locked automation whose moment has come; `external_id` is its participant's."""

    id: UUID
    organization_id: UUID
    program_id: UUID
    event_name: str
    payload: dict[str, Any]
    trigger_at: datetime
    participant_id: UUID | None
    external_id: str | None
    caused_by_event_id: UUID | None
    chain_depth: int


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
        SELECT a.id FROM {_WAITING} AND a.trigger_at <= (SELECT openscrip_now()) AND a.id <> ALL(%s::uuid[])
        ORDER BY a.trigger_at, a.id LIMIT %s
        """,
        [list(without), limit],
    )
    return [row[0] for row in rows]


def lock_due(conn: Connection, automation_ids: Collection[UUID]) -> list[DueAutomation]:
    """Those of these automations that are still to fire, locked, in the order of their moments; others fire nothing."""
    rows = conn.execute(
        f"""
        SELECT a.id, a.organization_id, a.program_id, a.event_name, a.payload, a.trigger_at, a.participant_id,
               (SELECT external_id FROM participants WHERE id = a.participant_id), a.caused_by_event_id, a.chain_depth
        FROM {_WAITING} AND a.trigger_at <= (SELECT openscrip_now()) AND a.id = ANY(%s::uuid[])
        ORDER BY a.trigger_at, a.id FOR UPDATE OF a SKIP LOCKED
        """,
        [list(automation_ids)],
    )
    return [DueAutomation(*row) for row in rows]


def mark_fired(conn: Connection, automation_ids: Collection[UUID], now: datetime) -> None:
    """Note that locked automations have fired: they won't again."""
    conn.execute(
        """
        UPDATE automations SET processed_at = %s, updated_at = %s, error_message = NULL, last_error = NULL
        WHERE id = ANY(%s::uuid[])
        """,
        [now, now, list(automation_ids)],
    )


def next_scheduled_moment(conn: Connection, after: datetime) -> datetime | None:
    """The first moment after another one at which an automation fires; None without one."""
    row: Any = conn.execute(
        f"SELECT a.trigger_at FROM {_WAITING} AND a.trigger_at > %s ORDER BY a.trigger_at LIMIT 1", [after]
    ).fetchone()
    return None if row is None else row[0]


def count_scheduled_moments(conn: Connection, until: datetime, limit: int) -> int:
    """How many different moments there are from now on and not after `until`; counting stops at `limit`."""
    row: Any = conn.execute(
        f"""
        SELECT count(*) FROM (
            SELECT DISTINCT a.trigger_at FROM {_WAITING} AND a.trigger_at > openscrip_now() AND a.trigger_at <= %s LIMIT %s
        ) AS moments
        """,
        [until, limit],
    ).fetchone()
    return int(row[0])


def seconds_until_scheduled(conn: Connection, without: Collection[UUID]) -> float | None:
    """From the database's clock to the next moment, below zero when it has passed; None without one."""
    row: Any = conn.execute(
        f"""
        SELECT extract(epoch FROM a.trigger_at - openscrip_now())::float8 FROM {_WAITING} AND a.id <> ALL(%s::uuid[])
        ORDER BY a.trigger_at LIMIT 1
        """,
        [list(without)],
    ).fetchone()
    return None if row is None else float(row[0])
