"""Reaching flows from outside: the one way to wake a lane, for the API, the sweep and the command line."""

from datetime import timedelta

from temporalio.client import Client
from temporalio.service import RPCError

from workflows import contracts
from workflows.contracts import LaneInput
from workflows.policies import LANE_TASK_TIMEOUT

SIGNAL_TIMEOUT = timedelta(seconds=5)


async def wake_lane(client: Client, lane: int, lanes: int, *, queue: str = contracts.LEDGER_QUEUE) -> None:
    """Signal a lane, starting its workflow when it doesn't run. Raises RPCError when Temporal can't be reached."""
    await client.start_workflow(
        contracts.LANE_WORKFLOW,
        LaneInput(lane=lane, lanes=lanes),
        id=contracts.lane_workflow_id(lane),
        task_queue=queue,
        task_timeout=LANE_TASK_TIMEOUT,
        start_signal=contracts.WAKE_SIGNAL,
        static_summary=f"lane {lane} of {lanes}",
        static_details="Processes the events of the participants that hash to this lane, one participant's events in order.",
        rpc_timeout=SIGNAL_TIMEOUT,
    )


__all__ = ["RPCError", "wake_lane"]
