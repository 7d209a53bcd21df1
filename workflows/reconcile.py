"""Reconciliation: flows that ought to run and don't are started again from the database."""

from temporalio import workflow

from workflows import contracts, policies
from workflows.contracts import ReconcileReport


@workflow.defn(name=contracts.RECONCILE_WORKFLOW)
class ReconcileWorkflow:
    """One pass; a Temporal Schedule starts it, never two at once."""

    @workflow.run
    async def run(self) -> ReconcileReport:
        """Make sure of due work, holds near their deadline, fan-outs, fulfilments, tiers and automations; returns how many."""
        report: ReconcileReport = await workflow.execute_local_activity(
            "reconcile_flows",
            result_type=ReconcileReport,
            start_to_close_timeout=policies.RECONCILE_TIMEOUT,
            retry_policy=policies.UNTIL_IT_WORKS,
        )
        workflow.set_current_details(
            f"**Holds near their deadline** {report.holds}\n\n**Fan-outs** {report.runs}\n\n"
            f"**Fulfilments** {report.fulfillments}\n\n**Tiers** {report.tiers}\n\n"
            f"**Automations** {report.automations}\n\n**Webhooks soon to be tried again** {report.retries}\n\n"
            f"**Without a flow** {report.failed}"
        )
        return report
