"""Sending to endpoints: in order, once by id whatever happens, never to an address that wasn't checked."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from uuid import UUID

import pytest

from activities.webhook_post import Post
from activities.webhook_sending import send_all_due
from db.repositories import webhook_sending
from db.session import Database
from domain.webhook_attempts import Answer
from runtime.embedded import EmbeddedPostgres
from runtime.settings import SettingsError
from services import webhook_endpoints
from services.transactions import transact
from services.webhook_endpoints import EndpointStatus
from services.webhook_sending import Claimed
from tests.cli.stack import ROOT
from tests.support.clock import Clock
from tests.support.databases import make_database
from tests.support.outpost import Outpost, ids, make_outpost, send, sender_for, settings_of
from tests.support.receiver import Received, Reply, is_signed_by, receive

DAY = timedelta(days=1).total_seconds()


@pytest.fixture(scope="module")
def outbox(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A database whose clock these tests move."""
    with closing(Database(make_database(postgres.dsn, "webhooks"), pool_size=8)) as database:
        yield database


def test_an_entitys_messages_come_in_order(outbox: Database) -> None:
    entities = ids(3)
    slow = {str(entities[0])}

    def answer(received: Received) -> Reply:
        return Reply(delay=0.02 if json.loads(received.body)["data"]["entity"] in slow else 0.0)

    with receive(script=answer) as receiver, sender_for(outbox) as sender:
        outpost = make_outpost(outbox, receiver.url)
        outpost.tell([entities[number % 3] for number in range(60)])
        report = send(sender, outpost)
    assert (report.attempts, report.delivered, report.pending, report.more) == (60, 60, 0, False)
    bodies = [json.loads(each.body)["data"] for each in receiver.received]
    for entity in map(str, entities):
        numbers = [body["number"] for body in bodies if body["entity"] == entity]
        assert len(numbers) == 20
        assert numbers == sorted(numbers)
    assert all(is_signed_by(each, outpost.secret) for each in receiver.received)


def test_three_days_down_and_everything_arrives_once(outbox: Database) -> None:
    clock, is_down = Clock(outbox), True
    with receive(script=lambda _: Reply(503 if is_down else 200)) as receiver, sender_for(outbox) as sender:
        outpost = make_outpost(outbox, receiver.url)
        outpost.tell(ids(12))
        passed = 0.0
        while passed < 3 * DAY:
            send_all_due(sender, lambda: None, lambda: None, set())
            with outbox.connection() as conn:
                [now] = conn.execute("SELECT openscrip_now()").fetchone() or ()
                moment = webhook_sending.next_moment(conn, now)
            ahead = DAY / 4 if moment is None else (moment - now).total_seconds() + 0.001
            clock.forward(ahead)
            passed += ahead
        assert {row[1] for row in outpost.rows()} <= {"PENDING", "FAILED"}
        assert max(row[2] for row in outpost.rows()) <= 8
        tried = len(receiver.received)
        # ten at once, then one at the end of each break: about one an hour
        assert 40 < tried < 110
        is_down = False
        for row in outpost.rows():
            if row[1] == "FAILED":
                assert row[2] == 8
                outpost.retry(row[4])
        for _ in range(3):
            clock.forward(DAY)
            send_all_due(sender, lambda: None, lambda: None, set())
        arrived = Counter(each.headers["webhook-id"] for each in receiver.received[tried:])
    assert outpost.statuses() == {"DELIVERED"}
    assert arrived == {row[0]: 1 for row in outpost.rows()}
    bodies = {(each.headers["webhook-id"], each.body) for each in receiver.received}
    assert len(bodies) == 12


DYING = """
import os, signal, sys
from uuid import UUID
from activities.webhook_post import Post
from db.session import Database
from tests.support.outpost import Outpost, send, sender_for, settings_of

class Dying(Post):
    def __call__(self, *given):
        super().__call__(*given)
        os.kill(os.getpid(), signal.SIGKILL)

url, organization, endpoint = sys.argv[1:]
database = Database(url, pool_size=2)
with sender_for(database, Dying(settings_of(url))) as sender:
    send(sender, Outpost(database, UUID(organization), UUID(endpoint), ""))
"""


def test_killed_between_sending_and_marking(outbox: Database) -> None:
    with receive() as receiver, sender_for(outbox) as sender:
        outpost = make_outpost(outbox, receiver.url)
        outpost.tell(ids(1))
        given = [outbox.url, str(outpost.organization_id), str(outpost.endpoint_id)]
        killed = subprocess.run([sys.executable, "-c", DYING, *given], cwd=ROOT, check=False, env=dict(os.environ))
        assert killed.returncode == -signal.SIGKILL
        assert outpost.rows()[0][1:3] == ("SENDING", 0)
        assert send(sender, outpost).attempts == 0
        with outbox.connection() as conn:
            # its time passes
            conn.execute(
                "UPDATE webhook_deliveries SET sending_until = clock_timestamp() WHERE webhook_endpoint_id = %s",
                [outpost.endpoint_id],
            )
        assert send(sender, outpost).delivered == 1
        first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert outpost.rows()[0][1:3] == ("DELIVERED", 1)


def _expire_claims(outpost: Outpost) -> None:
    with outpost.database.connection() as conn:
        conn.execute(
            "UPDATE webhook_deliveries SET status = 'SENDING', sending_until = clock_timestamp() WHERE webhook_endpoint_id = %s",
            [outpost.endpoint_id],
        )


def test_what_a_dead_sender_had_is_given_up_with_its_archived_endpoint(outbox: Database) -> None:
    outpost = make_outpost(outbox, "http://127.0.0.1:9/")
    outpost.tell(ids(2))
    _expire_claims(outpost)
    outpost.archive()
    with sender_for(outbox) as sender:
        send_all_due(sender, lambda: None, _a_few_rounds(), set())
    assert [row[1:4] for row in outpost.rows()] == [("FAILED", 0, "endpoint archived")] * 2


@pytest.mark.parametrize("blocked", ["disabled", "circuit_broken"])
def test_what_a_dead_sender_had_waits_for_its_blocked_endpoint(outbox: Database, blocked: str) -> None:
    outpost = make_outpost(outbox, "http://127.0.0.1:9/")
    outpost.tell(ids(1))
    _expire_claims(outpost)
    if blocked == "disabled":
        outpost.set_status(EndpointStatus.DISABLED)
    else:
        with outbox.connection() as conn:
            conn.execute(
                "UPDATE webhook_health SET openings = 1, failures = 10, circuit_broken_until = openscrip_now() + interval '1 h'"
                " WHERE endpoint_id = %s",
                [outpost.endpoint_id],
            )
    with sender_for(outbox) as sender:
        send_all_due(sender, lambda: None, _a_few_rounds(), set())
    assert outpost.rows()[0][1:3] == ("PENDING", 0)
    outpost.archive()


def _a_few_rounds() -> Callable[[], None]:
    """Called between rounds of sending: what never ends fails."""
    rounds = iter(range(50))

    def go_on() -> None:
        assert next(rounds, None) is not None, "it waits for a sender that is dead"

    return go_on


def test_who_comes_late_changes_nothing(outbox: Database) -> None:
    class Late(Post):
        """Its claim was taken over by somebody else before it answers."""

        def __call__(self, url: str, secrets: object, claimed: Claimed) -> Answer:
            with outbox.connection() as conn:
                conn.execute(
                    "UPDATE webhook_deliveries SET sending_until = sending_until + interval '1 s' WHERE id = %s", [claimed.key.id]
                )
            return Answer(status=500)

    outpost = make_outpost(outbox, "http://127.0.0.1:9/")
    outpost.tell(ids(1))
    with sender_for(outbox, Late(settings_of(outbox.url))) as sender:
        assert send(sender, outpost).attempts == 0
    assert outpost.rows()[0][1:3] == ("SENDING", 0)


def test_a_host_that_moves_to_a_private_address(outbox: Database) -> None:
    with receive() as receiver:
        port = receiver.url.split(":")[2].split("/")[0]
        outpost = make_outpost(outbox, f"https://rebound.example:{port}/hooks")
        outpost.tell(ids(1))
        settings = settings_of(outbox.url, webhook_allow_private=False)
        with sender_for(outbox, Post(settings, lookup=lambda _host, _port: ["127.0.0.1"])) as sender:
            assert send(sender, outpost).attempts == 1
        assert receiver.received == []
    [row] = outpost.rows()
    assert (row[1], row[2]) == ("PENDING", 1)
    assert "forbidden address" in row[3]


def test_a_secret_that_cant_be_read_costs_no_attempt(outbox: Database) -> None:
    outpost = make_outpost(outbox, "http://127.0.0.1:9/")
    outpost.tell(ids(2))
    other = settings_of(outbox.url, secret_key="BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=")
    with sender_for(outbox, Post(other)) as sender, pytest.raises(SettingsError, match="OPENSCRIP_SECRET_KEY"):
        send(sender, outpost)
    assert [row[1:3] for row in outpost.rows()] == [("PENDING", 0)] * 2
    failed: set[UUID] = set()
    with sender_for(outbox, Post(other)) as sender:
        send_all_due(sender, lambda: None, lambda: None, failed)
    assert outpost.endpoint_id in failed
    outpost.archive()


def test_disabled_rests_and_archived_gives_up(outbox: Database) -> None:
    with receive() as receiver, sender_for(outbox) as sender:
        outpost = make_outpost(outbox, receiver.url)
        outpost.tell(ids(3))
        outpost.set_status(EndpointStatus.DISABLED)
        report = send(sender, outpost)
        assert (report.blocked, report.pending, receiver.received) == ("disabled", 3, [])
        outpost.set_status(EndpointStatus.ACTIVE)
        assert send(sender, outpost).delivered == 3
        outpost.tell(ids(2))
        outpost.archive()
        assert send(sender, outpost).status == "ARCHIVED"
        assert len(receiver.received) == 3
    assert [(row[1], row[3]) for row in outpost.rows()[3:]] == [("FAILED", "endpoint archived")] * 2


def test_metadata_that_only_looks_the_same_is_kept(outbox: Database) -> None:
    outpost = make_outpost(outbox, "http://127.0.0.1:9/")
    given = (outpost.organization_id, outpost.endpoint_id)
    for metadata in (1, True, {"a": [True]}, {"a": [1]}):
        changes = {"metadata": metadata}
        transact(outbox, lambda session, changes=changes: webhook_endpoints.update_endpoint(session, *given, changes))
        with outbox.connection() as conn:
            [stored] = conn.execute("SELECT metadata::text FROM webhook_endpoints WHERE id = %s", [given[1]]).fetchone() or ()
        assert stored == json.dumps(metadata, separators=(",", ":"))
    outpost.archive()


def test_after_eight_failures_it_is_given_up(outbox: Database) -> None:
    clock = Clock(outbox)
    with receive(script=lambda _: Reply(500, b"no\x00\xff")) as receiver, sender_for(outbox) as sender:
        outpost = make_outpost(outbox, receiver.url)
        outpost.tell(ids(1))
        for _ in range(9):
            send(sender, outpost)
            clock.forward(12 * 3600)
        assert len(receiver.received) == 8
    assert outpost.rows()[0][1:3] == ("FAILED", 8)
    assert isinstance(outpost.rows()[0][4], UUID)
