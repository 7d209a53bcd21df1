"""Endpoints beside each other: slow and failing ones delay only themselves, and floods don't keep further attempts back."""

import asyncio
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta

import pytest

from activities.webhook_deliveries import LOOKS_AGAIN
from activities.webhook_post import Post
from activities.webhook_room import Room
from activities.webhook_sender import Sender
from activities.webhook_sending import send_waiting
from db.session import Database
from domain.webhook_attempts import Answer
from runtime.embedded import EmbeddedPostgres
from runtime.webhook_secrets import WebhookSecrets
from services import webhook_endpoints
from services.transactions import transact
from services.webhook_sending import Claimed
from tests.support.databases import make_database
from tests.support.loop import LoopThread
from tests.support.outpost import Outpost, ids, make_outpost, send, sender_for, settings_of
from tests.support.receiver import Received, Receiver, Reply, is_signed_by, receive
from tests.support.stack import poll
from workflows.contracts_webhooks import SendReport

MESSAGES, ROUNDS, GAP_SECONDS = 150, 3, 0.003


@pytest.fixture(scope="module")
def outbox(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A database that nobody else sends from."""
    with closing(Database(make_database(postgres.dsn, "neighbours"), pool_size=6)) as database:
        yield database


@contextmanager
def hanging() -> Iterator[Receiver]:
    """A receiver that answers nothing as long as the block lasts."""
    is_over = threading.Event()

    def hang(_: Received) -> Reply:
        is_over.wait(15)
        return Reply()

    with receive(script=hang) as receiver:
        yield receiver
        is_over.set()


@contextmanager
def sending(sender: Sender, outposts: Sequence[Outpost]) -> Iterator[None]:
    """Flows' calls send to the outposts, each on its own; cancelled at the end of the block."""

    async def start() -> list[asyncio.Task[SendReport]]:
        sends = (send_waiting(sender, each.input, lambda: None, lambda: False, LOOKS_AGAIN) for each in outposts)
        return [asyncio.create_task(each) for each in sends]

    with LoopThread() as loop:
        loop.run(start())
        yield


def p99_of_a_healthy_one(outbox: Database, *, is_alone: bool) -> float:
    """Seconds from the commit of a message to its receipt, beside an endpoint that hangs and one that answers 500, or not."""
    with ExitStack() as stack:
        healthy = stack.enter_context(receive())
        sender = stack.enter_context(sender_for(outbox, threads=64))
        outposts = [make_outpost(outbox, healthy.url)]
        if not is_alone:
            for other in (stack.enter_context(receive(script=lambda _: Reply(500))), stack.enter_context(hanging())):
                outposts.append(make_outpost(outbox, other.url))
        for each in outposts:
            each.tell(ids(20))
        stack.enter_context(sending(sender, outposts))
        healthy.wait_for(20)
        committed = []
        for _ in range(MESSAGES):
            outposts[0].tell(ids(1))
            committed.append(time.monotonic())
            time.sleep(GAP_SECONDS)
        received = sorted(each.at for each in healthy.wait_for(20 + MESSAGES)[20:])
        ages = sorted(came - told for came, told in zip(received, committed, strict=True))
        return ages[-1 - MESSAGES // 100]


def test_neither_one_that_hangs_nor_one_that_fails_delays_a_healthy_one(outbox: Database) -> None:
    alone, beside = [], []
    for _ in range(ROUNDS):
        alone.append(p99_of_a_healthy_one(outbox, is_alone=True))
        beside.append(p99_of_a_healthy_one(outbox, is_alone=False))
    assert statistics.median(beside) <= 2 * statistics.median(alone), (alone, beside)


def test_many_that_hang_leave_threads_to_a_healthy_one(outbox: Database) -> None:
    with sender_for(outbox, threads=32) as sender, receive() as healthy, hanging() as silent:
        outposts = [make_outpost(outbox, silent.url) for _ in range(12)]
        for each in outposts:
            each.tell(ids(20))
        good = make_outpost(outbox, healthy.url)
        with sending(sender, outposts):
            # each has one attempt under way at least, and together they could use up all threads several times
            poll(lambda: len({each.headers["webhook-id"] for each in silent.received}) >= 16 + 10)
            good.tell(ids(60))
            began = time.monotonic()
            assert send(sender, good).delivered == 60
            assert time.monotonic() - began < 5
            assert all("SENDING" in each.statuses() for each in outposts)
            assert len(silent.received) < 32


@pytest.mark.parametrize(("is_quick", "given"), [(True, [10, 10, 10, 10]), (False, [10, 6, 1, 0])])
def test_half_of_the_threads_is_kept_for_quick_ones(*, is_quick: bool, given: list[int]) -> None:
    room = Room(32)
    taken = [room.take(10, held, is_quick=is_quick) for held in (0, 0, 0, 1)]
    assert taken == given
    room.give(sum(taken))
    assert room.take(10) == 10


def test_a_flood_of_first_attempts_doesnt_keep_a_further_one_back(outbox: Database) -> None:
    with receive() as receiver, sender_for(outbox) as sender:
        outpost = make_outpost(outbox, receiver.url)
        outpost.tell(ids(200))
        last = outpost.rows()[-1]
        with outbox.connection() as conn:
            conn.execute("UPDATE webhook_deliveries SET attempt_count = 1 WHERE id = %s", [last[4]])
        assert send(sender, outpost).delivered == 200
        order = [each.headers["webhook-id"] for each in receiver.received]
    assert order.index(last[0]) < 20


def test_who_rotates_while_an_attempt_is_under_way_gets_it_again_with_the_new_secret(outbox: Database) -> None:
    """The claim came before the rotation, so its attempt has the old secret; refused like any other, it is made again."""
    secrets = WebhookSecrets(settings_of(outbox.url))
    valid: list[str] = []

    class Rotated(Post):
        """The secret is rotated after the claim and before the attempt goes out."""

        def __call__(self, url: str, signers: Sequence[str], claimed: Claimed) -> Answer:
            if not valid:
                given = (outpost.organization_id, outpost.endpoint_id, timedelta(0), secrets)
                secret = transact(outbox, lambda session: webhook_endpoints.rotate_secret(session, *given)).secret
                assert secret is not None
                valid.append(secret)
            return super().__call__(url, signers, claimed)

    def verify(received: Received) -> Reply:
        return Reply(204 if is_signed_by(received, valid[0]) else 401)

    with receive(script=verify) as receiver, sender_for(outbox, Rotated(settings_of(outbox.url))) as sender:
        outpost = make_outpost(outbox, receiver.url)
        outpost.tell(ids(1))
        assert send(sender, outpost).delivered == 0
        assert is_signed_by(receiver.received[0], outpost.secret)
        assert outpost.rows()[0][1:3] == ("PENDING", 1)
        with outbox.connection() as conn:
            conn.execute(
                "UPDATE webhook_deliveries SET next_attempt_at = openscrip_now() WHERE webhook_endpoint_id = %s",
                [outpost.endpoint_id],
            )
        assert send(sender, outpost).delivered == 1
    first, second = receiver.received
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
    assert is_signed_by(second, valid[0])
