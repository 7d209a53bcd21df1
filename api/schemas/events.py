"""Bodies, queries and answers of events (events-rules.md 1 and 2)."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from api.schemas.common import (
    CreateModel,
    EventTimeRange,
    Given,
    IdempotencyKey,
    ListQuery,
    QueryBoolean,
    QueryModel,
    ResponseModel,
    SortDirection,
    Text255,
    Timestamp,
    exactly_one_of,
    fault,
    ordered,
)
from api.schemas.types import Choice, Form, Uuid, refuse, text
from domain.errors import Fault
from domain.rules.actions import ActionType

RESERVED_KEYS = "sys:"
EVENT_EXAMPLE: JsonDict = {
    "program_id": "01890000-0000-7000-8000-0000000000a1",
    "external_id": "customer-42",
    "idempotency_key": "order-1001-completed",
    "event_timestamp": "2026-01-15T10:30:00Z",
    "event_data": {"type": "purchase", "amount": 75.00, "sku": "SKU-9"},
}


def _key(value: object) -> str:
    found: str = text(255).read(value)
    if found.startswith(RESERVED_KEYS):
        refuse("invalid", f"Keys that begin with {RESERVED_KEYS} are reserved")
    return found


def _payload(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        refuse("invalid", "Must be an object")
    return value


EventKey = Annotated[str, Form(_key, "string", {"type": "string", "minLength": 1, "maxLength": 255})]
Payload = Annotated[dict[str, Any], Form(_payload, "object", {"type": "object", "additionalProperties": True})]


class EventBody(CreateModel):
    """What is said about an event: one participant, in one program."""

    program_id: Uuid = Field(description="The program whose rules evaluate the event")
    idempotency_key: EventKey | None = Field(default=None, description="Without effect here")
    event_timestamp: Timestamp | None = Field(default=None, description="When it happened, `now` in CEL; default: the present")
    event_data: Payload = Field(description="The payload, `event` in CEL; at most 64 KiB and 32 levels")
    external_id: Text255 | None = Field(default=None, description="Your id of the participant; unknown ones are created")
    participant_id: Uuid | None = Field(default=None, description="Our id of the participant; exactly one of the two")
    recipient_id: Uuid | None = Field(default=None, description="Who receives credits instead")
    recipient_external_id: Text255 | None = Field(default=None, description="The same by your id")

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        yield from exactly_one_of(given, "external_id", "participant_id")
        if "recipient_id" in given and "recipient_external_id" in given:
            yield fault("recipient_external_id", "not_allowed", "Not allowed together with recipient_id")


class EventCreate(EventBody):
    """One event about one participant."""

    model_config = ConfigDict(json_schema_extra={"example": EVENT_EXAMPLE})

    idempotency_key: EventKey = Field(description="The event's identity within the program: sending it again changes nothing")
    event_timestamp: Timestamp = Field(description="When it happened; `now` in CEL")


class EventStatus(StrEnum):
    RECEIVED = "RECEIVED"
    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class EventType(StrEnum):
    EXTERNAL = "EXTERNAL"
    SYSTEM = "SYSTEM"


class EventErrorCode(StrEnum):
    """Why events fail (events-rules.md 3.4)."""

    INSUFFICIENT_BALANCE = "insufficient_balance"
    INSUFFICIENT_WALLET = "insufficient_wallet"
    PARTICIPANT_INACTIVE = "participant_inactive"
    GROUP_ARCHIVED = "group_archived"
    ASSET_ARCHIVED = "asset_archived"
    ASSET_NOT_LINKED = "asset_not_linked"
    MAX_TRANSACTION_AMOUNT_EXCEEDED = "max_transaction_amount_exceeded"
    INVALID_AMOUNT = "invalid_amount"
    EXPRESSION_ERROR = "expression_error"
    EXPRESSION_TIMEOUT = "expression_timeout"
    TARGET_NOT_FOUND = "target_not_found"
    TARGET_REQUIRED = "target_required"
    CHAIN_DEPTH_EXCEEDED = "chain_depth_exceeded"
    INTERNAL_ERROR = "internal_error"


class EventSort(StrEnum):
    CREATED_AT = "created_at"
    EVENT_TIMESTAMP = "event_timestamp"
    STATUS = "status"


class EventQuery(EventTimeRange, ListQuery):
    """Filters of the event list; all of them are joined by AND."""

    program_id: Uuid | None = None
    participant_id: Uuid | None = Field(default=None, description="The event's participant, not its recipient")
    external_id: Text255 | None = None
    status: Choice[EventStatus] | None = None
    event_type: Choice[EventType] | None = None
    rule_id: Uuid | None = Field(default=None, description="Events in which this rule's condition was true")
    sort_by: Choice[EventSort] = EventSort.CREATED_AT
    sort_dir: Choice[SortDirection] = SortDirection.DESC

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        yield from ordered(given, ("from", "to"), ("event_from", "event_to"))
        if given.get("sort_by") == "status" and "program_id" not in given and "participant_id" not in given:
            yield fault("program_id", "required", "Sorting by status needs program_id or participant_id", expected="uuid")


class ParticipantEventQuery(EventTimeRange, ListQuery):
    """Filters of one participant's events."""

    program_id: Uuid | None = None
    status: Choice[EventStatus] | None = None


class EventDetailQuery(QueryModel):
    include_skipped: QueryBoolean = Field(default=False, description="Also rules whose condition raised an error or timed out")


class EventByKeyQuery(EventDetailQuery):
    program_id: Uuid
    idempotency_key: IdempotencyKey


class AcceptedEvent(ResponseModel):
    """What is known of an event when it is accepted."""

    id: str
    program_id: str
    participant_id: str | None
    external_id: str | None
    idempotency_key: str
    event_timestamp: str
    status: EventStatus


class BatchResult(ResponseModel):
    """One item's result: `event` when accepted; `error`, `code` and `details` when not."""

    index: int
    status: str
    event: AcceptedEvent | None = None
    error: str | None = None
    code: str | None = None
    details: dict[str, Any] | None = None


class BatchAnswer(ResponseModel):
    total: int
    success_count: int
    error_count: int
    results: list[BatchResult]


class ActionTarget(ResponseModel):
    """Whom an action concerned; `external_id` only of a participant that a dry run made up, whose id is null."""

    type: str
    id: str | None
    external_id: str = Field(default="", examples=["customer-42"])


class ExecutedAction(ResponseModel):
    """What one action of a matched rule did; the fields with a default are there where they apply."""

    index: int = Field(description="The action's place in the rule, from 0")
    type: ActionType
    outcome: str = Field(description="APPLIED, NO_OP or SUPPRESSED")
    reason: str | None
    target: ActionTarget
    asset_id: str = ""
    asset_symbol: str = ""
    amount: str = Field(default="", description="As recorded", examples=["7.50"])
    bucket: str = ""
    reference_id: str = ""
    journal_entry_id: str | None = Field(default=None, description="null in a dry run")
    key: str = ""
    value: str = ""
    new_value: str = ""
    tag: str = ""
    tier: str = ""
    level: str = ""
    event_name: str = ""
    due_at: str = Field(default="", description="When the scheduled event is made")
    automation_id: str | None = Field(default=None, description="What makes the events; null in a dry run")


class RuleEvaluation(ResponseModel):
    """What became of one rule in one event."""

    id: str | None = Field(description="null in a dry run")
    rule_id: str
    rule_name: str
    rule_history_id: str
    status: str
    reason: str | None
    stopped_by_rule_id: str | None
    error_message: str | None
    executed_actions: list[ExecutedAction]
    created_at: str


class EventItem(AcceptedEvent):
    """An event in a list."""

    recipient_id: str | None
    event_type: EventType
    event_data: dict[str, Any]
    received_at: str
    processed_at: str | None
    error_code: str | None
    error_message: str | None
    automation_id: str | None
    caused_by_event_id: str | None
    chain_depth: int
    created_at: str
    updated_at: str


class EventRead(EventItem):
    """An event with what its rules did."""

    rule_evaluations: list[RuleEvaluation]


class RetryAnswer(ResponseModel):
    event_id: str
    message: str
    previous_status: str
    previous_error: str | None
    status: str


class BulkRetry(CreateModel):
    """Which failed events to queue again."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"program_id": "01890000-0000-7000-8000-0000000000a1", "error_code": "insufficient_balance"}
        }
    )

    program_id: Uuid
    error_code: Choice[EventErrorCode] | None = Field(default=None, description="Only events that failed with it")
    from_: Timestamp | None = Field(default=None, alias="from")
    to: Timestamp | None = None

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        yield from ordered(given, ("from", "to"))


class BulkRetryAnswer(ResponseModel):
    queued: int
