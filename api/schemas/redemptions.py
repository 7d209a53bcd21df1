"""Requests and responses of redemptions and reversals; bodies are those of `services.redemption_views`."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.common import (
    AmountStr,
    Choice,
    CreateModel,
    IdempotencyKey,
    ListQuery,
    ResponseModel,
    Text500,
    TimeRange,
    Uuid,
    integer,
)
from services.fulfillments import Outcome
from services.programs import RedemptionTarget
from services.redemption_views import FulfillmentStatus, RedemptionFilter, RedemptionStatus

MOST_UNITS = 1_000_000
# A reversal's quantity has no limit of its own: what exceeds the redemption is refused as such.
MOST_INTEGER = 2**31 - 1


class RedemptionCreate(CreateModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "program_id": "01890000-0000-7000-8000-0000000000a1",
                "asset_id": "01890000-0000-7000-8000-0000000000d1",
                "amount": "30.00",
                "description": "Paid at the till",
                "idempotency_key": "till-7-receipt-5512",
            }
        }
    )

    program_id: Uuid
    asset_id: Uuid
    amount: AmountStr
    description: Text500
    idempotency_key: IdempotencyKey | None = None


class ItemRedemptionCreate(CreateModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "program_id": "01890000-0000-7000-8000-0000000000a1",
                "reward_id": "01890000-0000-7000-8000-0000000000e1",
                "quantity": 2,
                "idempotency_key": "shop-5513",
            }
        }
    )

    program_id: Uuid
    reward_id: Uuid
    quantity: Annotated[int, integer(1, MOST_UNITS)] | None = Field(default=None, description="UNIT_BASED only; default 1")
    amount: AmountStr | None = Field(default=None, description="AMOUNT_BASED only, and needed there")
    description: Text500 | None = Field(default=None, description="Default: `Redeemed: <reward name>`")
    idempotency_key: IdempotencyKey | None = None


class RedemptionReverse(CreateModel):
    model_config = ConfigDict(json_schema_extra={"example": {"reason": "Returned goods", "amount": "10.00"}})

    reason: Text500
    amount: AmountStr | None = Field(default=None, description="Not for redemptions of units; everything left when omitted")
    quantity: Annotated[int, integer(1, MOST_INTEGER)] | None = Field(default=None, description="Redemptions of units only")
    idempotency_key: IdempotencyKey | None = None


class ReportedStatus(StrEnum):
    FULFILLED = "FULFILLED"
    FAILED = "FAILED"


class FulfillmentOutcome(CreateModel):
    model_config = ConfigDict(json_schema_extra={"example": {"status": "FULFILLED", "note": "sent"}})

    status: Choice[ReportedStatus]
    note: Text500 | None = None

    def to_outcome(self) -> Outcome:
        """The service's command."""
        return Outcome(FulfillmentStatus(self.status), self.note)


class RedemptionQuery(TimeRange, ListQuery):
    status: Choice[RedemptionStatus] | None = None
    reward_catalog_item_id: Uuid | None = Field(default=None, description="The reward's id")
    program_id: Uuid | None = None
    asset_id: Uuid | None = None
    fulfillment_status: Choice[FulfillmentStatus] | None = None

    def to_filter(self) -> RedemptionFilter:
        """The service's filter."""
        return RedemptionFilter(
            status=self.status,
            reward_id=self.reward_catalog_item_id,
            program_id=self.program_id,
            asset_id=self.asset_id,
            fulfillment_status=self.fulfillment_status,
            from_=self.from_,
            to=self.to,
        )


class RedemptionRead(ResponseModel):
    id: UUID
    participant_id: UUID
    program_id: UUID
    asset_id: UUID
    amount: Annotated[str, Field(examples=["30.00"])]
    description: str
    reward_id: Annotated[UUID | None, Field(description="Catalog redemptions")]
    quantity: int | None
    unit_cost: str | None
    status: RedemptionStatus
    reversed_amount: Annotated[str, Field(examples=["0.00"])]
    reversed_quantity: int | None
    redemption_target_type: RedemptionTarget
    redemption_target_entity_id: Annotated[UUID | None, Field(description="Only with `LEDGER_ENTITY`")] = None
    journal_entry_id: UUID
    fulfillment_status: FulfillmentStatus | None
    fulfillment_expires_at: datetime | None
    fulfillment_note: str | None
    created_at: datetime
    updated_at: Annotated[datetime, Field(description="Moves with each reversal and change of the fulfilment")]


class ReversalRead(ResponseModel):
    id: UUID
    redemption_id: UUID
    amount: Annotated[str, Field(examples=["10.00"])]
    quantity: int | None
    reason: str
    journal_entry_id: UUID
    created_at: datetime
