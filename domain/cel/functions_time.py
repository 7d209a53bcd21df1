"""Functions and methods of timestamps and durations."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import ROUND_DOWN, ROUND_FLOOR, Decimal
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from domain.cel.errors import EvaluationError
from domain.cel.functions_numbers import EPOCH, unsupported
from domain.cel.functions_text import text
from domain.cel.operators import EXACT, MAX_DURATION, duration_in_range, shifted
from domain.cel.steps import Steps, examined

_TIMESTAMP = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,100}))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2})))?"
)
_OFFSET = re.compile(r"([+-])([0-9]{2}):([0-9]{2})")
_PART = re.compile(r"([0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(ns|us|\u00b5s|\u03bcs|ms|s|m|h)")
_DURATION = re.compile(rf"([+-]?)(?:0|((?:{_PART.pattern})+))")
_MICROS: Final = {
    "ns": Decimal("0.001"),
    "us": Decimal(1),
    "\u00b5s": Decimal(1),
    "\u03bcs": Decimal(1),
    "ms": Decimal(1_000),
    "s": Decimal(1_000_000),
    "m": Decimal(60_000_000),
    "h": Decimal(3_600_000_000),
}
_MAX_SECONDS: Final = Decimal(MAX_DURATION // timedelta(seconds=1))
_MAX_MICROS: Final = Decimal(MAX_DURATION // timedelta(microseconds=1))


def to_timestamp(steps: Steps, value: Any) -> datetime:
    """`timestamp(v)`: RFC 3339, a date (midnight UTC), or Unix seconds; digits after microseconds are cut."""
    if type(value) is datetime:
        return value
    if type(value) is Decimal:
        if value.copy_abs() > _MAX_SECONDS:
            raise EvaluationError("timestamp out of range")
        micros = EXACT.multiply(value, _MICROS["s"]).to_integral_value(ROUND_FLOOR)
        return shifted(EPOCH, timedelta(microseconds=int(micros)))
    if type(value) is not str:
        raise unsupported("timestamp", value)
    examined(steps, len(value))
    match = _TIMESTAMP.fullmatch(value)
    if match is None:
        raise EvaluationError("timestamp: neither RFC 3339 nor a date")
    return _moment(match)


def _moment(match: re.Match[str]) -> datetime:
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    micros = int((match[7] or "")[:6].ljust(6, "0"))
    try:
        moment = datetime(year, month, day, hour, minute, second, micros, UTC)
    except ValueError:
        raise EvaluationError("timestamp out of range") from None
    if match[8] is None:
        return moment
    return shifted(moment, -_offset(match[8], match[9], match[10]))


def _offset(sign: str, hours: str, minutes: str) -> timedelta:
    if int(hours) > 23 or int(minutes) > 59:
        raise EvaluationError("time offset out of range")
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return -offset if sign == "-" else offset


def to_duration(steps: Steps, value: Any) -> timedelta:
    """`duration(s)`: numbers with units `h`, `m`, `s`, `ms`, `us`, `ns`, as in `1h30m`."""
    if type(value) is timedelta:
        return value
    source = text("duration", value)
    examined(steps, len(source))
    match = _DURATION.fullmatch(source) if len(source) <= 200 else None
    if match is None:
        raise EvaluationError("duration: not a duration")
    micros = Decimal(0)
    for count, unit in _PART.findall(match[2] or ""):
        micros = EXACT.add(micros, EXACT.multiply(Decimal(count), _MICROS[unit]))
    if micros > _MAX_MICROS:
        raise EvaluationError("duration out of range")
    result = timedelta(microseconds=int(micros.to_integral_value(ROUND_DOWN)))
    return duration_in_range(-result if match[1] == "-" else result)


@lru_cache(maxsize=1)
def _zone_names() -> frozenset[str]:
    # Which names exist must not depend on the machine, as the names in its own zone folder would.
    return frozenset(importlib.resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


@lru_cache(maxsize=1024)
def zone(name: str) -> tzinfo:
    """Time zone of an IANA name or offset such as `+02:00`; raises EvaluationError."""
    if name == "UTC":
        return UTC
    match = _OFFSET.fullmatch(name)
    if match is not None:
        return timezone(_offset(match[1], match[2], match[3]))
    if name not in _zone_names():
        raise EvaluationError("unknown time zone")
    return ZoneInfo(name)


def _local(name: str, value: Any, tz: Any) -> datetime:
    if type(value) is not datetime:
        raise unsupported(name, value)
    try:
        return value.astimezone(zone(text(name, tz)))
    except OverflowError:
        raise EvaluationError("timestamp out of range") from None


def _getter(name: str, read: Callable[[datetime], int], unit: timedelta | None = None) -> Callable[..., Decimal]:
    """A method of timestamps with an optional time zone; with `unit`, also of durations."""

    def get(_: Steps, value: Any, tz: Any = None) -> Decimal:
        if type(value) is timedelta and unit is not None and tz is None:
            count = abs(value) // unit
            return Decimal(-count if value < timedelta(0) else count)
        return Decimal(read(_local(name, value, "UTC" if tz is None else tz)))

    return get


GETTERS: Final[dict[str, Callable[..., Decimal]]] = {
    "getFullYear": _getter("getFullYear", lambda t: t.year),
    "getMonth": _getter("getMonth", lambda t: t.month - 1),
    "getDate": _getter("getDate", lambda t: t.day),
    "getDayOfMonth": _getter("getDayOfMonth", lambda t: t.day - 1),
    "getDayOfWeek": _getter("getDayOfWeek", lambda t: t.isoweekday() % 7),
    "getDayOfYear": _getter("getDayOfYear", lambda t: t.timetuple().tm_yday - 1),
    "getHours": _getter("getHours", lambda t: t.hour, timedelta(hours=1)),
    "getMinutes": _getter("getMinutes", lambda t: t.minute, timedelta(minutes=1)),
    "getSeconds": _getter("getSeconds", lambda t: t.second, timedelta(seconds=1)),
    "getMilliseconds": _getter("getMilliseconds", lambda t: t.microsecond // 1000, timedelta(milliseconds=1)),
}


def days_between(_: Steps, first: Any, second: Any, tz: Any = "UTC") -> Decimal:
    """`daysBetween(t1, t2, tz)`: calendar days, negative when t2 is earlier."""
    start, end = _local("daysBetween", first, tz), _local("daysBetween", second, tz)
    return Decimal((end.date() - start.date()).days)


def _start(local: datetime, days_back: int) -> datetime:
    """Midnight of the day so many days before, in UTC; the first instant of a day without midnight."""
    try:
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0) - timedelta(days=days_back)
        return midnight.astimezone(UTC)
    except (OverflowError, ValueError):
        raise EvaluationError("timestamp out of range") from None


def start_of_day(_: Steps, value: Any, tz: Any = "UTC") -> datetime:
    return _start(_local("startOfDay", value, tz), 0)


def start_of_week(_: Steps, value: Any, tz: Any = "UTC") -> datetime:
    """`startOfWeek(t, tz)`: Monday."""
    local = _local("startOfWeek", value, tz)
    return _start(local, local.weekday())


def start_of_month(_: Steps, value: Any, tz: Any = "UTC") -> datetime:
    local = _local("startOfMonth", value, tz)
    return _start(local, local.day - 1)
