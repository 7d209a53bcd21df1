"""Budgets in the database: exact with all lanes at once, across resets and changes, and cheap where there are none."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
import structlog

from db.repositories import budgets as budget_rows
from db.session import Connection, Database
from domain.errors import InvalidScale, NotFound, RuleArchived
from domain.processing.spending import Budgets
from domain.rules.budgets import LiveBudget
from domain.rules.rule import Rule, RuleStatus
from runtime.ids import new_id
from services import batch_work, rule_sets
from services.budgets import reset_budget
from services.processing import StartAgain, process_batch
from services.rules import NewRule, create_rule, get_rule, update_rule
from tests.services.lane_world import Shop, make_shop, together
from tests.support.books import assert_books, broken_invariants

NEVER_ABOVE = """
    SELECT max(issued) FROM (
        SELECT sum(g.amount) AS issued FROM journal_entries e JOIN postings g ON g.entry_id = e.id AND g.amount > 0
        JOIN budget_periods p ON p.rule_id = e.rule_id AND p.asset_id = g.asset_id AND p.started_at = (
            SELECT max(started_at) FROM budget_periods q WHERE q.rule_id = e.rule_id AND q.started_at <= e.created_at)
        WHERE e.rule_id = %s GROUP BY p.started_at) AS periods
"""


@pytest.fixture
def shop(lane_database: Database) -> Shop:
    return make_shop(lane_database)


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    """What is logged meanwhile."""
    with structlog.testing.capture_logs() as captured:
        yield captured


class Desk:
    """A rule with budgets, and calls on it, each in a transaction of its own."""

    def __init__(self, shop: Shop, amount: str, *budgets: dict[str, Any]) -> None:
        self.shop = shop
        new = NewRule(shop.world.program_id, "Rule", "true", [shop.world.credit(amount=amount)], budgets=list(budgets))
        with shop.database.session() as session:
            self.rule_id = create_rule(session, shop.organization_id, new).id

    def update(self, **changes: Any) -> Rule:
        with self.shop.database.session() as session:
            return update_rule(session, self.shop.organization_id, self.rule_id, changes)

    def reset(self) -> LiveBudget:
        with self.shop.database.session() as session:
            return reset_budget(session, self.shop.organization_id, self.rule_id, self.shop.world.pts)

    def live(self) -> LiveBudget:
        return self.live_budgets()[0]

    def live_budgets(self) -> tuple[LiveBudget, ...]:
        with self.shop.database.session() as session:
            return get_rule(session, self.shop.organization_id, self.rule_id).budgets

    def periods(self) -> list[str]:
        rows = self.shop.fetch("SELECT cause FROM budget_periods WHERE rule_id = %s ORDER BY started_at", self.rule_id)
        return [row[0] for row in rows]

    def move_reset(self, to: timedelta) -> None:
        """Let the stored period end this long from now."""
        with self.shop.database.connection() as conn:
            conn.execute(
                "UPDATE rule_budgets SET next_reset_at = openscrip_now() + %s, version = version + 1 WHERE rule_id = %s",
                [to, self.rule_id],
            )

    def evaluations(self) -> dict[str, int]:
        """How many events ended as what."""
        rows = self.shop.fetch(
            """
            SELECT CASE WHEN evaluations::text LIKE '%%BUDGET_EXCEEDED%%' THEN 'suppressed' ELSE status END, count(*)
            FROM event_outcomes WHERE organization_id = %s GROUP BY 1
            """,
            self.shop.organization_id,
        )
        return dict(rows)


def points(shop: Shop, limit: str, **fields: Any) -> dict[str, Any]:
    return {"asset_id": str(shop.world.pts), "limit": limit, **fields}


def minutely(shop: Shop, limit: str) -> dict[str, Any]:
    return points(shop, limit, schedule_type="INTERVAL", interval="1m")


def crowd(shop: Shop, events: int, participants: int = 60) -> None:
    """Events of many participants, in all lanes."""
    shop.submit([shop.submission(f"p-{number % participants}") for number in range(events)])


class TestConcurrency:
    def test_all_lanes_spend_a_budget_to_its_limit(self, shop: Shop, logs: list[Any]) -> None:
        desk = Desk(shop, "7", points(shop, "1000"))
        before = shop.deadlocks()
        for _ in range(3):
            crowd(shop, 100)
            shop.drain_at_once()
        assert desk.evaluations() == {"COMPLETED": 142, "suppressed": 158}
        assert desk.live().consumed == 7 * 142
        assert_books(shop.database, shop.organization_id)
        assert shop.deadlocks() == before
        assert [log for log in logs if log["event"] in ("batch_conflict", "batch_failed", "event_attempt_failed")] == []

    def test_many_budgets_wallets_and_state_under_all_lanes(self, shop: Shop, logs: list[Any]) -> None:
        """Every kind of hot row at once, several of each, is locked in one order."""
        shop.fund(shop.world.pts, 10_000)
        desks = [Desk(shop, "3", points(shop, "300")) for _ in range(5)]
        shop.rule({"type": "COUNTER", "key": "n", "value": "1", "target": {"type": "PROGRAM"}})
        before = shop.deadlocks()
        crowd(shop, 240)
        shop.drain_at_once()
        assert [desk.live().consumed for desk in desks] == [300] * 5
        assert shop.value("SELECT counters FROM program_states WHERE program_id = %s", shop.world.program_id) == {"n": "240"}
        assert_books(shop.database, shop.organization_id)
        assert shop.deadlocks() == before
        assert [log for log in logs if log["event"] == "batch_conflict"] == []

    def test_resets_and_changes_meanwhile(self, shop: Shop) -> None:
        """Whatever happens to it meanwhile, no period issues more than the limit, and what is consumed follows."""
        desk = Desk(shop, "7", minutely(shop, "200"))
        done = threading.Event()

        def disturb() -> None:
            turn = 0
            while not done.is_set():
                changes: list[Callable[[], object]] = [
                    desk.reset,
                    lambda: desk.update(budgets=[points(shop, "200")]),
                    lambda: desk.update(budgets=[minutely(shop, "200")]),
                    lambda: desk.move_reset(timedelta(milliseconds=1)),
                ]
                changes[turn % 4]()
                turn += 1
                time.sleep(0.005)

        noise = threading.Thread(target=disturb)
        noise.start()
        try:
            for _ in range(3):
                crowd(shop, 200)
                shop.drain_at_once()
        finally:
            done.set()
            noise.join()
        # whether an event met the end of a period before the next change is chance: one does for certain
        desk.update(budgets=[minutely(shop, "200")])
        desk.move_reset(timedelta(milliseconds=1))
        time.sleep(0.005)
        crowd(shop, 1)
        shop.drain_at_once()
        assert desk.evaluations().keys() <= {"COMPLETED", "suppressed"}
        assert shop.value(NEVER_ABOVE, desk.rule_id) <= 200
        assert set(desk.periods()) == {"CREATED", "SCHEDULE", "RESET", "REPLACED"}
        assert_books(shop.database, shop.organization_id)

    def test_removed_meanwhile_it_limits_no_longer(self, shop: Shop) -> None:
        desk = Desk(shop, "7", points(shop, "7"))
        lane = shop.send().lane
        assert lane is not None
        with shop.database.connection() as conn, pytest.raises(StartAgain), conn.transaction():
            spend = budget_rows.spend

            def removed_first(*arguments: Any) -> bool:
                desk.update(budgets=[])
                return spend(*arguments)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(budget_rows, "spend", removed_first)
                process_batch(conn, lane)
        shop.send()
        shop.drain(lane)
        assert shop.balance("ann", shop.world.pts) == 14

    def test_removed_between_the_rules_and_the_budgets(self, shop: Shop) -> None:
        """The rule that had the limit never runs without it."""
        desk = Desk(shop, "60", points(shop, "7"))
        lane = shop.send().lane
        assert lane is not None
        load = rule_sets.load_rule_sets

        def changed_after(*arguments: Any) -> Any:
            found = load(*arguments)
            if desk.live_budgets():
                desk.update(budgets=[], actions=[shop.world.credit(amount="1")])
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(batch_work, "load_rule_sets", changed_after)
            shop.drain(lane)
        assert shop.balance("ann", shop.world.pts) == 1
        assert_books(shop.database, shop.organization_id)


class TestWriting:
    """Two batches read the same budget; one of them is written first."""

    @pytest.fixture
    def desk(self, shop: Shop) -> Desk:
        return Desk(shop, "1", minutely(shop, "100"))

    def batch(self, desk: Desk, *credits: tuple[int, timedelta]) -> Budgets:
        """A batch that has read the budget as it is now, and issued these amounts at these times from now."""
        with desk.shop.database.connection() as conn:
            budgets = Budgets()
            budgets.add(budget_rows.load(conn, [desk.rule_id]))
        now: datetime = desk.shop.value("SELECT openscrip_now()")
        for amount, later in credits:
            budgets.issue(desk.rule_id, desk.shop.world.pts, Decimal(amount), now + later)
        return budgets

    def write(self, desk: Desk, *batches: Budgets) -> list[bool]:
        """Whether each could be written, one after the other."""

        def one(conn: Connection, batch: Budgets) -> bool:
            return budget_rows.spend(conn, batch.changed, [desk.shop.organization_id] * len(batch.changed))

        results = []
        for batch in batches:
            with desk.shop.database.connection() as conn:
                results.append(one(conn, batch))
        return results

    NOW, NEXT = timedelta(0), timedelta(seconds=61)

    @pytest.mark.parametrize(
        ("first", "second", "expected", "consumed"),
        [
            ([(60, NOW)], [(40, NOW)], [True, True], 100),
            ([(60, NOW)], [(41, NOW)], [True, False], 60),
            ([(60, NOW)], [(100, NEXT)], [True, True], 100),
            ([(60, NEXT)], [(40, NEXT)], [True, True], 100),
            ([(60, NEXT)], [(41, NEXT)], [True, False], 60),
            ([(60, NEXT)], [(1, NOW)], [True, False], 60),
            ([(60, NOW)], [(1, NOW), (1, NEXT)], [True, False], 60),
            ([(50, NOW), (60, NEXT)], [(40, NEXT)], [True, True], 100),
            ([(60, NOW), (101, NOW)], [(101, NOW), (40, NOW)], [True, True], 100),
        ],
    )
    def test_in_the_same_period_and_the_next(
        self,
        desk: Desk,
        first: list[tuple[int, timedelta]],
        second: list[tuple[int, timedelta]],
        expected: list[bool],
        consumed: int,
    ) -> None:
        batches = [self.batch(desk, *first), self.batch(desk, *second)]
        assert self.write(desk, *batches) == expected
        stored = "SELECT consumed FROM rule_budgets WHERE rule_id = %s"
        assert desk.shop.value(stored, desk.rule_id) == consumed
        began = any(later for batch in (first, second) for _, later in batch)
        assert desk.periods() == ["CREATED", *(["SCHEDULE"] if (began and expected != [True, False]) or first[-1][1] else [])]

    def test_after_a_request_changed_it(self, desk: Desk) -> None:
        late = self.batch(desk, (1, self.NOW))
        desk.reset()
        assert self.write(desk, late) == [False]
        late = self.batch(desk, (1, self.NOW))
        desk.update(budgets=[minutely(desk.shop, "50")])
        assert self.write(desk, late) == [False]

    def test_an_exhausted_budget_is_not_written(self, desk: Desk) -> None:
        self.write(desk, self.batch(desk, (100, self.NOW)))
        assert self.batch(desk, (1, self.NOW)).changed == []


class TestSchedule:
    def test_a_credit_after_the_reset_begins_the_period(self, shop: Shop) -> None:
        desk = Desk(shop, "70", minutely(shop, "100"))
        shop.send()
        shop.drain_all()
        assert desk.live().consumed == 70
        desk.move_reset(timedelta(0))
        live = desk.live()
        assert (live.consumed, live.as_json()["consumed"]) == (0, "0")
        assert live.next_reset_at == live.period_started_at + timedelta(minutes=1)
        assert desk.periods() == ["CREATED"]
        shop.submit([shop.submission(), shop.submission()])
        shop.drain_all()
        assert (desk.live().consumed, desk.periods()) == (70, ["CREATED", "SCHEDULE"])
        assert desk.evaluations() == {"COMPLETED": 2, "suppressed": 1}
        assert_books(shop.database, shop.organization_id)


class TestRules:
    def test_a_change_keeps_what_was_consumed(self, shop: Shop) -> None:
        desk = Desk(shop, "60", points(shop, "100"))
        shop.send()
        shop.drain_all()
        assert desk.update(budgets=[points(shop, "50")]).budgets[0].consumed == 60
        assert desk.update(name="Other").budgets[0].consumed == 60
        cash = {"asset_id": str(shop.world.cash), "limit": "5"}
        added = desk.update(budgets=[cash, points(shop, "50")]).budgets
        assert [(live.budget.asset_id, live.consumed) for live in added] == [(shop.world.cash, 0), (shop.world.pts, 60)]
        assert desk.update(budgets=[minutely(shop, "50")]).budgets[0].consumed == 0
        assert desk.periods() == ["CREATED", "CREATED", "REPLACED"]
        assert desk.update(budgets=[]).budgets == ()
        shop.send()
        shop.drain_all()
        assert desk.update(budgets=[points(shop, "50")]).budgets[0].consumed == 0
        assert_books(shop.database, shop.organization_id)

    def test_strict_limits(self, shop: Shop) -> None:
        desk = Desk(shop, "1")
        changes = {"budgets": [points(shop, "5.0"), {"asset_id": str(shop.world.cash), "limit": "1.005"}]}
        with shop.database.session() as session, pytest.raises(InvalidScale) as refused:
            update_rule(session, shop.organization_id, desk.rule_id, changes, is_strict=True)
        assert refused.value.details == {
            "field": "budgets[1].limit",
            "asset_id": str(shop.world.cash),
            "scale": 2,
            "received": "1.005",
        }

    def test_who_may_be_reset(self, shop: Shop) -> None:
        desk, bare = Desk(shop, "1", points(shop, "5")), Desk(shop, "1")
        with shop.database.session() as session:
            for organization_id, rule_id, resource in (
                (shop.organization_id, new_id(), "rule"),
                (new_id(), desk.rule_id, "rule"),
                (shop.organization_id, bare.rule_id, "budget"),
            ):
                with pytest.raises(NotFound) as missing:
                    reset_budget(session, organization_id, rule_id, shop.world.pts)
                assert missing.value.details["resource"] == resource
        desk.update(status=RuleStatus.ARCHIVED)
        with pytest.raises(RuleArchived):
            desk.reset()
        assert desk.live().consumed == 0


def test_a_program_without_budgets_asks_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.rule(shop.world.credit())
    statements: list[str] = []
    execute = psycopg.Connection.execute

    def listen(self: Any, query: Any, *rest: Any, **options: Any) -> Any:
        statements.append(str(query))
        return execute(self, query, *rest, **options)

    shop.send()
    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Connection, "execute", listen)
        shop.drain_all()
    assert statements
    assert not any("budget" in statement for statement in statements)


def test_the_check_of_the_books_sees_a_wrong_budget(shop: Shop) -> None:
    desk = Desk(shop, "60", points(shop, "100"))
    shop.send()
    shop.drain_all()
    with shop.database.connection() as conn:
        conn.execute("UPDATE rule_budgets SET consumed = 59 WHERE rule_id = %s", [desk.rule_id])
    assert [broken.check.name for broken in broken_invariants(shop.database, shop.organization_id)] == ["budgets_match"]


def test_snapshots_leave_the_live_part_out(shop: Shop) -> None:
    desk = Desk(shop, "60", points(shop, "100"))
    with shop.database.session() as session:
        rule = get_rule(session, shop.organization_id, desk.rule_id)
    definition = rule.budgets[0].budget.as_json()
    assert rule.snapshot()["budgets"] == [definition]
    assert rule.as_json()["budgets"] == [{**definition, "consumed": "0", "next_reset_at": None}]
    assert replace(rule, budgets=()).snapshot()["budgets"] == []
    assert isinstance(rule.id, UUID)


def test_lanes_at_once_use_one_budget_from_several_transactions(shop: Shop) -> None:
    """Two lanes that both fit don't make each other start again."""
    desk = Desk(shop, "1", points(shop, "1000"))
    crowd(shop, 80)
    starts: list[object] = []
    original = StartAgain.__init__

    def counted(self: StartAgain, **options: Any) -> None:
        starts.append(options)
        original(self, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StartAgain, "__init__", counted)
        together([shop.drain_at_once])
    assert (desk.live().consumed, starts) == (80, [])
