"""SYSTEM events of SCHEDULE_EVENT and BROADCAST, over HTTP on the running product (events-rules.md 3.7, 6.14, 6.15, 7.4)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.club import Club, actions, outcomes
from tests.support.stack import poll


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def schedule(delay: str = "1s", name: str = "check", **fields: Any) -> dict[str, Any]:
    return {"type": "SCHEDULE_EVENT", "event_name": name, "delay": delay, **fields}


def broadcast(name: str = "gift", **fields: Any) -> dict[str, Any]:
    return {"type": "BROADCAST", "event_name": name, **fields}


def system_events(club: Club, wanted: int, timeout_seconds: float = 12.0) -> list[dict[str, Any]]:
    """The program's SYSTEM events, oldest first, once there are so many and all are processed."""

    def look() -> list[dict[str, Any]] | None:
        query = {"program_id": club.program_id, "event_type": "SYSTEM", "sort_dir": "asc", "limit": 200}
        found: list[dict[str, Any]] = club.tenant.get("/v1/events", **query)["data"]
        done = all(event["status"] in ("COMPLETED", "FAILED") for event in found)
        return found if len(found) >= wanted and done else None

    return poll(look, timeout_seconds)


def automations(club: Club, columns: str) -> list[tuple[Any, ...]]:
    with club.database.connection() as conn:
        return conn.execute(
            f"SELECT {columns} FROM automations WHERE program_id = %s ORDER BY created_at, id", [club.program_id]
        ).fetchall()


def executed(event: dict[str, Any]) -> dict[str, Any]:
    """The only action of an event's only rule that did something."""
    [action] = [action for row in event["rule_evaluations"] for action in row["executed_actions"]]
    return dict(action)


@pytest.mark.example("events-rules.md", "7.4.10")
def test_an_event_some_seconds_later(club: Club) -> None:
    rule = club.rule('event.type == "order"', schedule("2s"))
    cause = club.completed({"type": "order"})
    action = executed(cause)
    due_at = moment(action["due_at"])
    assert due_at == moment(cause["processed_at"]) + timedelta(seconds=2)
    assert {name: action[name] for name in ("type", "outcome", "reason", "event_name")} == {
        "type": "SCHEDULE_EVENT",
        "outcome": "APPLIED",
        "reason": None,
        "event_name": "check",
    }
    assert action["target"] == {"type": "PARTICIPANT", "id": cause["participant_id"]}
    [made] = system_events(club, 1)
    assert (made["event_data"], made["chain_depth"], made["caused_by_event_id"]) == ({"type": "check"}, 1, cause["id"])
    assert (made["status"], made["participant_id"], made["external_id"]) == ("COMPLETED", cause["participant_id"], "ann")
    assert made["automation_id"] == action["automation_id"]
    assert made["idempotency_key"] == f"sys:{made['automation_id']}:{action['due_at']}:{made['participant_id']}"
    assert moment(made["event_timestamp"]) == due_at
    assert timedelta(0) <= moment(made["created_at"]) - due_at < timedelta(seconds=5)
    columns = "id::text, name, trigger_type, scope, source, status, participant_id::text, trigger_at, processed_at >= trigger_at"
    name = f"rule:{rule['id']}:{cause['id']}:0"
    kind = ("one_time", "program", "rule_action", "active")
    assert automations(club, columns) == [(made["automation_id"], name, *kind, cause["participant_id"], due_at, True)]


@pytest.mark.example("events-rules.md", "7.4.10")
def test_a_chain_ends_at_depth_ten(club: Club) -> None:
    club.rule('event.type == "check"', schedule("1s"))
    first = club.completed({"type": "check"})
    made = system_events(club, 10, 40)
    assert [event["chain_depth"] for event in made] == list(range(1, 11))
    assert [event["caused_by_event_id"] for event in made] == [first["id"], *(event["id"] for event in made[:-1])]
    assert [event["status"] for event in made] == ["COMPLETED"] * 9 + ["FAILED"]
    assert made[-1]["error_code"] == "chain_depth_exceeded"
    assert made[-1]["error_message"].startswith("chain_depth_exceeded: action SCHEDULE_EVENT failed: ")
    assert len(automations(club, "id")) == 10


@pytest.mark.example("events-rules.md", "7.4.11")
@pytest.mark.parametrize(
    ("action", "path", "reason"),
    [
        (schedule("0s"), "delay", "out_of_range"),
        (schedule("999ms"), "delay", "out_of_range"),
        (schedule("43801h"), "delay", "out_of_range"),
        (schedule("soon"), "delay", "invalid"),
        ({"type": "SCHEDULE_EVENT", "event_name": "check"}, "delay", "required"),
        (schedule(name=""), "event_name", "required"),
        (schedule(name="n" * 256), "event_name", "too_long"),
        (schedule(payload=[]), "payload", "invalid"),
        (schedule(payload={"x": "y" * 16384}), "payload", "too_long"),
        (schedule(target={"type": "PROGRAM"}), "target.type", "invalid"),
        (broadcast(target={"type": "PARTICIPANT"}), "target", "not_allowed"),
        (broadcast(delay="1s"), "delay", "not_allowed"),
        ({"type": "BROADCAST"}, "event_name", "required"),
    ],
)
def test_bad_definitions(club: Club, action: dict[str, Any], path: str, reason: str) -> None:
    body = {"program_id": club.program_id, "name": "R", "condition": "true", "actions": [action]}
    [fault] = club.tenant.post("/v1/rules", body, 400)["details"]["fields"]
    assert (fault["field"], fault["reason"]) == (f"actions[0].{path}", reason)


def test_the_payload_arrives_as_it_was_written(club: Club) -> None:
    raw = '{"type": "mine", "n": 12345678901234567890.1230, "deep": {"none": null, "list": [1, true, "é"]}}'
    rule = (
        f'{{"program_id": "{club.program_id}", "name": "R", "condition": "event.type == \\"order\\"", "actions": ['
        f'{{"type": "SCHEDULE_EVENT", "event_name": "check", "delay": "1s", "payload": {raw}}}]}}'
    )
    sent = club.tenant.http.post("/v1/rules", content=rule.encode(), headers={"Content-Type": "application/json"})
    assert sent.status_code == 201, sent.text
    shown = club.tenant.http.get(f"/v1/rules/{sent.json()['id']}").text
    assert "12345678901234567890.1230" in shown
    club.rule('event.type == "check"', {"type": "SET_ATTRIBUTE", "key": "n", "value_expression": "event.n"})
    club.completed({"type": "order"})
    [made] = system_events(club, 1)
    assert "12345678901234567890.1230" in club.tenant.http.get(f"/v1/events/{made['id']}").text
    assert made["event_data"]["type"] == "check"
    assert made["event_data"]["deep"] == {"none": None, "list": [1, True, "é"]}
    assert club.participant("ann")["attributes"] == {"n": "12345678901234567890.123"}


def test_two_equal_actions_are_two_events_and_targets_are_named(club: Club) -> None:
    bob = {"type": "PARTICIPANT", "external_id": "event.friend"}
    club.rule('event.type == "order"', schedule(target=bob), schedule(target=bob))
    club.tenant.post("/v1/participants", {"external_id": "bob"}, 201)
    club.completed({"type": "order", "friend": "bob"})
    made = system_events(club, 2)
    assert [event["external_id"] for event in made] == ["bob", "bob"]
    assert len({event["automation_id"] for event in made}) == 2
    club.failed({"type": "order", "friend": "nobody"}, "target_not_found")
    assert len(automations(club, "id")) == 2


def test_a_failing_event_schedules_nothing(club: Club) -> None:
    club.rule('event.type == "order"', schedule(), broadcast("order"), club.debit("5"))
    failed = club.failed({"type": "order"}, "insufficient_balance")
    assert [row["executed_actions"] for row in failed["rule_evaluations"]] == [[]]
    assert automations(club, "id") == []


def test_it_runs_for_a_closed_participant(club: Club) -> None:
    club.rule('event.type == "order"', schedule())
    club.rule('event.type == "check"', {"type": "TAG", "tag": "checked"})
    club.completed({})
    club.tenant.patch(f"/v1/participants/{club.participant_id('ann')}/status", {"status": "CLOSED"})
    club.completed({"type": "order"})
    assert system_events(club, 1)[0]["status"] == "COMPLETED"
    assert club.participant("ann")["tags"] == ["checked"]


def test_a_suspended_program_keeps_what_is_due(club: Club) -> None:
    club.rule('event.type == "order"', schedule("1s"), broadcast())
    event = club.send({"type": "order"})
    club.tenant.patch(f"/v1/programs/{club.program_id}", {"status": "SUSPENDED"})
    club.processed(event["id"])
    with pytest.raises(AssertionError, match="nothing within"):
        system_events(club, 1, 2.5)
    club.tenant.patch(f"/v1/programs/{club.program_id}", {"status": "ACTIVE"})
    made = system_events(club, 2)
    assert {made["event_data"]["type"] for made in made} == {"check", "gift"}


def test_a_broadcast_reaches_everybody_enrolled(club: Club) -> None:
    club.rule('event.type == "start"', broadcast(payload={"points": 5}))
    club.rule('event.type == "gift"', club.credit("event.points"))
    for name in ("bob", "eve", "zoe", "max"):
        club.completed({}, name)
    club.tenant.post("/v1/participants", {"external_id": "stranger"}, 201)
    club.tenant.patch(f"/v1/participants/{club.participant_id('zoe')}/status", {"status": "SUSPENDED"})
    with club.database.connection() as conn:
        conn.execute("UPDATE enrollments SET status = 'FROZEN' WHERE participant_id = %s", [club.participant_id("max")])
    cause = club.completed({"type": "start"})
    made = system_events(club, 3)
    assert sorted(event["external_id"] for event in made) == ["ann", "bob", "eve"]
    assert {(event["status"], event["chain_depth"], event["caused_by_event_id"]) for event in made} == {
        ("COMPLETED", 1, cause["id"])
    }
    assert [club.balance(name) for name in ("ann", "bob", "eve", "zoe", "max")] == ["5", "5", "5", "0", "0"]
    action = executed(cause)
    assert (action["type"], action["event_name"], "due_at" in action) == ("BROADCAST", "gift", False)
    assert action["target"] == {"type": "PROGRAM", "id": club.program_id}
    assert {event["automation_id"] for event in made} == {action["automation_id"]}
    columns = "trigger_type, scope, source, execution_status, participants_total, participants_processed, processed_at IS NULL"
    poll(lambda: automations(club, columns) == [("immediate", "participants", "rule_action", "completed", 3, 3, False)])


def test_an_events_own_time_is_the_occurrence(club: Club) -> None:
    """`now` of a scheduled event is its due moment, `now` of a broadcast's events the moment of its cause's processing."""
    club.rule('event.type == "order"', schedule("1s"), broadcast())
    cause = club.completed({"type": "order"}, event_timestamp="2020-01-01T00:00:00Z")
    made = {event["event_data"]["type"]: event for event in system_events(club, 2)}
    processed = moment(cause["processed_at"])
    assert moment(made["check"]["event_timestamp"]) == processed + timedelta(seconds=1)
    assert moment(made["gift"]["event_timestamp"]) == processed
    assert moment(made["gift"]["received_at"]) <= datetime.now(UTC)
    assert outcomes(cause) == [("SUCCESS", None)]
    assert actions(cause) == [("SCHEDULE_EVENT", "APPLIED", None), ("BROADCAST", "APPLIED", None)]
