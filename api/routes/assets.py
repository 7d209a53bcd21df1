"""Assets of the organization."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from api.deps import CallDep, PathId
from api.openapi import errors
from api.openapi import router as router_for
from api.pagination import NEWEST_FIRST, Listing
from api.responses import created, ok
from api.schemas.assets import AssetCreate, AssetQuery, AssetRead, AssetUpdate, asset_body
from api.schemas.common import Paged
from services import assets

router = router_for("Assets")

ASSETS = Listing("assets", {"created_at": NEWEST_FIRST})


@router.post(
    "/v1/assets", status_code=201, response_model=AssetRead, responses=errors(404, 409, 413, 415), summary="Create an asset"
)
def create_asset(body: AssetCreate, call: CallDep) -> Response:
    """Linked to the program at once. `inventory_mode`, `issuance_policy` and `scale` are fixed for ever."""
    view = call.run(lambda session: assets.create_asset(session, call.organization_id, body.to_new(), is_strict=call.is_strict))
    return created(asset_body(view))


@router.get("/v1/assets", response_model=Paged[AssetRead], responses=errors(404), summary="List assets")
def list_assets(query: Annotated[AssetQuery, Query()], call: CallDep) -> Response:
    """Archived ones included."""
    page = ASSETS.page(query)
    wanted = assets.AssetFilter(query.program_id, query.status, query.search)
    return page.answer(
        call.run(lambda session: assets.list_assets(session, call.organization_id, wanted, page.keyset)), asset_body
    )


@router.get("/v1/assets/{id}", response_model=AssetRead, responses=errors(404), summary="Get an asset")
def get_asset(asset_id: PathId, call: CallDep) -> Response:
    return ok(asset_body(call.run(lambda session: assets.get_asset(session, call.organization_id, asset_id))))


@router.patch("/v1/assets/{id}", response_model=AssetRead, responses=errors(404, 409, 413, 415), summary="Update an asset")
def update_asset(asset_id: PathId, body: AssetUpdate, call: CallDep) -> Response:
    """Archiving is final; history and balances stay readable."""
    view = call.run(
        lambda session: assets.update_asset(session, call.organization_id, asset_id, body.changes(), is_strict=call.is_strict)
    )
    return ok(asset_body(view))
