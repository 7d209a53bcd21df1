"""What waits in the whole deployment, for its metrics: of no organization in particular."""

from dataclasses import dataclass
from typing import Any

from db.session import Connection


@dataclass(frozen=True, slots=True)
class LaneBacklog:
    """Events that wait in a lane, counted up to a limit, and the age of the first of them in seconds; 0 without one."""

    lane: int
    events: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class DeliveryBacklog:
    """For how many seconds the message waits that has been due longest, and how many endpoints aren't sent to, by reason."""

    oldest_seconds: float
    blocked: dict[str, int]


@dataclass(frozen=True, slots=True)
class SealBacklog:
    """Entries that aren't sealed, counted up to a limit, and for how many seconds the oldest has waited; 0 without one."""

    entries: int
    oldest_seconds: float


def lanes(conn: Connection, at_most: int) -> list[LaneBacklog]:
    """Every lane of the deployment."""
    rows = conn.execute(
        """
        SELECT l.lane, (SELECT count(*) FROM (SELECT 1 FROM event_queue q WHERE q.lane = l.lane LIMIT %s) AS waiting),
               coalesce(extract(epoch FROM openscrip_now() - (
                   SELECT q.queued_at FROM event_queue q WHERE q.lane = l.lane ORDER BY q.queue_seq LIMIT 1)), 0)::float8
        FROM lanes l ORDER BY l.lane
        """,
        [at_most],
    )
    return [LaneBacklog(row[0], row[1], max(0.0, row[2])) for row in rows]


def deliveries(conn: Connection) -> DeliveryBacklog:
    """What waits for endpoints that may be sent to, and which ones may not."""
    row: Any = conn.execute(
        """
        WITH moment AS MATERIALIZED (SELECT openscrip_now() AS now),
        endpoints AS MATERIALIZED (
            SELECT e.id, e.status = 'DISABLED' AS is_disabled, coalesce(h.circuit_broken_until > now, false) AS is_broken,
                   coalesce(h.rate_limited_until > now, false) AS is_limited
            FROM webhook_endpoints e JOIN webhook_health h ON h.endpoint_id = e.id, moment WHERE e.status <> 'ARCHIVED'
        )
        SELECT coalesce(extract(epoch FROM (SELECT now FROM moment) - least(min(first.due), min(again.due))), 0)::float8,
               count(*) FILTER (WHERE is_disabled), count(*) FILTER (WHERE is_broken AND NOT is_disabled),
               count(*) FILTER (WHERE is_limited AND NOT is_broken AND NOT is_disabled)
        FROM endpoints
        LEFT JOIN LATERAL (
            SELECT d.next_attempt_at AS due FROM webhook_deliveries d
            WHERE d.webhook_endpoint_id = endpoints.id AND d.status = 'PENDING' AND d.attempt_count = 0
            ORDER BY d.outbox_seq LIMIT 1) AS first ON NOT (is_disabled OR is_broken OR is_limited)
        LEFT JOIN LATERAL (
            SELECT d.next_attempt_at AS due FROM webhook_deliveries d
            WHERE d.webhook_endpoint_id = endpoints.id AND d.status = 'PENDING' AND d.attempt_count > 0
            ORDER BY d.next_attempt_at LIMIT 1) AS again ON NOT (is_disabled OR is_broken OR is_limited)
        """
    ).fetchone()
    return DeliveryBacklog(max(0.0, row[0]), {"disabled": row[1], "circuit_broken": row[2], "rate_limited": row[3]})


def seals(conn: Connection, at_most: int) -> SealBacklog:
    """What waits for its seal; by the real clock, and of each organization only its oldest entry is looked at."""
    row: Any = conn.execute(
        """
        WITH RECURSIVE oldest AS (
            (SELECT organization_id, noted_at FROM unsealed_entries ORDER BY organization_id, created_at LIMIT 1)
            UNION ALL
            SELECT next.organization_id, next.noted_at FROM oldest, LATERAL (
                SELECT organization_id, noted_at FROM unsealed_entries u WHERE u.organization_id > oldest.organization_id
                ORDER BY organization_id, created_at LIMIT 1) AS next
        )
        SELECT (SELECT count(*) FROM (SELECT 1 FROM unsealed_entries LIMIT %s) AS waiting),
               coalesce(extract(epoch FROM clock_timestamp() - min(noted_at)), 0)::float8 FROM oldest
        """,
        [at_most],
    ).fetchone()
    return SealBacklog(row[0], max(0.0, row[1]))
