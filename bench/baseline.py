"""The baseline: one workflow per event, whose one activity accepts and processes that event by the product's own services.

It is given every advantage: a local activity, no workflow sandbox, nobody waits for results, and no HTTP before it.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from pydantic import BaseModel
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from bench.plan import Plan, Report, hold, purchases, read_plan, write
from db.session import Database
from domain.lanes import lane_of
from runtime.log import configure_logging
from runtime.settings import Settings, get_settings
from runtime.temporal import connect
from services.deployment import deployed_lanes
from services.ingest import Accepted, Submission, accept
from services.processing import StartAgain, process_batch

QUEUE = "bench-baseline"
TIMEOUT = timedelta(seconds=30)
BUSY_SECONDS = 0.002
CONCURRENCY = 32


class OneEvent(BaseModel):
    """An event as it travels through the workflow."""

    organization_id: UUID
    program_id: UUID
    external_id: str
    key: str
    moment: datetime
    data: str


@workflow.defn(name="BenchOneEventWorkflow")
class OneEventWorkflow:
    """Processes its event and ends."""

    @workflow.run
    async def run(self, event: OneEvent) -> int:
        """Run the one activity."""
        posted: int = await workflow.execute_local_activity(
            "process_one_event", event, result_type=int, start_to_close_timeout=TIMEOUT
        )
        return posted


@dataclass(frozen=True, slots=True)
class OneEventActivities:
    """The activity, with the database of this worker."""

    database: Database
    lanes: int

    @activity.defn(name="process_one_event")
    def process_one_event(self, event: OneEvent) -> int:
        """Accept and process the event in one transaction, again while its lane is taken; any number of runs have one effect."""
        submission = Submission(
            event.organization_id, event.program_id, event.key, event.moment, event.data, external_id=event.external_id
        )
        while not self._attempt(submission):
            time.sleep(BUSY_SECONDS)
        return 1

    def _attempt(self, submission: Submission) -> bool:
        try:
            with self.database.connection() as conn:
                [result] = accept(conn, [submission], self.lanes)
                if not isinstance(result, Accepted):
                    raise result
                if result.lane is None:
                    return True
                assert result.event.participant_id is not None
                # nobody else sees the queued event before the commit, and the lane has no other
                if not process_batch(conn, lane_of(result.event.participant_id, self.lanes), limit=1).events:
                    raise StartAgain
                return True
        except StartAgain:
            return False


async def work(settings: Settings) -> None:
    """A worker of the baseline, until SIGTERM."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    database = Database(settings.require_database_url(), pool_size=settings.database_pool_size)
    client = await connect(settings)
    activities = OneEventActivities(database, await asyncio.to_thread(deployed_lanes, database))
    with contextlib.closing(database), ThreadPoolExecutor(settings.database_pool_size) as executor:
        async with Worker(
            client,
            task_queue=QUEUE,
            workflows=[OneEventWorkflow],
            activities=[activities.process_one_event],
            activity_executor=executor,
            max_concurrent_local_activities=settings.database_pool_size,
            workflow_runner=UnsandboxedWorkflowRunner(),
        ):
            await stopping.wait()


async def start_all(settings: Settings, plan: Plan, organization_id: UUID, moment: datetime, report_file: Path) -> Report:
    """Start a workflow per event, so many at a time."""
    client = await connect(settings)
    feed = iter(list(_events(plan, organization_id, moment)))
    hold(report_file)
    began, cpu = time.monotonic(), time.process_time()
    await asyncio.gather(*(_start(client, feed) for _ in range(CONCURRENCY)))
    return Report(began, time.monotonic(), time.process_time() - cpu)


async def _start(client: Client, feed: Iterator[OneEvent]) -> None:
    for event in feed:
        await client.start_workflow(OneEventWorkflow.run, event, id=f"bench-event/{event.key}", task_queue=QUEUE)


def _events(plan: Plan, organization_id: UUID, moment: datetime) -> Iterator[OneEvent]:
    for purchase in purchases(plan):
        data = json.dumps(purchase.body(plan, "")["event_data"], separators=(",", ":"))
        yield OneEvent(
            organization_id=organization_id,
            program_id=UUID(plan.program_id),
            external_id=purchase.external_id,
            key=purchase.key,
            moment=moment,
            data=data,
        )


def main(arguments: list[str]) -> None:
    """`work`, or `start PLAN REPORT`."""
    settings = get_settings()
    configure_logging(settings)
    if arguments == ["work"]:
        asyncio.run(work(settings))
        return
    plan = read_plan(Path(arguments[1]))
    database = Database(settings.require_database_url(), pool_size=1)
    with contextlib.closing(database), database.connection() as conn:
        row = conn.execute("SELECT organization_id, openscrip_now() FROM programs WHERE id = %s", [plan.program_id]).fetchone()
    assert row is not None
    report_file = Path(arguments[2])
    write(report_file, asyncio.run(start_all(settings, plan, row[0], row[1], report_file)))
    # Temporal's client may abort an interpreter that ends soon after its last call; the report is written
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
