"""Base classes of request models, rules between fields, and the shapes that all responses share."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema, PydanticCustomError

from api.schemas.types import (
    AmountStr,
    AttributeValue,
    Choice,
    Duration,
    DurationStr,
    Form,
    FormFault,
    FreeForm,
    IdempotencyKey,
    Lifetime,
    Metadata,
    OptionalText255,
    OptionalText500,
    OptionalText1000,
    QueryBoolean,
    ReferenceId,
    SearchText,
    SignedDecimalStr,
    StateKey,
    Tag,
    Text255,
    Text500,
    Text1000,
    Timestamp,
    Uuid,
    clearable,
    duration,
    integer,
    query_integer,
    read_timestamp,
    refuse,
    text,
)
from domain.errors import Fault

__all__ = [
    "AmountStr",
    "AttributeValue",
    "Choice",
    "CreateModel",
    "Duration",
    "DurationStr",
    "Form",
    "FormFault",
    "FreeForm",
    "Given",
    "IdempotencyKey",
    "Lifetime",
    "ListQuery",
    "Metadata",
    "OptionalText255",
    "OptionalText500",
    "OptionalText1000",
    "Paged",
    "Pagination",
    "QueryBoolean",
    "QueryModel",
    "ReferenceId",
    "RequestModel",
    "SearchText",
    "SignedDecimalStr",
    "SortDirection",
    "StateKey",
    "Tag",
    "Text255",
    "Text500",
    "Text1000",
    "Timestamp",
    "UpdateModel",
    "Uuid",
    "clearable",
    "duration",
    "exactly_one_of",
    "fault",
    "integer",
    "omitted",
    "ordered",
    "query_integer",
    "refuse",
    "text",
]

Given = Mapping[str, Any]


class RequestModel(BaseModel):
    """A body or query: nothing unknown, nothing coerced. `cross_faults` adds rules between fields."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=False, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _require_object(cls, data: object) -> object:
        """Only objects: the framework would read fields off anything that has attributes, a number too."""
        if not isinstance(data, dict | cls):
            raise PydanticCustomError("invalid", "Must be an object", {"expected": "object"})
        return data

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:  # noqa: ARG003 - for those who override it
        """Faults that need several fields; `given` holds what was sent and isn't null, raw and perhaps malformed.

        Yield `fault(...)` with field names relative to this object; they are listed with the faults of single fields.
        """
        yield from ()


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    parts = schema.get("anyOf", [])
    if any(part.get("type") == "null" for part in parts):
        return schema
    outer = {name: schema[name] for name in ("title", "description", "default") if name in schema}
    inner = {name: value for name, value in schema.items() if name not in outer}
    return {"anyOf": [*(parts or [inner]), {"type": "null"}]} | outer


class CreateModel(RequestModel):
    """A body of an operation: null equals leaving a field out."""

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, data: object) -> object:
        if not isinstance(data, dict) or all(value is not None for value in data.values()):
            return data
        optional = cls.optional_names()
        return {name: value for name, value in data.items() if value is not None or name not in optional}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """What may be left out may be null as well; where that isn't said by the field, it is said here."""
        described = handler.resolve_ref_schema(handler(schema))
        for name in cls.optional_names() & set(described.get("properties", {})):
            described["properties"][name] = _nullable(described["properties"][name])
        return described

    @classmethod
    def optional_names(cls) -> frozenset[str]:
        """The fields that may be left out, as requests name them."""
        return frozenset(field.alias or name for name, field in cls.model_fields.items() if not field.is_required())


class UpdateModel(RequestModel):
    """A body of a PATCH: an omitted field stays as it is. Declare fields with `= omitted()`; `| None` where null clears."""

    def changes(self) -> dict[str, Any]:
        """The fields that were sent, with their parsed values."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class QueryModel(RequestModel):
    """The query parameters of an endpoint; use it as `Annotated[Model, Query()]`."""

    def filters(self) -> dict[str, Any]:
        """What was asked for, without the parameters of paging and sorting; binds cursors to it."""
        paging = {"limit", "cursor", "sort_by", "sort_dir"}
        names = type(self).model_fields
        return {name: value for name in names if name not in paging and (value := getattr(self, name)) is not None}


class ListQuery(QueryModel):
    """Query parameters of a paged list."""

    limit: Annotated[int, query_integer(1, 200)] = Field(default=50, description="Rows per page, 1-200")
    cursor: Annotated[str, text(4096)] | None = Field(default=None, description="`next_cursor` of the last page")


class SortDirection(StrEnum):
    ASC = "asc"
    DESC = "desc"


def omitted() -> Any:
    """The default of an UpdateModel's field: it may be left out; what is sent must fit its type."""
    return Field(default_factory=lambda: None)


def fault(field: str, reason: str, message: str, *, expected: str | None = None, received: object = None) -> Fault:
    """A fault of one field, for `cross_faults`."""
    return Fault(field, reason, message, expected, None if received is None else str(received)[:100])


def exactly_one_of(given: Given, *names: str) -> Iterator[Fault]:
    """`required` when none of the fields was sent, `not_allowed` for each one after the first."""
    sent = [name for name in names if name in given]
    if not sent:
        yield fault(names[0], "required", "Exactly one is needed of " + ", ".join(names), expected="one of " + ", ".join(names))
    for name in sent[1:]:
        yield fault(name, "not_allowed", f"Not allowed together with {sent[0]}", received=given[name])


def ordered(given: Given, *pairs: tuple[str, str]) -> Iterator[Fault]:
    """`invalid` for the second timestamp of a pair that lies before the first one."""
    for first, second in pairs:
        try:
            start, end = read_timestamp(given.get(first)), read_timestamp(given.get(second))
        except FormFault:
            continue
        if end < start:
            yield fault(second, "invalid", f"Must not be before {first}", received=given[second])


_Row = TypeVar("_Row")


class ResponseModel(BaseModel):
    """The documentation of a response; bodies themselves are plain dictionaries. No defaults: every field is always there."""

    model_config = ConfigDict(protected_namespaces=())


class Pagination(ResponseModel):
    has_more: bool
    next_cursor: str | None


class Paged(ResponseModel, Generic[_Row]):
    """One page of a list."""

    data: list[_Row]
    pagination: Pagination


class TimeRange(QueryModel):
    """`from` and `to` on `created_at`; mix in before ListQuery."""

    from_: Timestamp | None = Field(default=None, alias="from", description="Recorded at or after")
    to: Timestamp | None = Field(default=None, description="Recorded at or before")

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        yield from ordered(given, ("from", "to"), ("event_from", "event_to"))


class EventTimeRange(TimeRange):
    """The two pairs of time filters."""

    event_from: Timestamp | None = Field(default=None, description="Event's own time at or after")
    event_to: Timestamp | None = Field(default=None, description="Event's own time at or before")
