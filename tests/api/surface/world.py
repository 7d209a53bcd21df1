"""An organization that has something of everything, made over HTTP: what calls of every operation may name."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.client import Tenant
from tests.support.stack import poll

ANN, BOB = "user-42", "user-43"
MOMENT = "2026-01-15T10:30:00Z"


@dataclass
class World:
    """The tenant, and the ids of what it has by the name of the thing. All worlds use the same external ids, keys and symbols."""

    tenant: Tenant
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def in_a_year(self) -> str:
        """A moment that nothing gets to."""
        return (datetime.now(UTC) + timedelta(days=365)).isoformat()

    def make(self, name: str, path: str, body: object = None, status: int = 201) -> dict[str, Any]:
        """POST, and keep the id under this name."""
        found: dict[str, Any] = self.tenant.post(path, body, status)
        self.ids[name] = found["id"]
        return found

    def __getitem__(self, name: str) -> str:
        return self.ids[name]

    def move(self, holder: str, operation: str, asset: str = "asset", **fields: Any) -> dict[str, Any]:
        """A direct operation on a balance."""
        body = {"program_id": self["program"], "asset_id": self[asset], "description": "world", **fields}
        found: dict[str, Any] = self.tenant.post(f"{holder}/balances/{operation}", body)
        return found

    def asset(self, name: str, program: str = "program", **fields: Any) -> None:
        usual = {"inventory_mode": "LOT", "issuance_policy": "UNLIMITED", "scale": 2}
        body = {"program_id": self[program], "name": name, "symbol": name.upper(), **usual, **fields}
        self.make(name, "/v1/assets", body)

    def event(self, name: str, external_id: str, **data: Any) -> dict[str, Any]:
        """An event once it is processed."""
        body = {"program_id": self["program"], "external_id": external_id, "idempotency_key": name, "event_timestamp": MOMENT}
        made = self.make(name, "/v1/events", body | {"event_data": data}, 202)

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.tenant.get(f"/v1/events/{made['id']}")
            return found if found["status"] in ("COMPLETED", "FAILED") else None

        return poll(look, 30)


def make_world(tenant: Tenant, hook_url: str) -> World:
    """A world whose webhooks go to `hook_url`."""
    world = World(tenant)
    _programs(world)
    _holders(world)
    _rules(world, hook_url)
    _money(world)
    _catalog(world)
    _tiers(world)
    _automations(world)
    _rest(world)
    return world


def _programs(world: World) -> None:
    world.make("program", "/v1/programs", {"name": "Shop"})
    world.make("second_program", "/v1/programs", {"name": "Annex"})
    world.asset("asset")
    world.asset("cash", inventory_mode="SIMPLE")
    world.asset("prefunded", issuance_policy="PREFUNDED", inventory_mode="SIMPLE")
    world.asset("unused")
    world.asset("unlinked", "second_program")
    wallet = f"/v1/programs/{world['program']}/assets/{world['prefunded']}/fund"
    world.tenant.post(wallet, {"amount": "5000.00", "description": "world"})


def _holders(world: World) -> None:
    program = {"program_id": world["program"]}
    state = {"tags": ["vip"], "attributes": {"city": "Rome", "born": "1990-05-17"}}
    world.make("participant", "/v1/participants", {"external_id": ANN, **program, **state})
    world.make("second", "/v1/participants", {"external_id": BOB, **program})
    world.make("third", "/v1/participants", {"external_id": "user-44", **program})
    members = [{"participant_id": world["participant"], "role": "ADMIN"}, {"participant_id": world["second"], "role": "MEMBER"}]
    world.make("group", "/v1/groups", {"name": "Rossi", "members": members})
    for holder in holders(world):
        world.tenant.call("PUT", f"{holder}/state/tags/vip", 201 if "groups" in holder else 200)
        world.tenant.call("PUT", f"{holder}/state/counters/points", 200, json={"value": "5"})
        world.tenant.call("PUT", f"{holder}/state/attributes/city", 200, json={"value": "Rome"})


def holders(world: World) -> tuple[str, str]:
    """The paths of a participant and a group."""
    return f"/v1/participants/{world['participant']}", f"/v1/groups/{world['group']}"


def _rules(world: World, hook_url: str) -> None:
    world.make("endpoint", "/v1/webhook-endpoints", {"url": hook_url, "enabled_events": ["balance.expiring"]})
    earn = {"type": "CREDIT", "asset_id": world["asset"], "amount": "event.amount"}
    budget = {"asset_id": world["asset"], "limit": "100000.00"}
    common = {"program_id": world["program"]}
    world.make(
        "rule",
        "/v1/rules",
        {**common, "name": "Earn", "condition": 'event.type == "earn"', "actions": [earn], "budgets": [budget]},
    )
    spend = {"type": "DEBIT", "asset_id": world["asset"], "amount": "100000"}
    world.make("second_rule", "/v1/rules", {**common, "name": "Fail", "condition": 'event.type == "fail"', "actions": [spend]})


def _money(world: World) -> None:
    for holder in holders(world):
        for asset in ("asset", "cash"):
            world.move(holder, "adjust", asset, type="CREDIT", amount="10000.00")
            world.move(holder, "hold", asset, amount="500.00", reference_id="auth-1")
            world.move(holder, "hold", asset, amount="500.00", reference_id="auth-2")
    participant = holders(world)[0]
    world.move(participant, "adjust", type="CREDIT", amount="50.00", bucket="HELD", reference_id="order-9")
    lots = world.tenant.get(f"{participant}/balances/lots", asset_id=world["asset"])["data"]
    world.ids["lot"] = lots[-1]["id"]
    group_lots = world.tenant.get(f"{holders(world)[1]}/balances/lots", asset_id=world["asset"])["data"]
    world.ids["group_lot"] = group_lots[0]["id"]
    done = world.event("order-1001-completed", ANN, type="earn", amount=75)
    assert done["status"] == "COMPLETED", done
    failed = world.event("failed", BOB, type="fail")
    assert failed["status"] == "FAILED", failed


def _catalog(world: World) -> None:
    path = f"/v1/programs/{world['program']}/rewards"
    reward = {"asset_id": world["asset"], "redemption_type": "UNIT_BASED", "unit_cost": "2.00", "status": "ACTIVE"}
    world.make("reward", path, {**reward, "name": "Sticker", "max_total": 100000})
    world.make("manual_reward", path, {**reward, "name": "Parcel", "fulfillment": {"type": "manual", "timeout": "72h"}})
    redeem = f"{holders(world)[0]}/redemptions"
    body = {"program_id": world["program"], "asset_id": world["asset"], "amount": "100.00", "description": "world"}
    redemption = world.make("redemption", redeem, body)
    world.ids["journal_entry"] = redemption["journal_entry_id"]
    items = {"program_id": world["program"], "reward_id": world["manual_reward"]}
    world.make("pending_redemption", f"{redeem}/items", {**items, "quantity": 1})
    world.make("item_redemption", f"{redeem}/items", {**items, "reward_id": world["reward"], "quantity": 2})
    world.make("reversal", f"/v1/redemptions/{world['redemption']}/reverse", {"reason": "world", "amount": "1.00"})


def _tiers(world: World) -> None:
    levels = [{"key": "silver", "rank": 1}, {"key": "gold", "rank": 2}]
    path = f"/v1/programs/{world['program']}/tiers"
    lifecycle = {"retention": {"mode": "PERIOD_BASED"}, "qualification_period": {"type": "CALENDAR_YEAR"}}
    world.make("tier", path, {"key": "tier", "levels": levels, "lifecycle": lifecycle})
    for holder in holders(world):
        state = f"{holder}/state/tiers/tier"
        for level in ("silver", "gold"):
            world.tenant.call("PUT", state, 200, params={"program_id": world["program"]}, json={"level": level})


def _automations(world: World) -> None:
    path = f"/v1/programs/{world['program']}/automations"
    monday = {"type": "cron", "cron_expression": "0 9 * * MON"}
    world.make("automation", path, {"name": "Monday", "event_name": "monday", "scope": "program", "trigger": monday})
    birthday = {
        "type": "participant_state",
        "schedule_type": "ATTRIBUTE_DATE",
        "schedule_config": {"attribute": "born", "time": "09:00"},
    }
    body = {"name": "Birthday", "event_name": "birthday", "scope": "participants", "trigger": birthday}
    made = world.make("birthday", path, body)
    # an evaluation in the background gives it to whoever has the attribute
    poll(lambda: world.tenant.get(f"{path}/{made['id']}/subscriptions")["data"], 30)
    later = {"type": "one_time", "trigger_at": world.in_a_year}
    world.make("later", path, {"name": "Later", "event_name": "later", "scope": "program", "trigger": later})


def _rest(world: World) -> None:
    transfer = {"program_id": world["program"], "asset_id": world["asset"], "description": "world", "source_external_id": ANN}
    world.tenant.post("/v1/transfers", transfer | {"recipients": [{"amount": "5.00", "external_id": BOB}]}, 201)
    test = world.make("delivery", f"/v1/webhook-endpoints/{world['endpoint']}/test")
    assert test["status"] == "FAILED", test
