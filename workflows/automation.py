"""An automation made through the API: sleeps to its next moment and has it fired; signals do what the API does."""

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import WorkflowAlreadyStartedError

from workflows import contracts, policies
from workflows.attributes import KIND, ORGANIZATION, PROGRAM, STATUS
from workflows.contracts import RunInput
from workflows.contracts_automation import (
    ATTEND_AUTOMATION,
    ATTEND_SUBSCRIPTIONS,
    AUTOMATION_WORKFLOW,
    COMMAND_AUTOMATION,
    AutomationCommand,
    AutomationFlowStatus,
    AutomationInput,
    AutomationPhase,
    AutomationReport,
    AutomationSignal,
    CommandReport,
    SubscriptionsReport,
)


@workflow.defn(name=AUTOMATION_WORKFLOW)
class AutomationWorkflow:
    """One flow for each automation, until it is archived or has fired for the last time.

    The database knows the moment, and whoever comes first fires: a flow that is lost is started again by the reconciliation,
    and meanwhile the due work does what it would have done.
    """

    @workflow.init
    def __init__(self, start: AutomationInput) -> None:
        self._start = start
        self._commands = list(start.commands)
        self._dirty = False
        self._last: AutomationReport | None = None
        self._last_command: CommandReport | None = None
        self._run: workflow.ChildWorkflowHandle[Any, Any] | None = None

    @workflow.run
    async def run(self, start: AutomationInput) -> AutomationFlowStatus:
        """Carry out what was asked, fire what is due, sleep, repeat; returns how it ended."""
        workflow.upsert_search_attributes(
            [
                KIND.value_set("automation"),
                ORGANIZATION.value_set(str(start.organization_id)),
                PROGRAM.value_set(str(start.program_id)),
                STATUS.value_set(AutomationPhase.ACTIVE),
            ]
        )
        phase = AutomationPhase.ACTIVE
        while True:
            self._dirty = False
            while self._commands:
                await self._carry_out(self._commands.pop(0))
            report = await self._attend()
            if report.phase is not phase:
                phase = report.phase
                workflow.upsert_search_attributes([STATUS.value_set(phase)])
            if report.has_pending_run:
                await self._start_run()
            if report.has_subscriptions:
                report = await self._attend_subscriptions(report)
            if self._commands:
                continue
            if phase is AutomationPhase.OVER and not self._dirty:
                return self.status()
            if workflow.info().is_continue_as_new_suggested():
                # the next run begins by looking, so a wake that came meanwhile isn't lost
                workflow.continue_as_new(start.model_copy(update={"commands": self._commands}))
            await self._sleep(report)

    @workflow.signal(name=AutomationSignal.TRIGGER)
    def trigger(self) -> None:
        """Fire now."""
        self._ask(AutomationSignal.TRIGGER)

    @workflow.signal(name=AutomationSignal.CANCEL)
    def cancel(self) -> None:
        """Stop the fan-out under way, or what hasn't begun."""
        self._ask(AutomationSignal.CANCEL)

    @workflow.signal(name=AutomationSignal.PAUSE)
    def pause(self) -> None:
        """Fire no more until it is made active again."""
        self._ask(AutomationSignal.PAUSE)

    @workflow.signal(name=AutomationSignal.REFRESH)
    def refresh(self) -> None:
        """Evaluate subscriptions."""
        self._ask(AutomationSignal.REFRESH)

    @workflow.signal(name=contracts.WAKE_SIGNAL)
    def wake(self) -> None:
        """It was changed: look at it again."""
        self._dirty = True

    @workflow.query(name=contracts.STATUS_QUERY)
    def status(self) -> AutomationFlowStatus:
        """Where the automation stands, as of the last look, and how the last signal was answered."""
        return AutomationFlowStatus(automation_id=self._start.automation_id, last=self._last, last_command=self._last_command)

    def _ask(self, command: AutomationSignal) -> None:
        self._commands.append(command)

    async def _carry_out(self, command: AutomationSignal) -> None:
        self._last_command = await workflow.execute_activity(
            COMMAND_AUTOMATION,
            AutomationCommand(automation=self._ids(), command=command),
            result_type=CommandReport,
            start_to_close_timeout=policies.ATTEND_TIMEOUT,
            retry_policy=policies.UNTIL_IT_WORKS,
            summary=f"{command}, as the API does it",
        )

    async def _attend(self) -> AutomationReport:
        report: AutomationReport = await workflow.execute_activity(
            ATTEND_AUTOMATION,
            self._ids(),
            result_type=AutomationReport,
            start_to_close_timeout=policies.ATTEND_TIMEOUT,
            retry_policy=policies.UNTIL_IT_WORKS,
            summary="fires what is due",
        )
        self._note(report)
        return report

    async def _attend_subscriptions(self, report: AutomationReport) -> AutomationReport:
        """Evaluate the filter and fire what is due of subscriptions; gives the report with their next moment."""
        done: SubscriptionsReport = await workflow.execute_activity(
            ATTEND_SUBSCRIPTIONS,
            self._ids(),
            result_type=SubscriptionsReport,
            start_to_close_timeout=policies.SUBSCRIPTIONS_TIMEOUT,
            retry_policy=policies.UNTIL_IT_WORKS,
            summary="evaluates the filter, fires what is due of subscriptions",
        )
        update = {"more": done.more, "next_in_seconds": done.next_in_seconds, "events": report.events + done.events}
        found = report.model_copy(update=update)
        self._note(found)
        return found

    async def _start_run(self) -> None:
        """The fan-out has a flow of its own, which outlives this one; another one may have started it."""
        start = self._start
        run = RunInput(automation_id=start.automation_id, organization_id=start.organization_id, program_id=start.program_id)
        try:
            self._run = await workflow.start_child_workflow(
                contracts.AUTOMATION_RUN_WORKFLOW,
                run,
                id=contracts.automation_run_workflow_id(start.automation_id),
                task_timeout=policies.LANE_TASK_TIMEOUT,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                static_summary="one event for each participant",
            )
        except WorkflowAlreadyStartedError:
            self._run = None

    async def _sleep(self, report: AutomationReport) -> None:
        if report.more:
            return
        try:
            await workflow.wait_condition(self._is_called, timeout=self._patience(report))
        except TimeoutError:
            return
        if self._run is not None and self._run.done():
            self._run = None

    def _is_called(self) -> bool:
        return self._dirty or bool(self._commands) or (self._run is not None and self._run.done())

    def _patience(self, report: AutomationReport) -> timedelta:
        """Until its next moment; a fan-out that others started, or what waits for its program, is looked at now and then."""
        is_under_way = self._run is None and report.execution_status in ("pending", "executing")
        longest = policies.FAN_OUT_REREAD if is_under_way else policies.LONGEST_TIMER
        if report.next_in_seconds is None or report.next_in_seconds >= longest.total_seconds():
            return longest
        if report.next_in_seconds <= 0:
            return policies.DUE_REREAD
        return max(policies.SHORTEST_TIMER, timedelta(seconds=report.next_in_seconds))

    def _ids(self) -> AutomationInput:
        return self._start.model_copy(update={"commands": []})

    def _note(self, report: AutomationReport) -> None:
        """Tell a person who looks at the flow in the UI where it stands."""
        self._last = report
        ahead = "none" if report.next_at is None else report.next_at.isoformat(timespec="seconds")
        lines = [
            f"**{report.status}** {report.trigger_type}, scope {report.scope}, event {report.event_name}",
            f"**Next moment** {ahead}{'' if report.schedule is None else f' ({report.schedule})'}",
        ]
        if report.execution_status is not None:
            lines.append(f"**Fan-out** {report.execution_status}, {report.processed or 0} of {report.total or 0} participants")
        if report.last_error is not None:
            lines.append(f"**Error** {report.last_error}, {report.failures} in a row")
        if report.has_subscriptions and report.next_in_seconds is not None:
            lines.append(f"**Subscriptions** looked at again in {max(0, round(report.next_in_seconds))} s")
        if self._last_command is not None:
            lines.append(f"**Last signal** {self._last_command.command}: {self._last_command.refusal or 'done'}")
        workflow.set_current_details("\n\n".join(lines))
