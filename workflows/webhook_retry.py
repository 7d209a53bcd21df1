"""A delivery that failed: attempts it again and again, with longer and longer waits, until it is delivered or given up."""

from datetime import timedelta

from temporalio import workflow

from workflows import contracts, policies
from workflows.attributes import KIND, ORGANIZATION, STATUS
from workflows.contracts_webhooks import ATTEMPT_DELIVERY, RETRY_WORKFLOW, RetryFlowStatus, RetryInput, RetryReport

_ENDS = ("DELIVERED", "FAILED")


@workflow.defn(name=RETRY_WORKFLOW)
class WebhookRetryWorkflow:
    """Sleeps to the next attempt of one delivery, has it made, and so on.

    The database knows when it is due. While its endpoint is blocked the delivery rests; whoever sends to the endpoint again
    takes it along, and tells this flow.
    """

    @workflow.init
    def __init__(self, start: RetryInput) -> None:
        self._start = start
        self._is_changed = False
        self._last: RetryReport | None = None

    @workflow.run
    async def run(self, start: RetryInput) -> RetryFlowStatus:
        """Attend to the delivery until it ends; returns how."""
        workflow.upsert_search_attributes(
            [
                KIND.value_set("webhook-retry"),
                ORGANIZATION.value_set(str(start.organization_id)),
                STATUS.value_set("PENDING"),
            ]
        )
        while True:
            self._is_changed = False
            report = await self._attempt()
            self._note(report)
            if report.status in _ENDS:
                workflow.upsert_search_attributes([STATUS.value_set(report.status)])
                return self.status()
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(start)
            await self._sleep(report)

    @workflow.signal(name=contracts.WAKE_SIGNAL)
    def wake(self) -> None:
        """Somebody else attempted the delivery, or the clock was moved: look again."""
        self._is_changed = True

    @workflow.query(name=contracts.STATUS_QUERY)
    def status(self) -> RetryFlowStatus:
        """Where the delivery stands, as of the last look."""
        return RetryFlowStatus(delivery_id=self._start.delivery_id, endpoint_id=self._start.endpoint_id, last=self._last)

    async def _attempt(self) -> RetryReport:
        report: RetryReport = await workflow.execute_activity(
            ATTEMPT_DELIVERY,
            self._start,
            result_type=RetryReport,
            start_to_close_timeout=policies.WEBHOOK_ATTEMPT_TIMEOUT,
            retry_policy=policies.UNTIL_IT_WORKS,
            summary="makes the attempt if it is due",
        )
        return report

    async def _sleep(self, report: RetryReport) -> None:
        seconds = policies.WEBHOOK_IDLE.total_seconds() if report.next_in_seconds is None else report.next_in_seconds
        ahead = min(policies.LONGEST_TIMER, max(policies.SHORTEST_TIMER, timedelta(seconds=seconds)))
        try:
            await workflow.wait_condition(lambda: self._is_changed, timeout=ahead, timeout_summary="waits for the next attempt")
        except TimeoutError:
            return

    def _note(self, report: RetryReport) -> None:
        self._last = report
        until = "" if report.next_attempt_at is None else f"\n\n**Next** {report.next_attempt_at.isoformat(timespec='seconds')}"
        blocked = "" if report.blocked is None else f" (endpoint: {report.blocked})"
        workflow.set_current_details(
            f"**{report.status}**{blocked}\n\n"
            f"**Message** {report.event_type}\n\n"
            f"**Attempts** {report.attempt_count} of {report.max_attempts}\n\n"
            f"**Last answer** {report.last_error or report.last_response_status or 'none'}{until}"
        )
