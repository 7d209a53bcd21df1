"""Redemptions and reversals as use cases: once for each ticket, in time or not at all, by the database's real clock."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import psycopg
import pytest
from sqlmodel import Session

from db.repositories import ledger
from db.repositories.redemptions import limit_to
from db.session import Database, psycopg_of
from domain.errors import IdempotencyConflict, InsufficientBalance, NotFound, ReversalExceedsRemaining, ServiceUnavailable
from runtime.embedded import EmbeddedPostgres
from runtime.ids import new_id
from services import redemptions, reversals
from services.redemptions import Glance, Priced, Redeemed, Redeeming
from services.reversals import Reversed, Reversing
from services.tickets import Outlook, Ticket
from services.transactions import transact
from tests.support.books import assert_books
from tests.support.databases import make_database
from tests.workflows.due_world import Purse


@pytest.fixture(scope="module")
def store(postgres: EmbeddedPostgres) -> Iterator[Database]:
    with closing(Database(make_database(postgres.dsn, "redemptions"), pool_size=8)) as database:
        yield database


class Till:
    """A participant with 100 MILES in two lots of 60 and 40."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.purse = Purse(database)
        self.purse.credit("60")
        self.purse.credit("40")

    def ticket(self, key: str | None = None, meaning: bytes = b"") -> Ticket:
        return Ticket(self.purse.author, new_id(), key, meaning)

    def order(self, amount: str) -> Redeeming:
        what = Priced(self.purse.world.miles, Decimal(amount), "test")
        return Redeeming(self.purse.participant, self.purse.world.program_id, what)

    def redeem(self, amount: str, ticket: Ticket | None = None, seconds: float = 5.0) -> Redeemed:
        ticket = ticket or self.ticket()
        until = self.real_time() + timedelta(seconds=seconds)
        return transact(self.database, lambda session: redemptions.carry_out(session, ticket, self.order(amount), until))

    def reverse(self, made: Redeemed, amount: str | None = None, ticket: Ticket | None = None) -> Reversed:
        ticket = ticket or self.ticket()
        wanted = Reversing(UUID(made.outcome.body["id"]), "test", None if amount is None else Decimal(amount))
        until = self.real_time() + timedelta(seconds=5)
        return transact(self.database, lambda session: reversals.carry_out(session, ticket, wanted, until))

    def look(self, amount: str, ticket: Ticket) -> Outlook:
        return transact(self.database, lambda session: redemptions.look(session, Glance(ticket, self.order(amount), False), 5000))

    def last_look(self, ticket: Ticket) -> Outlook:
        return transact(self.database, lambda session: redemptions.last_look(session, ticket, self.purse.world.program_id))

    def real_time(self):
        with self.database.connection() as conn:
            return conn.execute("SELECT clock_timestamp()").fetchone()[0]

    @property
    def available(self) -> Decimal:
        return self.purse.buckets(self.purse.world.miles)[0]

    def require_sound(self) -> None:
        assert_books(self.database, self.purse.world.organization_id)


@pytest.fixture
def till(store: Database) -> Iterator[Till]:
    made = Till(store)
    yield made
    made.require_sound()


class TestOnce:
    @pytest.mark.parametrize("key", [None, "k"])
    def test_a_ticket_that_is_carried_out_again(self, till: Till, key: str | None) -> None:
        ticket = till.ticket(key)
        first, second = till.redeem("30", ticket), till.redeem("30", ticket)
        assert second.outcome.body == first.outcome.body
        # the request that made it: it answers 201 even when it hears of it the second time
        assert not second.outcome.is_replay
        assert second.lots == first.lots
        assert till.available == 70

    def test_another_ticket_with_the_key(self, till: Till) -> None:
        first = till.redeem("30", till.ticket("k"))
        again = till.redeem("30", till.ticket("k"))
        assert again.outcome.is_replay
        assert again.outcome.body == first.outcome.body
        with pytest.raises(IdempotencyConflict):
            till.redeem("31", till.ticket("k", b"other"))
        assert till.available == 70

    def test_a_reversal_that_is_carried_out_again(self, till: Till) -> None:
        made, ticket = till.redeem("30"), till.ticket()
        first, second = till.reverse(made, "10", ticket), till.reverse(made, "10", ticket)
        assert first.outcome.body == second.outcome.body
        assert till.available == 80
        assert second.redemption["reversed_amount"] == "10.00"

    def test_of_two_full_reversals_one_counts(self, till: Till) -> None:
        made = till.redeem("90")

        def reverse(_: int) -> str:
            try:
                till.reverse(made)
            except ReversalExceedsRemaining:
                return "refused"
            return "done"

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(reverse, range(4))) == ["done", "refused", "refused", "refused"]
        assert till.available == 100

    def test_of_simultaneous_redemptions_as_many_as_there_is_for(self, till: Till) -> None:
        def redeem(_: int) -> str:
            try:
                till.redeem("30")
            except InsufficientBalance:
                return "refused"
            return "done"

        with ThreadPoolExecutor(6) as pool:
            assert sorted(pool.map(redeem, range(6))) == ["done"] * 3 + ["refused"] * 3
        assert till.available == 10

    def test_another_tenants_redemption(self, till: Till, store: Database) -> None:
        made = till.redeem("10")
        with pytest.raises(NotFound):
            Till(store).reverse(made)


class TestInTime:
    def test_too_late_does_nothing(self, till: Till) -> None:
        ticket = till.ticket("k")
        with pytest.raises(ServiceUnavailable):
            till.redeem("30", ticket, seconds=-0.001)
        assert till.available == 100
        assert till.look("30", ticket).answer is None
        till.redeem("30", ticket)

    def test_what_was_done_is_told_however_late(self, till: Till) -> None:
        ticket = till.ticket()
        first = till.redeem("30", ticket)
        assert till.redeem("30", ticket, seconds=-60).outcome.body == first.outcome.body

    def test_the_test_clock_doesnt_count(self, postgres: EmbeddedPostgres) -> None:
        with closing(Database(make_database(postgres.dsn, "redemptions_moved"), pool_size=4)) as database:
            with database.connection() as conn:
                conn.execute("UPDATE deployment SET clock_offset = '1 year'")
            moved = Till(database)
            made = moved.redeem("30")
            assert made.outcome.body["created_at"] > moved.real_time().isoformat()
            with pytest.raises(ServiceUnavailable):
                moved.redeem("30", seconds=-0.001)
            moved.require_sound()

    def test_it_doesnt_wait_for_a_lock_beyond_its_time(self, till: Till, store: Database) -> None:
        with store.session() as session:
            ledger.lock_holders(psycopg_of(session), [till.purse.participant])
            began = time.monotonic()
            with pytest.raises(psycopg.errors.QueryCanceled):
                till.redeem("30", seconds=0.5)
            assert time.monotonic() - began < 1.5
        assert till.available == 100

    @pytest.mark.parametrize("key", [None, "k"])
    def test_the_last_look_waits_for_who_is_at_it(self, till: Till, store: Database, key: str | None) -> None:
        ticket = till.ticket(key)
        with ThreadPoolExecutor(1) as pool:
            with store.session() as session:
                until = till.real_time() + timedelta(seconds=5)
                redemptions.carry_out(session, ticket, till.order("30"), until)
                looking = pool.submit(till.last_look, ticket)
                time.sleep(0.2)
                assert not looking.done()
            found = looking.result(5)
        assert found.answer is not None
        assert not found.answer.is_replay
        assert found.answer.body["amount"] == "30.00"
        assert till.available == 70

    def test_the_last_look_finds_nothing(self, till: Till) -> None:
        assert till.last_look(till.ticket("k")).answer is None


class TestLook:
    def test_it_changes_nothing_but_what_is_due(self, till: Till) -> None:
        till.purse.credit("50", expires_at=timedelta(milliseconds=200))
        assert till.look("150", till.ticket()).refusal is None
        time.sleep(0.25)
        refused = till.look("150", till.ticket()).refusal
        assert isinstance(refused, InsufficientBalance)
        assert refused.details["available"] == "100.00"
        assert till.purse.entries() == ["CREDIT", "CREDIT", "CREDIT", "EXPIRY"]

    def test_it_ends_in_time(self, store: Database) -> None:
        def look(session: Session) -> None:
            limit_to(psycopg_of(session), 100)
            psycopg_of(session).execute("SELECT pg_sleep(2)")

        with pytest.raises(psycopg.errors.QueryCanceled):
            transact(store, look)


def test_ten_thousand_spent_lots_cost_nothing(till: Till, store: Database) -> None:
    with store.connection() as conn:
        conn.execute(
            """
            INSERT INTO lots SELECT gen_random_uuid(), organization_id, holder_id, asset_id, pair_program_id, program_id, 1, 0,
                   'CONSUMED', created_at - interval '1 day', NULL, NULL, NULL, NULL, NULL, entry_id
            FROM lots, generate_series(1, 5000) WHERE holder_id = %s
            """,
            [till.purse.participant],
        )
    till.redeem("1")
    began = time.monotonic()
    done = till.redeem("70")
    assert time.monotonic() - began < 1.0
    assert [part.amount for part in done.lots] == [59, 11]
    with store.connection() as conn:
        # nobody credited them, which the books would tell
        conn.execute("DELETE FROM lots WHERE holder_id = %s AND amount = 1", [till.purse.participant])
