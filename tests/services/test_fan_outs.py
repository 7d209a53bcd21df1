"""Fan-outs on a real database: one event for everybody, whatever crashes, stops or is repeated."""

import asyncio
import dataclasses
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any, cast
from uuid import UUID

import pytest
from temporalio.testing import ActivityEnvironment

from activities import automations as activities
from activities.automations import FanOutActivities
from db.session import Database
from runtime.embedded import EmbeddedPostgres
from services import fan_outs
from services.fan_outs import Progress, Stage
from services.transactions import transact
from tests.services.automation_world import enrol, made_by, record, set_automation, start_broadcast, system_events
from tests.services.lane_world import LANES, Shop, make_shop, together
from tests.services.rule_world import set_status
from tests.support.databases import make_database
from workflows.contracts import RunInput, RunReport, RunState

PAGE = 10
WHERE = "execution_status, participants_total, participants_processed"


@pytest.fixture(scope="module")
def own(postgres: EmbeddedPostgres) -> Iterator[Database]:
    with closing(Database(make_database(postgres.dsn, "fan_outs"), pool_size=16)) as database:
        yield database


@pytest.fixture
def shop(own: Database) -> Shop:
    with own.connection() as conn:
        conn.execute("DELETE FROM automations")
        conn.execute("DELETE FROM fan_out_candidates")
    return make_shop(own)


def advance(shop: Shop, automation: UUID, limit: int = PAGE) -> Progress:
    found = transact(shop.database, lambda session: fan_outs.advance(session, automation, LANES, limit))
    assert found is not None
    return found


def cancel(shop: Shop, automation: UUID) -> Progress:
    found = transact(shop.database, lambda session: fan_outs.cancel(session, automation))
    assert found is not None
    return found


def runnable(shop: Shop, *, only_pending: bool = False) -> list[UUID]:
    found = transact(shop.database, lambda session: fan_outs.runnable(session, 10, only_pending=only_pending))
    return [key.automation_id for key in found]


def left(shop: Shop) -> int:
    return int(shop.value("SELECT count(*) FROM fan_out_candidates"))


def starter(shop: Shop) -> UUID:
    """The participant whose event began it; included."""
    return UUID(
        str(
            shop.value("SELECT id FROM participants WHERE organization_id = %s AND external_id = 'starter'", shop.organization_id)
        )
    )


def test_everybody_gets_one_page_by_page(shop: Shop) -> None:
    people = enrol(shop, 34)
    automation = start_broadcast(shop, points=5)
    assert (runnable(shop), runnable(shop, only_pending=True)) == ([automation], [automation])
    begun = advance(shop, automation)
    assert (begun.stage, begun.total, begun.processed) == (Stage.EXECUTING, 35, 0)
    assert (runnable(shop), runnable(shop, only_pending=True)) == ([automation], [])
    pages = [advance(shop, automation) for _ in range(4)]
    assert [page.processed for page in pages] == [10, 20, 30, 35]
    assert [page.made.events for page in pages] == [10, 10, 10, 5]
    assert [page.stage for page in pages] == [Stage.EXECUTING] * 3 + [Stage.COMPLETED]
    assert made_by(shop, automation) == sorted([*people, starter(shop)])
    assert advance(shop, automation).stage is Stage.COMPLETED
    assert system_events(shop) == 35
    assert record(shop, automation, f"{WHERE}, status, processed_at = execution_completed_at") == (
        ("completed", 35, 35, "active", True)
    )
    assert (runnable(shop), left(shop)) == ([], 0)
    times = shop.fetch("SELECT DISTINCT event_timestamp FROM events WHERE automation_id = %s", automation)
    assert times == [record(shop, automation, "created_at")]
    shop.drain_all()
    done = "SELECT count(*) FROM event_outcomes WHERE organization_id = %s AND status = 'COMPLETED'"
    assert shop.value(done, shop.organization_id) == 36


def test_a_multiple_of_the_page_ends_without_an_empty_one(shop: Shop) -> None:
    enrol(shop, 19)
    automation = start_broadcast(shop)
    assert [advance(shop, automation).stage for _ in range(3)] == [Stage.EXECUTING, Stage.EXECUTING, Stage.COMPLETED]


def test_a_crash_between_pages_and_within_one(shop: Shop) -> None:
    people = enrol(shop, 25)
    automation = start_broadcast(shop)
    for step in range(4):
        with pytest.raises(ZeroDivisionError), shop.database.session() as session:
            fan_outs.advance(session, automation, LANES, PAGE)
            raise ZeroDivisionError
        assert len(made_by(shop, automation)) == max(0, step - 1) * PAGE
        advance(shop, automation)
    assert made_by(shop, automation) == sorted([*people, starter(shop)])


def test_many_workers_at_once(shop: Shop) -> None:
    people = enrol(shop, 1500)
    automation = start_broadcast(shop)
    made = together([lambda: fan_outs.finish(shop.database, automation, LANES).events] * 4)
    assert sum(made) == 1501
    assert made_by(shop, automation) == sorted([*people, starter(shop)])
    assert record(shop, automation, WHERE) == ("completed", 1501, 1501)


def test_who_comes_later_gets_none_and_who_leaves_later_gets_one(shop: Shop) -> None:
    people = enrol(shop, 15)
    automation = start_broadcast(shop)
    advance(shop, automation)
    late = enrol(shop, 3, "late")
    with shop.database.connection() as conn:
        conn.execute("UPDATE participants SET status = 'CLOSED' WHERE id = ANY(%s)", [people])
    fan_outs.finish(shop.database, automation, LANES)
    assert made_by(shop, automation) == sorted([*people, starter(shop)])
    assert not set(late) & set(made_by(shop, automation))


def test_nobody_to_reach(shop: Shop) -> None:
    automation = start_broadcast(shop)
    set_status(shop.database, "programs", shop.world.program_id, "ACTIVE")
    with shop.database.connection() as conn:
        conn.execute("UPDATE enrollments SET status = 'CLOSED' WHERE program_id = %s", [shop.world.program_id])
    assert advance(shop, automation).stage is Stage.COMPLETED
    assert record(shop, automation, WHERE) == ("completed", 0, 0)


class TestStopping:
    def test_cancelled_in_between(self, shop: Shop) -> None:
        enrol(shop, 30)
        automation = start_broadcast(shop)
        for _ in range(2):
            advance(shop, automation)
        stopped = cancel(shop, automation)
        assert (stopped.stage, stopped.error, stopped.processed) == (Stage.FAILED, "cancelled", 10)
        again = advance(shop, automation)
        assert (again.stage, again.error, again.made.events) == (Stage.FAILED, "cancelled", 0)
        assert cancel(shop, automation).stage is Stage.FAILED
        assert record(shop, automation, f"{WHERE}, execution_error, last_error, status") == (
            ("failed", 31, 10, "cancelled", None, "active")
        )
        assert (len(made_by(shop, automation)), left(shop), runnable(shop)) == (10, 0, [])

    def test_before_it_began_it_is_archived(self, shop: Shop) -> None:
        automation = start_broadcast(shop)
        assert cancel(shop, automation).stage is Stage.ARCHIVED
        assert record(shop, automation, "status, execution_status") == ("archived", "idle")
        assert advance(shop, automation).stage is Stage.ARCHIVED
        assert runnable(shop) == []

    def test_archived_in_between(self, shop: Shop) -> None:
        enrol(shop, 30)
        automation = start_broadcast(shop)
        for _ in range(2):
            advance(shop, automation)
        set_automation(shop, automation, "archived")
        assert runnable(shop) == [automation], "somebody has to end it"
        assert advance(shop, automation).error == "cancelled"
        assert (len(made_by(shop, automation)), runnable(shop)) == (10, [])

    def test_a_pause_stops_only_what_hasnt_begun(self, shop: Shop) -> None:
        enrol(shop, 12)
        automation = start_broadcast(shop)
        set_automation(shop, automation, "paused")
        assert (advance(shop, automation).stage, runnable(shop)) == (Stage.WAITING, [])
        set_automation(shop, automation, "active")
        advance(shop, automation)
        set_automation(shop, automation, "paused")
        assert runnable(shop) == [automation]
        fan_outs.finish(shop.database, automation, LANES)
        assert record(shop, automation, WHERE) == ("completed", 13, 13)

    def test_given_up(self, shop: Shop) -> None:
        enrol(shop, 12)
        automation = start_broadcast(shop)
        advance(shop, automation)
        transact(shop.database, lambda session: fan_outs.give_up(session, automation))
        [error] = record(shop, automation, "execution_error")
        assert error.startswith("internal_error: ")
        assert record(shop, automation, "execution_status, last_error, error_message") == ("failed", error, error)


@pytest.mark.parametrize("status", ["SUSPENDED", "ARCHIVED"])
class TestProgramThatIsntActive:
    def test_it_doesnt_begin(self, shop: Shop, status: str) -> None:
        automation = start_broadcast(shop)
        set_status(shop.database, "programs", shop.world.program_id, status)
        assert (advance(shop, automation).stage, runnable(shop)) == (Stage.WAITING, [])
        assert record(shop, automation, "execution_status") == ("pending",)
        set_status(shop.database, "programs", shop.world.program_id, "ACTIVE")
        assert runnable(shop) == [automation]

    def test_it_waits_in_between_and_goes_on(self, shop: Shop, status: str) -> None:
        enrol(shop, 24)
        automation = start_broadcast(shop)
        for _ in range(2):
            advance(shop, automation)
        set_status(shop.database, "programs", shop.world.program_id, status)
        waiting = advance(shop, automation)
        assert (waiting.stage, waiting.processed, waiting.made.events, runnable(shop)) == (Stage.WAITING, 10, 0, [])
        set_status(shop.database, "programs", shop.world.program_id, "ACTIVE")
        assert runnable(shop) == [automation]
        assert fan_outs.finish(shop.database, automation, LANES).events == 15


def test_full_lanes_let_it_wait(shop: Shop) -> None:
    enrol(shop, 24)
    automation = start_broadcast(shop)
    advance(shop, automation)
    waiting = transact(shop.database, lambda session: fan_outs.advance(session, automation, LANES, has_room=False))
    assert waiting is not None
    assert (waiting.stage, waiting.made.events) == (Stage.EXECUTING, 0)


class TestActivity:
    def step(self, shop: Shop, automation: UUID, *, has_waited: bool = False) -> RunReport:
        run = RunInput(
            automation_id=automation,
            organization_id=shop.organization_id,
            program_id=shop.world.program_id,
            has_waited=has_waited,
        )
        # nothing is woken: there are no events to wake for
        work = FanOutActivities(shop.database, cast("Any", None), LANES)
        return asyncio.run(ActivityEnvironment().run(work.run_fan_out, run))

    def test_it_leaves_room_in_the_lanes(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(activities, "LANES_ARE_FULL", 20)
        monkeypatch.setattr(activities, "FAN_OUT_SECONDS", 0.2)
        enrol(shop, 24)
        automation = start_broadcast(shop)
        for number in range(20):
            shop.send(f"other-{number}")
        report = self.step(shop, automation)
        assert (report.state, report.total, report.events, report.pages) == (RunState.EXECUTING, 45, 0, 0)
        assert (self.step(shop, automation).events, made_by(shop, automation)) == (0, [])
        shop.drain_all()
        assert advance(shop, automation).made.events == PAGE

    def test_after_some_failures_it_is_given_up(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        enrol(shop, 24)
        automation = start_broadcast(shop)
        advance(shop, automation)

        def broken(*_: Any) -> Any:
            raise ZeroDivisionError

        monkeypatch.setattr(fan_outs, "make_events", broken)
        with pytest.raises(ZeroDivisionError):
            self.step(shop, automation)
        monkeypatch.setattr(activities, "MOST_FAILURES", 1)
        report = self.step(shop, automation)
        assert (report.state, report.processed) == (RunState.FAILED, 0)
        assert report.error is not None
        assert report.error.startswith("internal_error: ")

    def test_a_long_step_is_heard_of(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(activities, "BEAT_SECONDS", 0.02)
        automation = start_broadcast(shop)
        beats: list[tuple[Any, ...]] = []
        enough = threading.Event()

        def slow(*arguments: Any, **options: Any) -> Progress | None:
            assert enough.wait(10), "nobody beats"
            return real(*arguments, **options)

        def note(*details: Any) -> None:
            beats.append(details)
            if len(beats) == 3:
                enough.set()

        real = fan_outs.advance
        monkeypatch.setattr(fan_outs, "advance", slow)
        environment = ActivityEnvironment()
        environment.on_heartbeat = note
        environment.info = dataclasses.replace(environment.info, heartbeat_details=[4])
        run = RunInput(automation_id=automation, organization_id=shop.organization_id, program_id=shop.world.program_id)
        work = FanOutActivities(shop.database, cast("Any", None), LANES)
        monkeypatch.setattr(activities, "FAN_OUT_SECONDS", 0.0)
        assert asyncio.run(environment.run(work.run_fan_out, run)).state is RunState.EXECUTING
        assert set(beats) == {(4,)}, "how often it has failed isn't forgotten"
