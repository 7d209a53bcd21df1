"""redemptions-rewards.md 6.1, and what 2-4 say besides, over HTTP against the running product."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from tests.support.client import Tenant, new_tenant
from tests.support.stack import Stack
from tests.support.till import Till


@pytest.fixture
def till(tenant: Tenant, stack: Stack) -> Iterator[Till]:
    """ann: USD 100.00; whatever is done, the books hold."""
    made = Till(tenant)
    made.credit("USD", "100.00")
    yield made
    made.require_sound(stack.database)


def fund_miles(till: Till) -> None:
    till.credit("MILES", "100")
    till.credit("MILES", "50")


@pytest.mark.example("redemptions-rewards.md", "6.1 1")
def test_6_1_01_redeem(till: Till) -> None:
    made = till.redeem("30.00")
    assert (made["status"], made["amount"], made["reversed_amount"]) == ("COMPLETED", "30.00", "0.00")
    assert till.available() == "70.00"
    [entry] = [entry for entry in till.entries() if entry["id"] == made["journal_entry_id"]]
    assert (entry["action_type"], entry["description"], entry["rule_id"]) == ("REDEMPTION", "Till", None)
    assert entry["created_by_api_key_id"] is not None
    assert till.postings(entry["id"]) == [
        ("PARTICIPANT", "AVAILABLE", "-30.00"),
        ("SYSTEM_REDEMPTION", "AVAILABLE", "30.00"),
    ]
    assert till.found(made) == made
    nothing = ("reward_id", "quantity", "unit_cost", "reversed_quantity", "fulfillment_status", "fulfillment_expires_at")
    assert {made[name] for name in nothing} == {None}
    assert made["redemption_target_type"] == "SYSTEM_REDEMPTION"
    assert "redemption_target_entity_id" not in made


@pytest.mark.example("redemptions-rewards.md", "6.1 2")
def test_6_1_02_retry(till: Till) -> None:
    first = till.sent("30.00", idempotency_key="r-1")
    again = till.sent("30.0", idempotency_key="r-1")
    assert (first.status_code, again.status_code) == (201, 200)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == first.json()
    assert till.available() == "70.00"
    assert till.redeem("31.00", status=409, idempotency_key="r-1")["code"] == "idempotency_conflict"
    other = till.new_participant()
    refused = till.api.post(f"/v1/participants/{other}/redemptions", till.body("30.00", idempotency_key="r-1"), 409)
    assert refused["code"] == "idempotency_conflict"


@pytest.mark.example("redemptions-rewards.md", "6.1 3")
def test_6_1_03_bad_input(till: Till) -> None:
    for amount in (30, "0", "-5", "0.004"):
        assert till.redeem(amount, status=400)["details"]["field"] == "amount"
    refused = till.redeem("1", status=400, description=None)["details"]
    assert (refused["field"], refused["reason"]) == ("description", "required")
    refused = till.redeem("100.01", status=422)
    assert refused["code"] == "insufficient_balance"
    assert (refused["details"]["available"], refused["details"]["requested"]) == ("100.00", "100.01")
    assert till.available() == "100.00"
    assert till.actions() == ["CREDIT"]


@pytest.mark.example("redemptions-rewards.md", "6.1 4")
def test_6_1_04_states(till: Till) -> None:
    program = f"/v1/programs/{till.program}"
    till.api.patch(program, {"status": "SUSPENDED"})
    refused = till.redeem("1", status=409)
    assert (refused["code"], refused["details"]["status"]) == ("program_inactive", "SUSPENDED")
    till.api.patch(program, {"status": "ACTIVE"})
    person = f"/v1/participants/{till.participant}/status"
    till.api.patch(person, {"status": "SUSPENDED"})
    assert till.redeem("1", status=409)["code"] == "participant_inactive"
    till.api.patch(person, {"status": "ACTIVE"})
    other = till.api.post("/v1/programs", {"name": "Other"}, 201)["id"]
    assert till.redeem("1", status=409, program_id=other)["code"] == "asset_not_linked"
    assert till.available() == "100.00"


@pytest.mark.example("redemptions-rewards.md", "6.1 5")
def test_6_1_05_lots(till: Till) -> None:
    fund_miles(till)
    made = till.redeem("120", "MILES")
    assert till.shapes() == [("100", "0", "CONSUMED"), ("50", "30", "AVAILABLE")]
    part = till.reverse(made, "30")
    assert (part["amount"], part["quantity"], part["redemption_id"]) == ("30", None, made["id"])
    assert till.shapes() == [("100", "10", "AVAILABLE"), ("50", "50", "AVAILABLE")]
    found = till.found(made)
    assert (found["status"], found["reversed_amount"]) == ("PARTIALLY_REVERSED", "30")
    assert found["updated_at"] == part["created_at"] > found["created_at"]
    refused = till.reverse(made, "91", 422)
    assert refused["code"] == "reversal_exceeds_remaining"
    assert refused["details"] == {"redemption_id": made["id"], "remaining": "90", "requested": "91"}
    rest = till.reverse(made)
    assert rest["amount"] == "90"
    assert till.remainders() == ["100", "50"]
    assert till.found(made)["status"] == "FULLY_REVERSED"
    refused = till.reverse(made, status=422)
    assert refused["details"] == {"redemption_id": made["id"], "remaining": "0", "requested": None}
    listed = till.api.get(f"/v1/redemptions/{made['id']}/reversals")["data"]
    assert listed == [part, rest]


@pytest.mark.example("redemptions-rewards.md", "6.1 6")
def test_6_1_06_the_target_is_captured(till: Till) -> None:
    made = till.redeem("30.00")
    till.aim("SYSTEM_BREAKAGE")
    back = till.reverse(made, "10.00")
    assert till.postings(back["journal_entry_id"]) == [
        ("SYSTEM_REDEMPTION", "AVAILABLE", "-10.00"),
        ("PARTICIPANT", "AVAILABLE", "10.00"),
    ]
    entry = till.api.get(f"/v1/journal-entries/{back['journal_entry_id']}")
    assert (entry["action_type"], entry["description"]) == ("REDEMPTION_REVERSAL", "returned")
    assert till.redeem("1.00")["redemption_target_type"] == "SYSTEM_BREAKAGE"


@pytest.mark.example("redemptions-rewards.md", "6.1 7")
def test_6_1_07_expired_meanwhile(till: Till) -> None:
    till.credit("MILES", "10", expires_at="3s")
    made = till.redeem("10", "MILES")
    time.sleep(3.05)
    till.reverse(made)
    assert till.available("MILES") == "0"
    entries = till.api.get("/v1/journal-entries", participant_id=till.participant, asset_id=till.asset("MILES"))["data"]
    assert [entry["action_type"] for entry in entries] == ["EXPIRY", "REDEMPTION_REVERSAL", "REDEMPTION", "CREDIT"]
    assert till.shapes() == [("10", "0", "EXPIRED")]


@pytest.mark.example("redemptions-rewards.md", "6.1 8")
def test_6_1_08_simultaneous(till: Till) -> None:
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: till.sent("80.00").status_code, range(2)))
    assert sorted(answers) == [201, 422]
    assert till.available() == "20.00"


@pytest.mark.example("redemptions-rewards.md", "6.1 9")
def test_6_1_09_retried_reversal(till: Till) -> None:
    made = till.redeem("30.00")
    path, body = f"/v1/redemptions/{made['id']}/reverse", {"reason": "x", "amount": "10.00"}
    answers = [till.api.http.post(path, json=body, headers={"Idempotency-Key": "v-1"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    assert till.available() == "80.00"
    assert till.reverse(made, "11", 409, idempotency_key="v-1")["code"] == "idempotency_conflict"


@pytest.mark.example("ledger.md", 11)
def test_ledger_md_11_restoration(till: Till) -> None:
    fund_miles(till)
    made = till.redeem("120", "MILES")
    assert till.remainders() == ["0", "30"]
    till.reverse(made, "30")
    assert till.remainders() == ["10", "50"]
    assert till.balance("MILES") == "60/0/0"
    refused = till.reverse(made, "91", 422)
    assert (refused["code"], refused["details"]["remaining"]) == ("reversal_exceeds_remaining", "90")


class TestSimultaneously:
    def test_one_key_one_redemption(self, till: Till) -> None:
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: till.sent("5.00", idempotency_key="k"), range(6)))
        assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert sum("Idempotency-Replayed" in answer.headers for answer in answers) == 5
        assert till.available() == "95.00"

    def test_one_key_two_payloads(self, till: Till) -> None:
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda amount: till.sent(amount, idempotency_key="k"), ["5", "6", "5", "6"]))
        assert sorted(answer.status_code for answer in answers) == [200, 201, 409, 409]

    def test_two_full_reversals_give_one(self, till: Till) -> None:
        made = till.redeem("30.00")
        path = f"/v1/redemptions/{made['id']}/reverse"
        with ThreadPoolExecutor(4) as pool:
            codes = list(pool.map(lambda _: till.api.http.post(path, json={"reason": "x"}).status_code, range(4)))
        assert sorted(codes) == [201, 422, 422, 422]
        assert till.available() == "100.00"

    def test_parts_share_what_is_left(self, till: Till) -> None:
        fund_miles(till)
        made = till.redeem("120", "MILES")
        path = f"/v1/redemptions/{made['id']}/reverse"
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: till.api.http.post(path, json={"reason": "x", "amount": "50"}), range(4)))
        assert sorted(answer.status_code for answer in answers) == [201, 201, 422, 422]
        assert till.found(made)["reversed_amount"] == "100"


class TestTargets:
    def test_a_participant_receives_and_gives_back_into_overdraft(self, till: Till) -> None:
        fund_miles(till)
        other = till.new_participant()
        till.aim("LEDGER_ENTITY", other)
        made = till.redeem("120", "MILES")
        assert made["redemption_target_entity_id"] == other
        assert till.postings(made["journal_entry_id"]) == [
            ("PARTICIPANT", "AVAILABLE", "-120"),
            ("PARTICIPANT", "AVAILABLE", "120"),
        ]
        miles = till.asset("MILES")
        [lot] = till.api.get(f"/v1/participants/{other}/balances/lots", asset_id=miles)["data"]
        assert (lot["amount"], lot["expires_at"], lot["status"]) == ("120", None, "AVAILABLE")
        spent = {"program_id": till.program, "asset_id": miles, "type": "DEBIT", "amount": "100", "description": "x"}
        till.api.post(f"/v1/participants/{other}/balances/adjust", spent)
        till.reverse(made, "50")
        [row] = till.api.get(f"/v1/participants/{other}/balances", asset_id=miles)["data"]
        assert row["available"] == "-30"
        assert till.shapes() == [("100", "30", "AVAILABLE"), ("50", "50", "AVAILABLE")]
        history = till.api.get(f"/v1/participants/{other}/activity/history")["data"]
        assert [row["action_type"] for row in history] == ["REDEMPTION_REVERSAL", "DEBIT", "REDEMPTION"]
        lines = till.api.get(f"/v1/participants/{till.participant}/statement", asset_id=miles)["data"]
        assert [line["action_type"] for line in lines] == ["CREDIT", "CREDIT", "REDEMPTION", "REDEMPTION_REVERSAL"]

    def test_a_group_receives_in_the_programs_pair(self, till: Till) -> None:
        group = till.api.post(
            "/v1/groups", {"name": "G", "members": [{"participant_id": till.participant, "role": "ADMIN"}]}, 201
        )
        till.aim("LEDGER_ENTITY", group["id"])
        made = till.redeem("30.00")
        assert ("GROUP", "AVAILABLE", "30.00") in till.postings(made["journal_entry_id"])
        [row] = till.api.get(f"/v1/groups/{group['id']}/balances", program_id=till.program)["data"]
        assert row["balance"] == "30.00"
        till.api.call("DELETE", f"/v1/groups/{group['id']}", 200)
        assert till.redeem("1", status=409)["code"] == "group_archived"
        till.reverse(made)
        assert till.available() == "100.00"

    def test_an_outside_account(self, till: Till) -> None:
        outside = str(uuid4())
        till.aim("LEDGER_ENTITY", outside)
        made = till.redeem("30.00")
        entry = till.api.get(f"/v1/journal-entries/{made['journal_entry_id']}")
        _, arrived = entry["postings"]
        assert (arrived["entity_type"], arrived["entity_id"], arrived["amount"]) == ("LEDGER_ENTITY", outside, "30.00")
        assert (arrived["participant_id"], arrived["group_id"], arrived["program_id"]) == (None, None, None)
        till.reverse(made, "30.00")
        assert till.available() == "100.00"

    def test_the_redeemer_itself_is_refused(self, till: Till) -> None:
        till.aim("LEDGER_ENTITY", till.participant)
        refused = till.redeem("1", status=409)
        assert (refused["code"], refused["details"]["reason"]) == ("invalid_state", "redeemer_is_target")

    def test_a_full_target_refuses(self, till: Till) -> None:
        other = till.new_participant()
        most = {"program_id": till.program, "asset_id": till.asset("USD"), "type": "CREDIT", "description": "x"}
        till.api.post(f"/v1/participants/{other}/balances/adjust", most | {"amount": "99999999999999999999.00"})
        till.aim("LEDGER_ENTITY", other)
        refused = till.redeem("1.00", status=422)
        assert (refused["code"], refused["details"]["entity_id"]) == ("balance_out_of_range", other)


class TestReversals:
    def test_into_a_lot_that_is_held_now(self, till: Till) -> None:
        till.credit("MILES", "100")
        made = till.redeem("60", "MILES")
        till.hold("MILES", "40")
        till.reverse(made, "50")
        held, split = sorted(till.lots("MILES"), key=lambda lot: lot["status"], reverse=True)
        assert (held["amount"], held["remaining"], held["status"]) == ("50", "40", "HELD")
        assert (split["amount"], split["remaining"], split["status"]) == ("50", "50", "AVAILABLE")
        assert split["parent_lot_id"] == held["id"]
        assert split["created_at"] == held["created_at"]
        assert till.balance("MILES") == "50/40/0"
        till.reverse(made)
        assert till.balance("MILES") == "60/40/0"

    def test_an_overdraft_is_filled_first(self, till: Till) -> None:
        fund_miles(till)
        made = till.redeem("120", "MILES")
        till.debit("MILES", "50", allow_negative=True)
        assert till.available("MILES") == "-20"
        till.reverse(made, "30")
        assert till.available("MILES") == "10"
        # 20 returned to the younger lot, 10 to the older one, and the overdraft took 20 FIFO
        assert till.remainders() == ["0", "10"]

    def test_every_status_but_archived(self, till: Till) -> None:
        made = till.redeem("30.00")
        till.api.patch(f"/v1/participants/{till.participant}/status", {"status": "CLOSED"})
        till.api.patch(f"/v1/programs/{till.program}", {"status": "SUSPENDED"})
        till.reverse(made, "10.00")
        till.api.patch(f"/v1/programs/{till.program}", {"status": "ARCHIVED"})
        assert till.reverse(made, "10.00", 409)["code"] == "program_archived"
        till.api.patch(f"/v1/programs/{till.program}", {"status": "ACTIVE"})
        till.api.patch(f"/v1/assets/{till.asset('USD')}", {"status": "ARCHIVED"})
        assert till.reverse(made, "10.00", 409)["code"] == "asset_archived"

    def test_bad_input(self, till: Till) -> None:
        made = till.redeem("30.00")
        assert till.reverse(made, quantity=1, status=400)["details"]["reason"] == "not_allowed"
        assert till.reverse(made, "0.001", 400)["details"]["field"] == "amount"
        assert till.reverse(made, reason="", status=400)["details"]["field"] == "reason"
        assert till.reverse({"id": str(uuid4())}, status=404)["details"]["resource"] == "redemption"
        strict = {"Prefer": "handling=strict"}
        path = f"/v1/redemptions/{made['id']}/reverse"
        assert till.api.post(path, {"reason": "x", "amount": "1.001"}, 400, headers=strict)["code"] == "invalid_scale"


class TestReads:
    def test_lists_and_filters(self, till: Till) -> None:
        first, second, third = (till.redeem(amount) for amount in ("1.00", "2.00", "3.00"))
        till.reverse(second)

        def listed(**query: Any) -> list[str]:
            return [row["id"] for row in till.api.call("GET", till.path(), 200, params=query)["data"]]

        assert listed() == [third["id"], second["id"], first["id"]]
        assert listed(status="FULLY_REVERSED") == [second["id"]]
        assert listed(program_id=till.program, asset_id=till.asset("USD"), to=first["created_at"]) == [first["id"]]
        assert listed(asset_id=till.asset("MILES")) == []
        assert listed(fulfillment_status="PENDING") == []
        assert listed(reward_catalog_item_id=str(uuid4())) == []
        page = till.api.get(till.path(), limit=2)
        assert page["pagination"]["has_more"]
        rest = till.api.get(till.path(), limit=2, cursor=page["pagination"]["next_cursor"])
        assert [row["id"] for row in rest["data"]] == [first["id"]]

    def test_another_tenant_sees_nothing(self, till: Till, stack: Stack) -> None:
        made = till.redeem("1.00")
        other = new_tenant(stack.database, stack.base_url)
        assert other.get(f"/v1/redemptions/{made['id']}", 404)["details"]["resource"] == "redemption"
        assert other.get(f"/v1/redemptions/{made['id']}/reversals", 404)["code"] == "not_found"
        assert other.post(f"/v1/redemptions/{made['id']}/reverse", {"reason": "x"}, 404)["code"] == "not_found"
        assert other.get(till.path(), 404)["details"]["resource"] == "participant"
        refused = other.post(till.path(), till.body("1.00"), 404)
        assert refused["details"]["resource"] == "participant"
        other.http.close()
