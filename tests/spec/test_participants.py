"""Rules and participants: counters, enrolment, and what an inactive participant's status allows (participants-groups.md)."""

import time
from typing import Any

import pytest

from tests.support.club import PURCHASE, Club, actions

VISIT = {"type": "visit"}


def known(club: Club, external_id: str) -> str:
    """The path of a new participant."""
    return f"/v1/participants/{club.tenant.post('/v1/participants', {'external_id': external_id}, 201)['id']}"


def enrolments(club: Club, path: str) -> list[tuple[str, str]]:
    return [(row["program_id"], row["status"]) for row in club.tenant.get(f"{path}/enrollments")["data"]]


def changes(club: Club, path: str) -> list[tuple[str, str | None, str | None]]:
    rows = club.tenant.get(f"{path}/activity/state-history")["data"]
    return [(row["operation"], row["old_value"], row["new_value"]) for row in rows]


@pytest.mark.example("participants-groups.md", "participants 8")
def test_participants_08_an_event_reactivates_an_enrolment(club: Club) -> None:
    ann = f"/v1/participants/{club.tenant.post('/v1/participants', {'external_id': 'ann', 'program_id': club.program_id}, 201)['id']}"
    for status in ("FROZEN", "LOCKED", "CLOSED"):
        club.tenant.patch(f"{ann}/enrollments/{club.program_id}", {"status": status})
        assert enrolments(club, ann) == [(club.program_id, status)]
        club.completed(VISIT)
        assert enrolments(club, ann) == [(club.program_id, "ACTIVE")]


@pytest.mark.example("participants-groups.md", "participants 10")
def test_participants_10_targets_are_not_enrolled_recipients_are(club: Club) -> None:
    u2 = known(club, "u2")
    club.rule(PURCHASE, club.credit("5", target={"type": "PARTICIPANT", "external_id": "u2"}))
    club.completed({"type": "purchase"})
    assert club.balance("u2") == "5"
    assert enrolments(club, u2) == []
    club.completed(VISIT, recipient_external_id="u2")
    assert enrolments(club, u2) == [(club.program_id, "ACTIVE")]


@pytest.mark.example("participants-groups.md", "state 3")
def test_state_03_a_rule_adds_to_a_counter(club: Club) -> None:
    ann = known(club, "ann")
    club.tenant.call("PUT", f"{ann}/state/counters/spend", 200, json={"value": "340.00"})
    club.rule(PURCHASE, {"type": "COUNTER", "key": "spend", "value": "event.amount"})
    event = club.completed({"type": "purchase", "amount": 49.99})
    assert club.tenant.get(f"{ann}/state/counters/spend")["value"] == "389.99"
    [row, first] = club.tenant.get(f"{ann}/activity/state-history")["data"]
    assert (row["operation"], row["old_value"], row["new_value"]) == ("set", "340", "389.99")
    assert (row["event_id"], row["program_id"], row["changed_by_api_key_id"]) == (event["id"], club.program_id, None)
    assert row["rule_id"] == event["rule_evaluations"][0]["rule_id"]
    assert (first["event_id"], first["rule_id"]) == (None, None)


@pytest.mark.example("participants-groups.md", "state 4")
def test_state_04_a_rule_resets_a_lapsed_counter_first(club: Club) -> None:
    ann = known(club, "ann")
    path = f"{ann}/state/counters/daily"
    club.rule(PURCHASE, {"type": "COUNTER", "key": "daily", "value": "1"})
    written = club.tenant.call("PUT", path, 200, json={"value": "5", "reset_after": "2s"})
    club.completed({"type": "purchase"})
    assert club.tenant.get(path) == written | {"value": "6"}
    time.sleep(2)
    assert club.tenant.get(path) == written | {"value": "0"}
    club.completed({"type": "purchase"})
    shown = club.tenant.get(path)
    assert (shown["value"], shown["reset_after"]) == ("1", "2s")
    assert shown["last_reset_at"] > written["last_reset_at"]
    assert changes(club, ann) == [("set", "0", "1"), ("auto_reset", "6", "0"), ("set", "5", "6"), ("set", None, "5")]


REFUSED: list[dict[str, Any]] = [
    {"type": "CREDIT", "amount": "1"},
    {"type": "DEBIT", "amount": "1"},
    {"type": "COUNTER", "key": "n", "value": "1"},
]
ALLOWED: list[dict[str, Any]] = [
    {"type": "TAG", "tag": "seen"},
    {"type": "UNTAG", "tag": "old"},
    {"type": "SET_ATTRIBUTE", "key": "city", "value": "Rome"},
]


@pytest.mark.parametrize("status", ["SUSPENDED", "CLOSED"])
def test_an_inactive_target_gets_no_value_but_state(club: Club, status: str) -> None:
    bob = known(club, "bob")
    club.tenant.call("PUT", f"{bob}/state/tags/old", 201)
    target = {"type": "PARTICIPANT", "external_id": "bob"}
    for number, action in enumerate(REFUSED):
        money = {"asset_id": club.assets["PTS"]} if "amount" in action else {}
        club.rule(f"event.n == {number}", {"type": "TAG", "tag": "x"}, action | money | {"target": target})
    club.rule("event.n == 9", *(action | {"target": target} for action in ALLOWED))
    club.completed({"n": 0})
    assert club.balance("bob") == "1"
    club.tenant.patch(f"{bob}/status", {"status": status})
    before = club.tenant.get(bob)
    for number in range(len(REFUSED)):
        failed = club.failed({"n": number}, "participant_inactive", "ann")
        assert club.entries(failed["id"]) == []
        assert failed["participant_id"] == str(club.participant_id("ann"))
    assert club.tenant.get(bob) == before
    done = club.completed({"n": 9})
    assert actions(done) == [("TAG", "APPLIED", None), ("UNTAG", "APPLIED", None), ("SET_ATTRIBUTE", "APPLIED", None)]
    shown = club.tenant.get(bob)
    assert (shown["tags"], shown["attributes"]) == (["seen"], {"city": "Rome"})
    club.completed({"n": 8}, "bob")


def test_histories_go_by_the_servers_time_and_by_the_events(club: Club) -> None:
    club.rule(PURCHASE, club.credit("event.n"), {"type": "TAG", "tag": "n_1"}, {"type": "COUNTER", "key": "n", "value": "1"})
    early = club.completed({"type": "purchase", "n": 1}, event_timestamp="2020-01-01T00:00:00Z")
    club.completed({"type": "purchase", "n": 2}, event_timestamp="2021-01-01T00:00:00+01:00")
    ann = f"/v1/participants/{club.participant_id('ann')}"
    money = {"program_id": club.program_id, "asset_id": club.assets["PTS"], "description": "x"}
    club.tenant.post(f"{ann}/balances/adjust", money | {"type": "CREDIT", "amount": "3"})
    club.tenant.call("PUT", f"{ann}/state/counters/n", 200, json={"value": "9"})
    rows = club.tenant.get(f"{ann}/activity/history")["data"]
    assert [(row["amount"], row["event_timestamp"]) for row in rows] == [
        ("3", None),
        ("2", "2020-12-31T23:00:00.000000Z"),
        ("1", "2020-01-01T00:00:00.000000Z"),
    ]
    assert [row["created_at"] for row in rows] == sorted((row["created_at"] for row in rows), reverse=True)
    assert (rows[2]["event_id"], rows[2]["created_by_api_key_id"]) == (early["id"], None)

    def amounts(**query: str) -> list[str]:
        return [row["amount"] for row in club.tenant.get(f"{ann}/activity/history", **query)["data"]]

    def counts(**query: str) -> list[str]:
        found = club.tenant.get(f"{ann}/activity/state-history", state_type="counter", **query)["data"]
        return [row["new_value"] for row in found]

    windows: list[tuple[dict[str, str], list[int]]] = [
        ({"event_to": "2020-12-31T23:00:00Z"}, [1, 2]),
        ({"event_from": "2020-12-31T23:00:00Z", "event_to": "2020-12-31T23:00:00Z"}, [1]),
        ({"event_from": "2021-06-01T00:00:00Z"}, [0]),
        ({"event_to": "2020-06-01T00:00:00Z", "from": "2026-01-01T00:00:00Z"}, [2]),
        ({"event_to": "2020-06-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, []),
    ]
    for query, expected in windows:
        assert amounts(**query) == [["3", "2", "1"][place] for place in expected], query
        assert counts(**query) == [["9", "2", "1"][place] for place in expected], query
    assert counts(program_id=club.program_id) == ["2", "1"]
    lines = club.tenant.get(f"{ann}/statement", asset_id=club.assets["PTS"])["data"]
    assert [(line["running_balance"], line["event_timestamp"]) for line in lines] == [
        ("1", rows[2]["event_timestamp"]),
        ("3", rows[1]["event_timestamp"]),
        ("6", None),
    ]
