"""Webhook endpoints, with their health and what they were sent lately."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from db.repositories.keyset import Keyset, Slice
from db.session import Connection, dumps
from domain.webhook_health import EndpointStatus, Health

_COLUMNS = "id, organization_id, url, description, enabled_events, metadata, status, created_at, updated_at"
_HEALTH = "failures, openings, circuit_broken_until, rate_limited_until"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A registered endpoint, without its secrets."""

    id: UUID
    organization_id: UUID
    url: str
    description: str | None
    enabled_events: list[str]
    metadata: Any
    status: EndpointStatus
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class SealedSecrets:
    """The secrets an endpoint's messages are signed with, sealed, the newest first."""

    url: str
    status: EndpointStatus
    sealed: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Present:
    """An endpoint at a moment: `now` by the product's clock, `real` by the real one."""

    now: datetime
    real: datetime
    secrets: SealedSecrets


@dataclass(frozen=True, slots=True)
class EndpointStatistics:
    """How an endpoint did in the last hours; `now` is the moment of asking."""

    endpoint: Endpoint
    health: Health
    now: datetime
    last_attempt_at: datetime | None
    succeeded: int
    failed: int
    pending_count: int
    oldest_pending_at: datetime | None


def insert(conn: Connection, endpoint: Endpoint, sealed_secret: bytes) -> None:
    """Store a new endpoint with good health."""
    conn.execute(
        f"""
        INSERT INTO webhook_endpoints ({_COLUMNS}, secret)
        VALUES (%s, %s, %s, %s, %s, %s::json, %s, %s, %s, %s)
        """,
        [
            endpoint.id,
            endpoint.organization_id,
            endpoint.url,
            endpoint.description,
            endpoint.enabled_events,
            _json(endpoint.metadata),
            endpoint.status,
            endpoint.created_at,
            endpoint.updated_at,
            sealed_secret,
        ],
    )
    conn.execute("INSERT INTO webhook_health (endpoint_id) VALUES (%s)", [endpoint.id])


def find(conn: Connection, organization_id: UUID, endpoint_id: UUID) -> Endpoint | None:
    """An endpoint of the organization."""
    return _find(conn, organization_id, endpoint_id, "")


def lock(conn: Connection, organization_id: UUID, endpoint_id: UUID) -> Endpoint | None:
    """The same, locked with its health: nobody claims or marks deliveries of it meanwhile."""
    if _find(conn, organization_id, endpoint_id, "") is None:
        return None
    lock_health(conn, endpoint_id)
    return _find(conn, organization_id, endpoint_id, "FOR NO KEY UPDATE")


def page(conn: Connection, organization_id: UUID, keyset: Keyset, status: str | None) -> Slice[Endpoint]:
    """One page of an organization's endpoints, without ARCHIVED ones."""
    after, values = keyset.where_sql()
    parameters: dict[str, object] = {"organization": organization_id, "status": status, **values}
    statement = f"""
        SELECT {_COLUMNS} FROM webhook_endpoints
        WHERE organization_id = %(organization)s AND status <> 'ARCHIVED'
          AND (%(status)s::text IS NULL OR status = %(status)s) AND {after}
        ORDER BY {keyset.order_sql()} LIMIT {keyset.fetch}
        """
    with conn.cursor(row_factory=dict_row) as cursor:
        return keyset.cut([_endpoint(row) for row in cursor.execute(statement, parameters)])


def update(conn: Connection, endpoint: Endpoint) -> None:
    """Overwrite what may change of a locked endpoint."""
    conn.execute(
        """
        UPDATE webhook_endpoints
        SET url = %s, description = %s, enabled_events = %s, metadata = %s::json, status = %s, updated_at = %s WHERE id = %s
        """,
        [
            endpoint.url,
            endpoint.description,
            endpoint.enabled_events,
            _json(endpoint.metadata),
            endpoint.status,
            endpoint.updated_at,
            endpoint.id,
        ],
    )


def replace_secret(conn: Connection, endpoint_id: UUID, sealed: bytes, previous_until: datetime | None, now: datetime) -> None:
    """Give a locked endpoint a new secret; the present one signs too until a moment, an older one no longer."""
    conn.execute(
        """
        UPDATE webhook_endpoints
        SET previous_secret = CASE WHEN %(until)s::timestamptz IS NOT NULL THEN secret END,
            previous_secret_expires_at = %(until)s, secret = %(secret)s, updated_at = %(now)s
        WHERE id = %(id)s
        """,
        {"until": previous_until, "secret": sealed, "now": now, "id": endpoint_id},
    )


def present(conn: Connection, endpoint_id: UUID) -> Present | None:
    """Where an endpoint's messages go and what they are signed with at this moment."""
    row: Any = conn.execute(
        """
        SELECT openscrip_now(), clock_timestamp(), url, status, secret,
               CASE WHEN previous_secret_expires_at > openscrip_now() THEN previous_secret END
        FROM webhook_endpoints WHERE id = %s
        """,
        [endpoint_id],
        prepare=True,
    ).fetchone()
    if row is None:
        return None
    sealed = tuple(bytes(each) for each in row[4:] if each is not None)
    return Present(row[0], row[1], SealedSecrets(row[2], EndpointStatus(row[3]), sealed))


def disable(conn: Connection, endpoint_id: UUID, now: datetime) -> None:
    """Make an endpoint that is ACTIVE DISABLED; its health is locked."""
    conn.execute(
        "UPDATE webhook_endpoints SET status = 'DISABLED', updated_at = %s WHERE id = %s AND status = 'ACTIVE'",
        [now, endpoint_id],
    )


# ------------------------------------------------------------------ health


def lock_health(conn: Connection, endpoint_id: UUID) -> Health:
    """Lock an endpoint's health: its deliveries are claimed and marked by one at a time."""
    statement = f"SELECT {_HEALTH} FROM webhook_health WHERE endpoint_id = %s FOR UPDATE"
    row: Any = conn.execute(statement, [endpoint_id], prepare=True).fetchone()
    if row is None:
        conn.execute("INSERT INTO webhook_health (endpoint_id) VALUES (%s) ON CONFLICT DO NOTHING", [endpoint_id])
        row = conn.execute(statement, [endpoint_id]).fetchone()
    return Health(*row)


def save_health(conn: Connection, endpoint_id: UUID, health: Health) -> None:
    """Overwrite a locked health."""
    conn.execute(
        """
        UPDATE webhook_health SET failures = %s, openings = %s, circuit_broken_until = %s, rate_limited_until = %s
        WHERE endpoint_id = %s
        """,
        [health.failures, health.openings, health.circuit_broken_until, health.rate_limited_until, endpoint_id],
    )


def count_attempts(conn: Connection, endpoint_id: UUID, health: Health, succeeded: int, failed: int, now: datetime) -> None:
    """Overwrite a locked health and count the attempts that changed it, which ended `now`."""
    conn.execute(
        """
        WITH health AS (
            UPDATE webhook_health
            SET failures = %(failures)s, openings = %(openings)s, circuit_broken_until = %(broken)s,
                rate_limited_until = %(limited)s, last_attempt_at = %(now)s
            WHERE endpoint_id = %(endpoint)s
        )
        INSERT INTO webhook_hours AS h (endpoint_id, hour, succeeded, failed)
        VALUES (%(endpoint)s, date_trunc('hour', %(now)s::timestamptz, 'UTC'), %(succeeded)s, %(failed)s)
        ON CONFLICT (endpoint_id, hour)
        DO UPDATE SET succeeded = h.succeeded + excluded.succeeded, failed = h.failed + excluded.failed
        """,
        {
            "failures": health.failures,
            "openings": health.openings,
            "broken": health.circuit_broken_until,
            "limited": health.rate_limited_until,
            "now": now,
            "endpoint": endpoint_id,
            "succeeded": succeeded,
            "failed": failed,
        },
        prepare=True,
    )


def forget_hours(conn: Connection, before: timedelta) -> None:
    """Drop counts that are older than any statistics show."""
    conn.execute("DELETE FROM webhook_hours WHERE hour < openscrip_now() - %s", [before])


def statistics(conn: Connection, organization_id: UUID) -> list[EndpointStatistics]:
    """How the organization's endpoints do that aren't ARCHIVED, newest first."""
    statement = f"""
        SELECT {_COLUMNS}, {_HEALTH}, moment.now, h.last_attempt_at, hours.succeeded, hours.failed,
               open.pending_count, open.oldest_pending_at
        FROM (SELECT openscrip_now() AS now) AS moment
        CROSS JOIN webhook_endpoints e
        LEFT JOIN webhook_health h ON h.endpoint_id = e.id
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(succeeded), 0)::bigint AS succeeded, coalesce(sum(failed), 0)::bigint AS failed
            FROM webhook_hours w
            WHERE w.endpoint_id = e.id AND w.hour > date_trunc('hour', moment.now, 'UTC') - interval '24 hours'
        ) AS hours
        CROSS JOIN LATERAL (
            SELECT count(*) AS pending_count, min(d.created_at) AS oldest_pending_at
            FROM webhook_deliveries d WHERE d.webhook_endpoint_id = e.id AND d.status IN ('PENDING', 'SENDING')
        ) AS open
        WHERE e.organization_id = %s AND e.status <> 'ARCHIVED'
        ORDER BY e.created_at DESC, e.id DESC
        """
    with conn.cursor(row_factory=dict_row) as cursor:
        return [_statistics(row) for row in cursor.execute(statement, [organization_id])]


def _statistics(row: dict[str, Any]) -> EndpointStatistics:
    until = {name: row.pop(name) for name in ("circuit_broken_until", "rate_limited_until")}
    health = Health(row.pop("failures") or 0, row.pop("openings") or 0, **until)
    rest = {name: row.pop(name) for name in ("now", "last_attempt_at", "succeeded", "failed", "pending_count")}
    oldest = row.pop("oldest_pending_at")
    return EndpointStatistics(endpoint=_endpoint(row), health=health, oldest_pending_at=oldest, **rest)


def _find(conn: Connection, organization_id: UUID, endpoint_id: UUID, lock_sql: str) -> Endpoint | None:
    statement = f"SELECT {_COLUMNS} FROM webhook_endpoints WHERE id = %s AND organization_id = %s {lock_sql}"
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(statement, [endpoint_id, organization_id]).fetchone()
    return None if row is None else _endpoint(row)


def _endpoint(row: Mapping[str, Any]) -> Endpoint:
    return Endpoint(**{**row, "status": EndpointStatus(row["status"])})


def _json(metadata: object) -> str | None:
    return None if metadata is None else dumps(metadata)
