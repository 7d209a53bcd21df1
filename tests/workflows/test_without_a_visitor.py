"""Through HTTP, on the running product: what has a date happens although nobody looks, and holds show as flows."""

from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowHandle
from temporalio.service import RPCError

from tests.api.routes.money import Money
from tests.api.routes.test_group_balances import Family
from tests.support.client import Tenant
from tests.support.stack import Stack, poll
from tests.workflows.due_world import Purse
from workflows import contracts
from workflows.attributes import KIND, ORGANIZATION, PROGRAM, STATUS
from workflows.contracts import LEDGER_QUEUE, DueStatus
from workflows.contracts_hold import HoldState, HoldStatus, hold_workflow_id
from workflows.contracts_reconcile import ReconcileReport

# Two seconds until the date, and no more than this after it.
BOUND_SECONDS = 8.0


@pytest.fixture
def money(tenant: Tenant) -> Money:
    return Money(tenant)


def journal(stack: Stack, money: Money) -> list[str]:
    return actions(stack, money.api)


def actions(stack: Stack, tenant: Tenant) -> list[str]:
    """The organization's entries, straight from the table: reading over HTTP would be a visit."""
    with stack.database.connection() as conn:
        rows = conn.execute(
            "SELECT action_type FROM journal_entries WHERE organization_id = %s ORDER BY created_at, id",
            [tenant.organization_id],
        ).fetchall()
    return [row[0] for row in rows]


def hold_flow(stack: Stack, money: Money) -> WorkflowHandle[Any, Any]:
    """The flow of the organization's only hold, once it runs."""
    with stack.database.connection() as conn:
        row = conn.execute("SELECT id FROM holds WHERE organization_id = %s", [money.api.organization_id]).fetchone()
    assert row is not None
    return handle_of(stack, hold_workflow_id(row[0]))


def handle_of(stack: Stack, workflow_id: str) -> WorkflowHandle[Any, Any]:
    handle = stack.client.get_workflow_handle(workflow_id, result_type=HoldStatus)

    def runs() -> bool:
        try:
            return bool(stack.loop.run(handle.query(contracts.STATUS_QUERY, result_type=HoldStatus)).hold)
        except RPCError:
            return False

    poll(runs)
    return handle


def state_of(stack: Stack, handle: WorkflowHandle[Any, Any]) -> HoldState:
    """How the hold ended."""
    outcome: HoldStatus = stack.loop.run(handle.result(), 20)
    return outcome.state


class TestLots:
    def test_a_credit_expires(self, stack: Stack, money: Money) -> None:
        money.credit("MILES", "100", expires_at="2s")
        poll(lambda: journal(stack, money) == ["CREDIT", "EXPIRY"], 2 + BOUND_SECONDS)
        assert money.balance("MILES") == "0/0/0"

    def test_a_credit_matures_and_then_expires(self, stack: Stack, money: Money) -> None:
        money.credit("MILES", "100", matures_at="1s", expires_at="2s")
        poll(lambda: journal(stack, money) == ["CREDIT", "MATURITY", "EXPIRY"], 2 + BOUND_SECONDS)

    def test_the_flow_says_so(self, stack: Stack) -> None:
        due = stack.client.get_workflow_handle(contracts.DUE_WORKFLOW_ID)
        found = stack.loop.run(due.query(contracts.STATUS_QUERY, result_type=DueStatus))
        assert found.phase in ("posting", "sleeping")
        assert stack.loop.run(due.describe()).typed_search_attributes[KIND] == "due-work"


class TestHolds:
    def test_a_hold_ends_at_its_deadline(self, stack: Stack, money: Money) -> None:
        money.credit("USD", "100")
        money.hold("USD", "40", expires_at="2s", reference_id="auth-1", description="Room of Ann Smith")
        handle = hold_flow(stack, money)
        described = stack.loop.run(handle.describe())
        attributes = described.typed_search_attributes
        assert (attributes[KIND], attributes[STATUS]) == ("hold", "OPEN")
        assert (attributes[ORGANIZATION], attributes[PROGRAM]) == (str(money.api.organization_id), money.program)
        poll(lambda: journal(stack, money) == ["CREDIT", "HOLD", "RELEASE"], 2 + BOUND_SECONDS)
        assert state_of(stack, handle) is HoldState.EXPIRED
        assert stack.loop.run(handle.describe()).typed_search_attributes[STATUS] == "EXPIRED"
        assert "Ann" not in stack.loop.run(handle.fetch_history()).to_json()
        [entry, *_] = money.entries()[::-1]
        assert (entry["reference_id"], entry["description"], entry["created_by_api_key_id"]) == ("auth-1", "Hold expired", None)

    @pytest.mark.parametrize(
        ("operation", "body", "state"),
        [
            ("release", {}, HoldState.RELEASED),
            ("forfeit", {"bucket": "HELD"}, HoldState.FORFEITED),
            ("adjust", {"type": "DEBIT", "bucket": "HELD", "amount": "40"}, HoldState.DEBITED),
        ],
    )
    @pytest.mark.parametrize("symbol", ["USD", "MILES"])
    def test_an_operation_ends_its_flow(
        self, stack: Stack, money: Money, symbol: str, operation: str, body: dict[str, Any], state: HoldState
    ) -> None:
        money.credit(symbol, "100")
        money.hold(symbol, "40", expires_at="72h")
        handle = hold_flow(stack, money)
        money.act(operation, symbol, **body)
        assert state_of(stack, handle) is state

    def test_a_part_leaves_it_open(self, stack: Stack, money: Money) -> None:
        money.credit("USD", "100")
        money.hold("USD", "40", expires_at="72h")
        handle = hold_flow(stack, money)
        money.release("USD", "10")

        def remaining() -> bool:
            found = stack.loop.run(handle.query(contracts.STATUS_QUERY, result_type=HoldStatus))
            return found.hold is not None and (found.state, found.hold.remaining) == (HoldState.OPEN, "30.00")

        poll(remaining)
        money.release("USD", "30")
        assert state_of(stack, handle) is HoldState.RELEASED

    def test_a_replay_starts_nothing_and_a_hold_without_deadline_neither(self, stack: Stack, money: Money) -> None:
        money.credit("USD", "100")
        for _ in range(2):
            money.hold("USD", "40", expires_at="72h", idempotency_key="once")
        handle = hold_flow(stack, money)
        first = stack.loop.run(handle.describe()).run_id
        money.hold("USD", "40", expires_at="72h", idempotency_key="once")
        money.release("USD", "40")
        assert state_of(stack, handle) is HoldState.RELEASED
        money.hold("USD", "40", expires_at="72h", idempotency_key="once")
        assert stack.loop.run(handle.describe()).run_id == first
        money.hold("USD", "5")
        assert journal(stack, money) == ["CREDIT", "HOLD", "RELEASE", "HOLD"]


class TestGroups:
    def test_a_groups_lots_and_holds_end_too(self, stack: Stack, tenant: Tenant) -> None:
        family = Family(tenant)
        family.credit("P", "MILES", "10", expires_at="2s")
        family.credit("Q", "USD", "100")
        family.act("hold", "Q", "USD", amount="40", expires_at="2s")
        with stack.database.connection() as conn:
            [(hold_id,)] = conn.execute("SELECT id FROM holds WHERE organization_id = %s", [tenant.organization_id]).fetchall()
        handle = handle_of(stack, hold_workflow_id(hold_id))
        assert stack.loop.run(handle.describe()).typed_search_attributes[PROGRAM] == family.programs["Q"]
        poll(lambda: sorted(actions(stack, tenant)) == ["CREDIT", "CREDIT", "EXPIRY", "HOLD", "RELEASE"], 2 + BOUND_SECONDS)
        assert state_of(stack, handle) is HoldState.EXPIRED


class TestReconciliation:
    def test_a_hold_without_a_flow_gets_one_and_the_due_work_comes_back(self, stack: Stack) -> None:
        purse = Purse(stack.database)
        purse.credit("100", purse.world.cash)
        hold = purse.hold("40", timedelta(seconds=60))
        stack.loop.run(stack.client.get_workflow_handle(contracts.DUE_WORKFLOW_ID).terminate())

        async def one_pass() -> ReconcileReport:
            return await stack.client.execute_workflow(
                contracts.RECONCILE_WORKFLOW, id="reconcile-by-hand", task_queue=LEDGER_QUEUE, result_type=ReconcileReport
            )

        report = stack.loop.run(one_pass())
        assert report.holds >= 1
        assert report.failed == 0
        handle_of(stack, hold_workflow_id(hold.hold_id))
        due = stack.client.get_workflow_handle(contracts.DUE_WORKFLOW_ID)
        assert stack.loop.run(due.query(contracts.STATUS_QUERY, result_type=DueStatus)).phase in ("posting", "sleeping")
