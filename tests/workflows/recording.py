"""What recorders of histories share: waiting for the looks of a flow, and how a recording ends."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from temporalio.client import Client, WorkflowHandle, WorkflowHistory

POLL_SECONDS = 0.05
# What follows a look, a timer for example, has begun by then.
REST_SECONDS = 0.5
# Between two wakes of a flow that shall continue as new: each is a task of its own.
WAKE_SECONDS = 0.2

Flow = WorkflowHandle[Any, Any]


class Looking(Protocol):
    """A script that counts the calls of its activities."""

    looks: int


async def looked(answers: Looking, looks: int) -> None:
    """Wait until the flow has looked so often."""
    while answers.looks < looks:
        await asyncio.sleep(POLL_SECONDS)


async def rested(answers: Looking, looks: int) -> None:
    """Wait until the flow has looked so often, and waits for something itself."""
    await looked(answers, looks)
    await asyncio.sleep(REST_SECONDS)


async def ended(flow: Flow) -> WorkflowHistory:
    """The history of a flow once it has ended well."""
    await flow.result()
    return await flow.fetch_history()


async def continued(client: Client, flow: Flow, wake: Callable[[], Awaitable[object]] | None = None) -> WorkflowHistory:
    """Wake a flow, if that is what it needs, until it continues as new, and end it: the history of its first run."""
    latest = client.get_workflow_handle(flow.id)
    first = flow.first_execution_run_id or (await latest.describe()).run_id
    while (await latest.describe()).run_id == first:
        if wake is not None:
            await wake()
        await asyncio.sleep(WAKE_SECONDS)
    await latest.terminate()
    return await client.get_workflow_handle(flow.id, run_id=first).fetch_history()
