"""Requests and responses of automations. Conditions and hints are checked by the domain, beside the other fields."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.common import (
    Choice,
    CreateModel,
    Form,
    FreeForm,
    Given,
    ListQuery,
    Metadata,
    OptionalText1000,
    QueryBoolean,
    ResponseModel,
    SearchText,
    Text255,
    Timestamp,
    UpdateModel,
    Uuid,
    omitted,
    refuse,
    text,
)
from domain.automation_forms import CEL, MAX_HINTS, condition_faults, definition_faults, parse_hints, trigger_faults
from domain.automations import (
    Automation,
    AutomationStatus,
    ExecutionStatus,
    ScheduleType,
    Scope,
    Source,
    TriggerType,
    time_zones,
)
from domain.errors import Fault
from domain.recurrence import CronError, parse_cron
from domain.rules.forms import MAX_EXPRESSION_LENGTH
from domain.subscription_forms import parse_schedule
from domain.subscriptions import SubscriptionStatus
from services.automations import NewAutomation
from services.subscriptions import Subscription

_CRON = "Five fields: minute, hour, day of month, month, day of week; `*`, lists, ranges, steps, English short names"
_AT = "After now, at most 5 years ahead"
_FILTER = "CEL over participant, program, groups, group, now; only for whom it is true"
_GUARD = "CEL, evaluated for each participant when it is its turn; false or an error skips it"
_PARTICIPANTS = "Scope participants only"
_SCHEDULED = "participant_state only"
_CONFIG = (
    "ATTRIBUTE_DATE: `attribute`, `offset_days` -365 to 365, `time` HH:MM; INTERVAL: `interval`, at least 1m; "
    "CRON: `cron_expression`, `timezone`; THRESHOLD: `counter`, `operator` (>=, >, ==, <=, <), `threshold`"
)


def _cron(value: object) -> str:
    if not isinstance(value, str):
        refuse("invalid", "Must be a string")
    if not value:
        refuse("required", "This field is required")
    try:
        parse_cron(value)
    except CronError as error:
        refuse("invalid", str(error))
    return value


def _zone(value: object) -> str:
    if not isinstance(value, str) or value not in time_zones():
        refuse("invalid", "Must be the name of an IANA time zone")
    return value


def _hints(value: object) -> list[Any]:
    if not isinstance(value, list):
        refuse("invalid", "Must be an array")
    return value


_HINT = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("has_tag", "has_attribute", "has_counter")},
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
}
CronText = Annotated[str, Form(_cron, "cron expression", {"type": "string", "description": _CRON, "examples": ["0 9 * * MON"]})]
Zone = Annotated[str, Form(_zone, "IANA time zone", {"type": "string", "examples": ["Europe/Paris"]})]
Hints = Annotated[list[Any], Form(_hints, "array of hints", {"type": "array", "items": _HINT, "maxItems": MAX_HINTS})]
Condition = Annotated[str, text(MAX_EXPRESSION_LENGTH, expected=CEL)]


class TriggerBody(CreateModel):
    """What makes it fire; which fields go with which type is said at each."""

    type: Choice[TriggerType]
    cron_expression: CronText | None = Field(default=None, description=f"Required with cron. {_CRON}")
    timezone: Zone | None = Field(default=None, description="With cron and participant_state; default UTC")
    trigger_at: Timestamp | None = Field(default=None, description=f"Required with one_time. {_AT}")
    schedule_type: Choice[ScheduleType] | None = Field(default=None, description="Required with participant_state")
    schedule_config: FreeForm | None = Field(default=None, description=f"Required with participant_state. {_CONFIG}")

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        return trigger_faults(given)


class AutomationCreate(CreateModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "Monday bonus",
                "event_name": "monday_bonus",
                "scope": "participants",
                "trigger": {"type": "cron", "cron_expression": "0 9 * * MON", "timezone": "Europe/Paris"},
                "participant_filter": '"vip" in participant.tags',
                "payload": {"points": 5},
            }
        }
    )

    name: Text255
    event_name: Text255 = Field(description="The `type` of its events")
    scope: Choice[Scope]
    trigger: TriggerBody
    description: OptionalText1000 = None
    payload: Metadata = Field(default_factory=dict, description="Merged into `event_data`; at most 16 KiB as compact JSON")
    participant_filter: Condition | None = Field(default=None, description=f"{_PARTICIPANTS}. {_FILTER}")
    guard_condition: Condition | None = Field(default=None, description=f"{_PARTICIPANTS}. {_GUARD}")
    filter_hints: Hints = Field(default_factory=list, description=f"{_PARTICIPANTS}. Further conditions, joined by AND")
    participant_id: Uuid | None = Field(default=None, description="Scope program with a one_time trigger only")

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        return definition_faults(given)

    def to_new(self) -> NewAutomation:
        """The service's command."""
        has_zone = self.trigger.type in (TriggerType.CRON, TriggerType.PARTICIPANT_STATE)
        kind, config = self.trigger.schedule_type, self.trigger.schedule_config
        return NewAutomation(
            name=self.name,
            event_name=self.event_name,
            scope=self.scope,
            trigger_type=self.trigger.type,
            description=self.description,
            payload=self.payload,
            participant_filter=self.participant_filter,
            guard_condition=self.guard_condition,
            filter_hints=parse_hints(self.filter_hints)[0],
            participant_id=self.participant_id,
            cron_expression=self.trigger.cron_expression,
            timezone=self.trigger.timezone or ("UTC" if has_zone else None),
            trigger_at=self.trigger.trigger_at,
            schedule_type=kind,
            schedule_config=None if kind is None or config is None else parse_schedule(kind, config, "")[0],
        )


def _settable(value: object) -> object:
    if value not in (AutomationStatus.ACTIVE.value, AutomationStatus.PAUSED.value):
        refuse("invalid", "Must be one of active, paused")
    return AutomationStatus(str(value))


Settable = Annotated[AutomationStatus, Form(_settable, "one of active, paused", {"type": "string", "enum": ["active", "paused"]})]


class AutomationUpdate(UpdateModel):
    model_config = ConfigDict(json_schema_extra={"example": {"status": "paused"}})

    name: Text255 = omitted()
    description: OptionalText1000 = omitted()
    event_name: Text255 = omitted()
    payload: Metadata = omitted()
    status: Settable = omitted()
    cron_expression: CronText = omitted()
    timezone: Zone = omitted()
    trigger_at: Timestamp = omitted()
    schedule_config: FreeForm = Field(default_factory=dict, description=f"{_SCHEDULED}. {_CONFIG}")
    participant_filter: Condition | None = omitted()
    guard_condition: Condition | None = omitted()
    filter_hints: Hints | None = omitted()

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        return condition_faults(given)

    def changes(self) -> dict[str, Any]:
        """The fields that were sent, as the domain has them."""
        found = super().changes()
        return found | {"filter_hints": parse_hints(self.filter_hints or [])[0]} if "filter_hints" in found else found


class AutomationQuery(ListQuery):
    search: SearchText | None = Field(default=None, description="Part of the name, letter case ignored")
    trigger_type: Choice[TriggerType] | None = None
    scope: Choice[Scope] | None = None
    status: Choice[AutomationStatus] | None = None
    source: Choice[Source] | None = Field(default=None, description="Without it, those that rules made and are over are left out")
    include_archived: QueryBoolean = False


class AutomationRead(ResponseModel):
    """Which fields are there depends on trigger and scope."""

    id: UUID
    program_id: UUID
    name: str
    description: str | None
    trigger_type: TriggerType
    scope: Scope
    status: AutomationStatus
    source: Source
    event_name: str
    payload: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    last_error: str | None = Field(description="Error of the last failed run; null after a good one")
    cron_expression: str = Field(default="", description="cron only")
    timezone: str = Field(default="", description="cron and participant_state only")
    next_run_at: datetime | None = Field(default=None, description="cron only; null while not active")
    last_run_at: datetime | None = Field(default=None, description="cron only")
    trigger_at: datetime | None = Field(default=None, description="one_time only")
    processed_at: datetime | None = Field(default=None, description="one_time and immediate only: end of its firing")
    error_message: str | None = Field(default=None, description="one_time and immediate only: why its firing failed")
    participant_id: UUID | None = Field(default=None, description="one_time with scope program only")
    participant_filter: str | None = Field(default=None, description=_PARTICIPANTS)
    guard_condition: str | None = Field(default=None, description=_PARTICIPANTS)
    filter_hints: list[dict[str, str]] = Field(default_factory=list, description=_PARTICIPANTS)
    execution_status: ExecutionStatus | None = Field(default=None, description=_PARTICIPANTS)
    execution_started_at: datetime | None = Field(default=None, description=_PARTICIPANTS)
    execution_completed_at: datetime | None = Field(default=None, description=_PARTICIPANTS)
    execution_error: str | None = Field(default=None, description=_PARTICIPANTS)
    participants_total: int | None = Field(default=None, description=f"{_PARTICIPANTS}; null until they are chosen")
    participants_processed: int | None = Field(default=None, description=_PARTICIPANTS)
    schedule_type: ScheduleType | None = Field(default=None, description=_SCHEDULED)
    schedule_config: dict[str, Any] | None = Field(default=None, description=f"{_SCHEDULED}. {_CONFIG}")
    last_evaluated_at: datetime | None = Field(default=None, description=f"{_SCHEDULED}: last evaluation of the filter")
    caused_by_event_id: UUID | None = Field(default=None, description="source rule_action only")


class SubscriptionQuery(ListQuery):
    status: Choice[SubscriptionStatus] | None = Field(default=None, description="Without it, cancelled ones are left out")


class SubscriptionRead(ResponseModel):
    id: UUID
    automation_id: UUID
    participant_id: UUID
    status: SubscriptionStatus = Field(description="completed: nothing more to fire")
    next_trigger_at: datetime | None = Field(description="null with THRESHOLD")
    last_triggered_at: datetime | None
    trigger_count: int = Field(description="Events made")
    retry_count: int = Field(description="Failures in a row; at 5 it is failed")
    last_error: str | None
    created_at: datetime


_ALWAYS = (
    "id", "program_id", "name", "description", "trigger_type", "scope", "status", "source", "event_name", "payload",
    "created_at", "updated_at", "last_error",
)  # fmt: skip
_CRON_FIELDS = ("cron_expression", "timezone", "next_run_at", "last_run_at")
_SUBSCRIBED = ("schedule_type", "schedule_config", "timezone", "last_evaluated_at")
_SCOPED = (
    "participant_filter", "guard_condition", "filter_hints", "execution_status", "execution_started_at",
    "execution_completed_at", "execution_error", "participants_total", "participants_processed",
)  # fmt: skip


def automation_body(automation: Automation) -> dict[str, Any]:
    """An automation as the API shows it: only the fields that its trigger and scope have."""
    names = list(_ALWAYS)
    if automation.trigger_type is TriggerType.CRON:
        names += _CRON_FIELDS
    if automation.trigger_type is TriggerType.ONE_TIME:
        names.append("trigger_at")
    if automation.trigger_type in (TriggerType.ONE_TIME, TriggerType.IMMEDIATE):
        names += ("processed_at", "error_message")
    if automation.trigger_type is TriggerType.ONE_TIME and automation.scope is Scope.PROGRAM:
        names.append("participant_id")
    if automation.trigger_type is TriggerType.PARTICIPANT_STATE:
        names += _SUBSCRIBED
    if automation.scope is Scope.PARTICIPANTS:
        names += _SCOPED
    if automation.source is Source.RULE_ACTION:
        names.append("caused_by_event_id")
    return {name: getattr(automation, name) for name in names}


def subscription_body(subscription: Subscription) -> dict[str, Any]:
    """A subscription as the API shows it."""
    return {name: getattr(subscription, name) for name in SubscriptionRead.model_fields}
