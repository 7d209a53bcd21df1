"""Fan-outs and scheduled events as flows: what they show, what stops them, and that nothing is lost on the way."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from activities import automations
from runtime.ids import new_id
from services import fan_outs
from tests.services.automation_world import enrol, made_by, record
from tests.services.lane_world import Shop
from tests.services.rule_world import make_organization, make_world, set_status
from tests.support.loop import LoopThread
from tests.support.stack import Stack, poll
from tests.workflows.test_event_lane import until
from tests.workflows.timers import Answers, due_report, run_report, some_run, working
from workflows import contracts
from workflows.attributes import KIND, ORGANIZATION, PROGRAM, STATUS
from workflows.contracts import (
    LEDGER_QUEUE,
    DueInput,
    DueKind,
    DueStatus,
    DueTotals,
    RunInput,
    RunState,
    RunStatus,
)
from workflows.contracts_reconcile import ReconcileReport
from workflows.signals import ensure_due_work, start_automation_run

Run = WorkflowHandle[Any, Any]
FULL = run_report(events=0, pages=0)
DONE = run_report(RunState.COMPLETED, 1000)


def handle_of(client: Client, run: RunInput) -> Run:
    return client.get_workflow_handle(contracts.automation_run_workflow_id(run.automation_id), result_type=RunStatus)


@asynccontextmanager
async def fanning_out(client: Client, answers: Answers) -> AsyncIterator[tuple[Run, RunInput]]:
    run = some_run()
    async with working(client, answers) as queue:
        await start_automation_run(client, run, queue=queue)
        yield handle_of(client, run), run


async def status(flow: Run) -> RunStatus:
    return await flow.query(contracts.STATUS_QUERY, result_type=RunStatus)


class TestRun:
    def test_what_it_shows(self, loop: LoopThread, client: Client) -> None:
        async def scenario() -> None:
            async with fanning_out(client, Answers(runs=[run_report(processed=250), FULL])) as (flow, run):
                await until(lambda: _is_at(flow, 500))
                described = await flow.describe()
                found = described.typed_search_attributes
                assert (found[KIND], found[STATUS]) == ("automation-run", "EXECUTING")
                assert (found[ORGANIZATION], found[PROGRAM]) == (str(run.organization_id), str(run.program_id))
                assert flow.id == f"automation-run/{run.automation_id}"
                assert await described.static_summary() == "one event for each participant"
                metadata = await flow.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
                assert "**EXECUTING** 500 of 1000 participants, 50 %" in metadata.current_details
                assert "**Event** gift" in metadata.current_details
                await flow.terminate()

        loop.run(scenario())

    @pytest.mark.parametrize("end", [state for state in RunState if state is not RunState.EXECUTING])
    def test_every_end_is_its_result(self, loop: LoopThread, client: Client, end: RunState) -> None:
        answers = Answers(runs=[run_report(), run_report(end, 700, error="trouble" if end is RunState.FAILED else None)])

        async def scenario() -> None:
            async with fanning_out(client, answers) as (flow, _):
                found: RunStatus = await flow.result()
                assert (found.phase, found.processed) == (end, 700)
                assert (await flow.describe()).typed_search_attributes[STATUS] == end

        loop.run(scenario())

    def test_it_waits_while_the_lanes_are_full(self, loop: LoopThread, skipping: WorkflowEnvironment) -> None:
        answers = Answers(runs=[run_report(), FULL, FULL, FULL, run_report(), FULL, DONE])

        async def scenario() -> None:
            async with fanning_out(skipping.client, answers) as (flow, _):
                began = await skipping.get_current_time()
                await flow.result()
                assert (await skipping.get_current_time()) - began >= timedelta(seconds=4)
                assert answers.waited == [False] * 4 + [True, False, False], "lanes that are always full don't starve it"

        loop.run(scenario())

    def test_a_signal_cancels_it(self, loop: LoopThread, client: Client) -> None:
        answers = Answers(runs=[run_report(), FULL])

        async def scenario() -> None:
            async with fanning_out(client, answers) as (flow, _):
                await until(lambda: answers.looks > 1)
                await flow.signal(contracts.CANCEL_SIGNAL)
                found: RunStatus = await flow.result()
                assert (found.phase, found.error, found.processed, answers.cancels) == ("FAILED", "cancelled", 500, 1)

        loop.run(scenario())

    def test_it_continues_as_new_and_doesnt_forget_to_stop(self, loop: LoopThread, forgetful: WorkflowEnvironment) -> None:
        pages = [run_report(processed=n) for n in range(40)]
        answers = Answers(runs=[*pages, DONE])

        async def scenario() -> None:
            async with fanning_out(forgetful.client, answers) as (flow, _):
                assert (await flow.result()).processed == 1000
                assert answers.looks == 41
                first = forgetful.client.get_workflow_handle(flow.id, run_id=(await _first_run(forgetful.client, flow.id)))
                assert (await first.describe()).status is WorkflowExecutionStatus.CONTINUED_AS_NEW

        loop.run(scenario())

    def test_a_start_while_it_runs_changes_nothing(self, loop: LoopThread, client: Client) -> None:
        async def scenario() -> None:
            run = some_run()
            async with working(client, Answers(runs=[FULL])) as queue:
                await start_automation_run(client, run, queue=queue)
                first = (await handle_of(client, run).describe()).run_id
                await start_automation_run(client, run, queue=queue)
                assert (await handle_of(client, run).describe()).run_id == first
                await handle_of(client, run).terminate()

        loop.run(scenario())


async def _is_at(flow: Run, processed: int) -> bool:
    return (await status(flow)).processed == processed


async def _first_run(client: Client, workflow_id: str) -> str:
    """The run whose history begins with the start from outside."""
    found = client.get_workflow_handle(workflow_id)
    description = await found.describe()
    return str(description.raw_description.workflow_execution_info.first_run_id)


class TestScheduledEvents:
    def test_kind_totals_and_details(self, loop: LoopThread, client: Client) -> None:
        answers = Answers([due_report(events=100, pages=1, more=True), due_report(events=5, runs=2, pages=1, next_in_seconds=20)])

        async def scenario() -> None:
            async with working(client, answers) as queue:
                name = f"due-work-events-{random.randrange(10**9)}"
                start = DueInput(kind=DueKind.SCHEDULED_EVENTS)
                flow = await client.start_workflow(contracts.DUE_WORKFLOW, start, id=name, task_queue=queue)
                await until(lambda: answers.looks == 2)
                await until(lambda: _sleeps(flow))
                found = await flow.query(contracts.STATUS_QUERY, result_type=DueStatus)
                assert found.totals == DueTotals(events=105, runs=2, passes=2)
                metadata = await flow.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
                assert "**Next due moment** in 20 s" in metadata.current_details
                assert "**Last pass** 5 events, 2 fan-outs started in 1 pages" in metadata.current_details
                assert (await flow.describe()).typed_search_attributes[KIND] == "due-work"
                await flow.terminate()

        loop.run(scenario())

    def test_all_kinds_run_side_by_side(self, loop: LoopThread, stack: Stack) -> None:
        names = {
            DueKind.ACCOUNTS: "due-work/lots",
            DueKind.SCHEDULED_EVENTS: "due-work/scheduled-events",
            DueKind.EXPIRY_NOTICES: "due-work/expiry-notices",
        }
        assert names.keys() == set(DueKind)

        async def run(name: str) -> bool:
            with suppress(RPCError):
                return (await stack.client.get_workflow_handle(name).describe()).status is WorkflowExecutionStatus.RUNNING
            return False

        for kind, name in names.items():
            assert kind.workflow_id == name
            poll(lambda name=name: stack.loop.run(run(name)))  # type: ignore[misc]


async def _sleeps(flow: WorkflowHandle[Any, Any]) -> bool:
    return (await flow.query(contracts.STATUS_QUERY, result_type=DueStatus)).phase == "sleeping"


class TestOnTheRunningProduct:
    """Fan-outs put into the database, as a crash would leave them: nobody has told anyone."""

    def shop(self, stack: Stack) -> Shop:
        return Shop(stack.database, make_world(stack.database, make_organization(stack.database)))

    def broadcast(self, shop: Shop) -> RunInput:
        id_ = new_id()
        with shop.database.connection() as conn:
            conn.execute(
                """
                INSERT INTO automations (id, organization_id, program_id, name, trigger_type, scope, source, event_name,
                                         execution_status, execution_at, created_at, updated_at)
                VALUES (%s, %s, %s, 'all', 'immediate', 'participants', 'api', 'gift', 'pending', openscrip_now(),
                        openscrip_now(), openscrip_now())
                """,
                [id_, shop.organization_id, shop.world.program_id],
            )
        return RunInput(automation_id=id_, organization_id=shop.organization_id, program_id=shop.world.program_id)

    def test_a_wake_starts_what_is_pending(self, stack: Stack) -> None:
        shop = self.shop(stack)
        people = enrol(shop, 20)
        run = self.broadcast(shop)
        stack.loop.run(ensure_due_work(stack.client, DueKind.SCHEDULED_EVENTS, wake=True))
        poll(lambda: record(shop, run.automation_id, "execution_status") == ("completed",))
        result: RunStatus = stack.loop.run(handle_of(stack.client, run).result())
        assert (result.phase, result.total, result.processed) == ("COMPLETED", 20, 20)
        assert made_by(shop, run.automation_id) == people

    def test_the_reconciliation_goes_on_with_what_was_left(self, stack: Stack) -> None:
        shop = self.shop(stack)
        people = enrol(shop, 20)
        run = self.broadcast(shop)
        set_status(stack.database, "programs", shop.world.program_id, "SUSPENDED")
        stack.loop.run(start_automation_run(stack.client, run))
        waiting: RunStatus = stack.loop.run(handle_of(stack.client, run).result())
        assert waiting.phase == "WAITING"
        set_status(stack.database, "programs", shop.world.program_id, "ACTIVE")
        stack.loop.run(stack.client.get_workflow_handle(contracts.SCHEDULED_WORKFLOW_ID).terminate())

        async def one_pass() -> ReconcileReport:
            return await stack.client.execute_workflow(
                contracts.RECONCILE_WORKFLOW, id="reconcile-fan-outs", task_queue=LEDGER_QUEUE, result_type=ReconcileReport
            )

        assert stack.loop.run(one_pass()).runs >= 1
        poll(lambda: record(shop, run.automation_id, "execution_status") == ("completed",))
        assert made_by(shop, run.automation_id) == people
        described = stack.loop.run(stack.client.get_workflow_handle(contracts.SCHEDULED_WORKFLOW_ID).describe())
        assert described.status is WorkflowExecutionStatus.RUNNING

    def fail(self, monkeypatch: pytest.MonkeyPatch, run: RunInput, *failures: Exception) -> None:
        """Let the pages of a fan-out fail in these ways before one works; two failures of its own are one too many."""
        left = list(failures)

        def make_events(conn: Any, firings: Any, *rest: Any) -> Any:
            if left and firings and firings[0].automation.id == run.automation_id:
                raise left.pop(0)
            return real(conn, firings, *rest)

        real = fan_outs.make_events
        monkeypatch.setattr(fan_outs, "make_events", make_events)
        monkeypatch.setattr(automations, "MOST_FAILURES", 2)

    def test_a_database_that_was_away_is_no_failure(self, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
        shop = self.shop(stack)
        people = enrol(shop, 20)
        run = self.broadcast(shop)
        self.fail(monkeypatch, run, psycopg.OperationalError(), psycopg.OperationalError(), ZeroDivisionError())
        stack.loop.run(start_automation_run(stack.client, run))
        result: RunStatus = stack.loop.run(handle_of(stack.client, run).result())
        assert (result.phase, made_by(shop, run.automation_id)) == ("COMPLETED", people)

    def test_it_is_given_up_after_failures_of_its_own(self, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
        shop = self.shop(stack)
        enrol(shop, 20)
        run = self.broadcast(shop)
        self.fail(monkeypatch, run, ZeroDivisionError(), psycopg.OperationalError(), ZeroDivisionError())
        stack.loop.run(start_automation_run(stack.client, run))
        result: RunStatus = stack.loop.run(handle_of(stack.client, run).result())
        assert (result.phase, result.processed, made_by(shop, run.automation_id)) == ("FAILED", 0, [])

    def test_a_cancelled_one_is_stopped_in_the_database_too(self, stack: Stack) -> None:
        shop = self.shop(stack)
        enrol(shop, 20)
        run = self.broadcast(shop).model_copy(update={"is_cancelled": True})
        stack.loop.run(start_automation_run(stack.client, run))
        result: RunStatus = stack.loop.run(handle_of(stack.client, run).result())
        assert result.phase == "ARCHIVED"
        assert record(shop, run.automation_id, "status, execution_status") == ("archived", "idle")
        assert made_by(shop, run.automation_id) == []

    def test_an_unknown_one_fails_at_once(self, stack: Stack) -> None:
        run = some_run()
        stack.loop.run(start_automation_run(stack.client, run))
        with pytest.raises(WorkflowFailureError) as failure:
            stack.loop.run(handle_of(stack.client, run).result())
        assert "has no fan-out" in str(failure.value.cause.cause)
