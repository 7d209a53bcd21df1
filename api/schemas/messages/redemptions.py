"""The data of `redemption.*` (webhooks.md 5.6, 5.7, 5.14)."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from api.schemas.messages.parts import Amount, Buckets, MessageModel, Moment
from api.schemas.redemptions import RedemptionRead, ReversalRead
from domain.messages.redemptions import EndedBy


class RedemptionMessage(MessageModel):
    """What happened to a participant's redemption."""

    redemption: Annotated[RedemptionRead, Field(description="As it is then")]
    participant_id: UUID
    external_id: str
    program_id: UUID
    asset_id: UUID
    asset_symbol: str
    amount: Amount
    occurred_at: Moment


class RedemptionCompleted(RedemptionMessage):
    """A participant redeemed a balance, or something from the catalog. The participant gets no `balance.debited`."""

    reward_id: Annotated[UUID | None, Field(description="Catalog redemptions")]
    reward_name: Annotated[str | None, Field(description="Catalog redemptions")]
    quantity: int | None
    unit_cost: Amount | None
    balance: Annotated[Buckets, Field(description="The participant's, after it")]
    journal_entry_id: UUID
    created_by_api_key_id: UUID


class RedemptionReversed(RedemptionMessage):
    """A redemption was given back, in whole or in part; `amount`, `quantity`, `reason` are the reversal's."""

    reversal: ReversalRead
    quantity: int | None
    reason: str
    full: Annotated[bool, Field(description="The redemption is FULLY_REVERSED now")]
    balance: Annotated[Buckets, Field(description="The participant's, after it")]
    journal_entry_id: UUID
    created_by_api_key_id: Annotated[UUID | None, Field(description="Null when a deadline or a webhook ended its fulfilment")]


class FulfillmentEnded(RedemptionMessage):
    reward_id: UUID
    reward_name: str
    quantity: int | None
    unit_cost: Amount | None
    note: Annotated[str | None, Field(description="With API")]
    attempt_count: Annotated[int, Field(description="Attempts made; 0 with type `manual`")]
    last_response_status: Annotated[int | None, Field(description="Of the last attempt")]
    created_by_api_key_id: Annotated[UUID | None, Field(description="With API, CANCELLED")]


class RedemptionFulfilled(FulfillmentEnded):
    """What was redeemed was handed over."""

    by: Annotated[Literal["API", "WEBHOOK"], Field(description="Reported by the client, or answered by its webhook")]


class RedemptionFulfillmentFailed(FulfillmentEnded):
    """What was redeemed was not handed over; told before the messages of the reversal."""

    by: Annotated[EndedBy, Field(description="CANCELLED: by the reverse endpoint")]
    reversal_id: Annotated[UUID | None, Field(description="Null when the ledger couldn't take the reversal")]
