"""What the test clock calls: move to the next due moment, do everything that is due then, and so on for a slice of time."""

import time
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session
from temporalio import activity
from temporalio.client import Client

from activities.due import post_all_due
from activities.lanes import LaneActivities
from db.repositories import event_queue as queue
from db.session import Database
from services import clock, holds
from services.clock import Move
from services.holds import DatedHold
from services.transactions import transact
from workflows.contracts import ClockInput, ClockReport, DrainInput, HoldInput
from workflows.signals import RPCError, ensure_due_work, start_hold

# One call works for about this long, so that its flow shows where the clock is.
SLICE_SECONDS = 2.0
# Somebody else drains the lane, or an event waits for another attempt.
WAIT_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class ClockActivities:
    """Moves the test clock, with the database and the Temporal client of this worker; a call that is repeated goes on."""

    database: Database
    client: Client

    @activity.defn
    def move_clock(self, call: ClockInput) -> ClockReport:
        """Visit due moments in order, up to the target or the end of the slice."""
        deadline = time.monotonic() + SLICE_SECONDS
        here = transact(self.database, lambda session: clock.begin(session, call.target))
        report = _resumed() or ClockReport(now=here)
        if not self._finish(here, deadline):
            return report
        while here < call.target and time.monotonic() < deadline and not activity.is_worker_shutdown():
            passed, move = self._advance(here, call.target)
            here = move.moment
            report.steps += move.is_due
            report.now = move.now
            report.passed_holds += passed
            activity.heartbeat(report)
            if not self._finish(here, deadline):
                return report
        report.reached = here >= call.target
        return report

    def _advance(self, after: datetime, target: datetime) -> tuple[list[HoldInput], Move]:
        def work(session: Session) -> tuple[list[HoldInput], Move]:
            move = clock.advance(session, after, target)
            return [_named(hold) for hold in holds.ending_between(session, after, move.moment)], move

        return transact(self.database, work)

    def _finish(self, moment: datetime, deadline: float) -> bool:
        """Do everything that is due at this moment, and what comes of it; False when that needs longer than the slice."""
        post_all_due(self.database, moment)
        lanes = LaneActivities(self.database)
        while waiting := self._lanes_with_events():
            reports = [lanes.drain_lane(DrainInput(lane=lane)) for lane in waiting]
            if time.monotonic() > deadline:
                return not self._lanes_with_events()
            if not any(report.events for report in reports):
                time.sleep(WAIT_SECONDS)
        return True

    def _lanes_with_events(self) -> list[int]:
        with self.database.connection() as conn:
            return queue.lanes_with_events(conn)

    @activity.defn
    async def wake_sleepers(self, passed: list[HoldInput]) -> int:
        """Have the flows that sleep look at the clock again: the due work, and the holds whose deadline was passed."""
        await ensure_due_work(self.client, wake=True)
        for hold in passed:
            try:
                await start_hold(self.client, hold, wake=True)
            except RPCError as error:
                activity.logger.warning("hold %s wasn't woken: %s", hold.hold_id, error)
        return len(passed)


def _named(hold: DatedHold) -> HoldInput:
    return HoldInput(hold_id=hold.id, organization_id=hold.organization_id, program_id=hold.program_id)


def _resumed() -> ClockReport | None:
    """What an attempt of the same slice had done before it was lost."""
    details = activity.info().heartbeat_details
    return ClockReport.model_validate(details[0]) if details else None
