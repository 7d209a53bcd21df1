"""Lanes as flows: what they show, what wakes them, when they end, and that no signal is lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from tests.support.loop import LoopThread
from tests.workflows.lanes import LANES, Queue, Script, report, wake, working
from workflows import contracts
from workflows.attributes import KIND
from workflows.contracts import LaneStatus, LaneTotals
from workflows.event_lane import EventLaneWorkflow
from workflows.policies import LANE_IDLE, LANE_TASK_TIMEOUT

Lane = WorkflowHandle[EventLaneWorkflow, LaneStatus]


async def until(look: Callable[[], Awaitable[bool] | bool], timeout_seconds: float = 10.0) -> None:
    """Poll until it is so."""
    async with asyncio.timeout(timeout_seconds):
        while True:
            found = look()
            if found is True or (not isinstance(found, bool) and await found):
                return
            await asyncio.sleep(0.02)


async def status(lane: Lane) -> LaneStatus:
    return await lane.query(contracts.STATUS_QUERY, result_type=LaneStatus)


async def waits(lane: Lane) -> bool:
    return (await status(lane)).phase == "waiting"


async def details(lane: Lane) -> str:
    """The current details, as the UI shows them."""
    metadata = await lane.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    return str(metadata.current_details)


@asynccontextmanager
async def running(client: Client, script: Script) -> AsyncIterator[tuple[Lane, str]]:
    """A lane at work; it is terminated in the end."""
    async with working(client, script) as queue:
        lane = await wake(client, script, queue)
        try:
            yield lane, queue
        finally:
            if (await lane.describe()).status is WorkflowExecutionStatus.RUNNING:
                await lane.terminate()


class TestWhatItShows:
    def test_summary_kind_status_and_details(self, loop: LoopThread, client: Client) -> None:
        script = Script(
            report(events=7, failed=2, entries=5, batches=3, backlog=4, last_batch_events=2, last_batch_ms=1.5, more=True),
            report(events=4, entries=4, batches=1, last_batch_events=4, last_batch_ms=12.3),
        )

        async def scenario() -> None:
            async with running(client, script) as (lane, _):
                await until(lambda: waits(lane))
                described = await lane.describe()
                assert await described.static_summary() == f"lane {script.lane} of {LANES}"
                assert described.typed_search_attributes[KIND] == "event-lane"
                assert lane.id == f"event-lane/{script.lane}"
                found = await status(lane)
                assert (found.lane, found.lanes, found.phase, found.backlog) == (script.lane, LANES, "waiting", 0)
                assert found.totals == LaneTotals(events=11, failed=2, entries=9, drains=2)
                assert found.last is not None
                assert found.last.last_batch_events == 4
                text = await details(lane)
                assert "**Backlog** 0 events" in text
                assert "**Last drain** 4 events in 1 batches, 0 failed, last batch 4 events in 12.3 ms" in text
                assert "**Since start** 11 events, 2 failed, 9 journal entries, 2 drains" in text

        loop.run(scenario())

    def test_a_long_backlog_is_counted_no_further(self, loop: LoopThread, client: Client) -> None:
        async def scenario() -> None:
            async with running(client, Script(report(backlog=1000))) as (lane, _):
                await until(lambda: waits(lane))
                assert "**Backlog** 1000+ events" in await details(lane)

        loop.run(scenario())


class TestWaking:
    # the longer one outlives its task: the signals are delivered while it runs
    @pytest.mark.parametrize("seconds", [0.0, LANE_TASK_TIMEOUT.total_seconds()])
    def test_signals_during_a_drain_mean_one_more(self, loop: LoopThread, client: Client, seconds: float) -> None:
        script = Queue()
        script.may_go_on.clear()

        async def scenario() -> None:
            async with running(client, script) as (lane, queue):
                await asyncio.to_thread(script.entered.wait, 10)
                for _ in range(20):
                    script.add()
                    await wake(client, script, queue)
                await asyncio.sleep(seconds)
                script.may_go_on.set()
                await until(lambda: waits(lane))
                assert script.drains == 2
                assert (await status(lane)).totals.events == 20

        loop.run(scenario())

    def test_a_waiting_lane_drains_at_once(self, loop: LoopThread, client: Client) -> None:
        script = Queue()

        async def scenario() -> None:
            async with running(client, script) as (lane, queue):
                for drains in range(2, 6):
                    await until(lambda: waits(lane))
                    script.add()
                    await wake(client, script, queue)
                    await until(lambda drains=drains: script.drains == drains)  # type: ignore[misc]
                await until(lambda: waits(lane))
                assert (await status(lane)).totals == LaneTotals(events=4, drains=5)

        loop.run(scenario())

    def test_more_work_is_done_without_a_signal(self, loop: LoopThread, client: Client) -> None:
        script = Script(*[report(events=200, more=True)] * 3, report(events=5))

        async def scenario() -> None:
            async with running(client, script) as (lane, _):
                await until(lambda: waits(lane))
                assert (await status(lane)).totals == LaneTotals(events=605, drains=4)

        loop.run(scenario())

    def test_a_busy_lane_looks_again_soon(self, loop: LoopThread, client: Client) -> None:
        script = Script(report(busy=True), report(busy=True), report(events=1))

        async def scenario() -> None:
            async with running(client, script) as (lane, _):
                await until(lambda: script.drains == 3, 5)
                await until(lambda: waits(lane))
                assert (await status(lane)).totals == LaneTotals(events=1, drains=3)

        loop.run(scenario())


class TestTime:
    def test_an_idle_lane_ends_and_the_next_signal_revives_it(self, loop: LoopThread, skipping: WorkflowEnvironment) -> None:
        script = Queue()

        async def scenario() -> None:
            async with working(skipping.client, script) as queue:
                script.add()
                lane = await wake(skipping.client, script, queue)
                await until(lambda: waits(lane))
                first = await lane.describe()
                await skipping.sleep(LANE_IDLE - timedelta(seconds=5))
                assert (await lane.describe()).status is WorkflowExecutionStatus.RUNNING
                await skipping.sleep(timedelta(seconds=10))
                assert (await lane.result()).totals == LaneTotals(events=1, drains=1)
                script.add()
                again = await wake(skipping.client, script, queue)
                await until(lambda: script.waiting == 0)
                assert (await again.describe()).run_id != first.run_id
                await skipping.sleep(LANE_IDLE + timedelta(seconds=5))
                assert (await again.result()).totals == LaneTotals(events=1, drains=1)

        loop.run(scenario())

    def test_it_looks_again_when_an_attempt_is_due(self, loop: LoopThread, skipping: WorkflowEnvironment) -> None:
        script = Script(report(backlog=1, retry_in_seconds=30.0), report(backlog=1, retry_in_seconds=0.0), report(events=1))

        async def scenario() -> None:
            async with running(skipping.client, script) as (lane, _):
                await until(lambda: waits(lane))
                await skipping.sleep(timedelta(seconds=25))
                assert script.drains == 1
                await skipping.sleep(timedelta(seconds=10))
                await until(lambda: script.drains == 3)
                assert (await status(lane)).totals == LaneTotals(events=1, drains=3)

        loop.run(scenario())

    def test_it_never_ends_while_an_attempt_is_ahead(self, loop: LoopThread, skipping: WorkflowEnvironment) -> None:
        script = Script(*[report(backlog=1, retry_in_seconds=3600.0)] * 3)

        async def scenario() -> None:
            async with running(skipping.client, script) as (lane, _):
                await until(lambda: waits(lane))
                await skipping.sleep(timedelta(hours=2.5))
                assert script.drains == 3
                assert (await lane.describe()).status is WorkflowExecutionStatus.RUNNING

        loop.run(scenario())


class TestContinueAsNew:
    def test_no_signal_is_lost(self, loop: LoopThread, forgetful: WorkflowEnvironment) -> None:
        script = Queue()
        events = 60

        async def scenario() -> None:
            client = forgetful.client
            async with running(client, script) as (lane, queue):
                first = (await lane.describe()).run_id
                runs = {first}
                for number in range(events):
                    script.add()
                    await wake(client, script, queue)
                    if number % 3 == 0:
                        await asyncio.sleep(0.01)
                        runs.add((await lane.describe()).run_id)
                await until(lambda: script.waiting == 0)
                await until(lambda: waits(lane))
                runs.add((await lane.describe()).run_id)
                assert script.processed == events
                # the report of a drain is lost with a task that the server refuses, because a signal came in between
                assert 0 < (await status(lane)).totals.events <= events
                assert len(runs) > 2, "the history limit wasn't reached"

        loop.run(scenario())
