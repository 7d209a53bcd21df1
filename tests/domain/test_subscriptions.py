"""Dates of attributes, whatever the calendar and the clocks do (automations.md 3.1)."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.automations import ScheduleType
from domain.subscription_forms import parse_schedule
from domain.subscriptions import (
    AttributeDate,
    Interval,
    NoDate,
    SubscriptionStatus,
    changes_with_time,
    plan,
    schedule_of,
    turn,
)

ZONES = ("UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu", "Africa/Casablanca")
DAY = timedelta(days=1)
days = st.dates(date(2000, 1, 1), date(2060, 12, 31))
moments = st.datetimes(datetime(2002, 1, 1), datetime(2058, 1, 1), timezones=st.just(UTC))
offsets = st.integers(-365, 365)
minutes = st.integers(0, 1439)
zones = st.sampled_from(ZONES)


def dated(offset: int = 0, minute: int = 0, zone: str = "UTC") -> AttributeDate:
    return AttributeDate("day", offset, minute, ZoneInfo(zone))


def walls(moment: datetime, zone: str) -> datetime:
    return moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def comes_by(wall: datetime, zone: str) -> list[datetime]:
    """By searching: the moments at which clocks show a time, or the first minute after it where it is skipped."""
    start = (wall - timedelta(hours=27)).replace(tzinfo=UTC)
    span = [start + timedelta(minutes=step) for step in range(54 * 60)]
    found = [moment for moment in span if walls(moment, zone) == wall]
    return found or [
        next(moment for moment in span if walls(moment, zone) > wall and walls(moment - timedelta(minutes=1), zone) < wall)
    ]


@settings(max_examples=50)
@given(days, offsets, minutes, zones, moments)
@example(date(2030, 3, 31), 0, 150, "Europe/Paris", datetime(2030, 1, 1, tzinfo=UTC))
@example(date(2030, 10, 27), 0, 150, "Europe/Paris", datetime(2030, 1, 1, tzinfo=UTC))
@example(date(2011, 12, 30), 0, 600, "Pacific/Apia", datetime(2011, 1, 1, tzinfo=UTC))
@example(date(2030, 10, 6), 0, 135, "Australia/Lord_Howe", datetime(2030, 1, 1, tzinfo=UTC))
def test_a_date_with_a_year_comes_once(day: date, offset: int, minute: int, zone: str, now: datetime) -> None:
    wall = datetime.combine(day, datetime.min.time()) + timedelta(days=offset, minutes=minute)
    wanted = comes_by(wall, zone)[0]
    found = dated(offset, minute, zone).after(day.isoformat(), now)
    assert found == (wanted if wanted > now else None)


@given(days, offsets, minutes, zones, moments)
@example(date(2000, 2, 29), 0, 540, "UTC", datetime(2030, 1, 1, tzinfo=UTC))
@example(date(2000, 2, 29), 1, 540, "UTC", datetime(2031, 2, 28, 12, tzinfo=UTC))
@example(date(2000, 1, 1), -365, 0, "Asia/Kathmandu", datetime(2030, 12, 31, 23, tzinfo=UTC))
@example(date(2000, 12, 31), 365, 1439, "America/New_York", datetime(2030, 1, 1, tzinfo=UTC))
def test_a_date_without_a_year_comes_every_year(day: date, offset: int, minute: int, zone: str, now: datetime) -> None:
    schedule, value = dated(offset, minute, zone), f"{day:%m-%d}"
    found = schedule.after(value, now)
    assert found is not None
    assert now < found <= now + 367 * DAY
    base = found.astimezone(ZoneInfo(zone)).date() - timedelta(days=offset)
    if zone != "Pacific/Apia":  # which has skipped a whole day
        assert (base.month, base.day) in {
            (day.month, day.day),
            (2, 28) if (day.month, day.day) == (2, 29) else (day.month, day.day),
        }
    candidates = []
    for year in range(now.year - 2, now.year + 4):
        try:
            at = day.replace(year=year)
        except ValueError:
            at = date(year, 2, 28)
        once = schedule.after(at.isoformat(), now)
        candidates += [] if once is None else [once]
    assert found == min(candidates), "the first of the dates that single years have"
    following = schedule.after(value, found)
    assert following is not None
    assert 363 * DAY < following - found < 368 * DAY


@pytest.mark.parametrize(
    "value", ["", "soon", "2-3", "02-30", "13-01", "2030-02-29", "2030-5-1", "20300501", "0000-01-01", " 05-20", "05-20\n"]
)
def test_other_texts_are_no_dates(value: str) -> None:
    with pytest.raises(NoDate):
        dated().after(value, datetime(2030, 1, 1, tzinfo=UTC))
    found = plan(dated(), {"day": value}, {}, datetime(2030, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))
    assert found is not None
    assert (found.status, found.next_trigger_at) == (SubscriptionStatus.FAILED, None)


def test_the_end_of_the_calendar() -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    with pytest.raises(NoDate):
        dated(365).after("9999-12-31", now)
    with pytest.raises(NoDate):
        dated(0, 1439, "America/New_York").after("9999-12-31", now)
    with pytest.raises(NoDate):
        dated(-365).after("0001-01-01", now)


@given(moments, st.integers(1, 10**7), st.integers(0, 10**9), st.booleans(), st.integers(-(10**6), 10**6))
def test_intervals_keep_their_phase(anchor: datetime, seconds: int, late: int, misses_none: bool, resumed: int) -> None:
    schedule = Interval(timedelta(seconds=seconds))
    planned = anchor + schedule.length
    now = planned + timedelta(seconds=late % (50 * seconds))
    since = anchor + timedelta(seconds=resumed)
    done = turn(schedule, planned, now, anchor=anchor, basis=None, active_since=since, misses_none=misses_none)
    for moment in (done.occurrence, done.following):
        assert moment is None or (moment - anchor) % schedule.length == timedelta(0)
    assert done.following is not None
    if done.occurrence is None:
        assert done.following > now
        return
    assert max(planned, since) <= done.occurrence <= now
    assert done.following == done.occurrence + schedule.length
    if not misses_none:
        assert done.following > now, "the latest missed one"


FAULTS: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    ("ATTRIBUTE_DATE", {}, {"attribute": "required"}),
    ("ATTRIBUTE_DATE", {"attribute": "a", "offset_days": 366}, {"offset_days": "out_of_range"}),
    ("ATTRIBUTE_DATE", {"attribute": "a", "offset_days": True}, {"offset_days": "invalid"}),
    ("ATTRIBUTE_DATE", {"attribute": "a", "offset_days": Decimal("1.5")}, {"offset_days": "invalid"}),
    ("ATTRIBUTE_DATE", {"attribute": "a", "time": "24:00"}, {"time": "invalid"}),
    ("ATTRIBUTE_DATE", {"attribute": "a", "time": "9:00"}, {"time": "invalid"}),
    ("ATTRIBUTE_DATE", {"attribute": "a", "timezone": "UTC"}, {"timezone": "unknown_field"}),
    ("INTERVAL", {"interval": "59s"}, {"interval": "out_of_range"}),
    ("INTERVAL", {"interval": "1d"}, {"interval": "invalid"}),
    ("INTERVAL", {"interval": None}, {"interval": "required"}),
    ("CRON", {"cron_expression": "@daily", "timezone": "Mars"}, {"cron_expression": "invalid", "timezone": "invalid"}),
    (
        "THRESHOLD",
        {"counter": "a/b", "operator": "!=", "threshold": "x"},
        dict.fromkeys(("counter", "operator", "threshold"), "invalid"),
    ),
    ("THRESHOLD", {"counter": "a", "operator": ">", "threshold": True}, {"threshold": "invalid"}),
    ("THRESHOLD", {"counter": "a", "operator": ">", "threshold": "1" * 21}, {"threshold": "out_of_range"}),
    ("THRESHOLD", {"counter": "a", "operator": ">"}, {"threshold": "required"}),
]


@pytest.mark.parametrize(("kind", "config", "wanted"), FAULTS)
def test_what_is_wrong_is_named(kind: str, config: dict[str, Any], wanted: dict[str, str]) -> None:
    _, faults = parse_schedule(ScheduleType(kind), config, "c")
    assert {fault.field: fault.reason for fault in faults} == {f"c.{name}": reason for name, reason in wanted.items()}


@pytest.mark.parametrize("threshold", [3, Decimal("3.0"), "3", "3.00"])
def test_thresholds_are_numbers_or_texts(threshold: object) -> None:
    config, faults = parse_schedule(ScheduleType.THRESHOLD, {"counter": "n", "operator": ">=", "threshold": threshold}, "c")
    assert (faults, config["threshold"]) == ([], "3")
    found = plan(
        schedule_of(ScheduleType.THRESHOLD, config, "UTC"), {}, {"n": Decimal(3)}, *[datetime(2030, 1, 1, tzinfo=UTC)] * 2
    )
    assert found is not None
    assert found.is_met


def test_what_time_alone_changes() -> None:
    for name in (
        "now",
        "participant",
        "participant.balances",
        "participant.counters",
        "program",
        "program.tags",
        "groups",
        "group",
    ):
        assert changes_with_time(frozenset({name})), name
    assert not changes_with_time(frozenset({"participant.tags", "participant.attributes", "participant.id"}))
