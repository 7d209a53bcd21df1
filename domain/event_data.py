"""The payload of an event: checked and written in one walk, with every digit that was sent (events-rules.md 2.1)."""

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from domain.errors import Fault

MAX_BYTES = 64 * 1024
MAX_DEPTH = 32
MAX_NUMBER_DIGITS = 100

Emit = Callable[[str], object]

_quote = json.encoder.encode_basestring


class _TooDeep(Exception):
    pass


class _TooLong(Exception):
    pass


def encode_event_data(data: Mapping[str, object], field: str = "event_data", max_bytes: int = MAX_BYTES) -> str | Fault:
    """Compact JSON of a payload whose texts are already known to be clean, or the Fault that refuses it."""
    parts: list[str] = []
    try:
        _write(data, parts.append, 1)
    except _TooDeep:
        return Fault(field, "out_of_range", f"At most {MAX_DEPTH} levels deep", "object")
    except _TooLong:
        return Fault(field, "out_of_range", f"Numbers have at most {MAX_NUMBER_DIGITS} digits", "object")
    text = "".join(parts)
    if len(text) > max_bytes or (not text.isascii() and len(text.encode()) > max_bytes):
        return Fault(field, "too_long", f"At most {max_bytes} bytes as compact JSON", "object")
    return text


def is_same_json(one: object, other: object) -> bool:
    """Whether two values are written alike, in one order: unlike `==`, which takes true for 1. Not if one doesn't fit."""
    text = encode_event_data({"": one})
    return isinstance(text, str) and text == encode_event_data({"": other})


def _write(value: object, emit: Emit, depth: int) -> None:
    if isinstance(value, str):
        emit(_quote(value))
    elif value is None or isinstance(value, bool):
        emit("null" if value is None else "true" if value else "false")
    elif isinstance(value, Mapping):
        _write_object(value, emit, depth)
    elif isinstance(value, Sequence):
        _write_array(value, emit, depth)
    else:
        emit(_number(value))


def _write_object(value: Mapping[str, object], emit: Emit, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise _TooDeep
    separator = "{"
    for key, item in value.items():
        emit(separator + _quote(key) + ":")
        _write(item, emit, depth + 1)
        separator = ","
    emit("}" if value else "{}")


def _write_array(value: Sequence[object], emit: Emit, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise _TooDeep
    separator = "["
    for item in value:
        emit(separator)
        _write(item, emit, depth + 1)
        separator = ","
    emit("]" if value else "[]")


def _number(value: object) -> str:
    if isinstance(value, int):
        text = str(value) if -(10**MAX_NUMBER_DIGITS) < value < 10**MAX_NUMBER_DIGITS else ""
    elif isinstance(value, Decimal):
        text = _decimal(value)
    else:
        raise TypeError(f"not a JSON value: {type(value).__name__}")
    if not text or sum(character.isdigit() for character in text) > MAX_NUMBER_DIGITS:
        raise _TooLong
    return text


def _decimal(value: Decimal) -> str:
    # 1E400 must not be written out before its length is known
    if abs(value.adjusted()) > MAX_NUMBER_DIGITS or len(value.as_tuple().digits) > MAX_NUMBER_DIGITS:
        return "0" if not value else ""
    return format(value, "f")
