"""The published libraries for receivers, `standardwebhooks` and `svix`, judge what really arrives over HTTP."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest
import standardwebhooks
import svix.webhooks

from activities.webhook_post import Post
from db.session import Database
from runtime.embedded import EmbeddedPostgres
from runtime.webhook_secrets import WebhookSecrets
from services import webhook_endpoints
from services.transactions import transact
from tests.support.databases import make_database
from tests.support.outpost import Outpost, ids, make_outpost, send, sender_for, settings_of
from tests.support.receiver import Received, Receiver, receive

Verify = Callable[[Received, str], None]
SIX_MINUTES = 360.0


def by_standardwebhooks(received: Received, secret: str) -> None:
    standardwebhooks.Webhook(secret).verify(received.body, dict(received.headers))


def by_svix(received: Received, secret: str) -> None:
    svix.webhooks.Webhook(secret).verify(received.body, dict(received.headers))


REFUSED = (standardwebhooks.WebhookVerificationError, svix.webhooks.WebhookVerificationError)
each_library = pytest.mark.parametrize("verify", [by_standardwebhooks, by_svix])


@pytest.fixture(scope="module")
def outbox(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A database that nobody else sends from."""
    with closing(Database(make_database(postgres.dsn, "verification"), pool_size=4)) as database:
        yield database


def delivered(outpost: Outpost, receiver: Receiver, clock: Callable[[], float] = time.time) -> Received:
    """The request that a new message becomes, as the receiver got it."""
    outpost.tell(ids(1))
    with sender_for(outpost.database, Post(settings_of(outpost.database.url), clock=clock)) as sender:
        assert send(sender, outpost).delivered == 1
    return receiver.received[-1]


def rotate(outpost: Outpost, overlap: timedelta = timedelta(0)) -> str:
    """The new secret."""
    secrets = WebhookSecrets(settings_of(outpost.database.url))
    given = (outpost.organization_id, outpost.endpoint_id, overlap, secrets)
    rotated = transact(outpost.database, lambda session: webhook_endpoints.rotate_secret(session, *given)).secret
    assert rotated is not None
    return rotated


@each_library
def test_it_verifies_and_nothing_changed_does(outbox: Database, verify: Verify) -> None:
    with receive() as receiver:
        outpost = make_outpost(outbox, receiver.url)
        received = delivered(outpost, receiver)
    verify(received, outpost.secret)
    for changed in (
        replace(received, body=received.body.replace(b'"number":0', b'"number":1')),
        replace(received, body=received.body + b"\n"),
        replace(received, headers={**received.headers, "webhook-id": str(outpost.endpoint_id)}),
        replace(received, headers={**received.headers, "webhook-timestamp": str(int(received.headers["webhook-timestamp"]) - 1)}),
    ):
        assert changed != received
        with pytest.raises(REFUSED, match="No matching signature"):
            verify(changed, outpost.secret)


@each_library
@pytest.mark.parametrize(("off", "reason"), [(-SIX_MINUTES, "too old"), (SIX_MINUTES, "too new")])
def test_a_stale_timestamp_fails_although_it_is_signed(outbox: Database, verify: Verify, off: float, reason: str) -> None:
    with receive() as receiver:
        outpost = make_outpost(outbox, receiver.url)
        received = delivered(outpost, receiver, lambda: time.time() + off)
    with pytest.raises(REFUSED, match=reason):
        verify(received, outpost.secret)


@each_library
def test_a_secret_that_was_rotated_fails(outbox: Database, verify: Verify) -> None:
    with receive() as receiver:
        outpost = make_outpost(outbox, receiver.url)
        second = rotate(outpost)
        received = delivered(outpost, receiver)
        verify(received, second)
        with pytest.raises(REFUSED, match="No matching signature"):
            verify(received, outpost.secret)
        third = rotate(outpost, timedelta(hours=24))
        overlapping = delivered(outpost, receiver)
    for secret in (second, third):
        verify(overlapping, secret)
    with pytest.raises(REFUSED, match="No matching signature"):
        verify(overlapping, outpost.secret)
