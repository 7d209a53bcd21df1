"""Automations on a real database: every occurrence once, whatever stands still, jumps or fails (automations.md 2)."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import cycle, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from db.session import Database
from domain.automations import (
    CANCELLED,
    NOTHING_TO_CANCEL,
    STILL_RUNNING,
    AutomationStatus,
    ExecutionStatus,
    NotInThisState,
    Scope,
)
from domain.errors import InvalidState, ProgramInactive
from runtime.embedded import EmbeddedPostgres
from services import fan_outs, scheduled
from services.fan_outs import Stage
from services.transactions import transact
from tests.domain.test_recurrence import Meaning
from tests.services.automation_world import enrol, made_by, pass_seconds
from tests.services.lane_world import LANES, Shop, make_shop, together
from tests.services.schedule_world import DAY, Calendar
from tests.support.databases import make_database

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture(scope="module")
def own(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A database whose clock this module moves."""
    with closing(Database(make_database(postgres.dsn, "automations"), pool_size=12)) as database:
        yield database


@pytest.fixture
def shop(own: Database) -> Shop:
    with own.connection() as conn:
        conn.execute("DELETE FROM automations")
        conn.execute("DELETE FROM fan_out_candidates")
        conn.execute("UPDATE deployment SET clock_target = NULL, clock_offset = '0'")
    return make_shop(own)


@pytest.fixture
def calendar(shop: Shop) -> Calendar:
    return Calendar(shop)


@cache
def enumerated(expression: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    """Every occurrence after `start`, not after `end`, found by looking at each minute."""
    meaning, found = Meaning(expression), []
    first = start.replace(second=0, microsecond=0)
    clock = [(first + n * MINUTE).astimezone(ZoneInfo(zone)) for n in range((end - first) // MINUTE + 1)]
    for previous, local in pairwise(clock):
        if meaning.occurs(previous, local):
            found.append(local.astimezone(UTC))
    return [moment for moment in found if start < moment <= end]


class TestAYear:
    """2030, with its changes of the clocks in three zones."""

    start, end = datetime(2030, 1, 1, 0, 30, tzinfo=UTC), datetime(2031, 1, 1, 0, 30, tzinfo=UTC)

    def test_with_the_test_clock(self, calendar: Calendar) -> None:
        calendar.jump(self.start)
        people = enrol(calendar.shop, 12)
        daily = calendar.cron("30 2 * * *", timezone="Europe/Paris")
        monthly = calendar.cron("0 0 1 * *", Scope.PARTICIPANTS, "Australia/Lord_Howe")
        weekly = calendar.cron("0 9 * * MON", Scope.PARTICIPANTS, "America/New_York", participant_filter="true")
        expected = {
            each.id: enumerated(str(each.cron_expression), str(each.timezone), self.start, self.end)
            for each in (daily, monthly, weekly)
        }
        different = {moment for moments in expected.values() for moment in moments}
        with calendar.database.connection() as conn:
            assert scheduled.count_scheduled_moments(conn, self.end, 10_000) == len(different)
            assert scheduled.count_scheduled_moments(conn, self.end, 100) == 100
        assert calendar.travel(self.end) == len(different)
        assert calendar.occurrences(daily) == expected[daily.id]
        assert (len(expected[daily.id]), len(expected[monthly.id]), len(expected[weekly.id])) == (365, 12, 52)
        for each in (monthly, weekly):
            assert Counter(calendar.occurrences(each)) == dict.fromkeys(expected[each.id], len(people))
            done = calendar.seen(each)
            assert (done.execution_status, done.last_error) == (ExecutionStatus.COMPLETED, None)

    def test_with_outages_the_latest_missed_one_fires_once(self, calendar: Calendar) -> None:
        calendar.jump(self.start)
        people = enrol(calendar.shop, 7)
        made = [
            calendar.cron("30 2 * * *", timezone="Europe/Paris"),
            calendar.cron("0 9 * * MON", Scope.PARTICIPANTS, "America/New_York"),
            calendar.cron("0 0 1 * *", timezone="Australia/Lord_Howe"),
        ]
        dates = [enumerated(str(each.cron_expression), str(each.timezone), self.start, self.end) for each in made]
        wanted: list[list[datetime]] = [[] for _ in made]
        chance, here = random.Random(7), self.start
        while here < self.end:
            there = min(here + chance.choice([5 * HOUR, DAY, 3 * DAY, 30 * DAY]) * chance.random(), self.end)
            calendar.jump(there)
            together([lambda: scheduled.do_what_is_due(calendar.database, LANES)] * 2)
            for missed, moments in zip(wanted, dates, strict=True):
                missed.extend([moment for moment in moments if here < moment <= there][-1:])
            here = there
        for each, found, number in zip(made, wanted, (1, len(people), 1), strict=True):
            assert Counter(calendar.occurrences(each)) == dict.fromkeys(found, number), each.cron_expression
            assert len(found) > 4


class TestNotActive:
    @pytest.mark.parametrize("who_is_there", [True, False])
    def test_a_programs_dates_are_dropped_and_single_ones_wait(self, calendar: Calendar, *, who_is_there: bool) -> None:
        start = datetime(2030, 6, 1, 12, 30, tzinfo=UTC)
        calendar.jump(start)
        enrol(calendar.shop, 3)
        cron = calendar.cron("0 * * * *")
        crowd = calendar.cron("0 * * * *", Scope.PARTICIPANTS)
        once, all_once = (calendar.one_time(start + HOUR, scope) for scope in Scope)
        calendar.set_program("SUSPENDED")
        with pytest.raises(ProgramInactive):
            calendar.trigger(cron)
        at_once = calendar.immediate()
        calendar.jump(start + 5 * HOUR)
        if who_is_there:
            assert calendar.do_all().events == 0
        calendar.set_program("ACTIVE")
        calendar.do_all()
        assert [calendar.occurrences(each) for each in (cron, crowd)] == [[], []]
        assert calendar.seen(cron).next_run_at == start + 5.5 * HOUR
        assert calendar.occurrences(once) == [start + HOUR]
        assert calendar.occurrences(all_once) == [start + HOUR] * 3
        assert calendar.occurrences(at_once) == [at_once.created_at] * 3
        calendar.jump(start + 5.6 * HOUR)
        calendar.do_all()
        assert calendar.occurrences(cron) == [start + 5.5 * HOUR]

    def test_the_same_while_paused(self, calendar: Calendar) -> None:
        start = datetime(2030, 6, 1, 12, 30, tzinfo=UTC)
        calendar.jump(start)
        enrol(calendar.shop, 3)
        made = [calendar.cron("0 * * * *"), calendar.one_time(start + HOUR), calendar.immediate()]
        for each in made:
            calendar.change(each, status=AutomationStatus.PAUSED)
        calendar.jump(start + 5 * HOUR)
        calendar.do_all()
        assert [calendar.occurrences(each) for each in made] == [[], [], []]
        again = [calendar.change(each, status=AutomationStatus.ACTIVE) for each in made]
        assert again[0].next_run_at == start + 5.5 * HOUR
        calendar.do_all()
        assert [len(calendar.occurrences(each)) for each in made] == [0, 1, 3]


class TestFanOuts:
    def begin(self, calendar: Calendar, people: int = 25, **fields: Any) -> Any:
        enrol(calendar.shop, people)
        made = calendar.immediate(**fields)
        calendar.advance(made)
        return made

    def test_settings_are_those_it_began_with(self, calendar: Calendar) -> None:
        made = self.begin(calendar, payload={"n": 1}, guard_condition="true")
        calendar.advance(made)
        calendar.change(made, event_name="other", payload={"n": 2}, guard_condition="false", participant_filter="false")
        calendar.do_all()
        rows = calendar.shop.fetch("SELECT event_data FROM events WHERE automation_id = %s", made.id)
        assert [row[0] for row in rows] == [{"n": 1, "type": "tick"}] * 25
        calendar.trigger(made)
        calendar.do_all()
        assert calendar.seen(made).participants_total == 0

    def test_a_filter_goes_on_after_a_crash_and_counts_at_its_end(self, calendar: Calendar) -> None:
        people = enrol(calendar.shop, 35)
        made = calendar.immediate(participant_filter="size(participant.external_id) > 3 && participant.external_id >= 'p-000010'")
        totals = []
        while (progress := calendar.advance(made)).stage is Stage.EXECUTING:
            with pytest.raises(ZeroDivisionError), calendar.database.session() as session:
                fan_outs.advance(session, made.id, LANES, 10)
                raise ZeroDivisionError
            totals.append(calendar.seen(made).participants_total)
        assert totals == [None] * 4 + [25] * 3
        assert (progress.total, calendar.seen(made).participants_processed) == (25, 25)
        assert len(set(made_by(calendar.shop, made.id)) & set(people)) == 25

    def test_cancelled_while_the_filter_runs(self, calendar: Calendar) -> None:
        made = self.begin(calendar, participant_filter="size(participant.external_id) > 3")
        calendar.advance(made)
        stopped = calendar.cancel(made)
        assert (stopped.execution_status, stopped.execution_error, stopped.status) == ("failed", CANCELLED, "active")
        assert calendar.advance(made).stage is Stage.FAILED
        assert calendar.shop.value("SELECT count(*) FROM fan_out_candidates") == 0
        assert (stopped.failures, stopped.last_error) == (0, None)

    def test_deleted_while_it_runs(self, calendar: Calendar) -> None:
        made = self.begin(calendar)
        calendar.advance(made)
        gone = calendar.delete(made)
        assert (gone.status, gone.execution_status, gone.execution_error) == ("archived", "failed", CANCELLED)
        assert calendar.do_all().events == 0
        assert len(calendar.occurrences(made)) == 10

    def test_a_pending_one_that_isnt_immediate_fails_when_cancelled(self, calendar: Calendar) -> None:
        enrol(calendar.shop, 3)
        cron = calendar.cron("0 0 1 1 *", Scope.PARTICIPANTS)
        assert calendar.trigger(cron).execution_status == "pending"
        stopped = calendar.cancel(cron)
        assert (stopped.status, stopped.execution_status, stopped.execution_error) == ("active", "failed", CANCELLED)
        assert stopped.next_run_at == cron.next_run_at
        with pytest.raises(NotInThisState, match=NOTHING_TO_CANCEL):
            calendar.cancel(cron)
        calendar.trigger(cron)
        assert calendar.do_all().events == 3

    def test_a_pending_immediate_one_is_archived(self, calendar: Calendar) -> None:
        enrol(calendar.shop, 3)
        made = calendar.immediate()
        gone = calendar.cancel(made)
        assert (gone.status, gone.execution_status) == ("archived", "idle")
        assert calendar.do_all().events == 0
        with pytest.raises(InvalidState):
            calendar.change(made, description="late")

    def test_an_occurrence_while_it_runs_is_dropped(self, calendar: Calendar) -> None:
        start = datetime(2030, 6, 1, 12, 30, tzinfo=UTC)
        calendar.jump(start)
        enrol(calendar.shop, 25)
        cron = calendar.cron("0 * * * *", Scope.PARTICIPANTS)
        calendar.jump(start + HOUR)
        calendar.fire()
        calendar.advance(cron)
        calendar.jump(start + 2 * HOUR)
        assert calendar.fire() == 0
        dropped = calendar.seen(cron)
        assert (dropped.last_error, dropped.failures, dropped.execution_status) == (STILL_RUNNING, 0, "executing")
        assert dropped.next_run_at == start + 2.5 * HOUR
        calendar.do_all()
        assert calendar.occurrences(cron) == [start + 0.5 * HOUR] * 25
        assert calendar.seen(cron).last_error is None

    def test_by_hand_before_its_moment_and_then_at_it(self, calendar: Calendar) -> None:
        start = datetime(2030, 6, 1, 12, 30, tzinfo=UTC)
        calendar.jump(start)
        enrol(calendar.shop, 3)
        once = calendar.one_time(start + HOUR, Scope.PARTICIPANTS)
        calendar.trigger(once)
        calendar.do_all()
        found = calendar.seen(once)
        assert (found.processed_at, found.trigger_at, found.execution_status) == (None, start + HOUR, "completed")
        calendar.trigger(once)
        calendar.advance(once)
        calendar.jump(start + 2 * HOUR)
        assert calendar.fire() == 0, "it waits for the one that runs"
        assert calendar.seen(once).last_error is None
        calendar.do_all()
        assert len(calendar.occurrences(once)) == 9
        assert calendar.occurrences(once)[-3:] == [start + HOUR] * 3
        assert calendar.seen(once).processed_at is not None
        rearmed = calendar.change(once, trigger_at=start + 3 * HOUR)
        assert rearmed.processed_at is None
        calendar.jump(start + 4 * HOUR)
        calendar.do_all()
        assert len(calendar.occurrences(once)) == 12

    def test_five_that_fail_pause_it(self, calendar: Calendar) -> None:
        enrol(calendar.shop, 3)
        cron = calendar.cron("0 0 1 1 *", Scope.PARTICIPANTS)
        for number in range(1, 6):
            calendar.trigger(cron)
            calendar.cancel(cron)
            calendar.trigger(cron)
            calendar.advance(cron)
            transact(calendar.database, lambda session: fan_outs.give_up(session, cron.id))
            found = calendar.seen(cron)
            assert (found.failures, found.status) == (number, "paused" if number == 5 else "active")
        assert found.next_run_at is None
        assert found.last_error == found.execution_error
        calendar.change(cron, status=AutomationStatus.ACTIVE)
        calendar.trigger(cron)
        calendar.do_all()
        assert (calendar.seen(cron).failures, calendar.seen(cron).last_error) == (0, None)


def test_a_missed_occurrence_isnt_lost_when_it_is_triggered(calendar: Calendar) -> None:
    start = datetime(2030, 6, 1, 12, 30, tzinfo=UTC)
    calendar.jump(start)
    cron = calendar.cron("0 * * * *")
    calendar.jump(start + 5 * HOUR)
    calendar.trigger(cron)
    calendar.do_all()
    found = calendar.occurrences(cron)
    assert (found[0], len(found)) == (start + 4.5 * HOUR, 2)
    assert calendar.seen(cron).next_run_at == start + 5.5 * HOUR


def test_many_workers_fire_each_occurrence_once(calendar: Calendar) -> None:
    calendar.jump(datetime(2030, 6, 1, 12, 30, tzinfo=UTC))
    made = [calendar.cron("0 * * * *") for _ in range(20)]
    for _ in range(5):
        pass_seconds(calendar.database, 3600)
        together([lambda: scheduled.do_what_is_due(calendar.database, LANES)] * 4)
    assert [len(set(calendar.occurrences(each))) for each in made] == [5] * 20
    assert [len(calendar.occurrences(each)) for each in made] == [5] * 20


def test_everybody_at_once_makes_no_deadlock(calendar: Calendar) -> None:
    """Triggers, changes, what is due, lanes that count failures, and a program that comes and goes."""
    shop, ends = calendar.shop, time.monotonic() + 3
    calendar.jump(datetime(2030, 6, 1, 12, 30, tzinfo=UTC))
    enrol(shop, 30)
    shop.rule(shop.world.credit(), condition='event.type == "bad"')
    bad, good = calendar.cron("* * * * *", event_name="bad"), calendar.cron("* * * * *")
    crowd = calendar.cron("* * * * *", Scope.PARTICIPANTS, participant_filter="size(participant.external_id) > 1")
    deadlocks = shop.deadlocks()

    def again(work: Callable[[], object]) -> Callable[[], int]:
        def run() -> int:
            count = 0
            while time.monotonic() < ends:
                with suppress(NotInThisState, ProgramInactive):
                    work()
                    count += 1
            return count

        return run

    statuses = cycle(["SUSPENDED", "ACTIVE", "ACTIVE"])
    done = together(
        [
            again(lambda: calendar.trigger(good)),
            again(lambda: calendar.trigger(bad)),
            again(lambda: calendar.change(bad, status=AutomationStatus.ACTIVE)),
            again(lambda: calendar.change(crowd, timezone="UTC", guard_condition="true")),
            again(lambda: fan_outs.finish(calendar.database, crowd.id, LANES)),
            again(lambda: pass_seconds(calendar.database, 20)),
            again(calendar.fire),
            again(shop.drain_all),
            again(lambda: calendar.set_program(next(statuses))),
        ]
    )
    assert all(done), done
    calendar.set_program("ACTIVE")
    calendar.do_all()
    assert shop.deadlocks() == deadlocks
    failed = shop.value("SELECT count(*) FROM event_outcomes WHERE status = 'FAILED' AND program_id = %s", shop.world.program_id)
    assert failed == len(calendar.occurrences(bad))
    assert (calendar.seen(good).status, calendar.seen(good).failures) == ("active", 0)
