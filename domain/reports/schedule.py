"""The buckets of the expiration schedule: UTC days, weeks from Monday, calendar months (reporting.md, Expiration schedule)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

MOST_BUCKETS = 400
_DAY, _WEEK = timedelta(days=1), timedelta(weeks=1)
_MONTHS = 12


class Granularity(StrEnum):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class TooManyBuckets(ValueError):
    """More buckets than one answer has."""


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` to just before `end`."""

    start: datetime
    end: datetime


def spans(from_: datetime, to: datetime, granularity: Granularity) -> list[Span]:
    """The gapless buckets from the one that `from_` lies in to the one of `to`; TooManyBuckets.

    A last bucket that would end after the year 9999 ends with it.
    """
    found: list[Span] = []
    for span in _from(_aligned(from_, granularity), granularity):
        if span.start > to:
            return found
        if len(found) == MOST_BUCKETS:
            raise TooManyBuckets
        found.append(span)
    return found


def _aligned(moment: datetime, granularity: Granularity) -> datetime:
    midnight = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if granularity is Granularity.DAY:
        return midnight
    if granularity is Granularity.MONTH:
        return midnight.replace(day=1)
    # the year 1 begins with a Monday
    return midnight - timedelta(days=midnight.weekday())


def _from(start: datetime, granularity: Granularity) -> Iterator[Span]:
    while True:
        try:
            end = _next(start, granularity)
        except (OverflowError, ValueError):
            yield Span(start, datetime.max.replace(tzinfo=UTC))
            return
        yield Span(start, end)
        start = end


def _next(start: datetime, granularity: Granularity) -> datetime:
    if granularity is not Granularity.MONTH:
        return start + (_DAY if granularity is Granularity.DAY else _WEEK)
    if start.month == _MONTHS:
        return start.replace(year=start.year + 1, month=1)
    return start.replace(month=start.month + 1)
