"""Temporal's store is dropped while the product runs: every kind of flow is there again, and what is due happens once."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError

from activities import keeping
from runtime.embedded import EmbeddedPostgres, EmbeddedTemporal
from tests.support.books import assert_books
from tests.support.client import Tenant, new_tenant
from tests.support.club import Club, make_club
from tests.support.databases import make_database
from tests.support.receiver import Received, Receiver, Reply, receive
from tests.support.schedules import Diary
from tests.support.shop import Shop
from tests.support.stack import Stack, poll, run_stack
from workflows import contracts
from workflows.contracts import DueKind

PATIENCE = 40.0
DUE_SECONDS = 12
RUNNING = WorkflowExecutionStatus.RUNNING
DELIVERY = "SELECT id FROM webhook_deliveries WHERE organization_id = %s"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Replaceable"]:
    """A Temporal server of these tests' own, whose store can be dropped."""
    replaceable = Replaceable(tmp_path_factory.mktemp("replaceable"))
    with replaceable.servers:
        yield replaceable


class Replaceable:
    """A Temporal server in memory, and its successors at the same address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers = ExitStack()
        self.temporal = self._start(0)

    def _start(self, port: int) -> EmbeddedTemporal:
        return self.servers.enter_context(EmbeddedTemporal(self.folder, port=port, headless=True, in_memory=True))

    def stop(self) -> None:
        self.servers.pop_all().close()

    def start_anew(self) -> None:
        """Start another one, which knows nothing."""
        self._start(self.temporal.port)


@pytest.fixture(scope="module")
def product(postgres: EmbeddedPostgres, server: Replaceable, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The running product, which looks after Temporal's store twice a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeping, "KEEP_SECONDS", 0.5)
        folder = Path(tmp_path_factory.mktemp("product"))
        with run_stack(make_database(postgres.dsn, "reconcile"), server.temporal, folder) as running:
            yield running


@pytest.fixture
def api(product: Stack) -> Iterator[Tenant]:
    fresh = new_tenant(product.database, product.base_url)
    yield fresh
    fresh.http.close()


def details_of(stack: Stack) -> str:
    """What the latest run of the reconciliation tells a person."""

    async def look() -> str:
        runs = [run async for run in stack.client.list_workflows(f"WorkflowType = '{contracts.RECONCILE_WORKFLOW}'")]
        if not runs or runs[0].status is not WorkflowExecutionStatus.COMPLETED:
            return ""
        flow = stack.client.get_workflow_handle(runs[0].id, run_id=runs[0].run_id)
        metadata = await flow.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
        return metadata.current_details

    return stack.loop.run(look())


def reconcile(stack: Stack, wanted: Callable[[str], bool]) -> None:
    """Run the reconciliation until its details are as wanted."""

    def once() -> bool:
        stack.loop.run(stack.client.get_schedule_handle(contracts.RECONCILE_SCHEDULE).trigger())
        return wanted(details_of(stack))

    poll(once, PATIENCE)


def test_the_flow_names_the_row_that_was_tampered_with(product: Stack, api: Tenant) -> None:
    shop = Shop(api)
    shop.credit("USD", "10")
    statement = "UPDATE balances SET available = available + %s WHERE organization_id = %s"
    with psycopg.connect(product.database.url, autocommit=True) as owner:
        owner.execute(statement, [5, api.organization_id])
        row = f"**balances_match** organization `{api.organization_id}`: holder_id={shop.participant}"
        reconcile(product, lambda details: row in details and "**Broken checks** balances_match" in details)
        owner.execute(statement, [-5, api.organization_id])
    reconcile(product, lambda details: "**Broken checks** none" in details)


def status_of(stack: Stack, workflow_id: str) -> WorkflowExecutionStatus | None:
    """How the latest run of a flow stands; None when Temporal doesn't know it."""

    async def look() -> WorkflowExecutionStatus | None:
        try:
            return (await stack.client.get_workflow_handle(workflow_id).describe()).status
        except RPCError:
            return None

    return stack.loop.run(look())


class Waiting:
    """Something of each kind that waits for a flow: `lasting` ones have it for years, `ending` ones until they are due."""

    def __init__(self, club: Club, shop: Shop, receiver: Receiver) -> None:
        self.club, self.shop, self.receiver = club, shop, receiver
        self.diary = Diary(club)
        self.due = datetime.now(UTC) + timedelta(seconds=DUE_SECONDS)
        tier, cron = self._tier(), self.diary.cron("0 0 1 1 *")
        self.once = self.diary.one_time(self.due.isoformat())
        self.redemption = shop.take(shop.code(f"{DUE_SECONDS}s"))
        shop.credit("MILES", "7", expires_at=self.due.isoformat())
        shop.hold("USD", "3", expires_at=self.due.isoformat(), reference_id="auth")
        club.tenant.post("/v1/webhook-endpoints", {"url": receiver.url, "enabled_events": ["balance.credited"]}, 201)
        club.completed({"type": "purchase", "amount": 1})
        receiver.wait_for(1)
        self.lasting = [f"tier-retention/{tier['id']}", f"automation/{cron['id']}", *(kind.workflow_id for kind in DueKind)]
        self.ending = [
            f"hold/{self._one('SELECT id FROM holds WHERE organization_id = %s', shop.api)}",
            f"fulfillment/{self.redemption['id']}",
            f"automation/{self.once['id']}",
            f"webhook-retry/{self._one(DELIVERY, club.tenant)}",
        ]

    def _tier(self) -> dict[str, Any]:
        self.club.ten_per_unit()
        criteria = [{"counter": "points", "operator": ">=", "threshold": 10}]
        lifecycle = {
            "retention": {"mode": "PERIOD_BASED"},
            "qualification_period": {"type": "CALENDAR_YEAR"},
            "counters": {"qualifying": ["points"], "rollover": "EXCESS"},
        }
        levels = [{"key": "gold", "rank": 1, "qualification": {"mode": "ALL", "criteria": criteria}}]
        body = {"key": "club", "levels": levels, "lifecycle": lifecycle}
        made: dict[str, Any] = self.club.tenant.post(f"/v1/programs/{self.club.program_id}/tiers", body, 201)
        return made

    def _one(self, statement: str, tenant: Tenant) -> str:
        with self.club.database.connection() as conn:
            [(found,)] = conn.execute(statement, [tenant.organization_id]).fetchall()
        return str(found)

    def events(self) -> list[tuple[str, str]]:
        """Events of the club's program by what made them, all processed."""
        query = {"program_id": self.club.program_id, "limit": 100}
        found = self.club.tenant.get("/v1/events", **query)["data"]
        return sorted((row["automation_id"] or "client", row["status"]) for row in found)


def test_a_dropped_store_loses_nothing_and_repeats_nothing(server: Replaceable, product: Stack) -> None:
    refused: set[str] = set()

    def once_refused(received: Received) -> Reply:
        """Each message is refused the first time."""
        is_new = received.headers["webhook-id"] not in refused
        refused.add(received.headers["webhook-id"])
        return Reply(500 if is_new else 200)

    tenants = [new_tenant(product.database, product.base_url) for _ in range(2)]
    with receive(script=once_refused) as receiver:
        shop = Shop(tenants[1])
        shop.credit("USD", "100.00")
        waiting = Waiting(make_club(tenants[0], product.database), shop, receiver)
        poll(lambda: all(status_of(product, flow) for flow in waiting.lasting + waiting.ending), PATIENCE)
        server.stop()
        # what comes meanwhile
        sent = waiting.club.send({"type": "purchase", "amount": 2}, "bob")
        broadcast = waiting.diary.immediate()
        server.start_anew()
        poll(lambda: all(status_of(product, flow) is RUNNING for flow in waiting.lasting), PATIENCE)
        poll(lambda: all(status_of(product, flow) for flow in waiting.ending), PATIENCE)
        assert waiting.club.processed(sent["id"], PATIENCE)["status"] == "COMPLETED"
        assert waiting.diary.ended(broadcast)["execution_status"] == "completed"
        poll(lambda: shop.found(waiting.redemption)["status"] == "FULLY_REVERSED", PATIENCE)
        poll(lambda: {"EXPIRY", "RELEASE"} <= set(shop.actions()), PATIENCE)
        assert len(waiting.diary.events(waiting.once, 1)) == 1
        poll(lambda: len(receiver.received) == 4, PATIENCE)
    for action in ("EXPIRY", "RELEASE", "REDEMPTION_REVERSAL"):
        assert shop.actions().count(action) == 1
    made = [automation for automation, _ in waiting.events()]
    # two of the client's; the broadcast's, for ann and bob; that of the moment
    assert sorted(made.count(name) for name in set(made)) == [1, 2, 2]
    assert {status for _, status in waiting.events()} == {"COMPLETED"}
    # two messages, each refused once and then received once
    assert sorted(Counter(each.headers["webhook-id"] for each in receiver.received).values()) == [2, 2]
    for tenant in tenants:
        assert_books(product.database, tenant.organization_id)
        tenant.http.close()
