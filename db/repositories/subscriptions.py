"""Subscriptions of participant_state automations: listed, written by evaluations, found when they are due (automations.md 3)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from db.repositories import arrays
from db.repositories.keyset import Keyset, Slice
from db.session import Connection
from domain.automations import ScheduleType
from domain.subscriptions import Plan, SubscriptionStatus

_BOOLEANS = {None: "NULL", True: "true", False: "false"}
# An archived automation's are all over, without each of them being written.
_STATUS = "CASE WHEN a.status = 'archived' AND s.status = 'active' THEN 'cancelled' ELSE s.status END"
# Those of a paused automation or a program that isn't ACTIVE wait; those of an archived one are visited once, to be cancelled.
_WAITING = """
    automation_subscriptions s JOIN automations a ON a.id = s.automation_id
    WHERE s.due_at IS NOT NULL AND (a.status = 'archived' OR (a.status = 'active'
      AND s.schedule_version = a.schedule_version
      AND (SELECT p.status FROM programs p WHERE p.id = s.program_id) = 'ACTIVE'))
"""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as the API shows it."""

    id: UUID
    automation_id: UUID
    participant_id: UUID
    status: str
    next_trigger_at: datetime | None
    last_triggered_at: datetime | None
    trigger_count: int
    retry_count: int
    last_error: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Stored:
    """What an evaluation has to know of a subscription that there is."""

    id: UUID
    participant_id: UUID
    status: SubscriptionStatus
    schedule_version: int
    anchor: datetime
    basis: str | None


@dataclass(frozen=True, slots=True)
class Planned:
    """A subscription that begins to wait, anew or for the first time."""

    id: UUID
    participant_id: UUID
    anchor: datetime
    plan: Plan


@dataclass(frozen=True, slots=True)
class DueSubscription:
    """A locked subscription whose moment has come; of its automation, what its event needs. `is_moving`: the test clock is."""

    subscription_id: UUID
    participant_id: UUID
    external_id: str
    moment: datetime
    is_crossing: bool
    anchor: datetime
    basis: str | None
    retry_count: int
    id: UUID
    organization_id: UUID
    program_id: UUID
    event_name: str
    payload: dict[str, Any]
    schedule_type: ScheduleType
    schedule_config: dict[str, Any]
    timezone: str
    guard_condition: str | None
    active_since: datetime
    automation_status: str
    failures: int
    is_moving: bool
    caused_by_event_id: UUID | None = None
    chain_depth: int = 0


@dataclass(frozen=True, slots=True)
class Turned:
    """What became of a due subscription: whether an event was made, and its next moment; without one, a date is completed."""

    subscription_id: UUID
    is_crossing: bool
    fired: bool
    next_trigger_at: datetime | None = None


def page(conn: Connection, automation_id: UUID, status: str | None, keyset: Keyset) -> Slice[Subscription]:
    """One page of an automation's subscriptions; without a status all but cancelled ones."""
    after, values = keyset.where_sql()
    wanted = "status = %(status)s" if status is not None else "status <> 'cancelled'"
    rows = conn.execute(
        f"""
        SELECT id, automation_id, participant_id, status, next_trigger_at, last_triggered_at, trigger_count, retry_count,
               last_error, created_at
        FROM (SELECT s.id, s.automation_id, s.participant_id, {_STATUS} AS status,
                     CASE WHEN s.status = 'active' AND a.status <> 'archived' THEN s.next_trigger_at END AS next_trigger_at,
                     s.last_triggered_at, s.trigger_count, s.retry_count, s.last_error, s.created_at
              FROM automation_subscriptions s JOIN automations a ON a.id = s.automation_id
              WHERE s.automation_id = %(automation)s) AS shown
        WHERE {after} AND {wanted} ORDER BY {keyset.order_sql()} LIMIT {keyset.fetch}
        """,
        {"automation": automation_id, "status": status, **values},
    )
    return keyset.cut([Subscription(*row) for row in rows])


# --------------------------------------------------------------- evaluation
def stored(conn: Connection, automation_id: UUID, participant_ids: Collection[UUID]) -> dict[UUID, Stored]:
    """The subscriptions of these participants, locked by id."""
    rows = conn.execute(
        """
        SELECT id, participant_id, status, schedule_version, anchor, basis FROM automation_subscriptions
        WHERE automation_id = %s AND participant_id = ANY(%s::uuid[]) ORDER BY id FOR UPDATE
        """,
        [automation_id, arrays.uuids(participant_ids)],
    )
    return {row[1]: Stored(row[0], row[1], SubscriptionStatus(row[2]), *row[3:]) for row in rows}


def save_plans(conn: Connection, key: tuple[UUID, UUID, UUID], version: int, planned: Sequence[Planned], now: datetime) -> None:
    """Let subscriptions of an automation (organization, program, automation) begin to wait by this version of its schedule."""
    plans = [item.plan for item in planned]
    conn.execute(
        """
        INSERT INTO automation_subscriptions (id, organization_id, program_id, automation_id, participant_id, status,
                                              schedule_version, anchor, basis, next_trigger_at, is_met, last_error, created_at)
        SELECT new.id, %s, %s, %s, new.participant_id, new.status, %s, new.anchor, new.basis, new.next_at, new.is_met,
               new.error, %s
        FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::timestamptz[], %s::text[], %s::timestamptz[], %s::boolean[],
                    %s::text[])
            AS new (id, participant_id, status, anchor, basis, next_at, is_met, error)
        ON CONFLICT (automation_id, participant_id) DO UPDATE
        SET status = EXCLUDED.status, schedule_version = EXCLUDED.schedule_version, anchor = EXCLUDED.anchor,
            basis = EXCLUDED.basis, next_trigger_at = EXCLUDED.next_trigger_at, is_met = EXCLUDED.is_met,
            last_error = EXCLUDED.last_error, retry_count = 0, retry_at = NULL
        """,
        [
            *key,
            version,
            now,
            arrays.uuids(item.id for item in planned),
            arrays.uuids(item.participant_id for item in planned),
            arrays.words(plan.status for plan in plans),
            arrays.moments(item.anchor for item in planned),
            arrays.texts(plan.basis for plan in plans),
            arrays.moments(plan.next_trigger_at for plan in plans),
            arrays.words(_BOOLEANS[plan.is_met] for plan in plans),
            arrays.texts(plan.error for plan in plans),
        ],
    )


def cancel(conn: Connection, subscription_ids: Collection[UUID]) -> None:
    """End locked subscriptions, until their participants match again; crossings that there were still fire."""
    conn.execute(
        "UPDATE automation_subscriptions SET status = 'cancelled', next_trigger_at = NULL WHERE id = ANY(%s::uuid[])",
        [arrays.uuids(subscription_ids)],
    )


def states(conn: Connection, participant_ids: Collection[UUID]) -> dict[UUID, tuple[dict[str, object], dict[str, str]]]:
    """Counters as stored, and attributes, of participants."""
    rows = conn.execute(
        "SELECT id, counters, attributes FROM holders WHERE id = ANY(%s::uuid[])", [arrays.uuids(participant_ids)]
    )
    return {row[0]: (row[1], row[2]) for row in rows}


# ------------------------------------------------------------------- firing
def due_now(conn: Connection, limit: int, without: Collection[UUID], automation_id: UUID | None = None) -> list[UUID]:
    """The subscriptions that have been due longest, of one automation or of all."""
    own = "" if automation_id is None else "AND s.automation_id = %(automation)s"
    rows = conn.execute(
        f"""
        SELECT s.id FROM {_WAITING} {own} AND s.due_at <= (SELECT openscrip_now()) AND s.id <> ALL(%(without)s::uuid[])
        ORDER BY s.due_at, s.id LIMIT %(limit)s
        """,
        {"automation": automation_id, "without": arrays.uuids(without), "limit": limit},
    )
    return [row[0] for row in rows]


def lock_due(conn: Connection, subscription_ids: Collection[UUID]) -> list[DueSubscription]:
    """Those of these that are still due, locked, in the order of their moments; what others hold is passed over."""
    rows = conn.execute(
        f"""
        SELECT s.id, s.participant_id, (SELECT external_id FROM participants WHERE id = s.participant_id),
               coalesce(s.crossings[1], s.next_trigger_at), s.crossings[1] IS NOT NULL, s.anchor, s.basis, s.retry_count,
               a.id, a.organization_id, a.program_id, a.event_name, a.payload, a.schedule_type, a.schedule_config, a.timezone,
               a.guard_condition, a.active_since, a.status, a.failures,
               coalesce((SELECT clock_target > openscrip_now() FROM deployment), false)
        FROM {_WAITING} AND s.due_at <= (SELECT openscrip_now()) AND s.id = ANY(%s::uuid[])
        ORDER BY s.due_at, s.id FOR UPDATE OF s SKIP LOCKED
        """,
        [arrays.uuids(subscription_ids)],
    )
    return [replace(item, schedule_type=ScheduleType(item.schedule_type)) for item in (DueSubscription(*row) for row in rows)]


def note_turns(conn: Connection, turned: Sequence[Turned], now: datetime) -> None:
    """Note what became of locked subscriptions; a good turn ends failures in a row."""
    conn.execute(
        """
        UPDATE automation_subscriptions s
        SET crossings = CASE WHEN new.is_crossing THEN s.crossings[2:] ELSE s.crossings END,
            next_trigger_at = CASE WHEN new.is_crossing THEN s.next_trigger_at ELSE new.next_at END,
            status = CASE WHEN new.is_crossing OR new.next_at IS NOT NULL THEN s.status ELSE 'completed' END,
            last_triggered_at = CASE WHEN new.fired THEN %s ELSE s.last_triggered_at END,
            trigger_count = s.trigger_count + CASE WHEN new.fired THEN 1 ELSE 0 END,
            retry_count = 0, retry_at = NULL, last_error = NULL
        FROM unnest(%s::uuid[], %s::boolean[], %s::boolean[], %s::timestamptz[]) AS new (id, is_crossing, fired, next_at)
        WHERE s.id = new.id
        """,
        [
            now,
            arrays.uuids(item.subscription_id for item in turned),
            arrays.words(_BOOLEANS[item.is_crossing] for item in turned),
            arrays.words(_BOOLEANS[item.fired] for item in turned),
            arrays.moments(item.next_trigger_at for item in turned),
        ],
    )


def end(conn: Connection, subscription_ids: Collection[UUID]) -> None:
    """Cancel locked subscriptions of an archived automation, with what they waited for."""
    conn.execute(
        """
        UPDATE automation_subscriptions SET next_trigger_at = NULL, crossings = '{}',
               status = CASE WHEN status = 'active' THEN 'cancelled' ELSE status END
        WHERE id = ANY(%s::uuid[])
        """,
        [arrays.uuids(subscription_ids)],
    )


def note_failure(conn: Connection, subscription_id: UUID, error: str, retry_at: datetime, most: int) -> None:
    """Count a failure in a row of a locked subscription; it is tried again later, and at `most` never."""
    conn.execute(
        """
        UPDATE automation_subscriptions SET retry_count = retry_count + 1, last_error = %s, retry_at = %s,
               status = CASE WHEN retry_count + 1 >= %s THEN 'failed' ELSE status END
        WHERE id = %s
        """,
        [error, retry_at, most, subscription_id],
    )


def seconds_until_next(conn: Connection, without: Collection[UUID], automation_id: UUID | None = None) -> float | None:
    """From the database's clock to the next moment, below zero when it has passed; None without one."""
    own = "" if automation_id is None else "AND s.automation_id = %(automation)s"
    row: Any = conn.execute(
        f"""
        SELECT extract(epoch FROM s.due_at - openscrip_now())::float8 FROM {_WAITING} {own} AND s.id <> ALL(%(without)s::uuid[])
        ORDER BY s.due_at LIMIT 1
        """,
        {"automation": automation_id, "without": arrays.uuids(without)},
    ).fetchone()
    return None if row is None else float(row[0])


# ----------------------------------------------------------- the test clock
def next_moment(conn: Connection, after: datetime) -> datetime | None:
    """The first moment after another one at which a subscription fires; None without one."""
    row: Any = conn.execute(f"SELECT s.due_at FROM {_WAITING} AND s.due_at > %s ORDER BY s.due_at LIMIT 1", [after]).fetchone()
    return None if row is None else row[0]


def series(conn: Connection, until: datetime, limit: int) -> list[tuple[str, Mapping[str, Any], str, datetime, datetime]]:
    """Schedule type, configuration, time zone, anchor and next moment of those that fire until a moment; equal ones once."""
    rows = conn.execute(
        f"""
        SELECT DISTINCT ON (a.id, s.due_at) a.schedule_type, a.schedule_config, a.timezone, s.anchor, s.due_at
        FROM {_WAITING} AND s.due_at > openscrip_now() AND s.due_at <= %s ORDER BY a.id, s.due_at LIMIT %s
        """,
        [until, limit],
    )
    return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]
