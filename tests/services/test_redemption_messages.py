"""What subscribers hear of redemptions, reversals and fulfilments: by the transaction that did it, whole and in order."""

from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlmodel import Session

from db.session import Database
from domain.rewards import Fulfillment, FulfillmentType
from runtime.embedded import EmbeddedPostgres
from services import balances, fulfillments
from services.fulfillments import FulfillmentKey
from services.movements import Adjustment, AdjustType
from services.redemption_views import FulfillmentStatus
from services.state import Entity, EntityKind
from services.transactions import transact
from tests.support.books import assert_books
from tests.support.counter import Counter
from tests.support.databases import make_database
from tests.support.listening import Told, heard, listen
from tests.support.receiver import Reply, receive

COMPLETED, FULFILLED, FAILED = "redemption.completed", "redemption.fulfilled", "redemption.fulfillment_failed"
REVERSED, CREDITED, DEBITED = "redemption.reversed", "balance.credited", "balance.debited"
ENDED_BADLY = [COMPLETED, FAILED, REVERSED, CREDITED]


@pytest.fixture(scope="module")
def store(postgres: EmbeddedPostgres) -> Iterator[Database]:
    with closing(Database(make_database(postgres.dsn, "redemption_messages"), pool_size=4)) as database:
        yield database


@pytest.fixture
def counter(store: Database) -> Iterator[Counter]:
    made = Counter(store)
    listen(store, made.organization_id)
    yield made
    assert_books(store, made.organization_id)


def bought(counter: Counter, quantity: int = 1, name: str = "CODE") -> FulfillmentKey:
    """What was redeemed and is handed over by hand, in a minute or never."""
    reward = counter.reward("http://127.0.0.1:1/", name=name)
    counter.change(reward, {"fulfillment": Fulfillment(FulfillmentType.MANUAL, timeout="1m")})
    return counter.redeem(reward, quantity)


def told(counter: Counter) -> Told:
    return heard(counter.database, counter.organization_id)


def types(counter: Counter) -> list[str]:
    return [type_ for type_, _ in told(counter)]


def test_a_redemption(counter: Counter) -> None:
    key = bought(counter, 2)
    [(type_, data)] = told(counter)
    made = data["redemption"]
    assert type_ == COMPLETED
    assert (made["id"], made["fulfillment_status"], made["status"]) == (str(key.redemption_id), "PENDING", "COMPLETED")
    assert data == {
        "redemption": made,
        "participant_id": str(counter.purse.participant),
        "external_id": data["external_id"],
        "program_id": str(counter.program_id),
        "asset_id": str(counter.cash),
        "asset_symbol": data["asset_symbol"],
        "amount": "20.00",
        "reward_id": made["reward_id"],
        "reward_name": "CODE",
        "quantity": 2,
        "unit_cost": "10.00",
        "balance": {"available": "80.00", "held": "0.00", "deferred": "0.00"},
        "journal_entry_id": made["journal_entry_id"],
        "created_by_api_key_id": str(counter.purse.author.api_key_id),
        "occurred_at": made["created_at"],
    }
    assert data["external_id"].startswith("p-")


class TestEnds:
    def test_handed_over(self, counter: Counter) -> None:
        key = bought(counter)
        for _ in range(2):
            counter.report(key, FulfillmentStatus.FULFILLED, "sent")
        assert types(counter) == [COMPLETED, FULFILLED]
        data = told(counter)[1][1]
        assert (data["by"], data["note"], data["attempt_count"], data["last_response_status"]) == ("API", "sent", 0, None)
        assert data["created_by_api_key_id"] == str(counter.purse.author.api_key_id)
        assert (data["redemption"]["fulfillment_status"], data["redemption"]["fulfillment_note"]) == ("FULFILLED", "sent")
        assert "reversal_id" not in data

    def test_reported_as_failed(self, counter: Counter) -> None:
        key = bought(counter)
        counter.report(key, FulfillmentStatus.FAILED, "none left")
        assert types(counter) == ENDED_BADLY
        (_, failed), (_, back), (_, credited) = told(counter)[1:]
        self._belong_together(counter, failed, back, credited)
        assert (failed["by"], failed["note"]) == ("API", "none left")
        assert back["reason"] == "fulfillment failed"
        assert back["created_by_api_key_id"] == str(counter.purse.author.api_key_id)

    def test_at_the_deadline(self, counter: Counter) -> None:
        key = bought(counter)
        counter.clock.forward(61)
        assert counter.standing(key) == ("FAILED", "FULLY_REVERSED")
        assert types(counter) == ENDED_BADLY
        (_, failed), (_, back), (_, credited) = told(counter)[1:]
        self._belong_together(counter, failed, back, credited)
        assert (failed["by"], failed["note"], failed["created_by_api_key_id"]) == ("DEADLINE", None, None)
        assert (back["created_by_api_key_id"], credited["created_by_api_key_id"]) == (None, None)

    def test_cancelled(self, counter: Counter) -> None:
        key = bought(counter)
        counter.reverse(key)
        assert types(counter) == ENDED_BADLY
        (_, failed), (_, back), (_, credited) = told(counter)[1:]
        self._belong_together(counter, failed, back, credited)
        assert (failed["by"], failed["note"], back["reason"]) == ("CANCELLED", None, "changed mind")
        assert failed["created_by_api_key_id"] == str(counter.purse.author.api_key_id)

    @pytest.mark.parametrize(("status", "expected"), [(200, [COMPLETED, FULFILLED]), (410, ENDED_BADLY)])
    def test_by_a_webhook(self, counter: Counter, status: int, expected: list[str]) -> None:
        with receive(Reply(status)) as receiver:
            counter.attempt(counter.redeem(counter.reward(receiver.url)))
        assert types(counter) == expected
        data = told(counter)[1][1]
        assert (data["by"], data["attempt_count"], data["last_response_status"]) == ("WEBHOOK", 1, status)
        assert data["created_by_api_key_id"] is None

    @staticmethod
    def _belong_together(counter: Counter, failed: dict[str, Any], back: dict[str, Any], credited: dict[str, Any]) -> None:
        """One transaction's messages name one reversal and its figures, and the redemption as it is then."""
        ids = {failed["reversal_id"], back["reversal"]["id"], credited["reversal_id"]}
        assert len(ids) == 1
        assert failed["redemption"] == back["redemption"]
        now = back["redemption"]
        assert (now["status"], now["fulfillment_status"], back["full"]) == ("FULLY_REVERSED", "FAILED", True)
        assert (back["amount"], back["quantity"], credited["amount"]) == ("10.00", 1, "10.00")
        assert back["balance"] == credited["balance"] == {"available": "100.00", "held": "0.00", "deferred": "0.00"}
        assert back["journal_entry_id"] == credited["journal_entry_id"]
        assert (credited["action_type"], credited["bucket"]) == ("REDEMPTION_REVERSAL", "AVAILABLE")
        assert credited["participant_id"] == str(counter.purse.participant)
        assert not {"group_id", "settle", "expires_at", "lots"} & set(credited)


class TestTargets:
    def test_a_holder_hears_of_both_ways(self, counter: Counter) -> None:
        other = counter.purse.new_participant()
        with counter.database.connection() as conn:
            conn.execute(
                "UPDATE programs SET redemption_target_type = 'LEDGER_ENTITY', redemption_target_entity_id = %s WHERE id = %s",
                [other, counter.program_id],
            )
        key = bought(counter)
        _spend(counter, other, "4")
        before = len(told(counter))
        counter.reverse(key)
        assert types(counter)[:3] == ["participant.created", COMPLETED, CREDITED]
        arrived = told(counter)[2][1]
        assert (arrived["participant_id"], arrived["amount"], arrived["action_type"]) == (str(other), "10.00", "REDEMPTION")
        assert arrived["redemption_id"] == str(key.redemption_id)
        assert types(counter)[before:] == [FAILED, REVERSED, CREDITED, DEBITED]
        left = told(counter)[-1][1]
        assert (left["participant_id"], left["amount"], left["overdraft"]) == (str(other), "10.00", "4.00")
        assert left["balance"]["available"] == "-4.00"


def _spend(counter: Counter, who: UUID, amount: str) -> None:
    wanted = Adjustment(counter.program_id, counter.cash, AdjustType.DEBIT, Decimal(amount), "spent")
    entity = Entity(EntityKind.PARTICIPANT, who)
    transact(counter.database, lambda session: balances.adjust(session, counter.purse.author, entity, wanted, is_strict=False))


class TestSilence:
    def test_nobody_who_wants_it(self, store: Database) -> None:
        counter = Counter(store)
        counter.report(bought(counter), FulfillmentStatus.FAILED)
        listen(store, counter.organization_id, "redemption.reversed", "event.completed")
        counter.report(bought(counter, name="ANOTHER"), FulfillmentStatus.FAILED)
        assert types(counter) == [REVERSED]

    def test_what_is_rolled_back_is_not_told(self, counter: Counter) -> None:
        key = bought(counter)

        def fail(session: Session) -> None:
            outcome = fulfillments.Outcome(FulfillmentStatus.FAILED)
            fulfillments.report(session, counter.purse.author, key.redemption_id, outcome)
            raise LookupError

        with pytest.raises(LookupError):
            transact(counter.database, fail)
        assert types(counter) == [COMPLETED]
