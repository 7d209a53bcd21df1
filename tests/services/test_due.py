"""What is due, without a visitor: pages over all tenants, archived assets left alone, one culprit doesn't stop the others."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from sqlmodel import Session
from temporalio.testing import ActivityEnvironment

from activities import due as activities
from activities.due import DueActivities, HoldActivities
from db.repositories import due as rows
from db.session import Database
from runtime.embedded import EmbeddedPostgres
from services import due, holds
from tests.support.books import assert_books
from tests.support.databases import make_database
from tests.workflows.due_world import Purse
from workflows.contracts import DueReport
from workflows.contracts_hold import HoldState

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def ledger(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A database whose clock this module moves."""
    with closing(Database(make_database(postgres.dsn, "due"), pool_size=4)) as database:
        yield database


def pass_hours(database: Database, hours: float) -> None:
    with database.connection() as conn:
        conn.execute("UPDATE deployment SET clock_offset = clock_offset + make_interval(secs => %s)", [hours * 3600])


def post(database: Database) -> DueReport:
    """One call of the activity, as a worker makes it."""
    return ActivityEnvironment().run(DueActivities(database).post_due)


def test_everything_due_is_posted_and_nothing_else(ledger: Database) -> None:
    purses = [Purse(ledger) for _ in range(3)]
    for purse in purses:
        purse.credit("100", expires_at=HOUR)
        purse.credit("7", expires_at=3 * HOUR)
        purse.credit("5", matures_at=HOUR)
    assert post(ledger).entries == 0
    pass_hours(ledger, 1.5)
    report = post(ledger)
    assert (report.accounts, report.entries, report.failed, report.more) == (3, 6, 0, False)
    assert report.next_in_seconds is not None
    assert report.next_in_seconds == pytest.approx(1.5 * 3600, abs=60)
    for purse in purses:
        assert purse.entries() == ["CREDIT", "CREDIT", "CREDIT", "MATURITY", "EXPIRY"]
        assert purse.buckets(purse.world.miles) == (Decimal(12), Decimal(0), Decimal(0))
        assert_books(ledger, purse.world.organization_id)
    again = post(ledger)
    assert (again.entries, again.pages) == (0, 0)
    pass_hours(ledger, 5)
    assert post(ledger).entries == 3


def test_pages_are_small_and_take_everybody(ledger: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activities, "PAGE_ACCOUNTS", 4)
    purse = Purse(ledger)
    people = [purse.new_participant() for _ in range(11)]
    for person in people:
        purse.participant = person
        purse.credit("1", expires_at=HOUR)
    pass_hours(ledger, 2)
    report = post(ledger)
    assert (report.accounts, report.entries, report.pages) == (11, 11, 3)


def test_a_slice_of_time_ends_with_more(ledger: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activities, "SLICE_SECONDS", 0.0)
    purse = Purse(ledger)
    purse.credit("1", expires_at=HOUR)
    pass_hours(ledger, 2)
    assert post(ledger).more
    monkeypatch.undo()
    assert post(ledger).entries == 1


def test_archived_assets_are_left_alone_and_never_waited_for(ledger: Database) -> None:
    purse = Purse(ledger)
    purse.credit("100", expires_at=HOUR)
    purse.credit("50", purse.world.cash)
    held = purse.hold("20", HOUR)
    purse.archive(purse.world.miles)
    purse.archive(purse.world.cash)
    pass_hours(ledger, 2)
    report = post(ledger)
    assert (report.accounts, report.entries, report.more, report.next_in_seconds) == (0, 0, False, None)
    assert purse.entries() == ["CREDIT", "CREDIT", "HOLD"]
    look = HoldActivities(ledger).attend_hold(held)
    assert (look.state, look.remaining) == (HoldState.FROZEN, "20.00")
    with ledger.session() as session:
        assert holds.ending_soon(session, 3600.0, 10) == []


def test_one_culprit_stops_nobody(ledger: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    purse = Purse(ledger)
    people = [purse.new_participant() for _ in range(5)]
    for person in people:
        purse.participant = person
        purse.credit("1", expires_at=HOUR)
    pass_hours(ledger, 2)
    settle_all = due.settle_all

    def broken(session: Session, organization_id: UUID, holder_ids: list[UUID], until: datetime | None) -> tuple[int, int]:
        if people[2] in holder_ids:
            raise ArithmeticError
        return settle_all(session, organization_id, holder_ids, until)

    monkeypatch.setattr(due, "settle_all", broken)
    report = post(ledger)
    assert (report.accounts, report.entries, report.failed, report.more) == (4, 4, 1, False)
    assert report.next_in_seconds is None, "the culprit must not be waited for"
    monkeypatch.undo()
    assert post(ledger).entries == 1


class TestHold:
    def test_before_at_and_after_its_deadline(self, ledger: Database) -> None:
        purse = Purse(ledger)
        purse.credit("100", purse.world.cash)
        held = purse.hold("40", HOUR)
        attend = HoldActivities(ledger).attend_hold
        look = attend(held)
        assert (look.state, look.amount, look.remaining, look.reference_id) == (HoldState.OPEN, "40.00", "40.00", "auth-1")
        assert look.deadline_in_seconds == pytest.approx(3600, abs=60)
        pass_hours(ledger, 1.1)
        for _ in range(3):
            look = attend(held)
            assert (look.state, look.amount, look.remaining) == (HoldState.EXPIRED, "40.00", "0.00")
        assert purse.entries() == ["CREDIT", "HOLD", "RELEASE"]
        assert purse.buckets(purse.world.cash) == (Decimal(100), Decimal(0), Decimal(0))
        assert_books(ledger, purse.world.organization_id)

    def test_another_tenants_hold_is_none(self, ledger: Database) -> None:
        purse, stranger = Purse(ledger), Purse(ledger)
        purse.credit("100", purse.world.cash)
        held = purse.hold("40", HOUR)
        with ledger.session() as session:
            assert holds.attend(session, stranger.world.organization_id, held.hold_id) is None

    def test_those_that_end_soon(self, ledger: Database) -> None:
        purse = Purse(ledger)
        purse.credit("100", purse.world.cash)
        soon, late = purse.hold("40", timedelta(seconds=50)), purse.hold("10", HOUR)
        with ledger.session() as session:
            found = {hold.id for hold in holds.ending_soon(session, 60.0, 10)}
        assert soon.hold_id in found
        assert late.hold_id not in found


class TestPlans:
    """With many accounts that have a date, only the due ones are looked at."""

    def test_the_index_of_due_moments_is_used(self, ledger: Database) -> None:
        asset = Purse(ledger).world.miles
        statements: list[str] = []

        class Spy:
            def execute(self, statement: str, parameters: object) -> object:
                with ledger.connection() as conn:
                    conn.execute(
                        "INSERT INTO balances (holder_id, asset_id, organization_id, next_due_at)"
                        " SELECT gen_random_uuid(), %s, gen_random_uuid(), openscrip_now() + interval '9 years'"
                        " FROM generate_series(1, 20000)",
                        [asset],
                    )
                    conn.execute("ANALYZE balances")
                    plan = conn.execute(f"EXPLAIN {statement}", parameters).fetchall()
                    statements.append("\n".join(row[0] for row in plan))
                    conn.rollback()
                    return conn.execute("SELECT NULL WHERE false")

        rows.due_holders(Spy(), 50, [])
        rows.seconds_until_due(Spy(), [])
        assert len(statements) == 2
        for plan in statements:
            assert "balances_due" in plan, plan
