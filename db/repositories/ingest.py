"""Accepting events: what a group of submissions names, and writing them, a handful of set-based statements in all."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from db.repositories import arrays
from db.session import Connection


@dataclass(frozen=True, slots=True)
class ProgramRow:
    """What decides whether a program takes an event."""

    id: UUID
    organization_id: UUID
    status: str
    on_unknown_participant: str


@dataclass(frozen=True, slots=True)
class ParticipantRow:
    """Who an id or external id names."""

    id: UUID
    organization_id: UUID
    external_id: str


@dataclass(frozen=True, slots=True)
class KnownEvent:
    """An event that was accepted before, as ingest answers it."""

    id: UUID
    organization_id: UUID
    program_id: UUID
    participant_id: UUID | None
    external_id: str | None
    idempotency_key: str
    event_timestamp: datetime
    status: str


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be stored and queued; one without participant keeps its program's order."""

    id: UUID
    organization_id: UUID
    program_id: UUID
    participant_id: UUID | None
    external_id: str | None
    recipient_id: UUID | None
    idempotency_key: str
    event_data: str
    event_timestamp: datetime
    created_at: datetime
    lane: int
    event_type: str = "EXTERNAL"
    automation_id: UUID | None = None
    caused_by_event_id: UUID | None = None
    chain_depth: int = 0
    trace_parent: str | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """What the rows of the database say about a group of submissions."""

    now: datetime
    programs: dict[UUID, ProgramRow]
    events: dict[UUID, KnownEvent]
    by_id: dict[UUID, ParticipantRow]
    by_external_id: dict[tuple[UUID, str], ParticipantRow]


_KNOWN = """
SELECT e.id, e.organization_id, e.program_id, e.participant_id, e.external_id, e.idempotency_key, e.event_timestamp,
       coalesce(o.status, q.state, 'RECEIVED')
FROM event_identities i
JOIN events e ON e.id = i.id AND e.created_at = i.created_at
LEFT JOIN event_outcomes o ON o.event_id = i.id AND o.created_at = i.created_at
LEFT JOIN event_queue q ON q.event_id = i.id
WHERE i.id = ANY(%s::uuid[])
"""


def look_up(
    conn: Connection,
    *,
    program_ids: Collection[UUID],
    event_ids: Collection[UUID],
    participant_ids: Collection[UUID],
    external_ids: Collection[tuple[UUID, str]],
) -> Named:
    """Everything that the checks of a group need, in one round trip."""
    with conn.pipeline():
        now = conn.execute("SELECT openscrip_now()")
        programs = conn.execute(
            "SELECT id, organization_id, status, on_unknown_participant FROM programs WHERE id = ANY(%s::uuid[])",
            [arrays.uuids(program_ids)],
        )
        events = conn.execute(_KNOWN, [arrays.uuids(event_ids)])
        by_id = conn.execute(
            "SELECT id, organization_id, external_id FROM participants WHERE id = ANY(%s::uuid[])",
            [arrays.uuids(participant_ids)],
        )
        by_name = conn.execute(*_by_external_id(external_ids))
    moment: Any = now.fetchone()
    return Named(
        moment[0],
        {row[0]: ProgramRow(*row) for row in programs},
        {row[0]: KnownEvent(*row) for row in events},
        {row[0]: ParticipantRow(*row) for row in by_id},
        {(row[1], row[2]): ParticipantRow(*row) for row in by_name},
    )


def known_events(conn: Connection, event_ids: Collection[UUID]) -> dict[UUID, KnownEvent]:
    """Events by id, with their present status."""
    return {row[0]: KnownEvent(*row) for row in conn.execute(_KNOWN, [arrays.uuids(event_ids)])}


def _by_external_id(external_ids: Collection[tuple[UUID, str]]) -> tuple[str, list[str]]:
    statement = """
        SELECT p.id, p.organization_id, p.external_id
        FROM unnest(%s::uuid[], %s::text[]) AS wanted (organization_id, external_id)
        JOIN participants p USING (organization_id, external_id)
    """
    return statement, [arrays.uuids(pair[0] for pair in external_ids), arrays.texts(pair[1] for pair in external_ids)]


def create_participants(
    conn: Connection, wanted: Sequence[tuple[UUID, UUID, str]], now: datetime
) -> dict[tuple[UUID, str], ParticipantRow]:
    """Create participants from (id, organization, external id) triples; a name taken meanwhile gives its present owner.

    The triples must be sorted by organization and name: two groups at once then wait for each other in one order.
    """
    created = conn.execute(
        """
        WITH created AS (
            INSERT INTO participants (id, organization_id, external_id, created_at, updated_at)
            SELECT id, organization_id, external_id, %s, %s
            FROM unnest(%s::uuid[], %s::uuid[], %s::text[]) AS wanted (id, organization_id, external_id)
            ON CONFLICT DO NOTHING
            RETURNING id, organization_id, external_id
        ), holding AS (
            INSERT INTO holders (id, organization_id, kind) SELECT id, organization_id, 'PARTICIPANT' FROM created
        )
        SELECT id, organization_id, external_id FROM created
        """,
        [now, now, arrays.uuids(w[0] for w in wanted), arrays.uuids(w[1] for w in wanted), arrays.texts(w[2] for w in wanted)],
    )
    rows = {(row[1], row[2]): ParticipantRow(*row) for row in created}
    lost = [(organization_id, name) for _, organization_id, name in wanted if (organization_id, name) not in rows]
    if lost:
        rows |= {(row[1], row[2]): ParticipantRow(*row) for row in conn.execute(*_by_external_id(lost))}
    return rows


def enroll(conn: Connection, pairs: Sequence[tuple[UUID, UUID, UUID]], now: datetime) -> None:
    """Make (participant, program, organization) enrolments ACTIVE; those that are cost a read only. Written in one order."""
    conn.execute(
        """
        INSERT INTO enrollments (participant_id, program_id, organization_id, enrolled_at, updated_at)
        SELECT participant_id, program_id, organization_id, %s, %s
        FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[]) AS wanted (participant_id, program_id, organization_id)
        WHERE NOT EXISTS (
            SELECT 1 FROM enrollments e
            WHERE e.participant_id = wanted.participant_id AND e.program_id = wanted.program_id AND e.status = 'ACTIVE')
        ORDER BY participant_id, program_id
        ON CONFLICT (participant_id, program_id) DO UPDATE
            SET status = 'ACTIVE', updated_at = EXCLUDED.updated_at WHERE enrollments.status <> 'ACTIVE'
        """,
        [now, now, *(arrays.uuids(pair[column] for pair in pairs) for column in range(3))],
    )


def insert_events(conn: Connection, events: Sequence[NewEvent]) -> set[UUID]:
    """Store and queue events in the order given; returns the ids that were new. A key taken meanwhile is left alone."""
    columns = [
        arrays.uuids(event.id for event in events),
        arrays.uuids(event.organization_id for event in events),
        arrays.uuids(event.program_id for event in events),
        arrays.uuids(event.participant_id for event in events),
        arrays.texts(event.external_id for event in events),
        arrays.uuids(event.recipient_id for event in events),
        arrays.texts(event.idempotency_key for event in events),
        arrays.texts(event.event_data for event in events),
        arrays.moments(event.event_timestamp for event in events),
        arrays.moments(event.created_at for event in events),
        arrays.numbers(event.lane for event in events),
        arrays.words(event.event_type for event in events),
        arrays.uuids(event.automation_id for event in events),
        arrays.uuids(event.caused_by_event_id for event in events),
        arrays.numbers(event.chain_depth for event in events),
        arrays.texts(event.trace_parent for event in events),
    ]
    rows = conn.execute(
        """
        WITH incoming AS MATERIALIZED (
            SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::uuid[], %s::text[], %s::uuid[], %s::text[],
                                 %s::text[], %s::timestamptz[], %s::timestamptz[], %s::smallint[], %s::text[], %s::uuid[],
                                 %s::uuid[], %s::smallint[], %s::text[])
                WITH ORDINALITY AS t (id, organization_id, program_id, participant_id, external_id, recipient_id,
                                      idempotency_key, event_data, event_timestamp, created_at, lane, event_type,
                                      automation_id, caused_by_event_id, chain_depth, trace_parent, position)
        ), fresh AS (
            INSERT INTO event_identities (id, created_at) SELECT id, created_at FROM incoming ORDER BY id
            ON CONFLICT DO NOTHING RETURNING id
        ), stored AS (
            INSERT INTO events (id, organization_id, program_id, participant_id, external_id, recipient_id, idempotency_key,
                                event_type, event_data, event_timestamp, automation_id, caused_by_event_id, chain_depth,
                                created_at)
            SELECT id, organization_id, program_id, participant_id, external_id, recipient_id, idempotency_key,
                   event_type, event_data::json, event_timestamp, automation_id, caused_by_event_id, chain_depth, created_at
            FROM incoming JOIN fresh USING (id)
        ), queued AS (
            INSERT INTO event_queue (lane, event_id, event_created_at, organization_id, program_id, order_key, queued_at,
                                     trace_parent)
            SELECT lane, id, created_at, organization_id, program_id, coalesce(participant_id, program_id), created_at,
                   trace_parent
            FROM incoming JOIN fresh USING (id) ORDER BY position
        )
        SELECT id FROM fresh
        """,
        columns,
    )
    return {row[0] for row in rows}
