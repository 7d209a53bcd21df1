"""A lane: wait for a wake signal, drain the lane, repeat (ADR 1). One per lane number, on any worker."""

from datetime import timedelta

from temporalio import workflow

from workflows import contracts, policies
from workflows.attributes import KIND
from workflows.contracts import DrainInput, DrainReport, LaneInput, LaneStatus


@workflow.defn(name=contracts.LANE_WORKFLOW)
class EventLaneWorkflow:
    """Drains one lane of the event queue for as long as there are events.

    The database has every event; a lost signal costs seconds (the sweep wakes the lane), never an event.
    """

    @workflow.init
    def __init__(self, start: LaneInput) -> None:
        self._start = start
        self._totals = start.totals
        self._dirty = True
        self._phase = "draining"
        self._last: DrainReport | None = None
        self._last_work = DrainReport()

    @workflow.run
    async def run(self, start: LaneInput) -> LaneStatus:
        """Drain until idle for `LANE_IDLE`; returns the last status."""
        workflow.upsert_search_attributes([KIND.value_set("event-lane")])
        while True:
            self._dirty = False
            report = await self._drain()
            self._note(report)
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(LaneInput(lane=start.lane, lanes=start.lanes, totals=self._totals))
            if report.more:
                continue
            if not await self._woken(self._patience(report)) and not self._expects_more(report):
                return self.status()

    @workflow.signal(name=contracts.WAKE_SIGNAL)
    def wake(self) -> None:
        """There are new events. Any number of signals before a drain mean one drain."""
        self._dirty = True

    @workflow.query(name=contracts.STATUS_QUERY)
    def status(self) -> LaneStatus:
        """What the lane is doing, and what it did last."""
        return LaneStatus(
            lane=self._start.lane,
            lanes=self._start.lanes,
            phase=self._phase,
            backlog=0 if self._last is None else self._last.backlog,
            totals=self._totals,
            last=self._last,
        )

    async def _drain(self) -> DrainReport:
        self._phase = "draining"
        report: DrainReport = await workflow.execute_local_activity(
            "drain_lane",
            DrainInput(lane=self._start.lane),
            result_type=DrainReport,
            start_to_close_timeout=policies.DRAIN_TIMEOUT,
            retry_policy=policies.UNTIL_IT_WORKS,
        )
        return report

    async def _woken(self, patience: timedelta) -> bool:
        self._phase = "waiting"
        try:
            await workflow.wait_condition(lambda: self._dirty, timeout=patience, timeout_summary="waits for the next event")
        except TimeoutError:
            return False
        return True

    @staticmethod
    def _patience(report: DrainReport) -> timedelta:
        """How long to wait for a signal: shorter when the lane knows of work itself."""
        if report.busy:
            return policies.LANE_BUSY
        if report.retry_in_seconds is not None:
            return timedelta(seconds=max(0.1, report.retry_in_seconds))
        return policies.LANE_IDLE

    @staticmethod
    def _expects_more(report: DrainReport) -> bool:
        return report.busy or report.retry_in_seconds is not None

    def _note(self, report: DrainReport) -> None:
        """Count, and tell a person who looks at the flow in the UI what it is doing."""
        self._last = report
        if report.events:
            self._last_work = report
        work, totals = self._last_work, self._totals
        self._totals = contracts.LaneTotals(
            events=totals.events + report.events,
            failed=totals.failed + report.failed,
            entries=totals.entries + report.entries,
            drains=totals.drains + 1,
        )
        workflow.set_current_details(
            f"**Backlog** {report.backlog}{'+' if report.backlog >= 1000 else ''} events\n\n"
            f"**Last drain** {work.events} events in {work.batches} batches, {work.failed} failed, "
            f"last batch {work.last_batch_events} events in {work.last_batch_ms:.1f} ms\n\n"
            f"**Since start** {self._totals.events} events, {self._totals.failed} failed, "
            f"{self._totals.entries} journal entries, {self._totals.drains} drains"
        )
