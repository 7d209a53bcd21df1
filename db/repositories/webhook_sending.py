"""Claiming deliveries, marking what came of them, and finding those that wait. Callers hold the endpoint's health locked."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from db.repositories import arrays
from db.session import Connection

TEST_TYPE = "webhook.test"


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


@dataclass(frozen=True, slots=True)
class Marked:
    """A claimed delivery after its attempt: its new status, and what was answered."""

    claimed: Claimed
    status: str
    next_attempt_at: datetime | None
    response_status: int | None
    response_body: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class EndpointKey:
    """An endpoint and whose it is."""

    endpoint_id: UUID
    organization_id: UUID


@dataclass(frozen=True, slots=True)
class RetryKey:
    """A delivery that waits for another attempt."""

    delivery_id: UUID
    endpoint_id: UUID
    organization_id: UUID


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


def in_flight(conn: Connection, endpoint_id: UUID) -> list[tuple[UUID, int, float]]:
    """What is being sent: the entity, the attempts before this one, and how many seconds the claim has left."""
    return conn.execute(
        """
        SELECT entity_id, attempt_count, extract(epoch FROM sending_until - clock_timestamp())::float8
        FROM webhook_deliveries WHERE webhook_endpoint_id = %s AND status = 'SENDING'
        """,
        [endpoint_id],
        prepare=True,
    ).fetchall()


def waiting_tests(conn: Connection, endpoint_id: UUID, limit: int) -> list[Waiting]:
    """Messages that somebody tries the endpoint with."""
    return _waiting(
        conn.execute(
            """
            SELECT id, created_at, entity_id, attempt_count FROM webhook_deliveries
            WHERE webhook_endpoint_id = %s AND status = 'PENDING' AND event_type = 'webhook.test' ORDER BY created_at LIMIT %s
            """,
            [endpoint_id, limit],
            prepare=True,
        )
    )


def waiting_first(conn: Connection, endpoint_id: UUID, busy: Collection[UUID], limit: int) -> list[Waiting]:
    """First attempts in the order of the outbox, without entities that are busy."""
    return _waiting(
        conn.execute(
            """
            SELECT id, created_at, entity_id, attempt_count FROM webhook_deliveries
            WHERE webhook_endpoint_id = %s AND status = 'PENDING' AND attempt_count = 0 AND entity_id <> ALL(%s::uuid[])
            ORDER BY outbox_seq LIMIT %s
            """,
            [endpoint_id, arrays.uuids(busy), limit],
            prepare=True,
        )
    )


def waiting_again(conn: Connection, endpoint_id: UUID, limit: int) -> list[Waiting]:
    """Further attempts that are due, longest due first."""
    return _waiting(
        conn.execute(
            """
            SELECT id, created_at, entity_id, attempt_count FROM webhook_deliveries
            WHERE webhook_endpoint_id = %s AND status = 'PENDING' AND attempt_count > 0
              AND next_attempt_at <= (SELECT openscrip_now())
            ORDER BY next_attempt_at LIMIT %s
            """,
            [endpoint_id, limit],
            prepare=True,
        )
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


def mark(conn: Connection, marked: Sequence[Marked], now: datetime) -> set[UUID]:
    """Count attempts and store what came of them; returns the ids, without those whose claim is no longer theirs."""
    rows = conn.execute(
        """
        UPDATE webhook_deliveries d
        SET status = r.status, attempt_count = d.attempt_count + 1, next_attempt_at = r.next_attempt_at,
            delivered_at = CASE WHEN r.status = 'DELIVERED' THEN %(now)s END, sending_until = NULL,
            last_attempt_at = %(now)s, last_response_status = r.response_status, last_response_body = r.response_body,
            last_error = r.error, updated_at = %(now)s
        FROM unnest(%(ids)s::uuid[], %(created)s::timestamptz[], %(claims)s::timestamptz[], %(statuses)s::text[],
                    %(next)s::timestamptz[], %(answers)s::integer[], %(bodies)s::text[], %(errors)s::text[])
            AS r (id, created_at, claim, status, next_attempt_at, response_status, response_body, error)
        WHERE d.id = r.id AND d.created_at = r.created_at AND d.status = 'SENDING' AND d.sending_until = r.claim
        RETURNING d.id
        """,
        {
            "now": now,
            "ids": arrays.uuids(each.claimed.key.id for each in marked),
            "created": arrays.moments(each.claimed.key.created_at for each in marked),
            "claims": arrays.moments(each.claimed.sending_until for each in marked),
            "statuses": arrays.words(each.status for each in marked),
            "next": arrays.moments(each.next_attempt_at for each in marked),
            "answers": arrays.numbers(each.response_status for each in marked),
            "bodies": arrays.texts(each.response_body for each in marked),
            "errors": arrays.texts(each.error for each in marked),
        },
        prepare=True,
    )
    return {row[0] for row in rows}


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


def fail_pending(conn: Connection, endpoint_id: UUID, error: str, limit: int) -> int:
    """Make so many PENDING deliveries FAILED; returns how many."""
    return conn.execute(
        """
        UPDATE webhook_deliveries d
        SET status = 'FAILED', next_attempt_at = NULL, last_error = %(error)s, updated_at = openscrip_now()
        FROM (
            SELECT id, created_at FROM webhook_deliveries
            WHERE webhook_endpoint_id = %(endpoint)s AND status = 'PENDING' LIMIT %(limit)s
        ) AS r
        WHERE d.id = r.id AND d.created_at = r.created_at AND d.status = 'PENDING'
        """,
        {"error": error, "endpoint": endpoint_id, "limit": limit},
    ).rowcount


# ------------------------------------------------------------------ what waits


def pending(conn: Connection, endpoint_id: UUID, limit: int) -> int:
    """How many deliveries of an endpoint are open; counting stops at `limit`."""
    row: Any = conn.execute(
        """
        SELECT count(*) FROM (
            SELECT 1 FROM webhook_deliveries WHERE webhook_endpoint_id = %s AND status IN ('PENDING', 'SENDING') LIMIT %s
        ) AS open
        """,
        [endpoint_id, limit],
        prepare=True,
    ).fetchone()
    return int(row[0])


def find_waiting(conn: Connection, delivery_id: UUID) -> tuple[Any, ...] | None:
    """Key, entity, endpoint, status, attempts and the seconds until the next one of a delivery."""
    return conn.execute(
        """
        SELECT id, created_at, entity_id, webhook_endpoint_id, status, attempt_count, max_attempts, next_attempt_at,
               extract(epoch FROM next_attempt_at - openscrip_now())::float8, last_response_status, last_error, event_type
        FROM webhook_deliveries WHERE id = %s
        """,
        [delivery_id],
        prepare=True,
    ).fetchone()


_DUE = """
    SELECT e.id, e.organization_id FROM webhook_endpoints e JOIN webhook_health h ON h.endpoint_id = e.id
    CROSS JOIN (SELECT openscrip_now() - %(since)s::interval AS due) AS moment
    WHERE e.id <> ALL(%(without)s::uuid[]) AND ((e.status = 'ARCHIVED' AND EXISTS (
            SELECT 1 FROM webhook_deliveries d WHERE d.webhook_endpoint_id = e.id AND d.status = 'PENDING'))
       OR (e.status = 'ACTIVE' AND coalesce(h.circuit_broken_until <= due, true) AND coalesce(h.rate_limited_until <= due, true)
           AND (EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.webhook_endpoint_id = e.id AND d.status = 'PENDING'
                        AND d.attempt_count = 0 AND d.next_attempt_at <= due)
                OR EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.webhook_endpoint_id = e.id AND d.status = 'PENDING'
                           AND d.attempt_count > 0 AND d.next_attempt_at <= due)))
       -- what a dead sender has is taken from it, whatever keeps the endpoint back
       OR EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.webhook_endpoint_id = e.id AND d.status = 'SENDING'
                  AND d.sending_until <= clock_timestamp()))
    ORDER BY e.id LIMIT %(limit)s
"""


def due_endpoints(conn: Connection, since: timedelta, limit: int, without: Collection[UUID] = ()) -> list[EndpointKey]:
    """Endpoints that something could be sent to, or has to be given up for, since a while; but for some."""
    values = {"since": since, "limit": limit, "without": arrays.uuids(without)}
    return [EndpointKey(*row) for row in conn.execute(_DUE, values)]


def is_anything_due(conn: Connection, without: Collection[UUID] = ()) -> bool:
    """Whether something could be sent now, or is being sent, but to some endpoints."""
    # deliveries lie in a partition for each month, so to ask for them costs more than to see that nobody could have any
    if conn.execute("SELECT 1 FROM webhook_endpoints LIMIT 1").fetchone() is None:
        return False
    if due_endpoints(conn, timedelta(0), 1, without):
        return True
    row = conn.execute(
        "SELECT 1 FROM webhook_deliveries WHERE status = 'SENDING' AND webhook_endpoint_id <> ALL(%s::uuid[]) LIMIT 1",
        [arrays.uuids(without)],
    ).fetchone()
    return row is not None


def retries_between(conn: Connection, after: datetime, until: datetime, limit: int) -> list[RetryKey]:
    """Deliveries whose further attempt is due after one moment and not after another, the first first."""
    rows = conn.execute(
        """
        SELECT id, webhook_endpoint_id, organization_id FROM webhook_deliveries
        WHERE status = 'PENDING' AND attempt_count > 0 AND next_attempt_at > %s AND next_attempt_at <= %s
        ORDER BY next_attempt_at LIMIT %s
        """,
        [after, until, limit],
    )
    return [RetryKey(*row) for row in rows]


def next_moment(conn: Connection, after: datetime) -> datetime | None:
    """The first further attempt after a moment, or the first end of what keeps attempts back; None without one."""
    row: Any = conn.execute(f"SELECT min(moment) FROM ({_MOMENTS}) AS m WHERE moment > %(after)s", {"after": after}).fetchone()
    moment: datetime | None = row[0]
    return moment


def count_moments(conn: Connection, until: datetime, limit: int) -> int:
    """How many different such moments there are from now on and not after `until`; counting stops at `limit`."""
    row: Any = conn.execute(
        f"""
        SELECT count(*) FROM (
            SELECT DISTINCT moment FROM ({_MOMENTS}) AS m
            WHERE moment > openscrip_now() AND moment <= %(until)s LIMIT %(limit)s
        ) AS moments
        """,
        {"until": until, "limit": limit},
    ).fetchone()
    return int(row[0])


# What is first due while the endpoint is blocked is due at the end of the block: both are moments of their own.
_MOMENTS = """
    SELECT greatest(d.next_attempt_at, h.circuit_broken_until, h.rate_limited_until) AS moment
    FROM webhook_deliveries d
    JOIN webhook_endpoints e ON e.id = d.webhook_endpoint_id AND e.status = 'ACTIVE'
    LEFT JOIN webhook_health h ON h.endpoint_id = e.id
    WHERE d.status = 'PENDING'
"""


def _waiting(rows: Any) -> list[Waiting]:
    return [Waiting(DeliveryKey(row[0], row[1]), row[2], row[3]) for row in rows]
