"""What webhooks of fulfilments are asked: the bytes that are posted, and how far the attempts are."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from db.repositories import arrays
from db.repositories.fulfillments import FulfillmentKey
from db.repositories.ledger_terms import database_now
from db.session import Connection

_KEYS = "SELECT r.id, r.organization_id, r.program_id FROM fulfillment_requests f JOIN redemptions r ON r.id = f.redemption_id"


@dataclass(frozen=True, slots=True)
class Claimed:
    """An attempt that nobody else makes for a while: what it posts, how many were made before it, and for which reward."""

    body: bytes
    attempt_count: int
    reward_id: UUID


@dataclass(frozen=True, slots=True)
class RequestRow:
    """How far the attempts are; `seconds_left` until the next may be made, None when none will be."""

    attempt_count: int
    next_attempt_at: datetime | None
    seconds_left: float | None
    last_response_status: int | None
    last_error: str | None


def insert(conn: Connection, organization_id: UUID, redemption_id: UUID, body: bytes, moment: datetime) -> None:
    """Record what a redemption's webhook is asked, from a moment on."""
    conn.execute(
        "INSERT INTO fulfillment_requests (redemption_id, organization_id, body, next_attempt_at) VALUES (%s, %s, %s, %s)",
        [redemption_id, organization_id, body, moment],
    )


def claim(conn: Connection, organization_id: UUID, redemption_id: UUID, seconds: float) -> Claimed | None:
    """Take the attempt that is due for so many seconds of the real clock; None without one, or while somebody else has it."""
    row: Any = conn.execute(
        """
        UPDATE fulfillment_requests f SET sending_until = clock_timestamp() + make_interval(secs => %s)
        FROM redemptions r
        WHERE f.redemption_id = %s AND f.organization_id = %s AND r.id = f.redemption_id
          AND f.next_attempt_at <= openscrip_now() AND (f.sending_until IS NULL OR f.sending_until <= clock_timestamp())
        RETURNING f.body, f.attempt_count, r.reward_id
        """,
        [seconds, redemption_id, organization_id],
    ).fetchone()
    return None if row is None else Claimed(bytes(row[0]), row[1], row[2])


def release(conn: Connection, redemption_id: UUID) -> None:
    """Let somebody else make the attempt that was claimed."""
    conn.execute("UPDATE fulfillment_requests SET sending_until = NULL WHERE redemption_id = %s", [redemption_id])


def note(conn: Connection, redemption_id: UUID, number: int, moment: datetime, status: int | None, error: str | None) -> None:
    """Count an attempt, and keep what came of it."""
    conn.execute(
        """
        UPDATE fulfillment_requests
        SET attempt_count = greatest(attempt_count, %s), last_attempt_at = %s, last_response_status = %s, last_error = %s,
            sending_until = NULL
        WHERE redemption_id = %s
        """,
        [number, moment, status, error, redemption_id],
    )


def plan(conn: Connection, redemption_id: UUID, moment: datetime) -> None:
    """Say when the next attempt is made."""
    conn.execute("UPDATE fulfillment_requests SET next_attempt_at = %s WHERE redemption_id = %s", [moment, redemption_id])


def close(conn: Connection, redemption_id: UUID) -> None:
    """No further attempt is made, and what it would post is forgotten; without a request nothing happens."""
    conn.execute(
        """
        UPDATE fulfillment_requests SET body = NULL, next_attempt_at = NULL, sending_until = NULL
        WHERE redemption_id = %s AND next_attempt_at IS NOT NULL
        """,
        [redemption_id],
    )


def find(conn: Connection, redemption_id: UUID) -> RequestRow | None:
    """How far a redemption's attempts are; None when its webhook is asked nothing."""
    row: Any = conn.execute(
        """
        SELECT attempt_count, next_attempt_at,
               extract(epoch FROM greatest(next_attempt_at - openscrip_now(), sending_until - clock_timestamp(),
                                           CASE WHEN next_attempt_at IS NOT NULL THEN interval '0' END))::float8,
               last_response_status, last_error
        FROM fulfillment_requests WHERE redemption_id = %s
        """,
        [redemption_id],
    ).fetchone()
    return None if row is None else RequestRow(*row)


# ------------------------------------------------------------------ time


def due_now(
    conn: Connection, limit: int, without: Collection[UUID] = (), within: timedelta = timedelta(0)
) -> list[FulfillmentKey]:
    """Those whose attempt is due now or soon, the first first, but for some; those that somebody makes are among them."""
    rows = conn.execute(
        f"""
        {_KEYS} WHERE f.next_attempt_at <= %s AND f.redemption_id <> ALL(%s::uuid[])
        ORDER BY f.next_attempt_at, r.id LIMIT %s
        """,
        [database_now(conn) + within, arrays.uuids(without), limit],
    )
    return [FulfillmentKey(*row) for row in rows]


def due_between(conn: Connection, after: datetime, until: datetime, limit: int) -> list[FulfillmentKey]:
    """Those whose attempt is due after one moment and not after another, the first first."""
    rows = conn.execute(
        f"{_KEYS} WHERE f.next_attempt_at > %s AND f.next_attempt_at <= %s ORDER BY f.next_attempt_at LIMIT %s",
        [after, until, limit],
    )
    return [FulfillmentKey(*row) for row in rows]


def next_moment(conn: Connection, after: datetime) -> datetime | None:
    """The first attempt after a moment; None without one."""
    row: Any = conn.execute(
        "SELECT min(next_attempt_at) FROM fulfillment_requests WHERE next_attempt_at > %s", [after]
    ).fetchone()
    moment: datetime | None = row[0]
    return moment


def count_moments(conn: Connection, until: datetime, limit: int) -> int:
    """How many different moments of attempts there are from now on and not after `until`; counting stops at `limit`."""
    row: Any = conn.execute(
        """
        SELECT count(*) FROM (
            SELECT DISTINCT next_attempt_at FROM fulfillment_requests
            WHERE next_attempt_at > openscrip_now() AND next_attempt_at <= %s LIMIT %s
        ) AS moments
        """,
        [until, limit],
    ).fetchone()
    return int(row[0])
