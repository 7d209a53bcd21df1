"""Simulating a rule over HTTP: the answer, what the rule sees, and what is refused."""

from typing import Any

import pytest

from db.session import Database
from tests.services.rule_world import World, make_world, set_status
from tests.support.client import Tenant

EVENT = {"type": "purchase", "amount": 75}


@pytest.fixture
def world(database: Database, api: Tenant) -> World:
    """A program of the tenant, with assets."""
    return make_world(database, api.organization_id)


def make_rule(api: Tenant, world: World, *actions: dict[str, Any], **fields: Any) -> dict[str, Any]:
    body = {
        "program_id": str(world.program_id),
        "name": "R10",
        "condition": 'event.type == "purchase"',
        "actions": list(actions) or [world.credit(amount="event.amount * 10")],
        **fields,
    }
    made: dict[str, Any] = api.post("/v1/rules", body, 201)
    return made


def simulate(api: Tenant, rule: dict[str, Any], status: int = 200, **body: Any) -> Any:
    return api.post(f"/v1/rules/{rule['id']}/simulate", {"event": EVENT, **body}, status)


def symbol_of(api: Tenant, asset_id: object) -> str:
    found: str = api.get(f"/v1/assets/{asset_id}")["symbol"]
    return found


def faults(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(fault["field"], fault["reason"]) for fault in answer["details"]["fields"]]


class TestAnswer:
    def test_a_match(self, api: Tenant, world: World) -> None:
        actions = [world.credit(amount="event.amount * 10"), {"type": "TAG", "tag": "buyer"}]
        rule = make_rule(api, world, *actions, status="SUSPENDED")
        symbol = symbol_of(api, world.pts)
        assert simulate(api, rule) == {
            "rule": {name: rule[name] for name in ("id", "name", "condition", "order", "stop_after_match")},
            "evaluation": {
                "matched": True,
                "status": "evaluated",
                "results": [
                    {
                        "action": actions[0],
                        "result": {
                            "amount": "750",
                            "asset_symbol": symbol,
                            "description": f"Credit 750 {symbol} to participant",
                        },
                    },
                    {
                        "action": actions[1],
                        "result": {"current_tags": [], "would_add": True, "description": "Add tag buyer to participant"},
                    },
                ],
            },
        }

    def test_no_match(self, api: Tenant, world: World) -> None:
        rule = make_rule(api, world)
        assert simulate(api, rule, event={"type": "x"})["evaluation"] == {"matched": False, "status": "evaluated"}

    def test_a_condition_that_fails(self, api: Tenant, world: World) -> None:
        found = simulate(api, make_rule(api, world), event={})["evaluation"]
        assert found.keys() == {"matched", "status", "reason"}
        assert (found["matched"], found["status"]) == (False, "condition_failed")

    def test_archived_rules_and_suspended_programs(self, api: Tenant, world: World, database: Database) -> None:
        rule = make_rule(api, world)
        api.patch(f"/v1/rules/{rule['id']}", {"status": "ARCHIVED"})
        set_status(database, "programs", world.program_id, "SUSPENDED")
        assert simulate(api, rule)["evaluation"]["matched"] is True


class TestWhatTheRuleSees:
    def test_everything_that_was_sent(self, api: Tenant, world: World) -> None:
        symbol = symbol_of(api, world.cash)
        rule = make_rule(
            api,
            world,
            condition=f"""participant.tags == ["vip"] && participant.counters.a == 1.5 && participant.counters.b == 2
                && participant.attributes.city == "Rome" && now == timestamp("2026-01-15T10:30:00Z")
                && event.amount == 0.1 + 0.2
                && participant.balances.{symbol}.available == -3 && participant.balances.{symbol}.held == 1.01""",
        )
        state = {
            "tags": ["VIP", "vip"],
            "counters": {"a": 1.5, "b": "2"},
            "attributes": {"city": "Rome"},
            "balances": {symbol: {"available": "-3", "held": "1.005", "deferred": "0"}},
        }
        found = simulate(api, rule, event={"amount": 0.3}, now="2026-01-15T11:30:00+01:00", participant_state=state)
        assert found["evaluation"]["matched"] is True

    def test_an_empty_state_and_the_present_unless_said_otherwise(self, api: Tenant, world: World) -> None:
        rule = make_rule(
            api,
            world,
            condition="""participant.tags == [] && participant.counters == {} && participant.tiers == {} && recipient == null
                && participant.balances.size() == 3 && now > timestamp("2026-01-01T00:00:00Z") && participant.status == "ACTIVE"
                && participant.program_ids == [program.id] && groups == []""",
        )
        assert simulate(api, rule, participant_state=None, now=None)["evaluation"]["matched"] is True

    def test_the_real_program(self, api: Tenant, database: Database) -> None:
        program_id = api.post("/v1/programs", {"name": "Real"}, 201)["id"]
        with database.connection() as conn:
            conn.execute("UPDATE program_states SET tags = '{summer}' WHERE program_id = %s", [program_id])
        body = {
            "program_id": program_id,
            "name": "R",
            "condition": 'program.name == "Real" && program.tags == ["summer"]',
            "actions": [{"type": "TAG", "tag": "x"}],
        }
        assert simulate(api, api.post("/v1/rules", body, 201))["evaluation"]["matched"] is True


class TestRefused:
    @pytest.mark.parametrize(
        ("body", "field", "reason"),
        [
            ({"event": None}, "event", "required"),
            ({"event": []}, "event", "invalid"),
            ({"event": {"text": "x" * 70_000}}, "event", "too_long"),
            ({"now": "yesterday"}, "now", "invalid"),
            ({"state": {}}, "state", "unknown_field"),
            ({"participant_state": {"tag": []}}, "participant_state.tag", "unknown_field"),
            ({"participant_state": {"tags": ["a/b"]}}, "participant_state.tags[0]", "invalid"),
            ({"participant_state": {"counters": {"n": True}}}, "participant_state.counters.n", "invalid"),
            ({"participant_state": {"counters": {"n": "1e3"}}}, "participant_state.counters.n", "invalid"),
            ({"participant_state": {"counters": {"n": 10**20}}}, "participant_state.counters.n", "out_of_range"),
            ({"participant_state": {"attributes": {"n": 1}}}, "participant_state.attributes.n", "invalid"),
            ({"participant_state": {"tiers": {"club": "gold"}}}, "participant_state.tiers.club", "invalid"),
            ({"participant_state": {"balances": {"NONE": {}}}}, "participant_state.balances.NONE", "invalid"),
            ({"participant_state": {"balances": {"X": {"held": "-1"}}}}, "participant_state.balances.X.held", "out_of_range"),
            ({"participant_state": {"balances": {"X": {"held": 1}}}}, "participant_state.balances.X.held", "invalid"),
            ({"participant_state": {"balances": {"X": {"free": "1"}}}}, "participant_state.balances.X.free", "unknown_field"),
        ],
    )
    def test_malformed(self, api: Tenant, world: World, body: dict[str, Any], field: str, reason: str) -> None:
        assert faults(simulate(api, make_rule(api, world), 400, **body)) == [(field, reason)]

    def test_unknown_rules(self, api: Tenant, stranger: Tenant, world: World) -> None:
        rule = make_rule(api, world)
        assert simulate(stranger, rule, 404)["code"] == "not_found"
        assert simulate(api, {"id": "abc"}, 400)["code"] == "bad_request"
