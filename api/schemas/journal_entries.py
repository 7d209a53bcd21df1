"""Requests and responses of the journal."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from api.schemas.common import (
    Choice,
    FormFault,
    Given,
    ListQuery,
    ReferenceId,
    ResponseModel,
    SignedDecimalStr,
    Text255,
    TimeRange,
    Uuid,
    fault,
)
from api.schemas.types import read_timestamp
from domain.errors import Fault
from domain.ledger.accounts import Bucket, EntityType
from domain.money import AmountError, format_amount, parse_signed
from services.journal import ActionType, EntryFilter, EntryRow, PostingRow

HOLDERS = ("participant_id", "group_id", "external_id")
AMOUNTS = ("min_amount", "max_amount")
LONGEST_SCAN = timedelta(days=31)


class JournalQuery(TimeRange, ListQuery):
    program_id: Uuid | None = None
    event_id: Uuid | None = None
    rule_id: Uuid | None = None
    action_type: Choice[ActionType] | None = None
    reference_id: ReferenceId | None = None
    participant_id: Uuid | None = Field(default=None, description="At most one of participant_id, group_id, external_id")
    group_id: Uuid | None = None
    external_id: Text255 | None = None
    asset_id: Uuid | None = None
    bucket: Choice[Bucket] | None = None
    min_amount: SignedDecimalStr | None = Field(
        default=None, description="On a posting's signed amount; needs a holder, an asset, program, event, or 31 days at most"
    )
    max_amount: SignedDecimalStr | None = None

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        yield from super().cross_faults(given)
        for name in [name for name in HOLDERS if name in given][1:]:
            yield fault(name, "not_allowed", "At most one of " + ", ".join(HOLDERS), received=given[name])
        yield from _amount_faults(given)

    def to_filter(self) -> EntryFilter:
        """The service's filter, but for `external_id`."""
        kind = EntityType.PARTICIPANT if self.participant_id else EntityType.GROUP if self.group_id else None
        return EntryFilter(
            program_id=self.program_id,
            event_id=self.event_id,
            rule_id=self.rule_id,
            action_type=self.action_type,
            reference_id=self.reference_id,
            from_=self.from_,
            to=self.to,
            entity_id=self.participant_id or self.group_id,
            entity_type=kind,
            asset_id=self.asset_id,
            bucket=self.bucket,
            min_amount=self.min_amount,
            max_amount=self.max_amount,
        )


def _amount_faults(given: Given) -> Iterator[Fault]:
    sent = [name for name in AMOUNTS if name in given]
    narrowed = any(name in given for name in (*HOLDERS, "asset_id", "program_id", "event_id"))
    if sent and not narrowed and not _is_short(given):
        message = "With amounts: a holder, asset_id, program_id, event_id, or from and to at most 31 days apart"
        yield fault("asset_id", "required", message, expected="uuid")
    try:
        if len(sent) > 1 and parse_signed(given["min_amount"]) > parse_signed(given["max_amount"]):
            yield fault("max_amount", "invalid", "Must not be less than min_amount", received=given["max_amount"])
    except AmountError:
        return


def _is_short(given: Given) -> bool:
    try:
        return read_timestamp(given.get("to")) - read_timestamp(given.get("from")) <= LONGEST_SCAN
    except FormFault:
        return False


class PostingRead(ResponseModel):
    id: UUID
    amount: Annotated[str, Field(examples=["-10.00"], description="Signed")]
    asset_id: UUID
    asset_symbol: str
    bucket: Bucket
    entity_type: EntityType
    entity_id: UUID | None
    participant_id: UUID | None
    group_id: UUID | None
    program_id: UUID | None
    created_at: datetime


class JournalEntryRead(ResponseModel):
    id: UUID
    action_type: ActionType
    program_id: UUID
    program_name: str
    description: str
    event_id: UUID | None
    rule_id: UUID | None
    created_by_api_key_id: UUID | None
    reference_id: str | None
    sequence_number: Annotated[int | None, Field(description="null until sealed")]
    previous_hash: str | None
    entry_hash: str | None
    created_at: datetime
    postings: list[PostingRead]


def entry_body(row: EntryRow) -> dict[str, Any]:
    """A journal entry with its postings."""
    return {
        "id": row.id,
        "action_type": row.action_type,
        "program_id": row.program_id,
        "program_name": row.program_name,
        "description": row.description,
        "event_id": row.event_id,
        "rule_id": row.rule_id,
        "created_by_api_key_id": row.created_by_api_key_id,
        "reference_id": row.reference_id,
        "sequence_number": row.sequence_number,
        "previous_hash": row.previous_hash,
        "entry_hash": row.entry_hash,
        "created_at": row.created_at,
        "postings": [posting_body(posting) for posting in row.postings],
    }


def posting_body(row: PostingRow) -> dict[str, Any]:
    """A posting; of participant, group and program the one that fits is set."""
    return {
        "id": row.id,
        "amount": format_amount(row.amount, row.scale),
        "asset_id": row.asset_id,
        "asset_symbol": row.asset_symbol,
        "bucket": row.bucket,
        "entity_type": row.entity_type,
        "entity_id": row.entity_id,
        "participant_id": row.entity_id if row.entity_type == EntityType.PARTICIPANT else None,
        "group_id": row.entity_id if row.entity_type == EntityType.GROUP else None,
        "program_id": row.entity_id if row.entity_type == EntityType.PROGRAM else None,
        "created_at": row.created_at,
    }
