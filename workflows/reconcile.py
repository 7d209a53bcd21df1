"""Reconciliation: flows that ought to run and don't are started from the database, and the books are checked."""

from temporalio import workflow

from workflows import contracts, policies
from workflows.contracts_reconcile import CHECK_BOOKS, RECONCILE_FLOWS, BooksPlace, BooksReport, ReconcileReport

# Breaches that the details name.
MOST_NAMED = 20


@workflow.defn(name=contracts.RECONCILE_WORKFLOW)
class ReconcileWorkflow:
    """One run; a Temporal Schedule starts it, never two at once. How far the checks are it knows from the run before."""

    @workflow.init
    def __init__(self) -> None:
        self._flows = ReconcileReport()
        self._books = BooksReport()

    @workflow.run
    async def run(self) -> ReconcileReport:
        """Make sure of all flows, check a part of the books, and start again what couldn't be started; returns what it found."""
        await self._start_flows()
        await self._check_books()
        for _ in range(policies.RECONCILE_PASSES):
            if self._flows.failed:
                await workflow.sleep(policies.RECONCILE_AGAIN, summary="some flows couldn't be started")
            elif not self._flows.more:
                break
            await self._start_flows()
        return self._flows.model_copy(update={"books": self._books})

    async def _start_flows(self) -> None:
        self._flows = await workflow.execute_local_activity(
            RECONCILE_FLOWS,
            result_type=ReconcileReport,
            start_to_close_timeout=policies.RECONCILE_TIMEOUT,
            retry_policy=policies.UNTIL_IT_WORKS,
        )
        self._note()

    async def _check_books(self) -> None:
        last = workflow.get_last_completion_result(ReconcileReport) if workflow.has_last_completion_result() else None
        self._books = await workflow.execute_activity(
            CHECK_BOOKS,
            BooksPlace() if last is None or last.books is None else last.books.place,
            result_type=BooksReport,
            start_to_close_timeout=policies.BOOKS_TIMEOUT,
            heartbeat_timeout=policies.BOOKS_HEARTBEAT,
            retry_policy=policies.UNTIL_IT_WORKS,
            summary="checks a part of the books",
        )
        self._note()

    def _note(self) -> None:
        """Tell a person who looks at the flow in the UI what it found; broken checks first."""
        flows, books = self._flows, self._books
        broken = [
            f"**{breach.check}** organization `{breach.organization_id}`: {breach.row}"
            for breach in books.place.named[:MOST_NAMED]
        ]
        progress = "all looked at" if books.is_round else f"as far as organization `{books.place.organization_id}`"
        workflow.set_current_details(
            "\n\n".join(
                [
                    *broken,
                    f"**Broken checks** {', '.join(books.place.broken) or 'none'}",
                    f"**Books** {books.pages} pages, {progress}, {books.failed} that couldn't be checked",
                    f"**Holds near their deadline** {flows.holds}",
                    f"**Fan-outs** {flows.runs}",
                    f"**Fulfilments** {flows.fulfillments}",
                    f"**Tiers** {flows.tiers}",
                    f"**Automations** {flows.automations}",
                    f"**Webhooks soon to be tried again** {flows.retries}",
                    f"**Woken** {flows.lanes} lanes, {flows.endpoints} endpoints",
                    f"**Without a flow** {flows.failed}",
                ]
            )
        )
