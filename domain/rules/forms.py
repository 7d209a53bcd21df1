"""Forms of single fields of rules: a parser takes what JSON gave and returns the compiled value or raises Malformed."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from domain.cel import CompileError, Expression, compile_condition, compile_value, is_literal
from domain.durations import DurationError, parse_duration
from domain.errors import Fault
from domain.event_data import encode_event_data
from domain.money import MAX_SCALE, AmountError, parse_amount, parse_signed, to_scale
from domain.timestamps import TimestampError, parse_timestamp

TextValue = str | Expression
NumberValue = Decimal | Expression
Moment = timedelta | datetime
FieldParser = Callable[[object], object]

MAX_EXPRESSION_LENGTH = 16384
MAX_LIFETIME = timedelta(hours=876_000)
MAX_DELAY = timedelta(hours=43_800)
MAX_PAYLOAD_BYTES = 16 * 1024

_E = TypeVar("_E", bound=StrEnum)
_PLAIN_DECIMAL = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?", re.ASCII)
_REFERENCE = re.compile(r"[A-Za-z0-9._:@-]{1,255}", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Flaw:
    """One fault of a field; with `at`, of the field at that path within it, where `value` was received."""

    reason: str
    message: str
    expected: str | None = None
    line: int | None = None
    column: int | None = None
    at: str = ""
    value: object = None


class Malformed(ValueError):
    """A field's value isn't acceptable; carries every flaw found in it."""

    def __init__(self, *flaws: Flaw) -> None:
        super().__init__(flaws[0].message)
        self.flaws = flaws

    def faults(self, path: str, value: object) -> list[Fault]:
        """The flaws as faults of the request's field `path`."""
        return [_fault(path, value, flaw) for flaw in self.flaws]


def _fault(path: str, value: object, flaw: Flaw) -> Fault:
    received = shorten(flaw.value if flaw.at else value)
    return Fault(path + flaw.at, flaw.reason, flaw.message, flaw.expected, received, flaw.line, flaw.column)


def malformed(reason: str, message: str, expected: str | None = None) -> Malformed:
    """A `Malformed` with one flaw."""
    return Malformed(Flaw(reason, message, expected))


def shorten(value: object) -> str | None:
    """What an error shows of an offending value: at most 100 characters, null for nothing."""
    if value is None:
        return None
    text = value if isinstance(value, str) else str(value)
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)[:100]


def text(maximum: int) -> FieldParser:
    """A string of 1 to `maximum` code points with a visible character."""

    def parse(value: object) -> str:
        found = _bounded(_needed(value, f"1-{maximum} characters"), maximum)
        if not _is_visible(found):
            raise malformed("required", "Needs a visible character", f"1-{maximum} characters")
        return found

    return parse


def state_key(value: object) -> str:
    """A counter's or attribute's key: no control characters, no `/`, no blank at either end."""
    found = _bounded(_needed(value, "state key"), 255)
    if found != found.strip() or "/" in found or _CONTROL.search(found) or not _is_visible(found):
        raise malformed("invalid", "No control characters, no /, no blank at either end", "state key")
    return found


def tag(value: object) -> str:
    """A state key in lower case."""
    return state_key(state_key(value).lower())


def boolean(value: object) -> bool:
    """JSON `true` or `false`."""
    if not isinstance(value, bool):
        raise malformed("invalid", "Must be true or false", "boolean")
    return value


def member(enum: type[_E], allowed: frozenset[_E] | None = None) -> FieldParser:
    """One of an enumeration's words, exactly as listed."""
    words = [item.value for item in enum if allowed is None or item in allowed]

    def parse(value: object) -> _E:
        if not isinstance(value, str) or value not in words:
            raise malformed("invalid", "Not one of the allowed values", "one of " + ", ".join(words))
        return enum(value)

    return parse


def identifier(value: object) -> UUID:
    """A UUID in any letter case."""
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise malformed("invalid", "Must be a UUID", "uuid")
    return UUID(value)


def amount(value: object) -> NumberValue:
    """A positive plain decimal, or CEL giving a number."""
    return _number(value, parse_amount)


def signed(value: object) -> NumberValue:
    """A plain decimal of any sign, at most 18 decimals kept, or CEL giving a number."""
    found = _number(value, parse_signed)
    return to_scale(found, MAX_SCALE) if isinstance(found, Decimal) else found


def _number(value: object, parse: Callable[[object], Decimal]) -> NumberValue:
    if not isinstance(value, str):
        raise malformed("invalid", "Must be a string", "decimal string or CEL expression")
    if not _PLAIN_DECIMAL.fullmatch(value):
        return expression(value)
    try:
        return parse(value)
    except AmountError as error:
        raise malformed(error.reason, f"Amount {error}", "decimal string or CEL expression") from error


def expression(value: object) -> Expression:
    """CEL giving a value; faults carry line and column."""
    source = _source(value)
    try:
        return compile_value(source)
    except CompileError as error:
        raise Malformed(_compile_flaw(error)) from error


def condition(value: object) -> Expression:
    """CEL giving a boolean; faults carry line and column."""
    source = _source(value)
    try:
        return compile_condition(source)
    except CompileError as error:
        raise Malformed(_compile_flaw(error)) from error


def _compile_flaw(error: CompileError) -> Flaw:
    return Flaw("invalid", error.message, "CEL expression", error.line, error.column)


def _source(value: object) -> str:
    return _bounded(_needed(value, "CEL expression"), MAX_EXPRESSION_LENGTH)


def literal_or_expression(value: object) -> TextValue:
    """An id: CEL when it compiles and isn't a bare UUID, number or variable name; else the text itself."""
    source = _source(value)
    if not is_literal(source):
        return expression(source)
    return _bounded(source, 255)


def reference(value: object) -> TextValue:
    """A correlation id, literal or CEL; a literal must have the form of a `reference_id`."""
    found = literal_or_expression(value)
    if isinstance(found, str) and not _REFERENCE.fullmatch(found):
        raise malformed("invalid", "Letters, digits and . _ : @ - only, or CEL", "reference id or CEL expression")
    return found


def moment(value: object) -> Moment:
    """A duration from execution, over 0 and at most 876000h, or a fixed time."""
    found = _needed(value, "duration or timestamp")
    try:
        duration = parse_duration(found)
    except DurationError as error:
        if error.reason == "invalid":
            return _fixed_time(found)
        duration = timedelta(0)
    if not timedelta(0) < duration <= MAX_LIFETIME:
        raise malformed("out_of_range", "A duration is over 0 and at most 876000h", "duration or timestamp")
    return duration


def _fixed_time(value: str) -> datetime:
    try:
        return parse_timestamp(value).astimezone(UTC)
    except TimestampError as error:
        raise malformed(error.reason, str(error), "duration or timestamp") from error


def reset_after(value: object) -> str:
    """A duration of `1s` to `43800h` as sent, or "" that removes the auto-reset."""
    found = _string(value)
    if found and not timedelta(seconds=1) <= _duration(found) <= MAX_DELAY:
        raise malformed("out_of_range", "Must lie between 1s and 43800h", "duration")
    return found


def delay(value: object) -> timedelta:
    """A duration of `1s` to `43800h`."""
    found = _duration(_needed(value, "duration"))
    if not timedelta(seconds=1) <= found <= MAX_DELAY:
        raise malformed("out_of_range", "Must lie between 1s and 43800h", "duration")
    return found


def payload(value: object) -> str:
    """A JSON object of at most 16 KiB, as compact JSON."""
    found = encode_event_data(mapping(value), "payload", MAX_PAYLOAD_BYTES)
    if isinstance(found, Fault):
        raise malformed(found.reason, found.message, found.expected)
    return found


def _duration(value: str) -> timedelta:
    try:
        return parse_duration(value)
    except DurationError as error:
        raise malformed(error.reason, str(error), "duration") from error


def mapping(value: object) -> Mapping[str, object]:
    """A JSON object."""
    if not isinstance(value, Mapping):
        raise malformed("invalid", "Must be an object", "object")
    return value


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise malformed("invalid", "Must be a string", "string")
    if _UNSTORABLE.search(value):
        raise malformed("invalid", "NUL and unpaired surrogates are not allowed", "string")
    return value


def _needed(value: object, expected: str) -> str:
    found = _string(value)
    if not found:
        raise malformed("required", "This field is required", expected)
    return found


def _is_visible(value: str) -> bool:
    return any(unicodedata.category(char)[0] not in "ZC" or unicodedata.category(char) in ("Cn", "Co") for char in value)


def _bounded(value: str, maximum: int) -> str:
    if len(value) > maximum:
        raise malformed("too_long", f"At most {maximum} characters", f"1-{maximum} characters")
    return value
