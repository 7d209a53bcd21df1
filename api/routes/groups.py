"""Groups and their members."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from api.deps import CallDep, ParticipantPathId, PathId
from api.openapi import errors
from api.openapi import router as router_for
from api.pagination import NEWEST_FIRST, Listing
from api.responses import created, no_content, ok
from api.schemas.common import Paged
from api.schemas.groups import (
    GroupCreate,
    GroupQuery,
    GroupRead,
    GroupUpdate,
    GroupWithBalances,
    MemberRead,
    MembersAdd,
    MembersAdded,
    MembersQuery,
    RoleRead,
    RoleSet,
    group_body,
    group_with_balances,
    member_body,
)
from services import groups
from services.paging import SortColumn

router = router_for("Groups")

GROUPS = Listing("groups", {"created_at": NEWEST_FIRST})
JOINED = (SortColumn("m.joined_at"), SortColumn("m.position", "smallint"), SortColumn("m.participant_id", "uuid"))
MEMBERS = Listing("group_members", {"joined_at": JOINED})


@router.post(
    "/v1/groups", status_code=201, response_model=GroupRead, responses=errors(404, 409, 413, 415), summary="Create a group"
)
def create_group(body: GroupCreate, call: CallDep) -> Response:
    """With 1-100 members, at least one of them an ADMIN; all or nothing."""
    group = call.run(
        lambda session: groups.create_group(
            session, call.organization_id, body.name, body.to_members(), body.on_behalf_of_participant_id
        )
    )
    return created(group_body(group))


@router.get("/v1/groups", response_model=Paged[GroupRead], responses=errors(), summary="List groups")
def list_groups(query: Annotated[GroupQuery, Query()], call: CallDep) -> Response:
    """ARCHIVED groups are left out unless asked for."""
    page = GROUPS.page(query)
    found = call.run(lambda session: groups.list_groups(session, call.organization_id, query.to_filter(), page.keyset))
    return page.answer(found, group_body)


@router.get("/v1/groups/{id}", response_model=GroupWithBalances, responses=errors(404), summary="Get a group")
def get_group(group_id: PathId, call: CallDep) -> Response:
    """With its totals per asset; archived groups too."""
    return ok(group_with_balances(call.run(lambda session: groups.get_group(session, call.organization_id, group_id))))


@router.patch("/v1/groups/{id}", response_model=GroupRead, responses=errors(404, 409, 413, 415), summary="Update a group")
def update_group(group_id: PathId, body: GroupUpdate, call: CallDep) -> Response:
    """The name."""
    name = body.changes().get("name")
    return ok(group_body(call.run(lambda session: groups.rename_group(session, call.organization_id, group_id, name))))


@router.delete("/v1/groups/{id}", response_model=GroupRead, responses=errors(404), summary="Delete a group")
def delete_group(group_id: PathId, call: CallDep) -> Response:
    """The group is ARCHIVED for good; balances outstanding stay."""
    return ok(group_body(call.run(lambda session: groups.archive_group(session, call.organization_id, group_id))))


@router.get("/v1/groups/{id}/members", response_model=Paged[MemberRead], responses=errors(404), summary="List group members")
def list_members(group_id: PathId, query: Annotated[MembersQuery, Query()], call: CallDep) -> Response:
    """In order of joining; one row per participant, its latest membership."""
    page = MEMBERS.page(query, group_id, descending=False)
    found = call.run(
        lambda session: groups.list_members(
            session, call.organization_id, group_id, page.keyset, is_former_shown=query.include_former
        )
    )
    return page.answer(found, member_body)


@router.post(
    "/v1/groups/{id}/members",
    status_code=201,
    response_model=MembersAdded,
    responses=errors(404, 409, 413, 415),
    summary="Add a member to a group",
)
def add_members(group_id: PathId, body: MembersAdd, call: CallDep) -> Response:
    """One participant, or up to 100: all or nothing."""
    call.run(
        lambda session: groups.add_members(
            session, call.organization_id, group_id, body.to_members(), body.on_behalf_of_participant_id
        )
    )
    return created({"message": "Member(s) added to group"})


@router.patch(
    "/v1/groups/{id}/members/{participantId}",
    response_model=RoleRead,
    responses=errors(404, 409, 413, 415),
    summary="Update group member role",
)
def set_role(group_id: PathId, participant_id: ParticipantPathId, body: RoleSet, call: CallDep) -> Response:
    """The last ADMIN stays one."""
    by = body.on_behalf_of_participant_id
    call.run(lambda session: groups.set_role(session, call.organization_id, group_id, participant_id, body.role, by))
    return ok({"message": "Member role updated", "participant_id": participant_id, "role": body.role})


@router.delete(
    "/v1/groups/{id}/members/{participantId}",
    status_code=204,
    responses=errors(404, 409),
    summary="Remove a member from a group",
)
def remove_member(group_id: PathId, participant_id: ParticipantPathId, call: CallDep) -> Response:
    """The member becomes LEFT; the last ADMIN can't go."""
    call.run(lambda session: groups.remove_member(session, call.organization_id, group_id, participant_id))
    return no_content()
