"""A hold with a deadline, made through the API: what is still held at that moment returns, with or without a visitor."""

from datetime import timedelta

from temporalio import workflow

from workflows import contracts, policies
from workflows.attributes import KIND, ORGANIZATION, PROGRAM, STATUS
from workflows.contracts_hold import HOLD_WORKFLOW, HoldInput, HoldReport, HoldSignal, HoldState, HoldStatus

_ENDED_BY = {
    HoldSignal.RELEASED: HoldState.RELEASED,
    HoldSignal.FORFEITED: HoldState.FORFEITED,
    HoldSignal.VOIDED: HoldState.VOIDED,
    HoldSignal.SETTLED: HoldState.SETTLED,
    HoldSignal.DEBITED: HoldState.DEBITED,
}


@workflow.defn(name=HOLD_WORKFLOW)
class HoldWorkflow:
    """Waits for a hold's deadline, or for its earlier end, of which the operations tell by signals.

    The deadline is a due entry of the account too: the books are right without this flow, and whoever comes first posts it.
    """

    @workflow.init
    def __init__(self, start: HoldInput) -> None:
        self._start = start
        self._changed = False
        self._told: HoldState | None = None
        self._state = HoldState.OPEN
        self._report: HoldReport | None = None

    @workflow.run
    async def run(self, start: HoldInput) -> HoldStatus:
        """Attend to the hold until it ends; returns how it ended."""
        workflow.upsert_search_attributes(
            [
                KIND.value_set("hold"),
                ORGANIZATION.value_set(str(start.organization_id)),
                PROGRAM.value_set(str(start.program_id)),
                STATUS.value_set(HoldState.OPEN),
            ]
        )
        while True:
            self._changed = False
            report = await self._attend()
            self._note(report)
            if self._state is not HoldState.OPEN:
                workflow.upsert_search_attributes([STATUS.value_set(self._state)])
                return self.status()
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(start)
            await self._wait(report)

    @workflow.signal(name=HoldSignal.RELEASED)
    def released(self) -> None:
        """All or part of it was released by hand."""
        self._tell(HoldSignal.RELEASED)

    @workflow.signal(name=HoldSignal.FORFEITED)
    def forfeited(self) -> None:
        """All or part of it was forfeited."""
        self._tell(HoldSignal.FORFEITED)

    @workflow.signal(name=HoldSignal.VOIDED)
    def voided(self) -> None:
        """It was voided."""
        self._tell(HoldSignal.VOIDED)

    @workflow.signal(name=HoldSignal.SETTLED)
    def settled(self) -> None:
        """It was settled."""
        self._tell(HoldSignal.SETTLED)

    @workflow.signal(name=HoldSignal.DEBITED)
    def debited(self) -> None:
        """All or part of it was debited from HELD."""
        self._tell(HoldSignal.DEBITED)

    @workflow.signal(name=contracts.WAKE_SIGNAL)
    def wake(self) -> None:
        """A rule took from it, or the clock was moved: look at it again."""
        self._changed = True

    @workflow.query(name=contracts.STATUS_QUERY)
    def status(self) -> HoldStatus:
        """Where the hold stands, as of the last look."""
        return HoldStatus(hold_id=self._start.hold_id, state=self._state, hold=self._report)

    def _tell(self, signal: HoldSignal) -> None:
        self._told = _ENDED_BY[signal]
        self._changed = True

    async def _attend(self) -> HoldReport:
        report: HoldReport = await workflow.execute_activity(
            "attend_hold",
            self._start,
            result_type=HoldReport,
            start_to_close_timeout=policies.ATTEND_TIMEOUT,
            retry_policy=policies.UNTIL_IT_WORKS,
            summary="releases what is held when the deadline has come",
        )
        return report

    async def _wait(self, report: HoldReport) -> None:
        ahead = policies.LONGEST_TIMER
        if report.deadline_in_seconds is not None and report.deadline_in_seconds < ahead.total_seconds():
            ahead = max(policies.SHORTEST_TIMER, timedelta(seconds=report.deadline_in_seconds))
        try:
            await workflow.wait_condition(lambda: self._changed, timeout=ahead)
        except TimeoutError:
            return

    def _note(self, report: HoldReport) -> None:
        """The books know whether the deadline ended it; which operation did otherwise, only the operation's signal says."""
        self._report = report
        self._state = report.state
        if report.state is HoldState.ENDED and self._told is not None:
            self._state = self._told
        until = "" if report.expires_at is None else f" until {report.expires_at.isoformat(timespec='seconds')}"
        workflow.set_current_details(
            f"**{self._state}**{until}\n\n"
            f"**Held** {report.remaining} of {report.amount} {report.symbol}\n\n"
            f"**Reference** {report.reference_id or 'none'}"
        )
