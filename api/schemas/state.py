"""Requests and responses of tags, counters, attributes and their history."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.common import (
    AttributeValue,
    Choice,
    CreateModel,
    Duration,
    EventTimeRange,
    Form,
    ListQuery,
    ResponseModel,
    SignedDecimalStr,
    StateKey,
    Tag,
    Uuid,
    duration,
    query_integer,
    text,
)
from domain.money import format_plain
from services.state import ChangeRow, CounterView, HistoryFilter

_RESET = duration(timedelta(seconds=1), timedelta(hours=43800))


def _reset_after(value: object) -> Duration:
    """A duration from 1 s to 5 years, or an empty text, which removes auto-reset."""
    return Duration("") if value == "" else _RESET.read(value)


ResetAfter = Annotated[Duration, Form(_reset_after, "duration", {"type": "string", "examples": ["24h", ""]})]


class TagsSet(CreateModel):
    model_config = ConfigDict(json_schema_extra={"example": {"tags": ["vip", "newsletter"]}})

    tags: list[Tag]


class CounterSet(CreateModel):
    model_config = ConfigDict(json_schema_extra={"example": {"value": "340.00", "reset_after": "24h"}})

    value: SignedDecimalStr
    reset_after: ResetAfter | None = Field(default=None, description='1s to 43800h; "" removes auto-reset')


class AttributesMerge(CreateModel):
    model_config = ConfigDict(json_schema_extra={"example": {"attributes": {"city": "Rome"}}})

    attributes: dict[StateKey, AttributeValue]


class AttributeSet(CreateModel):
    model_config = ConfigDict(json_schema_extra={"example": {"value": "Rome"}})

    value: AttributeValue


class StateType(StrEnum):
    TAG = "tag"
    COUNTER = "counter"
    ATTRIBUTE = "attribute"
    TIER = "tier"


class StateOperation(StrEnum):
    ADD = "add"
    REMOVE = "remove"
    SET = "set"
    DELETE = "delete"
    AUTO_RESET = "auto_reset"


class StateHistoryQuery(EventTimeRange, ListQuery):
    state_type: Choice[StateType] | None = None
    key: Annotated[str, text(255)] | None = None
    program_id: Uuid | None = Field(default=None, description="Changes by this program's rules and tiers")
    operation: Choice[StateOperation] | None = None
    limit: Annotated[int, query_integer(1, 100)] = 50

    def to_filter(self) -> HistoryFilter:
        """The service's filter."""
        return HistoryFilter(
            self.state_type,
            self.key,
            self.program_id,
            self.operation,
            self.from_,
            self.to,
            self.event_from,
            self.event_to,
        )


class TagRead(ResponseModel):
    tag: str


class TagsRead(ResponseModel):
    tags: list[str]


class CounterRead(ResponseModel):
    key: str
    value: str
    reset_after: Annotated[str | None, Field(description="Only with auto-reset")] = None
    last_reset_at: Annotated[datetime | None, Field(description="Only with auto-reset")] = None


class AttributeRead(ResponseModel):
    key: str
    value: str


class AttributesRead(ResponseModel):
    attributes: dict[str, str]


class StateChangeRead(ResponseModel):
    id: UUID
    state_type: StateType
    key: str
    operation: StateOperation
    old_value: str | None
    new_value: str | None
    changed_at: datetime
    changed_by_api_key_id: UUID | None
    event_id: UUID | None
    rule_id: UUID | None
    program_id: UUID | None


def counter_body(counter: CounterView) -> dict[str, Any]:
    """One counter: the reset fields are null without auto-reset."""
    return {
        "key": counter.key,
        "value": format_plain(counter.value),
        "reset_after": counter.reset_after,
        "last_reset_at": counter.last_reset_at,
    }


def counter_item(counter: CounterView) -> dict[str, Any]:
    """A counter in a list: the reset fields only with auto-reset."""
    body = counter_body(counter)
    return body if counter.reset_after is not None else {"key": body["key"], "value": body["value"]}


def change_body(row: ChangeRow) -> dict[str, Any]:
    """A row of the state history."""
    return {
        "id": row.id,
        "state_type": row.state_type,
        "key": row.key,
        "operation": row.operation,
        "old_value": row.old_value,
        "new_value": row.new_value,
        "changed_at": row.changed_at,
        "changed_by_api_key_id": row.changed_by_api_key_id,
        "event_id": row.event_id,
        "rule_id": row.rule_id,
        "program_id": row.program_id,
    }
