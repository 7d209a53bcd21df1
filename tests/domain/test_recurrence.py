"""Cron expressions against a calendar that is walked minute by minute (automations.md 2.2)."""

import re
from bisect import bisect_right
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from domain.recurrence import CronError, latest_occurrence, next_occurrence, parse_cron

MINUTE = timedelta(minutes=1)
# A zone and a moment near which its clocks change: by an hour, by half an hour, at midnight, at Ramadan, by 45 minutes' offset.
CHANGES = [
    (UTC, datetime(2026, 3, 1, tzinfo=UTC)),
    (ZoneInfo("Europe/Berlin"), datetime(2026, 3, 29, 1, tzinfo=UTC)),
    (ZoneInfo("Europe/Berlin"), datetime(2026, 10, 25, 1, tzinfo=UTC)),
    (ZoneInfo("America/New_York"), datetime(2027, 3, 14, 7, tzinfo=UTC)),
    (ZoneInfo("America/New_York"), datetime(2026, 11, 1, 6, tzinfo=UTC)),
    (ZoneInfo("Australia/Lord_Howe"), datetime(2026, 4, 4, 15, tzinfo=UTC)),
    (ZoneInfo("Australia/Lord_Howe"), datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    (ZoneInfo("America/Santiago"), datetime(2026, 9, 6, 4, tzinfo=UTC)),
    (ZoneInfo("America/Santiago"), datetime(2026, 4, 5, 3, tzinfo=UTC)),
    (ZoneInfo("Pacific/Chatham"), datetime(2026, 9, 26, 14, tzinfo=UTC)),
    (ZoneInfo("Africa/Casablanca"), datetime(2026, 2, 15, 2, tzinfo=UTC)),
    (ZoneInfo("Asia/Kolkata"), datetime(2026, 6, 1, tzinfo=UTC)),
]
BEFORE, AFTER = timedelta(days=2), timedelta(days=12)
NAMES = {name: number for number, name in enumerate(["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"])} | {
    name: number
    for number, name in enumerate(["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"], 1)
}


# ------------------------------------------------------ a calendar of our own
def values(field: str, low: int, high: int) -> set[int]:
    """The numbers that a field means."""
    found: set[int] = set()
    for term in field.split(","):
        span, _, step = term.partition("/")
        first, _, last = span.partition("-")
        if first == "*":
            start, end = low, high
        else:
            start = NAMES.get(first) if first in NAMES else int(first)
            end = (NAMES[last] if last in NAMES else int(last)) if last else (high if step else start)
        found.update(range(start, end + 1, int(step or 1)))
    return found


class Meaning:
    """What an expression means, told minute by minute."""

    def __init__(self, expression: str) -> None:
        minute, hour, day, month, weekday = expression.split()
        self.minutes, self.hours, self.months = values(minute, 0, 59), values(hour, 0, 23), values(month, 1, 12)
        self.days, self.weekdays = values(day, 1, 31), {number % 7 for number in values(weekday, 0, 7)}
        self.needs_both = day.startswith("*") or weekday.startswith("*")
        self.by_elapsed_time = re.fullmatch(r"\*(/\d+)?", hour) is not None

    def matches(self, wall: datetime) -> bool:
        by_day, by_weekday = wall.day in self.days, wall.isoweekday() % 7 in self.weekdays
        is_day = (by_day and by_weekday) if self.needs_both else (by_day or by_weekday)
        return is_day and wall.month in self.months and wall.hour in self.hours and wall.minute in self.minutes

    def occurs(self, previous: datetime, local: datetime) -> bool:
        """Whether it fires at the minute `local`, when `previous` was the minute before it."""
        wall = local.replace(tzinfo=None, fold=0)
        if self.by_elapsed_time:
            return self.matches(wall)
        if self.matches(wall) and local.fold == 0:
            return True
        skipped = previous.replace(tzinfo=None, fold=0) + MINUTE
        while skipped < wall:
            if self.matches(skipped):
                return True
            skipped += MINUTE
        return False


@lru_cache
def minutes_of(zone: tzinfo, change: datetime) -> list[datetime]:
    """Each minute from two days before a change to twelve days after it, on that zone's clock."""
    start, count = change - BEFORE, (BEFORE + AFTER) // MINUTE
    return [(start + number * MINUTE).astimezone(zone) for number in range(count)]


def enumerated(expression: str, zone: tzinfo, change: datetime, days: int) -> list[datetime]:
    """Every occurrence of the first `days` days, found by looking at each minute."""
    meaning, clock = Meaning(expression), minutes_of(zone, change)[: days * 1440]
    return [local.astimezone(UTC) for previous, local in pairwise(clock) if meaning.occurs(previous, local)]


# ----------------------------------------------------------------- expressions
def fields(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    spans = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    step = st.integers(1, high)
    term = st.one_of(number.map(str), spans, st.tuples(spans, step).map(lambda pair: f"{pair[0]}/{pair[1]}"))
    starred = st.one_of(st.just("*"), st.integers(1, high).map(lambda n: f"*/{n}"))
    return st.one_of(starred, term, st.lists(st.one_of(term, number.map(str)), min_size=2, max_size=3).map(",".join))


# Minutes and hours near the changes of the clocks, which happen in the first hours of a day.
EXPRESSIONS = st.tuples(
    fields(0, 59),
    st.one_of(fields(0, 23), fields(0, 3)),
    st.one_of(st.just("*"), fields(1, 31)),
    st.just("*"),
    st.one_of(st.just("*"), st.sampled_from(["SUN", "sat,sun", "MON-FRI", "6-7", "*/2", "0,3"])),
).map(" ".join)


# a failing expression is short as it is
@settings(max_examples=100, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(EXPRESSIONS, st.sampled_from(CHANGES), st.integers(0, 4 * 1440 - 1), st.integers(0, 59_999_999))
def test_next_and_latest_are_what_the_calendar_says(
    expression: str, place: tuple[tzinfo, datetime], minute: int, rest: int
) -> None:
    zone, change = place
    cron, expected = parse_cron(expression), enumerated(expression.upper(), zone, change, 4)
    start = change - BEFORE
    moment = start + minute * MINUTE + timedelta(microseconds=rest if minute % 2 else 0)
    position = bisect_right(expected, moment)
    if position < len(expected):
        assert next_occurrence(cron, moment, zone) == expected[position]
    else:
        assert next_occurrence(cron, moment, zone) >= start + timedelta(days=4)
    if position:
        assert latest_occurrence(cron, moment, zone) == expected[position - 1]
    else:
        assert latest_occurrence(cron, moment, zone) <= start


@pytest.mark.parametrize(("zone", "change"), CHANGES[1:7], ids=str)
@pytest.mark.parametrize(
    "expression", ["30 2 * * *", "*/20 1-2 * * *", "0 * * * *", "15,45 */2 * * *", "0 0 * * *", "0 9 13 * FRI", "59 23 */10 * *"]
)
def test_two_weeks_of_occurrences(expression: str, zone: tzinfo, change: datetime) -> None:
    cron = parse_cron(expression)
    expected = enumerated(expression, zone, change, 14)
    moment, found = change - BEFORE, []
    while (moment := next_occurrence(cron, moment, zone)) < change + AFTER - MINUTE:
        found.append(moment)
    assert found == expected
    back, moment = [], change + AFTER - MINUTE
    for _ in found:
        moment = latest_occurrence(cron, moment - MINUTE / 2, zone)
        back.append(moment)
    assert back[::-1] == expected


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00Z", "2026-03-29T01:00Z"),
        ("30 2 * * *", "Europe/Berlin", "2026-03-29T01:00Z", "2026-03-30T00:30Z"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00Z", "2026-10-25T00:30Z"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30Z", "2026-10-26T01:30Z"),
        ("30 * * * *", "Europe/Berlin", "2026-10-25T00:30Z", "2026-10-25T01:30Z"),
        ("30 * * * *", "Europe/Berlin", "2026-03-29T00:30Z", "2026-03-29T01:30Z"),
        ("0 0 29 2 *", "UTC", "2096-03-01T00:00Z", "2104-02-29T00:00Z"),
        ("0 0 13 * 5", "UTC", "2026-02-13T00:00Z", "2026-02-20T00:00Z"),
        ("0 0 1 1 *", "UTC", "2026-12-31T23:59Z", "2027-01-01T00:00Z"),
    ],
)
def test_by_hand(expression: str, zone: str, after: str, expected: str) -> None:
    moment, wanted = datetime.fromisoformat(after), datetime.fromisoformat(expected)
    assert next_occurrence(parse_cron(expression), moment, ZoneInfo(zone)) == wanted


@pytest.mark.parametrize("text", ["0 0 * * mon", "0 0  * * MON", "0\t0 * * Mon"])
def test_spelling_does_not_matter(text: str) -> None:
    assert parse_cron(text) == parse_cron("0 0 * * MON")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "0 * * * * *",
        "@daily",
        "CRON_TZ=UTC 0 0 * * *",
        "TZ=UTC 0 0 * * *",
        "0 0 31 2 *",
        "0 0 30,31 2 *",
        "0 0 31 4,6,9,11 *",
        "0 0 L * *",
        "0 0 LW * *",
        "0 0 15W * *",
        "0 0 * * 5#2",
        "0 0 * * 5L",
        "0 0 ? * *",
        "0 0 * JAN-XYZ *",
        "0 0 * MON *",
        "0 0 * * JAN",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * * 8",
        "*/0 * * * *",
        "5-1 * * * *",
        "1,,2 * * * *",
        "1- * * * *",
        "-1 * * * *",
        "*/ * * * *",
        "* * * * *\n",
        "*\u00a0* * * *",
        "٣ * * * *",
        "ſUN * * * *",
        " * * * * *",
        "* " * 200,
        "1" * 300,
    ],
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(CronError):
        parse_cron(text)
