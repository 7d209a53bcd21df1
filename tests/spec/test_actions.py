"""The acceptance examples of events-rules.md 7.4, over HTTP on the running product."""

from typing import Any

import pytest

from tests.support.books import assert_books
from tests.support.club import Club, actions, outcomes


def lots(club: Club, external_id: str) -> list[tuple[str, str, str]]:
    """Amount, remainder and status of a participant's lots, oldest first."""
    with club.database.connection() as conn:
        rows = conn.execute(
            "SELECT round(amount, 2), round(remaining, 2), status FROM lots WHERE holder_id = %s ORDER BY created_at, id",
            [club.participant_id(external_id)],
        ).fetchall()
    return [(str(amount), str(remaining), status) for amount, remaining, status in rows]


def tag(name: str) -> dict[str, Any]:
    return {"type": "TAG", "tag": name}


@pytest.mark.example("events-rules.md", "7.4.1")
def test_credits_go_to_the_recipient(club: Club) -> None:
    gifts = {"type": "COUNTER", "key": "gifts", "value": "1"}
    club.rule('event.to == "recipient"', club.credit("10"), gifts)
    club.rule('event.to == "sender"', club.credit("10", target={"type": "PARTICIPANT"}))
    club.completed({"to": "recipient"}, recipient_external_id="bob")
    assert (club.balance("ann"), club.balance("bob")) == ("0", "10")
    assert club.participant("ann")["counters"] == {"gifts": "1"}
    assert club.participant("bob")["counters"] == {}
    club.completed({"to": "sender"}, recipient_external_id="bob")
    assert (club.balance("ann"), club.balance("bob")) == ("10", "10")


@pytest.mark.example("events-rules.md", "7.4.4")
def test_a_suspended_participant(club: Club) -> None:
    club.rule('event.type == "visit"', tag("seen"))
    club.rule('event.type == "buy"', tag("bought"), club.credit("1"))
    club.completed({})
    club.tenant.patch(f"/v1/participants/{club.participant_id('ann')}/status", {"status": "SUSPENDED"})
    club.completed({"type": "visit"})
    assert club.participant("ann")["tags"] == ["seen"]
    club.failed({"type": "buy"}, "participant_inactive")
    assert club.participant("ann")["tags"] == ["seen"]


@pytest.mark.example("events-rules.md", "7.4.5")
def test_a_failing_rule_takes_the_others_back(club: Club) -> None:
    club.rule("true", club.credit("5"), order=10)
    club.rule("true", club.debit("50"), order=20)
    club.rule("true", club.credit("1"), order=30)
    event = club.failed({}, "insufficient_balance")
    assert outcomes(event) == [("FAILED", "ROLLED_BACK"), ("FAILED", "ACTION_FAILED")]
    assert [row["executed_actions"] for row in event["rule_evaluations"]] == [[], []]
    assert event["rule_evaluations"][1]["error_message"]
    assert club.balance("ann") == "0"
    assert club.entries(event["id"]) == []


@pytest.mark.example("events-rules.md", "7.4.6")
@pytest.mark.parametrize("symbol", ["PTS", "MILES"])
def test_overdraft(club: Club, symbol: str) -> None:
    club.rule('event.type == "earn"', club.credit("event.n", symbol))
    club.rule("event.type == 'spend'", club.debit("50", symbol, allow_negative=True))
    decimals = "" if symbol == "PTS" else ".00"
    club.completed({"type": "earn", "n": 20})
    club.completed({"type": "spend"})
    assert club.balance("ann", symbol) == f"-30{decimals}"
    club.completed({"type": "earn", "n": 100})
    assert club.balance("ann", symbol) == f"70{decimals}"
    if symbol == "MILES":
        assert lots(club, "ann")[1] == ("100.00", "70.00", "AVAILABLE")
    assert_books(club.database, club.tenant.organization_id)


@pytest.mark.example("events-rules.md", "7.4.7")
def test_tags_are_lower_case(club: Club) -> None:
    club.rule("event.n == 1", tag("VIP"))
    club.rule('event.n == 2 && "vip" in participant.tags', club.credit("1"))
    club.rule('event.n == 2 && "VIP" in participant.tags', club.credit("10"))
    club.completed({"n": 1})
    assert club.participant("ann")["tags"] == ["vip"]
    assert outcomes(club.completed({"n": 2})) == [("NOT_MATCHED", None), ("SUCCESS", None), ("NOT_MATCHED", None)]
    assert actions(club.completed({"n": 1})) == [("TAG", "NO_OP", "ALREADY_SET")]


@pytest.mark.example("events-rules.md", "7.4.8")
def test_attributes_literal_and_computed(club: Club) -> None:
    club.rule(
        "true",
        {"type": "SET_ATTRIBUTE", "key": "literal", "value": "event.amount"},
        {"type": "SET_ATTRIBUTE", "key": "computed", "value_expression": "event.amount"},
    )
    body = club.body({})
    raw = (
        f'{{"program_id": "{body["program_id"]}", "external_id": "ann", "idempotency_key": "k", '
        f'"event_timestamp": "{body["event_timestamp"]}", "event_data": {{"amount": 12.50}}}}'
    )
    sent = club.tenant.http.post("/v1/events", content=raw, headers={"Content-Type": "application/json"})
    club.processed(sent.json()["id"])
    assert club.participant("ann")["attributes"] == {"literal": "event.amount", "computed": "12.5"}


@pytest.mark.example("events-rules.md", "7.4.9")
def test_targets_that_are_not_there(club: Club) -> None:
    club.rule("true", club.credit("1", target={"type": "PARTICIPANT", "external_id": "event.referrer"}))
    club.failed({"referrer": "nobody"}, "target_not_found")
    club.failed({}, "expression_error")
    club.completed({"referrer": "ann"}, "bob")
    club.completed({"referrer": "bob"})
    assert (club.balance("ann"), club.balance("bob")) == ("1", "1")


@pytest.mark.example("events-rules.md", "7.4.13")
def test_value_that_matures_later(club: Club) -> None:
    club.rule("true", club.credit("5", "MILES", matures_at="720h"))
    event = club.completed({})
    assert club.buckets("ann", "MILES") == ("0.00", "0.00", "5.00")
    assert lots(club, "ann") == [("5.00", "5.00", "DEFERRED")]
    assert event["rule_evaluations"][0]["executed_actions"][0]["bucket"] == "DEFERRED"
    assert_books(club.database, club.tenant.organization_id)


@pytest.mark.example("events-rules.md", "7.4.15")
def test_a_bare_variable_name_is_a_text(club: Club) -> None:
    club.rule("true", club.credit("1", target={"type": "PARTICIPANT", "external_id": "group"}))
    club.failed({}, "target_not_found")
    club.tenant.post("/v1/participants", {"external_id": "group"}, 201)
    club.completed({})
    assert club.balance("group") == "1"
