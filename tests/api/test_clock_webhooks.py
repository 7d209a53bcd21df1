"""The test clock and waiting attempts of fulfilments: each is a due moment, and is made when the clock gets there."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from domain.timestamps import format_timestamp, parse_timestamp
from runtime.embedded import EmbeddedPostgres, EmbeddedTemporal
from tests.support.client import new_tenant
from tests.support.databases import make_database
from tests.support.receiver import Reply, receive
from tests.support.shop import Shop
from tests.support.stack import Stack, poll, run_stack
from workflows.contracts_fulfillment import FulfillmentFlowStatus, fulfillment_workflow_id

URL = "/v1/test-clock"


@pytest.fixture(scope="module")
def machine(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running product whose clock may be moved, with servers of its own."""
    data = Path(tmp_path_factory.mktemp("clock-webhooks"))
    with (
        EmbeddedTemporal(data, headless=True, in_memory=True) as temporal,
        run_stack(make_database(postgres.dsn, "clock_webhooks"), temporal, data, test_clock=True) as running,
    ):
        yield running


@pytest.fixture
def shop(machine: Stack) -> Iterator[Shop]:
    made = Shop(new_tenant(machine.database, machine.base_url))
    made.credit("USD", "100.00")
    yield made
    made.require_sound(machine.database)
    made.api.http.close()


def move(shop: Shop, **distance: float) -> int:
    """Move the clock; the number of due moments on the way."""
    target = parse_timestamp(shop.api.get(URL)["now"]) + timedelta(**distance)
    return int(shop.api.post(URL, {"now": format_timestamp(target)})["steps"])


def test_all_attempts_of_two_days(shop: Shop, machine: Stack) -> None:
    with receive(script=lambda _: Reply(500)) as receiver:
        code, _ = shop.hooked(receiver.url)
        made = shop.take(code)
        receiver.wait_for(1)
        flow = machine.client.get_workflow_handle(fulfillment_workflow_id(UUID(made["id"])), result_type=FulfillmentFlowStatus)
        # the first was made by its flow, in real time; perhaps the second too
        steps = move(shop, hours=48)
        assert len(receiver.received) == 8
        assert 6 <= steps <= 7
        assert len({(each.body, each.headers["webhook-id"]) for each in receiver.received}) == 1
        # receivers judge by the real clock
        timestamps = [int(each.headers["webhook-timestamp"]) for each in receiver.received]
        assert timestamps[-1] - timestamps[0] < 120
        found = shop.found(made)
        assert (found["fulfillment_status"], found["status"]) == ("FAILED", "FULLY_REVERSED")
        assert machine.loop.run(flow.result()).state == "FAILED"


def test_the_flow_goes_on_from_the_moved_clock(shop: Shop, machine: Stack) -> None:
    """The clock stops before the third attempt; the flow, which slept for minutes, makes it when it is due then."""
    with receive(Reply(500), Reply(500), Reply(200)) as receiver:
        code, _ = shop.hooked(receiver.url)
        made = shop.take(code)
        receiver.wait_for(1)
        move(shop, minutes=4)
        assert len(receiver.received) == 2
        with machine.database.connection() as conn:
            row = conn.execute(
                "SELECT extract(epoch FROM next_attempt_at - openscrip_now()) FROM fulfillment_requests WHERE redemption_id = %s",
                [made["id"]],
            ).fetchone()
        assert row is not None
        move(shop, seconds=float(row[0]) - 1.5)
        poll(lambda: shop.found(made)["fulfillment_status"] == "FULFILLED", 20)
        assert len(receiver.received) == 3
