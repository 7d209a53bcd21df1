"""Programs and the assets linked to them."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from api.deps import AssetPathId, CallDep, PathId, ProgramPathId
from api.openapi import errors
from api.openapi import router as router_for
from api.pagination import CREATED_AT, ID, Listing
from api.responses import created, no_content, ok
from api.schemas.assets import AssetRead, asset_body
from api.schemas.common import ListQuery, Paged
from api.schemas.programs import (
    AssetLink,
    ProgramCreate,
    ProgramQuery,
    ProgramRead,
    ProgramUpdate,
    ProgramWithState,
    program_body,
    program_with_state,
)
from api.timers import tell_active
from services import assets, programs, state
from services.paging import SortColumn
from services.state import Entity, EntityKind

router = router_for("Programs")

PROGRAMS = Listing("programs", {"created_at": (CREATED_AT, ID), "name": (SortColumn("name", "text"), CREATED_AT, ID)})
LINKED = Listing("program_assets", {"linked_at": (SortColumn("linked_at"), SortColumn("asset_id", "uuid"))})


@router.post("/v1/programs", status_code=201, response_model=ProgramRead, responses=errors(413, 415), summary="Create a program")
def create_program(body: ProgramCreate, call: CallDep) -> Response:
    program = call.run(
        lambda session: programs.create_program(
            session,
            call.organization_id,
            name=body.name,
            description=body.description,
            on_unknown_participant=body.on_unknown_participant,
        )
    )
    return created(program_body(program))


@router.get("/v1/programs", response_model=Paged[ProgramRead], responses=errors(), summary="List programs")
def list_programs(query: Annotated[ProgramQuery, Query()], call: CallDep) -> Response:
    """ARCHIVED programs are left out unless asked for."""
    page = PROGRAMS.page(query)
    wanted = programs.ProgramFilter(query.status, query.include_archived, query.search)
    found = call.run(lambda session: programs.list_programs(session, call.organization_id, wanted, page.keyset))
    return page.answer(found, program_body)


@router.get("/v1/programs/{id}", response_model=ProgramWithState, responses=errors(404), summary="Get a program")
def get_program(program_id: PathId, call: CallDep) -> Response:
    """With its state: tags, counters with their effective values, attributes."""
    program, found = call.run(
        lambda session: (
            programs.get_program(session, call.organization_id, program_id),
            state.view(session, call.organization_id, Entity(EntityKind.PROGRAM, program_id)),
        )
    )
    return ok(program_with_state(program, found))


@router.patch("/v1/programs/{id}", response_model=ProgramRead, responses=errors(404, 409, 413, 415), summary="Update a program")
def update_program(program_id: PathId, body: ProgramUpdate, call: CallDep) -> Response:
    """All transitions between the three statuses are allowed."""
    changes = body.changes()
    program = call.run(lambda session: programs.update_program(session, call.organization_id, program_id, changes))
    if "status" in changes and program.status == "ACTIVE":
        tell_active(call)
    return ok(program_body(program))


@router.post(
    "/v1/programs/{programId}/assets",
    status_code=201,
    response_model=AssetRead,
    responses=errors(404, 409, 413, 415),
    summary="Link asset to program",
)
def link_asset(program_id: ProgramPathId, body: AssetLink, call: CallDep) -> Response:
    """A PREFUNDED asset gets a wallet of its own in each program."""
    asset = call.run(lambda session: assets.link_asset(session, call.organization_id, program_id, body.asset_id))
    return created(asset_body(asset))


@router.get(
    "/v1/programs/{programId}/assets",
    response_model=Paged[AssetRead],
    responses=errors(404),
    summary="List program assets",
)
def list_program_assets(program_id: ProgramPathId, query: Annotated[ListQuery, Query()], call: CallDep) -> Response:
    """In order of linking."""
    page = LINKED.page(query, program_id, descending=False)
    found = call.run(lambda session: assets.list_program_assets(session, call.organization_id, program_id, page.keyset))
    return page.answer(found, asset_body)


@router.delete(
    "/v1/programs/{programId}/assets/{assetId}",
    status_code=204,
    responses=errors(404, 409),
    summary="Unlink asset from program",
)
def unlink_asset(program_id: ProgramPathId, asset_id: AssetPathId, call: CallDep) -> Response:
    """Only while no ledger entry exists for the pair and nothing of the program names the asset."""
    call.run(lambda session: assets.unlink_asset(session, call.organization_id, program_id, asset_id))
    return no_content()
