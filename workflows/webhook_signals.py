"""Reaching flows of webhooks from outside, for the API, the worker and its schedules."""

import asyncio
from collections.abc import Iterable
from functools import partial
from uuid import UUID

import structlog
from temporalio.client import Client

from workflows import contracts
from workflows.contracts_webhooks import (
    CHANGED_SIGNAL,
    ENDPOINT_WORKFLOW,
    RETRY_WORKFLOW,
    EndpointInput,
    RetryInput,
    endpoint_workflow_id,
    retry_workflow_id,
)
from workflows.signals import RPCError, ensure_flow

log = structlog.get_logger(__name__)

# A flow that was signalled sends until nothing waits: the gap between two signals grows while they keep coming.
SHORTEST_GAP_SECONDS = 0.01
LONGEST_GAP_SECONDS = 0.5
RETRY_SECONDS = 1.0
# Signals on their way at once, and those that may wait for it. What doesn't fit is found by the sweep.
CALLS_AT_ONCE = 8
MOST_WAITING = 5000


async def wake_endpoint(
    client: Client, endpoint: EndpointInput, *, is_changed: bool = False, queue: str = contracts.DELIVERY_QUEUE
) -> None:
    """Signal an endpoint's flow, starting it when it doesn't run: there are messages, or it was changed. Raises RPCError."""
    await ensure_flow(
        client,
        ENDPOINT_WORKFLOW,
        endpoint,
        workflow_id=endpoint_workflow_id(endpoint.endpoint_id),
        queue=queue,
        signal=CHANGED_SIGNAL if is_changed else contracts.WAKE_SIGNAL,
        summary="webhook endpoint",
        details="Sends the messages that wait for this endpoint; rests while it is disabled, broken or asks for a pause.",
    )


async def start_retry(client: Client, retry: RetryInput, *, wake: bool = False, queue: str = contracts.DELIVERY_QUEUE) -> None:
    """Start the flow of a failed delivery unless it runs; with `wake` also make it look at once. Raises RPCError."""
    await ensure_flow(
        client,
        RETRY_WORKFLOW,
        retry,
        workflow_id=retry_workflow_id(retry.delivery_id),
        queue=queue,
        signal=contracts.WAKE_SIGNAL if wake else None,
        summary="delivery that failed",
        details=f"Attempts it again, up to eight times in all, to endpoint `{retry.endpoint_id}`.",
    )


class WebhookWaker:
    """Signals flows for what this process has committed, at most one signal on its way for each.

    Made on the loop, used from threads. A signal that fails is repeated; one that is lost costs the sweep's delay.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._slots = asyncio.Semaphore(CALLS_AT_ONCE)
        self._dirty: dict[UUID, tuple[EndpointInput, bool]] = {}
        self._tasks: dict[UUID, asyncio.Task[None]] = {}

    def note(self, addressees: Iterable[tuple[UUID, UUID, bool]]) -> None:
        """There is something for endpoints, each with its organization, or they were changed; returns at once."""
        for endpoint_id, organization_id, is_changed in addressees:
            endpoint = EndpointInput(endpoint_id=endpoint_id, organization_id=organization_id)
            self._loop.call_soon_threadsafe(partial(self._add, endpoint_id, endpoint, is_changed=is_changed))

    def tell(self, retries: Iterable[RetryInput]) -> None:
        """Deliveries have failed, or their flows don't know what became of them; returns at once."""
        for retry in retries:
            self._loop.call_soon_threadsafe(self._start_retry, retry)

    async def close(self) -> None:
        """Stop signalling; the sweep and the reconciliation do the rest."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _add(self, endpoint_id: UUID, endpoint: EndpointInput, *, is_changed: bool) -> None:
        if endpoint_id not in self._tasks:
            if len(self._tasks) >= MOST_WAITING:
                return
            self._tasks[endpoint_id] = self._loop.create_task(self._run(endpoint_id))
        was_changed = endpoint_id in self._dirty and self._dirty[endpoint_id][1]
        self._dirty[endpoint_id] = (endpoint, is_changed or was_changed)

    def _start_retry(self, retry: RetryInput) -> None:
        if retry.delivery_id not in self._tasks and len(self._tasks) < MOST_WAITING:
            self._tasks[retry.delivery_id] = self._loop.create_task(self._run_retry(retry))

    async def _run(self, endpoint_id: UUID) -> None:
        gap = SHORTEST_GAP_SECONDS
        try:
            while endpoint_id in self._dirty:
                endpoint, is_changed = self._dirty.pop(endpoint_id)
                try:
                    async with self._slots:
                        await wake_endpoint(self._client, endpoint, is_changed=is_changed)
                except (RPCError, RuntimeError) as error:
                    # RuntimeError is what a client that has never reached Temporal raises
                    log.warning("webhook_wake_failed", endpoint=str(endpoint_id), error=str(error))
                    self._add(endpoint_id, endpoint, is_changed=is_changed)
                    await asyncio.sleep(RETRY_SECONDS)
                else:
                    await asyncio.sleep(gap)
                    gap = min(2 * gap, LONGEST_GAP_SECONDS)
        finally:
            del self._tasks[endpoint_id]

    async def _run_retry(self, retry: RetryInput) -> None:
        try:
            async with self._slots:
                await start_retry(self._client, retry, wake=True)
        except (RPCError, RuntimeError) as error:
            log.warning("webhook_retry_failed", delivery=str(retry.delivery_id), error=str(error))
        finally:
            del self._tasks[retry.delivery_id]
