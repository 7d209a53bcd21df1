"""Values of expressions: their kinds, how activations become values, equality, text form.

Values are `str`, `bool`, `Decimal`, `bytes`, `list`, mappings, UTC `datetime`, `timedelta`, `None` and `CelType`.
Elements of lists and maps are brought to these types only when they are read, so nothing is copied.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

from domain.cel.errors import EvaluationError, StepLimitExceeded
from domain.cel.steps import MAX_SIZE, Steps, examined, spend, visited


@dataclass(frozen=True, slots=True)
class CelType:
    """A type as a value, as `type(v)` gives it."""

    name: str


class BoolKey(Enum):
    """A boolean as map key; Python's own would be the same key as 0 or 1."""

    FALSE = False
    TRUE = True


TIMESTAMP_TYPE = CelType("google.protobuf.Timestamp")
DURATION_TYPE = CelType("google.protobuf.Duration")
TYPE_NAMES: Final = {
    name: CelType(name) for name in ("bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type")
}
_KINDS: Final[dict[type, str]] = {
    str: "string",
    bool: "bool",
    Decimal: "number",
    list: "list",
    dict: "map",
    datetime: "timestamp",
    timedelta: "duration",
    type(None): "null",
    bytes: "bytes",
    CelType: "type",
}
_TYPES: Final = {
    "timestamp": TIMESTAMP_TYPE,
    "duration": DURATION_TYPE,
    "null": TYPE_NAMES["null_type"],
}
# The check for dict, and its subclasses, is many times faster than the abstract one that it precedes.
MAPPINGS: Final = (dict, Mapping)
PLAIN: Final = frozenset(_KINDS) - {datetime}
_SCALARS: Final = PLAIN - {list, dict} | {datetime}
ORDERED: Final = frozenset({"number", "string", "bool", "timestamp", "duration", "bytes"})


def to_cel(value: Any) -> Any:
    """The value of an activation's value; containers are given as they are. Raises EvaluationError."""
    kind = type(value)
    if kind is int:
        return Decimal(value)
    if kind is datetime:
        return _utc(value)
    if kind in PLAIN or isinstance(value, MAPPINGS):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return Decimal(int(value))
    if isinstance(value, float):
        if math.isfinite(value):
            return Decimal(repr(value))
        raise EvaluationError("number is not finite")
    return _to_cel_rarely(value)


def _to_cel_rarely(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return _utc(value)
    raise EvaluationError("value of an unsupported type")


def _utc(value: datetime) -> datetime:
    if value.tzinfo is UTC:
        return value
    if value.tzinfo is None:
        raise EvaluationError("timestamp without time zone")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise EvaluationError("timestamp out of range") from None


def kind_of(value: Any) -> str:
    """Kind of a value: string, bool, number, list, map, timestamp, duration, null, bytes or type."""
    return _KINDS.get(type(value)) or "map"


def type_of(value: Any) -> CelType:
    """Type of a value; a number is an int if it is whole, else a double."""
    kind = kind_of(value)
    if kind == "number":
        return TYPE_NAMES["int" if value == value.to_integral_value() else "double"]
    return _TYPES.get(kind) or TYPE_NAMES[kind]


def equal(left: Any, right: Any, steps: Steps) -> bool:
    """Equality; values of different kinds differ. Comparing containers costs steps."""
    kind = type(left)
    if kind is type(right) and kind in _SCALARS:
        return bool(left == right)
    left, right = to_cel(left), to_cel(right)
    kind_name = kind_of(left)
    if kind_name != kind_of(right):
        return False
    if kind_name == "list":
        return _equal_lists(left, right, steps)
    if kind_name == "map":
        return _equal_maps(left, right, steps)
    return bool(left == right)


def _equal_lists(left: list[Any], right: list[Any], steps: Steps) -> bool:
    spend(steps, 1 + (len(left) >> 3))
    if len(left) != len(right):
        return False
    return all(equal(a, b, steps) for a, b in zip(left, right, strict=True))


def _equal_maps(left: Mapping[Any, Any], right: Mapping[Any, Any], steps: Steps) -> bool:
    spend(steps, 1 + (len(left) >> 3))
    if len(left) != len(right):
        return False
    for key in left:
        try:
            other = right[key]
        except KeyError:
            return False
        if not equal(left[key], other, steps):
            return False
    return True


def identity(value: Any, steps: Steps) -> object:
    """A hashable stand-in: two values have equal ones exactly if they are equal. Containers cost steps."""
    value = to_cel(value)
    kind = type(value)
    if kind is bool:
        return BoolKey(value)
    if kind in _SCALARS:
        return value
    spend(steps, 1 + (len(value) >> 3))
    if kind is list:
        return ("list", tuple([identity(item, steps) for item in value]))
    return ("map", frozenset([(key, identity(value[key], steps)) for key in value]))


def map_key(value: Any) -> Any:
    """The key of a Python mapping for a value; raises EvaluationError when it can't be a key."""
    kind = type(value)
    if kind is str or kind is Decimal:
        return value
    if kind is bool:
        return BoolKey(value)
    raise EvaluationError(f"a {kind_of(value)} can't be a map key")


def elements(value: Any) -> list[Any]:
    """Elements of a list or keys of a map, each still to be given to `to_cel`."""
    if type(value) is list:
        return value
    if isinstance(value, MAPPINGS):
        return [key.value if type(key) is BoolKey else key for key in value]
    raise EvaluationError(f"a {kind_of(value)} has no elements")


def contains(container: Any, value: Any, steps: Steps) -> bool:
    """The `in` operator: elements of a list, keys of a map."""
    if type(container) is list:
        if type(value) is str:
            examined(steps, len(container))
            return value in container
        visited(steps, len(container))
        return any(equal(value, item, steps) for item in container)
    if isinstance(container, MAPPINGS):
        try:
            container[map_key(value)]
        except KeyError:
            return False
        return True
    raise EvaluationError(f"in needs a list or map, not a {kind_of(container)}")


def to_text(value: object) -> str:
    """What `string()` gives; raises EvaluationError for null, lists, maps and types."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    value = to_cel(value)
    if isinstance(value, Decimal):
        return _number_text(value)
    if isinstance(value, datetime):
        return _timestamp_text(value)
    if isinstance(value, timedelta):
        return _duration_text(value)
    if isinstance(value, bytes):
        return _bytes_text(value)
    raise EvaluationError(f"a {kind_of(value)} has no text form")


def _number_text(value: Decimal) -> str:
    if not value:
        return "0"
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise EvaluationError("number is not finite")
    if len(digits) + abs(exponent) > MAX_SIZE:
        raise StepLimitExceeded("string or list too long")
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _timestamp_text(value: datetime) -> str:
    fraction = f".{value.microsecond:06d}".rstrip("0") if value.microsecond else ""
    date = f"{value.year:04d}-{value.month:02d}-{value.day:02d}"
    return f"{date}T{value.hour:02d}:{value.minute:02d}:{value.second:02d}{fraction}Z"


def _duration_text(value: timedelta) -> str:
    micros = value // timedelta(microseconds=1)
    whole, rest = divmod(abs(micros), 1_000_000)
    fraction = f".{rest:06d}".rstrip("0") if rest else ""
    return f"{'-' if micros < 0 else ''}{whole}{fraction}s"


def _bytes_text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise EvaluationError("bytes are not valid UTF-8") from None
