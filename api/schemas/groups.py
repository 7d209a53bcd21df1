"""Requests and responses of groups and their members."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field, JsonValue

from api.schemas.common import (
    Choice,
    CreateModel,
    Given,
    ListQuery,
    QueryBoolean,
    ResponseModel,
    SearchText,
    Text255,
    UpdateModel,
    Uuid,
    exactly_one_of,
    fault,
    omitted,
)
from domain.errors import Fault
from domain.money import format_amount
from services.groups import Group, GroupFilter, GroupStatus, GroupView, MemberRow, MemberStatus, NewMember, Role

MAX_MEMBERS = 100
_ANN = "01890000-0000-7000-8000-0000000000e1"
_ADMIN: dict[str, JsonValue] = {"participant_id": _ANN, "role": "ADMIN"}

OnBehalfOf = Annotated[Uuid | None, Field(description="Who asked for it; kept for audit, changes nothing")]


class MemberGiven(CreateModel):
    participant_id: Uuid
    role: Choice[Role] = Role.MEMBER


def _list_faults(members: object, *, is_admin_needed: bool) -> Iterator[Fault]:
    if not isinstance(members, list):
        return
    expected = f"1 to {MAX_MEMBERS} members"
    if not members:
        yield fault("members", "too_short", "At least one", expected=expected)
        return
    if len(members) > MAX_MEMBERS:
        yield fault("members", "too_long", f"At most {MAX_MEMBERS}", expected=expected)
    given = [member for member in members if isinstance(member, dict)]
    if is_admin_needed and all(member.get("role") != Role.ADMIN for member in given):
        yield fault("members", "invalid", "At least one must be an ADMIN", expected="at least one ADMIN")
    seen: set[str] = set()
    for index, member in enumerate(members):
        participant = member.get("participant_id") if isinstance(member, dict) else None
        if isinstance(participant, str):
            if participant.lower() in seen:
                yield fault(f"members[{index}].participant_id", "duplicate", "The same participant twice", received=participant)
            seen.add(participant.lower())


def _new_members(members: Sequence[MemberGiven]) -> list[NewMember]:
    return [
        NewMember(member.participant_id, member.role, f"members[{index}].participant_id") for index, member in enumerate(members)
    ]


class GroupCreate(CreateModel):
    model_config = ConfigDict(json_schema_extra={"example": {"name": "Rossi", "members": [_ADMIN]}})

    name: Text255
    members: list[MemberGiven] = Field(description="1-100, at least one ADMIN")
    on_behalf_of_participant_id: OnBehalfOf = None

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        yield from _list_faults(given.get("members"), is_admin_needed=True)

    def to_members(self) -> list[NewMember]:
        """The use case's input."""
        return _new_members(self.members)


class GroupUpdate(UpdateModel):
    model_config = ConfigDict(json_schema_extra={"example": {"name": "Rossi & Bianchi"}})

    name: Text255 = omitted()


class GroupQuery(ListQuery):
    search: SearchText | None = Field(default=None, description="Substring of the name")
    status: Choice[GroupStatus] | None = None
    include_archived: QueryBoolean = Field(default=False, description="Show archived groups too")

    def to_filter(self) -> GroupFilter:
        """The service's filter."""
        return GroupFilter(self.search, self.status, self.include_archived)


class MembersQuery(ListQuery):
    include_former: QueryBoolean = Field(default=False, description="Show members who have left too")


class MembersAdd(CreateModel):
    model_config = ConfigDict(json_schema_extra={"example": {"participant_id": _ANN, "role": "MEMBER"}})

    participant_id: Uuid | None = Field(default=None, description="This one, or `members`")
    role: Choice[Role] | None = Field(default=None, description="Together with `participant_id`; default MEMBER")
    members: list[MemberGiven] | None = Field(default=None, description="1-100, all or nothing")
    on_behalf_of_participant_id: OnBehalfOf = None

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        yield from exactly_one_of(given, "participant_id", "members")
        if "members" in given and "role" in given:
            yield fault("role", "not_allowed", "Only together with participant_id", received=given["role"])
        yield from _list_faults(given.get("members"), is_admin_needed=False)

    def to_members(self) -> list[NewMember]:
        """The use case's input."""
        if self.participant_id is not None:
            return [NewMember(self.participant_id, self.role or Role.MEMBER, "participant_id")]
        return _new_members(self.members or ())


class RoleSet(CreateModel):
    model_config = ConfigDict(json_schema_extra={"example": {"role": "ADMIN"}})

    role: Choice[Role]
    on_behalf_of_participant_id: OnBehalfOf = None


class GroupRead(ResponseModel):
    id: UUID
    name: str
    status: GroupStatus
    created_at: datetime
    updated_at: datetime
    deleted_at: Annotated[datetime | None, Field(description="Only when ARCHIVED")] = None


class GroupWithBalances(GroupRead):
    balances: Annotated[
        dict[str, str], Field(description="Asset id -> total over all buckets and programs", examples=[{_ANN: "150.00"}])
    ]


class MemberRead(ResponseModel):
    participant_id: UUID
    external_id: str
    role: Role
    status: MemberStatus
    joined_at: datetime
    left_at: Annotated[datetime | None, Field(description="Null while ACTIVE")]


class MembersAdded(ResponseModel):
    message: Annotated[str, Field(examples=["Member(s) added to group"])]


class RoleRead(ResponseModel):
    message: Annotated[str, Field(examples=["Member role updated"])]
    participant_id: UUID
    role: Role


def group_body(group: Group) -> dict[str, Any]:
    """A group."""
    body = {
        "id": group.id,
        "name": group.name,
        "status": group.status,
        "created_at": group.created_at,
        "updated_at": group.updated_at,
    }
    return body if group.deleted_at is None else body | {"deleted_at": group.deleted_at}


def group_with_balances(view: GroupView) -> dict[str, Any]:
    """A group with its totals."""
    return group_body(view.group) | {"balances": {str(row.asset_id): format_amount(row.total, row.scale) for row in view.totals}}


def member_body(row: MemberRow) -> dict[str, Any]:
    """A member in a list."""
    return {
        "participant_id": row.participant_id,
        "external_id": row.external_id,
        "role": row.role,
        "status": row.status,
        "joined_at": row.joined_at,
        "left_at": row.left_at,
    }
