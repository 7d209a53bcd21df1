"""The data of `event.completed` and `event.failed` (webhooks.md 5.9)."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from api.schemas.messages.parts import MessageModel, Moment


class EventMessage(MessageModel):
    event_id: UUID
    program_id: UUID
    participant_id: UUID | None
    external_id: str | None
    recipient_id: UUID | None
    idempotency_key: str
    event_type: Literal["EXTERNAL", "SYSTEM"]
    event_timestamp: Moment
    received_at: Moment
    processed_at: Moment
    status: Literal["COMPLETED", "FAILED"]
    automation_id: UUID | None
    caused_by_event_id: UUID | None
    rules_evaluated: int
    rules_matched: Annotated[int, Field(description="Those whose condition was true")]
    matched_rule_ids: Annotated[list[UUID], Field(description="In `order`")]


class EventCompleted(EventMessage):
    """An event was processed; told after the messages of what it changed. `event_data` isn't included: read the event."""

    journal_entry_ids: Annotated[list[UUID], Field(description="In ledger order")]


class EventFailed(EventMessage):
    """An event failed and changed nothing. After a retry an event may fail several times and complete once."""

    error_code: str
    error_message: str
    failed_rule_id: UUID | None
