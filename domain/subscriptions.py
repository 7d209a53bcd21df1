"""Schedules of a participant's own state: when the subscriptions of an automation fire (automations.md 3)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from enum import StrEnum
from typing import Any

from domain.automations import MOST_FAILURES, Schedule, ScheduleType, zone_of
from domain.durations import parse_duration
from domain.processing.variables import reads_balances, reads_groups
from domain.recurrence import moment_of
from domain.tiers.definition import Criterion, Operator

_YEARLY = re.compile(r"([0-9]{2})-([0-9]{2})", re.ASCII)
_ONCE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})", re.ASCII)
_LEAP_YEAR = 2000
_FIRST_RETRY = timedelta(seconds=2)
# Crossings of one participant's counters that come together are told apart by so much.
TICK = timedelta(microseconds=1)


class SubscriptionStatus(StrEnum):
    """COMPLETED: there is nothing more to fire."""

    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class NoDate(ValueError):
    """An attribute's text isn't a date, or lies where no calendar reaches."""


@dataclass(frozen=True, slots=True)
class AttributeDate:
    """A moment that an attribute's date gives: so many days off, at a time of day in a time zone."""

    attribute: str
    offset_days: int
    minutes: int
    zone: tzinfo

    def after(self, value: str, moment: datetime) -> datetime | None:
        """The first one strictly after a moment, in UTC; None when a date with a year has passed. NoDate."""
        try:
            return self._after(value, moment)
        except OverflowError:
            raise _no_date(value) from None

    def is_yearly(self, value: str) -> bool:
        """Whether the date has no year."""
        return _YEARLY.fullmatch(value) is not None

    def _after(self, value: str, moment: datetime) -> datetime | None:
        yearly, once = _YEARLY.fullmatch(value), _ONCE.fullmatch(value)
        if yearly is not None:
            month, day = int(yearly[1]), int(yearly[2])
            _date(value, _LEAP_YEAR, month, day)
            # an offset leads at most a year away, a time zone a day
            years = range(moment.year - 2, moment.year + 4)
            return min(found for year in years if (found := self._at(_in_year(year, month, day))) > moment)
        if once is None:
            raise _no_date(value)
        found = self._at(_date(value, int(once[1]), int(once[2]), int(once[3])))
        return found if found > moment else None

    def _at(self, day: date) -> datetime:
        wall = datetime.combine(day, time.min) + timedelta(days=self.offset_days, minutes=self.minutes)
        return moment_of(wall, self.zone)


def _in_year(year: int, month: int, day: int) -> date:
    """The date in a year; 28 February for a 29th that isn't there."""
    try:
        return date(year, month, day)
    except ValueError:
        return date(year, month, day - 1)


def _date(value: str, year: int, month: int, day: int) -> date:
    try:
        return date(year, month, day)
    except ValueError:
        raise _no_date(value) from None


def _no_date(value: str) -> NoDate:
    return NoDate(f"not a date MM-DD or YYYY-MM-DD: {value[:100]}")


@dataclass(frozen=True, slots=True)
class Interval:
    """Every so often since a subscription began."""

    length: timedelta

    def after(self, anchor: datetime, moment: datetime) -> datetime:
        """The first one strictly after a moment, never the beginning itself."""
        return anchor + max(1, (moment - anchor) // self.length + 1) * self.length

    def latest(self, anchor: datetime, planned: datetime, now: datetime) -> datetime:
        """Of those from the planned one on, the last that isn't after `now`."""
        return max(planned, self.after(anchor, now) - self.length)


@dataclass(frozen=True, slots=True)
class Threshold:
    """A comparison of a counter that turns from false to true."""

    criterion: Criterion

    @property
    def counter(self) -> str:
        """The key of the counter."""
        return self.criterion.counter

    def is_met(self, value: Decimal) -> bool:
        """Whether an effective value satisfies it."""
        return self.criterion.is_met({self.criterion.counter: value})


StateSchedule = AttributeDate | Interval | Schedule | Threshold


def schedule_of(kind: ScheduleType, config: Mapping[str, Any], timezone: str) -> StateSchedule:
    """What a checked configuration means."""
    match kind:
        case ScheduleType.ATTRIBUTE_DATE:
            hours, minutes = config.get("time", "00:00").split(":")
            offset = int(config.get("offset_days", 0))
            return AttributeDate(config["attribute"], offset, int(hours) * 60 + int(minutes), zone_of(timezone))
        case ScheduleType.INTERVAL:
            return Interval(parse_duration(config["interval"]))
        case ScheduleType.CRON:
            return Schedule(config["cron_expression"], config.get("timezone", timezone))
        case ScheduleType.THRESHOLD:
            return Threshold(Criterion(config["counter"], Operator(config["operator"]), Decimal(config["threshold"])))


@dataclass(frozen=True, slots=True)
class Plan:
    """What a subscription that begins waits for: a moment, or a change; `basis` is the attribute that it was read from."""

    status: SubscriptionStatus = SubscriptionStatus.ACTIVE
    next_trigger_at: datetime | None = None
    basis: str | None = None
    is_met: bool | None = None
    error: str | None = None


def plan(
    schedule: StateSchedule, attributes: Mapping[str, str], counters: Mapping[str, Decimal], anchor: datetime, now: datetime
) -> Plan | None:
    """How a participant with this state begins to wait; None without the attribute that the schedule reads."""
    if isinstance(schedule, Threshold):
        return Plan(is_met=schedule.is_met(counters.get(schedule.counter, Decimal(0))))
    if isinstance(schedule, Interval):
        return Plan(next_trigger_at=schedule.after(anchor, now))
    if isinstance(schedule, Schedule):
        return Plan(next_trigger_at=schedule.after(now))
    value = attributes.get(schedule.attribute)
    if value is None:
        return None
    try:
        found = schedule.after(value, now)
    except NoDate as error:
        return Plan(SubscriptionStatus.FAILED, basis=value, error=str(error))
    status = SubscriptionStatus.COMPLETED if found is None else SubscriptionStatus.ACTIVE
    return Plan(status, found, value)


@dataclass(frozen=True, slots=True)
class Turn:
    """What a subscription whose moment has come does: fires for `occurrence`, unless that was dropped, and waits for the next."""

    occurrence: datetime | None
    following: datetime | None


def turn(
    schedule: StateSchedule,
    planned: datetime,
    now: datetime,
    *,
    anchor: datetime,
    basis: str | None,
    active_since: datetime,
    misses_none: bool,
) -> Turn:
    """Dates that recur: only those since the automation can fire, and of several missed ones the latest.

    A date of an attribute waits instead. `misses_none`: the test clock is on its way. A crossing is its own moment.
    """
    if isinstance(schedule, Threshold):
        return Turn(planned, None)
    if isinstance(schedule, AttributeDate):
        return Turn(planned, _next_year(schedule, basis, planned))
    if planned < active_since:
        # the one at that very moment counts
        since = active_since - TICK
        planned = schedule.after(anchor, since) if isinstance(schedule, Interval) else schedule.after(since)
        if planned > now:
            return Turn(None, planned)
    if isinstance(schedule, Interval):
        occurrence = planned if misses_none else schedule.latest(anchor, planned, now)
        return Turn(occurrence, schedule.after(anchor, occurrence))
    occurrence = planned if misses_none else schedule.latest(planned, now)
    return Turn(occurrence, schedule.after(occurrence))


def _next_year(schedule: AttributeDate, basis: str | None, planned: datetime) -> datetime | None:
    if basis is None or not schedule.is_yearly(basis):
        return None
    try:
        return schedule.after(basis, planned)
    except NoDate:
        return None


def retry_after(failures: int) -> timedelta:
    """How long a subscription waits after so many failures in a row: 2, 4, 8, 16 seconds."""
    return _FIRST_RETRY * (1 << (min(failures, MOST_FAILURES) - 1))


def changes_with_time(reads: frozenset[str]) -> bool:
    """Whether a filter that reads these may change without a change of the participant's own state.

    A counter may lapse by auto-reset, whoever's it is.
    """
    if reads_balances(reads) or reads_groups(reads):
        return True
    return any(name in ("now", "participant.counters") or name.partition(".")[0] == "program" for name in reads)
