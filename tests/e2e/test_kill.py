"""kill -9 of API and workers while purchases are sent: nothing is lost, nothing happens twice."""

import asyncio
import random
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from cli.load import Columns, cashback_program, read
from db.session import Database
from examples.expected import expected
from runtime.embedded import EmbeddedPostgres, EmbeddedTemporal
from runtime.processes import wait_until
from services import organizations
from tests.cli.stack import ROOT
from tests.e2e.totals import assert_sound, nothing_waits, paid
from tests.support.cluster import COMMANDS, run_cluster
from tests.support.databases import make_database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PURCHASES = ROOT / "examples" / "purchases.csv"
KILLS = 10
CLIENTS = 4
HEALING_SECONDS = 30.0


@dataclass
class Sending:
    """Clients that send every purchase until it is taken, each customer's in order, with the same key again."""

    url: str
    headers: dict[str, str]
    shares: list[list[str]]
    accepted: int = 0
    retries: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> list[threading.Thread]:
        threads = [threading.Thread(target=self._send, args=(share,), daemon=True) for share in self.shares]
        for thread in threads:
            thread.start()
        return threads

    def _send(self, share: list[str]) -> None:
        with httpx.Client(base_url=self.url, headers=self.headers, timeout=5, trust_env=False) as client:
            for event in share:
                while not self._is_taken(client, event):
                    with self.lock:
                        self.retries += 1
                    time.sleep(0.1)
                with self.lock:
                    self.accepted += 1

    @staticmethod
    def _is_taken(client: httpx.Client, event: str) -> bool:
        with suppress(httpx.TransportError):
            response = client.post("/v1/events", content=event.encode())
            assert response.status_code in (202, 500, 503), response.text
            return response.status_code == httpx.codes.ACCEPTED
        return False


def shares_of(program_id: str) -> list[list[str]]:
    """The purchases, a customer's all in one share."""
    shares: list[list[str]] = [[] for _ in range(CLIENTS)]
    for customer, event in read(PURCHASES, Columns("customer_id", "date", "amount"), program_id):
        shares[sum(customer.encode()) % CLIENTS].append(event)
    return shares


async def make_program(url: str, headers: dict[str, str]) -> str:
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30, trust_env=False) as client:
        return await cashback_program(client)


@pytest.mark.parametrize("seed", [20260115])
def test_kill_nine(postgres: EmbeddedPostgres, tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    url = make_database(postgres.dsn, f"kill_{seed}")
    with (
        closing(Database(url, pool_size=4)) as database,
        EmbeddedTemporal(tmp_path / "temporal", headless=True, in_memory=True) as temporal,
        run_cluster(url, temporal, tmp_path) as cluster,
    ):
        with database.session() as session:
            organization = organizations.create_organization(session, "Killed")
            _, key = organizations.create_api_key(session, organization.id, "test")
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        sending = Sending(cluster.url, headers, shares_of(asyncio.run(make_program(cluster.url, headers))))
        everything = sum(len(share) for share in sending.shares)
        moments = sorted(dice.sample(range(10, everything - 10), KILLS))
        victims = [dice.choice(list(COMMANDS)) for _ in moments]
        assert {"api"} < set(victims), "the seed must kill both kinds"
        threads = sending.run()
        for moment, victim in zip(moments, victims, strict=True):
            assert wait_until(lambda moment=moment: sending.accepted >= moment, 60), f"stuck at {sending.accepted}"  # type: ignore[misc]
            time.sleep(dice.uniform(0, 0.05))
            cluster.kill(victim)
        for thread in threads:
            thread.join(60)
        assert sending.accepted == everything
        assert sending.retries > 0
        assert wait_until(lambda: nothing_waits(database), HEALING_SECONDS, 0.1), "events are still waiting"
        assert paid(database) == expected(str(PURCHASES))
        assert_sound(database)
