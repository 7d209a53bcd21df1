"""Reading events, and queueing failed ones again. An event's status is where it is: its outcome, or its place in the queue."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from db.repositories import arrays
from db.repositories.keyset import Keyset, Slice
from db.session import Connection
from domain.messages.events import EventFacts


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event with what became of it."""

    id: UUID
    organization_id: UUID
    program_id: UUID
    participant_id: UUID | None
    external_id: str | None
    recipient_id: UUID | None
    idempotency_key: str
    event_type: str
    event_data: dict[str, Any]
    event_timestamp: datetime
    automation_id: UUID | None
    caused_by_event_id: UUID | None
    chain_depth: int
    created_at: datetime
    status: str
    error_code: str | None
    error_message: str | None
    processed_at: datetime | None
    updated_at: datetime
    rule_set_id: int | None
    evaluations: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class EventFilters:
    """What a list of events is limited to; times inclusive. `involves_id` is subject or recipient."""

    program_id: UUID | None = None
    participant_id: UUID | None = None
    involves_id: UUID | None = None
    external_id: str | None = None
    status: str | None = None
    event_type: str | None = None
    rule_id: UUID | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    event_from: datetime | None = None
    event_to: datetime | None = None


STATUS_SQL = "coalesce(o.status, q.state, 'RECEIVED')"

_COLUMNS = f"""
    e.id, e.organization_id, e.program_id, e.participant_id, e.external_id, e.recipient_id, e.idempotency_key, e.event_type,
    e.event_data, e.event_timestamp, e.automation_id, e.caused_by_event_id, e.chain_depth, e.created_at,
    {STATUS_SQL}, o.error_code, o.error_message, o.processed_at, coalesce(o.processed_at, q.queued_at, e.created_at),
    o.rule_set_id, o.evaluations
"""
_JOINS = """
    LEFT JOIN event_outcomes o ON o.event_id = e.id AND o.created_at = e.created_at
    LEFT JOIN event_queue q ON q.event_id = e.id
"""

_CONDITIONS = {
    "program_id": "e.program_id = %(program_id)s",
    "participant_id": "e.participant_id = %(participant_id)s",
    "involves_id": "(e.participant_id = %(involves_id)s OR e.recipient_id = %(involves_id)s)",
    "external_id": "e.external_id = %(external_id)s",
    "event_type": "e.event_type = %(event_type)s",
    "rule_id": """EXISTS (SELECT 1 FROM rule_matches m
        WHERE m.rule_id = %(rule_id)s AND m.created_at = e.created_at AND m.event_id = e.id)""",
    "created_from": "e.created_at >= %(created_from)s",
    "created_to": "e.created_at <= %(created_to)s",
    "event_from": "e.event_timestamp >= %(event_from)s",
    "event_to": "e.event_timestamp <= %(event_to)s",
}
# What is rare is looked up where it is indexed; what is common is met soon on the way through the events.
_STATUS_CONDITIONS = {
    "COMPLETED": "o.status = 'COMPLETED'",
    "FAILED": "o.status = 'FAILED'",
    "PENDING": "q.state = 'PENDING'",
    "RECEIVED": "q.state = 'RECEIVED'",
    "PROCESSING": "FALSE",
}


def find_event(conn: Connection, organization_id: UUID, event_id: UUID) -> EventRow | None:
    """An event of the organization by id."""
    row = conn.execute(
        f"""
        SELECT {_COLUMNS} FROM event_identities i JOIN events e ON e.id = i.id AND e.created_at = i.created_at {_JOINS}
        WHERE i.id = %s AND e.organization_id = %s
        """,
        [event_id, organization_id],
    ).fetchone()
    return None if row is None else EventRow(*row)


def load_facts(conn: Connection, keys: Sequence[tuple[UUID, datetime]]) -> dict[UUID, EventFacts]:
    """What messages say of events besides what processing knows; events by id and time of creation."""
    rows = conn.execute(
        """
        SELECT e.id, e.external_id, e.idempotency_key, e.event_type, e.automation_id, e.caused_by_event_id
        FROM unnest(%s::uuid[], %s::timestamptz[]) AS wanted (id, created_at) JOIN events e USING (id, created_at)
        """,
        [arrays.uuids(key[0] for key in keys), arrays.moments(key[1] for key in keys)],
    )
    return {row[0]: EventFacts(*row[1:]) for row in rows}


def list_events(conn: Connection, organization_id: UUID, filters: EventFilters, keyset: Keyset, sort: str) -> Slice[EventRow]:
    """A page of events; `sort` is created_at, event_timestamp or status and fits the keyset's columns."""
    wanted = {name: getattr(filters, name) for name in _CONDITIONS if getattr(filters, name) is not None}
    conditions = ["e.organization_id = %(organization_id)s", *(_CONDITIONS[name] for name in wanted)]
    if filters.status is not None:
        conditions.append(_STATUS_CONDITIONS[filters.status])
    beyond, position = keyset.where_sql()
    parameters = {**wanted, **position, "organization_id": organization_id, "fetch": keyset.fetch}
    rows = conn.execute(
        f"""
        SELECT {_COLUMNS} FROM events e {_JOINS}
        WHERE {" AND ".join(conditions)} AND {beyond} ORDER BY {keyset.order_sql()} LIMIT %(fetch)s
        """,
        parameters,
    ).fetchall()
    return keyset.cut([EventRow(*row) for row in rows], lambda event: _position(event, sort))


def _position(event: EventRow, sort: str) -> tuple[Any, ...]:
    tie = (event.created_at, event.id)
    return tie if sort == "created_at" else (getattr(event, sort), *tie)


@dataclass(frozen=True, slots=True)
class FailedEvent:
    """A failed event that is to be queued again."""

    id: UUID
    created_at: datetime
    organization_id: UUID
    program_id: UUID
    order_key: UUID
    error_message: str | None


def lock_failed(conn: Connection, organization_id: UUID, event_id: UUID) -> FailedEvent | None:
    """The event, if it is FAILED, locked; None when it isn't."""
    return next(iter(_failed(conn, "o.event_id = %(event_id)s", organization_id, {"event_id": event_id})), None)


def lock_all_failed(
    conn: Connection,
    organization_id: UUID,
    program_id: UUID,
    *,
    error_code: str | None,
    created_from: datetime | None,
    created_to: datetime | None,
) -> list[FailedEvent]:
    """A program's FAILED events that meet all filters, locked, in the order they were accepted."""
    condition = """
        o.program_id = %(program_id)s
        AND (%(error_code)s::text IS NULL OR o.error_code = %(error_code)s)
        AND (%(created_from)s::timestamptz IS NULL OR o.created_at >= %(created_from)s)
        AND (%(created_to)s::timestamptz IS NULL OR o.created_at <= %(created_to)s)
    """
    parameters = {"program_id": program_id, "error_code": error_code, "created_from": created_from, "created_to": created_to}
    return _failed(conn, condition, organization_id, parameters)


def _failed(conn: Connection, condition: str, organization_id: UUID, parameters: dict[str, Any]) -> list[FailedEvent]:
    rows = conn.execute(
        f"""
        SELECT o.event_id, o.created_at, o.organization_id, o.program_id, coalesce(o.participant_id, o.program_id),
               o.error_message
        FROM event_outcomes o
        WHERE o.status = 'FAILED' AND o.organization_id = %(organization_id)s AND {condition}
        ORDER BY o.created_at, o.event_id FOR UPDATE
        """,
        {**parameters, "organization_id": organization_id},
    )
    return [FailedEvent(*row) for row in rows]


def requeue(conn: Connection, events: Sequence[FailedEvent], lanes: Sequence[int]) -> None:
    """Take back the outcomes of locked failed events and queue them behind what waits, in the order given."""
    ids, times = [event.id for event in events], [event.created_at for event in events]
    conn.execute(
        """
        DELETE FROM event_outcomes o USING unnest(%s::uuid[], %s::timestamptz[]) AS gone (id, created_at)
        WHERE o.event_id = gone.id AND o.created_at = gone.created_at
        """,
        [ids, times],
    )
    conn.execute(
        """
        DELETE FROM rule_matches m
        USING unnest(%s::uuid[], %s::timestamptz[], %s::uuid[]) AS gone (id, created_at, program_id), rules r
        WHERE r.program_id = gone.program_id AND m.rule_id = r.id AND m.created_at = gone.created_at AND m.event_id = gone.id
        """,
        [ids, times, [event.program_id for event in events]],
    )
    conn.execute(
        """
        INSERT INTO event_queue (lane, event_id, event_created_at, organization_id, program_id, order_key, state, queued_at)
        SELECT lane, id, created_at, organization_id, program_id, order_key, 'PENDING', openscrip_now()
        FROM unnest(%s::smallint[], %s::uuid[], %s::timestamptz[], %s::uuid[], %s::uuid[], %s::uuid[]) WITH ORDINALITY
            AS again (lane, id, created_at, organization_id, program_id, order_key, position)
        ORDER BY position
        """,
        [
            list(lanes),
            ids,
            times,
            [event.organization_id for event in events],
            [event.program_id for event in events],
            [event.order_key for event in events],
        ],
    )
