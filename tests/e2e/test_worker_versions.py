"""Worker versioning: workers of a version serve once it is current, and a newer one takes over without losing a flow."""

from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from temporalio.service import RPCError

from db.session import Database
from runtime.embedded import EmbeddedPostgres, EmbeddedTemporal
from runtime.temporal import promote
from tests.support.client import new_tenant
from tests.support.club import Club, make_club
from tests.support.databases import make_database
from tests.support.shop import Shop
from tests.support.stack import Stack, poll, run_stack, run_worker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def make_current(stack: Stack, build_id: str) -> None:
    """Promote a build, as soon as its workers are known."""
    settings = stack.settings.model_copy(update={"worker_build_id": build_id})

    def attempt() -> bool:
        try:
            stack.loop.run(promote(stack.client, settings))
        except RPCError:
            return False
        return True

    poll(attempt, 20)


def serves(club: Club, shop: Shop, number: int) -> None:
    event = club.send({"type": "purchase", "amount": 5}, idempotency_key=f"event-{number}")
    club.processed(event["id"], 30)
    shop.redeem("1.00")


def test_versions_follow_each_other(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    url = make_database(postgres.dsn, "versions")
    with (
        EmbeddedTemporal(tmp_path / "temporal", headless=True, in_memory=True) as temporal,
        closing(Database(url, pool_size=2)) as database,
        run_stack(url, temporal, tmp_path, worker_deployment="openscrip", worker_build_id="1", redemption_timeout=20.0) as stack,
        ExitStack() as later,
    ):
        tenant = new_tenant(database, stack.base_url)
        later.callback(tenant.http.close)
        club, shop = make_club(tenant, database), Shop(tenant)
        club.ten_per_unit()
        shop.credit("USD", "10.00")
        make_current(stack, "1")
        serves(club, shop, 1)
        newer = stack.settings.model_copy(update={"worker_build_id": "2"})
        later.enter_context(run_worker(newer, stack.loop))
        make_current(stack, "2")
        serves(club, shop, 2)
        assert club.balance("ann") == "100"
        assert shop.available() == "8.00"
