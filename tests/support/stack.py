"""The whole product in one process: API on a socket, worker, Postgres and a Temporal development server."""

import asyncio
import contextlib
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import SecretStr
from temporalio.client import Client

import worker
from api.app import create_app
from cli.serve import PARTS
from db.session import Database
from runtime.embedded import EmbeddedTemporal
from runtime.settings import Settings
from runtime.temporal import connect
from tests.support.loop import LoopThread
from tests.support.server import serve

T = TypeVar("T")

# what seals secrets of webhooks
SECRET_KEY = SecretStr(b64encode(bytes(range(32))).decode())

# A lane whose wake signal was lost is found after this long.
SWEEP_SECONDS = 1.0


@dataclass(frozen=True)
class Stack:
    """A running product; `client` must be used on `loop`."""

    settings: Settings
    database: Database
    base_url: str
    loop: LoopThread
    client: Client


@contextlib.contextmanager
def run_stack(database_url: str, temporal: EmbeddedTemporal, data_dir: Path, **changed: Any) -> Iterator[Stack]:
    """Run API and worker against these servers, with the settings in `changed` as they are there."""
    settings = Settings(
        database_url=database_url,
        temporal_address=temporal.address,
        temporal_namespace=temporal.namespace,
        data_dir=data_dir,
        rate_limit="off",
        sweep_seconds=SWEEP_SECONDS,
        database_pool_size=8,
        secret_key=SECRET_KEY,
        webhook_allow_private=True,
    ).model_copy(update=changed)
    with LoopThread() as loop, contextlib.closing(Database(database_url, pool_size=8)) as database:
        client = loop.run(connect(settings))
        with run_worker(settings, loop), serve(create_app(settings, PARTS)) as url:
            yield Stack(settings, database, url, loop, client)


@contextlib.contextmanager
def run_worker(settings: Settings, loop: LoopThread) -> Iterator[None]:
    """Run a worker process's whole composition on a loop."""
    stopping = asyncio.Event()

    async def start() -> asyncio.Task[None]:
        return asyncio.create_task(worker.run(settings, stopping))

    async def stop(task: asyncio.Task[None]) -> None:
        stopping.set()
        await task

    task = loop.run(start())
    try:
        yield
    finally:
        loop.run(stop(task))


def poll(look: Callable[[], T | None], timeout_seconds: float = 10.0, gap_seconds: float = 0.01) -> T:
    """Look until there is something that counts; AssertionError when there is nothing in time."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"nothing within {timeout_seconds} s"
        time.sleep(gap_seconds)
        gap_seconds = min(gap_seconds * 1.5, 0.2)
