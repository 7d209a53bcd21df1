"""Requests and responses of assets."""

import re
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.common import (
    AmountStr,
    Choice,
    CreateModel,
    Form,
    Given,
    ListQuery,
    ResponseModel,
    SearchText,
    Text255,
    UpdateModel,
    Uuid,
    fault,
    integer,
    omitted,
    refuse,
    text,
)
from domain.errors import Fault
from domain.money import format_amount
from services.assets import AssetStatus, AssetView, InventoryMode, IssuancePolicy, NewAsset

Symbol = Annotated[
    str,
    text(16, pattern=re.compile("[A-Za-z0-9][A-Za-z0-9_]*"), expected="letters, digits or _, beginning with a letter or digit"),
]
Scale = Annotated[int, integer(0, 18)]
NoticeDays = Annotated[int, integer(1, 365)]


def _fixed(_: object) -> None:
    refuse("not_allowed", "Fixed when the asset is created")


Fixed = Annotated[None, Form(_fixed, "nothing", {"not": {}, "description": "Fixed when the asset is created"})]


class AssetCreate(CreateModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "program_id": "01890000-0000-7000-8000-000000000001",
                "name": "Loyalty Points",
                "symbol": "PTS",
                "inventory_mode": "SIMPLE",
                "issuance_policy": "UNLIMITED",
                "scale": 0,
            }
        }
    )

    program_id: Uuid
    name: Text255
    symbol: Symbol
    inventory_mode: Choice[InventoryMode]
    issuance_policy: Choice[IssuancePolicy]
    scale: Scale
    max_transaction_amount: AmountStr | None = Field(default=None, description="Ceiling for a single credit or debit")
    expiry_notice_days: NoticeDays | None = Field(default=None, description="LOT only")

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        if given.get("inventory_mode") == InventoryMode.SIMPLE and "expiry_notice_days" in given:
            yield fault("expiry_notice_days", "not_allowed", "Only assets with lots expire", received=given["expiry_notice_days"])

    def to_new(self) -> NewAsset:
        """The service's command."""
        return NewAsset(
            self.program_id,
            self.name,
            self.symbol,
            self.inventory_mode,
            self.issuance_policy,
            self.scale,
            self.max_transaction_amount,
            self.expiry_notice_days,
        )


class Archiving(StrEnum):
    ARCHIVED = "ARCHIVED"


class AssetUpdate(UpdateModel):
    model_config = ConfigDict(json_schema_extra={"example": {"name": "Premium", "max_transaction_amount": "5000"}})

    name: Text255 = omitted()
    symbol: Symbol = omitted()
    status: Choice[Archiving] = omitted()
    max_transaction_amount: AmountStr | None = omitted()
    expiry_notice_days: NoticeDays | None = omitted()
    inventory_mode: Fixed = omitted()
    issuance_policy: Fixed = omitted()
    scale: Fixed = omitted()


class AssetQuery(ListQuery):
    program_id: Uuid | None = Field(default=None, description="Linked to this program")
    status: Choice[AssetStatus] | None = None
    search: SearchText | None = Field(default=None, description="Substring of symbol or name")


class AssetRead(ResponseModel):
    id: UUID
    name: str
    symbol: str
    inventory_mode: InventoryMode
    issuance_policy: IssuancePolicy
    scale: int
    max_transaction_amount: str | None
    expiry_notice_days: int | None
    program_ids: list[UUID]
    status: AssetStatus
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


def asset_body(view: AssetView) -> dict[str, Any]:
    """An asset as the API shows it."""
    asset = view.asset
    ceiling = asset.max_transaction_amount
    return {
        "id": asset.id,
        "name": asset.name,
        "symbol": asset.symbol,
        "inventory_mode": asset.inventory_mode,
        "issuance_policy": asset.issuance_policy,
        "scale": asset.scale,
        "max_transaction_amount": None if ceiling is None else format_amount(ceiling, asset.scale),
        "expiry_notice_days": asset.expiry_notice_days,
        "program_ids": view.program_ids,
        "status": asset.status,
        "created_at": asset.created_at,
        "updated_at": asset.updated_at,
        "deleted_at": asset.deleted_at,
    }
