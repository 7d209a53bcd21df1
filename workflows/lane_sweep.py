"""The sweep: wakes lanes and webhook endpoints with what has waited too long, because a signal was lost."""

from temporalio import workflow

from workflows import contracts, policies
from workflows.contracts import SweepReport


@workflow.defn(name=contracts.SWEEP_WORKFLOW)
class LaneSweepWorkflow:
    """One pass of the sweep; a Temporal Schedule starts it every few seconds, never two at once."""

    @workflow.run
    async def run(self) -> SweepReport:
        """Wake what waits; returns the lanes woken."""
        report: SweepReport = await workflow.execute_local_activity(
            "sweep_lanes",
            result_type=SweepReport,
            start_to_close_timeout=policies.SWEEP_TIMEOUT,
            retry_policy=policies.UNTIL_IT_WORKS,
        )
        woken = ", ".join(map(str, report.woken)) or "none"
        workflow.set_current_details(f"**Woken** {woken}\n\n**Webhook endpoints** {report.endpoints}")
        return report
