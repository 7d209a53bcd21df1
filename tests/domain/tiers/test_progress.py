"""How far the next level is (tiers.md 5.6)."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from domain.tiers.definition import (
    Criterion,
    Level,
    Lifecycle,
    Mode,
    Operator,
    PeriodType,
    Qualification,
    RetentionMode,
    Standing,
)
from domain.tiers.progress import progress
from domain.tiers.qualification import BASE
from tests.domain.tiers.tiers import NOW, at_least, club, held, points


@pytest.mark.parametrize(
    ("operator", "current", "met", "missing"),
    [
        (Operator.AT_LEAST, 7, False, 3),
        (Operator.AT_LEAST, 12, True, 0),
        (Operator.ABOVE, 10, False, 0),
        (Operator.EQUAL, 4, False, 6),
        (Operator.EQUAL, 10, True, 0),
        (Operator.EQUAL, 11, False, None),
        (Operator.AT_MOST, 10, True, 0),
        (Operator.AT_MOST, 11, False, None),
        (Operator.BELOW, 10, False, None),
        (Operator.BELOW, -3, True, 0),
    ],
)
def test_what_is_missing(operator: Operator, current: int, met: bool, missing: int | None) -> None:
    tier = club(levels=(Level("a", 1, Qualification(Mode.ALL, (Criterion("points", operator, Decimal(10)),))),))
    found = progress(tier, BASE, points(current), NOW)
    [criterion] = found.criteria
    assert (criterion.is_met, criterion.missing, found.is_qualified) == (met, missing, met)


def test_every_digit_is_kept() -> None:
    tier = club(levels=(Level("a", 1, at_least(10**19)),))
    current = Decimal("0.000000000000000001")
    [criterion] = progress(tier, BASE, {"points": current}, NOW).criteria
    assert criterion.missing == Decimal("9999999999999999999.999999999999999999")


def test_levels_without_a_qualification_are_passed_over() -> None:
    tier = club(levels=(Level("a", 1, at_least(1)), Level("b", 2), Level("c", 3, at_least(3))))
    following = progress(tier, held("a"), {}, NOW).next_level
    assert following is not None
    assert following.key == "c"
    top = progress(tier, held("c"), {}, NOW)
    assert (top.next_level, top.criteria, top.is_qualified) == (None, (), False)


def test_period_ends_and_archived_tiers() -> None:
    years = Lifecycle(RetentionMode.PERIOD_BASED, period=PeriodType.CALENDAR_YEAR)
    assert progress(club(years), Standing(), {}, NOW).period_end == datetime(2031, 1, 1, tzinfo=UTC)
    archived = progress(club(years, is_archived=True), held("bronze"), points(9999), NOW)
    assert (archived.rank, archived.next_level, archived.period_end) == (1, None, None)
