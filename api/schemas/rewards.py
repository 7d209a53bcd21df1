"""Requests and responses of rewards."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.common import (
    AmountStr,
    Choice,
    CreateModel,
    Duration,
    Form,
    FormFault,
    Given,
    ListQuery,
    Metadata,
    OptionalText1000,
    QueryBoolean,
    ResponseModel,
    SearchText,
    SortDirection,
    Text255,
    Timestamp,
    UpdateModel,
    Uuid,
    clearable,
    duration,
    fault,
    integer,
    omitted,
    refuse,
)
from api.schemas.types import read_timestamp
from api.schemas.urls import WebhookUrl
from domain.errors import Fault
from domain.rewards import (
    NO_FULFILLMENT,
    Fulfillment,
    FulfillmentType,
    RedemptionType,
    RewardStatus,
    fulfillment_of,
    limit_faults,
    window_faults,
)
from domain.webhook_urls import HTTPS_URL
from services.rewards import NewReward, RewardView

Units = Annotated[int, integer(1, 2**31 - 1)]
Category = Annotated[str | None, clearable(100)]
Timeout = Annotated[Duration, duration(timedelta(seconds=1), timedelta(hours=8760), expected="duration from 1s to 8760h")]

_UNIT_COST = "Cost of one unit; with AMOUNT_BASED the smallest amount"
_MAX_TOTAL = "Stock, UNIT_BASED only; null is unlimited"
_MAX_PER_PARTICIPANT = "UNIT_BASED only; null is unlimited"
_FROM, _UNTIL = "Inclusive; null is unbounded", "Exclusive; null is unbounded"


def _fixed(_: object) -> None:
    refuse("not_allowed", "Fixed when the reward is created")


Fixed = Annotated[None, Form(_fixed, "nothing", {"not": {}, "description": "Fixed when the reward is created"})]


class FulfillmentBody(CreateModel):
    """How redemptions are handed over; sending it replaces the whole setting."""

    type: Choice[FulfillmentType]
    url: WebhookUrl | None = Field(default=None, description="Required with `webhook`, not allowed with the others")
    timeout: Timeout | None = Field(
        default=None, description="Not allowed with `none`; default 72h with `webhook`, without end with `manual`"
    )

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        kind = given.get("type")
        if kind == FulfillmentType.WEBHOOK and "url" not in given:
            yield fault("url", "required", "Needed with webhook", expected=HTTPS_URL)
        if kind in (FulfillmentType.NONE, FulfillmentType.MANUAL) and "url" in given:
            yield fault("url", "not_allowed", "Only with webhook", received=given["url"])
        if kind == FulfillmentType.NONE and "timeout" in given:
            yield fault("timeout", "not_allowed", "Nothing is waited for", received=given["timeout"])

    def to_setting(self) -> Fulfillment:
        """The domain's setting, with its default timeout."""
        return fulfillment_of(self.type, self.url, None if self.timeout is None else str(self.timeout))


def _window_faults(given: Given) -> Iterator[Fault]:
    try:
        start, end = read_timestamp(given.get("available_from")), read_timestamp(given.get("available_until"))
    except FormFault:
        return
    yield from window_faults(start, end, given.keys())


class RewardCreate(CreateModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "Mug",
                "redemption_type": "UNIT_BASED",
                "asset_id": "01890000-0000-7000-8000-0000000000a1",
                "unit_cost": "12.50",
                "status": "ACTIVE",
                "max_total": 300,
                "max_per_participant": 2,
                "fulfillment": {"type": "webhook", "url": "https://example.com/parcels", "timeout": "72h"},
            }
        }
    )

    name: Text255
    redemption_type: Choice[RedemptionType]
    asset_id: Uuid
    unit_cost: AmountStr = Field(description=_UNIT_COST)
    status: Choice[RewardStatus]
    description: OptionalText1000 = None
    category: Category = None
    max_total: Units | None = Field(default=None, description=_MAX_TOTAL)
    max_per_participant: Units | None = Field(default=None, description=_MAX_PER_PARTICIPANT)
    available_from: Timestamp | None = Field(default=None, description=_FROM)
    available_until: Timestamp | None = Field(default=None, description=_UNTIL)
    metadata: Metadata = Field(default_factory=dict, description="At most 16 KiB as compact JSON")
    fulfillment: FulfillmentBody | None = None

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        yield from limit_faults(given.get("redemption_type"), given)
        yield from _window_faults(given)

    def to_new(self) -> NewReward:
        """The service's command."""
        return NewReward(
            name=self.name,
            redemption_type=self.redemption_type,
            asset_id=self.asset_id,
            unit_cost=self.unit_cost,
            status=self.status,
            description=self.description,
            category=self.category,
            max_total=self.max_total,
            max_per_participant=self.max_per_participant,
            available_from=self.available_from,
            available_until=self.available_until,
            metadata=self.metadata,
            fulfillment=setting_of(self.fulfillment),
        )


class RewardUpdate(UpdateModel):
    model_config = ConfigDict(json_schema_extra={"example": {"unit_cost": "15.00", "max_total": None}})

    name: Text255 = omitted()
    description: OptionalText1000 = omitted()
    category: Category = omitted()
    unit_cost: AmountStr = omitted()
    max_total: Units | None = omitted()
    max_per_participant: Units | None = omitted()
    status: Choice[RewardStatus] = omitted()
    available_from: Timestamp | None = omitted()
    available_until: Timestamp | None = omitted()
    metadata: Metadata = omitted()
    fulfillment: FulfillmentBody | None = omitted()
    redemption_type: Fixed = omitted()
    asset_id: Fixed = omitted()

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        return _window_faults(given)

    def changes(self) -> dict[str, Any]:
        """The fields that were sent, as the domain has them."""
        found = super().changes()
        return found | {"fulfillment": setting_of(self.fulfillment)} if "fulfillment" in found else found


def setting_of(body: FulfillmentBody | None) -> Fulfillment:
    """The setting that was sent; null means none."""
    return NO_FULFILLMENT if body is None else body.to_setting()


class RewardSort(StrEnum):
    CREATED_AT = "created_at"
    NAME = "name"


class RewardQuery(ListQuery):
    status: Choice[RewardStatus] | None = None
    include_archived: QueryBoolean = Field(default=False, description="Show archived rewards too")
    search: SearchText | None = Field(default=None, description="Substring of the name")
    sort_by: Choice[RewardSort] = RewardSort.CREATED_AT
    sort_dir: Choice[SortDirection] = SortDirection.DESC


class FulfillmentRead(ResponseModel):
    type: FulfillmentType
    url: str | None
    timeout: str | None
    secret: Annotated[str | None, Field(description="Only in the answer of the request that set type `webhook`")] = None


class RewardRead(ResponseModel):
    id: UUID
    program_id: UUID
    asset_id: UUID
    name: str
    description: str | None
    category: str | None
    redemption_type: RedemptionType
    unit_cost: str = Field(description=_UNIT_COST)
    max_total: int | None
    max_per_participant: int | None
    redeemed_count: int = Field(description="Units redeemed minus units reversed; always 0 for AMOUNT_BASED")
    status: RewardStatus
    available_from: datetime | None
    available_until: datetime | None
    metadata: dict[str, Any]
    fulfillment: FulfillmentRead
    created_at: datetime
    updated_at: datetime


def reward_body(view: RewardView) -> dict[str, Any]:
    """A reward as the API shows it, with the secret that was just made."""
    secret = {} if view.secret is None else {"secret": view.secret}
    body = view.reward.snapshot()
    times = {name: body.pop(name) for name in ("created_at", "updated_at")}
    return body | {"fulfillment": view.reward.fulfillment.as_dict() | secret} | times
