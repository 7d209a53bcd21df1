"""Notices of expiry: which lots, once each, whoever holds them and whoever announces (webhooks.md 5.13)."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlmodel import Session

from activities import expiry_notices as activities
from db.repositories import expiry_notices as rows
from db.repositories import ledger
from db.session import Database, psycopg_of
from domain.ledger.accounts import AccountKey, EntityType
from domain.ledger.books import Books
from domain.ledger.debit import debit
from domain.ledger.entries import Origin
from domain.timestamps import format_timestamp
from runtime.embedded import EmbeddedPostgres
from runtime.ids import new_id
from services import expiry_notices
from services.state import Entity
from tests.services.notice_world import HOUR, Calendar, Ledger, Notices, pair_of
from tests.support.databases import make_database
from tests.support.plans import plans_of


@pytest.fixture(scope="module")
def calendar(postgres: EmbeddedPostgres) -> Iterator[Calendar]:
    """A database whose clock this module moves."""
    with closing(Database(make_database(postgres.dsn, "notices"), pool_size=8)) as database:
        yield Calendar(database)


@pytest.fixture
def notices(calendar: Calendar) -> Iterator[Notices]:
    """Seven days of notice, and somebody who listens."""
    made = Notices(calendar)
    made.subscribe()
    yield made
    made.close()


class TestLotSets:
    def test_one_message_for_the_lots_of_a_day(self, notices: Notices) -> None:
        ann, at = notices.ann, notices.calendar.at
        late = notices.credit(ann, 40, at(30, 18))
        early = notices.credit(ann, 100, at(30))
        notices.credit(ann, 7, at(31))
        notices.credit(ann, 5, None)
        notices.midnight(22)
        assert notices.told() == []
        report = notices.midnight(23)
        assert (report.notices, report.failed) == (1, 0)
        assert report.next_in_seconds == pytest.approx(24 * 3600, abs=60)
        [data] = notices.told()
        assert data["amount"] == "140.00"
        assert data["expires_at"] == format_timestamp(at(30))
        assert (data["notice_days"], data["lot_count"]) == (7, 2)
        lots = [(lot["id"], lot["amount"], lot["expires_at"]) for lot in data["lots"]]
        assert lots == [
            (str(early), "100.00", format_timestamp(at(30))),
            (str(late), "40.00", format_timestamp(at(30, 18))),
        ]
        assert data["balance"] == {"available": "152.00", "held": "0.00", "deferred": "0.00"}
        assert notices.run().notices == 0
        notices.midnight(24)
        assert notices.amounts() == ["140", "7"]

    def test_a_day_ends_where_the_next_one_begins(self, notices: Notices) -> None:
        """Midnight belongs to the day it begins; what expires at a midnight isn't announced at it."""
        ann, at = notices.ann, notices.calendar.at
        notices.credit(ann, 1, at(10) - 0.001 * HOUR)
        notices.credit(ann, 2, at(10))
        notices.midnight(2)
        assert notices.amounts() == ["1"]
        notices.midnight(3)
        assert notices.amounts() == ["1", "2"]
        notices.credit(ann, 4, at(4))
        notices.midnight(4)
        assert notices.amounts() == ["1", "2"]

    def test_what_is_deferred_is_announced_and_once_only(self, notices: Notices) -> None:
        notices.credit(notices.ann, 9, notices.calendar.at(9), matures_at=notices.calendar.at(5))
        notices.midnight(2)
        [data] = notices.told()
        assert data["balance"] == {"available": "0.00", "held": "0.00", "deferred": "9.00"}
        for days in range(3, 9):
            notices.midnight(days)
        assert notices.amounts() == ["9"]

    def test_balances_are_those_after_what_is_due(self, notices: Notices) -> None:
        """The lot matured, and another one expired, at the very midnight; nobody had looked."""
        at = notices.calendar.at
        notices.credit(notices.ann, 9, at(8), matures_at=at(1))
        notices.credit(notices.ann, 5, at(1))
        notices.midnight(1)
        [data] = notices.told()
        assert (data["amount"], data["balance"]["available"], data["balance"]["deferred"]) == ("9.00", "9.00", "0.00")

    def test_a_group_has_its_own(self, notices: Notices) -> None:
        team = notices.team()
        notices.credit(team, 3, notices.calendar.at(8))
        notices.credit(notices.ann, 4, notices.calendar.at(8))
        notices.midnight(1)
        by_amount = {data["amount"]: data for data in notices.told()}
        assert by_amount["3.00"]["group_id"] == str(team.id)
        assert "participant_id" not in by_amount["3.00"]
        assert by_amount["3.00"]["balance"]["available"] == "3.00"
        assert by_amount["4.00"]["participant_id"] == str(notices.ann.id)

    def test_of_many_lots_a_hundred_are_listed(self, notices: Notices) -> None:
        for _ in range(101):
            notices.credit(notices.ann, 1, notices.calendar.at(8))
        notices.midnight(1)
        [data] = notices.told()
        assert (data["amount"], data["lot_count"], len(data["lots"])) == ("101.00", 101, 100)
        assert [lot["id"] for lot in data["lots"]] == sorted(str(id_) for id_, _, _ in notices.lots(notices.ann))[:100]


class TestLater:
    def test_new_lots_wait_for_the_next_midnight(self, notices: Notices) -> None:
        notices.credit(notices.ann, 1, notices.calendar.at(5))
        assert notices.run().notices == 0
        notices.midnight(1)
        notices.credit(notices.ann, 2, notices.calendar.at(5, 23))
        notices.run()
        assert notices.amounts() == ["1"]
        notices.midnight(2)
        assert notices.amounts() == ["1", "2"]

    def test_what_is_held_is_announced_when_it_is_released(self, notices: Notices) -> None:
        notices.credit(notices.ann, 10, notices.calendar.at(5))
        notices.hold(notices.ann, 4, reference_id="a")
        notices.midnight(1)
        assert notices.amounts() == ["6"]
        assert notices.told()[0]["balance"] == {"available": "6.00", "held": "4.00", "deferred": "0.00"}
        notices.release(notices.ann, reference_id="a")
        notices.run()
        notices.midnight(2)
        notices.midnight(3)
        assert notices.amounts() == ["6", "4"]

    def test_parts_of_an_announced_lot_are_announced(self, notices: Notices) -> None:
        """However often it is split, within one transaction or another, and moved about."""
        notices.credit(notices.ann, 10, notices.calendar.at(6))
        notices.midnight(1)
        notices.hold(notices.ann, 6, reference_id="a")
        notices.release(notices.ann, 2, reference_id="a")
        notices.hold(notices.ann, 1, reference_id="b")
        notices.release(notices.ann, reference_id="a")
        assert len(notices.lots(notices.ann)) == 4
        for days in range(2, 6):
            notices.midnight(days)
        assert notices.amounts() == ["10"]

    def test_a_hold_that_ends_at_midnight_gives_its_lots_back_first(self, notices: Notices) -> None:
        notices.credit(notices.ann, 10, notices.calendar.at(5))
        notices.hold(notices.ann, 10, expires_at=notices.calendar.at(1))
        notices.midnight(1)
        assert notices.amounts() == ["10"]

    def test_days_set_and_raised_and_ended(self, notices: Notices) -> None:
        at = notices.calendar.at
        for days in (5, 20, 40):
            notices.credit(notices.ann, days, at(days))
        notices.set_days(None)
        notices.midnight(1)
        assert notices.told() == []
        notices.set_days(7)
        notices.run()
        assert notices.told() == []
        notices.midnight(2)
        assert notices.amounts() == ["5"]
        notices.set_days(30)
        notices.run()
        notices.midnight(3)
        assert notices.amounts() == ["5", "20"]
        assert notices.told()[-1]["notice_days"] == 30
        notices.set_days(None)
        for day in range(10, 14):
            notices.midnight(day)
        assert notices.amounts() == ["5", "20"]

    def test_an_archived_asset_sends_none(self, notices: Notices) -> None:
        notices.credit(notices.ann, 1, notices.calendar.at(5))
        notices.archive()
        for days in range(1, 6):
            assert notices.midnight(days).notices == 0
        assert notices.told() == []


class TestWhoListens:
    def test_a_midnight_without_a_subscriber_is_over(self, calendar: Calendar) -> None:
        notices = Notices(calendar)
        notices.subscribe("balance.credited")
        notices.credit(notices.ann, 1, calendar.at(5))
        assert notices.midnight(1).notices == 1
        notices.subscribe("*")
        notices.credit(notices.ann, 2, calendar.at(5))
        notices.midnight(2)
        assert notices.amounts() == ["2"]
        notices.close()


class TestMissedMidnights:
    def test_they_are_made_up_for_at_once_and_once(self, notices: Notices) -> None:
        """Four nights without a worker: what has expired is over, the rest comes with the first look, at any hour."""
        at = notices.calendar.at
        notices.credit(notices.ann, 1, at(3, 1))
        notices.credit(notices.ann, 2, at(4, 9))
        notices.credit(notices.ann, 3, at(9))
        notices.calendar.set(at(4, 8))
        notices.credit(notices.ann, 4, at(9, 1))
        notices.calendar.set(at(4, 10))
        report = notices.run()
        assert (report.notices, notices.amounts()) == (1, ["3"])
        assert report.next_in_seconds == pytest.approx(14 * 3600, abs=60)
        assert notices.run().notices == 0
        notices.midnight(5)
        assert notices.amounts() == ["3", "4"]

    def test_an_interrupted_midnight_goes_on(self, notices: Notices, monkeypatch: pytest.MonkeyPatch) -> None:
        people = [notices.person() for _ in range(7)]
        for person in people:
            notices.credit(person, 1, notices.calendar.at(5))
        notices.calendar.set(notices.calendar.at(1))
        with notices.database.session() as session:
            assert expiry_notices.announce(session, 3) == expiry_notices.Announced(3)
        # somebody who was told gets another lot: not twice on one day
        first = UUID(notices.told()[0]["participant_id"])
        held = next(person for person in people if person.id == first)
        notices.credit(held, 1, notices.calendar.at(5))
        monkeypatch.setattr(activities, "PAGE_PLACES", 3)
        assert notices.run().notices == 4
        assert sorted(data["participant_id"] for data in notices.told()) == sorted(str(person.id) for person in people)

    def test_what_came_in_behind_waits(self, notices: Notices) -> None:
        """A lot that comes back into a set that was announced already, while the midnight is under way."""
        people = sorted((notices.person() for _ in range(3)), key=lambda person: person.id)
        for person in people:
            notices.credit(person, 1, notices.calendar.at(5))
        notices.credit(people[0], 2, notices.calendar.at(5, 1))
        notices.hold(people[0], None, lot_ids=(notices.lots(people[0])[1][0],))
        notices.calendar.set(notices.calendar.at(1))
        with notices.database.session() as session:
            assert expiry_notices.announce(session, 1) == expiry_notices.Announced(1)
        notices.release(people[0])
        assert notices.run().notices == 2
        notices.midnight(2)
        assert notices.amounts() == ["1", "1", "1", "2"]


class TestAtOnce:
    def test_two_workers_announce_once(self, notices: Notices, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(activities, "PAGE_PLACES", 2)
        people = [notices.person() for _ in range(15)]
        for person in people:
            notices.credit(person, 1, notices.calendar.at(5))
            notices.credit(person, 2, notices.calendar.at(6))
        notices.calendar.set(notices.calendar.at(1))
        with ThreadPoolExecutor(3) as pool:
            reports = [found.result() for found in [pool.submit(notices.run) for _ in range(3)]]
        assert sum(report.notices for report in reports) == 30
        said = [(data["participant_id"], data["amount"]) for data in notices.told()]
        assert len(said) == len(set(said)) == 30

    def test_who_had_loaded_the_lots_loads_them_again(self, notices: Notices) -> None:
        """Otherwise the part that is split off would lack the mark."""
        notices.credit(notices.ann, 10, notices.calendar.at(5))
        notices.calendar.set(notices.calendar.at(1))
        key = AccountKey(EntityType.PARTICIPANT, notices.ann.id, notices.world.miles)
        with pytest.raises(ledger.StaleBooks), notices.database.connection() as conn:
            books = Books(ledger.find_assets(conn, notices.world.organization_id, [notices.world.miles]), new_id)
            ledger.load_accounts(conn, books, [key], with_lots=True)
            assert notices.run().notices == 1
            debit(books, key, Decimal(1), now=notices.calendar.at(1, 1), origin=Origin(notices.world.program_id, "test"))
            ledger.flush(conn, books)

    def test_one_culprit_is_left_for_the_next_midnight(self, notices: Notices, monkeypatch: pytest.MonkeyPatch) -> None:
        people = [notices.person() for _ in range(5)]
        for person in people:
            notices.credit(person, 1, notices.calendar.at(5))
        settle_all = expiry_notices.due.settle_all

        def broken(session: Session, organization_id: UUID, holder_ids: set[UUID], until: datetime | None) -> tuple[int, int]:
            if people[2].id in holder_ids:
                raise ArithmeticError
            return settle_all(session, organization_id, holder_ids, until)

        monkeypatch.setattr(expiry_notices.due, "settle_all", broken)
        report = notices.midnight(1)
        assert (report.notices, report.failed) == (4, 1)
        monkeypatch.undo()
        assert notices.run().notices == 0
        assert notices.midnight(2).notices == 1
        assert sorted(data["participant_id"] for data in notices.told()) == sorted(str(person.id) for person in people)


@pytest.mark.parametrize("seed", range(6))
def test_random_days_against_the_model(notices: Notices, seed: int) -> None:
    dice = random.Random(seed)
    at, model, days = notices.calendar.at, Ledger(notices), notices.days
    holders = [notices.ann, notices.person(), notices.team()]
    before = 0
    for day in range(1, 16):
        for hour in sorted(dice.uniform(0.1, 23.9) for _ in range(dice.randrange(6))):
            notices.calendar.set(at(day - 1, 24 if day == 1 else hour) if day > 1 else at(0, 12 + hour / 2))
            do_something(notices, dice, dice.choice(holders), day)
        if dice.random() < 0.15:
            days = dice.choice([None, 1, 3, 7, 12])
            notices.set_days(days)
        if dice.random() < 0.25:
            continue
        midnight = at(day)
        notices.calendar.set(midnight + dice.choice([0, 0, 5]) * HOUR)
        settle(notices, holders)
        expected = model.expected(midnight, days)
        assert notices.run().notices == len(expected)
        told = notices.told()
        assert {summary(data) for data in told[before:]} == {
            (str(holder), str(sum(lot[2] for lot in lots)), tuple(str(lot[1]) for lot in lots))
            for (holder, _), lots in expected.items()
        }
        before = len(told)
        check_balances(notices, holders, told[-len(expected) :] if expected else [])


def do_something(notices: Notices, dice: random.Random, who: Entity, day: int) -> None:
    available = sum(int(lot[1]) for lot in notices.lots(who) if lot[2] == "AVAILABLE")
    held = sum(int(lot[1]) for lot in notices.lots(who) if lot[2] == "HELD")
    match dice.choice(["credit", "credit", "defer", "hold", "release", "debit"]):
        case "credit":
            expires_at = notices.calendar.at(day + dice.randrange(1, 12), dice.choice([0, 7, 7, 23.5]))
            notices.credit(who, dice.randrange(1, 50), dice.choice([expires_at, expires_at, None]))
        case "defer":
            matures_at = notices.calendar.at(day + dice.randrange(1, 4), 3)
            notices.credit(who, dice.randrange(1, 50), notices.calendar.at(day + dice.randrange(5, 12)), matures_at=matures_at)
        case "hold" if available:
            # what is due first may leave less: a single unit that isn't there is refused, so ask for nothing then
            settle(notices, [who])
            if any(lot[2] == "AVAILABLE" for lot in notices.lots(who)):
                notices.hold(who, 1 if dice.random() < 0.5 else None)
        case "release" if held:
            notices.release(who, dice.choice([1, None]))
        case "debit" if available:
            settle(notices, [who])
            if any(lot[2] == "AVAILABLE" for lot in notices.lots(who)):
                notices.debit(who, 1)


def settle(notices: Notices, holders: list[Entity]) -> None:
    """As any look at the accounts does."""
    with notices.database.session() as session:
        expiry_notices.due.settle_all(session, notices.world.organization_id, {who.id for who in holders})


def summary(data: dict[str, Any]) -> tuple[str, str, tuple[str, ...]]:
    lots = tuple(lot["id"] for lot in data["lots"])
    return data.get("participant_id", data.get("group_id")), str(Decimal(data["amount"]).quantize(Decimal("1e-18"))), lots


def check_balances(notices: Notices, holders: list[Entity], told: list[dict[str, Any]]) -> None:
    with notices.database.connection() as conn:
        for who in holders:
            row = conn.execute(
                "SELECT available, held, deferred FROM balances WHERE holder_id = %s AND asset_id = %s AND program_id = %s",
                [who.id, notices.world.miles, pair_of(notices, who)],
            ).fetchone()
            for data in told:
                if str(who.id) in (data.get("participant_id"), data.get("group_id")):
                    assert row is not None
                    assert [Decimal(amount) for amount in data["balance"].values()] == list(row)


def test_it_reads_what_is_near_by_an_index(notices: Notices) -> None:
    """Of 20,000 open lots far away and 20,000 that were announced none is read."""
    with notices.database.connection() as conn:
        conn.execute("SET LOCAL ROLE NONE")
        conn.execute(
            """
            INSERT INTO lots (id, organization_id, holder_id, asset_id, pair_program_id, program_id, amount, remaining, status,
                              created_at, expires_at, entry_id, is_announced)
            SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), %s, gen_random_uuid(), gen_random_uuid(), 1, 1,
                   'AVAILABLE', openscrip_now(), openscrip_now() + make_interval(days => CASE WHEN n %% 2 = 0 THEN 60 ELSE 3 END),
                   gen_random_uuid(), n %% 2 = 1
            FROM generate_series(1, 40000) AS n
            """,
            [notices.world.miles],
        )
        conn.execute("ANALYZE lots")
        conn.execute("SET LOCAL ROLE openscrip_app")
        midnight = notices.calendar.at(1)
        asset = notices.world.miles
        with plans_of(conn) as executed:
            for _ in range(4):
                assert rows.next_asset(conn, midnight, None) is None
                assert rows.next_places(conn, midnight, asset, 7, None, 50) == []
                assert rows.next_places(conn, midnight, asset, 0, rows.Place(asset, midnight.date(), asset), 50) == []
                assert rows.mark(conn, midnight, [rows.Place(asset, midnight.date(), asset)]) == []
                assert rows.next_day(conn, midnight) is not None
                assert rows.count_days(conn, midnight, midnight.date(), 10) == 0
        assert len(executed) >= 18
        for each in executed:
            assert "lots" not in each.scanned, each.plan
            assert "lots_unannounced" in each.indexes, each.plan
            assert sum(node.get("Rows Removed by Filter", 0) for node in each.nodes) < 100, each.plan
        conn.rollback()


def test_midnights_of_the_test_clock(notices: Notices) -> None:
    at = notices.calendar.at
    notices.credit(notices.ann, 1, at(20, 5))
    notices.credit(notices.ann, 1, at(3, 5))
    with notices.database.session() as session:
        conn = psycopg_of(session)
        assert expiry_notices.next_moment(conn, at(0, 13)) == at(1)
        assert expiry_notices.next_moment(conn, at(1)) == at(2)
        assert expiry_notices.next_moment(conn, at(3)) == at(13)
        assert expiry_notices.next_moment(conn, at(20)) is None
        assert [expiry_notices.count_moments(conn, at(*until), 10) for until in ((0, 23), (1,), (12, 23), (13,))] == [0, 1, 1, 2]
        assert expiry_notices.count_moments(conn, at(30), 1) == 1
    notices.midnight(1)
    with notices.database.session() as session:
        assert expiry_notices.next_moment(psycopg_of(session), at(1)) == at(13)
