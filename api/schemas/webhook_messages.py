"""The messages that webhooks get; `MESSAGES` is the one place that lists the model of each type's `data` (webhooks.md 3.1, 5).

They describe: messages are made in `domain.messages`, whose modules have the same names as those of these models, and tests
hold every recorded one against its schema.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Generic, Literal, TypeVar, cast
from uuid import UUID

from pydantic import Field, create_model

from api.schemas.messages.balances import (
    BalanceCredited,
    BalanceDebited,
    BalanceExpired,
    BalanceExpiring,
    BalanceHeld,
    BalanceReleased,
)
from api.schemas.messages.events import EventCompleted, EventFailed
from api.schemas.messages.participants import ParticipantCreated
from api.schemas.messages.parts import MessageModel, Moment
from api.schemas.messages.redemptions import (
    RedemptionCompleted,
    RedemptionFulfilled,
    RedemptionFulfillmentFailed,
    RedemptionReversed,
)
from api.schemas.messages.tiers import TierChanged
from api.schemas.messages.transfers import TransferCompleted
from api.schemas.messages.wallets import ProgramBurned, ProgramFunded
from domain.outbox import MessageType

MESSAGES: Mapping[MessageType, type[MessageModel]] = {
    MessageType.BALANCE_CREDITED: BalanceCredited,
    MessageType.BALANCE_DEBITED: BalanceDebited,
    MessageType.BALANCE_HELD: BalanceHeld,
    MessageType.BALANCE_RELEASED: BalanceReleased,
    MessageType.BALANCE_EXPIRED: BalanceExpired,
    MessageType.REDEMPTION_COMPLETED: RedemptionCompleted,
    MessageType.REDEMPTION_REVERSED: RedemptionReversed,
    MessageType.TRANSFER_COMPLETED: TransferCompleted,
    MessageType.EVENT_COMPLETED: EventCompleted,
    MessageType.EVENT_FAILED: EventFailed,
    MessageType.PARTICIPANT_CREATED: ParticipantCreated,
    MessageType.TIER_CHANGED: TierChanged,
    MessageType.PROGRAM_FUNDED: ProgramFunded,
    MessageType.PROGRAM_BURNED: ProgramBurned,
    MessageType.BALANCE_EXPIRING: BalanceExpiring,
    MessageType.REDEMPTION_FULFILLED: RedemptionFulfilled,
    MessageType.REDEMPTION_FULFILLMENT_FAILED: RedemptionFulfillmentFailed,
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
    literal = cast("Any", Literal[type_.value])
    return create_model(f"{data.__name__}Message", __base__=base, type=(literal, ...))
