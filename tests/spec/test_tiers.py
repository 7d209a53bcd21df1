"""The acceptance examples of tiers.md that no window has part in, over HTTP on the running product."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.support.client import Tenant, new_tenant
from tests.support.club import Club, actions, outcomes
from tests.support.stack import Stack, poll

THRESHOLDS = {"bronze": 100, "silver": 500, "gold": 1000}
SET_BRONZE = {"type": "SET_TIER", "tier": "club", "level": "bronze"}


def points(threshold: float) -> dict[str, Any]:
    return {"mode": "ALL", "criteria": [{"counter": "points", "operator": ">=", "threshold": threshold}]}


def levels() -> list[dict[str, Any]]:
    return [
        {"key": key, "rank": rank, "qualification": points(threshold), "benefits": {"multiplier": rank}}
        for rank, (key, threshold) in enumerate(THRESHOLDS.items(), 1)
    ]


@dataclass
class Ladder:
    """Tier `club` of program P, and the rule that counts points."""

    club: Club

    @property
    def api(self) -> Tenant:
        return self.club.tenant

    @property
    def tier(self) -> str:
        return f"/v1/programs/{self.club.program_id}/tiers/club"

    def holder(self, who: str = "ann") -> str:
        return f"/v1/participants/{self.club.participant_id(who)}"

    def call(self, method: str, status: int, rest: str = "", who: str = "ann", **options: Any) -> Any:
        """A request on the participant's level."""
        path = f"{self.holder(who)}/state/tiers/club{rest}?program_id={self.club.program_id}"
        return self.api.call(method, path, status, **options)

    def put(self, status: int = 200, **body: Any) -> Any:
        return self.call("PUT", status, json=body)

    def level(self, who: str = "ann") -> str | None:
        """The level that is held, by the list."""
        rows = self.api.get(f"{self.holder(who)}/state/tiers", program_id=self.club.program_id)["data"]
        return next((row["level"] for row in rows if row["key"] == "club"), None)

    def history(self, who: str = "ann") -> list[tuple[str | None, str | None, str, str]]:
        """Old and new level, change and reason, newest first."""
        rows = self.api.get(f"{self.holder(who)}/activity/tier-history")["data"]
        return [(row["from_level"], row["to_level"], row["change"], row["reason"]) for row in rows]

    def earn(self, n: float, vip: bool = False, **fields: Any) -> dict[str, Any]:
        return self.club.completed({"n": n, "vip": vip}, **fields)

    def hears(self) -> list[dict[str, Any]]:
        """The data of the messages about levels, in order."""
        with self.club.database.connection() as conn:
            rows = conn.execute(
                "SELECT data FROM webhook_messages WHERE organization_id = %s AND type = 'participant.tier_changed' ORDER BY id",
                [self.api.organization_id],
            ).fetchall()
        return [row[0] for row in rows]


@pytest.fixture
def ladder(club: Club) -> Ladder:
    """The program of the examples, with an endpoint that hears everything."""
    club.tenant.post(f"/v1/programs/{club.program_id}/tiers", {"key": "club", "levels": levels()}, 201)
    club.rule("true", {"type": "COUNTER", "key": "points", "value": "event.n"}, order=10)
    with club.database.connection() as conn:
        conn.execute(
            "INSERT INTO webhook_endpoints (id, organization_id, url, enabled_events, status, secret, created_at, updated_at)"
            " VALUES (%s, %s, 'https://example.com/', '{participant.tier_changed}', 'ACTIVE', 'sealed', now(), now())",
            [uuid4(), club.tenant.organization_id],
        )
    return Ladder(club)


@pytest.fixture
def outsider(stack: Stack) -> Iterator[Tenant]:
    """Another organization."""
    other = new_tenant(stack.database, stack.base_url, "Outsider")
    yield other
    other.http.close()


@pytest.mark.example("tiers.md", "1")
def test_qualification_goes_up_at_once_and_never_down(ladder: Ladder) -> None:
    event = ladder.earn(600)
    state = ladder.call("GET", 200)
    assert (state["level"], state["rank"], state["benefits"], state["expires_at"]) == ("silver", 2, {"multiplier": 2}, None)
    [row] = ladder.api.get(f"{ladder.holder()}/activity/tier-history")["data"]
    assert (row["from_level"], row["to_level"], row["from_rank"], row["to_rank"]) == (None, "silver", 0, 2)
    assert (row["change"], row["reason"], row["rule_id"]) == ("UPGRADED", "QUALIFICATION", None)
    assert (row["event_id"], row["changed_at"], row["program_id"]) == (event["id"], state["acquired_at"], ladder.club.program_id)
    [heard] = ladder.hears()
    assert heard == {
        "participant_id": str(ladder.club.participant_id("ann")),
        "external_id": "ann",
        "program_id": ladder.club.program_id,
        "tier_key": "club",
        "from_level": None,
        "to_level": "silver",
        "from_rank": 0,
        "to_rank": 2,
        "change": "UPGRADED",
        "reason": "QUALIFICATION",
        "benefits": {"multiplier": 2},
        "expires_at": None,
        "event_id": event["id"],
        "rule_id": None,
        "changed_by_api_key_id": None,
        "occurred_at": row["changed_at"],
    }
    ladder.earn(-500)
    assert (ladder.level(), len(ladder.history())) == ("silver", 1)
    changes = ladder.api.get(f"/v1/events/{event['id']}/impact")["state_changes"]
    assert [(row["state_type"], row["operation"], row["new_value"]) for row in changes] == [
        ("counter", "set", "600"),
        ("tier", "set", "silver"),
    ]
    assert changes[1]["rule_id"] is None


@pytest.mark.example("tiers.md", "2")
def test_the_same_key_again_changes_nothing(ladder: Ladder) -> None:
    ladder.earn(600, idempotency_key="once")
    ladder.earn(600, idempotency_key="once")
    assert len(ladder.history()) == 1
    assert ladder.api.get(f"{ladder.holder()}/state/counters/points")["value"] == "600"


@pytest.mark.example("tiers.md", "3")
def test_a_rule_goes_before_qualification(ladder: Ladder) -> None:
    ladder.earn(600)
    rule = ladder.club.rule("event.vip == true", SET_BRONZE, order=20)
    event = ladder.earn(500, vip=True)
    assert ladder.level() == "bronze"
    [action] = event["rule_evaluations"][1]["executed_actions"]
    assert (action["type"], action["outcome"], action["tier"], action["level"]) == ("SET_TIER", "APPLIED", "club", "bronze")
    [row, _] = ladder.api.get(f"{ladder.holder()}/activity/tier-history")["data"]
    assert (row["change"], row["reason"], row["rule_id"]) == ("DOWNGRADED", "RULE", rule["id"])
    assert actions(ladder.earn(0, vip=True))[1] == ("SET_TIER", "NO_OP", "ALREADY_SET")
    ladder.earn(0)
    assert ladder.level() == "gold"


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


@pytest.mark.example("tiers.md", "4")
def test_an_explicit_expiry_removes_the_level(ladder: Ladder) -> None:
    ladder.earn(0)
    first = ladder.put(level="gold", expires_at=soon(60))
    last = ladder.put(level="gold", expires_at=soon(2))
    assert last["acquired_at"] == first["acquired_at"]
    assert ladder.history() == [(None, "gold", "UPGRADED", "API")]
    poll(lambda: ladder.level() is None, 30)
    ladder.call("GET", 404)
    assert ladder.history() == [("gold", None, "REMOVED", "EXPIRY"), (None, "gold", "UPGRADED", "API")]


@pytest.mark.example("events-rules.md", "7.4.14")
def test_an_explicit_expiry_of_a_rule(ladder: Ladder) -> None:
    ladder.club.rule("event.vip", {**SET_BRONZE, "expires_at": "2s"}, order=20)
    ladder.earn(0, vip=True)
    assert ladder.level() == "bronze"
    # without a visitor: nobody looks but at the history
    poll(lambda: len(ladder.history()) == 2, 30)
    assert ladder.history()[0] == ("bronze", None, "REMOVED", "EXPIRY")
    ladder.call("GET", 404)
    rule = {
        "program_id": ladder.club.program_id,
        "name": "R",
        "condition": "true",
        "actions": [{**SET_BRONZE, "expires_at": "0s"}],
    }
    refused = ladder.api.post("/v1/rules", rule, 400)["details"]
    assert (refused["field"], refused["reason"]) == ("actions[0].expires_at", "out_of_range")


def test_assignments_over_the_api(ladder: Ladder) -> None:
    ladder.earn(0)
    first = ladder.put(level="gold", expires_at="2999-01-01T00:00:00Z")
    again = ladder.put(level="gold", expires_at="2998-01-01T00:00:00Z")
    assert again == first | {"expires_at": "2998-01-01T00:00:00.000000Z"}
    assert ladder.put(level="gold") == first | {"expires_at": None}
    assert ladder.history() == [(None, "gold", "UPGRADED", "API")]
    assert ladder.put(level="bronze")["level"] == "bronze"
    ladder.call("DELETE", 204)
    ladder.call("DELETE", 204)
    assert ladder.history()[0] == ("bronze", None, "REMOVED", "API")
    assert ladder.call("GET", 404)["details"]["id"] == "club"
    rows = ladder.api.get(f"{ladder.holder()}/activity/state-history", state_type="tier")["data"]
    assert [(row["operation"], row["old_value"], row["new_value"]) for row in rows] == [
        ("delete", "bronze", None),
        ("set", "gold", "bronze"),
        ("set", None, "gold"),
    ]
    assert {row["program_id"] for row in rows} == {ladder.club.program_id}
    assert {row["changed_by_api_key_id"] is None for row in rows} == {False}
    assert [heard["change"] for heard in ladder.hears()] == ["UPGRADED", "DOWNGRADED", "REMOVED"]


@pytest.mark.example("tiers.md", "5")
def test_bad_assignments(ladder: Ladder, outsider: Tenant) -> None:
    ladder.earn(0)
    assert ladder.put(400, level="platinum")["details"]["field"] == "level"
    past = ladder.put(400, level="gold", expires_at="2020-01-01T00:00:00Z")["details"]
    assert (past["field"], past["reason"]) == ("expires_at", "out_of_range")
    path = f"{ladder.holder()}/state/tiers/club"
    assert ladder.api.call("PUT", path, 400, json={"level": "gold"})["details"]["field"] == "program_id"
    outsider.call("PUT", f"{path}?program_id={ladder.club.program_id}", 404, json={"level": "gold"})
    ladder.api.patch(f"{ladder.holder()}/status", {"status": "SUSPENDED"})
    assert ladder.put(409, level="gold")["code"] == "participant_inactive"
    ladder.call("DELETE", 409)
    ladder.api.patch(f"{ladder.holder()}/status", {"status": "ACTIVE"})
    ladder.api.patch(f"/v1/programs/{ladder.club.program_id}", {"status": "SUSPENDED"})
    assert ladder.put(409, level="gold")["code"] == "program_inactive"
    ladder.api.patch(f"{ladder.holder()}/enrollments/{ladder.club.program_id}", {"status": "FROZEN"})
    assert ladder.put(404, level="gold")["details"]["field"] == "program_id"
    assert ladder.history() == []


@pytest.mark.example("tiers.md", "6")
def test_bad_definitions(ladder: Ladder) -> None:
    program = f"/v1/programs/{ladder.club.program_id}/tiers"
    two = [{"key": "a", "rank": 1}, {"key": "b", "rank": 1}]
    years = {"retention": {"mode": "PERIOD_BASED"}, "qualification_period": {"type": "CALENDAR_YEAR"}}
    for body, reason in (
        ({"key": "Club", "levels": levels()}, "invalid"),
        ({"key": "other", "levels": two}, "duplicate"),
        ({"key": "other", "levels": levels(), "lifecycle": years | {"downgrade_policy": {"min_level": "x"}}}, "invalid"),
        ({"key": "other", "levels": levels(), "lifecycle": {"retention": {"mode": "ACTIVITY_REFRESH"}}}, "required"),
    ):
        assert ladder.api.post(program, body, 400)["details"]["reason"] == reason
    assert ladder.api.post(program, {"key": "club", "levels": levels()}, 409)["code"] == "name_conflict"


@pytest.mark.example("tiers.md", "7")
def test_levels_change(ladder: Ladder) -> None:
    assert ladder.api.patch(ladder.tier, {"levels": [{"key": "bronze", "rank": 2}]}, 409)["code"] == "level_conflict"
    ladder.api.patch(ladder.tier, {"levels": [{"key": "bronze", "rank": 2}, {"key": "silver", "rank": 1}]})
    ladder.api.patch(ladder.tier, {"levels": [{"key": "platinum"}]}, 400)
    ladder.api.patch(ladder.tier, {"levels": [{"key": "bronze", "rank": 1}, {"key": "silver", "rank": 2}]})
    ladder.api.patch(ladder.tier, {"levels": [{"key": "gold", "qualification": {}}]})
    ladder.earn(5000)
    assert ladder.call("GET", 200)["rank"] == 2
    ladder.api.patch(ladder.tier, {"levels": [{"key": "silver", "rank": 9}]})
    assert ladder.call("GET", 200)["rank"] == 9
    assert ladder.club.participant("ann")["tiers"] == {"club": {"level": "silver", "rank": 9}}


@pytest.mark.example("tiers.md", "12")
def test_an_archived_tier_stands_still(ladder: Ladder) -> None:
    ladder.club.rule("event.vip == true", SET_BRONZE, order=20)
    ladder.earn(600)
    before = ladder.call("GET", 200)
    ladder.api.post(f"{ladder.tier}/archive", None, 200)
    assert ladder.api.post(f"{ladder.tier}/archive", None, 409)["code"] == "tier_archived"
    event = ladder.earn(5000, vip=True)
    assert outcomes(event)[1] == ("SKIPPED", "TIER_ARCHIVED")
    assert actions(event)[1] == ("SET_TIER", "SUPPRESSED", "TIER_ARCHIVED")
    assert ladder.put(409, level="gold")["code"] == "tier_archived"
    assert ladder.call("DELETE", 409)["code"] == "tier_archived"
    assert ladder.call("GET", 200) == before
    assert ladder.level() == "silver"
    progress = ladder.call("GET", 200, "/progress")
    assert (progress["level"], progress["next_level"], progress["criteria"], progress["qualified"]) == ("silver", None, [], False)


@pytest.mark.example("tiers.md", "13")
def test_progress(ladder: Ladder, outsider: Tenant) -> None:
    ladder.earn(600)
    assert ladder.call("GET", 200, "/progress") == {
        "key": "club",
        "level": "silver",
        "rank": 2,
        "expires_at": None,
        "next_level": "gold",
        "next_rank": 3,
        "mode": "ALL",
        "qualified": False,
        "criteria": [
            {"counter": "points", "operator": ">=", "threshold": 1000, "current": "600", "met": False, "missing": "400"}
        ],
        "period_end": None,
    }
    ladder.api.call("PUT", f"{ladder.holder()}/state/counters/points", 200, json={"value": "2000"})
    waiting = ladder.call("GET", 200, "/progress")
    assert (waiting["level"], waiting["qualified"], waiting["criteria"][0]["missing"]) == ("silver", True, "0")
    ladder.earn(0)
    gold = ladder.call("GET", 200, "/progress")
    assert (gold["level"], gold["next_level"], gold["criteria"]) == ("gold", None, [])
    member = {"participant_id": str(ladder.club.participant_id("ann")), "role": "ADMIN"}
    group = ladder.api.post("/v1/groups", {"name": "G", "members": [member]}, 201)["id"]
    path = f"/v1/groups/{group}/state/tiers/club/progress"
    fresh = ladder.api.get(path, program_id=ladder.club.program_id)
    assert (fresh["level"], fresh["rank"], fresh["next_level"]) == (None, 0, "bronze")
    assert (fresh["criteria"][0]["current"], fresh["criteria"][0]["missing"]) == ("0", "100")
    assert ladder.api.get(path, 400)["details"]["field"] == "program_id"
    outsider.get(path, 404, program_id=ladder.club.program_id)
    ladder.api.get(f"{ladder.holder()}/state/tiers/nope/progress", 404, program_id=ladder.club.program_id)
    stranger = ladder.api.post("/v1/participants", {"external_id": "bob"}, 201)["id"]
    refused = ladder.api.get(f"/v1/participants/{stranger}/state/tiers/club/progress", 404, program_id=ladder.club.program_id)
    assert refused["details"]["field"] == "program_id"


def test_groups_qualify_by_their_own_counters(ladder: Ladder) -> None:
    ladder.earn(0)
    member = {"participant_id": str(ladder.club.participant_id("ann")), "role": "ADMIN"}
    group = ladder.api.post("/v1/groups", {"name": "G", "members": [member]}, 201)["id"]
    ladder.club.rule(
        "event.vip", {"type": "COUNTER", "key": "points", "value": "150", "target": {"type": "GROUP", "id": group}}, order=20
    )
    ladder.earn(0, vip=True)
    path = f"/v1/groups/{group}/state/tiers"
    [state] = ladder.api.get(path, program_id=ladder.club.program_id)["data"]
    assert (state["key"], state["level"]) == ("club", "bronze")
    [heard] = ladder.hears()
    assert (heard["group_id"], heard["to_level"], "participant_id" in heard, "external_id" in heard) == (
        group,
        "bronze",
        False,
        False,
    )
    one = f"{path}/club?program_id={ladder.club.program_id}"
    assert ladder.api.call("PUT", one, 200, json={"level": "gold"})["level"] == "gold"
    ladder.api.call("DELETE", f"/v1/groups/{group}", 200)
    assert ladder.api.call("PUT", one, 409, json={"level": "bronze"})["code"] == "group_archived"
    ladder.api.call("DELETE", one, 409)
    assert ladder.api.call("GET", one, 200)["level"] == "gold"
    rows = ladder.api.get(f"/v1/groups/{group}/activity/tier-history", tier_key="club")["data"]
    assert [row["to_level"] for row in rows] == ["gold", "bronze"]


def test_conditions_see_levels(ladder: Ladder) -> None:
    condition = "has(participant.tiers.club) && participant.tiers.club.benefits.multiplier == 2.0"
    ladder.club.rule(condition, ladder.club.credit("participant.tiers.club.rank * 10"), order=20)
    ladder.earn(600)
    assert ladder.club.balance("ann") == "0"
    ladder.earn(0)
    assert ladder.club.balance("ann") == "20"
    ladder.call("DELETE", 204)
    ladder.earn(-600)
    assert ladder.club.balance("ann") == "20"


def test_a_dry_run_tells_what_the_real_one_does(ladder: Ladder) -> None:
    ladder.club.rule("event.vip", {**SET_BRONZE, "expires_at": "24h"}, order=20)
    for data in ({"n": 600, "vip": False}, {"n": 10, "vip": True}):
        body = ladder.club.body(data)
        dry = ladder.api.post("/v1/events/simulate", body, 200)
        ladder.club.completed(data)
        [real, *_] = ladder.api.get(f"{ladder.holder()}/activity/tier-history")["data"]
        [told] = dry["tier_changes"]
        differing = {"id", "event_id", "changed_at", "expires_at"}
        assert {name: told[name] for name in real if name not in differing} == {
            name: value for name, value in real.items() if name not in differing
        }
        assert (told["id"], told["event_id"], told["entity_type"]) == (None, None, "PARTICIPANT")
        assert [row["state_type"] for row in dry["state_changes"]] == ["counter", "tier"]
    nobody = ladder.api.post("/v1/events/simulate", ladder.club.body({"n": 100, "vip": False}, "new"), 200)
    [told] = nobody["tier_changes"]
    assert (told["entity_id"], told["external_id"], told["to_level"]) == (None, "new", "bronze")


def test_rules_name_tiers_of_their_program(ladder: Ladder) -> None:
    def fault(**fields: Any) -> tuple[str, str, str]:
        body = {"program_id": ladder.club.program_id, "name": "R", "condition": "true", "actions": [{**SET_BRONZE, **fields}]}
        details = ladder.api.post("/v1/rules", body, 400)["details"]
        return details["field"], details["reason"], details["expected"]

    assert fault(level="platinum") == ("actions[0].level", "invalid", "level of the tier")
    assert fault(tier="nope") == ("actions[0].tier", "invalid", "active tier")
    assert fault(expires_at="0s")[:2] == ("actions[0].expires_at", "out_of_range")
    assert fault(target={"type": "PROGRAM"})[0] == "actions[0].target.type"
    made = ladder.club.rule("true", SET_BRONZE, order=20)
    trial = {"event": {}, "participant_state": {"tiers": {"club": "gold"}}}
    found = ladder.api.post(f"/v1/rules/{made['id']}/simulate", trial, 200)["evaluation"]
    assert found["results"][0]["result"] == {"description": "Set tier club of participant to bronze"}
    for key, level in (("nope", "gold"), ("club", "nope")):
        refused = ladder.api.post(
            f"/v1/rules/{made['id']}/simulate", {"event": {}, "participant_state": {"tiers": {key: level}}}, 400
        )
        assert refused["details"]["field"] == f"participant_state.tiers.{key}"
    ladder.api.post(f"{ladder.tier}/archive", None, 200)
    assert fault() == ("actions[0].tier", "invalid", "active tier")


def test_targets_must_be_enrolled(ladder: Ladder) -> None:
    ladder.earn(0)
    bob = ladder.api.post("/v1/participants", {"external_id": "bob"}, 201)["id"]
    target = {"type": "PARTICIPANT", "external_id": "bob"}
    ladder.club.rule("event.vip", {**SET_BRONZE, "target": target}, order=20)
    ladder.club.failed({"n": 600, "vip": True}, "target_not_found")
    assert ladder.history() == []
    ladder.api.post("/v1/participants", {"external_id": "bob", "program_id": ladder.club.program_id}, 200)
    ladder.earn(0, vip=True)
    assert ladder.api.get(f"/v1/participants/{bob}")["tiers"] == {"club": {"level": "bronze", "rank": 1}}


def test_an_expiry_in_the_past_assigns_and_removes(ladder: Ladder) -> None:
    ladder.club.rule("event.vip", {**SET_BRONZE, "expires_at": "2020-01-01T00:00:00Z"}, order=20)
    ladder.earn(5000, vip=True)
    assert ladder.history() == [("bronze", None, "REMOVED", "EXPIRY"), (None, "bronze", "UPGRADED", "RULE")]


def test_participants_of_two_programs_show_the_level_acquired_last(ladder: Ladder) -> None:
    other = ladder.api.post("/v1/programs", {"name": "Q"}, 201)["id"]
    ladder.api.post(f"/v1/programs/{other}/tiers", {"key": "club", "levels": [{"key": "basic", "rank": 7}]}, 201)
    ladder.earn(600)
    ladder.api.post("/v1/participants", {"external_id": "ann", "program_id": other}, 200)
    path = f"{ladder.holder()}/state/tiers/club?program_id={other}"
    ladder.api.call("PUT", path, 200, json={"level": "basic"})
    assert ladder.club.participant("ann")["tiers"]["club"]["level"] == "basic"
    shown = ladder.api.get(ladder.holder(), program_id=ladder.club.program_id)["tiers"]
    assert shown == {"club": {"level": "silver", "rank": 2}}
    ladder.api.get(ladder.holder(), 404, program_id=str(uuid4()))
    assert ladder.api.get(f"{ladder.holder()}/state/tiers", 404, program_id=str(uuid4()))["details"]["field"] == "program_id"
