"""Due work: sleeps until the next due moment of its kind and has it attended to, so that it happens without a visitor."""

from datetime import timedelta

from temporalio import workflow

from workflows import contracts, policies
from workflows.attributes import KIND
from workflows.contracts import DueInput, DueKind, DueReport, DueStatus, DueTotals

_ACTIVITIES = {
    DueKind.ACCOUNTS: ("post_due", "posts what is due"),
    DueKind.SCHEDULED_EVENTS: ("fire_due_events", "fires what is due, starts fan-outs"),
    DueKind.EXPIRY_NOTICES: ("announce_expiry", "announces lots that expire soon"),
}


@workflow.defn(name=contracts.DUE_WORKFLOW)
class DueWorkWorkflow:
    """One flow per kind and deployment, which never ends.

    Of accounts it posts maturities, expiries and ended holds that nobody else does; of scheduled events it makes those whose
    moment has come, and starts the flows of fan-outs; of notices it announces at midnight which lots expire soon.

    The database knows every due moment, and reads and operations are right without it: a lost signal costs at most
    `DUE_REREAD`.
    """

    @workflow.init
    def __init__(self, start: DueInput) -> None:
        self._kind = start.kind
        self._totals = start.totals
        self._dirty = False
        self._phase = "posting"
        self._last: DueReport | None = None

    @workflow.run
    async def run(self, _: DueInput) -> None:
        """Post what is due, sleep, repeat."""
        workflow.upsert_search_attributes([KIND.value_set("due-work")])
        while True:
            self._dirty = False
            report = await self._post()
            self._note(report)
            if workflow.info().is_continue_as_new_suggested():
                # the next run begins by looking, so a signal that came meanwhile isn't lost
                workflow.continue_as_new(DueInput(kind=self._kind, totals=self._totals))
            if not report.more:
                await self._sleep(self._patience(report))

    @workflow.signal(name=contracts.WAKE_SIGNAL)
    def wake(self) -> None:
        """There may be an earlier due moment. Any number of signals before a look mean one look."""
        self._dirty = True

    @workflow.query(name=contracts.STATUS_QUERY)
    def status(self) -> DueStatus:
        """What the due work is doing, and what it did last."""
        return DueStatus(phase=self._phase, totals=self._totals, last=self._last)

    async def _post(self) -> DueReport:
        self._phase = "posting"
        activity, summary = _ACTIVITIES[self._kind]
        report: DueReport = await workflow.execute_activity(
            activity,
            result_type=DueReport,
            start_to_close_timeout=policies.DUE_TIMEOUT,
            heartbeat_timeout=policies.DUE_HEARTBEAT,
            retry_policy=policies.UNTIL_IT_WORKS,
            summary=summary,
        )
        return report

    async def _sleep(self, patience: timedelta) -> None:
        self._phase = "sleeping"
        try:
            await workflow.wait_condition(lambda: self._dirty, timeout=patience)
        except TimeoutError:
            return

    @staticmethod
    def _patience(report: DueReport) -> timedelta:
        """Until the next due moment, but never longer than rule-made dates allow."""
        if report.next_in_seconds is None or report.next_in_seconds >= policies.DUE_REREAD.total_seconds():
            return policies.DUE_REREAD
        return max(policies.SHORTEST_TIMER, timedelta(seconds=report.next_in_seconds))

    def _note(self, report: DueReport) -> None:
        """Count, and tell a person who looks at the flow in the UI what it is doing."""
        self._last = report
        self._totals = DueTotals(
            accounts=self._totals.accounts + report.accounts,
            entries=self._totals.entries + report.entries,
            passes=self._totals.passes + 1,
            events=self._totals.events + report.events,
            runs=self._totals.runs + report.runs,
            notices=self._totals.notices + report.notices,
        )
        ahead = "none" if report.next_in_seconds is None else f"in {max(0.0, report.next_in_seconds):.0f} s"
        workflow.set_current_details(
            f"**Next due moment** {ahead}{', and more at once' if report.more else ''}\n\n"
            f"**Last pass** {self._work(report)} in {report.pages} pages, {report.failed} failed\n\n"
            f"**Since start** {self._work(self._totals)}, {self._totals.passes} passes"
        )

    def _work(self, done: DueReport | DueTotals) -> str:
        if self._kind is DueKind.ACCOUNTS:
            return f"{done.entries} entries on {done.accounts} accounts"
        if self._kind is DueKind.EXPIRY_NOTICES:
            return f"{done.notices} notices"
        return f"{done.events} events, {done.runs} fan-outs started"
