"""Tiers over HTTP (tiers.md 2)."""

from collections.abc import Callable
from typing import Annotated
from uuid import UUID

from fastapi import Path, Query
from sqlmodel import Session
from starlette.responses import Response

from api.deps import Call, CallDep, ProgramPathId
from api.openapi import errors
from api.openapi import router as router_for
from api.pagination import NEWEST_FIRST, Listing
from api.responses import created, ok
from api.schemas.common import Paged, Text255
from api.schemas.tiers import TierCreate, TierQuery, TierRead, TierUpdate, tier_body
from api.timers import tell_tier
from services import tiers
from services.tiers import StepsDue, Tier, TierRecord
from workflows.contracts_tiers import TierRetentionInput

router = router_for("Tiers")

TierPathKey = Annotated[Text255, Path(alias="key", description="The tier's key")]

TIERS = Listing("tiers", {"created_at": NEWEST_FIRST})


@router.post(
    "/v1/programs/{programId}/tiers",
    status_code=201,
    response_model=TierRead,
    responses=errors(404, 409, 413, 415),
    summary="Create a tier",
)
def create_tier(program_id: ProgramPathId, body: TierCreate, call: CallDep) -> Response:
    """A ranked track of levels; who has none is at base, rank 0. Levels are never deleted, keys stay taken."""
    tier = call.run(lambda session: tiers.create_tier(session, call.organization_id, program_id, body.to_new()))
    if tier.lifecycle is not None:
        tell_tier(call, flow_of(call, tier))
    return created(tier_body(tier))


@router.get("/v1/programs/{programId}/tiers", response_model=Paged[TierRead], responses=errors(404), summary="List tiers")
def list_tiers(program_id: ProgramPathId, query: Annotated[TierQuery, Query()], call: CallDep) -> Response:
    """Newest first; ARCHIVED tiers are left out unless asked for."""
    page = TIERS.page(query, program_id)
    wanted = query.to_filter()
    found = call.run(lambda session: tiers.list_tiers(session, call.organization_id, program_id, wanted, page.keyset))
    return page.answer(found, tier_body)


@router.get("/v1/programs/{programId}/tiers/{key}", response_model=TierRead, responses=errors(404), summary="Get a tier")
def get_tier(program_id: ProgramPathId, key: TierPathKey, call: CallDep) -> Response:
    """A tier of this program, archived or not."""
    return ok(tier_body(call.run(lambda session: tiers.get_tier(session, call.organization_id, program_id, key))))


@router.patch(
    "/v1/programs/{programId}/tiers/{key}",
    response_model=TierRead,
    responses=errors(404, 409, 413, 415),
    summary="Update a tier",
)
def update_tier(program_id: ProgramPathId, key: TierPathKey, body: TierUpdate, call: CallDep) -> Response:
    """Change what is sent; nobody is re-evaluated at once. A new lifecycle starts now for every held level."""
    changes = body.to_changes()
    organization_id = call.organization_id
    tier = _change(call, program_id, key, lambda session: tiers.update_tier(session, organization_id, program_id, key, changes))
    return ok(tier_body(tier))


@router.post(
    "/v1/programs/{programId}/tiers/{key}/archive",
    response_model=TierRead,
    responses=errors(404, 409),
    summary="Archive a tier",
)
def archive_tier(program_id: ProgramPathId, key: TierPathKey, call: CallDep) -> Response:
    """Final. Levels stop changing; holders keep what they have."""
    organization_id = call.organization_id
    tier = _change(call, program_id, key, lambda session: tiers.archive_tier(session, organization_id, program_id, key))
    return ok(tier_body(tier))


def flow_of(call: Call, tier: TierRecord | Tier) -> TierRetentionInput:
    """The start of a tier's flow."""
    return TierRetentionInput(tier_id=tier.id, organization_id=call.organization_id, program_id=tier.program_id)


def _change(call: Call, program_id: UUID, key: str, work: Callable[[Session], TierRecord]) -> TierRecord:
    """Change a tier, once all that came before is done by its present definition; its flow looks at what it has become."""
    while True:
        try:
            tier = call.run(work)
        except StepsDue:
            tiers.bring_up_to_date(call.database, call.organization_id, program_id, key)
        else:
            tell_tier(call, flow_of(call, tier))
            return tier
