"""Rules and groups: the target GROUP, and the variables `groups` and `group` (events-rules.md 5.1, 6.2, 6.4)."""

from typing import Any
from uuid import uuid4

import pytest

from tests.support.club import PURCHASE, Club, actions


def member(club: Club, external_id: str) -> str:
    """A participant's id."""
    return str(club.tenant.post("/v1/participants", {"external_id": external_id}, 201)["id"])


def family(club: Club, *people: str, name: str = "Rossi") -> str:
    """A group's id; the first is its ADMIN."""
    admin, *others = people
    members = [{"participant_id": admin, "role": "ADMIN"}, *({"participant_id": other} for other in others)]
    return str(club.tenant.post("/v1/groups", {"name": name, "members": members}, 201)["id"])


def to_group(group: str) -> dict[str, Any]:
    return {"type": "GROUP", "id": group}


@pytest.mark.example("participants-groups.md", "groups 9")
def test_participants_groups_md_groups_09(club: Club) -> None:
    group = family(club, member(club, "ann"))
    path = f"/v1/groups/{group}/state/counters/points"
    club.tenant.call("PUT", path, 200, json={"value": "3"})
    club.rule(PURCHASE, {"type": "COUNTER", "key": "points", "value": "2", "target": to_group(group)})
    event = club.completed({"type": "purchase"})
    assert club.tenant.get(path)["value"] == "5"
    assert actions(event) == [("COUNTER", "APPLIED", None)]
    [row, *_] = club.tenant.get(f"/v1/groups/{group}/activity/state-history")["data"]
    assert (row["event_id"], row["program_id"]) == (event["id"], club.program_id)


def test_money_goes_to_the_pair_of_the_events_program(club: Club) -> None:
    group = family(club, member(club, "ann"))
    club.rule(PURCHASE, club.credit("event.amount", target=to_group(group)), order=1)
    club.rule(PURCHASE, club.credit("5", "MILES", target=to_group("event.team")), order=2)
    club.rule('event.type == "spend"', club.debit("event.amount", target=to_group(group)), order=3)
    event = club.completed({"type": "purchase", "amount": 100, "team": group})
    assert [row[:2] for row in actions(event)] == [("CREDIT", "APPLIED"), ("CREDIT", "APPLIED")]
    club.completed({"type": "spend", "amount": 30})
    rows = club.tenant.get(f"/v1/groups/{group}/balances", program_id=club.program_id)["data"]
    assert {row["asset_id"]: row["balance"] for row in rows} == {club.assets["PTS"]: "70", club.assets["MILES"]: "5.00"}
    [lot] = club.tenant.get(f"/v1/groups/{group}/balances/lots", asset_id=club.assets["MILES"])["data"]
    assert lot["program_id"] == club.program_id
    club.failed({"type": "spend", "amount": 71}, "insufficient_balance")
    assert club.balance("ann") == "0"


def test_archived_and_unknown_groups_fail_the_event(club: Club) -> None:
    ann = member(club, "ann")
    group = family(club, ann)
    club.rule(PURCHASE, {"type": "TAG", "tag": "x", "target": to_group("event.team")})
    club.completed({"type": "purchase", "team": group})
    club.failed({"type": "purchase", "team": str(uuid4())}, "target_not_found")
    club.failed({"type": "purchase", "team": ann}, "target_not_found")
    club.failed({"type": "purchase", "team": "Rossi"}, "expression_error")
    club.tenant.call("DELETE", f"/v1/groups/{group}", 200)
    club.failed({"type": "purchase", "team": group}, "group_archived")


def test_a_group_is_no_participant(club: Club) -> None:
    group = family(club, member(club, "ann"))
    club.rule(PURCHASE, club.credit("1", target=to_group(group)), order=1)
    club.rule(PURCHASE, club.credit("1", target={"type": "PARTICIPANT", "id": group}), order=2)
    club.failed({"type": "purchase"}, "target_not_found")


def test_rules_name_active_groups_only(club: Club) -> None:
    group = family(club, member(club, "ann"))
    rule = club.rule(PURCHASE, club.credit("1", target=to_group(group)))
    club.tenant.call("DELETE", f"/v1/groups/{group}", 200)
    for id_ in (group, str(uuid4())):
        body = {"actions": [club.credit("1"), club.credit("1", target=to_group(id_))]}
        refused = club.tenant.patch(f"/v1/rules/{rule['id']}", body, 400)
        [fault] = refused["details"]["fields"]
        assert (fault["field"], fault["reason"], fault["expected"]) == ("actions[1].target.id", "invalid", "active group")


def test_conditions_see_the_groups_of_the_participant(club: Club) -> None:
    ann, bob = member(club, "ann"), member(club, "bob")
    first, second = family(club, bob, ann), family(club, ann, name="Team")
    club.tenant.call("PUT", f"/v1/groups/{first}/state/tags/gold", 201)
    club.tenant.call("PUT", f"/v1/groups/{first}/state/counters/visits", 200, json={"value": "2"})
    club.tenant.call("PUT", f"/v1/groups/{second}/state/attributes/city", 200, json={"value": "Rome"})
    shown = 'groups.map(g, g.name + "/" + g.role + "/" + g.id).join(",")'
    club.rule(
        "group != null",
        {"type": "SET_ATTRIBUTE", "key": "seen", "value_expression": shown},
        {"type": "COUNTER", "key": "visits", "value": "group.counters.visits", "target": to_group("group.id")},
        order=1,
    )
    club.rule('group != null && "gold" in group.tags && groups[1].attributes.city == "Rome"', club.credit("7"), order=2)
    club.completed({"type": "visit"})
    assert club.participant("ann")["attributes"]["seen"] == f"Rossi/MEMBER/{first},Team/ADMIN/{second}"
    assert club.balance("ann") == "7"
    club.completed({"type": "visit"})
    assert club.tenant.get(f"/v1/groups/{first}/state/counters/visits")["value"] == "8"
    club.tenant.call("DELETE", f"/v1/groups/{first}/members/{ann}", 204)
    club.tenant.call("DELETE", f"/v1/groups/{second}", 200)
    club.completed({"type": "visit"})
    assert club.balance("ann") == "14"
    club.completed({"type": "visit"}, "eve")
    assert "seen" not in club.participant("eve")["attributes"]
