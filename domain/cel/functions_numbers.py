"""Functions over numbers, and the conversions to number, bool and bytes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import Any, Final

from domain.cel.errors import EvaluationError
from domain.cel.operators import EXACT, NUMBERS, in_range
from domain.cel.steps import Steps, built, examined, visited
from domain.cel.values import kind_of, to_cel

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WHOLE = re.compile(r"[+-]?[0-9]{1,100}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,100}(?:\.[0-9]{0,100})?|\.[0-9]{1,100})(?:[eE][+-]?[0-9]{1,3})?")
_BOOLEANS: Final = {
    **dict.fromkeys(("1", "t", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "false", "FALSE", "False"), False),
}


def unsupported(name: str, value: Any) -> EvaluationError:
    """Error of a function that was given a value of the wrong kind."""
    return EvaluationError(f"{name} isn't defined for {kind_of(value)}")


def number(name: str, value: Any) -> Decimal:
    """The argument as a number; raises EvaluationError, naming the function."""
    value = to_cel(value)
    if type(value) is not Decimal:
        raise unsupported(name, value)
    return value


def whole(name: str, value: Any) -> int:
    """The argument as a whole number of at most nine digits; raises EvaluationError."""
    digits = number(name, value)
    if (digits and digits.adjusted() > 8) or digits != digits.to_integral_value():
        raise EvaluationError(f"{name} needs a whole number of at most nine digits")
    return int(digits)


def to_int(steps: Steps, value: Any) -> Decimal:
    """`int(v)`: number truncated to zero, parsed string, or Unix seconds of a timestamp."""
    if type(value) is Decimal:
        return in_range(value.to_integral_value(ROUND_DOWN))
    if type(value) is str:
        examined(steps, len(value))
        if _WHOLE.fullmatch(value) is None:
            raise EvaluationError("int: not a whole number")
        return in_range(Decimal(value))
    if type(value) is datetime:
        return Decimal((value - EPOCH) // timedelta(seconds=1))
    raise unsupported("int", value)


def to_uint(steps: Steps, value: Any) -> Decimal:
    """`uint(v)`: as `int(v)`, an error below zero."""
    result = to_int(steps, value)
    if (value if type(value) is Decimal else result) < 0:
        raise EvaluationError("uint: negative number")
    return result


def to_double(steps: Steps, value: Any) -> Decimal:
    """`double(v)`: a number as it is, or a parsed decimal string."""
    if type(value) is Decimal:
        return value
    if type(value) is not str:
        raise unsupported("double", value)
    examined(steps, len(value))
    if _DECIMAL.fullmatch(value) is None:
        raise EvaluationError("double: not a decimal number")
    return in_range(NUMBERS.plus(Decimal(value)))


def to_bool(_: Steps, value: Any) -> bool:
    """`bool(v)`: a boolean, or one of the words for true and false."""
    if type(value) is bool:
        return value
    if type(value) is not str:
        raise unsupported("bool", value)
    if value not in _BOOLEANS:
        raise EvaluationError("bool: neither true nor false")
    return _BOOLEANS[value]


def to_bytes(steps: Steps, value: Any) -> bytes:
    """`bytes(v)`: UTF-8 of a string."""
    if type(value) is bytes:
        return value
    if type(value) is not str:
        raise unsupported("bytes", value)
    try:
        result = value.encode()
    except UnicodeEncodeError:
        raise EvaluationError("bytes: unpaired surrogate") from None
    built(steps, len(result))
    return result


def rounded(_: Steps, value: Any, places: Any = Decimal(0)) -> Decimal:
    """`round(x, n)`: n decimals, half away from zero."""
    digits, count = number("round", value), whole("round", places)
    if not 0 <= count <= 18:
        raise EvaluationError("round: decimals must be 0-18")
    places_wanted = Decimal((0, (1,), -count))
    return in_range(in_range(digits).quantize(places_wanted, ROUND_HALF_UP, EXACT))


def floor(_: Steps, value: Any) -> Decimal:
    return in_range(number("floor", value).to_integral_value(ROUND_FLOOR))


def ceil(_: Steps, value: Any) -> Decimal:
    return in_range(number("ceil", value).to_integral_value(ROUND_CEILING))


def absolute(_: Steps, value: Any) -> Decimal:
    return in_range(number("abs", value).copy_abs())


def _operands(name: str, steps: Steps, values: tuple[Any, ...]) -> list[Decimal]:
    if len(values) == 1:
        if type(values[0]) is not list:
            raise unsupported(name, values[0])
        values = tuple(values[0])
        if not values:
            raise EvaluationError(f"{name} of an empty list")
    visited(steps, len(values))
    return [number(name, value) for value in values]


def minimum(steps: Steps, *values: Any) -> Decimal:
    """`min`: of two or more numbers, or of a list that isn't empty."""
    return min(_operands("min", steps, values))


def maximum(steps: Steps, *values: Any) -> Decimal:
    """`max`: of two or more numbers, or of a list that isn't empty."""
    return max(_operands("max", steps, values))


def total(steps: Steps, values: Any) -> Decimal:
    """`sum(l)`: of a list of numbers, 0 when empty."""
    if type(values) is not list:
        raise unsupported("sum", values)
    visited(steps, len(values))
    result = Decimal(0)
    for value in values:
        result = in_range(NUMBERS.add(result, number("sum", value)))
    return result
