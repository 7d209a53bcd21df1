"""What was redeemed and has to be handed over: asks a webhook, if there is one, and waits for the outcome or the deadline."""

from datetime import timedelta

from temporalio import workflow

from domain.webhook_attempts import MAX_ATTEMPTS
from workflows import contracts, policies
from workflows.attributes import KIND, ORGANIZATION, PROGRAM, STATUS
from workflows.contracts_fulfillment import (
    ATTEMPT_FULFILLMENT,
    ATTEND_FULFILLMENT,
    FULFILLMENT_WORKFLOW,
    AttemptReport,
    FulfillmentFlowStatus,
    FulfillmentInput,
    FulfillmentReport,
    FulfillmentSignal,
    FulfillmentState,
)


@workflow.defn(name=FULFILLMENT_WORKFLOW)
class FulfillmentWorkflow:
    """Waits for a fulfilment's end: by a report, by a webhook's answer, by a reversal that cancels it, or by its deadline.

    An attempt of a webhook is an activity that is waited for together with the rest: whatever comes first ends the flow.
    The database knows where it stands, and whoever looks at the redemption carries out a deadline that has passed: without
    this flow only the webhook isn't asked, and nobody may look.
    """

    @workflow.init
    def __init__(self, start: FulfillmentInput) -> None:
        self._start = start
        self._changed = False
        self._was_cancelled = False
        self._state = FulfillmentState.PENDING
        self._report: FulfillmentReport | None = None
        self._attempting: workflow.ActivityHandle[AttemptReport] | None = None
        self._attempt: AttemptReport | None = None

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
            if self._attempting is None:
                if workflow.info().is_continue_as_new_suggested():
                    workflow.continue_as_new(start)
                if report.attempt_in_seconds is not None and report.attempt_in_seconds <= 0:
                    self._attempting = self._ask(report.attempt_count + 1)
            await self._wait(report)
            if self._attempting is not None and self._attempting.done():
                self._attempt, self._attempting = self._attempting.result(), None

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
        return FulfillmentFlowStatus(
            redemption_id=self._start.redemption_id, state=self._state, last=self._report, attempt=self._attempt
        )

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

    def _ask(self, number: int) -> workflow.ActivityHandle[AttemptReport]:
        return workflow.start_activity(
            ATTEMPT_FULFILLMENT,
            self._start,
            result_type=AttemptReport,
            task_queue=contracts.WEBHOOK_QUEUE,
            start_to_close_timeout=policies.ATTEMPT_TIMEOUT,
            retry_policy=policies.UNTIL_IT_WORKS,
            summary=f"asks the webhook, attempt {number} of {MAX_ATTEMPTS}",
        )

    async def _wait(self, report: FulfillmentReport) -> None:
        """Until something happens, the attempt under way included, or is due."""
        due = [report.deadline_in_seconds, None if self._attempting else report.attempt_in_seconds]
        seconds = min((each for each in due if each is not None), default=policies.LONGEST_TIMER.total_seconds())
        ahead = min(policies.LONGEST_TIMER, max(policies.SHORTEST_TIMER, timedelta(seconds=seconds)))
        try:
            await workflow.wait_condition(self._has_news, timeout=ahead)
        except TimeoutError:
            return

    def _has_news(self) -> bool:
        return self._changed or (self._attempting is not None and self._attempting.done())

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
            f"**Participant** {report.participant_id}{_attempts(report)}"
        )


def _attempts(report: FulfillmentReport) -> str:
    """The webhook's attempts in words; nothing without any."""
    if not report.attempt_count and report.next_attempt_at is None:
        return ""
    answer = report.last_error or report.last_response_status or "none"
    ahead = "none" if report.next_attempt_at is None else report.next_attempt_at.isoformat(timespec="seconds")
    return f"\n\n**Attempts** {report.attempt_count} of {MAX_ATTEMPTS}\n\n**Last answer** {answer}\n\n**Next attempt** {ahead}"
