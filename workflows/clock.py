"""The test clock under way: one move at a time, through every due moment, for a person to watch."""

from datetime import timedelta

from temporalio import workflow

from workflows import contracts, policies
from workflows.attributes import KIND
from workflows.contracts_clock import CLOCK_WORKFLOW, ClockInput, ClockReport, ClockResult


@workflow.defn(name=CLOCK_WORKFLOW)
class ClockWorkflow:
    """Moves the clock of the deployment to a target, slice by slice; stops where it is when its time is over."""

    @workflow.init
    def __init__(self, start: ClockInput) -> None:
        self._result = ClockResult(target=start.target)

    @workflow.run
    async def run(self, start: ClockInput) -> ClockResult:
        """Move until the target is reached or the seconds are over; returns where the clock is."""
        workflow.upsert_search_attributes([KIND.value_set("test-clock")])
        ends_at = workflow.now() + timedelta(seconds=start.seconds)
        while not self._result.reached and workflow.now() < ends_at:
            report = await self._move(start)
            start = start.model_copy(update={"after": report.visited})
            self._note(report)
            await self._wake(report)
        return self._result

    @workflow.query(name=contracts.STATUS_QUERY)
    def status(self) -> ClockResult:
        """Where the clock is, as of the last slice."""
        return self._result

    async def _move(self, start: ClockInput) -> ClockReport:
        report: ClockReport = await workflow.execute_activity(
            "move_clock",
            start,
            result_type=ClockReport,
            start_to_close_timeout=policies.CLOCK_TIMEOUT,
            heartbeat_timeout=policies.CLOCK_HEARTBEAT,
            retry_policy=policies.UNTIL_IT_WORKS,
            summary=f"moves the clock to {start.target.isoformat(timespec='seconds')}",
        )
        return report

    async def _wake(self, report: ClockReport) -> None:
        await workflow.execute_activity(
            "wake_sleepers",
            args=[report.passed_holds, report.passed_fulfillments],
            start_to_close_timeout=policies.CLOCK_TIMEOUT,
            retry_policy=policies.UNTIL_IT_WORKS,
            summary="flows look at the clock again",
        )

    def _note(self, report: ClockReport) -> None:
        steps = self._result.steps + report.steps
        update = {"now": report.now, "steps": steps, "reached": report.reached}
        self._result = self._result.model_copy(update=update)
        workflow.set_current_details(
            f"**Clock** {report.now.isoformat(timespec='seconds')}\n\n"
            f"**Target** {self._result.target.isoformat(timespec='seconds')}{', reached' if report.reached else ''}\n\n"
            f"**Due moments visited** {steps}"
        )
