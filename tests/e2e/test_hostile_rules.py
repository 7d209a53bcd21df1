"""Hostile expressions: judged in time, stopped at their limit, and no burden for other programs (events-rules.md 5.7)."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from bench.results import percentile
from db.session import Database
from runtime.embedded import EmbeddedPostgres, EmbeddedTemporal
from tests.domain.cel.test_limits import HOSTILE, TOO_DEEP
from tests.support.books import assert_books
from tests.support.client import Tenant, new_tenant
from tests.support.cluster import run_cluster
from tests.support.databases import make_database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SECONDS = 8.0
ROUNDS = 3
RATE = 20.0
ATTACKS_A_SECOND = 1.0
PEOPLE = 24
POLL_SECONDS = 0.02
# Behind one of the attacks an event would wait for many seconds; busy neighbours of a test run cost half a second.
P99_SECONDS = 2.0
SECRET = "victims-secret-4711"

ALL = "event.l.all(a, event.l.all(b, event.l.all(c, a + b + c >= 0)))"
ATTACKS = (
    ALL,
    "size(event.l.filter(a, event.l.all(b, event.l.all(c, a + b + c >= 0)))) > 0",
    'event.l.map(a, event.l.map(b, event.text + event.text).join("")).join("") != ""',
    'event.l.all(a, event.l.all(b, event.text.matches("(x+x+)+y")))',
    'event.l.all(a, event.text.replace("x", event.text).size() > 0)',
    "sum(event.l.map(a, sum(event.l.map(b, sum(event.l.map(c, a * b * c)))))) < 0",
)
BIG = {"l": list(range(100)), "text": "x" * 5_000}


@dataclass
class Scene:
    """A victim's program, and an attacker's with the costliest rule and with all of them, on one deployment."""

    database: Database
    victim: Tenant
    attacker: Tenant
    victims_program: str
    attackers_program: str
    every_attack: str


@pytest.fixture(scope="module")
def scene(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    url, folder = make_database(postgres.dsn, "hostile"), Path(tmp_path_factory.mktemp("hostile"))
    with (
        EmbeddedTemporal(folder / "temporal", headless=True, in_memory=True) as temporal,
        run_cluster(url, temporal, folder) as cluster,
        closing(Database(url, pool_size=4)) as database,
    ):
        victim, attacker = (new_tenant(database, cluster.url, name) for name in ("Victim", "Attacker"))
        try:
            programs = program(victim, "true"), program(attacker, ATTACKS[-1]), program(attacker, *ATTACKS)
            yield Scene(database, victim, attacker, *programs)
        finally:
            victim.http.close()
            attacker.http.close()


def program(tenant: Tenant, *conditions: str) -> str:
    made = tenant.post("/v1/programs", {"name": "P"}, 201)["id"]
    asset = {
        "name": "Points",
        "symbol": f"P{uuid4().hex[:8]}",
        "inventory_mode": "SIMPLE",
        "issuance_policy": "UNLIMITED",
        "scale": 0,
    }
    asset_id = tenant.post("/v1/assets", {**asset, "program_id": made}, 201)["id"]
    for condition in conditions:
        credit = {"type": "CREDIT", "asset_id": asset_id, "amount": "1"}
        rule = {"program_id": made, "name": "Rule", "condition": condition, "actions": [credit]}
        tenant.post("/v1/rules", rule, 201)
    return str(made)


def send(tenant: Tenant, program_id: str, who: str, key: str, data: dict[str, Any]) -> str:
    body = {"program_id": program_id, "external_id": who, "idempotency_key": key, "event_data": data}
    return str(tenant.post("/v1/events", {**body, "event_timestamp": "2026-01-01T00:00:00Z"}, 202)["id"])


@pytest.mark.parametrize("source", [*sorted(HOSTILE), *TOO_DEEP, *ATTACKS, "(" * 100_000, "1+" * 50_000 + "1", "x" * 102_400])
def test_validate_answers_soon(scene: Scene, source: str) -> None:
    times = []
    for _ in range(2):
        began = time.monotonic()
        response = scene.attacker.http.post("/v1/rules/validate", json={"condition": source})
        times.append(time.monotonic() - began)
        assert response.status_code == (200 if len(source) <= 16_384 else 400), response.text[:300]
    # what costs more than a step for a character takes minutes; a busy machine takes its part of the second twice
    assert min(times) < 2.0
    if source in ATTACKS or source in TOO_DEEP:
        assert response.json()["valid"] is (source in ATTACKS)


def test_a_hostile_program_slows_nobody_down(scene: Scene) -> None:
    for number in range(PEOPLE):
        send(scene.victim, scene.victims_program, f"v-{number}", f"warm-{number}", {"secret": SECRET})
    slowest = []
    # neighbours on the machine only add time: the best of three rounds is judged
    while not slowest or (min(slowest) >= P99_SECONDS and len(slowest) < ROUNDS):
        slowest.append(percentile(round_of(scene, len(slowest)), 99))
    assert min(slowest) < P99_SECONDS, slowest
    check_the_attacker(scene)
    for tenant in (scene.victim, scene.attacker):
        assert_books(scene.database, tenant.organization_id)


def round_of(scene: Scene, number: int) -> list[float]:
    """Seconds from acceptance to effect of the victim's events while the attacker does its worst."""
    stop = threading.Event()
    lags: dict[str, float] = {}
    attack = threading.Thread(target=attacks, args=(scene, stop, number), daemon=True)
    seen = threading.Thread(target=watch, args=(scene, stop, lags), daemon=True)
    for thread in (attack, seen):
        thread.start()
    sent = paced(scene, number)
    deadline = time.monotonic() + 20
    while not lags.keys() >= set(sent) and time.monotonic() < deadline:
        time.sleep(0.05)
    stop.set()
    for thread in (attack, seen):
        thread.join(10)
    return [lags[event] for event in sent]


def attacks(scene: Scene, stop: threading.Event, round_number: int) -> None:
    """Events that make the costliest rule run into its limit, for people of all lanes in turn."""
    number = 0
    with httpx.Client(base_url=scene.attacker.http.base_url, headers=scene.attacker.http.headers, timeout=30) as http:
        tenant = Tenant(scene.attacker.organization_id, scene.attacker.key, http)
        while not stop.wait(1 / ATTACKS_A_SECOND):
            send(tenant, scene.attackers_program, f"a-{number % PEOPLE}", f"attack-{round_number}-{number}", BIG)
            number += 1


def paced(scene: Scene, round_number: int) -> list[str]:
    """The victim's events, at a steady rate."""
    sent, began = [], time.monotonic()
    while (elapsed := time.monotonic() - began) < SECONDS:
        number = len(sent)
        time.sleep(max(0.0, number / RATE - elapsed))
        sent.append(
            send(scene.victim, scene.victims_program, f"v-{number % PEOPLE}", f"paced-{round_number}-{number}", {"n": number})
        )
    return sent


def watch(scene: Scene, stop: threading.Event, lags: dict[str, float]) -> None:
    """Note the seconds from acceptance until somebody else sees the outcome, by event."""
    statement = """
        SELECT event_id::text, extract(epoch FROM clock_timestamp() - created_at)::float8 FROM event_outcomes
        WHERE organization_id = %s
    """
    while not stop.wait(POLL_SECONDS):
        with scene.database.connection() as conn:
            for event, lag in conn.execute(statement, [scene.victim.organization_id]).fetchall():
                lags.setdefault(event, lag)


def check_the_attacker(scene: Scene) -> None:
    """Its events complete, its rules stop at the limit with a text that says only that."""
    last = send(scene.attacker, scene.every_attack, "a-0", "all-at-once", BIG)
    deadline = time.monotonic() + 30
    while (event := looked_up(scene, last))["status"] != "COMPLETED" and time.monotonic() < deadline:
        time.sleep(0.1)
    rows = event["rule_evaluations"]
    assert len(rows) == len(ATTACKS)
    assert {row["status"] for row in rows} == {"SKIPPED_TIMEOUT", "NOT_MATCHED"}
    assert rows[0]["status"] == rows[-1]["status"] == "SKIPPED_TIMEOUT"
    assert all(len(row["error_message"] or "") < 500 for row in rows)
    everything = scene.attacker.http.get("/v1/events", params={"limit": 200}).text + str(rows)
    assert SECRET not in everything
    assert scene.victims_program not in everything
    assert everything.count('"COMPLETED"') == everything.count('"event_type"')


def looked_up(scene: Scene, event_id: str) -> dict[str, Any]:
    found: dict[str, Any] = scene.attacker.get(f"/v1/events/{event_id}", include_skipped="true")
    return found
