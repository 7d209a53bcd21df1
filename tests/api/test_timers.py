"""What requests tell the flows of due moments: repeated while Temporal is away, coalesced, and nothing for a refused request."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from temporalio.client import Client

from api.app import create_app
from db.session import Database
from runtime.embedded import EmbeddedPostgres, EmbeddedTemporal
from runtime.processes import free_port
from runtime.settings import Settings
from runtime.temporal import connect
from tests.api.routes.money import Money
from tests.support.client import new_tenant
from tests.support.databases import make_database
from tests.support.loop import LoopThread
from tests.support.server import serve
from tests.support.stack import poll
from workflows import contracts
from workflows.contracts_hold import hold_workflow_id


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    with LoopThread() as running:
        yield running


async def signals_of(client: Client) -> int:
    """How many wake signals the due work has got."""
    history = await client.get_workflow_handle(contracts.DUE_WORKFLOW_ID).fetch_history()
    return sum(event.HasField("workflow_execution_signaled_event_attributes") for event in history.events)


async def flows(client: Client) -> list[str]:
    return sorted([flow.id async for flow in client.list_workflows()])


def test_calls_wait_for_temporal_and_come_in_order(postgres: EmbeddedPostgres, loop: LoopThread, tmp_path: Path) -> None:
    url, port = make_database(postgres.dsn, "timers"), free_port()
    settings = Settings(database_url=url, temporal_address=f"127.0.0.1:{port}", data_dir=tmp_path, rate_limit="off")
    with closing(Database(url, pool_size=2)) as database, serve(create_app(settings)) as base_url:
        tenant = new_tenant(database, base_url)
        money = Money(tenant)
        for _ in range(20):
            money.credit("MILES", "1", expires_at="30s")
        money.credit("MILES", "1", expires_at="8760h")
        money.credit("USD", "100")
        money.hold("USD", "200", 422, expires_at="72h")
        money.hold("USD", "10", expires_at="72h")
        money.hold("USD", "5")
        with database.connection() as conn:
            [(hold_id,)] = conn.execute("SELECT id FROM holds WHERE expires_at IS NOT NULL").fetchall()
        with EmbeddedTemporal(tmp_path / "temporal", port=port, headless=True, in_memory=True):
            client = loop.run(connect(settings))
            expected = [contracts.DUE_WORKFLOW_ID, hold_workflow_id(hold_id)]
            poll(lambda: loop.run(flows(client)) == expected, 30)
            assert 1 <= loop.run(signals_of(client)) <= 3, "twenty wakes are one or a few"
        tenant.http.close()
