"""Marking what came of attempts, with the endpoint's health locked, and finding deliveries that wait."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from db.repositories import arrays
from db.repositories.webhook_claims import Claimed
from db.session import Connection

TEST_TYPE = "webhook.test"


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


# The first of each kind, by its index: whether there is one at all would be asked by reading what was delivered long ago, too.
_DUE = """
    SELECT e.id, e.organization_id FROM webhook_endpoints e JOIN webhook_health h ON h.endpoint_id = e.id
    CROSS JOIN (SELECT openscrip_now() - %(since)s::interval AS due) AS moment
    WHERE e.id <> ALL(%(without)s::uuid[]) AND ((e.status = 'ARCHIVED' AND (
            SELECT d.created_at FROM webhook_deliveries d WHERE d.webhook_endpoint_id = e.id AND d.status = 'PENDING'
            ORDER BY d.created_at LIMIT 1) IS NOT NULL)
       OR (e.status = 'ACTIVE' AND coalesce(h.circuit_broken_until <= due, true) AND coalesce(h.rate_limited_until <= due, true)
           AND ((SELECT d.next_attempt_at FROM webhook_deliveries d WHERE d.webhook_endpoint_id = e.id AND d.status = 'PENDING'
                 AND d.attempt_count = 0 ORDER BY d.outbox_seq LIMIT 1) <= due
                OR (SELECT d.next_attempt_at FROM webhook_deliveries d WHERE d.webhook_endpoint_id = e.id AND d.status = 'PENDING'
                    AND d.attempt_count > 0 ORDER BY d.next_attempt_at LIMIT 1) <= due))
       -- what a dead sender has is taken from it, whatever keeps the endpoint back
       OR (SELECT d.sending_until FROM webhook_deliveries d WHERE d.webhook_endpoint_id = e.id AND d.status = 'SENDING'
           ORDER BY d.sending_until LIMIT 1) <= clock_timestamp())
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
        SELECT d.id, e.id, e.organization_id FROM webhook_endpoints e CROSS JOIN LATERAL (
            SELECT id, next_attempt_at FROM webhook_deliveries
            WHERE webhook_endpoint_id = e.id AND status = 'PENDING' AND attempt_count > 0
              AND next_attempt_at > %(after)s AND next_attempt_at <= %(until)s
            ORDER BY next_attempt_at LIMIT %(limit)s
        ) AS d WHERE e.status <> 'ARCHIVED' ORDER BY d.next_attempt_at LIMIT %(limit)s
        """,
        {"after": after, "until": until, "limit": limit},
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
