"""Two APIs behind a balancer that asks whether they are ready, and two workers: each is told to end while requests keep coming
over kept connections, and no request fails, nor is a worker's activity lost."""

import asyncio
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import httpx
import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from db.session import Database
from runtime.embedded import EmbeddedPostgres, EmbeddedTemporal
from runtime.processes import Child, free_port, wait_until
from tests.support.client import Tenant, new_tenant
from tests.support.cluster import Cluster, run_cluster
from tests.support.databases import make_database
from tests.support.shop import Shop
from tests.support.stack import poll
from workflows.contracts_seal import SEAL_WORKFLOW_ID

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

# Of each kind: balanced by request, and by connection.
CLIENTS = 4
DRAIN_SECONDS = 3.0
# The balancer looks seldom enough that an API which ends at once meets requests.
LOOK_SECONDS = 1.0
# Connections that are kept are mostly idle, so that an API which ends without a word closes them before a request.
IDLE_SECONDS = 0.2


@dataclass
class Load:
    """Clients that send one request after the other, each over connections that it keeps.

    Half of them ask the balancer before each request. The others have a connection to the first API, and stay there until an
    answer says that it closes.
    """

    urls: list[str]
    key: str
    shop: Shop
    ready: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    stopping: threading.Event = field(default_factory=threading.Event)
    keys: Iterator[int] = field(default_factory=count)

    @contextmanager
    def running(self) -> Iterator[None]:
        self.ready = list(self.urls)
        first = [None, self.urls[0]] * CLIENTS
        threads = [threading.Thread(target=self._balance), *(threading.Thread(target=self._send, args=[url]) for url in first)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stopping.set()
            for thread in threads:
                thread.join(30)

    @property
    def answered(self) -> int:
        return self.statuses.total()

    def go_on(self, requests: int) -> None:
        """Wait for so many further answers."""
        wanted = self.answered + requests
        assert wait_until(lambda: self.answered >= wanted, 60), self.statuses

    def _balance(self) -> None:
        with httpx.Client(trust_env=False, timeout=5) as client:
            while not self.stopping.wait(LOOK_SECONDS):
                self.ready = [url for url in self.urls if is_ready(client, url)] or self.ready

    def _send(self, kept: str | None) -> None:
        is_sticky = kept is not None
        headers = {"Authorization": f"Bearer {self.key}"}
        limits = httpx.Limits(max_keepalive_connections=4, keepalive_expiry=60)
        with httpx.Client(headers=headers, trust_env=False, timeout=30, limits=limits) as client:
            while not self.stopping.is_set():
                number = next(self.keys)
                url = kept or self.ready[number % len(self.ready)]
                kept = url if is_sticky else None
                try:
                    answer = self._one(client, url, number)
                except httpx.TransportError as error:
                    self.statuses[type(error).__name__] += 1
                    kept = None
                else:
                    self.statuses[str(answer.status_code)] += 1
                    kept = None if answer.headers.get("connection") == "close" else kept
                if is_sticky:
                    self.stopping.wait(IDLE_SECONDS)

    def _one(self, client: httpx.Client, url: str, number: int) -> httpx.Response:
        if number % 3 == 0:
            body = self.shop.body("0.01", idempotency_key=f"redemption-{number}")
            return client.post(url + self.shop.path(), json=body)
        event = {
            "program_id": self.shop.program,
            "external_id": f"person-{number % 20}",
            "idempotency_key": f"event-{number}",
            "event_timestamp": "2026-01-15T10:30:00Z",
            "event_data": {"type": "purchase"},
        }
        return client.post(f"{url}/v1/events", json=event)


def is_ready(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(f"{url}/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


@pytest.fixture
def tenant(cluster: Cluster, database: Database) -> Iterator[Tenant]:
    made = new_tenant(database, cluster.url)
    yield made
    made.http.close()


@pytest.fixture
def url(postgres: EmbeddedPostgres) -> str:
    return make_database(postgres.dsn, "drain")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with closing(Database(url, pool_size=2)) as opened:
        yield opened


@pytest.fixture
def own_temporal(tmp_path: Path) -> Iterator[EmbeddedTemporal]:
    with EmbeddedTemporal(tmp_path / "temporal", headless=True, in_memory=True) as started:
        yield started


@pytest.fixture
def cluster(url: str, own_temporal: EmbeddedTemporal, tmp_path: Path) -> Iterator[Cluster]:
    with run_cluster(url, own_temporal, tmp_path, OPENSCRIP_DRAIN_SECONDS=str(DRAIN_SECONDS)) as running:
        yield running


def second_api(cluster: Cluster) -> str:
    """Start another API on a port of its own."""
    port = free_port()
    with_port = Cluster(
        cluster.environment | {"OPENSCRIP_API_PORT": str(port)}, cluster.logs / "api-2", f"http://127.0.0.1:{port}"
    )
    with_port.start("api")
    cluster.children["api-2"] = with_port.children["api"]
    assert wait_until(with_port.is_ready, 60, 0.1)
    return with_port.url


def end(child: Child) -> float:
    """SIGTERM, and how long it took to end well."""
    began = time.monotonic()
    child.send(signal.SIGTERM)
    assert wait_until(lambda: child.poll() is not None, 20)
    assert child.poll() in (0, -signal.SIGTERM)
    return time.monotonic() - began


async def sealing(address: str) -> tuple[int, str]:
    """How many passes of sealing were completed, and, looked at after that, the process that makes one; "" when none does."""
    flow = (await Client.connect(address)).get_workflow_handle(SEAL_WORKFLOW_ID)
    kinds = [event.event_type async for event in flow.fetch_history_events()]
    pending = (await flow.describe()).raw_description.pending_activities
    return kinds.count(EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED), pending[0].last_worker_identity if pending else ""


def end_sealing_worker(cluster: Cluster, address: str) -> str:
    """End the worker that makes a pass of sealing, which takes ten seconds: it is completed, not lost. The worker's name."""

    def pick() -> tuple[int, str] | None:
        passes, identity = asyncio.run(sealing(address))
        names = [name for name, child in cluster.children.items() if identity.startswith(f"{child.pid}@")]
        return (passes, names[0]) if names else None

    passes, name = poll(pick, 30)
    end(cluster.children[name])
    assert asyncio.run(sealing(address))[0] > passes
    return name


def test_no_request_fails_while_processes_are_told_to_end(
    cluster: Cluster, own_temporal: EmbeddedTemporal, tenant: Tenant, database: Database
) -> None:
    shop = Shop(tenant)
    shop.credit("USD", "1000.00")
    load = Load([cluster.url, second_api(cluster)], tenant.key, shop)
    with load.running():
        load.go_on(40)
        ended = end_sealing_worker(cluster, own_temporal.address)
        load.go_on(40)
        assert end(cluster.children["api"]) >= DRAIN_SECONDS
        load.go_on(40)
        assert load.ready == load.urls[1:]
        cluster.start(ended)
        end(cluster.children["worker-1" if ended == "worker-2" else "worker-2"])
        load.go_on(40)
    assert set(load.statuses) == {"201", "202"}, load.statuses
    taken = load.statuses["201"]
    assert shop_at(load, tenant).available() == f"{1000 - taken / 100:.2f}"
    assert wait_until(lambda: waiting(database) == 0, 30, 0.1)


def shop_at(load: Load, tenant: Tenant) -> Shop:
    """The same shop, by the API that is left."""
    tenant.http.base_url = httpx.URL(load.urls[1])
    return load.shop


def waiting(database: Database) -> int:
    with database.connection() as conn:
        row = conn.execute("SELECT count(*) FROM event_queue").fetchone()
    assert row is not None
    return int(row[0])
