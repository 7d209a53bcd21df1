"""`participant.created`: once in a participant's life (webhooks.md 5.10)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from domain.messages.parts import moment_of, text_of
from domain.outbox import Message, MessageType


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A participant as it was created: by an event, or with an API key, and then with what that call said of it."""

    id: UUID
    organization_id: UUID
    external_id: str
    created_at: datetime
    program_id: UUID | None
    event_id: UUID | None = None
    api_key_id: UUID | None = None
    status: str = "ACTIVE"
    profile: Mapping[str, str | None] = field(default_factory=dict)
    tags: Sequence[str] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)


PROFILE = ("email", "phone", "first_name", "last_name", "display_name")


def participant_message(newcomer: Newcomer) -> Message:
    """The message about a new participant."""
    data: dict[str, object] = {
        "participant_id": str(newcomer.id),
        "external_id": newcomer.external_id,
        "status": newcomer.status,
        "program_id": text_of(newcomer.program_id),
        "source": "API" if newcomer.event_id is None else "EVENT",
        "event_id": text_of(newcomer.event_id),
        "created_by_api_key_id": text_of(newcomer.api_key_id),
        **{name: newcomer.profile.get(name) for name in PROFILE},
        "tags": list(newcomer.tags),
        "attributes": dict(newcomer.attributes),
        "occurred_at": moment_of(newcomer.created_at),
    }
    return Message(MessageType.PARTICIPANT_CREATED, newcomer.organization_id, newcomer.id, data)
