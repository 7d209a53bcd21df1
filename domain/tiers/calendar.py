"""When periods end, levels expire and lapse: a tier's calendar in its own time zone (tiers.md 4.1). Moments in UTC.

A midnight or time of day that clocks skip is the moment they are put forward; one that comes twice is the first. What
would lie after the year 9999 never comes: None.
"""

from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from domain.tiers.definition import DowngradeMode, Lifecycle, PeriodType, RetentionMode, Tier

SECOND = timedelta(seconds=1)
_MONTHS_OF_YEAR = 12


def end_after(lifecycle: Lifecycle, moment: datetime) -> datetime | None:
    """The first period end after a moment; None without periods."""
    found = _end_after(lifecycle, moment)
    return None if found is None else found[1]


def period_ends(lifecycle: Lifecycle, after: datetime, until: datetime) -> Iterator[datetime]:
    """The period ends after a moment up to and including another, ascending."""
    end = end_after(lifecycle, after)
    while end is not None and end <= until:
        yield end
        end = end_after(lifecycle, end)


def lifecycle_expiry(tier: Tier, level: str | None, at: datetime) -> datetime | None:
    """Until when a level assigned or renewed at a moment is valid, grace days not counted; None is without end."""
    lifecycle = tier.lifecycle
    if lifecycle is None or level is None or never_lowered(tier, level):
        return None
    if lifecycle.mode is RetentionMode.ACTIVITY_REFRESH:
        return _later(at, lifecycle.duration)
    found = _end_after(lifecycle, at)
    valid = None if found is None else add_months(found[0], lifecycle.extend_months)
    return None if valid is None else _midnight(valid, lifecycle.timezone)


def never_lowered(tier: Tier, level: str) -> bool:
    """Whether its lifecycle leaves a level alone: policy HOLD, or at or below `min_level`."""
    lifecycle = tier.lifecycle
    if lifecycle is None or lifecycle.downgrade is DowngradeMode.HOLD:
        return True
    return lifecycle.min_level is not None and tier.rank_of(level) <= tier.rank_of(lifecycle.min_level)


def lapse_at(lifecycle: Lifecycle, expiry: datetime | None) -> datetime | None:
    """When a level with this lifecycle expiry is lowered: its grace days later, on the calendar of the tier's zone."""
    if expiry is None or not lifecycle.grace_days:
        return expiry
    zone = _zone(lifecycle.timezone)
    try:
        if lifecycle.has_periods:
            return _midnight(expiry.astimezone(zone).date() + timedelta(days=lifecycle.grace_days), lifecycle.timezone)
        wall = expiry.astimezone(zone).replace(tzinfo=None, fold=0)
        return _at_wall(wall + timedelta(days=lifecycle.grace_days), zone)
    except OverflowError:
        return None


def add_months(day: date, months: int) -> date | None:
    """A day so many months later, clamped to the month's last day."""
    year, month = divmod(day.year * _MONTHS_OF_YEAR + day.month - 1 + months, _MONTHS_OF_YEAR)
    if year > date.max.year:
        return None
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _later(moment: datetime, duration: timedelta | None) -> datetime | None:
    assert duration is not None, "activity keeps a level for a duration"
    try:
        return moment + duration
    except OverflowError:
        return None


def _end_after(lifecycle: Lifecycle, moment: datetime) -> tuple[date, datetime] | None:
    """The first period end after a moment, and the day that begins with it."""
    if not lifecycle.has_periods:
        return None
    month, day = (lifecycle.start_month, lifecycle.start_day) if lifecycle.period is PeriodType.FIXED_YEAR else (1, 1)
    for found in _ends_around(moment.astimezone(UTC).year, month, day, lifecycle.timezone):
        if found[1] > moment:
            return found
    return None


@lru_cache(maxsize=4096)
def _ends_around(year: int, month: int, day: int, timezone: str) -> tuple[tuple[date, datetime], ...]:
    """The period ends of a year and of those beside it, ascending."""
    years = range(max(year - 1, date.min.year), min(year + 2, date.max.year) + 1)
    days = (date(each, month, day) for each in years)
    return tuple((begins, end) for begins in days if (end := _midnight(begins, timezone)) is not None)


@lru_cache(maxsize=4096)
def _midnight(day: date, timezone: str) -> datetime | None:
    try:
        return _at_wall(datetime.combine(day, time()), _zone(timezone))
    except OverflowError:
        return None


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _at_wall(wall: datetime, zone: tzinfo) -> datetime:
    """When a wall-clock time comes by in a zone. Raises OverflowError outside the years that there are."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return first if first <= second else _put_forward(second, first, zone)


def _put_forward(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """When clocks are put forward, which lies between two moments."""
    new = after.astimezone(zone).utcoffset()
    low, high = before.replace(microsecond=0), after.replace(microsecond=0)
    while high - low > SECOND:
        middle = low + (high - low) // (2 * SECOND) * SECOND
        low, high = (low, middle) if middle.astimezone(zone).utcoffset() == new else (middle, high)
    return high
