"""The kinds of values that requests carry: how each is read, refused and documented (conventions.md, Formats)."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, NoReturn, TypeVar
from uuid import UUID

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from domain.durations import DurationError, parse_duration
from domain.errors import Fault
from domain.event_data import encode_event_data
from domain.money import AmountError, parse_amount, parse_signed
from domain.timestamps import TimestampError, parse_timestamp

MAX_FREE_FORM_DEPTH = 32
MAX_METADATA_BYTES = 16 * 1024

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_REFERENCE = re.compile(r"[A-Za-z0-9._:@-]+", re.ASCII)
_INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)


class FormFault(ValueError):
    """A value that doesn't have the form asked for; `reason` is one of conventions.md, `expected` if not the form's own."""

    def __init__(self, reason: str, message: str, expected: str | None = None) -> None:
        self.reason = reason
        self.expected = expected
        super().__init__(message)


def refuse(reason: str, message: str, expected: str | None = None) -> NoReturn:
    """Refuse a value inside a form's reader."""
    raise FormFault(reason, message, expected)


@dataclass(frozen=True, slots=True)
class Form:
    """One kind of value: `read` turns the raw JSON or query value into the parsed one, or raises FormFault."""

    read: Callable[[Any], Any]
    expected: str
    schema: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def check(self, value: object) -> object:
        """Read a value; what pydantic collects on a fault has the reason as its type."""
        try:
            return self.read(value)
        except (FormFault, AmountError, DurationError) as fault:
            expected = getattr(fault, "expected", None) or self.expected
            raise PydanticCustomError(fault.reason, "{text}", {"text": str(fault), "expected": expected}) from None

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return dict(self.schema)


def is_visible(text: str) -> bool:
    """Whether a text holds at least one visible character."""
    return any(unicodedata.category(char)[0] not in "ZC" or unicodedata.category(char) in ("Cn", "Co") for char in text)


def has_control(text: str) -> bool:
    """Whether a text holds a control character."""
    return any(unicodedata.category(char) == "Cc" for char in text)


def _string(value: object) -> str:
    if not isinstance(value, str):
        refuse("invalid", "Must be a string")
    if "\x00" in value:
        refuse("invalid", "The character NUL is not allowed")
    return value


def _within(value: str, maximum: int) -> str:
    if len(value) > maximum:
        refuse("too_long", f"At most {maximum} characters")
    return value


def text(maximum: int, *, control: bool = True, pattern: re.Pattern[str] | None = None, expected: str = "string") -> Form:
    """A required text: 1 to `maximum` code points with a visible one; optionally without control characters or by pattern."""

    def read(value: object) -> str:
        found = _string(value)
        if not found:
            refuse("required", "This field is required")
        _within(found, maximum)
        if pattern is not None and not pattern.fullmatch(found):
            refuse("invalid", f"Must be {expected}")
        if not is_visible(found):
            refuse("required", "Needs a visible character")
        if not control and has_control(found):
            refuse("invalid", "Control characters are not allowed")
        return found

    form = {} if pattern is None else {"pattern": f"^{pattern.pattern}$"}
    return Form(read, expected, {"type": "string", "minLength": 1, "maxLength": maximum, **form})


def clearable(maximum: int, check: Callable[[str], None] | None = None, *, expected: str = "string") -> Form:
    """An optional text of at most `maximum` code points; null and the empty string both mean: none."""

    def read(value: object) -> str | None:
        if value is None:
            return None
        found = _within(_string(value), maximum)
        if found and check is not None:
            check(found)
        return found or None

    return Form(read, expected, {"anyOf": [{"type": "string", "maxLength": maximum}, {"type": "null"}]})


def integer(lowest: int, highest: int) -> Form:
    """A JSON integer within bounds, both included."""

    def read(value: object) -> int:
        if type(value) is not int:
            refuse("invalid", "Must be an integer")
        if not lowest <= value <= highest:
            refuse("out_of_range", f"Must be from {lowest} to {highest}")
        return value

    return Form(read, "integer", {"type": "integer", "minimum": lowest, "maximum": highest})


def query_integer(lowest: int, highest: int) -> Form:
    """An integer in a query, written in digits, within bounds."""
    bounded = integer(lowest, highest)

    def read(value: object) -> int:
        if isinstance(value, str) and not _INTEGER.fullmatch(value):
            refuse("invalid", "Must be an integer")
        found: int = bounded.read(int(value) if isinstance(value, str) else value)
        return found

    return Form(read, "integer", bounded.schema)


def _query_boolean(value: object) -> bool:
    if value in ("true", "false", True, False):
        return value in ("true", True)
    refuse("invalid", "Must be true or false")


def _uuid(value: object) -> UUID:
    if isinstance(value, str) and _UUID.fullmatch(value):
        return UUID(value)
    refuse("invalid", "Must be a UUID")


def read_timestamp(value: object) -> datetime:
    """Read an RFC 3339 timestamp with a zone into UTC; digits after microseconds are cut. Raises FormFault."""
    if not isinstance(value, str):
        refuse("invalid", "Must be an RFC 3339 timestamp with a zone")
    try:
        return parse_timestamp(value)
    except TimestampError as error:
        refuse(error.reason, str(error))


class Duration(str):
    """A duration as it was written; `length` is what it means."""

    __slots__ = ()

    @property
    def length(self) -> timedelta:
        """How long it is."""
        return parse_duration(str(self))


def duration(lowest: timedelta, highest: timedelta, *, expected: str = "duration") -> Form:
    """A Go-style duration within bounds, both included; gives a `Duration`."""

    def read(value: object) -> Duration:
        found = Duration(_string(value))
        if not lowest <= parse_duration(str(found)) <= highest:
            refuse("out_of_range", "The duration is out of range")
        return found

    return Form(read, expected, {"type": "string", "examples": ["90s", "24h", "1h30m"]})


def _lifetime(value: object) -> timedelta | datetime:
    found = _string(value)
    if len(found) > len("1970-") and found[4:5] == "-":
        return read_timestamp(found)
    try:
        return parse_duration(found)
    except DurationError as fault:
        refuse(fault.reason, 'Must be a duration like "24h" or an RFC 3339 timestamp with a zone')


def _state_key(value: object) -> str:
    found = _string(value)
    if not found:
        refuse("required", "This field is required")
    _within(found, 255)
    if "/" in found or has_control(found) or found != found.strip() or not is_visible(found):
        refuse("invalid", "No control characters, no slash, no blank at either end")
    return found


def _tag(value: object) -> str:
    return _state_key(_state_key(value).lower())


def _metadata(value: object) -> dict[str, Any]:
    found = _free_form(value)
    encoded = encode_event_data(found, "metadata", max_bytes=MAX_METADATA_BYTES)
    if isinstance(encoded, Fault):
        refuse(encoded.reason, encoded.message)
    return found


def _free_form(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        refuse("invalid", "Must be an object")
    level: list[object] = [value]
    for _ in range(MAX_FREE_FORM_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node if isinstance(node, list) else ())
            if isinstance(child, dict | list)
        ]
        if not level:
            return value
    refuse("too_long", f"Nested deeper than {MAX_FREE_FORM_DEPTH} levels")


@dataclass(frozen=True, slots=True)
class _ChoiceForm:
    """One of the values of a StrEnum, in exactly their spelling."""

    def __get_pydantic_core_schema__(self, source: type[StrEnum], handler: GetCoreSchemaHandler) -> CoreSchema:
        names = expected_choice(source)
        members = {member.value: member for member in source}

        def check(value: object) -> StrEnum:
            member = members.get(value) if isinstance(value, str) else None
            if member is None:
                raise PydanticCustomError("invalid", "{text}", {"text": f"Must be {names}", "expected": names})
            return member

        return core_schema.no_info_plain_validator_function(
            check, metadata={"pydantic_js_functions": [lambda _schema, _handler: {"type": "string", "enum": list(members)}]}
        )


def expected_choice(choices: type[StrEnum]) -> str:
    """How a fault describes an enumeration: `one of ACTIVE, SUSPENDED`."""
    return "one of " + ", ".join(member.value for member in choices)


_E = TypeVar("_E", bound=StrEnum)

_DECIMAL_SCHEMA = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$", "examples": ["12.50"]}
_SIGNED_SCHEMA = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$", "examples": ["389.99"]}
_TIME_SCHEMA = {"type": "string", "format": "date-time"}

Choice = Annotated[_E, _ChoiceForm()]
Uuid = Annotated[UUID, Form(_uuid, "uuid", {"type": "string", "format": "uuid"})]
AmountStr = Annotated[Decimal, Form(parse_amount, "decimal string", _DECIMAL_SCHEMA)]
SignedDecimalStr = Annotated[Decimal, Form(parse_signed, "decimal string", _SIGNED_SCHEMA)]
Timestamp = Annotated[datetime, Form(read_timestamp, "timestamp", _TIME_SCHEMA)]
DurationStr = Annotated[Duration, duration(timedelta(0), timedelta.max)]
_LIFETIME_SCHEMA = {"type": "string", "examples": ["24h", "2027-01-01T00:00:00Z"]}
Lifetime = Annotated[timedelta | datetime, Form(_lifetime, "duration or timestamp", _LIFETIME_SCHEMA)]
ReferenceId = Annotated[str, text(255, pattern=_REFERENCE, expected="characters of A-Z a-z 0-9 . _ : @ -")]
IdempotencyKey = Annotated[str, text(255)]
StateKey = Annotated[str, Form(_state_key, "state key", {"type": "string", "minLength": 1, "maxLength": 255})]
Tag = Annotated[str, Form(_tag, "tag", {"type": "string", "minLength": 1, "maxLength": 255})]
AttributeValue = Annotated[str, text(4096)]
_OPEN_SCHEMA = {"type": "object", "additionalProperties": True}
FreeForm = Annotated[dict[str, Any], Form(_free_form, "object", _OPEN_SCHEMA)]
Metadata = Annotated[dict[str, Any], Form(_metadata, "object", _OPEN_SCHEMA)]
Text255 = Annotated[str, text(255)]
Text500 = Annotated[str, text(500)]
Text1000 = Annotated[str, text(1000)]
OptionalText255 = Annotated[str | None, clearable(255)]
OptionalText500 = Annotated[str | None, clearable(500)]
OptionalText1000 = Annotated[str | None, clearable(1000)]
SearchText = Annotated[str, text(255)]
QueryBoolean = Annotated[bool, Form(_query_boolean, "true or false", {"type": "boolean"})]
