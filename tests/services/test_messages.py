"""The messages of journal entries that requests and time make: there, whole, in order, and nothing of what was rolled back."""

from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import timedelta
from decimal import Decimal
from random import Random
from uuid import UUID

import pytest
from psycopg.errors import LockNotAvailable

from db.session import Database, psycopg_of
from domain.errors import DomainError, InsufficientBalance
from domain.ledger.accounts import Bucket
from domain.ledger.entries import ActionType
from domain.messages.notices import OF_THE_HOLDER, OF_THE_WHOLE, REDEEMING
from runtime.embedded import EmbeddedPostgres
from services import activity, balances, wallets
from services.movements import Adjustment, AdjustType
from services.transactions import transact
from services.wallets import WalletChange
from tests.services.teller import Teller
from tests.support.books import assert_books
from tests.support.databases import make_database
from tests.support.outbox import recorded

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def ledger(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A database whose clock this module moves."""
    with closing(Database(make_database(postgres.dsn, "messages"), pool_size=4)) as database:
        yield database


@pytest.fixture
def teller(ledger: Database) -> Iterator[Teller]:
    made = Teller(ledger)
    yield made
    made.bank.close()


class TestByHand:
    @pytest.mark.example("webhooks.md", 11)
    def test_a_settle_tells_what_was_held(self, teller: Teller) -> None:
        teller.adjust("10.00", bucket=Bucket.HELD, reference_id="a-9")
        teller.adjust("8.00", reference_id="a-9", expires_at=HOUR)
        accrued, settled = teller.told()
        assert (accrued.data["bucket"], accrued.data["balance"]["held"]) == ("HELD", "10.00")
        assert "settle" not in accrued.data
        assert (settled.type, settled.data["amount"], settled.data["action_type"]) == ("balance.credited", "8.00", "SETTLE")
        assert settled.data["settle"] == {"held_amount": "10.00", "delta": "-2.00"}
        assert settled.data["balance"] == {"available": "8.00", "held": "0.00", "deferred": "0.00"}
        assert settled.data["expires_at"] is not None
        assert [lot["amount"] for lot in settled.data["lots"]] == ["10.00", "8.00"]

    def test_each_operation_sends_its_message(self, teller: Teller) -> None:
        teller.wallet("fund", "100")
        teller.adjust("30", teller.promo, holder="team")
        teller.adjust("50")
        teller.adjust("60", kind="DEBIT", allow_negative=True)
        teller.adjust("70", matures_at=HOUR)
        teller.adjust("40")
        teller.move("hold", "12", reference_id="r", expires_at=HOUR)
        teller.move("release", "5", reference_id="r")
        teller.move("forfeit", "2")
        teller.adjust("9", bucket=Bucket.HELD, reference_id="p")
        teller.move("void", reference_id="p")
        teller.wallet("burn", "20")
        told = teller.told()
        assert [message.type for message in told] == [
            "program.funded",
            *("balance.credited",) * 2,
            "balance.debited",
            *("balance.credited",) * 2,
            "balance.held",
            "balance.released",
            "balance.debited",
            "balance.credited",
            "balance.debited",
            "program.burned",
        ]
        funded, of_team, _, debited, deferred, _, held, released, forfeited, _, voided, burned = (each.data for each in told)
        assert (funded["program_name"], funded["description"], funded["available"]) == ("P", "Program funded", "100.00")
        assert of_team["group_id"] == str(teller.bank.holders["team"].id)
        assert "lots" not in of_team
        assert (debited["overdraft"], debited["balance"]["available"]) == ("10.00", "-10.00")
        assert (deferred["bucket"], deferred["balance"]["deferred"]) == ("DEFERRED", "70.00")
        assert deferred["matures_at"] > deferred["occurred_at"]
        assert (held["from_bucket"], held["to_bucket"], held["reference_id"]) == ("AVAILABLE", "HELD", "r")
        assert held["hold_expires_at"] > held["occurred_at"]
        assert (released["released_by"], released["balance"]["held"]) == ("API", "7.00")
        assert (forfeited["action_type"], forfeited["overdraft"]) == ("FORFEIT", "0.00")
        assert (voided["action_type"], voided["bucket"], voided["amount"]) == ("VOID_HOLD", "HELD", "9.00")
        assert (burned["amount"], burned["available"]) == ("20.00", "50.00")

    @pytest.mark.example("webhooks.md", 12)
    def test_a_transfer_sends_one_message_and_its_replay_none(self, teller: Teller) -> None:
        teller.adjust("50")
        for _ in range(2):
            teller.call("transfer", teller.transfer("5", "6", "7"), key="k")
        credited, transferred = teller.told()
        assert (credited.type, transferred.type) == ("balance.credited", "transfer.completed")
        assert (transferred.data["recipient_count"], transferred.data["total_amount"]) == (3, "18.00")
        bob, team = str(teller.bank.holders["bob"].id), str(teller.bank.holders["team"].id)
        assert transferred.data["recipients"] == [
            {"participant_id": bob, "external_id": "bob", "amount": "5.00"},
            {"group_id": team, "amount": "6.00"},
            {"participant_id": bob, "external_id": "bob", "amount": "7.00"},
        ]

    def test_nothing_of_what_was_refused_or_rolled_back(self, teller: Teller) -> None:
        with pytest.raises(InsufficientBalance):
            teller.adjust("5", kind="DEBIT")
        with pytest.raises(DomainError):
            teller.call("transfer", teller.transfer("5"), key="k")
        database = teller.bank.database
        with pytest.raises(KeyboardInterrupt), database.session() as session:
            wanted = Adjustment(teller.bank.programs["P"], teller.miles.id, AdjustType.CREDIT, Decimal(5), "test")
            balances.adjust(session, teller.bank.author, teller.bank.holders["ann"], wanted, is_strict=False)
            raise KeyboardInterrupt
        assert teller.told() == []


class TestWhatTimeDoes:
    def seed(self, teller: Teller) -> None:
        """What is due within two hours: a hold ends, some matures, lots of both buckets expire."""
        teller.adjust("50", expires_at=HOUR)
        teller.adjust("20", expires_at=2 * HOUR)
        teller.adjust("5", matures_at=2 * HOUR, expires_at=2 * HOUR + timedelta(seconds=1))
        teller.adjust("7", matures_at=HOUR)
        teller.move("hold", "30", reference_id="r", expires_at=HOUR)

    def assert_due_is_told(self, teller: Teller) -> None:
        told = teller.told()[5:]
        assert [message.type for message in told] == ["balance.released", "balance.expired"]
        released, expired = (message.data for message in told)
        assert (released["released_by"], released["reference_id"], released["description"]) == ("DEADLINE", "r", "Hold expired")
        assert (expired["amount"], expired["lot_count"]) == ("75.00", 4)
        assert {lot["bucket"] for lot in expired["lots"]} == {"AVAILABLE", "DEFERRED"}
        assert (expired["event_id"], expired["created_by_api_key_id"]) == (None, None)

    def test_by_the_first_read(self, teller: Teller) -> None:
        self.seed(teller)
        teller.bank.jump(3 * HOUR)
        ann = teller.bank.holders["ann"].id
        for _ in range(2):
            transact(
                teller.bank.database, lambda session: activity.get_balances(session, teller.organization_id, ann, teller.miles.id)
            )
        self.assert_due_is_told(teller)

    def test_by_the_due_work(self, teller: Teller) -> None:
        self.seed(teller)
        teller.bank.jump(3 * HOUR)
        teller.bank.sweep()
        teller.bank.sweep()
        self.assert_due_is_told(teller)

    def test_before_what_an_operation_does(self, teller: Teller) -> None:
        self.seed(teller)
        teller.bank.jump(3 * HOUR)
        teller.adjust("1")
        assert teller.types()[5:] == ["balance.released", "balance.expired", "balance.credited"]

    def test_more_lots_than_a_message_names(self, teller: Teller) -> None:
        for _ in range(103):
            teller.adjust("1", expires_at=HOUR)
        teller.bank.jump(2 * HOUR)
        teller.bank.sweep()
        expired = recorded(teller.bank.database, teller.organization_id)[-1].data
        assert (expired["amount"], expired["lot_count"], len(expired["lots"])) == ("103.00", 103, 100)


class TestRedemptions:
    @pytest.mark.parametrize("target", ["SYSTEM", "bob", "team"])
    @pytest.mark.parametrize("seed", range(2))
    def test_random_redemptions_and_reversals(self, teller: Teller, target: str, seed: int) -> None:
        random = Random(seed)
        if target != "SYSTEM":
            teller.aim(target)
        made: list[UUID] = []
        for _ in range(14):
            with suppress(DomainError):
                self.step(teller, random, target, made)
        told = teller.told()
        assert {"redemption.completed", "redemption.reversed"} <= {message.type for message in told}
        assert_books(teller.bank.database, teller.organization_id)

    def step(self, teller: Teller, random: Random, target: str, made: list[UUID]) -> None:
        kind = random.choice(["redeem", "redeem", "reverse", "reverse", "spend", "hold", "time"])
        if kind == "reverse" and made:
            teller.reverse(random.choice(made), random.choice(["2", "3.5", None]))
        elif kind == "spend":
            teller.adjust("15", kind="DEBIT", holder=target if target != "SYSTEM" else "ann")
        elif kind == "hold":
            teller.move("hold", "4", expires_at=HOUR)
        elif kind == "time":
            teller.bank.jump(HOUR)
        else:
            teller.adjust(random.choice(["4", "9"]), expires_at=random.choice([HOUR, 9 * HOUR]))
            made.append(teller.redeem(random.choice(["3", "6.25"])))


class TestOrder:
    def test_two_wallets_of_a_program_wait_for_each_other(self, teller: Teller) -> None:
        """A number that was drawn is committed before the next one about the program is drawn, whichever wallet it is about."""
        bank = teller.bank
        bank.mint(is_lot=False, is_prefunded=True, scale=0, maximum=None)
        first, second = (WalletChange(bank.programs["P"], coin.id, Decimal(1)) for coin in bank.coins[1:])
        with bank.database.session() as session:
            wallets.fund_program(session, bank.author, first, is_strict=True)
            with pytest.raises(LockNotAvailable), bank.database.session() as other:
                psycopg_of(other).execute("SET LOCAL lock_timeout = '100ms'")
                wallets.fund_program(other, bank.author, second, is_strict=True)
        assert teller.types() == ["program.funded"]


def test_every_action_of_the_journal_is_told_but_maturity() -> None:
    assert {*OF_THE_HOLDER, *OF_THE_WHOLE, *REDEEMING, ActionType.MATURITY} == set(ActionType)
