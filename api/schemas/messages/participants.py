"""The data of `participant.created` (webhooks.md 5.10)."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from api.schemas.messages.parts import MessageModel, Moment


class ParticipantCreated(MessageModel):
    """A participant is new; once in its life."""

    participant_id: UUID
    external_id: str
    status: Literal["ACTIVE", "SUSPENDED", "CLOSED"]
    program_id: Annotated[UUID | None, Field(description="Program it was enrolled in at creation")]
    source: Literal["API", "EVENT"]
    event_id: Annotated[UUID | None, Field(description="With EVENT: the event that named it first")]
    created_by_api_key_id: Annotated[UUID | None, Field(description="With API")]
    email: str | None
    phone: str | None
    first_name: str | None
    last_name: str | None
    display_name: str | None
    tags: list[str]
    attributes: dict[str, str]
    occurred_at: Moment
