"""Operators over values. Numbers: 50 significant digits, half-up, below 10^38."""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from typing import Any, Final

from domain.cel.errors import EvaluationError
from domain.cel.steps import Steps, built
from domain.cel.values import ORDERED, contains, equal, kind_of

_TRAPS = [InvalidOperation, DivisionByZero, Overflow]
NUMBERS: Final = Context(prec=50, rounding=ROUND_HALF_UP, traps=_TRAPS)
# Wide enough for the exact quotient and scale of operands with 100 digits before or after the point.
EXACT: Final = Context(prec=600, rounding=ROUND_HALF_UP, traps=_TRAPS)
MAX_DURATION: Final = timedelta(seconds=315_576_000_000)

Operator = Callable[[Any, Any, Steps], Any]


def in_range(value: Decimal) -> Decimal:
    """The number itself; raises EvaluationError from 10^38 on, and for what isn't finite."""
    if not value.is_finite() or (value.adjusted() >= 38 and value):
        raise EvaluationError("number out of range")
    return value


def duration_in_range(value: timedelta) -> timedelta:
    """The duration itself; raises EvaluationError beyond ten thousand years."""
    if abs(value) > MAX_DURATION:
        raise EvaluationError("duration out of range")
    return value


def _mismatch(sign: str, left: Any, right: Any) -> EvaluationError:
    return EvaluationError(f"{sign} isn't defined for {kind_of(left)} and {kind_of(right)}")


def _arithmetic(sign: str, compute: Callable[[Decimal, Decimal], Decimal]) -> Operator:
    def apply(left: Any, right: Any, steps: Steps) -> Any:
        if type(left) is Decimal and type(right) is Decimal:
            try:
                result = compute(left, right)
            except ArithmeticError:
                raise EvaluationError("number out of range") from None
            return in_range(result)
        return _OTHER_KINDS[sign](left, right, steps)

    return apply


def _divide(left: Decimal, right: Decimal) -> Decimal:
    if not right:
        raise EvaluationError("division by zero")
    return NUMBERS.divide(left, right)


def _remainder(left: Decimal, right: Decimal) -> Decimal:
    if not right:
        raise EvaluationError("remainder by zero")
    return NUMBERS.plus(EXACT.remainder(left, right))


def _join(left: Any, right: Any, steps: Steps) -> Any:
    """`+` of anything but two numbers."""
    kind = type(left)
    if kind is type(right) and (kind is str or kind is list or kind is bytes):
        built(steps, len(left) + len(right))
        return left + right
    if kind is timedelta and type(right) is timedelta:
        return duration_in_range(left + right)
    if {kind, type(right)} == {datetime, timedelta}:
        return shifted(left, right) if kind is datetime else shifted(right, left)
    raise _mismatch("+", left, right)


def _difference(left: Any, right: Any, _: Steps) -> Any:
    """`-` of anything but two numbers."""
    kind, other = type(left), type(right)
    if kind is datetime and other is datetime:
        return left - right
    if kind is timedelta and other is timedelta:
        return duration_in_range(left - right)
    if kind is datetime and other is timedelta:
        return shifted(left, -right)
    raise _mismatch("-", left, right)


def shifted(moment: datetime, by: timedelta) -> datetime:
    """A timestamp plus a duration; raises EvaluationError outside the years 0001-9999."""
    try:
        return moment + by
    except OverflowError:
        raise EvaluationError("timestamp out of range") from None


def _undefined(sign: str) -> Operator:
    def apply(left: Any, right: Any, _: Steps) -> Any:
        raise _mismatch(sign, left, right)

    return apply


_OTHER_KINDS: Final[dict[str, Operator]] = {
    "+": _join,
    "-": _difference,
    "*": _undefined("*"),
    "/": _undefined("/"),
    "%": _undefined("%"),
}


def _ordering(sign: str, compare: Callable[[Any, Any], bool]) -> Operator:
    def apply(left: Any, right: Any, _: Steps) -> bool:
        kind = kind_of(left)
        if kind != kind_of(right) or kind not in ORDERED:
            raise _mismatch(sign, left, right)
        try:
            return compare(left, right)
        except ArithmeticError:
            raise EvaluationError("number is not finite") from None

    return apply


def _unequal(left: Any, right: Any, steps: Steps) -> bool:
    return not equal(left, right, steps)


def _is_in(left: Any, right: Any, steps: Steps) -> bool:
    return contains(right, left, steps)


COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

BINARY: Final[dict[str, Operator]] = {
    "+": _arithmetic("+", NUMBERS.add),
    "-": _arithmetic("-", NUMBERS.subtract),
    "*": _arithmetic("*", NUMBERS.multiply),
    "/": _arithmetic("/", _divide),
    "%": _arithmetic("%", _remainder),
    "==": equal,
    "!=": _unequal,
    "in": _is_in,
    **{sign: _ordering(sign, compare) for sign, compare in COMPARE.items()},
}


def negated(value: Any) -> Decimal:
    """Unary minus; raises EvaluationError for anything but a number."""
    if type(value) is not Decimal:
        raise EvaluationError(f"- isn't defined for {kind_of(value)}")
    return in_range(NUMBERS.minus(value))


def inverted(value: Any) -> bool:
    """Logical not; raises EvaluationError for anything but a boolean."""
    if type(value) is not bool:
        raise EvaluationError(f"! isn't defined for {kind_of(value)}")
    return not value
