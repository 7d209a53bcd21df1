"""Reaching flows from outside: the one way to start, wake and tell them, for the API, the worker and its schedules."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from temporalio.client import Client, WorkflowHandle
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy
from temporalio.service import RPCError

from workflows import contracts
from workflows.attributes import KIND, ORGANIZATION, PROGRAM, STATUS
from workflows.contracts import DueInput, DueKind, LaneInput, RunInput
from workflows.contracts_automation import AUTOMATION_WORKFLOW, AutomationInput, automation_workflow_id
from workflows.contracts_clock import CLOCK_WORKFLOW, CLOCK_WORKFLOW_ID, ClockInput, ClockResult
from workflows.contracts_fulfillment import FULFILLMENT_WORKFLOW, FulfillmentInput, FulfillmentSignal, fulfillment_workflow_id
from workflows.contracts_hold import HOLD_WORKFLOW, HoldInput, HoldSignal, hold_workflow_id
from workflows.contracts_redemption import (
    REDEMPTION_WORKFLOW,
    REVERSAL_WORKFLOW,
    RedemptionInput,
    RedemptionResult,
    RedemptionState,
    ReversalInput,
    redemption_workflow_id,
    reversal_workflow_id,
)
from workflows.contracts_seal import SEAL_WORKFLOW, SEAL_WORKFLOW_ID, SealInput
from workflows.contracts_tiers import TIER_RETENTION_WORKFLOW, TierRetentionInput, tier_retention_workflow_id
from workflows.policies import LANE_TASK_TIMEOUT, REDEMPTION_TASK_TIMEOUT

SIGNAL_TIMEOUT = timedelta(seconds=5)


async def ensure_flow(
    client: Client,
    flow: str,
    start: BaseModel,
    *,
    workflow_id: str,
    queue: str,
    summary: str,
    details: str,
    signal: str | None = None,
) -> None:
    """Start a flow unless one with this id runs, and send it the signal in either case. Raises RPCError.

    `summary` and `details` are for people who look at it in the UI.
    """
    await client.start_workflow(
        flow,
        start,
        id=workflow_id,
        task_queue=queue,
        task_timeout=LANE_TASK_TIMEOUT,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        start_signal=signal,
        static_summary=summary,
        static_details=details,
        rpc_timeout=SIGNAL_TIMEOUT,
    )


async def wake_lane(client: Client, lane: int, lanes: int, *, queue: str = contracts.LEDGER_QUEUE) -> None:
    """Signal a lane, starting its workflow when it doesn't run. Raises RPCError when Temporal can't be reached."""
    await ensure_flow(
        client,
        contracts.LANE_WORKFLOW,
        LaneInput(lane=lane, lanes=lanes),
        workflow_id=contracts.lane_workflow_id(lane),
        queue=queue,
        signal=contracts.WAKE_SIGNAL,
        summary=f"lane {lane} of {lanes}",
        details="Processes the events of the participants that hash to this lane, one participant's events in order.",
    )


_DUE_WORK = {
    DueKind.ACCOUNTS: (
        "posts what is due",
        "Maturities, expiries and ended holds of accounts that nobody touches, within a minute of their moment.",
    ),
    DueKind.SCHEDULED_EVENTS: (
        "fires scheduled events",
        "Events that rules scheduled, at their moment; starts the flows of broadcasts.",
    ),
    DueKind.EXPIRY_NOTICES: (
        "announces lots that expire soon",
        "At 00:00 UTC, once for each lot: `balance.expiring`, so many days ahead as the asset says.",
    ),
}


async def ensure_due_work(
    client: Client, kind: DueKind = DueKind.ACCOUNTS, *, wake: bool = False, queue: str = contracts.LEDGER_QUEUE
) -> None:
    """Start the due work of a kind unless it runs; with `wake` also make it look at once. Raises RPCError."""
    summary, details = _DUE_WORK[kind]
    await ensure_flow(
        client,
        contracts.DUE_WORKFLOW,
        DueInput(kind=kind),
        workflow_id=kind.workflow_id,
        queue=queue,
        signal=contracts.WAKE_SIGNAL if wake else None,
        summary=summary,
        details=details,
    )


async def ensure_sealing(client: Client, *, queue: str = contracts.LEDGER_QUEUE) -> None:
    """Start the sealing of the ledger unless it runs. Raises RPCError."""
    await ensure_flow(
        client,
        SEAL_WORKFLOW,
        SealInput(),
        workflow_id=SEAL_WORKFLOW_ID,
        queue=queue,
        summary="seals the ledger",
        details="Gives every journal entry its place in its organization's chain of hashes, within about a second.",
    )


async def start_automation_run(client: Client, run: RunInput, *, queue: str = contracts.LEDGER_QUEUE) -> None:
    """Start a fan-out's flow unless it runs. Raises RPCError."""
    await ensure_flow(
        client,
        contracts.AUTOMATION_RUN_WORKFLOW,
        run,
        workflow_id=contracts.automation_run_workflow_id(run.automation_id),
        queue=queue,
        summary="one event for each participant",
        details="Makes a SYSTEM event for everybody who was enrolled in the program when it began, page by page.",
    )


async def start_tier_retention(
    client: Client, tier: TierRetentionInput, *, wake: bool = False, queue: str = contracts.LEDGER_QUEUE
) -> None:
    """Start a tier's flow unless it runs; with `wake` also make it look at once. Raises RPCError."""
    await ensure_flow(
        client,
        TIER_RETENTION_WORKFLOW,
        tier,
        workflow_id=tier_retention_workflow_id(tier.tier_id),
        queue=queue,
        signal=contracts.WAKE_SIGNAL if wake else None,
        summary="windows of a tier",
        details="Period ends, lapses and expiries of the tier's levels, for holders whom nobody visits.",
    )


async def start_automation(
    client: Client, automation: AutomationInput, *, wake: bool = False, queue: str = contracts.LEDGER_QUEUE
) -> None:
    """Start an automation's flow unless it runs; with `wake` also make it look at once. Raises RPCError."""
    await ensure_flow(
        client,
        AUTOMATION_WORKFLOW,
        automation,
        workflow_id=automation_workflow_id(automation.automation_id),
        queue=queue,
        signal=contracts.WAKE_SIGNAL if wake else None,
        summary="automation",
        details="Makes SYSTEM events at its moments. Signals trigger, cancel, pause and refresh do what the API does.",
    )


async def start_hold(client: Client, hold: HoldInput, *, wake: bool = False, queue: str = contracts.LEDGER_QUEUE) -> None:
    """Start a hold's flow unless it runs; with `wake` also make it look at once. Raises RPCError."""
    await ensure_flow(
        client,
        HOLD_WORKFLOW,
        hold,
        workflow_id=hold_workflow_id(hold.hold_id),
        queue=queue,
        signal=contracts.WAKE_SIGNAL if wake else None,
        summary="hold with a deadline",
        details="Returns what is still held when the deadline comes.",
    )


async def start_clock(
    client: Client, wanted: ClockInput, ends_after: timedelta, *, queue: str = contracts.LEDGER_QUEUE
) -> WorkflowHandle[Any, ClockResult]:
    """Start a move of the test clock, over after `ends_after` at the latest. WorkflowAlreadyStartedError, RPCError."""
    return await client.start_workflow(
        CLOCK_WORKFLOW,
        wanted,
        id=CLOCK_WORKFLOW_ID,
        result_type=ClockResult,
        task_queue=queue,
        execution_timeout=ends_after,
        task_timeout=LANE_TASK_TIMEOUT,
        static_summary=f"to {wanted.target.isoformat(timespec='seconds')}",
        static_details="Moves the clock of the deployment through every due moment on the way, for tests and trials.",
        rpc_timeout=SIGNAL_TIMEOUT,
    )


async def tell_hold(client: Client, hold_id: UUID, what: HoldSignal) -> None:
    """Tell a hold's flow what was done to the hold. Raises RPCError, with NOT_FOUND when it doesn't run."""
    await client.get_workflow_handle(hold_workflow_id(hold_id)).signal(what, rpc_timeout=SIGNAL_TIMEOUT)


async def start_redemption(
    client: Client, wanted: RedemptionInput, *, queue: str = contracts.REDEMPTION_QUEUE
) -> WorkflowHandle[Any, RedemptionResult]:
    """Start a redemption, in this very process if it has a worker. WorkflowAlreadyStartedError, RPCError."""
    return await client.start_workflow(
        REDEMPTION_WORKFLOW,
        wanted,
        id=redemption_workflow_id(wanted.program_id, wanted.redemption_id, wanted.idempotency_key),
        result_type=RedemptionResult,
        task_queue=queue,
        task_timeout=REDEMPTION_TASK_TIMEOUT,
        search_attributes=_attributes("redemption", wanted),
        static_summary="redemption",
        static_details=f"Redemption `{wanted.redemption_id}` of participant `{wanted.participant_id}`.",
        request_eager_start=True,
        rpc_timeout=SIGNAL_TIMEOUT,
    )


async def start_reversal(
    client: Client, wanted: ReversalInput, *, queue: str = contracts.REDEMPTION_QUEUE
) -> WorkflowHandle[Any, RedemptionResult]:
    """Start a reversal, as above; WorkflowAlreadyStartedError while another one of the redemption is under way."""
    return await client.start_workflow(
        REVERSAL_WORKFLOW,
        wanted,
        id=reversal_workflow_id(wanted.redemption_id),
        result_type=RedemptionResult,
        task_queue=queue,
        task_timeout=REDEMPTION_TASK_TIMEOUT,
        search_attributes=_attributes("redemption-reversal", wanted),
        static_summary="reversal of a redemption",
        static_details=f"Reversal `{wanted.reversal_id}` of redemption `{wanted.redemption_id}`.",
        request_eager_start=True,
        rpc_timeout=SIGNAL_TIMEOUT,
    )


async def start_fulfillment(
    client: Client, fulfillment: FulfillmentInput, *, wake: bool = False, queue: str = contracts.LEDGER_QUEUE
) -> None:
    """Start a fulfilment's flow unless it runs; with `wake` also make it look at once. Raises RPCError."""
    await ensure_flow(
        client,
        FULFILLMENT_WORKFLOW,
        fulfillment,
        workflow_id=fulfillment_workflow_id(fulfillment.redemption_id),
        queue=queue,
        signal=contracts.WAKE_SIGNAL if wake else None,
        summary="fulfilment of a redemption",
        details="Waits for the report that it was handed over; gives the value back when it failed or its deadline comes.",
    )


async def tell_fulfillment(client: Client, redemption_id: UUID, what: FulfillmentSignal) -> None:
    """Tell a fulfilment's flow what was done. Raises RPCError, with NOT_FOUND when it doesn't run."""
    await client.get_workflow_handle(fulfillment_workflow_id(redemption_id)).signal(what, rpc_timeout=SIGNAL_TIMEOUT)


def _attributes(kind: str, wanted: RedemptionInput | ReversalInput) -> TypedSearchAttributes:
    return TypedSearchAttributes(
        [
            SearchAttributePair(KIND, kind),
            SearchAttributePair(ORGANIZATION, str(wanted.organization_id)),
            SearchAttributePair(PROGRAM, str(wanted.program_id)),
            SearchAttributePair(STATUS, RedemptionState.PENDING),
        ]
    )


async def wake_hold(client: Client, hold_id: UUID) -> None:
    """Make a hold's flow look at once. Raises RPCError, with NOT_FOUND when it doesn't run."""
    await client.get_workflow_handle(hold_workflow_id(hold_id)).signal(contracts.WAKE_SIGNAL, rpc_timeout=SIGNAL_TIMEOUT)


__all__ = [
    "RPCError",
    "ensure_due_work",
    "ensure_flow",
    "ensure_sealing",
    "start_automation",
    "start_automation_run",
    "start_clock",
    "start_fulfillment",
    "start_hold",
    "start_redemption",
    "start_reversal",
    "start_tier_retention",
    "tell_fulfillment",
    "tell_hold",
    "wake_hold",
    "wake_lane",
]
