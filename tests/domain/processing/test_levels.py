"""What events do to levels, in memory (tiers.md 3.2; events-rules.md 6.13)."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from domain.ledger.accounts import EntityType
from domain.processing.world import World
from domain.tiers.changes import Reason
from domain.tiers.definition import Lifecycle, RetentionMode, Standing, Tier
from tests.domain.processing.worlds import (
    ANN,
    BOB,
    NOW,
    PROGRAM,
    PTS,
    add_holder,
    fingerprint,
    make_rules,
    make_world,
    rows,
    run,
    verdicts,
)
from tests.domain.tiers.tiers import CLUB, club

TEAM = UUID(int=0x6A)
HOUR = timedelta(hours=1)
ACTIVITY = Lifecycle(RetentionMode.ACTIVITY_REFRESH, duration=HOUR)


def count(value: str = "event.n", **fields: Any) -> dict[str, Any]:
    return {"type": "COUNTER", "key": "points", "value": value, **fields}


def assign(level: str, **fields: Any) -> dict[str, Any]:
    return {"type": "SET_TIER", "tier": "club", "level": level, **fields}


def to(holder_id: UUID, kind: str = "PARTICIPANT") -> dict[str, Any]:
    return {"target": {"type": kind, "id": str(holder_id)}}


def world_with(tier: Tier | None = None) -> World:
    """Ann and bob, both enrolled, and a team."""
    world = make_world()
    add_holder(world, TEAM, kind=EntityType.GROUP, external_id="", name="Team")
    world.standings.tiers = {PROGRAM: (tier or club(program_id=PROGRAM),)}
    world.enrolled = {(ANN, PROGRAM), (BOB, PROGRAM)}
    return world


def levels(world: World) -> dict[str, str | None]:
    names = {ANN: "ann", BOB: "bob", TEAM: "team"}
    return {names[holder_id]: standing.level for (holder_id, _), standing in world.standings.loaded.items()}


def give(world: World, holder_id: UUID, level: str, **fields: Any) -> None:
    world.standings.loaded[holder_id, CLUB] = Standing(level, NOW - HOUR, **fields)


def have(world: World, holder_id: UUID, points: int) -> None:
    world.states[holder_id], _ = world.states[holder_id].set_counter("points", Decimal(points), None, NOW)


def test_everybody_whose_counters_changed_is_evaluated() -> None:
    world = world_with()
    rules = make_rules({"actions": (count("100", **to(BOB)), count("500", **to(TEAM, "GROUP")))})
    run(world, rules)
    assert levels(world) == {"bob": "bronze", "team": "silver"}
    assert [(change.holder.id, change.cause.reason, change.cause.rule_id) for change in world.standings.changes] == [
        (BOB, Reason.QUALIFICATION, None),
        (TEAM, Reason.QUALIFICATION, None),
    ]


def test_others_are_not_evaluated_though_they_qualify() -> None:
    world = world_with()
    have(world, BOB, 5000)
    run(world, make_rules({"actions": ({"type": "TAG", "tag": "x", **to(BOB)},)}))
    assert levels(world) == {}


def test_an_event_without_rules_evaluates_its_participant() -> None:
    world = world_with()
    have(world, ANN, 5000)
    run(world, make_rules())
    assert levels(world) == {"ann": "gold"}
    run(world, make_rules(), participant_id=None, number=2)


@pytest.mark.parametrize("status", ["SUSPENDED", "CLOSED"])
def test_who_is_not_active_stays(status: str) -> None:
    world = world_with()
    add_holder(world, ANN, status=status)
    have(world, ANN, 5000)
    run(world, make_rules())
    assert levels(world) == {}
    run(world, make_rules({"actions": (assign("gold"),)}), number=2)
    assert levels(world) == {"ann": "gold"}


def test_an_assignment_that_changes_nothing_still_goes_before_qualification() -> None:
    world = world_with()
    give(world, ANN, "bronze")
    rules = make_rules({"actions": (count("5000"), assign("bronze"))})
    outcome = run(world, rules)
    assert rows(outcome, rules)[0]["executed_actions"][1]["reason"] == "ALREADY_SET"
    assert levels(world) == {"ann": "bronze"}
    run(world, make_rules(), number=2)
    assert levels(world) == {"ann": "gold"}


def test_a_failing_event_leaves_levels_as_they_were() -> None:
    world = world_with()
    give(world, ANN, "silver")
    rules = make_rules(
        {"actions": (assign("gold"), assign("bronze", **to(BOB)), count("5000", **to(TEAM, "GROUP")))},
        {"actions": ({"type": "DEBIT", "asset_id": str(PTS), "amount": "1"},)},
    )
    before = fingerprint(world)
    assert run(world, rules).error_code == "insufficient_balance"
    assert fingerprint(world) == before


def test_levels_changed_by_earlier_events_stay_changed() -> None:
    world = world_with()
    run(world, make_rules({"actions": (assign("silver"),)}))
    failing = make_rules({"actions": (assign("gold"), {"type": "DEBIT", "asset_id": str(PTS), "amount": "1"})})
    run(world, failing, number=2)
    assert levels(world) == {"ann": "silver"}
    assert list(world.standings.changed) == [(ANN, CLUB)]


def test_archived_tiers_suppress_and_the_other_actions_run() -> None:
    world = world_with(club(program_id=PROGRAM, is_archived=True))
    rules = make_rules({"actions": (assign("gold"),)}, {"actions": (assign("gold"), count("5000"))})
    outcome = run(world, rules)
    assert verdicts(outcome, rules) == [("SKIPPED", "TIER_ARCHIVED"), ("SUCCESS", None)]
    assert levels(world) == {}


def test_durations_and_past_times() -> None:
    world = world_with()
    run(world, make_rules({"actions": (assign("gold", expires_at="2h"),)}))
    assert world.standings.get(ANN, CLUB).expires_at == NOW + 2 * HOUR
    run(world, make_rules({"actions": (assign("gold", expires_at="2020-01-01T00:00:00Z"),)}), number=2)
    assert levels(world) == {"ann": None}
    last = world.standings.changes[-1]
    assert (last.from_level, last.to_level, last.cause.reason, last.cause.rule_id) == ("gold", None, Reason.EXPIRY, None)


class TestActivity:
    def refreshing(self) -> World:
        world = world_with(club(ACTIVITY, program_id=PROGRAM))
        for holder_id in (ANN, BOB, TEAM):
            give(world, holder_id, "bronze", lifecycle_expires_at=NOW)
        return world

    def moved(self, world: World) -> set[UUID]:
        loaded = world.standings.loaded.items()
        return {holder_id for (holder_id, _), standing in loaded if standing.lifecycle_expires_at == NOW + HOUR}

    def test_the_participant_and_groups_with_an_applied_action(self) -> None:
        world = self.refreshing()
        tag = {"type": "TAG", "tag": "x"}
        run(world, make_rules({"actions": ({**tag, **to(BOB)}, {**tag, **to(TEAM, "GROUP")})}))
        assert self.moved(world) == {ANN, TEAM}
        assert (world.standings.changes, len(world.standings.changed)) == ([], 2)

    def test_actions_without_effect_are_not_applied(self) -> None:
        world = self.refreshing()
        run(world, make_rules({"actions": ({"type": "UNTAG", "tag": "x", **to(TEAM, "GROUP")},)}))
        assert self.moved(world) == {ANN}

    def test_failed_events_are_no_activity(self) -> None:
        world = self.refreshing()
        run(world, make_rules({"actions": ({"type": "DEBIT", "asset_id": str(PTS), "amount": "1"},)}))
        assert self.moved(world) == set()

    def test_the_status_does_not_matter(self) -> None:
        world = self.refreshing()
        add_holder(world, ANN, status="CLOSED")
        run(world, make_rules())
        assert self.moved(world) == {ANN}
