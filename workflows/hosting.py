"""The worker of redemptions, the same in worker processes and inside the API, where flows start without a detour."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkerDeploymentConfig

from workflows.contracts import REDEMPTION_QUEUE
from workflows.redemption import RedemptionReversalWorkflow, RedemptionWorkflow

# Short transactions that mostly wait for the database.
REDEMPTIONS_AT_ONCE = 4

STICKY_TIMEOUT = timedelta(seconds=1)
GRACE = timedelta(seconds=5)


def redemption_worker(
    client: Client,
    activities: Sequence[Callable[..., Any]],
    executor: ThreadPoolExecutor,
    deployment: WorkerDeploymentConfig | None = None,
) -> Worker:
    """A worker of the redemptions' queue, of a version if there is one; the executor has REDEMPTIONS_AT_ONCE threads.

    Its flows run outside the sandbox, which every start would build anew for a third of the API's whole work on a redemption.
    They are two calls of one activity; tests replay their histories inside the sandbox.
    """
    return Worker(
        client,
        task_queue=REDEMPTION_QUEUE,
        workflows=[RedemptionWorkflow, RedemptionReversalWorkflow],
        activities=activities,
        activity_executor=executor,
        max_concurrent_activities=REDEMPTIONS_AT_ONCE,
        max_concurrent_local_activities=REDEMPTIONS_AT_ONCE,
        workflow_runner=UnsandboxedWorkflowRunner(),
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        graceful_shutdown_timeout=GRACE,
        deployment_config=deployment,
    )
