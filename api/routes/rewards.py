"""The rewards catalog over HTTP (redemptions-rewards.md 1)."""

from typing import Annotated

from fastapi import Path, Query
from starlette.responses import Response

from api.deps import Call, CallDep, ProgramPathId
from api.openapi import errors
from api.openapi import router as router_for
from api.pagination import CREATED_AT, ID, Listing
from api.responses import created, ok
from api.schemas.common import Paged, Uuid
from api.schemas.rewards import RewardCreate, RewardQuery, RewardRead, RewardUpdate, reward_body, setting_of
from domain.rewards import Fulfillment
from services import rewards
from services.paging import SortColumn
from services.webhook_targets import require_target

router = router_for("Rewards")

RewardPathId = Annotated[Uuid, Path(alias="rewardId", description="The reward's UUID")]

REWARDS = Listing("rewards", {"created_at": (CREATED_AT, ID), "name": (SortColumn("name", "text"), CREATED_AT, ID)})


@router.post(
    "/v1/programs/{programId}/rewards",
    status_code=201,
    response_model=RewardRead,
    responses=errors(404, 409, 413, 415),
    summary="Create a reward",
)
def create_reward(program_id: ProgramPathId, body: RewardCreate, call: CallDep) -> Response:
    """Something that participants redeem their balance for: whole units at a fixed cost, or any amount from a minimum on.

    With `fulfillment` of type `webhook` this answer, and no other, has its `secret`.
    """
    _require_target(call, setting_of(body.fulfillment))
    view = call.run(
        lambda session: rewards.create_reward(
            session, call.organization_id, program_id, body.to_new(), call.webhook_secrets, is_strict=call.is_strict
        )
    )
    return created(reward_body(view))


@router.get("/v1/programs/{programId}/rewards", response_model=Paged[RewardRead], responses=errors(404), summary="List rewards")
def list_rewards(program_id: ProgramPathId, query: Annotated[RewardQuery, Query()], call: CallDep) -> Response:
    """ARCHIVED rewards are left out unless asked for."""
    page = REWARDS.page(query, program_id)
    wanted = rewards.RewardFilter(query.status, query.include_archived, query.search)
    found = call.run(lambda session: rewards.list_rewards(session, call.organization_id, program_id, wanted, page.keyset))
    return page.answer(found, lambda reward: reward_body(rewards.RewardView(reward)))


@router.get(
    "/v1/programs/{programId}/rewards/{rewardId}",
    response_model=RewardRead,
    responses=errors(404),
    summary="Get a reward",
)
def get_reward(program_id: ProgramPathId, reward_id: RewardPathId, call: CallDep) -> Response:
    """A reward of this program, archived or not."""
    reward = call.run(lambda session: rewards.get_reward(session, call.organization_id, program_id, reward_id))
    return ok(reward_body(rewards.RewardView(reward)))


@router.patch(
    "/v1/programs/{programId}/rewards/{rewardId}",
    response_model=RewardRead,
    responses=errors(404, 409, 413, 415),
    summary="Update a reward",
)
def update_reward(program_id: ProgramPathId, reward_id: RewardPathId, body: RewardUpdate, call: CallDep) -> Response:
    """Change what is sent. An ACTIVE reward without stock answers OUT_OF_STOCK; one that the server set so comes back with it.

    Every request that sends `fulfillment` of type `webhook` makes a new secret.
    """
    changes = body.changes()
    _require_target(call, changes.get("fulfillment"))
    wanted = rewards.RewardChange(program_id, reward_id, changes)
    view = call.run(
        lambda session: rewards.update_reward(
            session, call.organization_id, wanted, call.webhook_secrets, is_strict=call.is_strict
        )
    )
    return ok(reward_body(view))


def _require_target(call: Call, fulfillment: Fulfillment | None) -> None:
    """Resolve the host of a webhook, before any connection of the database is taken."""
    if fulfillment is not None and fulfillment.url is not None:
        require_target(fulfillment.url, "fulfillment.url", is_private_allowed=call.settings.webhook_allow_private)
