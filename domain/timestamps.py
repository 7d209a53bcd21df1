"""RFC 3339 timestamps, read and written in one way for requests, rules and snapshots (conventions.md, Formats)."""

import re
from datetime import UTC, datetime, timedelta

_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII)
_MAX_HOURS, _MAX_MINUTES = 24, 60
_OUT_OF_RANGE = "The UTC value must lie in the years 0001 to 9999"


class TimestampError(ValueError):
    """A text that isn't a timestamp; `reason` is `invalid` or `out_of_range`."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


def parse_timestamp(text: str) -> datetime:
    """Read a timestamp with a zone as UTC; what lies below a microsecond is cut. Raises TimestampError."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise TimestampError("invalid", "Must be an RFC 3339 timestamp with a zone")
    day, clock, fraction, sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    if int(hours or 0) >= _MAX_HOURS or int(minutes or 0) >= _MAX_MINUTES:
        raise TimestampError("invalid", "The zone is not one")
    if day.startswith("0000"):
        raise TimestampError("out_of_range", _OUT_OF_RANGE)
    try:
        local = datetime.fromisoformat(f"{day}T{clock}.{(fraction or '0')[:6]:0<6}+00:00")
    except ValueError as error:
        raise TimestampError("invalid", "No such day or time") from error
    try:
        return local + offset if sign == "-" else local - offset
    except OverflowError as error:
        raise TimestampError("out_of_range", _OUT_OF_RANGE) from error


def format_timestamp(moment: datetime) -> str:
    """UTC with exactly six decimals: `2026-01-15T10:30:00.000000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"
