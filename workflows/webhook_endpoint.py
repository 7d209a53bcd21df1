"""An endpoint: sends what waits for it as long as something does, and rests while the endpoint is blocked."""

from datetime import timedelta

from temporalio import workflow

from workflows import contracts, policies
from workflows.attributes import KIND, ORGANIZATION, STATUS
from workflows.contracts_webhooks import (
    CHANGED_SIGNAL,
    ENDPOINT_WORKFLOW,
    SEND_DELIVERIES,
    EndpointFlowStatus,
    EndpointInput,
    SendReport,
    SendTotals,
)

ARCHIVED = "ARCHIVED"


@workflow.defn(name=ENDPOINT_WORKFLOW)
class WebhookEndpointWorkflow:
    """Sends the deliveries of one endpoint, each endpoint on its own: a slow one delays nobody else.

    The database has every delivery; a lost signal costs seconds (the sweep finds what waits), never a message.
    """

    @workflow.init
    def __init__(self, start: EndpointInput) -> None:
        self._start = start
        self._totals = start.totals
        self._has_messages = False
        self._is_changed = False
        self._phase = "sending"
        self._state = ""
        self._last: SendReport | None = None

    @workflow.run
    async def run(self, start: EndpointInput) -> EndpointFlowStatus:
        """Send until nothing comes for `WEBHOOK_IDLE`, or the endpoint is ARCHIVED; returns the last status."""
        workflow.upsert_search_attributes(
            [KIND.value_set("webhook-endpoint"), ORGANIZATION.value_set(str(start.organization_id))]
        )
        while True:
            self._has_messages = self._is_changed = False
            report = await self._send()
            self._note(report)
            if report.status == ARCHIVED and not report.more:
                return self.status()
            if workflow.info().is_continue_as_new_suggested():
                # the next run begins by looking, so a signal that came meanwhile isn't lost
                workflow.continue_as_new(start.model_copy(update={"totals": self._totals}))
            if report.more:
                continue
            if not await self._woken(report) and report.next_in_seconds is None:
                return self.status()

    @workflow.signal(name=contracts.WAKE_SIGNAL)
    def wake(self) -> None:
        """There are new messages. While the endpoint is blocked they wait."""
        self._has_messages = True

    @workflow.signal(name=CHANGED_SIGNAL)
    def changed(self) -> None:
        """The endpoint was changed, or somebody wants to try something: look at once, blocked or not."""
        self._is_changed = True

    @workflow.query(name=contracts.STATUS_QUERY)
    def status(self) -> EndpointFlowStatus:
        """What the flow is doing, and what it did last."""
        return EndpointFlowStatus(endpoint_id=self._start.endpoint_id, phase=self._phase, totals=self._totals, last=self._last)

    async def _send(self) -> SendReport:
        self._phase = "sending"
        report: SendReport = await workflow.execute_activity(
            SEND_DELIVERIES,
            self._start,
            result_type=SendReport,
            start_to_close_timeout=policies.SEND_TIMEOUT,
            heartbeat_timeout=policies.SEND_HEARTBEAT,
            retry_policy=policies.UNTIL_IT_WORKS,
            summary="sends what waits",
        )
        return report

    async def _woken(self, report: SendReport) -> bool:
        """Wait until there is something to do, at most as long as the report says."""
        is_blocked = report.blocked is not None
        self._phase = report.blocked or "waiting"
        patience = policies.WEBHOOK_IDLE
        if report.next_in_seconds is not None:
            patience = min(policies.LONGEST_TIMER, max(policies.SHORTEST_TIMER, timedelta(seconds=report.next_in_seconds)))
        try:
            await workflow.wait_condition(
                lambda: self._is_changed or (self._has_messages and not is_blocked),
                timeout=patience,
                timeout_summary="waits for the next message" if not is_blocked else f"rests: {report.blocked}",
            )
        except TimeoutError:
            return self._has_messages
        return True

    def _note(self, report: SendReport) -> None:
        """Count, and tell a person who looks at the flow in the UI what it is doing."""
        self._last = report
        self._totals = SendTotals(
            attempts=self._totals.attempts + report.attempts,
            delivered=self._totals.delivered + report.delivered,
            passes=self._totals.passes + 1,
        )
        state = report.blocked.upper() if report.blocked and report.status == "ACTIVE" else report.status
        if state != self._state:
            self._state = state
            workflow.upsert_search_attributes([STATUS.value_set(state)])
        until = "" if report.blocked_until is None else f" until {report.blocked_until.isoformat(timespec='seconds')}"
        workflow.set_current_details(
            f"**{state}**{until}\n\n"
            f"**Pending** {report.pending}{'+' if report.pending >= 1000 else ''} deliveries\n\n"
            f"**Last pass** {report.attempts} attempts, {report.delivered} delivered, {report.failed} failed\n\n"
            f"**Since start** {self._totals.attempts} attempts, {self._totals.delivered} delivered, {self._totals.passes} passes"
        )
