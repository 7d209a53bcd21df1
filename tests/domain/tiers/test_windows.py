"""The windows of tiers.md 4: its examples 8 to 11 and 14 without a server, and what happens at one moment."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from domain.state import Counter
from domain.tiers.calendar import lifecycle_expiry
from domain.tiers.changes import Reason
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
    Rollover,
    Standing,
    Tier,
)
from domain.tiers.qualification import due_at, removed, requalified
from domain.tiers.windows import Advance, Holdings, advance, first_marks, next_due, next_visit

PROGRAM = UUID(int=9)
JOINED = {PROGRAM: datetime(2029, 1, 1, tzinfo=UTC)}
CALENDAR = Lifecycle(
    RetentionMode.PERIOD_BASED, period=PeriodType.CALENDAR_YEAR, qualifying=("points",), rollover=Rollover.EXCESS
)


def utc(year: int, month: int = 1, day: int = 1, hour: int = 0) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


def points(threshold: int) -> Qualification:
    return Qualification(Mode.ALL, (Criterion("points", Operator.AT_LEAST, Decimal(threshold)),))


def club(number: int = 1, **changes: Any) -> Tier:
    levels = (Level("bronze", 1, points(100)), Level("silver", 2, points(500)), Level("gold", 3, points(1000)))
    return Tier(UUID(int=number), PROGRAM, f"club{number}", levels, replace(CALENDAR, **changes), utc(2029))


def at_level(tier: Tier, level: str, at: datetime, value: int) -> Holdings:
    standing = Standing(level, at, None, lifecycle_expiry(tier, level, at))
    return Holdings((tier,), {tier.id: standing}, {"points": Counter(Decimal(value))}, JOINED)


def earn(done: Advance | Holdings, amount: int) -> Holdings:
    holdings = done.holdings if isinstance(done, Advance) else done
    counter = holdings.counters["points"]
    return replace(holdings, counters={"points": replace(counter, value=counter.value + amount)})


def seen(done: Advance) -> tuple[str | None, datetime | None, str]:
    """Level, its expiry and the counter."""
    (standing,) = done.holdings.standings.values()
    return standing.level, standing.shown_expiry, str(done.holdings.counters["points"].value)


def test_example_8_a_year_at_a_time() -> None:
    start = at_level(club(), "gold", utc(2030, 6), 1300)
    first = advance(start, utc(2031))
    assert seen(first) == ("gold", utc(2032), "300")
    second = advance(earn(first, 250), utc(2032))
    assert seen(second) == ("silver", utc(2033), "50")
    (lowering,) = second.lowerings
    assert (lowering.before, lowering.after, lowering.reason, lowering.due_at) == ("gold", "silver", Reason.PERIOD_END, utc(2032))
    assert [(r.change.operation, r.change.old_value, r.change.new_value) for r in second.rolled_over] == [
        ("auto_reset", "550", "50")
    ]


def test_example_9_validity_and_grace() -> None:
    start = at_level(club(extend_months=2, grace_days=10), "gold", utc(2030, 6), 1300)
    assert start.standings[UUID(int=1)].shown_expiry == utc(2031, 3)
    first = advance(start, utc(2031))
    assert seen(first) == ("gold", utc(2032, 3), "300")
    second = advance(earn(first, 250), utc(2032))
    assert (seen(second), second.lowerings) == (("gold", utc(2032, 3), "0"), ())
    assert next_due(second.holdings) == utc(2032, 3, 11)
    third = advance(earn(second, 120), utc(2032, 3, 11))
    assert seen(third) == ("bronze", utc(2033, 3), "120")
    assert seen(advance(earn(second, 1000), utc(2032, 3, 11))) == ("gold", utc(2033, 3), "1000")


def test_example_10_never_below_the_lowest_level() -> None:
    start = at_level(club(downgrade=DowngradeMode.DROP_ONE, min_level="silver"), "gold", utc(2030, 6), 1300)
    first = advance(start, utc(2031))
    idle = replace(first.holdings, counters={"points": Counter(Decimal(0))})
    assert seen(first)[0] == "gold"
    assert seen(advance(idle, utc(2032))) == ("silver", None, "0")
    late = advance(idle, utc(2040))
    assert (seen(late), len(late.lowerings)) == (("silver", None, "0"), 1)


def test_example_11_activity() -> None:
    hours = timedelta(hours=720)
    activity = Lifecycle(RetentionMode.ACTIVITY_REFRESH, duration=hours, downgrade=DowngradeMode.DROP_ONE)
    tier = replace(club(), lifecycle=activity)
    moved = utc(2030) + timedelta(hours=1420)
    start = Holdings((tier,), {tier.id: Standing("silver", utc(2030), None, moved)}, {}, JOINED)
    assert advance(start, moved - timedelta(microseconds=1)).holdings is start
    done = advance(start, moved)
    assert done.holdings.standing(tier).shown_expiry == utc(2030) + timedelta(hours=2140)
    (lowering,) = done.lowerings
    assert (lowering.after, lowering.reason) == ("bronze", Reason.INACTIVITY)
    last = advance(done.holdings, utc(2031))
    assert last.holdings.standing(tier).level is None
    assert last.lowerings[0].due_at == utc(2030) + timedelta(hours=2140)


def test_example_14_years_without_a_visitor() -> None:
    start = at_level(club(), "gold", utc(2030, 6), 1300)
    assert seen(advance(start, utc(2031, 6)))[2] == "300"
    done = advance(start, utc(2034, 2))
    assert seen(done) == ("bronze", utc(2035), "0")
    assert done.holdings.standings[UUID(int=1)].acquired_at == utc(2032)
    assert [rolled.change.new_value for rolled in done.rolled_over] == ["300", "200", "100", "0"]
    assert seen(advance(earn(done, 5), utc(2034, 2, 2)))[2] == "5"


def test_all_tiers_are_judged_by_the_closing_counters_before_any_rolls_over() -> None:
    one, other = club(1), club(2, rollover=Rollover.NONE)
    held = {tier.id: Standing("gold", utc(2030, 6), None, utc(2031)) for tier in (one, other)}
    for tiers in ((one, other), (other, one)):
        done = advance(Holdings(tiers, held, {"points": Counter(Decimal(1500))}, JOINED), utc(2031))
        assert done.lowerings == ()
        assert done.holdings.counters["points"].value == 0


def test_each_period_end_of_each_tier_rolls_the_counter_over() -> None:
    spring = club(2, period=PeriodType.FIXED_YEAR, start_month=4, start_day=1)
    held = {tier.id: Standing("bronze", utc(2030, 6), None, utc(2031)) for tier in (club(1), spring)}
    done = advance(Holdings((club(1), spring), held, {"points": Counter(Decimal(250))}, JOINED), utc(2031, 5))
    assert [rolled.change.new_value for rolled in done.rolled_over] == ["150", "50"]


def test_an_explicit_expiry_beats_windows_and_floor() -> None:
    tier = club(min_level="silver")
    standing = Standing("gold", utc(2030, 6), utc(2032, 5), utc(2031))
    done = advance(Holdings((tier,), {tier.id: standing}, {"points": Counter(Decimal(1200))}, JOINED), utc(2032, 4))
    assert (done.lowerings, done.holdings.counters["points"].value) == ((), Decimal(0))
    last = advance(done.holdings, utc(2032, 5))
    assert (last.lowerings[0].after, last.lowerings[0].reason) == (None, Reason.EXPIRY)
    # at the moment of a period end it isn't held any more: nothing of the counter stays
    both = Standing("gold", utc(2030, 6), utc(2031), utc(2031))
    same = advance(Holdings((tier,), {tier.id: both}, {"points": Counter(Decimal(1200))}, JOINED), utc(2031))
    assert (same.holdings.standing(tier).level, same.holdings.counters["points"].value) == (None, Decimal(0))


def test_a_counter_whose_own_time_is_over_counts_as_nothing_and_is_left_alone() -> None:
    start = at_level(club(), "gold", utc(2030, 6), 1300)
    lapsed = Counter(Decimal(1300), "24h", utc(2030, 6))
    done = advance(replace(start, counters={"points": lapsed}), utc(2031))
    assert (done.holdings.standings[UUID(int=1)].level, done.holdings.counters["points"]) == (None, lapsed)
    running = Counter(Decimal(1300), "24h", utc(2030, 12, 31, 12))
    done = advance(replace(start, counters={"points": running}), utc(2031))
    assert done.holdings.counters["points"] == replace(running, value=Decimal(300))


def test_who_holds_no_level_is_concerned_from_its_first_counter_and_its_enrolment_on() -> None:
    empty = Holdings((club(),), {}, {}, {})
    marks = first_marks(empty, ["points", "other"], utc(2030, 7))
    assert marks == {UUID(int=1): Standing(steps_done_through=utc(2030, 7))}
    stranger = replace(empty, standings=marks, counters={"points": Counter(Decimal(70))})
    assert first_marks(stranger, ["points"], utc(2030, 8)) == {}
    assert next_due(stranger) is None
    assert next_visit(stranger, club(), utc(2033, 5)) == utc(2034)
    member = replace(stranger, enrolled_at={PROGRAM: utc(2032, 6)})
    assert next_due(member) == next_visit(member, club(), utc(2032, 7)) == utc(2033)
    group = replace(stranger, enrolled_at=None)
    assert next_due(group) == utc(2031)
    assert [rolled.change.new_value for rolled in advance(group, utc(2034)).rolled_over] == ["0"]


def test_raised_thresholds_and_new_lifecycles_count_from_their_own_time() -> None:
    start = at_level(club(), "gold", utc(2030, 6), 1300)
    raised = (Level("bronze", 1, points(100)), Level("silver", 2, points(1200)), Level("gold", 3, points(9000)))
    harder = replace(start, tiers=(replace(club(), levels=raised),))
    assert advance(harder, utc(2030, 12, 31, 23)).holdings is harder
    assert seen(advance(harder, utc(2031)))[0] == "silver"
    young = replace(start, tiers=(replace(club(), lifecycle_started_at=utc(2035)),), standings={})
    assert next_due(young) == utc(2036)


def test_period_ends_that_passed_at_base_without_a_counter_stay_passed() -> None:
    """Who had a level once and comes back with a counter and a level in one event starts anew."""
    tier, back = club(), utc(2033, 3)
    gone = at_level(tier, "silver", utc(2030, 3), 0)
    base = removed(advance(replace(gone, counters={}), utc(2031, 7)).holdings.standing(tier))
    idle = advance(Holdings((tier,), {tier.id: base}, {}, JOINED), back)
    assert idle.lowerings == ()
    now_gold = requalified(tier, idle.holdings.standing(tier), {"points": Decimal(1300)}, back)
    holdings = replace(idle.holdings, standings={tier.id: now_gold}, counters={"points": Counter(Decimal(1300))})
    assert (due_at(tier, now_gold), next_due(holdings)) == (utc(2034), utc(2034))
    assert seen(advance(holdings, utc(2033, 12))) == ("gold", utc(2034), "1300")
    assert seen(advance(holdings, utc(2034))) == ("gold", utc(2035), "300")
