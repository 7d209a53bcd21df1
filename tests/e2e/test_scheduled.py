"""Durable work for real: a scheduled event survives a stop of everything, a broadcast to 10,000 survives kill -9 of its worker."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from db.session import Database
from runtime.embedded import EmbeddedPostgres, EmbeddedTemporal
from runtime.processes import Child, spawn, wait_until
from runtime.settings import Settings
from runtime.temporal import connect
from tests.cli.stack import FIRST_START_SECONDS, ROOT, Stack
from tests.runtime.folders import passable_folder
from tests.services.automation_world import broadcast, enrol, made_by, record
from tests.services.lane_world import Shop
from tests.services.rule_world import make_organization, make_world
from tests.support.books import assert_books
from tests.support.databases import make_database
from tests.support.stack import poll
from workflows import contracts
from workflows.contracts import RunStatus

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PARTICIPANTS = 10_000
DELAY_SECONDS = 20
TYPE = {"Content-Type": "application/json"}


# ------------------------------------------------------------ a stop of everything
@pytest.mark.xdist_group("up")
def test_a_scheduled_event_survives_a_stop_of_everything() -> None:
    with passable_folder() as folder:
        stack = Stack(folder / "data")
        try:
            stack.start_and_wait(FIRST_START_SECONDS)
            program = schedule_something(stack)
            due = time.monotonic() + DELAY_SECONDS
            assert stack.stop() == 0
            assert stack.leftovers() == []
            assert time.monotonic() < due, "stopping took longer than the delay"
            time.sleep(max(0.0, due + 1 - time.monotonic()))
            again = Stack(stack.data_dir, stack.ports, runs=stack.runs)
            stack = again
            again.start_and_wait()
            with client_of(again) as client:
                event = poll(lambda: fired(client, program), 30)
                assert event["status"] == "COMPLETED"
                balance = f"/v1/participants/{event['participant_id']}/balances"
                credited = [row["available"] for row in client.get(balance).json()["data"] if row["available"] != "0"]
                assert credited == ["7"]
                time.sleep(1)
                assert fired(client, program) == event
        finally:
            stack.close()


@contextmanager
def client_of(stack: Stack) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {stack.fact('API key')}"}
    with httpx.Client(base_url=stack.fact("API"), headers=headers, timeout=30, trust_env=False) as client:
        yield client


def schedule_something(stack: Stack) -> str:
    """A program whose event earns points some time later; gives its id."""
    with client_of(stack) as client:

        def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
            answer = client.post(path, json=body)
            assert answer.is_success, answer.text
            return dict(answer.json())

        program = post("/v1/programs", {"name": "Later"})["id"]
        terms = {"inventory_mode": "SIMPLE", "issuance_policy": "UNLIMITED", "scale": 0}
        asset = post("/v1/assets", {"program_id": program, "name": "Points", "symbol": "LATER", **terms})["id"]
        plan = {"type": "SCHEDULE_EVENT", "event_name": "check", "delay": f"{DELAY_SECONDS}s", "payload": {"n": 7}}
        credit = {"type": "CREDIT", "asset_id": asset, "amount": "event.n"}
        for kind, action in (("order", plan), ("check", credit)):
            post(
                "/v1/rules",
                {"program_id": program, "name": kind, "condition": f'event.type == "{kind}"', "actions": [action]},
            )
        event = {
            "program_id": program,
            "external_id": "ann",
            "idempotency_key": "order-1",
            "event_timestamp": "2026-01-15T10:30:00Z",
            "event_data": {"type": "order"},
        }
        made = post("/v1/events", event)["id"]
        poll(lambda: client.get(f"/v1/events/{made}").json()["status"] == "COMPLETED")
        return str(program)


def fired(client: httpx.Client, program: str) -> dict[str, Any] | None:
    """The program's only SYSTEM event, once it is processed; more than one is a failure."""
    found = client.get("/v1/events", params={"program_id": program, "event_type": "SYSTEM"}).json()["data"]
    assert len(found) <= 1, found
    return found[0] if found and found[0]["processed_at"] else None


# ------------------------------------------------------------ kill -9 in the middle
def start_worker(database_url: str, temporal: EmbeddedTemporal, folder: Path, name: str) -> Child:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OPENSCRIP_")} | {
        "OPENSCRIP_DATABASE_URL": database_url,
        "OPENSCRIP_TEMPORAL_ADDRESS": temporal.address,
        "OPENSCRIP_DATA_DIR": str(folder),
        "OPENSCRIP_DATABASE_POOL_SIZE": "8",
        "OPENSCRIP_SWEEP_SECONDS": "1",
    }
    return spawn(name, [sys.executable, "worker.py"], folder / f"{name}.log", env=environment, cwd=ROOT)


def club_of(database: Database) -> Shop:
    """A program with a rule that broadcasts and one that pays for what was broadcast."""
    world = make_world(database, make_organization(database))
    shop = Shop(database, world)
    with database.connection() as conn:
        conn.execute(
            "INSERT INTO program_states (program_id, organization_id) VALUES (%s, %s)", [world.program_id, world.organization_id]
        )
    shop.rule(broadcast(payload={"points": 3}), condition='event.type == "start"')
    shop.rule(world.credit(amount="event.points"), condition='event.type == "gift"')
    return shop


def test_a_broadcast_survives_kill_nine(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    url = make_database(postgres.dsn, "broadcast")
    workers: list[Child] = []
    with (
        closing(Database(url, pool_size=4)) as database,
        EmbeddedTemporal(tmp_path / "temporal", headless=True, in_memory=True) as temporal,
    ):
        shop = club_of(database)
        people = enrol(shop, PARTICIPANTS - 1)
        shop.send("starter", {"type": "start"})
        try:
            workers.append(start_worker(url, temporal, tmp_path, "first"))
            automation = poll(lambda: automation_of(shop), 60)
            assert wait_until(lambda: progress(shop, automation) > PARTICIPANTS // 5, 60)
            workers[0].send(signal.SIGKILL)
            workers[0].reap(10)
            assert PARTICIPANTS // 5 < progress(shop, automation) < PARTICIPANTS, "it must die in the middle"
            assert record(shop, automation, "execution_status") == ("executing",)
            began = time.monotonic()
            workers.append(start_worker(url, temporal, tmp_path, "second"))
            assert wait_until(lambda: record(shop, automation, "execution_status") == ("completed",), 90, 0.1)
            assert wait_until(lambda: processed(shop) == PARTICIPANTS + 1, 60, 0.1)
            print(f"healed and finished in {time.monotonic() - began:.1f} s")
            assert result_of(temporal, automation).processed == PARTICIPANTS
        finally:
            for worker in workers:
                worker.send(signal.SIGTERM)
            for worker in workers:
                worker.reap(20)
        everybody = made_by(shop, automation)
        assert len(everybody) == len(set(everybody)) == PARTICIPANTS
        assert set(people) < set(everybody)
        assert shop.fetch("SELECT DISTINCT available FROM balances WHERE organization_id = %s", shop.organization_id) == [(3,)]
        assert shop.value("SELECT count(*) FROM balances WHERE organization_id = %s", shop.organization_id) == PARTICIPANTS
        assert shop.fetch("SELECT 1 FROM fan_out_candidates") == []
        assert_books(database, shop.organization_id)


def automation_of(shop: Shop) -> UUID | None:
    found = shop.fetch("SELECT id FROM automations WHERE program_id = %s", shop.world.program_id)
    return found[0][0] if found else None


def progress(shop: Shop, automation: UUID) -> int:
    return int(record(shop, automation, "coalesce(participants_processed, 0)")[0])


def processed(shop: Shop) -> int:
    done = "SELECT count(*) FROM event_outcomes WHERE organization_id = %s AND status = 'COMPLETED'"
    return int(shop.value(done, shop.organization_id))


def result_of(temporal: EmbeddedTemporal, automation: UUID) -> RunStatus:
    async def ask() -> RunStatus:
        client = await connect(Settings(temporal_address=temporal.address))
        flow = client.get_workflow_handle(contracts.automation_run_workflow_id(automation), result_type=RunStatus)
        return await flow.result()

    return asyncio.run(ask())
