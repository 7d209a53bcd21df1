"""What may be sent to an endpoint now, claiming it, and giving it back. Callers hold the endpoint's health locked."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from db.repositories import arrays
from db.session import Connection


@dataclass(frozen=True, slots=True)
class DeliveryKey:
    """A delivery: deliveries are found by id and the month of `created_at`."""

    id: UUID
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery whose attempt is due."""

    key: DeliveryKey
    entity_id: UUID
    attempt_count: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that nobody else sends until `sending_until`, which is also the mark of this claim; `data` is JSON text."""

    key: DeliveryKey
    sending_until: datetime
    message_id: UUID
    type: str
    organization_id: UUID
    entity_id: UUID
    attempt_count: int
    max_attempts: int
    data: str
    trace_parent: str | None = None


@dataclass(slots=True)
class Queue:
    """How many attempts are under way, `again` of them further ones, and what is due: tests, first and further attempts.

    `waiting` counts the first attempts that were looked at, of which `first` has one of each entity.
    """

    flights: int = 0
    again_flights: int = 0
    has_expired: bool = False
    waiting: int = 0
    tests: list[Waiting] = field(default_factory=list)
    first: list[Waiting] = field(default_factory=list)
    again: list[Waiting] = field(default_factory=list)


# First attempts are looked at in the order of the outbox, without entities that have one under way.
_LOOK = """
    WITH flights AS MATERIALIZED (
        SELECT entity_id, attempt_count, sending_until FROM webhook_deliveries
        WHERE webhook_endpoint_id = %(endpoint)s AND status = 'SENDING'
    )
    SELECT 'flights', NULL::uuid, NULL::timestamptz, NULL::uuid, 0, count(*), count(*) FILTER (WHERE attempt_count > 0),
           coalesce(min(sending_until) <= clock_timestamp(), false)
    FROM flights
    UNION ALL (
        SELECT 'tests', id, created_at, entity_id, attempt_count, 0, 0, false FROM webhook_deliveries
        WHERE webhook_endpoint_id = %(endpoint)s AND status = 'PENDING' AND event_type = 'webhook.test'
        ORDER BY created_at LIMIT %(tests)s
    ) UNION ALL (
        SELECT 'first', id, created_at, entity_id, attempt_count, seen, 0, false
        FROM (
            SELECT *, row_number() OVER (PARTITION BY entity_id ORDER BY outbox_seq) AS place, count(*) OVER () AS seen
            FROM (
                SELECT id, created_at, entity_id, attempt_count, outbox_seq FROM webhook_deliveries
                WHERE webhook_endpoint_id = %(endpoint)s AND status = 'PENDING' AND attempt_count = 0
                  AND entity_id <> ALL (ARRAY(SELECT entity_id FROM flights WHERE attempt_count = 0))
                ORDER BY outbox_seq LIMIT CASE WHEN %(room)s > 0 THEN %(ahead)s ELSE 0 END
            ) AS seen
        ) AS placed
        WHERE place = 1 ORDER BY outbox_seq LIMIT %(room)s
    ) UNION ALL (
        SELECT 'again', id, created_at, entity_id, attempt_count, 0, 0, false FROM webhook_deliveries
        WHERE webhook_endpoint_id = %(endpoint)s AND status = 'PENDING' AND attempt_count > 0
          AND next_attempt_at <= (SELECT openscrip_now())
        ORDER BY next_attempt_at LIMIT %(room)s
    )
"""


def look(conn: Connection, endpoint_id: UUID, *, tests: int, room: int, ahead: int) -> Queue:
    """What is under way and what waits: so many tests, and `room` of each kind of attempts, looking `ahead` for entities."""
    found = Queue()
    given = {"endpoint": endpoint_id, "tests": tests, "room": room, "ahead": ahead}
    kinds = {"tests": found.tests, "first": found.first, "again": found.again}
    row: Any
    for row in conn.execute(_LOOK, given, prepare=True):
        if row[0] == "flights":
            found.flights, found.again_flights, found.has_expired = row[5:]
            continue
        kinds[row[0]].append(Waiting(DeliveryKey(row[1], row[2]), row[3], row[4]))
        found.waiting = max(found.waiting, row[5])
    return found


def release_expired(conn: Connection, endpoint_id: UUID) -> None:
    """Make deliveries PENDING again whose sender is dead."""
    conn.execute(
        """
        UPDATE webhook_deliveries SET status = 'PENDING', sending_until = NULL, updated_at = openscrip_now()
        WHERE webhook_endpoint_id = %s AND status = 'SENDING' AND sending_until <= clock_timestamp()
        """,
        [endpoint_id],
        prepare=True,
    )


def claim(conn: Connection, keys: Sequence[DeliveryKey], seconds: float) -> list[Claimed]:
    """Take PENDING deliveries for so many seconds of the real clock, in the order of the keys."""
    rows = conn.execute(
        """
        WITH wanted AS MATERIALIZED (
            SELECT id, created_at, position, clock_timestamp() + make_interval(secs => %s) AS until
            FROM unnest(%s::uuid[], %s::timestamptz[]) WITH ORDINALITY AS t (id, created_at, position)
        ), taken AS (
            UPDATE webhook_deliveries d SET status = 'SENDING', sending_until = w.until, updated_at = openscrip_now()
            FROM wanted w WHERE d.id = w.id AND d.created_at = w.created_at AND d.status = 'PENDING'
            RETURNING d.*, w.position
        )
        SELECT t.id, t.created_at, t.sending_until, t.webhook_event_id, t.event_type, t.organization_id, t.entity_id,
               t.attempt_count, t.max_attempts, m.data::text, m.trace_parent
        FROM taken t JOIN webhook_messages m ON m.id = t.webhook_event_id AND m.created_at = t.created_at
        ORDER BY t.position
        """,
        [seconds, arrays.uuids(key.id for key in keys), arrays.moments(key.created_at for key in keys)],
        prepare=True,
    )
    return [Claimed(DeliveryKey(row[0], row[1]), *row[2:]) for row in rows]


def give_back(conn: Connection, claimed: Sequence[Claimed]) -> None:
    """Make claimed deliveries PENDING again, no attempt counted."""
    conn.execute(
        """
        UPDATE webhook_deliveries d SET status = 'PENDING', sending_until = NULL, updated_at = openscrip_now()
        FROM unnest(%s::uuid[], %s::timestamptz[], %s::timestamptz[]) AS r (id, created_at, claim)
        WHERE d.id = r.id AND d.created_at = r.created_at AND d.status = 'SENDING' AND d.sending_until = r.claim
        """,
        [
            arrays.uuids(each.key.id for each in claimed),
            arrays.moments(each.key.created_at for each in claimed),
            arrays.moments(each.sending_until for each in claimed),
        ],
    )
