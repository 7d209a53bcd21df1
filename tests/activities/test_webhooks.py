"""Attempts of webhook fulfilments on a real database, against a receiver on a socket; time passes by the database's clock."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from email.utils import formatdate
from uuid import UUID

import pytest
from sqlmodel import Session

from activities import fulfillments as fulfillment_activities
from activities.fulfillments import attempt_all, expire_all
from db.repositories import fulfillment_requests
from db.session import Database, psycopg_of
from domain.rewards import Fulfillment as Setting
from domain.rewards import FulfillmentType, fulfillment_of
from domain.webhook_attempts import WAITS, Answer, Fulfillment
from runtime.embedded import EmbeddedPostgres
from runtime.settings import SettingsError
from services import fulfillment_attempts
from services import fulfillments as fulfillment_service
from services.fulfillment_attempts import Attempt
from services.fulfillments import FulfillmentKey
from services.redemption_views import FulfillmentStatus
from services.transactions import transact
from tests.support.books import assert_books
from tests.support.counter import Counter
from tests.support.databases import make_database
from tests.support.listening import heard, listen
from tests.support.receiver import Receiver, Reply, is_signed_by, receive

REVERSED = ("FAILED", "FULLY_REVERSED")
FULFILLED = ("FULFILLED", "COMPLETED")
PENDING = ("PENDING", "COMPLETED")


@pytest.fixture(scope="module")
def store(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A database whose clock only these tests move."""
    with closing(Database(make_database(postgres.dsn, "attempts"), pool_size=8)) as database:
        yield database


@pytest.fixture
def counter(store: Database) -> Iterator[Counter]:
    made = Counter(store)
    yield made
    assert_books(store, made.organization_id)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receive() as listening:
        yield listening


class TestAnswers:
    @pytest.mark.parametrize(
        ("status", "outcome", "standing", "left"),
        [
            (200, Fulfillment.FULFILLED, FULFILLED, 90),
            (204, Fulfillment.FULFILLED, FULFILLED, 90),
            (202, Fulfillment.TAKEN_OVER, PENDING, 90),
            (410, Fulfillment.REFUSED, REVERSED, 100),
            (422, Fulfillment.REFUSED, REVERSED, 100),
            (500, Fulfillment.FAILED, PENDING, 90),
            (302, Fulfillment.FAILED, PENDING, 90),
            (404, Fulfillment.FAILED, PENDING, 90),
        ],
    )
    def test_each(
        self, counter: Counter, receiver: Receiver, status: int, outcome: Fulfillment, standing: tuple[str, str], left: int
    ) -> None:
        receiver.answer_next(Reply(status, headers={"location": receiver.url}))
        key = counter.redeem(counter.reward(receiver.url))
        made = counter.attempt(key)
        assert made is not None
        assert (made.number, made.outcome, made.response_status) == (1, outcome, status)
        assert (counter.standing(key), counter.available) == (standing, left)
        # nothing is due any more, or not yet
        assert counter.attempt(key) is None
        assert len(receiver.received) == 1
        assert (counter.seconds_left(key) is None) == (outcome is not Fulfillment.FAILED)

    def test_what_is_posted(self, counter: Counter, receiver: Receiver) -> None:
        reward = counter.reward(receiver.url, "1h", max_total=5, metadata={"sku": 7})
        key = counter.redeem(reward, 2)
        counter.attempt(key)
        [received] = receiver.received
        assert reward.secret is not None
        assert is_signed_by(received, reward.secret)
        assert received.headers["webhook-id"] == str(key.redemption_id)
        body, row = json.loads(received.body), counter.found(key)
        assert (body["id"], body["type"]) == (str(key.redemption_id), "fulfillment.requested")
        assert (body["organization_id"], body["api_version"]) == (str(counter.organization_id), "2026-03-01")
        data = body["data"]
        assert body["created_at"] == data["redemption"]["created_at"]
        assert set(data) == {
            "redemption", "reward", "participant_id", "external_id", "program_id", "asset_id", "asset_symbol", "expires_at",
        }  # fmt: skip
        assert (data["redemption"]["fulfillment_status"], data["redemption"]["status"]) == ("PENDING", "COMPLETED")
        assert (data["redemption"]["amount"], data["redemption"]["quantity"]) == ("20.00", 2)
        assert row.fulfillment_expires_at == row.created_at + timedelta(hours=1)
        assert data["expires_at"] == data["redemption"]["fulfillment_expires_at"]
        assert "fulfillment" not in data["reward"]
        assert (data["reward"]["redeemed_count"], data["reward"]["metadata"]) == (2, {"sku": 7})

    def test_it_stays_the_same_whatever_changes(self, counter: Counter, receiver: Receiver) -> None:
        receiver.answer_next(Reply(500), Reply(500))
        reward = counter.reward(receiver.url)
        key = counter.redeem(reward)
        counter.attempt(key)
        renamed = counter.change(
            reward, {"name": "ANOTHER", "fulfillment": fulfillment_of(FulfillmentType.WEBHOOK, receiver.url + "/2", None)}
        )
        counter.clock.forward(6)
        counter.attempt(key)
        first, second = receiver.received
        assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
        # where to, and with which secret, is the reward's of that moment
        assert (second.path, renamed.secret != reward.secret) == ("/hooks/2", True)
        assert renamed.secret is not None
        assert reward.secret is not None
        assert is_signed_by(second, renamed.secret)
        assert not is_signed_by(second, reward.secret)


class TestAttempts:
    def test_eight_and_no_more(self, counter: Counter) -> None:
        listen(counter.database, counter.organization_id, "redemption.fulfillment_failed")
        with receive(script=lambda _: Reply(503)) as receiver:
            key = counter.redeem(counter.reward(receiver.url))
            for number, wait in enumerate(WAITS, 1):
                if number > 1:
                    left = counter.seconds_left(key)
                    assert left is not None
                    assert 0.9 * wait.total_seconds() - 5 < left <= 1.1 * wait.total_seconds()
                    assert counter.attempt(key) is None
                    counter.clock.forward(left)
                made = counter.attempt(key)
                assert made is not None
                assert made.number == number
            assert (counter.standing(key), counter.available) == (REVERSED, 100)
            assert counter.reversal_reasons(key) == ["fulfillment failed"]
            counter.clock.forward(100_000)
            assert counter.attempt(key) is None
            assert len(receiver.received) == 8
            assert len({each.body for each in receiver.received}) == 1
        [(_, data)] = heard(counter.database, counter.organization_id)
        assert (data["by"], data["attempt_count"], data["last_response_status"]) == ("WEBHOOK", 8, 503)

    @pytest.mark.parametrize("text", ["7200", "date"])
    def test_retry_after(self, counter: Counter, receiver: Receiver, text: str) -> None:
        """A date is one of the real clock, however far the server's was moved."""
        counter.clock.forward(30 * 86400)
        value = formatdate(time.time() + 7200, usegmt=True) if text == "date" else text
        receiver.answer_next(Reply(429, headers={"retry-after": value}))
        key = counter.redeem(counter.reward(receiver.url))
        counter.attempt(key)
        left = counter.seconds_left(key)
        assert left is not None
        assert 7100 < left <= 7200

    def test_none_from_the_deadline_on(self, counter: Counter, receiver: Receiver) -> None:
        receiver.answer_next(Reply(500))
        key = counter.redeem(counter.reward(receiver.url, "4m"))
        counter.attempt(key)
        counter.clock.forward(241)
        assert counter.attempt(key) is None
        assert (counter.standing(key), len(receiver.received)) == (REVERSED, 1)

    def test_an_answer_after_the_deadline_is_too_late(self, counter: Counter) -> None:
        listen(counter.database, counter.organization_id, "redemption.fulfillment_failed", "redemption.fulfilled")

        def late(_: object) -> Reply:
            counter.clock.forward(61)
            return Reply(200)

        with receive(script=late) as receiver:
            key = counter.redeem(counter.reward(receiver.url, "1m"))
            made = counter.attempt(key)
        assert made is not None
        assert made.outcome is None
        assert counter.standing(key) == REVERSED
        assert [(type_, data["by"]) for type_, data in heard(counter.database, counter.organization_id)] == [
            ("redemption.fulfillment_failed", "DEADLINE")
        ]

    def test_once_the_reward_has_no_webhook(self, counter: Counter, receiver: Receiver) -> None:
        receiver.answer_next(Reply(500))
        reward = counter.reward(receiver.url)
        key = counter.redeem(reward)
        counter.attempt(key)
        counter.change(reward, {"fulfillment": Setting(FulfillmentType.MANUAL)})
        counter.clock.forward(6)
        assert counter.attempt(key) is None
        assert (counter.standing(key), counter.seconds_left(key), len(receiver.received)) == (PENDING, None, 1)
        counter.report(key, FulfillmentStatus.FULFILLED)
        assert counter.standing(key) == FULFILLED

    def test_a_forbidden_address_is_a_failed_attempt(self, store: Database, receiver: Receiver) -> None:
        counter = Counter(store, webhook_allow_private=False)
        made = counter.attempt(counter.redeem(counter.reward(receiver.url)))
        assert made is not None
        assert (made.outcome, made.response_status, receiver.received) == (Fulfillment.FAILED, None, [])
        assert made.error is not None
        assert made.error.startswith("forbidden address")

    def test_an_archived_asset_keeps_what_was_redeemed(self, counter: Counter, receiver: Receiver) -> None:
        listen(counter.database, counter.organization_id, "redemption.fulfillment_failed", "redemption.reversed")
        receiver.answer_next(Reply(410))
        key = counter.redeem(counter.reward(receiver.url))
        counter.purse.archive(counter.cash)
        counter.attempt(key)
        assert (counter.standing(key), counter.available) == (("FAILED", "COMPLETED"), 90)
        [(type_, data)] = heard(counter.database, counter.organization_id)
        assert (type_, data["reversal_id"], data["by"]) == ("redemption.fulfillment_failed", None, "WEBHOOK")


class TestRaces:
    def test_of_two_makers_one_makes_it(self, counter: Counter) -> None:
        with receive(Reply(500, delay=0.5)) as receiver:
            key = counter.redeem(counter.reward(receiver.url))
            with ThreadPoolExecutor(4) as pool:
                made = [each for each in pool.map(counter.attempt, [key] * 4) if each is not None]
            assert (len(made), len(receiver.received)) == (1, 1)

    @pytest.mark.parametrize("status", [200, 422, 500])
    @pytest.mark.parametrize("ended", ["FULFILLED", "FAILED", "reversed"])
    def test_an_attempt_under_way_loses(self, counter: Counter, status: int, ended: str) -> None:
        going, done = threading.Event(), threading.Event()

        def slow(_: object) -> Reply:
            going.set()
            assert done.wait(10)
            return Reply(status)

        with receive(script=slow) as receiver, ThreadPoolExecutor(1) as pool:
            key = counter.redeem(counter.reward(receiver.url))
            attempt = pool.submit(counter.attempt, key)
            assert going.wait(10)
            if ended == "reversed":
                counter.reverse(key)
            else:
                counter.report(key, FulfillmentStatus(ended))
            done.set()
            made = attempt.result(10)
        assert made is not None
        assert made.outcome is None
        assert counter.standing(key) == (FULFILLED if ended == "FULFILLED" else REVERSED)
        assert len(counter.reversal_reasons(key)) == (ended != "FULFILLED")
        assert (counter.attempt(key), counter.seconds_left(key)) == (None, None)

    def test_what_dies_before_it_is_counted_is_made_again(self, counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
        """The same attempt, with the same bytes, when the claim has run out; its effect happens once."""
        monkeypatch.setattr(fulfillment_attempts, "CLAIM_SECONDS", 0.3)
        finish = fulfillment_attempts.finish
        monkeypatch.setattr(fulfillment_attempts, "finish", _die)
        with receive(script=lambda _: Reply(422)) as receiver:
            key = counter.redeem(counter.reward(receiver.url))
            with pytest.raises(KeyboardInterrupt):
                counter.attempt(key)
            monkeypatch.setattr(fulfillment_attempts, "finish", finish)
            assert counter.attempt(key) is None
            left = counter.seconds_left(key)
            assert left is not None
            threading.Event().wait(left + 0.05)
            made = counter.attempt(key)
            assert made is not None
            assert made.number == 1
            first, second = receiver.received
            assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
        assert (counter.standing(key), counter.reversal_reasons(key)) == (REVERSED, ["fulfillment failed"])

    def test_a_second_maker_of_one_attempt_doesnt_count_it_twice(self, counter: Counter, receiver: Receiver) -> None:
        """Both were under way when the claim of the first had run out."""
        key = counter.redeem(counter.reward(receiver.url))
        ids = (key.organization_id, key.redemption_id)
        attempt = transact(counter.database, lambda session: fulfillment_attempts.begin(session, *ids))
        assert attempt is not None
        failed = Answer(500)

        def finish(session: Session) -> fulfillment_attempts.Made:
            return fulfillment_attempts.finish(session, attempt, failed)

        assert [transact(counter.database, finish).outcome for _ in range(2)] == [Fulfillment.FAILED, None]
        found = transact(counter.database, lambda session: fulfillment_requests.find(psycopg_of(session), key.redemption_id))
        assert found is not None
        assert found.attempt_count == 1


def _die(_session: Session, _attempt: Attempt, _answer: Answer) -> None:
    raise KeyboardInterrupt


class TestWithoutTheKey:
    @pytest.mark.parametrize("key", [None, "//////////////////////////////////////////8="])
    def test_an_attempt_that_cant_be_signed_doesnt_count(self, store: Database, receiver: Receiver, key: str | None) -> None:
        counter = Counter(store)
        reward = counter.reward(receiver.url)
        made = counter.redeem(reward)
        elsewhere = Counter(store, secret_key=key)
        assert reward.secret is not None
        for _ in range(2):
            with pytest.raises(SettingsError, match="OPENSCRIP_SECRET_KEY") as caught:
                elsewhere.sender.make(made)
            assert reward.secret not in str(caught.value)
        assert (counter.standing(made), receiver.received) == (PENDING, [])
        counter.attempt(made)
        assert counter.standing(made) == FULFILLED


class TestAll:
    """What the test clock does at a moment."""

    def test_every_attempt_that_is_due(self, counter: Counter, receiver: Receiver) -> None:
        keys = [counter.redeem(counter.reward(receiver.url)) for _ in range(3)]
        beats: list[None] = []
        attempt_all(counter.sender, lambda: beats.append(None))
        assert [counter.standing(key) for key in keys] == [FULFILLED] * 3
        assert len(beats) >= 3

    def test_a_culprit_doesnt_hold_up_the_others(
        self, counter: Counter, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reward = counter.reward(receiver.url, "1m")
        culprit, other = counter.redeem(reward), counter.redeem(reward)
        real = fulfillment_service.expire

        def expire(session: Session, organization_id: UUID, redemption_id: UUID) -> bool:
            if redemption_id == culprit.redemption_id:
                raise ValueError("a fault")
            return real(session, organization_id, redemption_id)

        counter.clock.forward(61)
        with monkeypatch.context() as patch:
            patch.setattr(fulfillment_activities.fulfillments, "expire", expire)
            expire_all(counter.database, lambda: None)
        with counter.database.connection() as conn:
            rows = conn.execute("SELECT id FROM redemptions WHERE fulfillment_status = 'PENDING'").fetchall()
        assert culprit.redemption_id in {row[0] for row in rows}
        assert other.redemption_id not in {row[0] for row in rows}
        assert counter.standing(culprit) == REVERSED

    def test_an_attempt_that_is_near_is_in_need_of_its_flow(self, counter: Counter, receiver: Receiver) -> None:
        receiver.answer_next(Reply(503, headers={"retry-after": "1000"}))
        key = counter.redeem(counter.reward(receiver.url))
        soon, hour = timedelta(minutes=2), timedelta(hours=1)

        def in_need() -> list[FulfillmentKey]:
            return transact(counter.database, lambda session: fulfillment_service.in_need_of_flow(session, soon, hour, 500))

        assert key in in_need()
        transact(counter.database, lambda session: fulfillment_service.note_flows(session, [key.redemption_id]))
        assert key in in_need()
        counter.attempt(key)
        assert key not in in_need()
        counter.clock.forward(900)
        assert key in in_need()
        counter.clock.forward(200)
        assert key in in_need()
        counter.attempt(key)
        assert key not in in_need()
