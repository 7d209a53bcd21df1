"""What is wrong with the configuration of a schedule of participant_state automations (automations.md 3.1); form only."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from domain.automations import ScheduleType, time_zones
from domain.durations import DurationError, parse_duration
from domain.errors import Fault
from domain.money import CEILING, MAX_SCALE, AmountError, format_plain, parse_signed, to_scale
from domain.recurrence import CronError, parse_cron
from domain.rules.forms import Malformed, malformed, member, shorten, state_key
from domain.tiers.definition import Operator

MOST_OFFSET_DAYS = 365
SHORTEST_INTERVAL = timedelta(minutes=1)
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)


def _offset_days(value: object) -> int:
    expected = f"integer {-MOST_OFFSET_DAYS} to {MOST_OFFSET_DAYS}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise malformed("invalid", "Must be an integer", expected)
    if not -MOST_OFFSET_DAYS <= value <= MOST_OFFSET_DAYS:
        raise malformed("out_of_range", f"Must be {-MOST_OFFSET_DAYS} to {MOST_OFFSET_DAYS}", expected)
    return value


def _time(value: object) -> str:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise malformed("invalid", "Must be a time of day HH:MM", "HH:MM")
    return value


def _interval(value: object) -> str:
    if not isinstance(value, str):
        raise malformed("invalid", "Must be a string", "duration")
    try:
        length = parse_duration(value)
    except DurationError as error:
        raise malformed(error.reason, str(error), "duration") from error
    if length < SHORTEST_INTERVAL:
        raise malformed("out_of_range", "Must be at least 1m", "duration")
    return value


def _cron(value: object) -> str:
    if not isinstance(value, str):
        raise malformed("invalid", "Must be a string", "cron expression")
    try:
        parse_cron(value)
    except CronError as error:
        raise malformed("invalid", str(error), "cron expression") from error
    return value


def _zone(value: object) -> str:
    if not isinstance(value, str) or value not in time_zones():
        raise malformed("invalid", "Must be the name of an IANA time zone", "IANA time zone")
    return value


def _threshold(value: object) -> str:
    """As a plain decimal text."""
    expected = "number or decimal string"
    try:
        if isinstance(value, str):
            found = parse_signed(value)
        elif isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            found = Decimal(str(value))
        else:
            raise malformed("invalid", "Must be a number or a decimal string", expected)
    except (AmountError, InvalidOperation) as error:
        raise malformed(getattr(error, "reason", "invalid"), f"Threshold {error}", expected) from error
    if not found.is_finite() or found.copy_abs() >= CEILING:
        raise malformed("out_of_range", "At most 20 digits before the point", expected)
    return format_plain(to_scale(found, MAX_SCALE))


# Of each type: the fields that are required, and those that may be there.
_FIELDS: dict[ScheduleType, tuple[dict[str, Callable[[object], Any]], dict[str, Callable[[object], Any]]]] = {
    ScheduleType.ATTRIBUTE_DATE: ({"attribute": state_key}, {"offset_days": _offset_days, "time": _time}),
    ScheduleType.INTERVAL: ({"interval": _interval}, {}),
    ScheduleType.CRON: ({"cron_expression": _cron}, {"timezone": _zone}),
    ScheduleType.THRESHOLD: ({"counter": state_key, "operator": member(Operator), "threshold": _threshold}, {}),
}


def parse_schedule(kind: ScheduleType, given: Mapping[str, object], path: str) -> tuple[dict[str, Any], list[Fault]]:
    """A configuration as it is stored, and every fault in it; `path` is the field's name. null equals leaving out."""
    required, optional = _FIELDS[kind]
    sent = {name: value for name, value in given.items() if value is not None}
    faults = [
        Fault(f"{path}.{name}", "unknown_field", f"Not with {kind}", None, shorten(given[name]))
        for name in given
        if name not in required and name not in optional
    ]
    faults += [Fault(f"{path}.{name}", "required", f"Needed with {kind}", None, None) for name in required if name not in sent]
    found: dict[str, Any] = {}
    for name, read in (required | optional).items():
        if name in sent:
            try:
                found[name] = read(sent[name])
            except Malformed as error:
                faults += error.faults(f"{path}.{name}", sent[name])
    return found, faults


def schedule_faults(kind: object, given: object, path: str) -> Iterator[Fault]:
    """Every fault of a configuration whose type and shape may themselves be wrong, which others tell."""
    if isinstance(kind, str) and kind in set(ScheduleType) and isinstance(given, Mapping):
        yield from parse_schedule(ScheduleType(kind), given, path)[1]
