"""What was redeemed and has to be handed over: waits for the report of it, or for the deadline, which gives the value back."""

from datetime import timedelta

from temporalio import workflow

from workflows import contracts, policies
from workflows.attributes import KIND, ORGANIZATION, PROGRAM, STATUS
from workflows.contracts_fulfillment import (
    ATTEND_FULFILLMENT,
    FULFILLMENT_WORKFLOW,
    FulfillmentFlowStatus,
    FulfillmentInput,
    FulfillmentReport,
    FulfillmentSignal,
    FulfillmentState,
)


@workflow.defn(name=FULFILLMENT_WORKFLOW)
class FulfillmentWorkflow:
    """Waits for a fulfilment's end: by a report, by a reversal that cancels it, or by its deadline.

    The database knows where it stands, and whoever looks at the redemption carries out a deadline that has passed: everything
    is right without this flow, but for nobody's looking.
    """

    @workflow.init
    def __init__(self, start: FulfillmentInput) -> None:
        self._start = start
        self._changed = False
        self._was_cancelled = False
        self._state = FulfillmentState.PENDING
        self._report: FulfillmentReport | None = None

    @workflow.run
    async def run(self, start: FulfillmentInput) -> FulfillmentFlowStatus:
        """Attend to the fulfilment until it ends; returns how it ended."""
        workflow.upsert_search_attributes(
            [
                KIND.value_set("fulfillment"),
                ORGANIZATION.value_set(str(start.organization_id)),
                PROGRAM.value_set(str(start.program_id)),
                STATUS.value_set(FulfillmentState.PENDING),
            ]
        )
        while True:
            self._changed = False
            report = await self._attend()
            self._note(report)
            if self._state is not FulfillmentState.PENDING:
                workflow.upsert_search_attributes([STATUS.value_set(self._state)])
                return self.status()
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(start)
            await self._wait(report)

    @workflow.signal(name=FulfillmentSignal.REPORTED)
    def reported(self) -> None:
        """A client reported the outcome."""
        self._changed = True

    @workflow.signal(name=FulfillmentSignal.CANCELLED)
    def cancelled(self) -> None:
        """The redemption was reversed, which ends its fulfilment."""
        self._was_cancelled = True
        self._changed = True

    @workflow.signal(name=contracts.WAKE_SIGNAL)
    def wake(self) -> None:
        """The clock may have been moved: look at the deadline again."""
        self._changed = True

    @workflow.query(name=contracts.STATUS_QUERY)
    def status(self) -> FulfillmentFlowStatus:
        """Where the fulfilment stands, as of the last look."""
        return FulfillmentFlowStatus(redemption_id=self._start.redemption_id, state=self._state, last=self._report)

    async def _attend(self) -> FulfillmentReport:
        report: FulfillmentReport = await workflow.execute_activity(
            ATTEND_FULFILLMENT,
            self._start,
            result_type=FulfillmentReport,
            start_to_close_timeout=policies.ATTEND_TIMEOUT,
            retry_policy=policies.UNTIL_IT_WORKS,
            summary="gives the value back when the deadline has passed",
        )
        return report

    async def _wait(self, report: FulfillmentReport) -> None:
        ahead = policies.LONGEST_TIMER
        if report.deadline_in_seconds is not None and report.deadline_in_seconds < ahead.total_seconds():
            ahead = max(policies.SHORTEST_TIMER, timedelta(seconds=report.deadline_in_seconds))
        try:
            await workflow.wait_condition(lambda: self._changed, timeout=ahead)
        except TimeoutError:
            return

    def _note(self, report: FulfillmentReport) -> None:
        """The database knows that it failed; that a reversal cancelled it, only the signal says."""
        self._report = report
        self._state = report.state
        if report.state is FulfillmentState.FAILED and self._was_cancelled:
            self._state = FulfillmentState.CANCELLED
        until = "" if report.expires_at is None else f" until {report.expires_at.isoformat(timespec='seconds')}"
        units = "" if report.quantity is None else f" for {report.quantity}"
        workflow.set_current_details(
            f"**{self._state}**{until}\n\n"
            f"**Redeemed** {report.amount}{units} ({report.ledger_status})\n\n"
            f"**Participant** {report.participant_id}"
        )
