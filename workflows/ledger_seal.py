"""Sealing the ledger: one flow that has its activity look for unsealed entries, again and again."""

from temporalio import workflow

from workflows import contracts, policies
from workflows.attributes import KIND
from workflows.contracts_seal import SEAL_ACTIVITY, SEAL_WORKFLOW, SealInput, SealReport, SealStatus, SealTotals


@workflow.defn(name=SEAL_WORKFLOW)
class LedgerSealWorkflow:
    """One flow per deployment, which never ends.

    The database has the list of what isn't sealed. The activity looks at it several times a second and comes back every few
    seconds, so an entry costs no signal, and sealing costs the server next to nothing.
    """

    @workflow.init
    def __init__(self, start: SealInput) -> None:
        self._totals = start.totals
        self._last: SealReport | None = None

    @workflow.run
    async def run(self, _: SealInput) -> None:
        """Seal, and again."""
        workflow.upsert_search_attributes([KIND.value_set("ledger-seal")])
        while True:
            self._note(await self._seal())
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(SealInput(totals=self._totals))

    @workflow.query(name=contracts.STATUS_QUERY)
    def status(self) -> SealStatus:
        """What was sealed, and how far behind it is."""
        return SealStatus(totals=self._totals, last=self._last)

    async def _seal(self) -> SealReport:
        report: SealReport = await workflow.execute_activity(
            SEAL_ACTIVITY,
            result_type=SealReport,
            start_to_close_timeout=policies.SEAL_TIMEOUT,
            heartbeat_timeout=policies.SEAL_HEARTBEAT,
            retry_policy=policies.UNTIL_IT_WORKS,
            summary="seals what was posted",
        )
        return report

    def _note(self, report: SealReport) -> None:
        """Count, and tell a person who looks at the flow in the UI what it is doing."""
        self._last = report
        self._totals = SealTotals(
            entries=self._totals.entries + report.entries,
            pages=self._totals.pages + report.pages,
            passes=self._totals.passes + 1,
        )
        waiting = f"{report.unsealed} entries, the oldest for {report.lag_seconds:.1f} s" if report.unsealed else "nothing"
        workflow.set_current_details(
            f"**Unsealed** {waiting}\n\n"
            f"**Last pass** {report.entries} entries in {report.pages} pages, {report.failed} failed\n\n"
            f"**Since start** {self._totals.entries} entries, {self._totals.passes} passes"
        )
