"""Servers for flows: one loop, a development server, one whose time jumps, one that suggests short histories."""

from collections.abc import Iterator

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from runtime.embedded import EmbeddedTemporal
from runtime.settings import Settings
from runtime.temporal import connect
from tests.support.loop import LoopThread
from tests.workflows import servers


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopThread]:
    with LoopThread() as running:
        yield running


@pytest.fixture(scope="module")
def client(temporal: EmbeddedTemporal, loop: LoopThread) -> Client:
    """A client of the development server, on `loop`."""
    return loop.run(connect(Settings(temporal_address=temporal.address)))


@pytest.fixture(scope="module")
def skipping(loop: LoopThread) -> Iterator[WorkflowEnvironment]:
    """A server whose time passes at once when everything waits."""
    environment = loop.run(servers.time_skipping())
    yield environment
    loop.run(environment.shutdown())


@pytest.fixture(scope="module")
def forgetful(loop: LoopThread) -> Iterator[WorkflowEnvironment]:
    """A server that asks flows to continue as new after a few events."""
    environment = loop.run(servers.with_short_histories())
    yield environment
    loop.run(environment.shutdown())
