"""A worker whose lanes are drained by the test: the flows are the product's, what they call is a script."""

import contextlib
import random
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

from temporalio import activity
from temporalio.client import Client, WorkflowHandle

from tests.workflows.workers import serving
from workflows import contracts
from workflows.contracts import DrainInput, DrainReport, LaneStatus, SweepReport
from workflows.event_lane import EventLaneWorkflow
from workflows.lane_sweep import LaneSweepWorkflow
from workflows.signals import wake_lane

LANES = 2000


def report(**fields: object) -> DrainReport:
    """What a drain did: nothing, unless said otherwise."""
    return DrainReport.model_validate({"finished_at": datetime(2026, 1, 15, tzinfo=UTC), **fields})


class Script:
    """Stands for the database: `drain` answers each call of the activity, nothing by default."""

    def __init__(self, *reports: DrainReport) -> None:
        self.lane = random.randrange(1000, LANES)
        self.drains = 0
        self._reports: Iterator[DrainReport] = iter(reports)
        self._lock = threading.Lock()

    def drain(self) -> DrainReport:
        return next(self._reports, report())

    @activity.defn
    def drain_lane(self, call: DrainInput) -> DrainReport:
        """Count the call and answer by the script."""
        assert call.lane == self.lane
        with self._lock:
            self.drains += 1
        return self.drain()

    @activity.defn
    async def sweep_lanes(self) -> SweepReport:
        return SweepReport(woken=[1, 3])


class Queue(Script):
    """A lane with events: a drain takes all that wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self.processed = 0
        self.entered = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def add(self) -> None:
        with self._lock:
            self.waiting += 1

    def drain(self) -> DrainReport:
        with self._lock:
            taken, self.waiting = self.waiting, 0
            self.processed += taken
        self.entered.set()
        assert self.may_go_on.wait(20)
        return report(events=taken, batches=min(taken, 1))


@contextlib.asynccontextmanager
async def working(client: Client, script: Script) -> AsyncIterator[str]:
    """A worker that answers by the script; gives the name of its queue."""
    flows = [EventLaneWorkflow, LaneSweepWorkflow]
    async with serving(client, f"lanes-{script.lane}", flows, [script.drain_lane, script.sweep_lanes]) as queue:
        yield queue


async def wake(client: Client, script: Script, queue: str) -> WorkflowHandle[EventLaneWorkflow, LaneStatus]:
    """Wake the script's lane as the API does."""
    await wake_lane(client, script.lane, LANES, queue=queue)
    return client.get_workflow_handle_for(EventLaneWorkflow.run, contracts.lane_workflow_id(script.lane))
