"""The acceptance examples of events-rules.md 7.3 that need processing, over HTTP on the running product."""

import pytest

from tests.support.club import Club, actions, outcomes

NESTED = "event.l.all(a, event.l.all(b, event.l.all(c, a + b + c >= 0)))"


@pytest.mark.example("events-rules.md", "7.3.1")
def test_amounts_are_rounded_to_the_asset(club: Club) -> None:
    club.rule('event.type == "share"', club.credit("event.amount * 0.03", "CASH"))
    club.rule('event.type == "fixed"', club.credit("1.009", "CASH"))
    share = club.completed({"type": "share", "amount": 33.33})
    fixed = club.completed({"type": "fixed"})
    recorded = [event["rule_evaluations"][n]["executed_actions"][0]["amount"] for n, event in enumerate((share, fixed))]
    assert recorded == ["1.00", "1.01"]
    assert club.balance("ann", "CASH") == "2.01"


@pytest.mark.example("events-rules.md", "7.3.3")
def test_a_field_that_is_missing(club: Club) -> None:
    club.rule('event.coupon == "X"', club.credit("1"))
    club.rule('has(event.coupon) && event.coupon == "X"', club.credit("1"))
    club.rule('event.coupon == "X" || true', club.credit("1"))
    event = club.completed({})
    assert outcomes(event) == [("SKIPPED_ERROR", None), ("NOT_MATCHED", None), ("SUCCESS", None)]
    assert event["rule_evaluations"][0]["error_message"]
    shown = club.tenant.get(f"/v1/events/{event['id']}")
    assert outcomes(shown) == [("NOT_MATCHED", None), ("SUCCESS", None)]


@pytest.mark.example("events-rules.md", "7.3.4")
def test_amounts_that_are_no_numbers(club: Club) -> None:
    for number, amount in enumerate(("event.points", "double(event.points)", "event.missing", "event.amount - 100")):
        club.rule(f"event.n == {number}", club.credit(amount))
    club.failed({"n": 0, "points": "12"}, "invalid_amount")
    club.completed({"n": 1, "points": "12"})
    assert club.balance("ann") == "12"
    missing = club.failed({"n": 2}, "expression_error")
    assert missing["error_message"].startswith("expression_error: action CREDIT failed: amount: ")
    club.failed({"n": 3, "amount": 75}, "invalid_amount")
    exact = club.completed({"n": 3, "amount": 100})
    assert actions(exact) == [("CREDIT", "NO_OP", "ZERO_AMOUNT")]
    assert club.balance("ann") == "12"


@pytest.mark.example("events-rules.md", "7.3.5")
def test_long_numbers_keep_their_digits(club: Club) -> None:
    digits = "12345678901234567890.123456789"
    club.rule(f'string(event.id) == "{digits}"', club.credit("1"))
    body = club.body({})
    raw = (
        f'{{"program_id": "{body["program_id"]}", "external_id": "ann", "idempotency_key": "digits", '
        f'"event_timestamp": "{body["event_timestamp"]}", "event_data": {{"id": {digits}}}}}'
    )
    headers = {"Content-Type": "application/json"}
    response = club.tenant.http.post("/v1/events", content=raw, headers=headers)
    event = club.processed(response.json()["id"])
    assert outcomes(event) == [("SUCCESS", None)]
    assert digits in club.tenant.http.get(f"/v1/events/{event['id']}").text


@pytest.mark.example("events-rules.md", "7.3.7")
def test_a_mended_rule_and_a_retry(club: Club) -> None:
    moment = "2026-02-03T04:05:06.000000Z"
    rule = club.rule("true", club.credit("event.missing"), {"type": "SET_ATTRIBUTE", "key": "at", "value_expression": "now"})
    event = club.failed({}, "expression_error", event_timestamp=moment)
    mended = [club.credit('get(event, "missing", 3)'), *rule["actions"][1:]]
    club.tenant.patch(f"/v1/rules/{rule['id']}", {"actions": mended})
    club.tenant.post(f"/v1/events/{event['id']}/retry", status=202)
    assert club.processed(event["id"])["status"] == "COMPLETED"
    assert club.balance("ann") == "3"
    assert club.participant("ann")["attributes"]["at"].startswith("2026-02-03T04:05:06")


@pytest.mark.example("events-rules.md", "7.3.8")
def test_the_step_limit(club: Club) -> None:
    club.rule(f"event.n == 1 && {NESTED}", club.credit("1"))
    club.rule("event.n == 1 && event.l.all(a, event.l.all(b, a + b >= 0))", club.credit("1"))
    counted = "size(event.l.filter(a, event.l.all(b, event.l.all(c, a + b + c >= 0))))"
    club.rule("event.n == 2", club.credit(counted))
    numbers = list(range(100))
    event = club.completed({"n": 1, "l": numbers})
    assert outcomes(event)[:2] == [("SKIPPED_TIMEOUT", None), ("SUCCESS", None)]
    club.failed({"n": 2, "l": numbers}, "expression_timeout")
    assert club.balance("ann") == "1"
