"""HOLD, RELEASE, FORFEIT, VOID_HOLD and settles by rules (events-rules.md 6.5-6.9, 7.4), over HTTP on the running product."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.service import RPCError

from tests.support.books import assert_books
from tests.support.club import Club, actions, outcomes
from tests.support.stack import Stack, poll
from workflows.contracts_hold import HoldState, HoldStatus, hold_workflow_id

ZERO = ("0.00", "0.00", "0.00")


@pytest.fixture(autouse=True)
def sound_books(club: Club) -> Iterator[None]:
    """Whatever the rules of a test did, the books are sound."""
    yield
    assert_books(club.database, club.tenant.organization_id)


def act(club: Club, type_: str, symbol: str = "MILES", **fields: Any) -> dict[str, Any]:
    return {"type": type_, "asset_id": club.assets[symbol], **fields}


def on(club: Club, event_type: str, *actions: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A rule for events of this type."""
    return club.rule(f'event.type == "{event_type}"', *actions, **fields)


def accruing(club: Club) -> None:
    """The rules of the examples 2, 3 and 12: 10 MILES are promised, then 8 settled, or all taken back."""
    on(club, "authorize", club.credit("10", "MILES", bucket="HELD", reference_id="event.auth"))
    on(club, "settle", club.credit("8", "MILES", reference_id="event.auth"))
    on(club, "void", act(club, "VOID_HOLD", reference_id="event.auth"))


def first_row(event: dict[str, Any]) -> dict[str, Any]:
    """The first executed action of the first rule that has one."""
    found: dict[str, Any] = next(action for row in event["rule_evaluations"] for action in row["executed_actions"])
    return found


@pytest.mark.example("events-rules.md", "7.4.2")
@pytest.mark.example("events-rules.md", "7.4.12")
def test_settle_and_send_it_again(club: Club) -> None:
    accruing(club)
    club.completed({"type": "authorize", "auth": "auth-1"})
    assert club.buckets("ann", "MILES") == ("0.00", "10.00", "0.00")
    body = club.body({"type": "settle", "auth": "auth-1"})
    event = club.processed(club.tenant.post("/v1/events", body, 202)["id"])
    assert club.buckets("ann", "MILES") == ("8.00", "0.00", "0.00")
    entry = (
        "SETTLE",
        [("PARTICIPANT", "HELD", "-10.00"), ("PARTICIPANT", "AVAILABLE", "8.00"), ("SYSTEM_ISSUANCE", "AVAILABLE", "2.00")],
    )
    assert club.entries(event["id"]) == [entry]
    again = club.tenant.http.post("/v1/events", json=body)
    assert (again.status_code, again.json()["id"], again.json()["status"]) == (202, event["id"], "COMPLETED")
    assert club.entries(event["id"]) == [entry]
    assert club.balance("ann", "MILES") == "8.00"


@pytest.mark.example("events-rules.md", "7.4.3")
def test_void_and_void_again(club: Club) -> None:
    accruing(club)
    club.completed({"type": "authorize", "auth": "auth-1"})
    event = club.completed({"type": "void", "auth": "auth-1"})
    assert club.buckets("ann", "MILES") == ZERO
    assert club.entries(event["id"]) == [
        ("VOID_HOLD", [("PARTICIPANT", "HELD", "-10.00"), ("SYSTEM_ISSUANCE", "AVAILABLE", "10.00")])
    ]
    again = club.completed({"type": "void", "auth": "auth-1"})
    assert actions(again) == [("VOID_HOLD", "NO_OP", "NOTHING_TO_MOVE")]
    assert club.entries(again["id"]) == []


@pytest.mark.example("events-rules.md", "7.4.4")
def test_a_suspended_participant_has_only_what_is_provisional_taken_back(club: Club) -> None:
    accruing(club)
    for type_ in ("HOLD", "RELEASE", "FORFEIT"):
        on(club, type_, act(club, type_))
    club.completed({"type": "authorize", "auth": "auth-1"})
    club.tenant.patch(f"/v1/participants/{club.participant_id('ann')}/status", {"status": "SUSPENDED"})
    for type_ in ("HOLD", "RELEASE", "FORFEIT"):
        club.failed({"type": type_}, "participant_inactive")
    assert club.buckets("ann", "MILES") == ("0.00", "10.00", "0.00")
    assert actions(club.completed({"type": "void", "auth": "auth-1"})) == [("VOID_HOLD", "APPLIED", None)]
    assert club.buckets("ann", "MILES") == ZERO


@pytest.mark.parametrize("symbol", ["PTS", "MILES"])
def test_hold_release_and_forfeit(club: Club, symbol: str) -> None:
    shown = (lambda n: f"{n}.00") if symbol == "MILES" else str
    on(club, "earn", club.credit("100", symbol))
    on(club, "order", act(club, "HOLD", symbol, amount="event.n", reference_id="event.order", description="Ordered"))
    on(club, "cancel", act(club, "RELEASE", symbol, reference_id="event.order"))
    on(club, "lost", act(club, "FORFEIT", symbol, bucket="HELD", reference_id="event.order"))
    on(club, "leave", act(club, "RELEASE", symbol), act(club, "FORFEIT", symbol))
    club.completed({"type": "earn"})
    held = club.completed({"type": "order", "n": 30, "order": "o-1"})
    [(action, postings)] = club.entries(held["id"])
    assert action == "HOLD"
    assert postings == [("PARTICIPANT", "AVAILABLE", shown(-30)), ("PARTICIPANT", "HELD", shown(30))]
    row = first_row(held)
    [entry] = [e for e in club.tenant.get("/v1/journal-entries", event_id=held["id"])["data"] if e["action_type"] == "HOLD"]
    assert row == {
        "index": 0,
        "type": "HOLD",
        "outcome": "APPLIED",
        "reason": None,
        "target": {"type": "PARTICIPANT", "id": str(club.participant_id("ann"))},
        "asset_id": club.assets[symbol],
        "asset_symbol": symbol,
        "amount": shown(30),
        "reference_id": "o-1",
        "journal_entry_id": entry["id"],
    }
    assert (entry["description"], entry["reference_id"]) == ("Ordered", "o-1")
    club.completed({"type": "order", "n": 20, "order": "o-2"})
    assert club.buckets("ann", symbol)[:2] == (shown(50), shown(50))
    club.completed({"type": "cancel", "order": "o-1"})
    lost = club.completed({"type": "lost", "order": "o-2"})
    assert (first_row(lost)["bucket"], first_row(lost)["amount"]) == ("HELD", shown(20))
    assert club.entries(lost["id"]) == [
        ("FORFEIT", [("PARTICIPANT", "HELD", shown(-20)), ("SYSTEM_BREAKAGE", "AVAILABLE", shown(20))])
    ]
    assert club.buckets("ann", symbol)[:2] == (shown(80), shown(0))
    club.failed({"type": "order", "n": 81, "order": "o-3"}, "insufficient_balance")
    assert actions(club.completed({"type": "leave"})) == [("RELEASE", "NO_OP", "NOTHING_TO_MOVE"), ("FORFEIT", "APPLIED", None)]
    assert club.balance("ann", symbol) == shown(0)


@pytest.mark.parametrize("symbol", ["PTS", "MILES"])
def test_a_hold_of_a_rule_ends_at_its_deadline(club: Club, symbol: str) -> None:
    soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    on(club, "earn", club.credit("10", symbol))
    on(club, "second", act(club, "HOLD", symbol, amount="4", expires_at="1s"))
    on(club, "day", act(club, "HOLD", symbol, amount="1", expires_at=soon))
    on(club, "past", act(club, "HOLD", symbol, amount="4", expires_at="2020-01-01T00:00:00Z"))
    club.completed({"type": "earn"})
    past = club.completed({"type": "past"})
    assert actions(past) == [("HOLD", "APPLIED", None)]
    assert float(club.balance("ann", symbol)) == 10
    club.completed({"type": "day"})
    club.completed({"type": "second"})
    assert [float(amount) for amount in club.buckets("ann", symbol)] == [5, 5, 0]
    poll(lambda: True if float(club.balance("ann", symbol)) == 9 else None, 5.0)
    with club.database.connection() as conn:
        entries = conn.execute(
            "SELECT action_type, description FROM journal_entries WHERE organization_id = %s ORDER BY created_at, id",
            [club.tenant.organization_id],
        ).fetchall()
        [due] = conn.execute("SELECT next_due_at FROM balances WHERE holder_id = %s", [club.participant_id("ann")]).fetchall()
    assert [action for action, _ in entries] == ["CREDIT", "HOLD", "RELEASE", "HOLD", "HOLD", "RELEASE"]
    assert [text for action, text in entries if action == "RELEASE"] == ["Hold expired"] * 2
    assert due[0] == datetime.fromisoformat(soon)


def test_the_flow_of_a_hold_hears_that_a_rule_released_it(club: Club, stack: Stack) -> None:
    on(club, "earn", club.credit("10", "MILES"))
    on(club, "give back", act(club, "RELEASE", reference_id="room"))
    club.completed({"type": "earn"})
    wanted = {"program_id": club.program_id, "asset_id": club.assets["MILES"], "amount": "4", "reference_id": "room"}
    path = f"/v1/participants/{club.participant_id('ann')}/balances/hold"
    club.tenant.post(path, {**wanted, "description": "Room 12", "expires_at": "8760h"})
    with club.database.connection() as conn:
        found = conn.execute("SELECT id FROM holds WHERE organization_id = %s", [club.tenant.organization_id]).fetchone()
    assert found is not None
    flow = stack.client.get_workflow_handle(hold_workflow_id(found[0]), result_type=HoldStatus)
    poll(lambda: stack.loop.run(is_running(flow)))
    club.completed({"type": "give back"})
    ended = stack.loop.run(asyncio.wait_for(flow.result(), 20))
    assert (ended.state, ended.hold and ended.hold.remaining) == (HoldState.ENDED, "0.00")


async def is_running(flow: WorkflowHandle[Any, Any]) -> bool:
    try:
        return (await flow.describe()).status is WorkflowExecutionStatus.RUNNING
    except RPCError:
        return False


def test_an_event_whose_third_action_fails_leaves_nothing_but_its_reason(club: Club) -> None:
    on(club, "earn", club.credit("10", "MILES"))
    friend = {"type": "PARTICIPANT", "external_id": "event.friend"}
    third = club.credit("1", target=friend)
    on(club, "order", {"type": "TAG", "tag": "ordered"}, act(club, "HOLD", amount="4", reference_id="o-1"), third)
    club.completed({"type": "earn"})
    event = club.failed({"type": "order", "friend": "bob"}, "target_not_found")
    assert event["error_message"] == "target_not_found: action CREDIT failed: no such participant"
    assert outcomes(event) == [("NOT_MATCHED", None), ("FAILED", "ACTION_FAILED")]
    assert event["rule_evaluations"][1]["error_message"] == event["error_message"]
    assert event["rule_evaluations"][1]["executed_actions"] == []
    assert club.entries(event["id"]) == []
    assert (club.participant("ann")["tags"], club.buckets("ann", "MILES")) == ([], ("10.00", "0.00", "0.00"))
    club.completed({"type": "earn"})
    club.tenant.post("/v1/participants", {"external_id": "bob"}, 201)
    club.tenant.post(f"/v1/events/{event['id']}/retry", status=202)
    done = club.processed(event["id"])
    assert (done["status"], done["error_code"]) == ("COMPLETED", None)
    assert actions(done) == [("TAG", "APPLIED", None), ("HOLD", "APPLIED", None), ("CREDIT", "APPLIED", None)]
    assert (club.participant("ann")["tags"], club.buckets("ann", "MILES")) == (["ordered"], ("16.00", "4.00", "0.00"))
    assert club.balance("bob") == "1"


def test_credits_with_every_field(club: Club) -> None:
    dated = {"expires_at": "48h", "matures_at": "24h", "reference_id": "batch-7", "description": "Bonus"}
    on(club, "later", club.credit("5", "MILES", **dated))
    on(club, "held", club.credit("5", reference_id="auth-1", bucket="HELD"))
    on(club, "spend", club.debit("5", bucket="HELD"))
    later = club.completed({"type": "later"})
    assert (first_row(later)["bucket"], first_row(later)["reference_id"]) == ("DEFERRED", "batch-7")
    with club.database.connection() as conn:
        [lot] = conn.execute(
            "SELECT expires_at - created_at, matures_at - created_at, status FROM lots WHERE holder_id = %s",
            [club.participant_id("ann")],
        ).fetchall()
    assert lot == (timedelta(hours=48), timedelta(hours=24), "DEFERRED")
    held = club.completed({"type": "held"})
    assert (first_row(held)["bucket"], club.buckets("ann")) == ("HELD", ("0", "5", "0"))
    club.completed({"type": "spend"})
    club.failed({"type": "spend"}, "insufficient_balance")
    assert club.buckets("ann") == ("0", "0", "0")


@pytest.mark.example("events-rules.md", "7.4.11")
def test_what_is_refused_when_a_rule_is_made(club: Club) -> None:
    program = {"type": "PROGRAM"}
    of_the_form = [
        (club.credit("1", target=program), "target.type", "invalid"),
        (act(club, "HOLD", target=program), "target.type", "invalid"),
        (act(club, "HOLD", bucket="AVAILABLE"), "bucket", "not_allowed"),
        (act(club, "RELEASE", expires_at="1h"), "expires_at", "not_allowed"),
        (act(club, "FORFEIT", reference_id="auth", bucket="AVAILABLE"), "reference_id", "not_allowed"),
        (act(club, "VOID_HOLD", reference_id="auth", amount="1"), "amount", "not_allowed"),
    ]
    of_the_asset = [
        (club.credit("1", expires_at="24h"), "expires_at", "not_allowed"),
        (act(club, "HOLD", "PTS", amount="0.4"), "amount", "out_of_range"),
        (act(club, "VOID_HOLD", "PTS", reference_id="auth"), "asset_id", "not_allowed"),
    ]
    body = {"program_id": club.program_id, "name": "Rule", "condition": "true"}
    for wrong in (of_the_form, of_the_asset):
        answer = club.tenant.post("/v1/rules", {**body, "actions": [action for action, _, _ in wrong]}, 400)
        found = [(fault["field"], fault["reason"]) for fault in answer["details"]["fields"]]
        assert found == [(f"actions[{index}].{field}", reason) for index, (_, field, reason) in enumerate(wrong)]
    missing = club.tenant.post("/v1/rules", {**body, "actions": [act(club, "VOID_HOLD")]}, 400)
    assert (missing["details"]["field"], missing["details"]["reason"]) == ("actions[0].reference_id", "required")
    sound = act(club, "HOLD", "PTS", amount="1", expires_at="1h", reference_id="auth-1", description="Order")
    assert club.rule("true", sound)["actions"] == [sound]
