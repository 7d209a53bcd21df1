"""A tier's windows: sleeps until something is due for one of its holders, and has it done without a visitor."""

from datetime import timedelta

from temporalio import workflow

from workflows import contracts, policies
from workflows.attributes import KIND, ORGANIZATION, PROGRAM, STATUS
from workflows.contracts_tiers import (
    ATTEND_TIER,
    TIER_RETENTION_WORKFLOW,
    TierRetentionInput,
    TierRetentionReport,
    TierRetentionStatus,
    TierState,
    TierTotals,
)


@workflow.defn(name=TIER_RETENTION_WORKFLOW)
class TierRetentionWorkflow:
    """Period ends, lapses and explicit expiries of one tier, until it is archived.

    The database knows every due moment, and whoever reads or changes a holder's levels or counters carries out what is due
    before: everything is right without this flow, but for nobody's looking. Events move the moments without telling it; it
    asks for the next one whenever it looks, and a definition that changes while it sleeps is the one it finds then.
    """

    @workflow.init
    def __init__(self, start: TierRetentionInput) -> None:
        self._start = start
        self._totals = start.totals
        self._dirty = False
        self._phase = "looking"
        self._last: TierRetentionReport | None = None

    @workflow.run
    async def run(self, start: TierRetentionInput) -> TierRetentionStatus:
        """Do what is due, sleep, repeat; returns what it did when the tier is archived."""
        workflow.upsert_search_attributes(
            [
                KIND.value_set("tier-retention"),
                ORGANIZATION.value_set(str(start.organization_id)),
                PROGRAM.value_set(str(start.program_id)),
                STATUS.value_set(TierState.ACTIVE),
            ]
        )
        while True:
            self._dirty = False
            report = await self._attend()
            self._note(report)
            if report.state is TierState.ARCHIVED:
                self._phase = "ended"
                workflow.upsert_search_attributes([STATUS.value_set(TierState.ARCHIVED)])
                return self.status()
            if workflow.info().is_continue_as_new_suggested():
                # the next run begins by looking, so a signal that came meanwhile isn't lost
                workflow.continue_as_new(start.model_copy(update={"totals": self._totals}))
            if not report.more:
                await self._sleep(self._patience(report))

    @workflow.signal(name=contracts.WAKE_SIGNAL)
    def wake(self) -> None:
        """The definition changed, or there may be an earlier moment. Any number of signals before a look mean one look."""
        self._dirty = True

    @workflow.query(name=contracts.STATUS_QUERY)
    def status(self) -> TierRetentionStatus:
        """What the flow is doing, what it did last and in all."""
        return TierRetentionStatus(tier_id=self._start.tier_id, phase=self._phase, totals=self._totals, last=self._last)

    async def _attend(self) -> TierRetentionReport:
        self._phase = "looking"
        report: TierRetentionReport = await workflow.execute_activity(
            ATTEND_TIER,
            self._start.tier_id,
            result_type=TierRetentionReport,
            start_to_close_timeout=policies.DUE_TIMEOUT,
            heartbeat_timeout=policies.DUE_HEARTBEAT,
            retry_policy=policies.UNTIL_IT_WORKS,
            summary="carries out what is due for its holders",
        )
        return report

    async def _sleep(self, patience: timedelta) -> None:
        self._phase = "sleeping"
        try:
            await workflow.wait_condition(lambda: self._dirty, timeout=patience)
        except TimeoutError:
            return

    @staticmethod
    def _patience(report: TierRetentionReport) -> timedelta:
        """Until the next moment; what failed is tried again soon, and a new lifecycle has one more look."""
        patience = policies.LONGEST_TIMER
        if report.next_in_seconds is not None and report.next_in_seconds < patience.total_seconds():
            patience = max(policies.SHORTEST_TIMER, timedelta(seconds=report.next_in_seconds))
        return min(patience, policies.DUE_REREAD) if report.failed or report.is_new else patience

    def _note(self, report: TierRetentionReport) -> None:
        """Count, and tell a person who looks at the flow in the UI what it is doing."""
        self._last, totals = report, self._totals
        self._totals = TierTotals(
            holders=totals.holders + report.holders,
            levels=totals.levels + report.levels,
            counters=totals.counters + report.counters,
            passes=totals.passes + 1,
            pages=totals.pages + report.pages,
            renewed=totals.renewed + report.renewed,
        )
        ahead = "none is known" if report.next_at is None else report.next_at.isoformat(timespec="seconds")
        workflow.set_current_details(
            f"**Tier** `{report.key}`, {report.state.value}\n\n"
            f"**Next moment** {ahead}{', and more at once' if report.more else ''}\n\n"
            f"**Last look** {_work(report)}, {report.failed} failed\n\n"
            f"**Since start** {_work(self._totals)}, {self._totals.passes} looks, {self._totals.pages} pages"
        )


def _work(done: TierRetentionReport | TierTotals) -> str:
    renewed = f", {done.renewed} renewed" if done.renewed else ""
    return f"{done.holders} holders, {done.levels} levels lost, {done.counters} counters rolled over{renewed}"
