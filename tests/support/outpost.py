"""One organization's endpoint and messages for it, straight through the services, and a sender to send them with."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from activities.webhook_post import Post
from activities.webhook_room import Room
from activities.webhook_sender import Sender
from activities.webhook_sending import send_waiting
from db.session import Database, psycopg_of
from domain.outbox import Message, MessageType
from runtime.ids import new_id
from runtime.settings import Settings
from runtime.webhook_secrets import WebhookSecrets
from services import organizations, outbox, webhook_deliveries, webhook_endpoints
from services.transactions import transact
from services.webhook_endpoints import EndpointStatus, NewEndpoint
from tests.support.stack import SECRET_KEY
from workflows.contracts_webhooks import EndpointInput, SendReport


def settings_of(database_url: str, **changed: Any) -> Settings:
    usual: dict[str, Any] = {"database_url": database_url, "secret_key": SECRET_KEY, "webhook_allow_private": True}
    return Settings(**{**usual, **changed})


@dataclass(frozen=True)
class Outpost:
    """An ACTIVE endpoint for everything; `secret` is what it verifies with."""

    database: Database
    organization_id: UUID
    endpoint_id: UUID
    secret: str

    @property
    def input(self) -> EndpointInput:
        return EndpointInput(endpoint_id=self.endpoint_id, organization_id=self.organization_id)

    def tell(self, entities: Sequence[UUID]) -> None:
        """Record one message about each entity, in this order; `data.number` counts them."""

        def record(session: Any) -> None:
            conn = psycopg_of(session)
            audience = outbox.look_up(conn, {self.organization_id})()
            messages = [
                Message(MessageType.EVENT_COMPLETED, self.organization_id, entity, {"entity": str(entity), "number": number})
                for number, entity in enumerate(entities)
            ]
            outbox.record(conn, audience, messages)

        transact(self.database, record)

    def rows(self) -> list[Any]:
        """Message id, status, attempts, last error of each delivery, in the order of the outbox."""
        with self.database.connection() as conn:
            return conn.execute(
                "SELECT webhook_event_id::text, status, attempt_count, last_error, id FROM webhook_deliveries"
                " WHERE webhook_endpoint_id = %s ORDER BY outbox_seq",
                [self.endpoint_id],
            ).fetchall()

    def statuses(self) -> set[str]:
        return {row[1] for row in self.rows()}

    def set_status(self, status: EndpointStatus) -> None:
        ids = (self.organization_id, self.endpoint_id)
        transact(self.database, lambda session: webhook_endpoints.update_endpoint(session, *ids, {"status": status}))

    def archive(self) -> None:
        ids = (self.organization_id, self.endpoint_id)
        transact(self.database, lambda session: webhook_endpoints.archive_endpoint(session, *ids))

    def retry(self, delivery_id: UUID) -> None:
        transact(self.database, lambda session: webhook_deliveries.retry_delivery(session, self.organization_id, delivery_id))


def make_outpost(database: Database, url: str) -> Outpost:
    """A fresh organization with an endpoint at the URL."""

    def make(session: Any) -> Outpost:
        organization = organizations.create_organization(session, "Outpost")
        secrets = WebhookSecrets(settings_of(database.url))
        view = webhook_endpoints.create_endpoint(session, organization.id, NewEndpoint(url, ["*"]), secrets)
        assert view.secret is not None
        return Outpost(database, organization.id, view.endpoint.id, view.secret)

    return transact(database, make)


@contextmanager
def sender_for(database: Database, post: Post | None = None, threads: int = 16) -> Iterator[Sender]:
    """A sender with threads of its own."""
    with ThreadPoolExecutor(threads) as callers, ThreadPoolExecutor(2) as clerks:
        yield Sender(database, post or Post(settings_of(database.url)), callers, clerks, room=Room(threads))


def send(sender: Sender, outpost: Outpost) -> SendReport:
    """Send what may be sent now."""
    return asyncio.run(send_waiting(sender, outpost.input, lambda: None, lambda: False))


def ids(count: int) -> list[UUID]:
    return [new_id() for _ in range(count)]


__all__ = ["Outpost", "closing", "ids", "make_outpost", "send", "sender_for", "settings_of"]
