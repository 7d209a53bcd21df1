"""What the clients meet: programs, assets, people, groups, rules, rewards, tiers, automations and webhooks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from chaos.plan import PEOPLE
from chaos.rules import rules_of
from runtime.processes import wait_until

STOCK, PER_PERSON = 25, 4
GROUPS = 2
SUBSCRIBED_SECONDS = 60.0


@dataclass
class World:
    """Ids of what was made before the first fault."""

    program: str
    second_program: str
    points: str
    miles: str
    gifts: str
    people: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    rules: dict[str, str] = field(default_factory=dict)
    mug: str = ""
    parcel: str = ""
    ticking: str = ""
    fan_out: str = ""
    watching: str = ""
    endpoints: dict[str, str] = field(default_factory=dict)

    @property
    def money(self) -> tuple[str, str]:
        """The assets that operations by hand are about."""
        return self.points, self.miles


def make_world(client: httpx.Client, hooks_url: str) -> World:
    """Make everything, by one client, while nothing is broken."""
    builder = _Builder(client)
    endpoints = {name: builder.endpoint(f"{hooks_url}/{name}") for name in ("all", "switched")}
    program = builder.make("/v1/programs", {"name": "Chaos"})
    second = builder.make("/v1/programs", {"name": "Chaos, suspended at times"})
    world = World(
        program=program,
        second_program=second,
        points=builder.asset(program, "PTS", "SIMPLE", "UNLIMITED"),
        miles=builder.asset(program, "MILES", "LOT", "UNLIMITED"),
        gifts=builder.asset(program, "GIFT", "LOT", "PREFUNDED"),
        endpoints=endpoints,
    )
    builder.make(f"/v1/programs/{second}/assets", {"asset_id": world.points}, id_field="asset_id")
    builder.people(world)
    builder.rules(world)
    builder.offers(world)
    return world


class _Builder:
    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def make(self, path: str, body: Mapping[str, Any], *, id_field: str = "id") -> str:
        response = self._client.post(path, json=body)
        assert response.is_success, f"POST {path}: {response.status_code} {response.text}"
        return str(response.json().get(id_field, ""))

    def endpoint(self, url: str) -> str:
        return self.make("/v1/webhook-endpoints", {"url": url, "enabled_events": ["*"]})

    def asset(self, program: str, symbol: str, mode: str, policy: str) -> str:
        body = {"name": symbol, "symbol": symbol, "inventory_mode": mode, "issuance_policy": policy, "scale": 2}
        return self.make("/v1/assets", body | {"program_id": program})

    def people(self, world: World) -> None:
        world.names = [f"person-{number}" for number in range(PEOPLE)]
        for name in world.names:
            body = {"external_id": name, "program_id": world.program}
            world.people.append(self.make("/v1/participants", body))
            self.make("/v1/participants", {"external_id": name, "program_id": world.second_program})
        for number in range(GROUPS):
            members = [{"participant_id": person, "role": "ADMIN"} for person in world.people[number::GROUPS]]
            world.groups.append(self.make("/v1/groups", {"name": f"Group {number}", "members": members}))
        for person in world.people:
            for asset in world.money:
                self._credit(f"/v1/participants/{person}", world.program, asset, "200.00")
        for group in world.groups:
            self._credit(f"/v1/groups/{group}", world.program, world.points, "500.00")
        self.make(f"/v1/programs/{world.program}/assets/{world.gifts}/fund", {"amount": "150.00"})

    def _credit(self, holder: str, program: str, asset: str, amount: str) -> None:
        body = {"program_id": program, "asset_id": asset, "type": "CREDIT", "amount": amount, "description": "Welcome"}
        self.make(f"{holder}/balances/adjust", body)

    def rules(self, world: World) -> None:
        levels = [
            {"key": "silver", "rank": 1, "qualification": _spending("100")},
            {"key": "gold", "rank": 2, "qualification": _spending("400")},
        ]
        self.make(f"/v1/programs/{world.program}/tiers", {"key": "club", "levels": levels})
        for rule in rules_of(world.program, world.points, world.miles, world.gifts, world.groups[0]):
            world.rules[str(rule["name"])] = self.make("/v1/rules", rule)
        condition = 'event.type == "purchase"'
        actions = [{"type": "CREDIT", "asset_id": world.points, "amount": "1.00"}]
        second = {"program_id": world.second_program, "name": "second", "condition": condition, "actions": actions}
        world.rules["second"] = self.make("/v1/rules", second)

    def offers(self, world: World) -> None:
        reward = {"redemption_type": "UNIT_BASED", "asset_id": world.miles, "unit_cost": "1.50", "status": "ACTIVE"}
        rewards = f"/v1/programs/{world.program}/rewards"
        limits = {"max_total": STOCK, "max_per_participant": PER_PERSON}
        world.mug = self.make(rewards, reward | limits | {"name": "Mug"})
        parcel = {"name": "Parcel", "fulfillment": {"type": "manual", "timeout": "6s"}}
        world.parcel = self.make(rewards, reward | parcel)
        automations = f"/v1/programs/{world.program}/automations"
        each_minute = {"type": "cron", "cron_expression": "* * * * *", "timezone": "UTC"}
        ticking = {"name": "Each minute", "event_name": "tick", "scope": "program", "trigger": each_minute}
        world.ticking = self.make(automations, ticking)
        yearly = {"type": "cron", "cron_expression": "0 0 1 1 *", "timezone": "UTC"}
        fan_out = {"name": "By hand", "event_name": "by_hand", "scope": "participants", "trigger": yearly}
        world.fan_out = self.make(automations, fan_out)
        config = {"counter": "bought", "operator": ">=", "threshold": "3"}
        crossing = {"type": "participant_state", "schedule_type": "THRESHOLD", "schedule_config": config}
        watching = {"name": "Regulars", "event_name": "regular", "scope": "participants", "trigger": crossing}
        world.watching = self.make(automations, watching)
        # a threshold that is crossed before somebody is subscribed doesn't fire
        subscriptions = f"{automations}/{world.watching}/subscriptions?limit=200"
        assert wait_until(lambda: len(self._client.get(subscriptions).json()["data"]) == PEOPLE, SUBSCRIBED_SECONDS, 0.1)


def _spending(threshold: str) -> dict[str, Any]:
    return {"mode": "ALL", "criteria": [{"counter": "spend", "operator": ">=", "threshold": threshold}]}
