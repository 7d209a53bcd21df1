"""Period ends, expiries and lapses on the calendar of a tier's zone (tiers.md 4.1)."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.tiers.calendar import end_after, lapse_at, lifecycle_expiry, period_ends
from domain.tiers.definition import DowngradeMode, Level, Lifecycle, PeriodType, RetentionMode, Tier

NIL = UUID(int=0)
INSTANT = timedelta(microseconds=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def yearly(month: int = 1, day: int = 1, zone: str = "UTC", **rest: Any) -> Lifecycle:
    period = PeriodType.FIXED_YEAR
    return Lifecycle(RetentionMode.PERIOD_BASED, period=period, start_month=month, start_day=day, timezone=zone, **rest)


def tier(lifecycle: Lifecycle | None) -> Tier:
    levels = (Level("bronze", 1), Level("silver", 2), Level("gold", 3))
    return Tier(NIL, NIL, "club", levels, lifecycle)


def test_a_period_ends_when_the_next_one_begins() -> None:
    lifecycle = Lifecycle(RetentionMode.PERIOD_BASED, period=PeriodType.CALENDAR_YEAR)
    end = utc("2031-01-01")
    assert end_after(lifecycle, end - INSTANT) == end
    assert end_after(lifecycle, end) == utc("2032-01-01")
    assert list(period_ends(lifecycle, utc("2030-06-01"), utc("2032-01-01"))) == [end, utc("2032-01-01")]
    assert end_after(lifecycle, utc("9999-06-01")) is None


@pytest.mark.parametrize(
    ("lifecycle", "after", "end"),
    [
        (yearly(1, 1, "Asia/Kathmandu"), "2030-12-31T18:14:59", "2030-12-31T18:15"),
        (yearly(1, 1, "America/New_York"), "2031-01-01T04:59", "2031-01-01T05:00"),
        (yearly(7, 1, "America/New_York"), "2030-07-01T04:00", "2031-07-01T04:00"),
        # the clock went from 00:00 to 01:00 in Brazil, and in Samoa a whole day was left out
        (yearly(11, 4, "America/Sao_Paulo"), "2018-11-04T02:59", "2018-11-04T03:00"),
        (yearly(12, 30, "Pacific/Apia"), "2011-12-30T09:59", "2011-12-30T10:00"),
        # in Cuba the first hour of this day comes twice
        (yearly(11, 4, "America/Havana"), "2029-12-01T00:00", "2030-11-04T05:00"),
    ],
)
def test_periods_end_at_midnight_in_the_zone(lifecycle: Lifecycle, after: str, end: str) -> None:
    assert end_after(lifecycle, utc(after)) == utc(end)


@pytest.mark.parametrize(
    ("lifecycle", "at", "expiry", "lapse"),
    [
        (yearly(extend_months=2, grace_days=10), "2030-05-01", "2031-03-01", "2031-03-11"),
        (yearly(8, 30, extend_months=6), "2030-05-01", "2031-02-28", "2031-02-28"),
        (yearly(8, 30, extend_months=6), "2031-05-01", "2032-02-29", "2032-02-29"),
        (yearly(12, 31, extend_months=120, grace_days=1), "2030-12-31", "2041-12-31", "2042-01-01"),
        # ten calendar days over the change to summer time have an hour less
        (yearly(3, 25, "Europe/Berlin", grace_days=10), "2030-01-01", "2030-03-24T23:00", "2030-04-03T22:00"),
        (yearly(11, 1, "America/Sao_Paulo", grace_days=3), "2018-01-01", "2018-11-01T03:00", "2018-11-04T03:00"),
    ],
)
def test_validity_and_grace(lifecycle: Lifecycle, at: str, expiry: str, lapse: str) -> None:
    found = lifecycle_expiry(tier(lifecycle), "gold", utc(at))
    assert found == utc(expiry)
    assert lapse_at(lifecycle, found) == utc(lapse)


def test_activity_keeps_a_level_for_its_duration_and_grace_follows_the_calendar() -> None:
    lifecycle = Lifecycle(RetentionMode.ACTIVITY_REFRESH, duration=timedelta(hours=720), grace_days=1, timezone="Europe/Berlin")
    expiry = lifecycle_expiry(tier(lifecycle), "gold", utc("2030-02-28T01:30"))
    assert expiry == utc("2030-03-30T01:30")
    # at 02:30 of the next day there is no such time in Berlin: the clock jumps to 03:00
    assert lapse_at(lifecycle, expiry) == utc("2030-03-31T01:00")
    endless = Lifecycle(RetentionMode.ACTIVITY_REFRESH, duration=timedelta.max)
    assert lifecycle_expiry(tier(endless), "gold", utc("2030-01-01")) is None


def test_what_is_never_lowered_never_expires() -> None:
    at = utc("2030-05-01")
    assert lifecycle_expiry(tier(None), "gold", at) is None
    assert lifecycle_expiry(tier(yearly()), None, at) is None
    assert lifecycle_expiry(tier(Lifecycle(RetentionMode.PERIOD_BASED)), "gold", at) is None
    assert lifecycle_expiry(tier(yearly(downgrade=DowngradeMode.HOLD)), "gold", at) is None
    floor = tier(yearly(min_level="silver"))
    assert [lifecycle_expiry(floor, level, at) is None for level in ("bronze", "silver", "gold")] == [True, True, False]
