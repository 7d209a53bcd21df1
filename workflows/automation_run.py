"""A fan-out: one event for each participant of a program, page by page, as long as that takes."""

from temporalio import workflow

from workflows import contracts, policies
from workflows.attributes import KIND, ORGANIZATION, PROGRAM, STATUS
from workflows.contracts import RunInput, RunReport, RunState, RunStatus


@workflow.defn(name=contracts.AUTOMATION_RUN_WORKFLOW)
class AutomationRunWorkflow:
    """Brings one automation's fan-out to its end.

    The database knows who has still to get an event: a run that is lost, or ends because the program was suspended, is started
    again by the reconciliation and goes on where it was.
    """

    @workflow.init
    def __init__(self, start: RunInput) -> None:
        self._start = start
        self._is_cancelled = start.is_cancelled
        self._pauses = 0
        self._report: RunReport | None = None

    @workflow.run
    async def run(self, start: RunInput) -> RunStatus:
        """Make page after page; returns how it ended."""
        workflow.upsert_search_attributes(
            [
                KIND.value_set("automation-run"),
                ORGANIZATION.value_set(str(start.organization_id)),
                PROGRAM.value_set(str(start.program_id)),
                STATUS.value_set(RunState.EXECUTING),
            ]
        )
        while True:
            report = await self._step()
            self._note(report)
            if report.state is not RunState.EXECUTING:
                workflow.upsert_search_attributes([STATUS.value_set(report.state)])
                return self.status()
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(start.model_copy(update={"is_cancelled": self._is_cancelled}))
            self._pauses = 0 if report.pages else self._pauses + 1
            if self._pauses:
                await self._pause()

    @workflow.signal(name=contracts.CANCEL_SIGNAL)
    def cancel(self) -> None:
        """Stop after the page under way: events that were made stay, the rest is skipped."""
        self._is_cancelled = True

    @workflow.query(name=contracts.STATUS_QUERY)
    def status(self) -> RunStatus:
        """How far it is, as of the last look."""
        report = self._report
        return RunStatus(
            automation_id=self._start.automation_id,
            phase="BEGINNING" if report is None else report.state,
            total=0 if report is None else report.total,
            processed=0 if report is None else report.processed,
            error=None if report is None else report.error,
        )

    async def _step(self) -> RunReport:
        report: RunReport = await workflow.execute_activity(
            "cancel_fan_out" if self._is_cancelled else "run_fan_out",
            self._start.model_copy(update={"has_waited": self._pauses >= policies.RUN_PAUSES}),
            result_type=RunReport,
            start_to_close_timeout=policies.RUN_TIMEOUT,
            heartbeat_timeout=policies.RUN_HEARTBEAT,
            retry_policy=policies.UNTIL_IT_WORKS,
            summary="stops it" if self._is_cancelled else "makes the next events",
        )
        return report

    async def _pause(self) -> None:
        try:
            await workflow.wait_condition(lambda: self._is_cancelled, timeout=policies.RUN_PAUSE)
        except TimeoutError:
            return

    def _note(self, report: RunReport) -> None:
        """Tell a person who looks at the flow in the UI how far it is."""
        self._report = report
        share = f", {100 * report.processed // report.total} %" if report.total else ""
        trouble = "" if report.error is None else f"\n\n**Error** {report.error}"
        workflow.set_current_details(
            f"**{report.state}** {report.processed} of {report.total} participants{share}\n\n"
            f"**Event** {report.event_name}\n\n"
            f"**Last look** {report.events} events in {report.pages} pages{trouble}"
        )
