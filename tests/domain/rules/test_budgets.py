"""Budgets in memory: never above the limit, periods that follow the clock, changes, and bad input (events-rules.md 4.5)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.rules.budget_forms import parse_budgets
from domain.rules.budgets import Budget, LiveBudget, PeriodCause, ScheduleType, replaced
from tests.domain.rules.builders import ASSETS, CASH, MILES, PTS

RULE = UUID(int=0xB1)
START = datetime(2026, 3, 5, 12, 0, 30, 250, tzinfo=UTC)
LIMIT = Decimal("100.00")
LIFETIME = Budget(CASH, LIMIT)
MONTHLY = Budget(CASH, LIMIT, ScheduleType.CRON, "0 0 1 * *")
DAILY = Budget(CASH, LIMIT, ScheduleType.INTERVAL, interval="24h")
ODD = Budget(CASH, LIMIT, ScheduleType.INTERVAL, interval="1h1m1.000001s")
BUDGETS = [LIFETIME, MONTHLY, DAILY, ODD]

AMOUNTS = st.decimals(Decimal("0.01"), Decimal(130), places=2)
PAUSES = st.one_of(
    st.timedeltas(timedelta(microseconds=1), timedelta(hours=3)),
    st.timedeltas(timedelta(microseconds=1), timedelta(days=3 * 365)),
    st.sampled_from([timedelta(hours=24), timedelta(days=31), timedelta(hours=1, minutes=1, seconds=1, microseconds=1)]),
)


def started(budget: Budget = LIFETIME) -> LiveBudget:
    return LiveBudget.started(RULE, budget, START)


class TestConsuming:
    @given(st.sampled_from(BUDGETS), st.lists(st.tuples(PAUSES, AMOUNTS, st.booleans()), max_size=30))
    def test_never_above_the_limit(self, budget: Budget, steps: list[tuple[timedelta, Decimal, bool]]) -> None:
        """Held against a list of all credits: those since the period began are what is consumed."""
        live, now, issued, began = started(budget), START, [], START
        for pause, amount, is_reset in steps:
            now += pause
            if is_reset:
                live = live.reset(now)
                began = live.period_started_at
            live = live.at(now)
            assert began <= live.period_started_at <= max(now, began)
            began = live.period_started_at
            spent = sum((one for at, one in issued if at >= began), Decimal(0))
            assert live.consumed == spent
            if live.admits(amount):
                live = live.consume(amount)
                issued.append((max(now, began), amount))
                assert spent + amount <= LIMIT
            else:
                assert spent + amount > LIMIT
            assert live.consumed <= LIMIT
            assert live.next_reset_at is None or live.next_reset_at > now

    def test_equal_is_admitted(self) -> None:
        live = started().consume(Decimal("99.99"))
        assert live.admits(Decimal("0.01"))
        assert not live.admits(Decimal("0.02"))
        assert not live.consume(Decimal("0.01")).admits(Decimal("0.01"))

    def test_a_limit_below_what_is_consumed_means_exhausted(self) -> None:
        [live], periods = replaced(RULE, [started().consume(Decimal(60))], [replace(LIFETIME, limit=Decimal("50.00"))], START)
        assert (live.consumed, periods, live.version) == (60, [], 1)
        assert not live.admits(Decimal("0.01"))


class TestPeriods:
    @pytest.mark.parametrize("budget", BUDGETS)
    def test_nothing_changes_before_the_reset(self, budget: Budget) -> None:
        live = started(budget)
        last = START + timedelta(days=9000) if live.next_reset_at is None else live.next_reset_at - timedelta(microseconds=1)
        assert live.at(START) is live
        assert live.at(last) is live

    @pytest.mark.parametrize(
        ("budget", "years", "start", "end"),
        [
            (MONTHLY, 0, "2026-04-01T00:00:00+00:00", "2026-05-01T00:00:00+00:00"),
            (MONTHLY, 7, "2033-04-01T00:00:00+00:00", "2033-05-01T00:00:00+00:00"),
            (DAILY, 0, "2026-04-20T12:00:30.000250+00:00", "2026-04-21T12:00:30.000250+00:00"),
            (DAILY, 7, "2033-04-20T12:00:30.000250+00:00", "2033-04-21T12:00:30.000250+00:00"),
        ],
    )
    def test_the_period_that_a_moment_lies_in(self, budget: Budget, years: int, start: str, end: str) -> None:
        now = datetime(2026 + years, 4, 20, 18, tzinfo=UTC)
        live = started(budget).consume(Decimal(70)).at(now)
        assert (live.consumed, live.as_json()["consumed"]) == (0, "0.00")
        assert (live.period_started_at, live.next_reset_at) == (datetime.fromisoformat(start), datetime.fromisoformat(end))

    def test_an_interval_counts_from_the_moment_it_was_set(self) -> None:
        live = started(ODD)
        assert live.next_reset_at is not None
        length = live.next_reset_at - START
        for number in (1, 2, 1000):
            due = START + number * length
            assert live.at(due).period_started_at == due
            assert live.at(due - timedelta(microseconds=1)).period_started_at == due - length
            assert live.at(due + length - timedelta(microseconds=1)).next_reset_at == due + length

    @pytest.mark.parametrize(("budget", "reset_at"), [(LIFETIME, None), (MONTHLY, "2026-04-01T00:00:00+00:00"), (DAILY, "24h")])
    def test_a_reset(self, budget: Budget, reset_at: str | None) -> None:
        now = START + timedelta(hours=5)
        live = started(budget).consume(Decimal(70)).reset(now)
        expected = {None: None, "24h": now + timedelta(hours=24)}
        wanted = expected[reset_at] if reset_at in expected else datetime.fromisoformat(str(reset_at))
        assert (live.consumed, live.period_started_at, live.next_reset_at, live.version) == (0, now, wanted, 1)

    def test_two_resets_in_one_moment_begin_two_periods(self) -> None:
        assert started().reset(START).period_started_at == START + timedelta(microseconds=1)


class TestChanges:
    NOW = START + timedelta(hours=30)

    def change(self, old: Budget, *new: Budget) -> tuple[list[tuple[Decimal, datetime]], list[PeriodCause]]:
        live, periods = replaced(RULE, [started(old).consume(Decimal(70))], new, self.NOW)
        return [(one.consumed, one.period_started_at) for one in live], [period.cause for period in periods]

    def test_the_same_asset_and_schedule_go_on(self) -> None:
        higher = replace(MONTHLY, limit=Decimal("500.00"))
        assert self.change(MONTHLY, higher) == ([(Decimal(70), START)], [])
        spelled = replace(MONTHLY, cron_expression="0 0 1  * *")
        assert self.change(MONTHLY, spelled) == ([(Decimal(70), START)], [])
        assert self.change(replace(DAILY, interval="48h"), replace(DAILY, interval="2880m")) == ([(Decimal(70), START)], [])

    def test_what_has_reset_meanwhile_goes_on_from_there(self) -> None:
        assert self.change(DAILY, DAILY) == ([(Decimal(0), START + timedelta(hours=24))], [PeriodCause.SCHEDULE])

    @pytest.mark.parametrize(("old", "new"), [(LIFETIME, DAILY), (DAILY, MONTHLY), (MONTHLY, LIFETIME), (DAILY, ODD)])
    def test_another_schedule_starts_at_zero(self, old: Budget, new: Budget) -> None:
        assert self.change(old, new) == ([(Decimal(0), self.NOW)], [PeriodCause.REPLACED])

    def test_another_asset_starts_at_zero_and_none_removes(self) -> None:
        points = Budget(PTS, Decimal(10))
        assert self.change(LIFETIME, points, LIFETIME) == ([(Decimal(0), self.NOW), (Decimal(70), START)], [PeriodCause.CREATED])
        assert self.change(LIFETIME) == ([], [])


def cash(**fields: Any) -> dict[str, Any]:
    return {"asset_id": str(CASH), "limit": "100", **fields}


def faults_of(*budgets: Any) -> list[tuple[str, str]]:
    return [(fault.field, fault.reason) for fault in parse_budgets(list(budgets), ASSETS)[1]]


class TestForms:
    def test_sound_ones(self) -> None:
        raw = [
            cash(limit="100.005", schedule_type=None),
            {"asset_id": str(PTS).upper(), "limit": "7.5", "schedule_type": "CRON", "cron_expression": "0 0 * * mon"},
            {"asset_id": str(MILES), "limit": "7", "schedule_type": "INTERVAL", "interval": "1m", "cron_expression": None},
        ]
        budgets, faults = parse_budgets(raw, ASSETS)
        assert faults == []
        assert [budget.as_json()["limit"] for budget in budgets] == ["100.01", "8", "7.00"]
        assert budgets[1].as_json() == {
            "asset_id": str(PTS),
            "limit": "8",
            "schedule_type": "CRON",
            "cron_expression": "0 0 * * mon",
            "interval": None,
        }

    @pytest.mark.parametrize(
        ("raw", "expected"),
        [
            ({}, [("asset_id", "required"), ("limit", "required")]),
            (cash(limit="0"), [("limit", "out_of_range")]),
            (cash(limit="0.004"), [("limit", "out_of_range")]),
            (cash(limit="99999999999999999999.999"), [("limit", "out_of_range")]),
            (cash(limit="-1"), [("limit", "invalid")]),
            (cash(limit=5), [("limit", "invalid")]),
            (cash(limit="event.amount"), [("limit", "invalid")]),
            (cash(asset_id="x"), [("asset_id", "invalid")]),
            (cash(asset_id=str(RULE)), [("asset_id", "invalid")]),
            (cash(schedule_type="cron"), [("schedule_type", "invalid")]),
            (cash(schedule_type="DAILY", interval="5m"), [("schedule_type", "invalid")]),
            (cash(schedule_type="CRON"), [("cron_expression", "required")]),
            (cash(schedule_type="INTERVAL"), [("interval", "required")]),
            (cash(cron_expression="0 0 1 * *"), [("cron_expression", "not_allowed")]),
            (cash(interval="24h"), [("interval", "not_allowed")]),
            (
                cash(schedule_type="CRON", interval="24h"),
                [("cron_expression", "required"), ("interval", "not_allowed")],
            ),
            (cash(schedule_type="CRON", cron_expression="@daily"), [("cron_expression", "invalid")]),
            (cash(schedule_type="CRON", cron_expression="0 0 31 2 *"), [("cron_expression", "invalid")]),
            (cash(schedule_type="CRON", cron_expression=5), [("cron_expression", "invalid")]),
            (cash(schedule_type="INTERVAL", interval="59.9s"), [("interval", "out_of_range")]),
            (cash(schedule_type="INTERVAL", interval="876001h"), [("interval", "out_of_range")]),
            (cash(schedule_type="INTERVAL", interval="1d"), [("interval", "invalid")]),
            (cash(schedule_type="INTERVAL", interval=60), [("interval", "invalid")]),
            (cash(consumed="0", next_reset_at=None, nope=1), [("consumed", "unknown_field"), ("nope", "unknown_field")]),
        ],
    )
    def test_faults(self, raw: dict[str, Any], expected: list[tuple[str, str]]) -> None:
        assert faults_of(raw) == [(f"budgets[0].{field}", reason) for field, reason in expected]

    def test_all_at_once(self) -> None:
        assert faults_of(cash(), "x", cash(limit="0"), cash(asset_id=str(PTS), limit="0.4")) == [
            ("budgets[1]", "invalid"),
            ("budgets[2].limit", "out_of_range"),
            ("budgets[2].asset_id", "duplicate"),
            ("budgets[3].limit", "out_of_range"),
        ]

    @pytest.mark.parametrize("raw", ["x", {}, 5])
    def test_not_an_array(self, raw: object) -> None:
        assert [(fault.field, fault.reason) for fault in parse_budgets(raw)[1]] == [("budgets", "invalid")]

    def test_without_assets_only_the_form_is_checked(self) -> None:
        [budget], faults = parse_budgets([cash(asset_id=str(RULE), limit="0.001")])
        assert (faults, budget.limit) == ([], Decimal("0.001"))


def test_versions_rise_with_requests_only() -> None:
    numbers, live = count(), started(DAILY)
    assert live.at(START + timedelta(days=3)).consume(Decimal(1)).version == next(numbers)
    assert live.reset(START).version == next(numbers)
