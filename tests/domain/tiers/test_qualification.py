"""Levels that change by an event or by direct assignment (tiers.md 3.2, 3.3, 4.1)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from domain.tiers.definition import (
    Criterion,
    DowngradeMode,
    Level,
    Lifecycle,
    Mode,
    Operator,
    PeriodType,
    Qualification,
    RetentionMode,
    Standing,
)
from domain.tiers.qualification import BASE, assigned, refreshed, removed, requalified
from tests.domain.tiers.tiers import NOW, at_least, club, held, points

YEARS = Lifecycle(RetentionMode.PERIOD_BASED, period=PeriodType.CALENDAR_YEAR)
THIRTY_DAYS = timedelta(days=30)
ACTIVITY = Lifecycle(RetentionMode.ACTIVITY_REFRESH, duration=THIRTY_DAYS)
NEW_YEAR = datetime(2031, 1, 1, tzinfo=UTC)
LATER = datetime(2040, 1, 1, tzinfo=UTC)


class TestRequalified:
    @pytest.mark.parametrize(
        ("before", "value", "after"),
        [
            (None, 99, None),
            (None, 100, "bronze"),
            (None, 5000, "gold"),
            ("bronze", 1000, "gold"),
            ("gold", 0, "gold"),
            ("silver", 100, "silver"),
        ],
    )
    def test_up_at_once_and_never_down(self, before: str | None, value: int, after: str | None) -> None:
        standing = BASE if before is None else held(before)
        new = requalified(club(), standing, points(value), NOW)
        assert new.level == after
        assert (new is standing) == (before == after)
        assert after == before or new.acquired_at == NOW

    def test_an_upgrade_drops_the_explicit_expiry_of_the_old_level(self) -> None:
        new = requalified(club(YEARS), held("bronze", expires_at=LATER), points(500), NOW)
        # the steps of earlier period ends don't concern it
        assert new == Standing("silver", NOW, None, NEW_YEAR, steps_done_through=NOW)

    def test_meeting_the_criteria_again_renews(self) -> None:
        before = held("silver", lifecycle_expires_at=NEW_YEAR.replace(month=3), expires_at=LATER)
        extended = replace(YEARS, extend_months=6)
        assert requalified(club(extended), before, points(500), NOW) == replace(
            before, lifecycle_expires_at=NEW_YEAR.replace(month=7)
        )
        assert requalified(club(extended), before, points(499), NOW) is before
        assert requalified(club(YEARS), before, points(500), NOW) is before

    def test_a_level_without_qualification_is_never_assigned_nor_renewed(self) -> None:
        tier = club(ACTIVITY, levels=(Level("bronze", 1, at_least(100)), Level("vip", 9)))
        assert requalified(tier, BASE, points(5000), NOW).level == "bronze"
        vip = held("vip", lifecycle_expires_at=NOW)
        assert requalified(tier, vip, points(5000), NOW) is vip

    def test_any_and_all(self) -> None:
        criteria = (Criterion("a", Operator.AT_LEAST, Decimal(1)), Criterion("b", Operator.BELOW, Decimal(0)))
        both, either = Level("both", 2, Qualification(Mode.ALL, criteria)), Level("either", 1, Qualification(Mode.ANY, criteria))
        tier = club(levels=(either, both))
        assert requalified(tier, BASE, {}, NOW) is BASE
        assert requalified(tier, BASE, {"b": Decimal(-1)}, NOW).level == "either"
        assert requalified(tier, BASE, {"a": Decimal(1), "b": Decimal(-1)}, NOW).level == "both"


class TestAssigned:
    def test_another_level_is_new_in_everything(self) -> None:
        tier = club(YEARS)
        new = assigned(tier, held("gold", expires_at=LATER), tier.by_key["bronze"], None, NOW)
        assert (new.level, new.acquired_at, new.expires_at, new.lifecycle_expires_at) == ("bronze", NOW, None, NEW_YEAR)

    def test_the_same_level_only_changes_its_expiry(self) -> None:
        tier = club(YEARS)
        before = held("gold", lifecycle_expires_at=NEW_YEAR)
        assert assigned(tier, before, tier.by_key["gold"], None, NOW) is before
        dated = assigned(tier, before, tier.by_key["gold"], LATER, NOW)
        assert dated == replace(before, expires_at=LATER)
        assert dated.shown_expiry == LATER
        assert assigned(tier, dated, tier.by_key["gold"], LATER, NOW) is dated

    def test_without_its_explicit_expiry_the_lifecycle_has_the_level_again(self) -> None:
        tier = club(ACTIVITY)
        dated = held("gold", expires_at=LATER, lifecycle_expires_at=NOW - THIRTY_DAYS)
        new = assigned(tier, dated, tier.by_key["gold"], None, NOW)
        assert new == replace(dated, expires_at=None, lifecycle_expires_at=NOW + THIRTY_DAYS)

    def test_removed(self) -> None:
        assert removed(BASE) is BASE
        assert removed(held("gold", expires_at=LATER, steps_done_through=NOW)) == Standing(steps_done_through=NOW)


class TestRefreshed:
    def test_activity_moves_the_expiry_during_grace_too(self) -> None:
        before = held("silver", lifecycle_expires_at=NOW - timedelta(days=1))
        assert refreshed(club(ACTIVITY), before, NOW) == replace(before, lifecycle_expires_at=NOW + THIRTY_DAYS)

    @pytest.mark.parametrize(
        "lifecycle",
        [
            None,
            YEARS,
            replace(ACTIVITY, downgrade=DowngradeMode.HOLD),
            replace(ACTIVITY, min_level="silver"),
        ],
    )
    def test_nothing_else_moves(self, lifecycle: Lifecycle | None) -> None:
        before = held("silver")
        assert refreshed(club(lifecycle), before, NOW) is before
        assert refreshed(club(ACTIVITY), BASE, NOW) is BASE
