"""The due work as a flow: it sleeps until the next due moment, is woken, shows what it does, and never forgets."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from db.session import Database
from runtime.embedded import EmbeddedPostgres
from tests.support.books import assert_books
from tests.support.databases import make_database
from tests.support.loop import LoopThread
from tests.workflows.due_world import Purse
from tests.workflows.test_event_lane import until
from tests.workflows.timers import Answers, Bound, JumpingClock, due_report, working
from workflows import contracts
from workflows.attributes import KIND
from workflows.contracts import DueInput, DueStatus, DueTotals
from workflows.signals import ensure_due_work

DueWork = WorkflowHandle[Any, Any]


@pytest.fixture(scope="module")
def ledger(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A database whose clock is bound to the server's that jumps."""
    with closing(Database(make_database(postgres.dsn, "due_work"), pool_size=8)) as database:
        yield database


async def status(flow: DueWork) -> DueStatus:
    return await flow.query(contracts.STATUS_QUERY, result_type=DueStatus)


async def sleeps(flow: DueWork) -> bool:
    return (await status(flow)).phase == "sleeping"


@asynccontextmanager
async def running(client: Client, answers: Answers | Bound) -> AsyncIterator[DueWork]:
    """The due work with these activities; it is terminated in the end."""
    async with working(client, answers) as queue:
        name = f"due-work-{random.randrange(10**9)}"
        flow = await client.start_workflow(contracts.DUE_WORKFLOW, DueInput(), id=name, task_queue=queue)
        try:
            yield flow
        finally:
            await flow.terminate()


class TestWhatItShows:
    def test_kind_status_and_details(self, loop: LoopThread, client: Client) -> None:
        answers = Answers(
            [
                due_report(accounts=50, entries=60, pages=1, more=True),
                due_report(accounts=3, entries=4, pages=1, failed=1, next_in_seconds=86400.4),
            ]
        )

        async def scenario() -> None:
            async with running(client, answers) as flow:
                await until(lambda: sleeps(flow))
                assert (await flow.describe()).typed_search_attributes[KIND] == "due-work"
                found = await status(flow)
                assert found.totals == DueTotals(accounts=53, entries=64, passes=2)
                metadata = await flow.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
                assert "**Next due moment** in 86400 s" in metadata.current_details
                assert "**Last pass** 4 entries on 3 accounts in 1 pages, 1 failed" in metadata.current_details
                assert "**Since start** 64 entries on 53 accounts, 2 passes" in metadata.current_details

        loop.run(scenario())

    def test_there_is_one_per_deployment(self, loop: LoopThread, skipping: WorkflowEnvironment) -> None:
        client = skipping.client

        async def scenario() -> None:
            async with working(client, Answers()) as queue:
                for wake in (False, False, True):
                    await ensure_due_work(client, wake=wake, queue=queue)
                flow = client.get_workflow_handle(contracts.DUE_WORKFLOW_ID)
                first = (await flow.describe()).run_id
                # the server's time stands still for ever when a flow is terminated with an activity on its way
                await until(lambda: sleeps(flow))
                await flow.terminate()
                await ensure_due_work(client, queue=queue)
                revived = await flow.describe()
                assert revived.status is WorkflowExecutionStatus.RUNNING
                assert revived.run_id != first
                assert await revived.static_summary() == "posts what is due"
                await until(lambda: sleeps(flow))
                await flow.terminate()

        loop.run(scenario())


class TestWaking:
    def test_signals_mean_a_look_at_once(self, loop: LoopThread, client: Client) -> None:
        answers = Answers()

        async def scenario() -> None:
            async with running(client, answers) as flow:
                for looks in range(1, 4):
                    await until(lambda looks=looks: answers.looks == looks)  # type: ignore[misc]
                    await until(lambda: sleeps(flow))
                    await flow.signal(contracts.WAKE_SIGNAL)

        loop.run(scenario())

    def test_it_looks_twice_a_minute_by_itself(self, loop: LoopThread, skipping: WorkflowEnvironment) -> None:
        answers = Answers()

        async def scenario() -> None:
            async with running(skipping.client, answers) as flow:
                await until(lambda: sleeps(flow))
                await skipping.sleep(timedelta(minutes=5))
                assert 10 <= answers.looks <= 12

        loop.run(scenario())

    def test_no_signal_is_lost_when_it_continues_as_new(self, loop: LoopThread, forgetful: WorkflowEnvironment) -> None:
        answers = Answers()

        async def scenario() -> None:
            async with running(forgetful.client, answers) as flow:
                latest = forgetful.client.get_workflow_handle(flow.id)
                runs = set()
                for _ in range(30):
                    before = answers.looks
                    await latest.signal(contracts.WAKE_SIGNAL)
                    await until(lambda before=before: answers.looks > before)  # type: ignore[misc]
                    runs.add((await latest.describe()).run_id)
                assert len(runs) > 2, "the history limit wasn't reached"
                await until(lambda: sleeps(latest))
                # a look whose task the server refused, because a signal came in between, is made again
                assert 0 < (await status(latest)).totals.passes <= answers.looks

        loop.run(scenario())


class TestOnTheLedger:
    """The product's activities, with the database's clock bound to the server's time."""

    def test_dates_are_met_without_a_signal(self, loop: LoopThread, skipping: WorkflowEnvironment, ledger: Database) -> None:
        clock = JumpingClock(skipping, loop, ledger)
        bound = Bound(clock)

        async def scenario() -> None:
            async with running(skipping.client, bound) as flow:
                await until(lambda: sleeps(flow))
                purse = await asyncio.to_thread(self._dated, clock)
                await skipping.sleep(timedelta(seconds=89))
                assert purse.entries() == ["CREDIT", "CREDIT"]
                await skipping.sleep(timedelta(seconds=3))
                await until(lambda: purse.entries() == ["CREDIT", "CREDIT", "EXPIRY"])
                await skipping.sleep(timedelta(hours=2))
                await until(lambda: purse.entries() == ["CREDIT", "CREDIT", "EXPIRY", "MATURITY"])
                assert purse.buckets(purse.world.miles) == (Decimal(5), Decimal(0), Decimal(0))
                assert_books(ledger, purse.world.organization_id)

        loop.run(scenario())

    @staticmethod
    def _dated(clock: JumpingClock) -> Purse:
        clock.set()
        purse = Purse(clock.database)
        purse.credit("100", expires_at=timedelta(seconds=90))
        purse.credit("5", matures_at=timedelta(hours=1))
        return purse

    def test_archived_assets_dont_make_it_spin(self, loop: LoopThread, skipping: WorkflowEnvironment, ledger: Database) -> None:
        clock = JumpingClock(skipping, loop, ledger)
        bound = Bound(clock)

        def archived() -> None:
            clock.set()
            purse = Purse(ledger)
            purse.credit("100", expires_at=timedelta(seconds=10))
            purse.archive(purse.world.miles)

        async def scenario() -> None:
            await asyncio.to_thread(archived)
            async with running(skipping.client, bound) as flow:
                await until(lambda: sleeps(flow))
                await skipping.sleep(timedelta(minutes=5))
                assert 8 <= bound.looks <= 13

        loop.run(scenario())
