"""Lanes on a real database: exactly once, order, poison events, locks, wallets and hot rows under concurrency."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
import structlog

from activities import lanes as activity
from db.repositories import event_queue as queue
from db.session import Database
from domain.processing.process import Outcome
from domain.processing.process import process as real_process
from domain.processing.world import Event
from services import batch_work, processing
from services.processing import Batch, process_batch
from tests.services.lane_world import LANES, Shop, make_shop, names_in_lane, together
from tests.support.books import assert_books


@pytest.fixture
def shop(lane_database: Database) -> Shop:
    return make_shop(lane_database)


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    """What is logged meanwhile."""
    with structlog.testing.capture_logs() as captured:
        yield captured


Poison = Callable[[Callable[[Event], bool]], None]


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Poison:
    """Make processing break, in a way nobody foresaw, for the events that a test chooses."""

    def choose(is_poisonous: Callable[[Event], bool]) -> None:
        def breaking(event: Event, *rest: Any) -> Outcome:
            if is_poisonous(event):
                raise ZeroDivisionError("nobody foresaw this")
            return real_process(event, *rest)

        monkeypatch.setattr(batch_work, "process", breaking)

    return choose


def counting(shop: Shop) -> None:
    """Each event credits one point and counts."""
    shop.rule(shop.world.credit(amount="1"), {"type": "COUNTER", "key": "n", "value": "1"})


def due_now(shop: Shop) -> None:
    """Let the time pass that events wait for another attempt."""
    shop.fetch("UPDATE event_queue SET not_before = clock_timestamp() - interval '1 ms' WHERE not_before IS NOT NULL RETURNING 1")


class TestExactlyOnce:
    def test_a_second_run_finds_nothing(self, shop: Shop) -> None:
        counting(shop)
        lane = shop.send().lane
        assert lane is not None
        found = []
        for _ in range(3):
            with shop.database.connection() as conn:
                found.append(process_batch(conn, lane))
        assert [batch.events for batch in found] == [1, 0, 0]
        assert found[1] == Batch()
        assert shop.balance("ann", shop.world.pts) == 1

    def test_a_crash_before_the_commit_leaves_nothing(self, shop: Shop) -> None:
        counting(shop)
        event, lane = shop.send().event, shop.send().lane
        assert lane is not None
        with pytest.raises(KeyboardInterrupt), shop.database.connection() as conn:
            assert process_batch(conn, lane).events == 2
            raise KeyboardInterrupt
        assert shop.status(event.id) == "RECEIVED"
        assert shop.balance("ann", shop.world.pts) == 0
        shop.drain(lane)
        assert shop.balance("ann", shop.world.pts) == 2
        assert_books(shop.database, shop.organization_id)

    def test_a_crash_after_the_commit_does_nothing_twice(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        counting(shop)
        lane = shop.send().lane
        assert lane is not None

        def crash(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(activity, "_note", crash)
        with pytest.raises(KeyboardInterrupt):
            shop.drain(lane)
        monkeypatch.undo()
        assert shop.drain(lane).events == 0
        assert shop.balance("ann", shop.world.pts) == 1

    def test_two_drains_of_one_lane_at_once(self, shop: Shop) -> None:
        counting(shop)
        names = names_in_lane(shop, 3, 40)
        reports = together([lambda: shop.drain(3)] * 4)
        while shop.drain(3).backlog:
            pass
        assert {shop.balance(name, shop.world.pts) for name in names} == {Decimal(1)}
        assert sum(report.events for report in reports) >= 1
        assert_books(shop.database, shop.organization_id)

    def test_a_lane_in_use_is_reported_busy(self, shop: Shop) -> None:
        lane = shop.send().lane
        assert lane is not None
        with shop.database.connection() as conn:
            assert queue.lock_lane(conn, lane)
            report = shop.drain(lane)
        assert (report.busy, report.events, report.backlog) == (True, 0, 1)
        assert shop.drain(lane).events == 1


class TestOrder:
    def test_each_sees_what_its_predecessors_did(self, shop: Shop) -> None:
        shop.rule({"type": "SET_ATTRIBUTE", "key": "last", "value_expression": "string(event.n)"})
        shop.rule(
            shop.world.credit(amount='get(participant.counters, "n", 0) + 1'), {"type": "COUNTER", "key": "n", "value": "1"}
        )
        group = [shop.submission(name, {"n": n}) for n in range(30) for name in ("ann", "bob", "cid")]
        shop.submit(group)
        shop.drain_all()
        for name in ("ann", "bob", "cid"):
            assert shop.balance(name, shop.world.pts) == sum(range(1, 31))
            states = shop.fetch(
                """
                SELECT h.attributes, h.counters FROM holders h JOIN participants p USING (id)
                WHERE p.organization_id = %s AND p.external_id = %s
                """,
                shop.organization_id,
                name,
            )
            assert states == [({"last": "29"}, {"n": "30"})]

    def test_times_rise_from_event_to_event(self, shop: Shop) -> None:
        shop.submit([shop.submission() for _ in range(20)])
        shop.drain_all()
        times = shop.fetch(
            "SELECT processed_at FROM event_outcomes WHERE organization_id = %s ORDER BY created_at", shop.organization_id
        )
        assert len(times) == len(set(times)) == 20
        assert times == sorted(times)

    def test_rules_are_read_once_per_batch(self, shop: Shop) -> None:
        first = shop.send().event
        shop.drain_all()
        counting(shop)
        second = shop.send().event
        shop.drain_all()
        sets = [shop.value("SELECT rule_set_id FROM event_outcomes WHERE event_id = %s", e.id) for e in (first, second)]
        assert sets[0] is None
        assert sets[1] is not None
        assert shop.balance("ann", shop.world.pts) == 1

    def test_a_full_time_box_leaves_the_rest_for_the_next_batch(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        counting(shop)
        monkeypatch.setattr(batch_work, "BOX_SECONDS", 0.0)
        lane = [shop.send() for _ in range(3)][0].lane
        assert lane is not None
        with shop.database.connection() as conn:
            batch = process_batch(conn, lane)
        assert (batch.taken, batch.events) == (3, 1)
        assert shop.value("SELECT count(*) FROM event_queue WHERE lane = %s", lane) == 2
        assert shop.drain(lane).events == 2
        assert shop.balance("ann", shop.world.pts) == 3


class TestPoison:
    def test_it_stands_alone_and_the_others_go_on(self, shop: Shop, poison: Poison) -> None:
        counting(shop)
        names = names_in_lane(shop, 2, 30)
        culprit = shop.value("SELECT event_id FROM event_queue WHERE lane = 2 ORDER BY queue_seq OFFSET 12 LIMIT 1")
        poison(lambda event: event.id == culprit)
        reports = shop.drain_all()
        assert shop.status(culprit) == "PENDING"
        balances = [shop.balance(name, shop.world.pts) for name in names]
        assert balances.count(Decimal(1)) == 29
        assert shop.fetch("SELECT attempts, lane FROM event_queue WHERE lane = 2") == [(1, 2)]
        waiting = [report for report in reports if report.backlog][-1]
        assert waiting.retry_in_seconds is not None
        assert 1 < waiting.retry_in_seconds <= 2

    def test_an_attempt_is_no_processed_event(self, shop: Shop, poison: Poison) -> None:
        lane = shop.send().lane
        assert lane is not None
        poison(lambda event: True)
        report = shop.drain(lane)
        assert (report.events, report.failed, report.backlog) == (0, 0, 1)

    def test_attempts_back_off_and_end_in_a_failure(self, shop: Shop, poison: Poison) -> None:
        counting(shop)
        accepted = shop.send()
        assert accepted.lane is not None
        poison(lambda event: True)
        waits = []
        for _ in range(5):
            report = shop.drain(accepted.lane)
            assert shop.status(accepted.event.id) == "PENDING"
            waits.append(report.retry_in_seconds or 0)
            assert shop.drain(accepted.lane).events == 0
            due_now(shop)
        assert [round(wait) for wait in waits] == [2, 4, 8, 16, 32]
        report = shop.drain(accepted.lane)
        assert (report.events, report.failed, report.backlog) == (1, 1, 0)
        assert shop.fetch(
            "SELECT status, error_code, error_message FROM event_outcomes WHERE event_id = %s", accepted.event.id
        ) == [("FAILED", "internal_error", "internal_error: the event could not be processed")]
        assert shop.balance("ann", shop.world.pts) == 0

    def test_real_time_passes_between_attempts(
        self, shop: Shop, poison: Poison, monkeypatch: pytest.MonkeyPatch, logs: list[Any]
    ) -> None:
        monkeypatch.setattr(processing, "RETRY_SECONDS", (0.05,) * 5)
        accepted = shop.send()
        assert accepted.lane is not None
        poison(lambda event: True)
        while shop.drain(accepted.lane).backlog:
            pass
        assert [log["event"] for log in logs].count("event_attempt_failed") == 6
        assert shop.status(accepted.event.id) == "FAILED"

    def test_a_recovered_event_completes(self, shop: Shop, poison: Poison) -> None:
        counting(shop)
        accepted = shop.send()
        assert accepted.lane is not None
        sick = [True]
        poison(lambda event: sick[0])
        shop.drain_out(accepted.lane)
        sick[0] = False
        due_now(shop)
        shop.drain_out(accepted.lane)
        assert shop.status(accepted.event.id) == "COMPLETED"
        assert shop.balance("ann", shop.world.pts) == 1

    def test_later_events_of_the_same_participant_wait_and_others_do_not(self, shop: Shop, poison: Poison) -> None:
        shop.rule({"type": "SET_ATTRIBUTE", "key": "last", "value_expression": "string(event.n)"})
        ann, other = names_in_lane(shop, 5, 2)
        shop.drain_out(5)
        first, later = shop.send(ann, {"n": 1}), shop.send(ann, {"n": 2})
        someone = shop.send(other, {"n": 3})
        sick = [True]
        poison(lambda event: event.id == first.event.id and sick[0])
        shop.drain_out(5)
        assert [shop.status(e.event.id) for e in (first, later, someone)] == ["PENDING", "RECEIVED", "COMPLETED"]
        also = shop.send(ann, {"n": 4})
        shop.drain_out(5)
        assert shop.status(also.event.id) == "RECEIVED"
        sick[0] = False
        due_now(shop)
        shop.drain_out(5)
        assert {shop.status(e.event.id) for e in (first, later, also)} == {"COMPLETED"}
        order = shop.fetch(
            "SELECT event_id FROM event_outcomes WHERE participant_id = %s ORDER BY processed_at", first.event.participant_id
        )
        assert [row[0] for row in order][1:] == [first.event.id, later.event.id, also.event.id]

    def test_a_failed_event_holds_nobody_back(self, shop: Shop) -> None:
        shop.rule(shop.world.credit(amount="event.points"))
        results = [shop.send("ann", data) for data in ({}, {"points": 3})]
        shop.drain_all()
        assert [shop.status(result.event.id) for result in results] == ["FAILED", "COMPLETED"]
        assert shop.balance("ann", shop.world.pts) == 3

    def test_the_attempt_is_charged_to_the_culprit_only(
        self, shop: Shop, poison: Poison, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No other worker can take the lane between the failed attempt and its booking."""
        counting(shop)
        names_in_lane(shop, 6, 2)
        [culprit], [bystander] = shop.fetch("SELECT event_id FROM event_queue WHERE lane = 6 ORDER BY queue_seq")
        poison(lambda event: event.id == culprit)
        book = activity.give_up_or_postpone
        others: list[Batch] = []

        def meanwhile(*arguments: Any) -> Batch:
            with shop.database.connection() as conn:
                others.append(process_batch(conn, 6))
            return book(*arguments)

        monkeypatch.setattr(activity, "give_up_or_postpone", meanwhile)
        shop.drain_out(6)
        assert others == [Batch(busy=True)]
        assert [shop.status(id_) for id_ in (culprit, bystander)] == ["PENDING", "COMPLETED"]


class TestLocks:
    def test_lanes_that_credit_each_others_participants(self, shop: Shop, logs: list[Any]) -> None:
        """Targets are named by the evaluation, after the batch has locked its own participants: out of order."""
        target = {"type": "PARTICIPANT", "external_id": "event.to"}
        shop.rule(shop.world.credit(amount="1", target=target), {"type": "COUNTER", "key": "given", "value": "1"})
        names = [f"p-{number}" for number in range(24)]
        before = shop.deadlocks()
        for turn in range(6):
            shop.submit([shop.submission(name, {"to": names[(n + 5 * turn + 1) % 24]}) for n, name in enumerate(names)])
        shop.drain_at_once()
        assert {shop.balance(name, shop.world.pts) for name in names} == {Decimal(6)}
        assert_books(shop.database, shop.organization_id)
        assert shop.deadlocks() == before
        assert [log for log in logs if log["event"] in ("batch_conflict", "batch_failed", "event_attempt_failed")] == []

    def test_a_target_that_another_transaction_holds_is_waited_for_in_order(self, shop: Shop) -> None:
        shop.rule(shop.world.credit(amount="1", target={"type": "PARTICIPANT", "external_id": "bob"}))
        bob = shop.send("bob").event.participant_id
        shop.drain_all()
        lane = shop.send("ann").lane
        assert lane is not None
        with pytest.raises(processing.StartAgain) as late, shop.database.connection() as holder:
            holder.execute("SELECT 1 FROM holders WHERE id = %s FOR UPDATE", [bob])
            with shop.database.connection() as conn:
                process_batch(conn, lane)
        assert late.value.holders == {bob}
        shop.drain(lane)
        assert shop.balance("bob", shop.world.pts) == 2

    def test_a_target_of_another_organization_is_absent_and_never_locked(self, shop: Shop) -> None:
        stranger = make_shop(shop.database)
        foreign = stranger.send("zed").event.participant_id
        stranger.drain_all()
        shop.rule(shop.world.credit(amount="1", target={"type": "PARTICIPANT", "id": str(foreign)}))
        accepted = shop.send("ann")
        assert accepted.lane is not None
        with shop.database.connection() as holder:
            holder.execute("SELECT 1 FROM holders WHERE id = %s FOR UPDATE", [foreign])
            with shop.database.connection() as conn:
                assert process_batch(conn, accepted.lane).failed == 1
        assert shop.status(accepted.event.id) == "FAILED"
        code = shop.value("SELECT error_code FROM event_outcomes WHERE event_id = %s", accepted.event.id)
        assert code == "target_not_found"

    def test_a_programs_counter_under_all_lanes(self, shop: Shop, logs: list[Any]) -> None:
        shop.rule({"type": "COUNTER", "key": "n", "value": "1", "target": {"type": "PROGRAM"}})
        before = shop.deadlocks()
        shop.submit([shop.submission(f"p-{number % 40}") for number in range(240)])
        shop.drain_at_once()
        counters = shop.value("SELECT counters FROM program_states WHERE program_id = %s", shop.world.program_id)
        assert counters == {"n": "240"}
        assert shop.deadlocks() == before
        assert [log for log in logs if log["event"] == "batch_conflict"] == []

    def test_a_wallet_under_all_lanes_is_spent_to_the_last_unit(self, shop: Shop) -> None:
        shop.rule(shop.world.credit(amount="7"))
        shop.fund(shop.world.pts, 1000)
        before = shop.deadlocks()
        shop.submit([shop.submission(f"p-{number % 40}") for number in range(200)])
        shop.drain_at_once()
        outcomes = shop.fetch(
            """
            SELECT status, error_code, count(*) FROM event_outcomes WHERE organization_id = %s GROUP BY 1, 2 ORDER BY 1
            """,
            shop.organization_id,
        )
        assert outcomes == [("COMPLETED", None, 142), ("FAILED", "insufficient_wallet", 58)]
        assert shop.value("SELECT available FROM wallets WHERE program_id = %s", shop.world.program_id) == 1000 - 7 * 142
        assert_books(shop.database, shop.organization_id)
        assert shop.deadlocks() == before


class TestSweep:
    def test_it_finds_lanes_whose_events_could_have_been_processed(self, shop: Shop, poison: Poison) -> None:
        lane = shop.send().lane
        assert lane is not None
        with shop.database.connection() as conn:
            assert queue.waiting_lanes(conn, 60) == []
            assert queue.waiting_lanes(conn, 0) == [lane]
        poison(lambda event: True)
        shop.drain(lane)
        with shop.database.connection() as conn:
            assert queue.waiting_lanes(conn, 0) == []


def test_all_lanes_exist(shop: Shop) -> None:
    assert shop.fetch("SELECT lane FROM lanes ORDER BY lane") == [(lane,) for lane in range(LANES)]
