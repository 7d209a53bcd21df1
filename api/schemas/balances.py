"""Requests and responses of operations on balances (participants-groups.md, Balances)."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, get_args
from uuid import UUID

from pydantic import ConfigDict, Field, JsonValue

from api.schemas.common import (
    AmountStr,
    Choice,
    CreateModel,
    Form,
    Given,
    IdempotencyKey,
    ReferenceId,
    ResponseModel,
    Text500,
    Timestamp,
    Uuid,
    fault,
    ordered,
    refuse,
)
from api.schemas.types import Lifetime
from domain.errors import Fault
from domain.ledger.accounts import AssetTerms, Balance, Bucket
from domain.ledger.credit import When
from domain.money import format_amount
from domain.timestamps import format_timestamp
from services.movements import Adjusted, Adjustment, AdjustType, Moved, Movement, Operation

LONGEST = timedelta(hours=876_000)
MAX_LOT_IDS = 100
_LIFETIME: Form = get_args(Lifetime)[1]


def _dated(shortest: timedelta) -> Form:
    def read(value: object) -> When:
        found: When = _LIFETIME.read(value)
        if isinstance(found, timedelta) and not shortest <= found <= LONGEST:
            refuse("out_of_range", "The duration is out of range")
        return found

    return Form(read, _LIFETIME.expected, _LIFETIME.schema)


LotDate = Annotated[When, _dated(timedelta(microseconds=1))]
Deadline = Annotated[When, _dated(timedelta(seconds=1))]


class WorkBucket(StrEnum):
    """The buckets that an operation may name."""

    AVAILABLE = "AVAILABLE"
    HELD = "HELD"


_IDS: dict[str, JsonValue] = {
    "program_id": "01890000-0000-7000-8000-0000000000a1",
    "asset_id": "01890000-0000-7000-8000-0000000000d1",
}


class BalanceAdjust(CreateModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": _IDS | {"type": "CREDIT", "amount": "10.00", "description": "Goodwill", "idempotency_key": "goodwill-7411"}
        }
    )

    program_id: Uuid
    asset_id: Uuid
    type: Choice[AdjustType]
    amount: AmountStr
    description: Text500
    bucket: Choice[WorkBucket] = WorkBucket.AVAILABLE
    allow_negative: bool = Field(default=False, description="Only for a DEBIT of AVAILABLE")
    reference_id: ReferenceId | None = Field(
        default=None, description="A CREDIT to HELD stamps it, a CREDIT to AVAILABLE settles it, a DEBIT records it"
    )
    expires_at: LotDate | None = Field(default=None, description="CREDIT on LOT assets: a duration from now, or a time")
    matures_at: LotDate | None = Field(default=None, description="CREDIT to AVAILABLE on LOT assets")
    idempotency_key: IdempotencyKey | None = None

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        is_debit, is_held = given.get("type") == AdjustType.DEBIT, given.get("bucket") == WorkBucket.HELD
        if given.get("allow_negative") is True and (not is_debit or is_held):
            yield fault("allow_negative", "not_allowed", "Only for a DEBIT of AVAILABLE", received="true")
        for name in ("expires_at", "matures_at"):
            if name in given and (is_debit or (is_held and name == "matures_at")):
                yield fault(name, "not_allowed", "Not for this type and bucket", received=given[name])

    def to_command(self) -> Adjustment:
        """The use case's input."""
        return Adjustment(
            program_id=self.program_id,
            asset_id=self.asset_id,
            type=self.type,
            amount=self.amount,
            description=self.description,
            bucket=Bucket(self.bucket),
            allow_negative=self.allow_negative,
            reference_id=self.reference_id,
            expires_at=self.expires_at,
            matures_at=self.matures_at,
        )


class _Move(CreateModel):
    program_id: Uuid
    asset_id: Uuid
    description: Text500
    amount: AmountStr | None = Field(default=None, description="Left out: everything that the selection matches")
    bucket: Choice[WorkBucket] = Field(default=WorkBucket.AVAILABLE, description="Used by forfeit only")
    earned_from: Timestamp | None = Field(default=None, description="LOT only: lots created at or after")
    earned_to: Timestamp | None = Field(default=None, description="LOT only: lots created at or before")
    lot_ids: list[Uuid] | None = Field(default=None, description="LOT only: 1-100 lots of this holder and asset")
    reference_id: ReferenceId | None = None
    idempotency_key: IdempotencyKey | None = None

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        yield from ordered(given, ("earned_from", "earned_to"))
        lot_ids = given.get("lot_ids")
        if not isinstance(lot_ids, list):
            return
        if not lot_ids:
            yield fault("lot_ids", "too_short", "At least one", expected="1 to 100 UUIDs")
        if len(lot_ids) > MAX_LOT_IDS:
            yield fault("lot_ids", "too_long", f"At most {MAX_LOT_IDS}", expected="1 to 100 UUIDs")
        seen: set[str] = set()
        for index, lot_id in enumerate(lot_ids):
            text = str(lot_id).lower()
            if text in seen:
                yield fault(f"lot_ids[{index}]", "duplicate", "The same lot twice", received=lot_id)
            seen.add(text)

    def to_command(self) -> Movement:
        """The use case's input."""
        return Movement(
            program_id=self.program_id,
            asset_id=self.asset_id,
            description=self.description,
            amount=self.amount,
            bucket=Bucket(self.bucket),
            reference_id=self.reference_id,
            earned_from=self.earned_from,
            earned_to=self.earned_to,
            lot_ids=None if self.lot_ids is None else tuple(self.lot_ids),
            expires_at=getattr(self, "expires_at", None),
        )


class BalanceHold(_Move):
    model_config = ConfigDict(
        json_schema_extra={
            "example": _IDS | {"amount": "40.00", "description": "Hotel deposit", "reference_id": "auth-1", "expires_at": "72h"}
        }
    )

    expires_at: Deadline | None = Field(
        default=None, description="From one second ahead: what is then still held is released by itself"
    )


class BalanceRelease(_Move):
    model_config = ConfigDict(json_schema_extra={"example": _IDS | {"description": "Deposit returned", "reference_id": "auth-1"}})


class BalanceForfeit(_Move):
    model_config = ConfigDict(
        json_schema_extra={"example": _IDS | {"amount": "10.00", "bucket": "HELD", "description": "Terms broken"}}
    )

    bucket: Choice[WorkBucket]

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        yield from super().cross_faults(given)
        if given.get("bucket") == WorkBucket.AVAILABLE and "reference_id" in given:
            yield fault("reference_id", "not_allowed", "Only with bucket HELD", received=given["reference_id"])


_NOT_IN_VOID = ("amount", "earned_from", "earned_to", "lot_ids")


def _describe_void(schema: dict[str, Any]) -> None:
    """Known fields that no void may have needn't be shown to anybody."""
    for name in _NOT_IN_VOID:
        del schema["properties"][name]
    schema["example"] = _IDS | {"description": "Order cancelled", "reference_id": "order-9"}


class BalanceVoidHold(_Move):
    model_config = ConfigDict(json_schema_extra=_describe_void)

    reference_id: ReferenceId

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        for name in _NOT_IN_VOID:
            if name in given:
                yield fault(name, "not_allowed", "A void takes everything under the reference")


class BucketsRead(ResponseModel):
    available: Annotated[str, Field(examples=["60.00"])]
    held: Annotated[str, Field(examples=["40.00"])]
    deferred: Annotated[str, Field(examples=["0.00"])]


class SettleRead(ResponseModel):
    held_amount: Annotated[str, Field(examples=["50"])]
    delta: Annotated[str, Field(examples=["-8"])]


class AdjustRead(ResponseModel):
    type: AdjustType
    amount: Annotated[str, Field(examples=["10.00"], description="As recorded")]
    bucket: Annotated[Bucket, Field(description="Where the value went or came from")]
    program_id: UUID
    asset_id: UUID
    balance: BucketsRead
    journal_entry_id: UUID
    message: str
    lot_id: Annotated[UUID | None, Field(description="Only when a lot was made")] = None
    reference_id: Annotated[str | None, Field(description="Only when given")] = None
    settle: Annotated[SettleRead | None, Field(description="Only for a settle")] = None


class GroupAdjustRead(ResponseModel):
    type: AdjustType
    amount: Annotated[str, Field(examples=["10.00"], description="As recorded")]
    bucket: Annotated[Bucket, Field(description="Where the value went or came from")]
    program_id: UUID
    asset_id: UUID
    journal_entry_id: UUID
    message: str
    lot_id: Annotated[UUID | None, Field(description="Only when a lot was made")] = None
    reference_id: Annotated[str | None, Field(description="Only when given")] = None
    settle: Annotated[SettleRead | None, Field(description="Only for a settle")] = None


class LotProcessed(ResponseModel):
    id: UUID
    amount: Annotated[str, Field(examples=["40.00"])]


class MoveRead(ResponseModel):
    operation: Operation
    amount_processed: Annotated[str, Field(examples=["40.00"])]
    program_id: UUID
    asset_id: UUID
    balance: BucketsRead
    journal_entry_id: UUID
    message: Annotated[str, Field(examples=["Processed 40.00"])]
    lots_processed: Annotated[list[LotProcessed] | None, Field(description="Only on LOT assets")] = None
    reference_id: Annotated[str | None, Field(description="Only when given")] = None
    expires_at: Annotated[datetime | None, Field(description="Only when given: when the hold ends")] = None


def buckets_body(balance: Balance, asset: AssetTerms) -> dict[str, str]:
    """The three buckets at the asset's scale."""
    return {name: format_amount(amount, asset.scale) for name, amount in balance._asdict().items()}


def adjust_body(wanted: Adjustment, done: Adjusted) -> dict[str, Any]:
    """The answer to an adjustment: plain texts, as idempotency keys store it."""
    body: dict[str, Any] = {
        "type": str(wanted.type),
        "amount": format_amount(done.amount, done.asset.scale),
        "bucket": str(done.bucket),
        "program_id": str(wanted.program_id),
        "asset_id": str(wanted.asset_id),
        "balance": buckets_body(done.balance, done.asset),
        "journal_entry_id": str(done.journal_entry_id),
        "message": "Balance adjusted successfully",
    }
    if done.lot_id is not None:
        body["lot_id"] = str(done.lot_id)
    if wanted.reference_id is not None:
        body["reference_id"] = wanted.reference_id
    if done.settle is not None:
        held, delta = done.settle.held_amount, done.settle.delta
        body["settle"] = {"held_amount": format_amount(held, done.asset.scale), "delta": format_amount(delta, done.asset.scale)}
    return body


def group_adjust_body(wanted: Adjustment, done: Adjusted) -> dict[str, Any]:
    """The answer to an adjustment of a group: without the balance."""
    body = adjust_body(wanted, done) | {"message": "Group balance adjusted successfully"}
    del body["balance"]
    return body


def move_body(wanted: Movement, done: Moved) -> dict[str, Any]:
    """The answer to a hold, release, forfeit or void."""
    amount = format_amount(done.amount, done.asset.scale)
    body: dict[str, Any] = {
        "operation": str(done.operation),
        "amount_processed": amount,
        "program_id": str(wanted.program_id),
        "asset_id": str(wanted.asset_id),
        "balance": buckets_body(done.balance, done.asset),
        "journal_entry_id": str(done.journal_entry_id),
        "message": f"Processed {amount}",
    }
    if done.asset.is_lot:
        body["lots_processed"] = [
            {"id": str(lot.lot_id), "amount": format_amount(lot.amount, done.asset.scale)} for lot in done.lots
        ]
    if wanted.reference_id is not None:
        body["reference_id"] = wanted.reference_id
    if done.expires_at is not None:
        body["expires_at"] = format_timestamp(done.expires_at)
    return body
