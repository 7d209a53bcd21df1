"""The outbox: who subscribes to what, and writing messages with their deliveries by one statement."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Cursor

from db.repositories import arrays
from db.session import Connection, dumps
from domain.outbox import Message, Subscription


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message with its id, and the span that it came of where that is traced."""

    id: UUID
    message: Message
    trace_parent: str | None = None


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A message for an endpoint."""

    id: UUID
    message_id: UUID
    endpoint_id: UUID


def ask_subscriptions(conn: Connection, organization_ids: Collection[UUID]) -> Cursor[tuple[Any, ...]]:
    """Send the question for the ACTIVE endpoints of organizations; it locks nothing. Read it with `subscriptions`."""
    return conn.execute(
        """
        SELECT id, organization_id, enabled_events FROM webhook_endpoints
        WHERE organization_id = ANY(%s::uuid[]) AND status = 'ACTIVE' ORDER BY created_at, id
        """,
        [arrays.uuids(organization_ids)],
        prepare=True,
    )


def subscriptions(asked: Cursor[tuple[Any, ...]]) -> Iterable[Subscription]:
    """The answer, oldest endpoint first."""
    return [Subscription(row[0], row[1], frozenset(row[2])) for row in asked]


def insert(conn: Connection, messages: Sequence[NewMessage], deliveries: Sequence[NewDelivery]) -> None:
    """Store messages and deliveries, numbered in the order given; their first attempt is due at once."""
    conn.execute(
        """
        WITH moment AS MATERIALIZED (SELECT openscrip_now() AS now),
        incoming AS MATERIALIZED (
            SELECT id, organization_id, entity_id, type, data, trace_parent, nextval('webhook_outbox_seq') AS outbox_seq
            FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::text[])
                AS t (id, organization_id, entity_id, type, data, trace_parent)
        ), stored AS (
            INSERT INTO webhook_messages (id, organization_id, type, data, created_at, trace_parent)
            SELECT id, organization_id, type, data::json, now, trace_parent FROM incoming, moment
        )
        INSERT INTO webhook_deliveries (id, organization_id, webhook_endpoint_id, webhook_event_id, event_type, entity_id,
                                        outbox_seq, next_attempt_at, created_at, updated_at)
        SELECT d.id, m.organization_id, d.endpoint_id, m.id, m.type, m.entity_id, m.outbox_seq, now, now, now
        FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[]) AS d (id, message_id, endpoint_id)
        JOIN incoming m ON m.id = d.message_id, moment
        """,
        [
            arrays.uuids(new.id for new in messages),
            arrays.uuids(new.message.organization_id for new in messages),
            arrays.uuids(new.message.entity_id for new in messages),
            arrays.words(new.message.type.value for new in messages),
            arrays.texts(dumps(new.message.data) for new in messages),
            arrays.texts(new.trace_parent for new in messages),
            arrays.uuids(new.id for new in deliveries),
            arrays.uuids(new.message_id for new in deliveries),
            arrays.uuids(new.endpoint_id for new in deliveries),
        ],
        prepare=True,
    )
