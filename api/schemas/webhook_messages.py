"""The messages that webhooks get, one model of `data` per type (webhooks.md 5); `MESSAGES` is the one place that lists them.

They describe: messages are made in `domain.messages`, and tests hold every recorded one against its schema.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, TypeVar, cast
from uuid import UUID

from pydantic import ConfigDict, Field, create_model

from api.schemas.common import ResponseModel
from domain.ledger.accounts import Bucket
from domain.ledger.entries import ActionType
from domain.outbox import MessageType

Amount = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?$")]
Signed = Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]+)?$")]
Moment = Annotated[
    str,
    Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$", json_schema_extra={"format": "date-time"}),
]


def only(description: str) -> Any:
    """A field that is there only sometimes, and then never without a value that its type allows."""
    return Field(default_factory=lambda: None, description=description)


class MessageModel(ResponseModel):
    """A part of a message: nothing beside its fields, all of which are there unless they say when."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


_EITHER = [
    {"required": ["participant_id", "external_id"], "not": {"required": ["group_id"]}},
    {"required": ["group_id"], "not": {"anyOf": [{"required": ["participant_id"]}, {"required": ["external_id"]}]}},
]


class Party(MessageModel):
    """A participant or a group."""

    model_config = ConfigDict(json_schema_extra={"oneOf": _EITHER})

    participant_id: UUID = only("Of a participant")
    external_id: str = only("Of a participant")
    group_id: UUID = only("Of a group")


class Buckets(MessageModel):
    """What a holder has of an asset; a group in one program."""

    available: Annotated[Signed, Field(description="Below zero only by overdraft")]
    held: Amount
    deferred: Amount


class TouchedLot(MessageModel):
    id: UUID
    amount: Amount


class BalanceMessage(Party):
    """What one journal entry did to one holder."""

    program_id: Annotated[UUID, Field(description="Program of the entry")]
    asset_id: UUID
    asset_symbol: str
    amount: Annotated[Amount, Field(description="What moved, positive")]
    balance: Annotated[Buckets, Field(description="After this very entry")]
    action_type: Annotated[ActionType, Field(description="Of the journal entry")]
    journal_entry_id: UUID
    description: str
    reference_id: str = only("When the entry has one")
    event_id: Annotated[UUID | None, Field(description="When a rule made it")]
    rule_id: Annotated[UUID | None, Field(description="When a rule made it")]
    created_by_api_key_id: Annotated[UUID | None, Field(description="When an API call made it")]
    occurred_at: Annotated[Moment, Field(description="`created_at` of the entry")]


_LOTS = "On LOT assets: each lot created, consumed or moved, at most 100"


class Settled(MessageModel):
    held_amount: Annotated[Amount, Field(description="What was provisional")]
    delta: Annotated[Signed, Field(description="Settled minus held")]


class BalanceCredited(BalanceMessage):
    """Value came in: by CREDIT, SETTLE, REDEMPTION_REVERSAL, or REDEMPTION where the holder is the redemption target."""

    lots: list[TouchedLot] = only(_LOTS)
    bucket: Annotated[Bucket, Field(description="Where it arrived")]
    expires_at: Moment | None = only("On LOT assets with CREDIT or SETTLE: of the new lot")
    matures_at: Moment | None = only("On LOT assets with CREDIT or SETTLE: of the new lot")
    settle: Settled = only("With SETTLE; `amount` is the settled amount")
    redemption_id: UUID = only("With REDEMPTION and REDEMPTION_REVERSAL")
    reversal_id: UUID = only("With REDEMPTION_REVERSAL")


class BalanceDebited(BalanceMessage):
    """Value went out: by DEBIT, FORFEIT, VOID_HOLD, or REDEMPTION_REVERSAL where the holder was the redemption target."""

    lots: list[TouchedLot] = only(_LOTS)
    bucket: Annotated[Bucket, Field(description="Where it was taken")]
    overdraft: Annotated[Amount, Field(description="The part that took AVAILABLE below zero")]
    redemption_id: UUID = only("With REDEMPTION_REVERSAL")
    reversal_id: UUID = only("With REDEMPTION_REVERSAL")


class BalanceHeld(BalanceMessage):
    """Value was reserved: AVAILABLE to HELD."""

    lots: list[TouchedLot] = only(_LOTS)
    from_bucket: Bucket
    to_bucket: Bucket
    hold_expires_at: Annotated[Moment | None, Field(description="When the hold ends by itself")]


class ReleasedBy(StrEnum):
    API = "API"
    RULE = "RULE"
    DEADLINE = "DEADLINE"


class BalanceReleased(BalanceMessage):
    """Reserved value is free again: HELD to AVAILABLE, by the API, a rule or the hold's deadline."""

    lots: list[TouchedLot] = only(_LOTS)
    from_bucket: Bucket
    to_bucket: Bucket
    released_by: ReleasedBy


class ExpiredLot(TouchedLot):
    bucket: Bucket
    expires_at: Moment


class BalanceExpired(BalanceMessage):
    """Lots of one holder, asset and program expired; `amount` is their total."""

    lots: Annotated[list[ExpiredLot], Field(description="At most 100")]
    lot_count: Annotated[int, Field(description="All of them")]


class TransferLeg(Party):
    amount: Amount


class TransferCompleted(MessageModel):
    """Value moved from one holder to others. One message; the holders get no balance messages."""

    program_id: UUID
    asset_id: UUID
    asset_symbol: str
    journal_entry_id: UUID
    created_by_api_key_id: UUID
    source: Party
    recipients: Annotated[list[TransferLeg], Field(description="In the order of the request")]
    recipient_count: int
    total_amount: Amount
    description: str
    occurred_at: Moment


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


class WalletMessage(MessageModel):
    program_id: UUID
    program_name: str
    asset_id: UUID
    asset_symbol: str
    amount: Amount
    available: Annotated[Amount, Field(description="What is in the wallet afterwards")]
    description: str
    journal_entry_id: UUID
    created_by_api_key_id: UUID
    occurred_at: Moment


class ProgramFunded(WalletMessage):
    """A program's wallet of a PREFUNDED asset was filled."""


class ProgramBurned(WalletMessage):
    """Value was taken out of circulation from a program's wallet."""


MESSAGES: Mapping[MessageType, type[MessageModel]] = {
    MessageType.BALANCE_CREDITED: BalanceCredited,
    MessageType.BALANCE_DEBITED: BalanceDebited,
    MessageType.BALANCE_HELD: BalanceHeld,
    MessageType.BALANCE_RELEASED: BalanceReleased,
    MessageType.BALANCE_EXPIRED: BalanceExpired,
    MessageType.TRANSFER_COMPLETED: TransferCompleted,
    MessageType.EVENT_COMPLETED: EventCompleted,
    MessageType.EVENT_FAILED: EventFailed,
    MessageType.PARTICIPANT_CREATED: ParticipantCreated,
    MessageType.PROGRAM_FUNDED: ProgramFunded,
    MessageType.PROGRAM_BURNED: ProgramBurned,
}

_Data = TypeVar("_Data", bound=MessageModel)


class Envelope(MessageModel, Generic[_Data]):
    """What is posted to an endpoint."""

    id: Annotated[UUID, Field(description="Of the message: the same for all endpoints and attempts")]
    type: str
    api_version: Literal["2026-03-01"]
    created_at: Annotated[Moment, Field(description="When it was recorded")]
    organization_id: UUID
    data: _Data


def posted(type_: MessageType) -> type[MessageModel]:
    """The model of the whole body of a type."""
    data = MESSAGES[type_]
    base = Envelope[data]  # type: ignore[valid-type]
    literal = cast("Any", Literal[type_.value])  # type: ignore[valid-type]
    return create_model(f"{data.__name__}Message", __base__=base, type=(literal, ...))
