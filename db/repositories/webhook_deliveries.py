"""Deliveries as clients see them: lists, single ones, and trying one again."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from db.repositories.keyset import Keyset, Slice
from db.session import Connection, dumps

_COLUMNS = """
id, webhook_endpoint_id, webhook_event_id, event_type, status, attempt_count, max_attempts, next_attempt_at, last_attempt_at,
delivered_at, last_response_status, created_at, updated_at
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """One message for one endpoint; the last two aren't read for lists."""

    id: UUID
    webhook_endpoint_id: UUID
    webhook_event_id: UUID
    event_type: str
    status: str
    attempt_count: int
    max_attempts: int
    next_attempt_at: datetime | None
    last_attempt_at: datetime | None
    delivered_at: datetime | None
    last_response_status: int | None
    created_at: datetime
    updated_at: datetime
    last_response_body: str | None = None
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class NewTest:
    """A message that tries one endpoint, and its delivery."""

    message_id: UUID
    delivery_id: UUID
    organization_id: UUID
    endpoint_id: UUID
    type: str
    data: dict[str, object]


def page(conn: Connection, endpoint_id: UUID, keyset: Keyset, status: str | None) -> Slice[DeliveryRow]:
    """One page of an endpoint's deliveries."""
    after, values = keyset.where_sql()
    statement = f"""
        SELECT {_COLUMNS} FROM webhook_deliveries
        WHERE webhook_endpoint_id = %(endpoint)s AND (%(status)s::text IS NULL OR status = %(status)s) AND {after}
        ORDER BY {keyset.order_sql()} LIMIT {keyset.fetch}
        """
    with conn.cursor(row_factory=class_row(DeliveryRow)) as cursor:
        return keyset.cut(list(cursor.execute(statement, {"endpoint": endpoint_id, "status": status, **values})))


def find(conn: Connection, organization_id: UUID, delivery_id: UUID) -> DeliveryRow | None:
    """A delivery of the organization, whole."""
    with conn.cursor(row_factory=class_row(DeliveryRow)) as cursor:
        return cursor.execute(
            f"""
            SELECT {_COLUMNS}, last_response_body, last_error FROM webhook_deliveries WHERE id = %s AND organization_id = %s
            """,
            [delivery_id, organization_id],
        ).fetchone()


def begin_again(conn: Connection, delivery: DeliveryRow, now: datetime) -> None:
    """Give a FAILED delivery, of an endpoint whose health is locked, all its attempts once more, from now on."""
    conn.execute(
        """
        UPDATE webhook_deliveries SET status = 'PENDING', attempt_count = 0, next_attempt_at = %(now)s, updated_at = %(now)s
        WHERE id = %(id)s AND created_at = %(created_at)s AND status = 'FAILED'
        """,
        {"now": now, "id": delivery.id, "created_at": delivery.created_at},
    )


def insert_test(conn: Connection, test: NewTest) -> None:
    """Store a message for one endpoint only, to be tried once, at once."""
    values: dict[str, Any] = {
        "message": test.message_id,
        "delivery": test.delivery_id,
        "organization": test.organization_id,
        "endpoint": test.endpoint_id,
        "type": test.type,
        "data": dumps(test.data),
    }
    conn.execute(
        """
        WITH moment AS MATERIALIZED (SELECT openscrip_now() AS now), message AS (
            INSERT INTO webhook_messages (id, organization_id, type, data, created_at)
            SELECT %(message)s, %(organization)s, %(type)s, %(data)s::json, now FROM moment
        )
        INSERT INTO webhook_deliveries (id, organization_id, webhook_endpoint_id, webhook_event_id, event_type, entity_id,
                                        outbox_seq, max_attempts, next_attempt_at, created_at, updated_at)
        SELECT %(delivery)s, %(organization)s, %(endpoint)s, %(message)s, %(type)s, %(endpoint)s,
               nextval('webhook_outbox_seq'), 1, now, now, now FROM moment
        """,
        values,
    )
