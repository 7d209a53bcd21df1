"""Requests and responses of participants and their enrolments."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.common import (
    AttributeValue,
    Choice,
    CreateModel,
    ListQuery,
    OptionalText255,
    QueryModel,
    ResponseModel,
    SearchText,
    SortDirection,
    StateKey,
    Tag,
    TimeRange,
    UpdateModel,
    Uuid,
    clearable,
    omitted,
    refuse,
    text,
)
from domain.money import format_amount
from services.enrollments import Enrollment, EnrollmentStatus
from services.participants import (
    PROFILE,
    BalanceRow,
    Participant,
    ParticipantFilter,
    ParticipantInput,
    ParticipantStatus,
    ParticipantView,
)

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")


def _check_email(found: str) -> None:
    if not _EMAIL.fullmatch(found):
        refuse("invalid", "Must be local@domain with a dot in the domain")


ExternalId = Annotated[str, text(255, control=False)]
Email = Annotated[str | None, clearable(255, _check_email, expected="email address")]
Phone = Annotated[str | None, clearable(50)]
Attributes = dict[StateKey, AttributeValue]


class ParticipantUpsert(CreateModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {"external_id": "user-42", "email": "ann@example.com", "tags": ["vip"], "attributes": {"city": "Rome"}}
        }
    )

    external_id: ExternalId
    program_id: Uuid | None = Field(default=None, description="Enrols, or reactivates an inactive enrolment")
    status: Choice[ParticipantStatus] | None = None
    email: Email = None
    phone: Phone = None
    first_name: OptionalText255 = None
    last_name: OptionalText255 = None
    display_name: OptionalText255 = None
    attributes: Attributes | None = Field(default=None, description="Merged")
    tags: list[Tag] | None = Field(default=None, description="Replaces all")

    def to_input(self) -> ParticipantInput:
        """What was sent."""
        names = self.model_fields_set - {"external_id", "program_id"}
        return ParticipantInput({name: getattr(self, name) for name in names})


class ParticipantUpdate(UpdateModel):
    model_config = ConfigDict(json_schema_extra={"example": {"display_name": "Ann", "email": ""}})

    external_id: ExternalId = omitted()
    email: Email = omitted()
    phone: Phone = omitted()
    first_name: OptionalText255 = omitted()
    last_name: OptionalText255 = omitted()
    display_name: OptionalText255 = omitted()
    attributes: Attributes = omitted()
    tags: list[Tag] = omitted()
    status: Choice[ParticipantStatus] = omitted()


class StatusSet(CreateModel):
    model_config = ConfigDict(json_schema_extra={"example": {"status": "SUSPENDED"}})

    status: Choice[ParticipantStatus]


class EnrollmentSet(CreateModel):
    model_config = ConfigDict(json_schema_extra={"example": {"status": "FROZEN"}})

    status: Choice[EnrollmentStatus]


class ParticipantSort(StrEnum):
    CREATED_AT = "created_at"
    EXTERNAL_ID = "external_id"
    STATUS = "status"


class ParticipantsQuery(TimeRange, ListQuery):
    external_id: ExternalId | None = Field(default=None, description="Exact match")
    program_id: Uuid | None = Field(default=None, description="Enrolled in it, not CLOSED")
    status: Choice[ParticipantStatus] | None = None
    search: SearchText | None = Field(default=None, description="Substring of `external_id` or a profile field")
    sort_by: Choice[ParticipantSort] = ParticipantSort.CREATED_AT
    sort_dir: Choice[SortDirection] = SortDirection.DESC

    def to_filter(self) -> ParticipantFilter:
        """The service's filter."""
        return ParticipantFilter(self.external_id, self.program_id, self.status, self.search, self.from_, self.to)


class ParticipantQuery(QueryModel):
    program_id: Uuid | None = Field(default=None, description="Limits `tiers` to this program")


class BalanceRead(ResponseModel):
    asset_id: UUID
    symbol: str
    available: str
    held: str
    deferred: str


class TierStanding(ResponseModel):
    level: str
    rank: int


class ParticipantItem(ResponseModel):
    id: UUID
    external_id: str
    status: ParticipantStatus
    email: str | None
    phone: str | None
    first_name: str | None
    last_name: str | None
    display_name: str | None
    created_at: datetime
    updated_at: datetime


class ParticipantRead(ParticipantItem):
    tags: list[str]
    attributes: dict[str, str]
    counters: dict[str, str]
    tiers: dict[str, TierStanding]
    balances: list[BalanceRead]
    program_ids: list[UUID]


class EnrollmentRead(ResponseModel):
    program_id: UUID
    status: EnrollmentStatus
    enrolled_at: datetime
    updated_at: datetime


def participant_item(participant: Participant) -> dict[str, Any]:
    """A participant in a list."""
    return {
        "id": participant.id,
        "external_id": participant.external_id,
        "status": participant.status,
        **{name: getattr(participant, name) for name in PROFILE},
        "created_at": participant.created_at,
        "updated_at": participant.updated_at,
    }


def participant_body(view: ParticipantView) -> dict[str, Any]:
    """A participant with its state, balances and programs."""
    body = participant_item(view.participant)
    times = {name: body.pop(name) for name in ("created_at", "updated_at")}
    return {
        **body,
        "tags": view.state.tags,
        "attributes": view.state.attributes,
        "counters": view.state.counters,
        "tiers": {key: {"level": level, "rank": rank} for key, (level, rank) in sorted(view.tiers.items())},
        "balances": [balance_body(row) for row in view.balances],
        "program_ids": view.program_ids,
        **times,
    }


def balance_body(row: BalanceRow) -> dict[str, Any]:
    """One asset's balance."""
    return {
        "asset_id": row.asset_id,
        "symbol": row.symbol,
        "available": format_amount(row.available, row.scale),
        "held": format_amount(row.held, row.scale),
        "deferred": format_amount(row.deferred, row.scale),
    }


def enrollment_body(enrollment: Enrollment) -> dict[str, Any]:
    """One enrolment."""
    return {
        "program_id": enrollment.program_id,
        "status": enrollment.status,
        "enrolled_at": enrollment.enrolled_at,
        "updated_at": enrollment.updated_at,
    }
