"""Durations in Go's notation: `90s`, `24h`, `1h30m` (conventions.md, Formats). Never negative."""

import re
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache

_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_WHOLE = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)
_MICROSECONDS = {
    "ns": Decimal("0.001"),
    "us": Decimal(1),
    "µs": Decimal(1),
    "μs": Decimal(1),
    "ms": Decimal(1_000),
    "s": Decimal(1_000_000),
    "m": Decimal(60_000_000),
    "h": Decimal(3_600_000_000),
}
MAX_LENGTH = 64


class DurationError(ValueError):
    """A text that isn't a duration; `reason` is `invalid` or `out_of_range`."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@lru_cache(maxsize=4096)
def parse_duration(text: str) -> timedelta:
    """Read a duration; what lies below a microsecond is cut. Raises DurationError."""
    if len(text) > MAX_LENGTH or not _WHOLE.fullmatch(text):
        raise DurationError("invalid", 'must be a duration like "90s", "24h" or "1h30m"')
    total = sum((Decimal(number) * _MICROSECONDS[unit] for number, unit in _PART.findall(text)), Decimal(0))
    try:
        return timedelta(microseconds=int(total))
    except OverflowError as error:
        raise DurationError("out_of_range", "the duration is too long") from error
