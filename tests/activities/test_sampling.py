"""The gauges of what waits, against rows in the database."""

import math
from uuid import UUID

import pytest
from prometheus_client import REGISTRY

from activities import sampling
from db.session import Database
from tests.services.lane_world import Shop, make_shop
from tests.services.outbox_world import endpoint
from tests.support.sealing import seal_all


@pytest.fixture
def shop(lane_database: Database) -> Shop:
    return make_shop(lane_database)


def gauge(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def change(shop: Shop, statement: str, *values: object) -> None:
    with shop.database.connection() as conn:
        conn.execute(statement, values)


def test_counts_what_waits_in_a_lane_and_dates_it(shop: Shop) -> None:
    shop.drain_all()
    accepted = [shop.send("ann") for _ in range(3)]
    lane = accepted[0].lane
    change(shop, "UPDATE event_queue SET queued_at = queued_at - interval '90 seconds' WHERE event_id = %s", accepted[0].event.id)
    sampling.sample(shop.database)
    assert gauge("openscrip_lane_backlog", lane=str(lane)) == 3
    oldest = gauge("openscrip_lane_oldest_seconds", lane=str(lane))
    assert oldest is not None
    assert 90 <= oldest < 120
    shop.drain_all()
    sampling.sample(shop.database)
    assert gauge("openscrip_lane_backlog", lane=str(lane)) == 0
    assert gauge("openscrip_lane_oldest_seconds", lane=str(lane)) == 0


def test_sees_messages_of_open_endpoints_only(shop: Shop) -> None:
    id_ = endpoint(shop, "event.completed")
    change(shop, "INSERT INTO webhook_health (endpoint_id) VALUES (%s) ON CONFLICT DO NOTHING", id_)
    shop.send("ann")
    shop.drain_all()
    change(
        shop,
        "UPDATE webhook_deliveries SET next_attempt_at = next_attempt_at - interval '1 hour' WHERE webhook_endpoint_id = %s",
        id_,
    )
    sampling.sample(shop.database)
    seen = gauge("openscrip_webhook_oldest_seconds")
    assert seen is not None
    assert 3600 <= seen < 3700
    block(shop, id_, "circuit_broken")
    block_again = gauge("openscrip_webhook_oldest_seconds")
    assert block_again is not None
    assert block_again < 3600


def block(shop: Shop, id_: UUID, reason: str) -> None:
    before = gauge("openscrip_webhook_endpoints_blocked", reason=reason)
    change(
        shop,
        "UPDATE webhook_health SET openings = 1, circuit_broken_until = openscrip_now() + interval '1 hour' WHERE endpoint_id = %s",
        id_,
    )
    sampling.sample(shop.database)
    assert gauge("openscrip_webhook_endpoints_blocked", reason=reason) == (before or 0) + 1


def test_counts_what_waits_for_its_seal(shop: Shop) -> None:
    seal_all(shop.database)
    sampling.sample(shop.database)
    assert (gauge("openscrip_unsealed_entries"), gauge("openscrip_sealing_lag_seconds")) == (0, 0)
    shop.rule(shop.world.credit())
    shop.send("ann")
    shop.send("bob")
    shop.drain_all()
    change(shop, "UPDATE unsealed_entries SET noted_at = noted_at - interval '90 s'")
    sampling.sample(shop.database)
    assert gauge("openscrip_unsealed_entries") == 2
    lag = gauge("openscrip_sealing_lag_seconds")
    assert lag is not None
    assert 90 <= lag < 120


def test_forgets_what_it_can_no_longer_see(shop: Shop) -> None:
    sampling.sample(shop.database)
    sampling.forget()
    assert gauge("openscrip_lane_backlog", lane="0") is None
    found = gauge("openscrip_webhook_oldest_seconds")
    assert found is not None
    assert math.isnan(found)
