"""How every list gets another row, by the path of the list."""

from collections.abc import Callable, Mapping
from uuid import uuid4

from tests.api.surface.calls import calls_of
from tests.api.surface.operations import operations
from tests.api.surface.world import MOMENT, World, holders

Grow = Callable[[World], None]


def calling(name: str, **fields: object) -> Grow:
    """By the operation of this name, called as its example shows, with other fields."""

    def grow(world: World) -> None:
        call = calls_of(next(each for each in operations() if each.name == name), world)[0]
        answer = (call.with_body(**fields) if fields else call).send(world.tenant)
        assert answer.is_success, answer.text

    return grow


def _level(holder: int) -> Grow:
    """Up or down: each way is a row of history."""

    def grow(world: World) -> None:
        path = f"{holders(world)[holder]}/state/tiers/tier"
        query = {"program_id": world["program"]}
        now = world.tenant.get(path, **query)["level"]
        level = "silver" if now == "gold" else "gold"
        world.tenant.call("PUT", path, 200, params=query, json={"level": level})

    return grow


def _member(world: World) -> None:
    who = world.tenant.post("/v1/participants", {"external_id": f"m-{uuid4()}"}, 201)["id"]
    world.tenant.post(f"/v1/groups/{world['group']}/members", {"participant_id": who}, 201)


def _counted(holder: int) -> Grow:
    def grow(world: World) -> None:
        world.tenant.call("PUT", f"{holders(world)[holder]}/state/counters/{uuid4()}", 200, json={"value": "1"})

    return grow


def _renamed(world: World) -> None:
    world.tenant.patch(f"/v1/rules/{world['rule']}", {"name": f"Rule {uuid4()}"})


def _event(world: World) -> None:
    body = {"program_id": world["program"], "participant_id": world["participant"], "idempotency_key": str(uuid4())}
    world.tenant.post("/v1/events", body | {"event_timestamp": MOMENT, "event_data": {"type": str(uuid4())}}, 202)


def _subscription(world: World) -> None:
    """One that has it by the next evaluation, which is asked for."""
    attributes = {"born": "1990-05-17"}
    body = {"external_id": f"s-{uuid4()}", "program_id": world["program"], "attributes": attributes}
    world.tenant.post("/v1/participants", body, 201)
    calling("POST /v1/programs/{programId}/automations/{automationId}/refresh-subscriptions")(world)


def _wallet(world: World) -> None:
    world.asset(f"W{uuid4().hex}"[:16], issuance_policy="PREFUNDED")


def _outstanding(world: World) -> None:
    """An asset of which somebody has something."""
    world.asset("grown", symbol=f"G{uuid4().hex}"[:16])
    world.move(holders(world)[0], "adjust", "grown", type="CREDIT", amount="1.00")


_REVERSED = calling("POST /v1/redemptions/{id}/reverse", amount="0.01")
_FUNDED = calling("POST /v1/programs/{id}/assets/{assetId}/fund")
_CREDITED = calling("POST /v1/participants/{id}/balances/adjust")
_GROUP_CREDITED = calling("POST /v1/groups/{id}/balances/adjust")

GROWTH: Mapping[str, Grow] = {
    "/v1/programs": calling("POST /v1/programs"),
    "/v1/programs/{programId}/assets": calling("POST /v1/assets"),
    "/v1/programs/{id}/balance": _wallet,
    "/v1/programs/{id}/history": _FUNDED,
    "/v1/programs/{id}/statement": _FUNDED,
    "/v1/assets": calling("POST /v1/assets"),
    "/v1/participants": calling("POST /v1/participants"),
    "/v1/participants/{id}/activity/state-history": _counted(0),
    "/v1/participants/{id}/balances/lots": _CREDITED,
    "/v1/participants/{id}/activity/history": _CREDITED,
    "/v1/participants/{id}/statement": _CREDITED,
    "/v1/participants/{id}/redemptions": calling("POST /v1/participants/{id}/redemptions", amount="0.01"),
    "/v1/participants/{id}/activity/events": _event,
    "/v1/participants/{id}/activity/tier-history": _level(0),
    "/v1/groups": calling("POST /v1/groups"),
    "/v1/groups/{id}/members": _member,
    "/v1/groups/{id}/balances/lots": _GROUP_CREDITED,
    "/v1/groups/{id}/activity/history": _GROUP_CREDITED,
    "/v1/groups/{id}/statement": _GROUP_CREDITED,
    "/v1/groups/{id}/activity/state-history": _counted(1),
    "/v1/groups/{id}/activity/tier-history": _level(1),
    "/v1/redemptions/{id}/reversals": _REVERSED,
    "/v1/events": _event,
    "/v1/programs/{programId}/rewards": calling("POST /v1/programs/{programId}/rewards"),
    "/v1/programs/{programId}/tiers": calling("POST /v1/programs/{programId}/tiers"),
    "/v1/rules": calling("POST /v1/rules"),
    "/v1/rules/{id}/history": _renamed,
    "/v1/programs/{programId}/automations": calling("POST /v1/programs/{programId}/automations"),
    "/v1/programs/{programId}/automations/{automationId}/subscriptions": _subscription,
    "/v1/journal-entries": _CREDITED,
    "/v1/reports/ledger-summary": calling("POST /v1/assets"),
    "/v1/reports/program-activity": calling("POST /v1/programs"),
    "/v1/reports/liability": _outstanding,
    "/v1/reports/liability-rollforward": _outstanding,
    "/v1/reports/expiration-schedule": _outstanding,
    "/v1/webhook-endpoints": calling("POST /v1/webhook-endpoints"),
    "/v1/webhook-endpoints/{id}/deliveries": calling("POST /v1/webhook-endpoints/{id}/test"),
}
