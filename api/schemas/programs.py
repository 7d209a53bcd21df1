"""Requests and responses of programs."""

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.common import (
    Choice,
    CreateModel,
    Given,
    ListQuery,
    OptionalText1000,
    QueryBoolean,
    ResponseModel,
    SearchText,
    SortDirection,
    Text255,
    UpdateModel,
    Uuid,
    fault,
    omitted,
)
from domain.errors import Fault
from services.programs import OnUnknownParticipant, Program, ProgramStatus, RedemptionTarget
from services.state import StateView


class ProgramCreate(CreateModel):
    model_config = ConfigDict(json_schema_extra={"example": {"name": "Shop", "description": "Points for purchases"}})

    name: Text255
    description: OptionalText1000 = Field(default=None, description="At most 1000 characters")
    on_unknown_participant: Choice[OnUnknownParticipant] = Field(
        default=OnUnknownParticipant.CREATE, description="What an event's unknown `external_id` does"
    )


class ProgramUpdate(UpdateModel):
    model_config = ConfigDict(json_schema_extra={"example": {"status": "SUSPENDED"}})

    name: Text255 = omitted()
    description: OptionalText1000 = omitted()
    on_unknown_participant: Choice[OnUnknownParticipant] = omitted()
    status: Choice[ProgramStatus] = omitted()
    redemption_target_type: Choice[RedemptionTarget] = omitted()
    redemption_target_entity_id: Uuid = omitted()

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        kind, entity = given.get("redemption_target_type"), given.get("redemption_target_entity_id")
        if kind == RedemptionTarget.LEDGER_ENTITY and entity is None:
            yield fault("redemption_target_entity_id", "required", "Needed with LEDGER_ENTITY", expected="uuid")
        elif kind != RedemptionTarget.LEDGER_ENTITY and entity is not None:
            yield fault("redemption_target_entity_id", "not_allowed", "Only together with LEDGER_ENTITY", received=entity)


class ProgramSort(StrEnum):
    CREATED_AT = "created_at"
    NAME = "name"


class ProgramQuery(ListQuery):
    status: Choice[ProgramStatus] | None = None
    include_archived: QueryBoolean = Field(default=False, description="Show archived programs too")
    search: SearchText | None = Field(default=None, description="Substring of the name")
    sort_by: Choice[ProgramSort] = ProgramSort.CREATED_AT
    sort_dir: Choice[SortDirection] = SortDirection.DESC


class AssetLink(CreateModel):
    model_config = ConfigDict(json_schema_extra={"example": {"asset_id": "01890000-0000-7000-8000-0000000000a1"}})

    asset_id: Uuid


class ProgramRead(ResponseModel):
    id: UUID
    name: str
    description: str | None
    on_unknown_participant: OnUnknownParticipant
    redemption_target_type: RedemptionTarget
    redemption_target_entity_id: Annotated[UUID | None, Field(description="Only with `LEDGER_ENTITY`")] = None
    status: ProgramStatus
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


class ProgramWithState(ProgramRead):
    tags: list[str]
    counters: dict[str, str]
    attributes: dict[str, str]


def program_body(program: Program) -> dict[str, Any]:
    """A program as the API shows it."""
    body = {
        "id": program.id,
        "name": program.name,
        "description": program.description,
        "on_unknown_participant": program.on_unknown_participant,
        "redemption_target_type": program.redemption_target_type,
        "status": program.status,
        "created_at": program.created_at,
        "updated_at": program.updated_at,
        "deleted_at": program.deleted_at,
    }
    if program.redemption_target_type == RedemptionTarget.LEDGER_ENTITY:
        body["redemption_target_entity_id"] = program.redemption_target_entity_id
    return body


def program_with_state(program: Program, state: StateView) -> dict[str, Any]:
    """A program with its state."""
    return program_body(program) | {"tags": state.tags, "counters": state.counters, "attributes": state.attributes}
