"""redemptions-rewards.md 5 and 6.3: what was redeemed is handed over or comes back, against the running product."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio.client import ScheduleOverlapPolicy, WorkflowExecutionStatus, WorkflowHandle
from temporalio.service import RPCError

from tests.support.client import Tenant, new_tenant
from tests.support.listening import heard, listen
from tests.support.receiver import Reply, is_signed_by, receive
from tests.support.shop import Shop
from tests.support.stack import Stack, poll
from workflows import contracts
from workflows.attributes import KIND, STATUS
from workflows.contracts_fulfillment import FulfillmentFlowStatus, FulfillmentState, fulfillment_workflow_id


@pytest.fixture
def shop(tenant: Tenant, stack: Stack) -> Iterator[Shop]:
    """ann: USD 100.00; whatever is done, the books hold."""
    made = Shop(tenant)
    made.credit("USD", "100.00")
    yield made
    made.require_sound(stack.database)


def standing(redemption: dict[str, Any]) -> tuple[str, str]:
    return redemption["fulfillment_status"], redemption["status"]


@pytest.mark.example("redemptions-rewards.md", "6.3 1")
def test_6_3_01_handed_over(shop: Shop) -> None:
    made = shop.take(shop.code())
    assert standing(made) == ("PENDING", "COMPLETED")
    assert (made["fulfillment_expires_at"], made["fulfillment_note"]) == (None, None)
    assert shop.available() == "90.00"
    done = shop.hand_over(made, status="FULFILLED", note="sent")
    assert (standing(done), done["fulfillment_note"]) == (("FULFILLED", "COMPLETED"), "sent")
    assert done["updated_at"] > made["updated_at"]
    assert shop.hand_over(made, status="FULFILLED", note="sent") == done
    assert shop.hand_over(made, status="FULFILLED", note="again") == done == shop.found(made)
    refused = shop.hand_over(made, 409, status="FAILED")
    assert (refused["code"], refused["details"]["status"]) == ("invalid_state", "FULFILLED")
    assert shop.available() == "90.00"
    shop.reverse(made)
    assert standing(shop.found(made)) == ("FULFILLED", "FULLY_REVERSED")


@pytest.mark.example("redemptions-rewards.md", "6.3 2")
def test_6_3_02_failed(shop: Shop, stack: Stack) -> None:
    listen(stack.database, shop.api.organization_id)
    code = shop.code()
    made = shop.take(code, 2)
    assert shop.available() == "80.00"
    failed = shop.hand_over(made, status="FAILED", note="no codes left")
    assert (standing(failed), failed["reversed_quantity"]) == (("FAILED", "FULLY_REVERSED"), 2)
    assert failed["fulfillment_note"] == "no codes left"
    assert (shop.available(), shop.stock(code)) == ("100.00", (0, "ACTIVE"))
    [back] = shop.reversals(made)
    assert (back["amount"], back["quantity"], back["reason"]) == ("20.00", 2, "fulfillment failed")
    entry = shop.api.get(f"/v1/journal-entries/{back['journal_entry_id']}")
    assert entry["created_by_api_key_id"] is not None
    assert shop.hand_over(made, status="FAILED") == failed
    assert [type_ for type_, _ in heard(stack.database, shop.api.organization_id)] == [
        "redemption.completed",
        "redemption.fulfillment_failed",
        "redemption.reversed",
        "balance.credited",
    ]


@pytest.mark.example("redemptions-rewards.md", "6.3 3")
def test_6_3_03_the_deadline(shop: Shop) -> None:
    code = shop.code("1s")
    made = shop.take(code)
    assert made["fulfillment_expires_at"] > made["created_at"]
    time.sleep(1.1)
    found = shop.found(made)
    assert standing(found) == ("FAILED", "FULLY_REVERSED")
    assert (shop.available(), shop.stock(code)[0]) == ("100.00", 0)
    refused = shop.hand_over(made, 409, status="FULFILLED")
    assert (refused["code"], refused["details"]["status"]) == ("invalid_state", "FAILED")
    [back] = shop.reversals(made)
    assert shop.api.get(f"/v1/journal-entries/{back['journal_entry_id']}")["created_by_api_key_id"] is None


@pytest.mark.example("redemptions-rewards.md", "6.3 4")
def test_6_3_04_a_webhook(shop: Shop) -> None:
    with receive(Reply(500), Reply(200), Reply(422), Reply(202)) as receiver:
        code, secret = shop.hooked(receiver.url)
        made = shop.take(code)
        first, second = receiver.wait_for(2)
        assert first.headers["webhook-id"] == second.headers["webhook-id"] == made["id"]
        assert first.body == second.body
        assert 4.4 < second.at - first.at < 20
        assert is_signed_by(first, secret)
        assert is_signed_by(second, secret)
        poll(lambda: standing(shop.found(made)) == ("FULFILLED", "COMPLETED"))
        assert shop.available() == "90.00"
        refused = shop.take(code)
        poll(lambda: standing(shop.found(refused)) == ("FAILED", "FULLY_REVERSED"))
        assert (shop.available(), shop.stock(code)[0]) == ("90.00", 1)
        taken = shop.take(code)
        receiver.wait_for(4)
        assert shop.available() == "80.00"
        time.sleep(6)
        assert [each.headers["webhook-id"] for each in receiver.received] == [made["id"]] * 2 + [refused["id"], taken["id"]]
        assert standing(shop.found(taken)) == ("PENDING", "COMPLETED")
        assert standing(shop.hand_over(taken, status="FULFILLED")) == ("FULFILLED", "COMPLETED")


@pytest.mark.example("webhooks.md", 14)
def test_what_is_told_of_a_report(shop: Shop, stack: Stack) -> None:
    listen(stack.database, shop.api.organization_id)
    made = shop.take(shop.code())
    for _ in range(2):
        shop.hand_over(made, status="FULFILLED")
    told = heard(stack.database, shop.api.organization_id)
    assert [type_ for type_, _ in told] == ["redemption.completed", "redemption.fulfilled"]
    assert [data["redemption"]["fulfillment_status"] for _, data in told] == ["PENDING", "FULFILLED"]
    assert told[1][1]["by"] == "API"


@pytest.mark.example("redemptions-rewards.md", "6.3 5")
def test_6_3_05_cancelled(shop: Shop) -> None:
    made = shop.take(shop.code(), 2)
    refused = shop.send_back(made, 1, 409)
    assert (refused["code"], refused["details"]["reason"]) == ("invalid_state", "fulfillment_pending")
    path, body = f"/v1/redemptions/{made['id']}/reverse", {"reason": "changed mind", "idempotency_key": "c-1"}
    answers = [shop.api.http.post(path, json=body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    back = answers[0].json()
    assert (back["amount"], back["reason"], answers[1].json()) == ("20.00", "changed mind", back)
    assert standing(shop.found(made)) == ("FAILED", "FULLY_REVERSED")
    assert shop.reversals(made) == [back]
    assert shop.hand_over(made, 409, status="FULFILLED")["details"]["status"] == "FAILED"


@pytest.mark.example("redemptions-rewards.md", "6.3 7")
def test_6_3_07_bad_input(shop: Shop, stack: Stack) -> None:
    made = shop.take(shop.code())
    for body, field in (({"status": "DONE"}, "status"), ({"status": "FAILED", "note": ""}, "note"), ({}, "status")):
        assert shop.hand_over(made, 400, **body)["details"]["field"] == field
    refused = shop.hand_over(shop.redeem("1.00"), 409, status="FULFILLED")
    assert (refused["code"], refused["details"]["status"]) == ("invalid_state", None)
    assert shop.hand_over({"id": str(uuid4())}, 404, status="FULFILLED")["details"]["resource"] == "redemption"
    with new_tenant(stack.database, stack.base_url, "Stranger").http as stranger:
        assert stranger.post(f"/v1/redemptions/{made['id']}/fulfillment", json={"status": "FAILED"}).status_code == 404
    assert standing(shop.found(made)) == ("PENDING", "COMPLETED")


class TestEnds:
    def test_one_of_two_outcomes_wins(self, shop: Shop) -> None:
        made = shop.take(shop.code())
        path = f"/v1/redemptions/{made['id']}/fulfillment"
        with ThreadPoolExecutor(6) as pool:
            asked = ["FULFILLED", "FAILED"] * 3
            codes = list(pool.map(lambda status: shop.api.http.post(path, json={"status": status}).status_code, asked))
        assert sorted(codes) == [200] * 3 + [409] * 3
        assert len(shop.reversals(made)) == (shop.found(made)["fulfillment_status"] == "FAILED")

    def test_amounts_are_handed_over_too(self, shop: Shop) -> None:
        fields = {"redemption_type": "AMOUNT_BASED", "max_total": None, "unit_cost": "5.00"}
        made = shop.take(shop.code(**fields), amount="7.25")
        assert made["fulfillment_status"] == "PENDING"
        assert shop.reverse(made, "1.00", 409)["details"]["reason"] == "fulfillment_pending"
        assert standing(shop.hand_over(made, status="FAILED")) == ("FAILED", "FULLY_REVERSED")

    def test_an_archived_program_gives_back(self, shop: Shop) -> None:
        made = shop.take(shop.code())
        shop.api.patch(f"/v1/programs/{shop.program}", {"status": "ARCHIVED"})
        assert standing(shop.hand_over(made, status="FAILED")) == ("FAILED", "FULLY_REVERSED")

    def test_an_archived_asset_does_not(self, shop: Shop) -> None:
        reported, late = shop.take(shop.code()), shop.take(shop.code("1s", name="LATE"))
        shop.api.patch(f"/v1/assets/{shop.asset('USD')}", {"status": "ARCHIVED"})
        assert shop.hand_over(reported, 409, status="FAILED")["code"] == "asset_archived"
        assert shop.hand_over(reported, status="FULFILLED")["fulfillment_status"] == "FULFILLED"
        time.sleep(1.1)
        assert standing(shop.found(late)) == ("FAILED", "COMPLETED")

    def test_the_terms_are_those_of_its_moment(self, shop: Shop) -> None:
        code = shop.code()
        made = shop.take(code)
        shop.change(code, fulfillment={"type": "none"})
        assert shop.take(code)["fulfillment_status"] is None
        assert shop.found(made)["fulfillment_status"] == "PENDING"
        assert shop.api.get(shop.path(), fulfillment_status="PENDING")["data"] == [made]

    def test_a_late_reversal_finds_nothing_left(self, shop: Shop) -> None:
        made = shop.take(shop.code("1s"))
        time.sleep(1.1)
        refused = shop.reverse(made, status=422)
        assert (refused["code"], refused["details"]["remaining"]) == ("reversal_exceeds_remaining", 0)
        assert shop.reversals(made)[0]["reason"] == "fulfillment failed"


class TestFlows:
    """Each is a flow of its own, which a person sees and which needs no visitor."""

    def flow(self, stack: Stack, made: dict[str, Any]) -> WorkflowHandle[Any, FulfillmentFlowStatus]:
        workflow_id = fulfillment_workflow_id(UUID(made["id"]))
        return stack.client.get_workflow_handle(workflow_id, result_type=FulfillmentFlowStatus)

    def waiting(self, stack: Stack, made: dict[str, Any]) -> WorkflowHandle[Any, FulfillmentFlowStatus]:
        """The flow, after its first look."""
        flow = self.flow(stack, made)

        async def has_looked() -> bool:
            try:
                status = await flow.query(contracts.STATUS_QUERY, result_type=FulfillmentFlowStatus)
            except RPCError:
                return False
            return status.last is not None

        poll(lambda: stack.loop.run(has_looked()), 20)
        return flow

    def is_running(self, stack: Stack, flow: WorkflowHandle[Any, FulfillmentFlowStatus]) -> bool:
        return stack.loop.run(flow.describe()).status is WorkflowExecutionStatus.RUNNING

    def ended(self, stack: Stack, flow: WorkflowHandle[Any, FulfillmentFlowStatus]) -> FulfillmentState:
        state = stack.loop.run(flow.result()).state
        found = stack.loop.run(flow.describe()).typed_search_attributes
        assert (found[KIND], found[STATUS]) == ("fulfillment", state)
        return state

    def test_a_report_ends_it(self, shop: Shop, stack: Stack) -> None:
        made = shop.take(shop.code())
        flow = self.waiting(stack, made)
        shop.hand_over(made, status="FULFILLED")
        assert self.ended(stack, flow) is FulfillmentState.FULFILLED

    def test_a_reversal_ends_it(self, shop: Shop, stack: Stack) -> None:
        made = shop.take(shop.code())
        flow = self.waiting(stack, made)
        shop.reverse(made)
        assert self.ended(stack, flow) is FulfillmentState.CANCELLED

    def test_the_deadline_needs_no_visitor(self, shop: Shop, stack: Stack) -> None:
        made = shop.take(shop.code("1s"))
        assert self.ended(stack, self.waiting(stack, made)) is FulfillmentState.FAILED
        assert shop.available() == "100.00"

    def test_a_webhook_shows_its_attempts_and_a_report_ends_them(self, shop: Shop, stack: Stack) -> None:
        asked, released = [], threading.Event()

        def script(_: object) -> Reply:
            asked.append(1)
            if len(asked) == 1:
                return Reply(500, b"no")
            assert released.wait(13)
            return Reply(200)

        with receive(script=script) as receiver:
            code, secret = shop.hooked(receiver.url)
            made = shop.take(code)
            flow = self.waiting(stack, made)

            async def status() -> FulfillmentFlowStatus:
                return await flow.query(contracts.STATUS_QUERY, result_type=FulfillmentFlowStatus)

            seen = poll(lambda: found if (found := stack.loop.run(status())).attempt else None)
            assert seen.attempt is not None
            assert (seen.attempt.number, seen.attempt.outcome, seen.attempt.response_status) == (1, "FAILED", 500)
            receiver.wait_for(2)
            seen = stack.loop.run(status())
            assert seen.last is not None
            assert (seen.last.attempt_count, seen.last.last_response_status) == (1, 500)
            assert seen.last.next_attempt_at is not None
            shop.hand_over(made, status="FULFILLED")
            assert self.ended(stack, flow) is FulfillmentState.FULFILLED
            released.set()
            history = stack.loop.run(flow.fetch_history()).to_json()
        assert secret not in history
        assert receiver.url not in history

    def test_a_missing_flow_is_started_again(self, shop: Shop, stack: Stack) -> None:
        made = shop.take(shop.code())
        flow = self.waiting(stack, made)
        stack.loop.run(flow.terminate())
        with stack.database.connection() as conn:
            conn.execute("UPDATE redemptions SET fulfillment_flow_at = NULL WHERE id = %s", [made["id"]])
        reconciliation = stack.client.get_schedule_handle(contracts.RECONCILE_SCHEDULE)
        stack.loop.run(reconciliation.trigger(overlap=ScheduleOverlapPolicy.ALLOW_ALL))
        poll(lambda: self.is_running(stack, flow), 20)
        again = self.waiting(stack, made)
        shop.hand_over(made, status="FULFILLED")
        assert self.ended(stack, again) is FulfillmentState.FULFILLED
