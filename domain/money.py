"""Amounts: exact decimals, one context, rounding half away from zero, fixed-point text (conventions.md, Amounts)."""

import re
from decimal import ROUND_HALF_UP, Context, Decimal

MAX_INTEGER_DIGITS = 20
MAX_SIGNIFICANT_DIGITS = 38
MAX_SCALE = 18
CEILING = Decimal(10) ** MAX_INTEGER_DIGITS
ZERO = Decimal(0)

CONTEXT = Context(prec=80, rounding=ROUND_HALF_UP)
_UNITS = tuple(Decimal(1).scaleb(-scale) for scale in range(MAX_SCALE + 1))
_AMOUNT = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)
_SIGNED = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)


class AmountError(ValueError):
    """A text that isn't an amount; `reason` is `invalid` or `out_of_range`."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


def parse_amount(text: object) -> Decimal:
    """Read a positive decimal string of at most 20 integer and 38 significant digits; `AmountError` otherwise."""
    value = _parse(text, _AMOUNT)
    if value <= 0:
        raise AmountError("out_of_range", "must be greater than zero")
    return value


def parse_signed(text: object) -> Decimal:
    """Read a decimal string that may be negative or zero (counters, thresholds), at most 20 integer digits."""
    return _parse(text, _SIGNED)


def _parse(text: object, pattern: re.Pattern[str]) -> Decimal:
    if not isinstance(text, str) or len(text) > 1000 or not pattern.fullmatch(text):
        raise AmountError("invalid", 'must be a decimal string like "12.50"')
    integer, _, fraction = text.removeprefix("-").partition(".")
    whole = integer.lstrip("0")
    significant = len((whole + fraction).lstrip("0"))
    if len(whole) > MAX_INTEGER_DIGITS or significant > MAX_SIGNIFICANT_DIGITS:
        raise AmountError("out_of_range", "at most 20 digits before the point and 38 significant digits")
    return Decimal(text)


def to_scale(value: Decimal, scale: int) -> Decimal:
    """Bring a value to `scale` decimals, half away from zero. The only place where money is rounded."""
    return value.quantize(_UNITS[scale], context=CONTEXT)


def has_more_decimals(value: Decimal, scale: int) -> bool:
    """Whether the value, as written, has more significant decimals than `scale`."""
    return to_scale(value, scale) != value


def format_amount(value: Decimal, scale: int) -> str:
    """Fixed point with exactly `scale` decimals; zero is never signed."""
    scaled = to_scale(value, scale)
    return format(scaled or scaled.copy_abs(), "f")


def format_plain(value: Decimal) -> str:
    """Fixed point without trailing zeros, as counters print: `389.99`, `12`, `-3.5`."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
