"""kill -9 of the API, which hosts the worker of its redemptions, at every moment of a request: the retry makes it one effect."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from db.session import Database
from runtime.embedded import EmbeddedPostgres, EmbeddedTemporal
from runtime.processes import free_port
from tests.cli.stack import ROOT
from tests.support.client import new_tenant
from tests.support.databases import make_database
from tests.support.shop import Shop
from tests.support.stack import poll
from tests.workflows.dying_api import MOMENTS

PATIENCE_SECONDS = 40.0
# A redemption, then its reversal, killed at the same moment each.
CASES = [(operation, moment) for moment in MOMENTS for operation in ("redeem", "reverse")]


class Nursery:
    """Starts APIs at one address, the next when the last was killed."""

    def __init__(self, url: str, port: int, process: "subprocess.Popen[str]") -> None:
        self.url = url
        self._port = port
        self._process = process

    def start(self, operation: str = "", moment: str = "", key: str = "") -> None:
        """An API that dies over the request with this key; over none without one."""
        self._pipe(self._process.stdin).write(f"{self._port}\t{operation}\t{moment}\t{key}\n")
        self._pipe(self._process.stdin).flush()
        poll(self._is_ready, PATIENCE_SECONDS)

    def require_killed(self) -> None:
        assert self._pipe(self._process.stdout).readline() == f"{int(signal.SIGKILL)}\n"

    def _is_ready(self) -> bool | None:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/readyz", timeout=2, trust_env=False).is_success or None
        return None

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


@pytest.fixture
def nursery(postgres: EmbeddedPostgres, temporal: EmbeddedTemporal, tmp_path: Path) -> Iterator[tuple[Nursery, Database]]:
    port = free_port()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OPENSCRIP_")}
    url = make_database(postgres.dsn, "killed_api")
    own = {
        "OPENSCRIP_DATABASE_URL": url,
        "OPENSCRIP_TEMPORAL_ADDRESS": temporal.address,
        "OPENSCRIP_DATA_DIR": str(tmp_path),
        "OPENSCRIP_RATE_LIMIT": "off",
        "OPENSCRIP_DATABASE_POOL_SIZE": "4",
    }
    argv = [sys.executable, "-m", "tests.workflows.dying_api"]
    with (
        closing(Database(url, pool_size=2)) as database,
        (tmp_path / "api.log").open("wb") as log,
        subprocess.Popen(
            argv,
            cwd=ROOT,
            env=inherited | own,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield Nursery(f"http://127.0.0.1:{port}", port, process), database
        finally:
            # with the API that it has started
            os.killpg(process.pid, signal.SIGKILL)


class Buyer:
    """Asks with a key of its own for each case, and asks again."""

    def __init__(self, shop: Shop, reward: str) -> None:
        self._shop = shop
        self._reward = reward
        self.made: list[dict[str, Any]] = []

    def send(self, operation: str, key: str | None) -> httpx.Response:
        if operation == "redeem":
            path, body = self._shop.request(self._reward, 1, idempotency_key=key)
        else:
            path, body = f"/v1/redemptions/{self.made[-1]['id']}/reverse", {"reason": "killed", "idempotency_key": key}
        return self._shop.api.http.post(path, json=body, timeout=PATIENCE_SECONDS)

    def die(self, operation: str, key: str) -> None:
        with pytest.raises(httpx.TransportError):
            self.send(operation, key)

    def retry(self, operation: str, key: str) -> None:
        """Until it is answered; a reversal together with another one of the same redemption, which has no key."""
        with ThreadPoolExecutor(2) as pool:
            other = pool.submit(self.send, operation, None) if operation == "reverse" else None
            answer = poll(lambda: self._when_done(operation, key), PATIENCE_SECONDS)
            won = [response.status_code for response in (answer, other.result() if other else None) if response is not None]
        if other is not None:
            assert sorted(won) in ([200, 422], [201, 422])
            assert self._shop.reversals(self.made[-1])[0]["amount"] == "1.00"
            return
        assert won[0] in (200, 201)
        self.made.append(answer.json())
        assert self.send(operation, key).json() == answer.json()

    def _when_done(self, operation: str, key: str) -> httpx.Response | None:
        answer = self.send(operation, key)
        return None if answer.status_code == 503 else answer


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_one_effect_whenever_it_is_killed(nursery: tuple[Nursery, Database]) -> None:
    apis, database = nursery
    apis.start(*CASES[0], "key-0")
    shop = Shop(new_tenant(database, apis.url))
    with closing(shop.api.http):
        shop.credit("USD", "100.00")
        reward = shop.mug(unit_cost="1.00", max_total=50, max_per_participant=50)
        buyer = Buyer(shop, reward)
        for (number, (operation, _)), following in pairwise([*enumerate(CASES), None]):
            key = f"key-{number}"
            buyer.die(operation, key)
            apis.require_killed()
            if following is None:
                apis.start()
            else:
                apis.start(*following[1], f"key-{following[0]}")
            buyer.retry(operation, key)
            sold = 0 if operation == "reverse" else 1
            assert shop.stock(reward)[0] == sold
            assert shop.available() == f"{100 - sold}.00"
        assert shop.actions().count("REDEMPTION") == shop.actions().count("REDEMPTION_REVERSAL") == len(MOMENTS)
        shop.require_sound(database)
