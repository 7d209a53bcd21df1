"""RFC 3339 timestamps of rules: fixed times in actions, windows and snapshots (conventions.md, Formats)."""

import re
from datetime import UTC, datetime

_TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?([Zz]|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)


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
    date, time, fraction, zone = match.groups()
    if date.startswith("0000"):
        raise TimestampError("out_of_range", "The UTC value must lie in the years 0001-9999")
    try:
        local = datetime.fromisoformat(f"{date}T{time}.{(fraction or '')[:6]:0<6}{zone.upper()}")
    except ValueError as error:
        raise TimestampError("invalid", "Must be an RFC 3339 timestamp with a zone") from error
    try:
        return local.astimezone(UTC)
    except OverflowError as error:
        raise TimestampError("out_of_range", "The UTC value must lie in the years 0001-9999") from error


def format_timestamp(moment: datetime) -> str:
    """UTC with exactly six decimals: `2026-01-15T10:30:00.000000Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")
