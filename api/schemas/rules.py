"""Bodies, queries and answers of rules. Conditions and actions are checked by the domain, beside the other fields."""

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Generic, TypeVar
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
    QueryModel,
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
from domain.rules.budget_forms import parse_budgets
from domain.rules.budgets import ScheduleType
from domain.rules.definitions import MAX_ACTIONS, parse_actions
from domain.rules.forms import MAX_EXPRESSION_LENGTH
from domain.rules.rule import MAX_ORDER, ChangeType, RuleStatus, condition_faults

_TEXT = {"type": "string"}
_MONEY = "CREDIT, DEBIT, HOLD, RELEASE, FORFEIT, VOID_HOLD"
_NULLABLE_TEXT = {"anyOf": [{"type": "string"}, {"type": "null"}]}
_ACTION = {
    "type": "object",
    "required": ["type"],
    "properties": {
        "type": {"type": "string", "enum": list(ActionType)},
        "asset_id": {
            "type": "string",
            "format": "uuid",
            "description": f"{_MONEY}: an active asset linked to the program; VOID_HOLD: a LOT asset",
        },
        "amount": _TEXT
        | {
            "description": "A plain decimal, or CEL giving a number. CREDIT, DEBIT: required; "
            "HOLD, RELEASE, FORFEIT: everything when left out"
        },
        "bucket": {
            "type": "string",
            "enum": ["AVAILABLE", "HELD"],
            "default": "AVAILABLE",
            "description": "CREDIT, DEBIT, FORFEIT",
        },
        "allow_negative": {"type": "boolean", "default": False, "description": "DEBIT of AVAILABLE"},
        "expires_at": _TEXT
        | {
            "description": "A duration from execution, or a fixed time. CREDIT of LOT assets: when the value expires; "
            "HOLD: when what is still held is released; SET_TIER: when the level is removed again"
        },
        "matures_at": _TEXT | {"description": "CREDIT of LOT assets: a duration from execution, or a fixed time"},
        "reference_id": _TEXT
        | {"description": "A literal, or CEL giving a string. CREDIT, HOLD, RELEASE, FORFEIT of HELD; VOID_HOLD: required"},
        "description": _TEXT | {"maxLength": 500, "description": f"{_MONEY}: default the rule's name"},
        "tag": _TEXT | {"description": "TAG, UNTAG"},
        "key": _TEXT | {"description": "COUNTER, SET_ATTRIBUTE"},
        "value": _TEXT | {"description": "COUNTER: a decimal or CEL giving a number; SET_ATTRIBUTE: the text itself"},
        "value_expression": _TEXT | {"description": "SET_ATTRIBUTE: CEL, instead of `value`"},
        "reset_after": _TEXT | {"description": 'COUNTER: a duration from 1s to 43800h, or "" to remove the auto-reset'},
        "tier": _TEXT | {"description": "SET_TIER: the key of an active tier of the program"},
        "level": _TEXT | {"description": "SET_TIER: the key of a level of that tier"},
        "event_name": _TEXT | {"maxLength": 255, "description": "SCHEDULE_EVENT, BROADCAST: the `type` of the events they make"},
        "delay": _TEXT | {"description": "SCHEDULE_EVENT: a duration from 1s to 43800h"},
        "payload": {"type": "object", "description": "SCHEDULE_EVENT, BROADCAST: merged into `event_data`, at most 16 KiB"},
        "target": {
            "type": "object",
            "required": ["type"],
            "properties": {
                "type": {"type": "string", "enum": ["PARTICIPANT", "GROUP", "PROGRAM"]},
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


_BUDGET = {
    "type": "object",
    "required": ["asset_id", "limit"],
    "additionalProperties": False,
    "properties": {
        "asset_id": {"type": "string", "format": "uuid", "description": "An active asset linked to the program, in one budget"},
        "limit": _TEXT | {"description": "What the rule's CREDITs may issue in a period; rounded to the asset's scale"},
        "schedule_type": {
            "anyOf": [{"type": "string", "enum": list(ScheduleType)}, {"type": "null"}],
            "description": "Without one the budget never resets by itself",
        },
        "cron_expression": _NULLABLE_TEXT | {"description": "With CRON: five fields, UTC", "examples": ["0 0 1 * *"]},
        "interval": _NULLABLE_TEXT | {"description": "With INTERVAL: a duration of at least 1m", "examples": ["24h"]},
    },
}


Actions = Annotated[
    list[dict[str, Any]],
    Form(_list, "array of actions", {"type": "array", "items": _ACTION, "minItems": 1, "maxItems": MAX_ACTIONS}),
]
Budgets = Annotated[list[dict[str, Any]], Form(_list, "array of budgets", {"type": "array", "items": _BUDGET})]
Condition = Annotated[str, text(MAX_EXPRESSION_LENGTH, expected="CEL expression")]
Order = Annotated[int, integer(1, MAX_ORDER)]


def _rule_faults(given: Given) -> Iterator[Fault]:
    if "condition" in given:
        yield from condition_faults(given["condition"])
    if "actions" in given:
        yield from parse_actions(given["actions"])[1]
    if "budgets" in given:
        yield from parse_budgets(given["budgets"])[1]
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
    budgets: Budgets = Field(default_factory=list, description="What the rule's CREDITs may issue, per asset and period")
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


class BudgetResetQuery(QueryModel):
    asset_id: Uuid


class BudgetDefinition(ResponseModel):
    asset_id: UUID
    limit: str
    schedule_type: ScheduleType | None
    cron_expression: str | None
    interval: str | None


class BudgetRead(BudgetDefinition):
    consumed: str = Field(description="Issued in the current period")
    next_reset_at: datetime | None = Field(description="Null for a budget without a schedule")


_Budget = TypeVar("_Budget", bound=BudgetDefinition)


class _RuleObject(ResponseModel, Generic[_Budget]):
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
    budgets: list[_Budget]
    status: RuleStatus
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


class RuleRead(_RuleObject[BudgetRead]):
    """A rule with its budgets as they are."""


class RuleSnapshot(_RuleObject[BudgetDefinition]):
    """A rule as it was defined: budgets without `consumed` and `next_reset_at`."""


class RuleHistoryRead(ResponseModel):
    id: UUID = Field(description="The `rule_history_id` of rule evaluations")
    rule_id: UUID
    program_id: UUID
    change_type: ChangeType
    changed_at: datetime
    changed_by_api_key_id: UUID | None
    changed_by_user_id: None
    changes: dict[str, Any] = Field(description="Field -> `from` and `to`; empty for `created`")
    snapshot: RuleSnapshot = Field(description="The rule after the change")


class ConditionCheck(ResponseModel):
    """`note` only when valid; `line` and `column` only when not."""

    valid: bool
    message: str
    note: str | None = None
    line: int | None = None
    column: int | None = None
