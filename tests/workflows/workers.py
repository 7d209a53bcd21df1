"""The one way to run flows on a queue of a test's own, beside whatever else uses the server."""

import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker

from runtime.temporal import sandbox_runner

THREADS = 4


@contextlib.asynccontextmanager
async def serving(
    client: Client,
    name: str,
    flows: Sequence[type],
    activities: Sequence[Callable[..., Any]],
    grace: timedelta = timedelta(0),
) -> AsyncIterator[str]:
    """A worker of these flows, in the sandbox, with these activities; gives the name of its queue, which begins with `name`.

    Activities that go on when the block ends are ended after `grace`.
    """
    queue = f"{name}-{random.randrange(10**9)}"
    with ThreadPoolExecutor(THREADS) as executor:
        async with Worker(
            client,
            task_queue=queue,
            workflows=flows,
            activities=activities,
            activity_executor=executor,
            workflow_runner=sandbox_runner(),
            graceful_shutdown_timeout=grace,
        ):
            yield queue
