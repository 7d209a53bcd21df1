"""The last units of a reward, and clients that all want them at once: none is sold twice, everybody gets an answer.

`OPENSCRIP_RUSH=10000x500`, as `make rush` has it, is a crowd of another size: attempts, and clients at the same moment.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from db.session import Database
from runtime.embedded import EmbeddedPostgres, EmbeddedTemporal
from runtime.processes import wait_until
from tests.e2e.rush import Crowd, Request, crowd_of, deadlocks
from tests.support.books import assert_books
from tests.support.databases import make_database
from tests.support.process import serve_process

pytestmark = [pytest.mark.xdist_group("reward-rush"), pytest.mark.timeout(300)]

ATTEMPTS, CLIENTS = (int(number) for number in os.environ.get("OPENSCRIP_RUSH", "2000x100").split("x"))
UNITS = 100
PEOPLE = 50
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    status: int
    body: dict[str, Any]
    seconds: float


def storm(crowd: Crowd, requests: Sequence[Request], clients: int) -> list[Answer]:
    """So many clients, each with its connection and its share of the requests, one after the other."""
    start = Barrier(clients)
    headers = {"Authorization": f"Bearer {crowd.api.key}", "Content-Type": "application/json"}
    host = urlsplit(str(crowd.api.http.base_url)).netloc

    def send(number: int) -> list[Answer]:
        answers = []
        with closing(HTTPConnection(host, timeout=PATIENCE_SECONDS)) as connection:
            connection.connect()
            start.wait(PATIENCE_SECONDS)
            for path, body in requests[number::clients]:
                began = time.monotonic()
                connection.request("POST", path, json.dumps(body), headers)
                answer = connection.getresponse()
                answers.append(Answer(answer.status, json.loads(answer.read()), time.monotonic() - began))
        return answers

    with ThreadPoolExecutor(clients) as pool:
        return [answer for answers in pool.map(send, range(clients)) for answer in answers]


@pytest.fixture(scope="module")
def rush_url(postgres: EmbeddedPostgres) -> str:
    return make_database(postgres.dsn, "reward_rush")


@pytest.fixture
def crowd(rush_url: str, temporal: EmbeddedTemporal, tmp_path: Path) -> Iterator[Crowd]:
    """A database that only this server uses, whose process also has the redemptions' worker."""
    with closing(Database(rush_url, pool_size=4)) as database:
        with serve_process(rush_url, tmp_path, temporal.address) as url, crowd_of(database, url) as crowd:
            yield crowd
            assert_books(database, crowd.api.organization_id)
        assert deadlocks(database) == 0


def _reward(crowd: Crowd, money: str, **limits: int) -> str:
    body = {"name": "LAST", "redemption_type": "UNIT_BASED", "asset_id": money, "unit_cost": "1.00", "status": "ACTIVE"}
    return str(crowd.api.post(f"/v1/programs/{crowd.program}/rewards", body | limits, 201)["id"])


def _rush(crowd: Crowd, reward: str, people: Sequence[str]) -> list[Answer]:
    wanted = {"program_id": crowd.program, "reward_id": reward}
    paths = [f"/v1/participants/{people[number % len(people)]}/redemptions/items" for number in range(ATTEMPTS)]
    assert wait_until(lambda: crowd.api.http.get("/readyz").is_success, 20, 0.1)
    began = time.monotonic()
    answers = storm(crowd, [(path, wanted) for path in paths], CLIENTS)
    seconds = sorted(answer.seconds for answer in answers)
    print(
        f"{ATTEMPTS} attempts of {CLIENTS} clients: {time.monotonic() - began:.1f} s in all, p50 {seconds[len(seconds) // 2]:.2f} s,"
        f" longest {seconds[-1]:.2f} s"
    )
    return answers


def _require_exact(answers: Sequence[Answer], refused_with: str) -> None:
    assert len(answers) == ATTEMPTS
    assert {answer.status for answer in answers} == {201, 422}
    assert sum(answer.status == 201 for answer in answers) == UNITS
    assert {answer.body["code"] for answer in answers if answer.status == 422} == {refused_with}
    assert max(answer.seconds for answer in answers) < PATIENCE_SECONDS


def test_the_last_hundred_are_sold_once(crowd: Crowd) -> None:
    people, money = crowd.participants(PEOPLE), crowd.asset()
    for person in people:
        crowd.done(crowd.credit(person, money, "1000.00"))
    reward = _reward(crowd, money, max_total=UNITS)
    _require_exact(_rush(crowd, reward, people), "out_of_stock")
    found = crowd.api.get(f"/v1/programs/{crowd.program}/rewards/{reward}")
    assert (found["redeemed_count"], found["status"]) == (UNITS, "OUT_OF_STOCK")
    with crowd.database.connection() as conn:
        [(least,)] = conn.execute("SELECT min(max_total - redeemed_count) FROM rewards WHERE id = %s", [UUID(reward)])
    assert least == 0


def test_a_participant_gets_no_more_than_the_limit(crowd: Crowd) -> None:
    [ann], money = crowd.participants(1), crowd.asset()
    crowd.done(crowd.credit(ann, money, "1000.00"))
    reward = _reward(crowd, money, max_per_participant=UNITS)
    _require_exact(_rush(crowd, reward, [ann]), "participant_limit_reached")
    assert crowd.has(ann, money) == "900.00"
