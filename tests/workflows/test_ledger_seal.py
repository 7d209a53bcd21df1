"""Sealing as a flow: there is one, it shows what it does, and it goes on for ever; with the product's activity it seals."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities.due import ReconcileActivities
from activities.lanes import SweepActivities
from activities.ledger_seal import SealActivities
from db.session import Database
from services.deployment import deployed_lanes
from tests.support.client import Tenant
from tests.support.loop import LoopThread
from tests.support.stack import Stack, poll
from tests.support.till import Till
from tests.workflows.sealers import Script, sealed, working
from tests.workflows.test_event_lane import until
from workflows import contracts
from workflows.attributes import KIND
from workflows.contracts_seal import SEAL_WORKFLOW, SEAL_WORKFLOW_ID, SealInput, SealStatus, SealTotals
from workflows.signals import ensure_sealing

Seal = WorkflowHandle[Any, Any]


@asynccontextmanager
async def running(client: Client, script: Script) -> AsyncIterator[Seal]:
    """Sealing by this script; it is terminated in the end."""
    async with working(client, script) as queue:
        name = f"ledger-seal-{random.randrange(10**9)}"
        flow = await client.start_workflow(SEAL_WORKFLOW, SealInput(), id=name, task_queue=queue)
        try:
            yield flow
        finally:
            await client.get_workflow_handle(name).terminate()


async def status(flow: Seal) -> SealStatus:
    return await flow.query(contracts.STATUS_QUERY, result_type=SealStatus)


def test_what_it_shows(loop: LoopThread, client: Client) -> None:
    script = Script([sealed(2000, pages=2), sealed(3, failed=1, unsealed=7, lag_seconds=2.25)])

    async def scenario() -> None:
        async with running(client, script) as flow:
            await until(lambda: script.passes == 3)
            found = await status(flow)
            assert found.totals == SealTotals(entries=2003, pages=3, passes=2)
            assert found.last is not None
            assert (found.last.unsealed, found.last.lag_seconds) == (7, 2.25)
            assert (await flow.describe()).typed_search_attributes[KIND] == "ledger-seal"
            metadata = await flow.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
            assert "**Unsealed** 7 entries, the oldest for 2.2 s" in metadata.current_details
            assert "**Last pass** 3 entries in 1 pages, 1 failed" in metadata.current_details
            assert "**Since start** 2003 entries, 2 passes" in metadata.current_details

    loop.run(scenario())


def test_it_counts_on_when_it_continues_as_new(loop: LoopThread, forgetful: WorkflowEnvironment) -> None:
    script = Script([sealed(10)], is_endless=True)

    async def scenario() -> None:
        async with running(forgetful.client, script) as flow:
            latest = forgetful.client.get_workflow_handle(flow.id)
            await until(lambda: script.passes > 12)
            assert (await latest.describe()).run_id != flow.first_execution_run_id
            found = await status(latest)
            assert found.totals.passes >= 10
            assert found.totals.entries == 10 * found.totals.passes

    loop.run(scenario())


def test_there_is_one_per_deployment_and_it_comes_back(stack: Stack) -> None:
    async def scenario() -> None:
        # the worker may still be starting
        await ensure_sealing(stack.client)
        flow = stack.client.get_workflow_handle(SEAL_WORKFLOW_ID)
        first = await flow.describe()
        assert first.status is WorkflowExecutionStatus.RUNNING
        assert await first.static_summary() == "seals the ledger"
        await ensure_sealing(stack.client)
        assert (await flow.describe()).run_id == first.run_id
        await flow.terminate()
        sweep = SweepActivities(stack.database, stack.client, deployed_lanes(stack.database), 1.0)
        await ReconcileActivities(stack.database, stack.client, sweep).reconcile_flows()
        again = await flow.describe()
        assert again.status is WorkflowExecutionStatus.RUNNING
        assert again.run_id != first.run_id

    stack.loop.run(scenario())


def test_what_is_posted_is_sealed_soon(tenant: Tenant, stack: Stack) -> None:
    till = Till(tenant)
    till.credit("USD", "10.00")

    def numbers() -> list[int] | None:
        found = [entry["sequence_number"] for entry in till.entries()]
        return found if None not in found else None

    assert poll(numbers) == [1]
    till.debit("USD", "1.00")
    assert poll(numbers) == [1, 2]


def test_a_worker_that_stops_comes_back_from_its_pass(database: Database, loop: LoopThread, client: Client) -> None:
    """A pass of an hour is reported at once, and doesn't hold a stopping worker up."""
    activities = SealActivities(database, slice_seconds=3600.0)

    async def scenario() -> None:
        async with working(client, activities, grace=timedelta(seconds=60)) as queue:
            name = f"ledger-seal-{random.randrange(10**9)}"
            flow = await client.start_workflow(SEAL_WORKFLOW, SealInput(), id=name, task_queue=queue)
            await until(lambda: has_begun(flow))
        events = [event async for event in flow.fetch_history_events()]
        assert EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED in [event.event_type for event in events]
        await flow.terminate()

    loop.run(scenario())


async def has_begun(flow: Seal) -> bool:
    """Whether its activity has heartbeaten."""
    pending = (await flow.describe()).raw_description.pending_activities
    return bool(pending) and bool(pending[0].last_heartbeat_time.seconds)
