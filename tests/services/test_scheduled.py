"""Scheduled events on a real database: once each, whoever fires, in order, and never for those that have to wait."""

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import pytest
from sqlmodel import Session

from activities import automations as activities
from activities.automations import ScheduledActivities
from activities.clock import _Visit
from activities.lanes import LaneActivities
from activities.webhooks import FulfillmentSender
from db.repositories import automations as rows
from db.session import Database
from domain.lanes import lane_of
from runtime.embedded import EmbeddedPostgres
from runtime.settings import Settings
from services import fan_outs, scheduled
from services.transactions import transact
from tests.services.automation_world import (
    HOUR,
    broadcast,
    enrol,
    insert,
    made_by,
    now,
    pass_seconds,
    record,
    schedule,
    set_automation,
    start_broadcast,
    system_events,
)
from tests.services.lane_world import LANES, Shop, make_shop, together
from tests.services.rule_world import set_status
from tests.support.databases import make_database
from workflows.contracts import DrainInput, DueReport

BEFORE = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def own(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A database whose clock this module moves."""
    with closing(Database(make_database(postgres.dsn, "scheduled"), pool_size=16)) as database:
        yield database


@pytest.fixture
def shop(own: Database) -> Shop:
    with own.connection() as conn:
        conn.execute("DELETE FROM automations")
    return make_shop(own)


def fire(shop: Shop, limit: int = 100) -> int:
    return transact(shop.database, lambda session: scheduled.fire_due(session, limit, LANES)).events


class TestFiring:
    def test_nothing_before_its_moment_and_once_after_it(self, shop: Shop) -> None:
        shop.rule(schedule("1h"), condition='event.type == "order"')
        for name in ("ann", "bob"):
            shop.send(name, {"type": "order"})
        shop.drain_all()
        assert fire(shop) == 0
        pass_seconds(shop.database, 3601)
        assert [fire(shop) for _ in range(3)] == [2, 0, 0]
        assert system_events(shop) == 2
        shop.drain_all()
        done = "SELECT count(*) FROM event_outcomes WHERE organization_id = %s AND status = 'COMPLETED'"
        assert shop.value(done, shop.organization_id) == 4

    def test_many_workers_fire_each_once(self, shop: Shop) -> None:
        people = enrol(shop, 60)
        made = [insert(shop, now(shop), person) for person in people]
        counts = together([lambda: fire(shop, 50)] * 6)
        while more := fire(shop):
            counts.append(more)
        assert sum(counts) == 60
        assert [made_by(shop, id_) for id_ in made] == [[person] for person in people]

    def test_a_crash_before_the_commit_leaves_everything_to_do(self, shop: Shop) -> None:
        [person] = enrol(shop, 1)
        automation = insert(shop, now(shop), person)
        with pytest.raises(ZeroDivisionError), shop.database.session() as session:
            assert scheduled.fire_due(session, 10, LANES).events == 1
            raise ZeroDivisionError
        assert made_by(shop, automation) == []
        assert fire(shop) == 1
        assert made_by(shop, automation) == [person]

    def test_a_mark_that_was_lost_makes_no_second_event(self, shop: Shop) -> None:
        """The event's identity holds by itself."""
        [person] = enrol(shop, 1)
        automation = insert(shop, now(shop), person)
        assert fire(shop) == 1
        with shop.database.connection() as conn:
            conn.execute("UPDATE automations SET processed_at = NULL WHERE id = %s", [automation])
        assert fire(shop) == 0
        assert made_by(shop, automation) == [person]
        assert record(shop, automation, "processed_at IS NOT NULL") == (True,)

    @pytest.mark.parametrize("status", ["paused", "archived"])
    def test_what_isnt_active_doesnt_fire(self, shop: Shop, status: str) -> None:
        automation = insert(shop, now(shop))
        set_automation(shop, automation, status)
        assert fire(shop) == 0
        set_automation(shop, automation, "active")
        assert fire(shop) == 1

    @pytest.mark.parametrize("status", ["SUSPENDED", "ARCHIVED"])
    def test_a_program_that_isnt_active_keeps_it(self, shop: Shop, status: str) -> None:
        automation = insert(shop, now(shop))
        set_status(shop.database, "programs", shop.world.program_id, status)
        assert fire(shop) == 0
        with shop.database.connection() as conn:
            assert scheduled.next_scheduled_moment(conn, BEFORE) is None, "it must not be waited for"
        set_status(shop.database, "programs", shop.world.program_id, "ACTIVE")
        assert fire(shop) == 1
        assert made_by(shop, automation) == [None]

    def test_the_event_carries_the_payload_and_its_own_type(self, shop: Shop) -> None:
        automation = insert(shop, now(shop), type="mine", x=1)
        fire(shop)
        query = "SELECT event_data, idempotency_key, chain_depth, caused_by_event_id FROM events WHERE automation_id = %s"
        [(data, key, depth, cause)] = shop.fetch(query, automation)
        assert (data, depth, cause) == ({"type": "tick", "x": 1}, 0, None)
        assert key.startswith(f"sys:{automation}:20")
        assert key.endswith("Z:program")


class TestProgramEvents:
    """Events without participant."""

    def test_they_are_processed_in_order(self, shop: Shop) -> None:
        shop.rule(
            {"type": "SET_ATTRIBUTE", "key": "last", "value_expression": "event.n", "target": {"type": "PROGRAM"}},
            {"type": "COUNTER", "key": "ticks", "value": "1", "target": {"type": "PROGRAM"}},
        )
        begin = now(shop)
        for number in range(20):
            insert(shop, begin - HOUR + number * HOUR / 60, n=number)
        fire(shop)
        lanes = {row[0] for row in shop.fetch("SELECT lane FROM event_queue")}
        assert lanes == {lane_of(shop.world.program_id, LANES)}
        shop.drain_all()
        state = "SELECT attributes ->> 'last', counters ->> 'ticks' FROM program_states WHERE program_id = %s"
        assert shop.fetch(state, shop.world.program_id) == [("19", "20")]
        values = "SELECT new_value FROM state_history WHERE program_id = %s AND key = 'last' ORDER BY changed_at"
        assert [row[0] for row in shop.fetch(values, shop.world.program_id)] == [str(number) for number in range(20)]

    def test_actions_on_the_events_participant_fail_it(self, shop: Shop) -> None:
        shop.rule(shop.world.credit(), condition="event.n == 1")
        shop.rule(schedule(), condition="event.n == 2")
        shop.rule({"type": "TAG", "tag": "seen"}, condition="participant == null && event.n == 3")
        automations = [insert(shop, now(shop), n=number) for number in (1, 2, 3)]
        fire(shop)
        shop.drain_all()
        for automation in automations:
            [(code,)] = shop.fetch(
                "SELECT o.error_code FROM event_outcomes o JOIN events e ON e.id = o.event_id WHERE automation_id = %s",
                automation,
            )
            assert code == "target_required"

    def test_they_may_schedule_for_others_and_broadcast(self, shop: Shop) -> None:
        [person] = enrol(shop, 1)
        shop.rule(
            schedule("1s", target={"type": "PARTICIPANT", "participant_id": str(person)}),
            broadcast("all"),
            condition='event.type == "tick"',
        )
        insert(shop, now(shop))
        fire(shop)
        shop.drain_all()
        pass_seconds(shop.database, 2)
        assert scheduled.do_what_is_due(shop.database, LANES).events == 2
        made = "SELECT participant_id, event_data ->> 'type', chain_depth FROM events WHERE chain_depth > 0 AND program_id = %s"
        assert sorted(shop.fetch(made, shop.world.program_id)) == [(person, "all", 1), (person, "check", 1)]


class TestMoments:
    def test_the_next_one_and_their_number(self, shop: Shop) -> None:
        begin = now(shop)
        for hours in (3, 1, 2, 2, 1):
            insert(shop, begin + hours * HOUR)
        paused = insert(shop, begin)
        set_automation(shop, paused, "paused")
        with shop.database.connection() as conn:
            assert scheduled.next_scheduled_moment(conn, BEFORE) == begin + HOUR
            assert scheduled.next_scheduled_moment(conn, begin + HOUR) == begin + 2 * HOUR
            assert scheduled.next_scheduled_moment(conn, begin + 3 * HOUR) is None
            count = scheduled.count_scheduled_moments
            assert [count(conn, begin + hours * HOUR, 100) for hours in (0, 1, 2.5, 3)] == [0, 1, 2, 3]
            assert count(conn, begin + 3 * HOUR, 2) == 2

    def test_everything_due_is_done(self, shop: Shop) -> None:
        for person in enrol(shop, 450):
            insert(shop, now(shop), person)
        later = insert(shop, now(shop) + HOUR)
        made = scheduled.do_what_is_due(shop.database, LANES)
        assert made.events == 450
        assert made.lanes == set(range(LANES))
        assert scheduled.do_what_is_due(shop.database, LANES).events == 0
        assert made_by(shop, later) == []

    def test_what_somebody_else_is_firing_is_waited_for(self, shop: Shop) -> None:
        automation = insert(shop, now(shop))
        made: list[int] = []

        def work() -> None:
            scheduled.do_what_is_due(shop.database, LANES)
            made.append(system_events(shop))

        with shop.database.session() as session:
            assert scheduled.fire_due(session, 100, LANES).events == 1
            other = threading.Thread(target=work)
            other.start()
            other.join(0.3)
            assert other.is_alive(), "the event isn't there yet"
        other.join(10)
        assert (made, made_by(shop, automation)) == ([1], [None])

    def test_fan_outs_that_reach_nobody_dont_end_it(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(scheduled, "PAGE_AUTOMATIONS", 1)
        shop.rule(broadcast("all"), condition='event.type == "start"')
        for _ in range(3):
            shop.send("starter", {"type": "start"})
        shop.drain_all()
        with shop.database.connection() as conn:
            conn.execute("UPDATE enrollments SET status = 'CLOSED' WHERE program_id = %s", [shop.world.program_id])
        assert scheduled.do_what_is_due(shop.database, LANES).events == 0
        ended = "SELECT count(*) FROM automations WHERE program_id = %s AND execution_status = 'completed'"
        assert shop.value(ended, shop.world.program_id) == 3


class TestVisit:
    """What the test clock does at a moment."""

    def test_it_stops_in_time_and_goes_on(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fan_outs.advance, "__defaults__", (10,))
        enrol(shop, 25)
        start_broadcast(shop)
        beats: list[int] = []

        def visit(deadline: float) -> bool:
            visit = _Visit(
                shop.database,
                LANES,
                FulfillmentSender(shop.database, Settings()),
                deadline,
                lambda: beats.append(system_events(shop)),
            )
            return visit.finish(now(shop))

        assert not visit(deadline=0.0)
        assert beats == [0], "it has listed them"
        assert not visit(deadline=0.0)
        assert beats == [0, 10]
        assert visit(deadline=float("inf"))
        assert system_events(shop) == 26
        assert shop.value("SELECT count(*) FROM event_queue") == 0


class TestActivity:
    def work(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> tuple[ScheduledActivities, DueReport, set[UUID]]:
        monkeypatch.setattr(activities, "PAGE_AUTOMATIONS", 4)
        return ScheduledActivities(shop.database, cast("Any", None), LANES), DueReport(), set()

    def test_pages_take_everybody(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        work, report, failed = self.work(shop, monkeypatch)
        for person in enrol(shop, 11):
            insert(shop, now(shop), person)
        while work._fire_page(report, failed) is not None:
            pass
        assert (report.events, report.pages, failed) == (11, 3, set())

    def test_one_culprit_stops_nobody(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        work, report, failed = self.work(shop, monkeypatch)
        made = [insert(shop, now(shop), person) for person in enrol(shop, 5)]
        real = scheduled.fire

        def broken(session: Session, ids: list[UUID], lanes: int) -> Any:
            if made[2] in ids:
                raise ArithmeticError
            return real(session, ids, lanes)

        monkeypatch.setattr(scheduled, "fire", broken)
        while work._fire_page(report, failed) is not None:
            pass
        assert (report.events, failed) == (4, {made[2]})
        done = work._finish(report, failed)
        assert (done.failed, done.next_in_seconds) == (1, None), "the culprit must not be waited for"
        monkeypatch.undo()
        assert fire(shop) == 1


class TestWaking:
    @pytest.mark.parametrize(
        ("actions", "wakes"),
        [([schedule("60s")], 1), ([schedule("61s")], 0), ([schedule("61s"), broadcast()], 1), ([], 0)],
    )
    def test_the_due_work_hears_of_the_next_minute(self, shop: Shop, actions: list[dict[str, Any]], wakes: int) -> None:
        """Once for all events of a batch, after its commit."""
        committed: list[int] = []
        shop.rule(*actions, {"type": "TAG", "tag": "seen"})
        for _ in range(5):
            shop.send("ann")
        lane = shop.value("SELECT lane FROM event_queue LIMIT 1")
        work = LaneActivities(shop.database, lambda: committed.append(shop.value("SELECT count(*) FROM automations")))
        assert work.drain_lane(DrainInput(lane=lane)).events == 5
        assert committed == [5 * len(actions)] * wakes

    def test_not_of_an_event_that_failed(self, shop: Shop) -> None:
        woken: list[None] = []
        shop.rule(schedule("1s"), {"type": "DEBIT", "asset_id": str(shop.world.pts), "amount": "5"})
        shop.send("ann")
        work = LaneActivities(shop.database, lambda: woken.append(None))
        assert sum(work.drain_lane(DrainInput(lane=lane)).failed for lane in range(LANES)) == 1
        assert woken == []


class TestPlans:
    """With many automations that have fired, or are to fire some day, only the due ones are looked at."""

    def test_the_indexes_are_used(self, shop: Shop) -> None:
        plans: list[str] = []

        class Spy:
            def execute(self, statement: str, parameters: object = None) -> object:
                with shop.database.connection() as conn:
                    conn.execute(
                        """
                        INSERT INTO automations (id, organization_id, program_id, name, trigger_type, scope, source, event_name,
                                                 trigger_at, processed_at, created_at, updated_at)
                        SELECT gen_random_uuid(), %(o)s, %(p)s, n::text, 'one_time', 'program', 'api', 'tick',
                               openscrip_now() + make_interval(days => n %% 9), CASE WHEN n %% 2 = 0 THEN openscrip_now() END,
                               openscrip_now(), openscrip_now()
                        FROM generate_series(1, 20000) AS n
                        """,
                        {"o": shop.organization_id, "p": shop.world.program_id},
                    )
                    conn.execute("ANALYZE automations")
                    plan = conn.execute(f"EXPLAIN {statement}", parameters).fetchall()
                    plans.append("\n".join(row[0] for row in plan))
                    conn.rollback()
                    return conn.execute("SELECT NULL WHERE false")

        spy = cast("Any", Spy())
        rows.due_now(spy, 50, [])
        rows.seconds_until_scheduled(spy, [])
        rows.next_scheduled_moment(spy, BEFORE)
        assert len(plans) == 3
        for plan in plans:
            assert "automations_due" in plan, plan
