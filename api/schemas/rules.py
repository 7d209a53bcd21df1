"""Bodies, queries and answers of rules. Conditions and actions are checked by the domain, beside the other fields."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from api.schemas.common import (
    Choice,
    CreateModel,
    Form,
    FormFault,
    Given,
    ListQuery,
    OptionalText1000,
    QueryBoolean,
    ResponseModel,
    SearchText,
    SortDirection,
    Text255,
    TimeRange,
    Timestamp,
    UpdateModel,
    Uuid,
    fault,
    integer,
    omitted,
    query_integer,
    refuse,
    text,
)
from api.schemas.types import read_timestamp
from domain.errors import Fault
from domain.rules.actions import ActionType
from domain.rules.definitions import MAX_ACTIONS, parse_actions
from domain.rules.forms import MAX_EXPRESSION_LENGTH
from domain.rules.rule import MAX_ORDER, ChangeType, RuleStatus, condition_faults

_TEXT = {"type": "string"}
_ACTION = {
    "type": "object",
    "required": ["type"],
    "properties": {
        "type": {"type": "string", "enum": list(ActionType)},
        "asset_id": {
            "type": "string",
            "format": "uuid",
            "description": "CREDIT, DEBIT: an active asset linked to the program",
        },
        "amount": _TEXT | {"description": "CREDIT, DEBIT: a plain decimal, or CEL giving a number"},
        "bucket": {
            "type": "string",
            "enum": ["AVAILABLE", "HELD"],
            "default": "AVAILABLE",
            "description": "CREDIT, DEBIT",
        },
        "allow_negative": {"type": "boolean", "default": False, "description": "DEBIT of AVAILABLE"},
        "expires_at": _TEXT | {"description": "CREDIT of LOT assets: a duration from execution, or a fixed time"},
        "matures_at": _TEXT | {"description": "CREDIT of LOT assets: a duration from execution, or a fixed time"},
        "reference_id": _TEXT | {"description": "CREDIT: a literal, or CEL giving a string"},
        "description": _TEXT | {"maxLength": 500, "description": "CREDIT, DEBIT: default the rule's name"},
        "tag": _TEXT | {"description": "TAG, UNTAG"},
        "key": _TEXT | {"description": "COUNTER, SET_ATTRIBUTE"},
        "value": _TEXT | {"description": "COUNTER: a decimal or CEL giving a number; SET_ATTRIBUTE: the text itself"},
        "value_expression": _TEXT | {"description": "SET_ATTRIBUTE: CEL, instead of `value`"},
        "reset_after": _TEXT | {"description": 'COUNTER: a duration from 1s to 43800h, or "" to remove the auto-reset'},
        "event_name": _TEXT | {"maxLength": 255, "description": "SCHEDULE_EVENT, BROADCAST: the `type` of the events they make"},
        "delay": _TEXT | {"description": "SCHEDULE_EVENT: a duration from 1s to 43800h"},
        "payload": {"type": "object", "description": "SCHEDULE_EVENT, BROADCAST: merged into `event_data`, at most 16 KiB"},
        "target": {
            "type": "object",
            "required": ["type"],
            "properties": {
                "type": {"type": "string", "enum": ["PARTICIPANT", "PROGRAM"]},
                "id": _TEXT,
                "participant_id": _TEXT,
                "external_id": _TEXT | {"description": "A literal, or CEL giving a string"},
            },
        },
    },
}


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        refuse("invalid", "Must be an array")
    return value


def _no_budgets(value: object) -> list[Any]:
    if _list(value):
        refuse("not_allowed", "Budgets aren't supported yet")
    return []


Actions = Annotated[
    list[dict[str, Any]],
    Form(_list, "array of actions", {"type": "array", "items": _ACTION, "minItems": 1, "maxItems": MAX_ACTIONS}),
]
Budgets = Annotated[list[dict[str, Any]], Form(_no_budgets, "empty array", {"type": "array", "maxItems": 0})]
Condition = Annotated[str, text(MAX_EXPRESSION_LENGTH, expected="CEL expression")]
Order = Annotated[int, integer(1, MAX_ORDER)]


def _rule_faults(given: Given) -> Iterator[Fault]:
    if "condition" in given:
        yield from condition_faults(given["condition"])
    if "actions" in given:
        yield from parse_actions(given["actions"])[1]
    try:
        starts, ends = read_timestamp(given.get("active_from")), read_timestamp(given.get("active_to"))
    except FormFault:
        return
    if ends <= starts:
        yield fault("active_to", "out_of_range", "Must be after active_from", expected="timestamp", received=given["active_to"])


class NewRuleStatus(StrEnum):
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"


_CREATE_EXAMPLE: JsonDict = {
    "program_id": "01890000-0000-7000-8000-0000000000a1",
    "name": "3 % back on purchases",
    "condition": 'event.type == "purchase" && event.amount > 0',
    "actions": [
        {"type": "CREDIT", "asset_id": "01890000-0000-7000-8000-0000000000d1", "amount": "event.amount * 0.03"},
        {"type": "COUNTER", "key": "spend", "value": "event.amount"},
    ],
}


class RuleCreate(CreateModel):
    model_config = ConfigDict(json_schema_extra={"example": _CREATE_EXAMPLE})

    program_id: Uuid
    name: Text255
    condition: Condition = Field(examples=['event.type == "purchase"'])
    actions: Actions
    description: OptionalText1000 = None
    order: Order | None = Field(default=None, description="Default: after the program's last rule, in steps of 10")
    stop_after_match: bool = False
    active_from: Timestamp | None = Field(default=None, description="Inclusive, by the server's clock")
    active_to: Timestamp | None = Field(default=None, description="Exclusive; after active_from")
    budgets: Budgets = Field(default_factory=list)
    status: Choice[NewRuleStatus] = NewRuleStatus.ACTIVE

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        return _rule_faults(given)


class RuleUpdate(UpdateModel):
    model_config = ConfigDict(json_schema_extra={"example": {"status": "SUSPENDED"}})

    name: Text255 = omitted()
    description: OptionalText1000 = omitted()
    condition: Condition = omitted()
    actions: Actions = omitted()
    order: Order = omitted()
    stop_after_match: bool = omitted()
    active_from: Timestamp | None = omitted()
    active_to: Timestamp | None = omitted()
    budgets: Budgets = omitted()
    status: Choice[RuleStatus] = omitted()

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        return _rule_faults(given)


class ConditionBody(CreateModel):
    model_config = ConfigDict(json_schema_extra={"example": {"condition": "event.amount > 50"}})

    condition: Condition = Field(examples=["event.amount > 50"])


class RuleSort(StrEnum):
    ORDER = "order"
    CREATED_AT = "created_at"
    NAME = "name"


class RuleQuery(ListQuery):
    program_id: Uuid | None = None
    status: Choice[RuleStatus] | None = None
    include_archived: QueryBoolean = False
    search: SearchText | None = Field(default=None, description="Part of the name, letter case ignored")
    sort_by: Choice[RuleSort] = RuleSort.ORDER
    sort_dir: Choice[SortDirection] = SortDirection.ASC


class RuleHistoryQuery(TimeRange, ListQuery):
    """`from` and `to` act on `changed_at`."""

    limit: Annotated[int, query_integer(1, 100)] = Field(default=20, description="Rows per page, 1-100")
    change_type: Choice[ChangeType] | None = None


class RuleRead(ResponseModel):
    id: UUID
    program_id: UUID
    name: str
    description: str | None
    condition: str
    actions: list[dict[str, Any]] = Field(description="As sent, only the fields that were set")
    order: int
    stop_after_match: bool
    active_from: datetime | None
    active_to: datetime | None
    budgets: list[dict[str, Any]]
    status: RuleStatus
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


class RuleHistoryRead(ResponseModel):
    id: UUID = Field(description="The `rule_history_id` of rule evaluations")
    rule_id: UUID
    program_id: UUID
    change_type: ChangeType
    changed_at: datetime
    changed_by_api_key_id: UUID | None
    changed_by_user_id: None
    changes: dict[str, Any] = Field(description="Field -> `from` and `to`; empty for `created`")
    snapshot: RuleRead = Field(description="The rule after the change")


class ConditionCheck(ResponseModel):
    """`note` only when valid; `line` and `column` only when not."""

    valid: bool
    message: str
    note: str | None = None
    line: int | None = None
    column: int | None = None


EXAMPLE_RULE: Mapping[str, Any] = {
    "program_id": "0198c1a0-7a5e-7b3c-9d52-4f1e6c0b8a11",
    "name": "Ten points per unit spent",
    "condition": 'event.type == "purchase" && event.amount > 0',
    "actions": [
        {"type": "CREDIT", "asset_id": "0198c1a0-9c40-7f0e-8a16-2b7d5e9f4c22", "amount": "event.amount * 10"},
        {"type": "COUNTER", "key": "purchases", "value": "1"},
    ],
    "order": 100,
}
