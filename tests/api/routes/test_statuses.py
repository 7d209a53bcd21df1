"""What the status of a participant, of a program and of a group allows, operation by operation (participants-groups.md, Status)."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.routes.money import Money, Team, shape
from tests.support.client import Tenant
from tests.support.clock import Clock

MOVES: dict[str, dict[str, Any]] = {
    "adjust credit": {"type": "CREDIT", "amount": "5"},
    "adjust debit": {"type": "DEBIT", "amount": "5"},
    "hold": {"amount": "5"},
    "release": {"amount": "5"},
    "forfeit": {"amount": "5", "bucket": "AVAILABLE"},
    "void-hold": {"reference_id": "p"},
}


def stocked(api: Tenant) -> Money:
    """MILES 100/30/0, 10 of them provisional under p; a wallet of 50.00 PROMO; enrolled."""
    money = Money(api)
    external_id = api.get(money.me)["external_id"]
    api.post("/v1/participants", {"external_id": external_id, "program_id": money.program}, 200)
    money.credit("MILES", "120")
    money.hold("MILES", "20")
    money.credit("MILES", "10", bucket="HELD", reference_id="p")
    money.wallet("fund", "PROMO", "50")
    return money


def transfer(money: Money, source: str, recipient: str) -> dict[str, Any]:
    return {
        "program_id": money.program,
        "asset_id": money.asset("MILES"),
        "description": "x",
        "source_participant_id": source,
        "recipients": [{"participant_id": recipient, "amount": "1"}],
    }


@pytest.mark.parametrize("status", ["SUSPENDED", "CLOSED"])
def test_what_an_inactive_participant_may_not(api: Tenant, status: str) -> None:
    money = stocked(api)
    friend = money.new_participant()
    me, money.participant = money.participant, friend
    money.credit("MILES", "5")
    money.participant = me
    group = api.post("/v1/groups", {"name": "G", "members": [{"participant_id": friend, "role": "ADMIN"}]}, 201)["id"]
    api.patch(f"{money.me}/status", {"status": status})
    both = [{"participant_id": friend, "role": "ADMIN"}, {"participant_id": me}]
    with money.unchanged():
        refused = [money.act(name.split(maxsplit=1)[0], "MILES", 409, **MOVES[name]) for name in list(MOVES)[:4]]
        refused += [
            api.post("/v1/transfers", transfer(money, me, friend), 409),
            api.post("/v1/transfers", transfer(money, friend, me), 409),
            api.post(f"/v1/groups/{group}/members", {"participant_id": me}, 409),
            api.post("/v1/groups", {"name": "G", "members": both}, 409),
        ]
    for body in refused:
        assert (body["code"], body["details"]) == ("participant_inactive", {"participant_id": me, "status": status})
    assert [row["id"] for row in api.get("/v1/groups")["data"]] == [group]
    assert len(api.get(f"/v1/groups/{group}/members")["data"]) == 1


@pytest.mark.parametrize("status", ["SUSPENDED", "CLOSED"])
def test_what_an_inactive_participant_may_still(timed: Tenant, clock: Clock, status: str) -> None:
    api, money = timed, stocked(timed)
    me = money.me
    members = [{"participant_id": money.new_participant(), "role": "ADMIN"}, {"participant_id": money.participant}]
    group = api.post("/v1/groups", {"name": "G", "members": members}, 201)["id"]
    money.credit("MILES", "7", expires_at="2s")
    money.credit("MILES", "8", matures_at="2s")
    money.hold("MILES", "50", expires_at="2s")
    api.patch(f"{me}/status", {"status": status})
    assert shape(money.act("forfeit", "MILES", **MOVES["forfeit"])) == "52/80/8"
    assert shape(money.act("void-hold", "MILES", **MOVES["void-hold"])) == "52/70/8"
    api.call("PUT", f"{me}/state/tags/x", 201)
    api.call("DELETE", f"{me}/state/tags/x", 204)
    api.call("PUT", f"{me}/state/counters/n", 200, json={"value": "1"})
    api.patch(f"{me}/state/attributes", {"attributes": {"city": "Rome"}})
    changed = api.patch(me, {"display_name": "Ann", "external_id": f"{status}-{money.participant}"})
    assert (changed["display_name"], changed["status"]) == ("Ann", status)
    assert api.patch(f"{me}/enrollments/{money.program}", {"status": "FROZEN"})["status"] == "FROZEN"
    membership = f"/v1/groups/{group}/members/{money.participant}"
    assert api.patch(membership, {"role": "ADMIN"})["role"] == "ADMIN"
    api.call("DELETE", membership, 204)
    clock.forward(3)
    assert money.balance("MILES") == "103/20/0"
    assert [entry["action_type"] for entry in money.entries()][-3:] == ["RELEASE", "MATURITY", "EXPIRY"]
    for path in (me, f"{me}/activity/events", f"{me}/activity/history", f"{me}/activity/state-history", f"{me}/enrollments"):
        api.get(path)


def test_archived_groups_go_on_with_what_is_due(timed: Tenant, clock: Clock) -> None:
    money = Team(timed)
    money.credit("MILES", "100")
    money.credit("MILES", "7", expires_at="2s")
    money.credit("MILES", "8", matures_at="2s")
    money.hold("MILES", "50", expires_at="2s")
    timed.call("DELETE", money.me, 200)
    assert money.balance("MILES") == "57/50/8"
    clock.forward(3)
    assert timed.get(money.me)["balances"] == {money.asset("MILES"): "108"}
    assert money.balance("MILES") == "108/0/0"


def outside_money(money: Money, status: str) -> Iterator[tuple[str, str, Any, int]]:
    """Method, path, body and success of what ACTIVE and SUSPENDED programs allow, and of events."""
    program = money.program
    other = money.api.post("/v1/programs", {"name": "Q"}, 201)["id"]
    asset = {"program_id": other, "name": "A", "symbol": f"A{status}", "inventory_mode": "SIMPLE", "issuance_policy": "UNLIMITED"}
    made = money.api.post("/v1/assets", asset | {"scale": 0}, 201)["id"]
    rule = {"program_id": program, "name": "R", "condition": "true", "actions": [{"type": "TAG", "tag": "x"}]}
    yield "POST", "/v1/assets", asset | {"program_id": program, "symbol": f"B{status}", "scale": 0}, 201
    yield "POST", f"/v1/programs/{program}/assets", {"asset_id": made}, 201
    yield "DELETE", f"/v1/programs/{program}/assets/{made}", None, 204
    yield "POST", "/v1/participants", {"external_id": f"new-{status}", "program_id": program}, 201
    yield "PATCH", f"{money.me}/enrollments/{program}", {"status": "LOCKED"}, 200
    yield "POST", "/v1/rules", rule, 201


def test_a_suspended_program(api: Tenant) -> None:
    money = stocked(api)
    program = f"/v1/programs/{money.program}"
    api.patch(program, {"status": "SUSPENDED"})
    inactive = ("program_inactive", {"program_id": money.program, "status": "SUSPENDED"})
    event = {"program_id": money.program, "external_id": "x", "idempotency_key": "e", "event_data": {}}
    with money.unchanged():
        refused = [
            api.post("/v1/transfers", transfer(money, money.participant, money.new_participant()), 409),
            api.post("/v1/events", event | {"event_timestamp": "2026-01-15T10:30:00Z"}, 409),
        ]
    assert [(body["code"], body["details"]) for body in refused] == [inactive] * 2
    for name, body in MOVES.items():
        money.act(name.split(maxsplit=1)[0], "MILES", **body)
    assert money.balance("MILES") == "95/20/0", "+5, -5, hold 5, release 5, forfeit 5, void 10"
    for operation in ("fund", "burn"):
        money.wallet(operation, "PROMO", "1")
    for method, path, body, success in outside_money(money, "S"):
        api.call(method, path, success, json=body)


def test_an_archived_program(timed: Tenant, clock: Clock) -> None:
    api, money = timed, stocked(timed)
    program = f"/v1/programs/{money.program}"
    calls = list(outside_money(money, "A"))
    linked = api.post("/v1/assets", calls[0][2] | {"symbol": "LINKED"}, 201)["id"]
    calls[2] = ("DELETE", f"{program}/assets/{linked}", None, 204)
    money.credit("MILES", "7", expires_at="2s")
    api.patch(program, {"status": "ARCHIVED"})
    event = {"program_id": money.program, "external_id": "x", "idempotency_key": "e", "event_data": {}}
    with money.unchanged():
        refused = [
            api.post("/v1/transfers", transfer(money, money.participant, money.new_participant()), 409),
            api.post("/v1/events", event | {"event_timestamp": "2026-01-15T10:30:00Z"}, 409),
        ]
        for body in refused:
            assert (body["code"], body["details"]["status"]) == ("program_inactive", "ARCHIVED")
        archived = [money.act(name.split(maxsplit=1)[0], "MILES", 409, **body) for name, body in MOVES.items()]
        archived += [money.wallet(operation, "PROMO", "1", 409) for operation in ("fund", "burn")]
        archived += [api.call(method, path, 409, json=body) for method, path, body, _ in calls]
    for found in archived:
        assert (found["code"], found["details"]) == ("program_archived", {"program_id": money.program})
    clock.forward(3)
    assert money.balance("MILES") == "100/30/0", "what is due goes on"
    assert api.patch(program, {"name": "Old shop"})["name"] == "Old shop"
    assert api.get(f"{program}/statement", asset_id=money.asset("PROMO"))["closing_balance"] == "50.00"
    for path in (program, f"{program}/assets", f"{program}/balance", f"{program}/history"):
        api.get(path)


@pytest.mark.parametrize("to", ["ACTIVE", "SUSPENDED", "ARCHIVED"])
def test_every_transition_of_a_program(api: Tenant, to: str) -> None:
    path = f"/v1/programs/{api.post('/v1/programs', {'name': 'P'}, 201)['id']}"
    for status in ("ACTIVE", "SUSPENDED", "ARCHIVED"):
        api.patch(path, {"status": status})
        found = api.patch(path, {"status": to})
        assert (found["status"], found["deleted_at"] is not None) == (to, to == "ARCHIVED")
        assert api.patch(path, {"status": to}) == found, "the same again changes nothing"


@pytest.mark.parametrize("to", ["ACTIVE", "SUSPENDED", "CLOSED"])
def test_every_transition_of_a_participant(api: Tenant, to: str) -> None:
    path = Money(api).me
    for status in ("ACTIVE", "SUSPENDED", "CLOSED"):
        api.patch(f"{path}/status", {"status": status})
        found = api.patch(f"{path}/status", {"status": to})
        assert found["status"] == to
        assert api.patch(f"{path}/status", {"status": to}) == found


def test_programs_for_groups_too(api: Tenant) -> None:
    """A group's operations go by the same matrix of programs."""
    money = Team(api)
    money.credit("USD", "10")
    api.patch(f"/v1/programs/{money.program}", {"status": "SUSPENDED"})
    assert shape(money.hold("USD", "4")) == "6.00/4.00/0.00"
    assert shape(money.release("USD", "1")) == "7.00/3.00/0.00"
