"""What SCHEDULE_EVENT and BROADCAST plan, and when they fail."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.automations import event_key, rule_automation_id
from domain.processing.world import PlannedEvents
from tests.domain.processing.worlds import (
    ANN,
    BOB,
    MOMENT,
    NOW,
    ORGANIZATION,
    PROGRAM,
    PTS,
    fingerprint,
    make_rules,
    make_world,
    rows,
    run,
)


def schedule(delay: str = "90s", **fields: Any) -> dict[str, Any]:
    return {"type": "SCHEDULE_EVENT", "event_name": "check", "delay": delay, **fields}


BROADCAST: dict[str, Any] = {"type": "BROADCAST", "event_name": "all", "payload": {"n": 1}}
TOO_MUCH = {"type": "DEBIT", "asset_id": str(PTS), "amount": "5"}


def test_what_is_planned() -> None:
    world = make_world()
    rules = make_rules({"actions": (schedule(payload={"x": "é"}), BROADCAST)})
    outcome = run(world, rules, chain_depth=3)
    rule, event = rules.rules[0], outcome.event
    ids = [rule_automation_id(event.id, rule.id, index) for index in (0, 1)]
    assert world.planned == [
        PlannedEvents(
            ids[0], f"rule:{rule.id}:{event.id}:0", event, "check", '{"x":"é"}', NOW + timedelta(seconds=90), NOW, 4, ANN
        ),
        PlannedEvents(ids[1], f"rule:{rule.id}:{event.id}:1", event, "all", '{"n":1}', NOW, NOW, 4, None),
    ]
    first, second = rows(outcome, rules)[0]["executed_actions"]
    assert (first["automation_id"], first["event_name"], first["due_at"]) == (ids[0], "check", NOW + timedelta(seconds=90))
    assert first["target"] == {"type": "PARTICIPANT", "id": ANN}
    assert (second["automation_id"], second["event_name"], "due_at" in second) == (ids[1], "all", False)
    assert second["target"]["type"] == "PROGRAM"
    assert UUID(str(second["target"]["id"])) == PROGRAM


def test_the_same_event_plans_the_same_and_equal_actions_plan_two() -> None:
    rules = make_rules({"actions": (schedule(), schedule(), BROADCAST, BROADCAST)})
    worlds = [make_world(), make_world()]
    for world in worlds:
        run(world, rules)
    assert worlds[0].planned == worlds[1].planned
    assert len({item.automation_id for item in worlds[0].planned}) == 4


def test_the_recipient_has_no_say_and_targets_may_be_named() -> None:
    world = make_world()
    bob = {"type": "PARTICIPANT", "external_id": "event.to"}
    run(world, make_rules({"actions": (schedule(), schedule(target=bob))}), {"to": "bob"}, recipient_id=BOB)
    assert [item.participant_id for item in world.planned] == [ANN, BOB]


@pytest.mark.parametrize("status", ["SUSPENDED", "CLOSED"])
def test_it_runs_whatever_the_status(status: str) -> None:
    world = make_world(status=status)
    assert run(world, make_rules({"actions": (schedule(), BROADCAST)})).status == "COMPLETED"
    assert len(world.planned) == 2


@pytest.mark.parametrize("action", [schedule(), BROADCAST])
def test_the_chain_ends_at_ten(action: dict[str, Any]) -> None:
    world = make_world()
    rules = make_rules({"actions": (action,)})
    assert run(world, rules, chain_depth=9).status == "COMPLETED"
    failed = run(world, rules, number=2, chain_depth=10)
    assert failed.error_code == "chain_depth_exceeded"
    assert failed.error_message == (
        f"chain_depth_exceeded: action {action['type']} failed: the event is the last of a chain of 10"
    )
    assert [item.chain_depth for item in world.planned] == [10]


def test_targets_are_needed_and_must_exist() -> None:
    world = make_world()
    world.absent.add((ORGANIZATION, "nobody"))
    named = {"type": "PARTICIPANT", "external_id": "nobody"}
    assert run(world, make_rules({"actions": (schedule(target=named),)})).error_code == "target_not_found"
    without = make_rules({"condition": "event.n == 1", "actions": (BROADCAST,)}, {"actions": (schedule(),)})
    assert run(world, without, participant_id=None).error_code == "target_required"
    assert run(world, make_rules({"actions": (BROADCAST,)}), number=2, participant_id=None).status == "COMPLETED"
    assert len(world.planned) == 1


def test_a_failing_event_plans_nothing() -> None:
    world = make_world()
    rules = make_rules({"actions": (schedule(), BROADCAST)}, {"condition": "event.fail", "actions": (TOO_MUCH,)})
    run(world, rules, {"fail": False})
    before = fingerprint(world)
    assert run(world, rules, {"fail": True}, number=2).error_code == "insufficient_balance"
    assert fingerprint(world) == before
    assert len(world.planned) == 2


def test_the_key_of_an_event_names_its_occurrence() -> None:
    automation = UUID(int=1)
    assert event_key(automation, MOMENT, None) == f"sys:{automation}:2026-03-05T12:00:00.000000Z:program"
    assert event_key(automation, MOMENT, ANN).endswith(f"Z:{ANN}")
