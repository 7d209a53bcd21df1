"""Record a history of every flow, to be replayed in CI: `python -m tests.workflows.record`.

Do this when a flow was changed on purpose and no running one of the old kind is left; otherwise use `workflow.patched`.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from temporalio.client import Client, WorkflowHistory
from temporalio.testing import WorkflowEnvironment

from tests.workflows import servers
from tests.workflows.lanes import Queue, Script, report, wake, working
from workflows import contracts
from workflows.contracts import LaneStatus
from workflows.policies import LANE_IDLE

HISTORIES = Path(__file__).parent / "histories"


async def _settled(client: Client, workflow_id: str) -> None:
    handle = client.get_workflow_handle(workflow_id)
    while (await handle.query(contracts.STATUS_QUERY, result_type=LaneStatus)).phase != "waiting":
        await asyncio.sleep(0.05)


async def idle_lane(environment: WorkflowEnvironment) -> WorkflowHistory:
    """Drains, is woken twice, drains again, waits for an attempt, and ends."""
    busy = [report(events=200, batches=2, more=True), report(events=5, failed=1, batches=1, backlog=1, retry_in_seconds=2.0)]
    script = Script(*busy, report(events=1), report(busy=True), report(events=3))
    async with working(environment.client, script) as queue:
        lane = await wake(environment.client, script, queue)
        await environment.sleep(timedelta(seconds=3))
        await _settled(environment.client, lane.id)
        for _ in range(2):
            await wake(environment.client, script, queue)
            await environment.sleep(timedelta(seconds=3))
        await environment.sleep(LANE_IDLE + timedelta(seconds=30))
        await lane.result()
        return await lane.fetch_history()


async def continued_lane(environment: WorkflowEnvironment) -> WorkflowHistory:
    """Drains until its history is long enough, and continues as new."""
    script = Queue()
    async with working(environment.client, script) as queue:
        lane = await wake(environment.client, script, queue)
        first = (await lane.describe()).run_id
        while (await lane.describe()).run_id == first:
            script.add()
            await wake(environment.client, script, queue)
            await _settled(environment.client, lane.id)
        await lane.terminate()
        return await environment.client.get_workflow_handle(lane.id, run_id=first).fetch_history()


async def sweep(environment: WorkflowEnvironment) -> WorkflowHistory:
    """One pass."""
    script = Script()
    async with working(environment.client, script) as queue:
        handle = await environment.client.start_workflow(
            contracts.SWEEP_WORKFLOW, id=f"lane-sweep-{script.lane}", task_queue=queue
        )
        await handle.result()
        return await handle.fetch_history()


@asynccontextmanager
async def _shut_down(environment: WorkflowEnvironment) -> AsyncIterator[WorkflowEnvironment]:
    try:
        yield environment
    finally:
        await environment.shutdown()


async def main() -> None:
    """Write all histories anew."""
    HISTORIES.mkdir(exist_ok=True)
    async with _shut_down(await servers.time_skipping()) as skipping:
        _write("event_lane_idle", await idle_lane(skipping))
    async with _shut_down(await servers.with_short_histories()) as short:
        _write("event_lane_continued", await continued_lane(short))
        _write("lane_sweep", await sweep(short))


def _write(name: str, history: WorkflowHistory) -> None:
    file = HISTORIES / f"{name}.json"
    # who recorded it is nobody's business
    text = re.sub(r'"identity": "[^"]*"', '"identity": "recorder"', history.to_json())
    file.write_text(re.sub(r'("buildId"|"binaryChecksum"): "[^"]*"', r'\1: "recorded"', text) + "\n", encoding="utf-8")
    print(f"{file.name}: {len(history.events)} events")


if __name__ == "__main__":
    asyncio.run(main())
