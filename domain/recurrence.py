"""Cron expressions of five fields: when they occur, in any time zone (automations.md 2.2). Pure; the caller has the clock.

cronsim knows the calendar of the wall clock; how wall-clock times become moments where clocks are put forward or back is
decided here:

- An expression whose hour field is `*` or `*/n` follows elapsed time: it fires at each minute that comes by and matches, in
  the repeated hour twice, in the skipped hour never.
- Any other names times of day: one in the skipped hour fires at the first minute after it, one in the repeated hour once,
  the first time.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import cast

from cronsim import CronSim, CronSimError

MAX_LENGTH = 255
MINUTE = timedelta(minutes=1)
# No zone of today's puts its clock back by more in one step.
_MOST_REPEATED = timedelta(hours=3)
_FIELDS = ("minute", "hour", "day of month", "month", "day of week")
_MONTHS = "|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC"
_DAYS = "|SUN|MON|TUE|WED|THU|FRI|SAT"
_RANGE_OF_ONE = re.compile(r"\b([0-9A-Z]+)-\1/[0-9]+", re.ASCII)
_ELAPSED = re.compile(r"\*(/[0-9]+)?", re.ASCII)


class CronError(ValueError):
    """A text that isn't a cron expression, or one that never occurs."""


def _field(names: str = "") -> re.Pattern[str]:
    value = rf"(?:[0-9]{{1,2}}{names})"
    term = rf"(?:\*|{value}(?:-{value})?)(?:/[0-9]{{1,2}})?"
    return re.compile(rf"{term}(?:,{term})*", re.ASCII)


_FORMS = (_field(), _field(), _field(), _field(_MONTHS), _field(_DAYS))


@dataclass(frozen=True, slots=True)
class Cron:
    """A checked expression, its letters in upper case and its fields one blank apart: equal ones mean the same times."""

    expression: str

    @property
    def follows_elapsed_time(self) -> bool:
        """Whether it fires by elapsed time rather than at times of day."""
        return _ELAPSED.fullmatch(self.expression.split(" ")[1]) is not None


@lru_cache(maxsize=4096)
def parse_cron(text: str) -> Cron:
    """Read an expression: minute, hour, day of month, month, day of week, with `*`, `,`, `-`, `/` and English short names.

    A day field that begins with `*` restricts nothing by itself: only when neither does, either one suffices. Raises CronError.
    """
    if len(text) > MAX_LENGTH or not text.isascii():
        raise CronError(f"At most {MAX_LENGTH} characters of ASCII")
    fields = re.split(r"[ \t]+", text.upper())
    if len(fields) != len(_FIELDS):
        raise CronError("Must have five fields: " + ", ".join(_FIELDS))
    for name, form, field in zip(_FIELDS, _FORMS, fields, strict=True):
        if not form.fullmatch(field):
            raise CronError(f"The {name} isn't one")
    # a range of one value stays one with a step, while a value with a step goes on to the end
    expression = _RANGE_OF_ONE.sub(r"\1", " ".join(fields))
    try:
        CronSim(expression, datetime(2000, 1, 1))  # noqa: DTZ001 - wall-clock time
    except CronSimError as error:
        raise CronError(f"{error}: out of its range, or never") from error
    return Cron(expression)


def next_occurrence(cron: Cron, after: datetime, zone: tzinfo = UTC) -> datetime:
    """The first occurrence after a moment, in UTC."""
    repeated = _put_back(after, zone, ahead=_MOST_REPEATED)
    best: datetime | None = None
    for wall in _walls(cron, _wall(after, zone) - repeated):
        moments = _moments(cron, wall, zone)
        if best is not None and moments and moments[0] >= best:
            break
        best = min((moment for moment in moments if moment > after and (best is None or moment < best)), default=best)
        if best is not None and not repeated:
            break
    assert best is not None, "a checked expression occurs within 50 years"
    return best


def latest_occurrence(cron: Cron, until: datetime, zone: tzinfo = UTC) -> datetime:
    """The last occurrence that isn't after a moment, in UTC."""
    repeated = _put_back(until, zone, ahead=-_MOST_REPEATED)
    best: datetime | None = None
    for wall in _walls(cron, _wall(until, zone) + repeated + MINUTE, backwards=True):
        moments = _moments(cron, wall, zone)
        if best is not None and moments and moments[-1] <= best:
            break
        best = max((moment for moment in moments if moment <= until and (best is None or moment > best)), default=best)
        if best is not None and not repeated:
            break
    assert best is not None, "a checked expression occurs within 50 years"
    return best


def _walls(cron: Cron, start: datetime, *, backwards: bool = False) -> Iterator[datetime]:
    """The wall-clock times that match, strictly after a time, or strictly before it; never a zone."""
    return cast("Iterator[datetime]", CronSim(cron.expression, start, reverse=backwards))


def _wall(moment: datetime, zone: tzinfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def _put_back(moment: datetime, zone: tzinfo, *, ahead: timedelta) -> timedelta:
    """By how much clocks are put back between a moment and the one `ahead` of it (or before it)."""
    here, there = _offset(moment, zone), _offset(moment + ahead, zone)
    return max(timedelta(0), here - there if ahead > timedelta(0) else there - here)


def _offset(moment: datetime, zone: tzinfo) -> timedelta:
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None
    return offset


def _moments(cron: Cron, wall: datetime, zone: tzinfo) -> tuple[datetime, ...]:
    """When a wall-clock time that matches comes by, ascending; `()` only where elapsed time skips it."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first == second:
        return (first,)
    if first < second:
        return (first, second) if cron.follows_elapsed_time else (first,)
    # In the gap the later offset gives the earlier moment; the clocks are put forward between the two.
    return () if cron.follows_elapsed_time else (_end_of_gap(second, first, zone),)


def moment_of(wall: datetime, zone: tzinfo) -> datetime:
    """When a wall-clock time comes by, in UTC: the first time where it is repeated, the first minute after it where skipped."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return first if first <= second else _end_of_gap(second, first, zone)


def _end_of_gap(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """The first minute with the offset that `after` has, `before` having the earlier one."""
    new = _offset(after, zone)

    def has_begun(minutes: int) -> bool:
        return _offset(before + minutes * MINUTE, zone) == new

    return before + _first(has_begun, (after - before) // MINUTE) * MINUTE


def _first(holds: Callable[[int], bool], known: int) -> int:
    """The least number from 0 on for which `holds`, which it does for `known` and from some number on."""
    low, high = 0, known
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low
