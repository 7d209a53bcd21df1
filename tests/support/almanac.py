"""What a calendar says must happen, read off half hour by half hour, without any of the product's reckoning of time."""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

STEP = timedelta(minutes=30)
MARGIN = timedelta(days=2)


def mornings(zone: str, hour: int, minute: int, start: datetime, end: datetime) -> dict[date, datetime]:
    """For each date of a zone the first half hour whose wall clock shows that time of day or a later one, where it lies after
    `start` and not after `end`.

    So a time that a spring night skips comes right after the gap, and one that an autumn night repeats comes the first time.
    """
    found: dict[date, datetime] = {}
    for moment in _half_hours(start - MARGIN, end):
        wall = moment.astimezone(ZoneInfo(zone))
        if (wall.hour, wall.minute) >= (hour, minute):
            found.setdefault(wall.date(), moment)
    return {day: moment for day, moment in found.items() if start < moment <= end}


def _half_hours(start: datetime, end: datetime) -> Iterator[datetime]:
    moment = start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    while moment <= end:
        yield moment
        moment += STEP


def firsts_of_months(days: Iterable[date]) -> set[date]:
    """Those that are the first of a month."""
    return {day for day in days if day.day == 1}


def is_birthday(birthday: str, day: date) -> bool:
    """Whether a date celebrates `MM-DD`; the 29th of February on the 28th in years without one."""
    has_leap_day = (date(day.year, 3, 1) - timedelta(days=1)).day == 29
    celebrated = "02-28" if birthday == "02-29" and not has_leap_day else birthday
    return day.strftime("%m-%d") == celebrated


def birthdays(count: int) -> list[str]:
    """So many `MM-DD`, spread over a leap year; the end of February and the first of March are among them, however few."""
    days = [(date(2000, 2, 28) + timedelta(days=number)).strftime("%m-%d") for number in range(366)]
    special, others = days[:3], days[3:]
    return special + [others[number * len(others) // (count - len(special))] for number in range(count - len(special))]
