"""Credits under budgets: suppressed whole, taken back with a failing event, counted by period (events-rules.md 4.5, 6.3)."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from domain.processing.world import World
from domain.rules.budgets import Budget, LiveBudget, ScheduleType
from domain.rules.ruleset import RuleSet
from tests.domain.processing.worlds import ANN, BOB, MILES, NOW, PTS, available, make_rules, make_world, rows, run, verdicts

FIRST, SECOND = UUID(int=0x1001), UUID(int=0x1002)
EXCEEDED = ("SKIPPED", "BUDGET_EXCEEDED")
DAY = timedelta(hours=24)


def credit(amount: str = "60", asset_id: UUID = PTS, **fields: Any) -> dict[str, Any]:
    return {"type": "CREDIT", "asset_id": str(asset_id), "amount": amount, **fields}


COUNT = {"type": "COUNTER", "key": "n", "value": "1"}


def budget(limit: str = "100", asset_id: UUID = PTS, rule_id: UUID = FIRST, interval: str | None = None) -> LiveBudget:
    schedule = None if interval is None else ScheduleType.INTERVAL
    return LiveBudget.started(rule_id, Budget(asset_id, Decimal(limit), schedule, None, interval), NOW)


def rules_with(*actions: dict[str, Any], others: tuple[dict[str, Any], ...] = (), **fields: Any) -> RuleSet:
    """A rule set whose first rule has budgets."""
    return make_rules({"actions": actions, "budgets": (budget(),), **fields}, *others)


def world_with(*budgets: LiveBudget, assets: Any = None) -> World:
    world = make_world(assets=assets)
    world.budgets.add(budgets)
    return world


def consumed(world: World) -> list[tuple[Decimal, Decimal]]:
    """What is consumed of the changed budgets, and how much of it is new."""
    return [(spending.live.consumed, spending.added) for spending in world.budgets.changed]


def outcomes(world: World, rules: RuleSet, **fields: Any) -> tuple[tuple[str, str | None], list[tuple[str, str | None]]]:
    """One more event: the first rule's evaluation, and outcome and reason of its actions."""
    [row, *_] = rows(run(world, rules, **fields), rules)
    return (row["status"], row["reason"]), [(done["outcome"], done["reason"]) for done in row["executed_actions"]]


def test_a_credit_that_does_not_fit_is_suppressed_whole() -> None:
    world, rules = world_with(budget()), rules_with(credit())
    assert outcomes(world, rules) == (("SUCCESS", None), [("APPLIED", None)])
    assert outcomes(world, rules) == (EXCEEDED, [("SUPPRESSED", "BUDGET_EXCEEDED")])
    assert (available(world, ANN), consumed(world)) == (60, [(60, 60)])


def test_equal_is_allowed_and_the_recorded_amount_counts() -> None:
    world, rules = world_with(budget("10")), rules_with(credit("4.5"), credit("5.4"))
    assert outcomes(world, rules)[1] == [("APPLIED", None), ("APPLIED", None)]
    assert (available(world, ANN), consumed(world)) == (10, [(10, 10)])


def test_a_smaller_credit_after_a_suppressed_one_still_fits() -> None:
    world, rules = world_with(budget()), rules_with(credit("80"), credit("30"), credit("20"))
    assert outcomes(world, rules) == (
        ("SUCCESS", None),
        [("APPLIED", None), ("SUPPRESSED", "BUDGET_EXCEEDED"), ("APPLIED", None)],
    )
    assert available(world, ANN) == 100


def test_other_actions_run_and_the_rule_still_stops_the_others() -> None:
    world = world_with(budget("1"))
    rules = rules_with(credit(), COUNT, others=({"actions": (credit("5"),)},), stop_after_match=True)
    found = run(world, rules)
    assert verdicts(found, rules) == [EXCEEDED, ("SKIPPED", "STOPPED_BY_RULE")]
    assert found.matched_rule_ids == (FIRST,)
    assert world.states[ANN].counters["n"].value == 1
    [suppressed, counted] = rows(found, rules)[0]["executed_actions"]
    assert (suppressed["amount"], suppressed["target"]["id"], "journal_entry_id" in suppressed) == ("60", ANN, False)
    assert counted["outcome"] == "APPLIED"


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        (("0", "500"), EXCEEDED),
        (("0", "0"), ("SUCCESS", None)),
        (("0", "1"), ("SUCCESS", None)),
        (("1", "500"), ("SUCCESS", None)),
    ],
)
def test_a_credit_of_zero_counts_neither_way(amounts: tuple[str, str], expected: tuple[str, str | None]) -> None:
    world = world_with(budget())
    assert outcomes(world, rules_with(*(credit(f"{amount} + 0") for amount in amounts)))[0] == expected


def test_each_rule_and_asset_has_its_own() -> None:
    world = world_with(budget("60"), budget("1", rule_id=SECOND))
    rules = rules_with(credit(), credit("9999", MILES), others=({"actions": (credit("2"),), "budgets": (budget(),)},))
    assert verdicts(run(world, rules), rules) == [("SUCCESS", None), EXCEEDED]
    assert verdicts(run(world, rules), rules) == [("SUCCESS", None), EXCEEDED]
    assert (available(world, ANN), available(world, ANN, MILES)) == (60, 2 * 9999)


def test_any_bucket_and_target_counts_and_a_debit_gives_nothing_back() -> None:
    to_bob = {"type": "PARTICIPANT", "participant_id": str(BOB)}
    debit = {"type": "DEBIT", "asset_id": str(PTS), "amount": "50"}
    world = world_with(budget())
    rules = rules_with(credit("50"), credit("40", bucket="HELD", target=to_bob), debit, credit("11"))
    assert outcomes(world, rules)[1][-1] == ("SUPPRESSED", "BUDGET_EXCEEDED")
    assert consumed(world) == [(90, 90)]


def test_a_settle_counts_its_full_amount() -> None:
    world = world_with(budget("30", MILES))
    hold = {"condition": 'event.step == "hold"', "actions": (credit("10", MILES, bucket="HELD", reference_id="a-1"),)}
    rules = make_rules(
        {**hold, "budgets": (budget(),)},
        {"condition": 'event.step == "settle"', "actions": (credit("8", MILES, reference_id="a-1"),), "budgets": (budget(),)},
    )
    world.budgets.add([budget("8", MILES, SECOND)])
    run(world, rules, {"step": "hold"})
    run(world, rules, {"step": "settle"}, number=2)
    assert consumed(world) == [(10, 10), (8, 8)]
    assert [entry.action_type.value for entry in world.books.entries] == ["CREDIT", "SETTLE"]


def test_a_failing_event_takes_nothing() -> None:
    world = world_with(budget())
    failing = {"condition": "event.n > 1", "actions": ({"type": "DEBIT", "asset_id": str(PTS), "amount": "500"},)}
    rules = rules_with(credit("40"), others=(failing,))
    assert run(world, rules, {"n": 1}).status == "COMPLETED"
    assert run(world, rules, {"n": 2}, number=2).error_code == "insufficient_balance"
    assert consumed(world) == [(40, 40)]


def test_the_budget_goes_before_the_ledgers_checks() -> None:
    """Over the asset's ceiling, but suppressed: the event completes."""
    world = world_with(budget())
    found = run(world, rules_with(credit("99999999999999999999")))
    assert found.status == "COMPLETED"


class TestPeriods:
    def at(self, moment: datetime, world: World, rules: RuleSet) -> tuple[str, str | None]:
        return outcomes(world, rules, now=moment)[0]

    def test_a_new_period_starts_at_zero(self) -> None:
        world, rules = world_with(budget(interval="24h")), rules_with(credit())
        moments = (NOW + DAY - timedelta(microseconds=1), NOW + DAY, NOW + DAY + timedelta(microseconds=1))
        assert [self.at(moment, world, rules) for moment in moments] == [("SUCCESS", None), ("SUCCESS", None), EXCEEDED]
        [spending] = world.budgets.changed
        assert (spending.live.consumed, spending.added, spending.is_exact) == (60, 60, True)
        assert [(period.started_at, period.cause.value) for period in spending.began] == [(NOW + DAY, "SCHEDULE")]

    def test_one_that_was_over_before_the_batch_needs_no_exactness(self) -> None:
        world, rules = world_with(budget(interval="24h")), rules_with(credit())
        self.at(NOW + 5 * DAY, world, rules)
        [spending] = world.budgets.changed
        assert (spending.is_exact, spending.live.period_started_at) == (False, NOW + 5 * DAY)

    def test_a_failing_event_begins_no_period(self) -> None:
        world = world_with(budget(interval="24h"))
        failing = {"actions": ({"type": "DEBIT", "asset_id": str(PTS), "amount": "500"},)}
        rules = rules_with(credit(), others=(failing,))
        assert run(world, rules, now=NOW + DAY).status == "FAILED"
        assert world.budgets.changed == []
