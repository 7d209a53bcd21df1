"""Redemptions and reversals, for which a request waits: one local activity decides under locks and does it, once."""

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, FailureError

from workflows import contracts, policies
from workflows.attributes import STATUS
from workflows.contracts_redemption import (
    REDEMPTION_WORKFLOW,
    REVERSAL_WORKFLOW,
    RedemptionInput,
    RedemptionResult,
    RedemptionState,
    RedemptionStatus,
    ReversalInput,
)


class _Errand:
    """What both flows are: asked for, then done or refused."""

    def __init__(self) -> None:
        self._state = RedemptionState.PENDING
        self._refusal: str | None = None
        self._result: RedemptionResult | None = None

    def status(self) -> RedemptionStatus:
        """Where it stands."""
        return RedemptionStatus(state=self._state, refusal=self._refusal, result=self._result)

    async def do(self, activity: str, start: RedemptionInput | ReversalInput, summary: str) -> RedemptionResult:
        """Run the activity, and show what came of it."""
        try:
            self._result = await workflow.execute_local_activity(
                activity,
                start,
                result_type=RedemptionResult,
                start_to_close_timeout=policies.REDEMPTION_TIMEOUT,
                schedule_to_close_timeout=policies.REDEMPTION_PATIENCE,
                retry_policy=policies.REDEMPTION_RETRY,
                summary=summary,
            )
        except FailureError as error:
            self._state, self._refusal = RedemptionState.REFUSED, _reason(error)
            workflow.set_current_details(f"**{self._state}** {self._refusal}")
            workflow.upsert_search_attributes([STATUS.value_set(self._state)])
            raise
        self._state = RedemptionState.COMPLETED
        workflow.set_current_details(_described(self._result))
        workflow.upsert_search_attributes([STATUS.value_set(self._state)])
        return self._result


@workflow.defn(name=REDEMPTION_WORKFLOW)
class RedemptionWorkflow:
    """Redeems. A refusal is the flow's failure, with its code as type; nothing was done then, and the id may be used again."""

    @workflow.init
    def __init__(self, start: RedemptionInput) -> None:  # noqa: ARG002 - of one form with `run`
        self._errand = _Errand()

    @workflow.run
    async def run(self, start: RedemptionInput) -> RedemptionResult:
        """Redeem; returns the answer to the request."""
        return await self._errand.do("redeem", start, "debits the participant, decided under locks")

    @workflow.query(name=contracts.STATUS_QUERY)
    def status(self) -> RedemptionStatus:
        """Where it stands, with amounts and lots once it is done."""
        return self._errand.status()


@workflow.defn(name=REVERSAL_WORKFLOW)
class RedemptionReversalWorkflow:
    """Reverses a redemption or a part of it; the reversals of one redemption follow each other."""

    @workflow.init
    def __init__(self, start: ReversalInput) -> None:  # noqa: ARG002 - of one form with `run`
        self._errand = _Errand()

    @workflow.run
    async def run(self, start: ReversalInput) -> RedemptionResult:
        """Reverse; returns the answer to the request."""
        return await self._errand.do("reverse_redemption", start, "returns the value, decided under locks")

    @workflow.query(name=contracts.STATUS_QUERY)
    def status(self) -> RedemptionStatus:
        """Where it stands, with amounts, lots and the redemption once it is done."""
        return self._errand.status()


def _reason(error: FailureError) -> str:
    cause = error.cause if isinstance(error, ActivityError) else error
    return f"{cause.type}: {cause.message}" if isinstance(cause, ApplicationError) else str(cause)


def _described(result: RedemptionResult) -> str:
    lines = [f"**{RedemptionState.COMPLETED}**{' before, answered again' if result.is_replay else ''}"]
    lines.append(f"**Amount** {result.answer['amount']} {result.symbol}")
    if result.redemption is not None:
        lines.append(f"**Reversed in all** {result.redemption['reversed_amount']} of {result.redemption['amount']}")
    if result.lots:
        lines.append("**Lots** " + ", ".join(f"{line.amount} of {line.lot_id}" for line in result.lots))
        if result.lot_count > len(result.lots):
            lines.append(f"and {result.lot_count - len(result.lots)} more")
    lines.append(f"**Journal entry** {result.answer['journal_entry_id']}")
    return "\n\n".join(lines)
