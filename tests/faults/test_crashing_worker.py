"""kill -9 of a worker right before and right after the commit of each thing it does: another one makes it one effect.

A delivery's commit is its mark: before it, the message has been sent. Releases of holds, redemptions and fulfilments by webhook
have theirs in tests/workflows.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from cli.serve import PARTS
from db.session import Database
from runtime.embedded import EmbeddedPostgres, EmbeddedTemporal
from runtime.settings import Settings
from tests.faults.crashing import BEFORE, MOMENTS
from tests.faults.nursery import Nursery, open_nursery
from tests.support.books import assert_books
from tests.support.client import Tenant, new_tenant
from tests.support.databases import make_database
from tests.support.receiver import receive
from tests.support.server import serve
from tests.support.stack import SECRET_KEY, poll

# The whole matrix: make crashes.
IS_WHOLE = os.environ.get("OPENSCRIP_CRASHES") == "all"
USUAL = ("event", "delivery")
PATIENCE_SECONDS = 60.0
SOON_SECONDS = 1.0


@dataclass(frozen=True)
class Case:
    """Something that a worker does: what leads to it, and the query that counts it."""

    begin: Callable[["World", str], object]
    count: str
    expected: int = 1


class World:
    """A program in which each case has a person of its own."""

    def __init__(self, api: Tenant, hooks: str) -> None:
        self.api = api
        self.program = api.post("/v1/programs", {"name": "Crashes"}, 201)["id"]
        asset = {"name": "Miles", "symbol": "MILES", "inventory_mode": "LOT", "issuance_policy": "UNLIMITED", "scale": 2}
        self.asset = api.post("/v1/assets", asset | {"program_id": self.program}, 201)["id"]
        api.post("/v1/webhook-endpoints", {"url": hooks, "enabled_events": ["balance.debited"]}, 201)
        api.post(f"/v1/programs/{self.program}/tiers", {"key": "club", "levels": [{"key": "gold", "rank": 1}]}, 201)
        credit = {"type": "CREDIT", "asset_id": self.asset, "amount": "1.00"}
        self._rule("purchase", credit)
        self._rule("later", {"type": "SCHEDULE_EVENT", "event_name": "echo", "delay": "1s", "payload": {}})
        self._rule("echo", credit)
        reward = {"name": "Parcel", "redemption_type": "UNIT_BASED", "asset_id": self.asset, "unit_cost": "5.00"}
        fulfillment = {"type": "manual", "timeout": "1s"}
        path = f"/v1/programs/{self.program}/rewards"
        self.parcel = api.post(path, reward | {"status": "ACTIVE", "fulfillment": fulfillment}, 201)["id"]

    def _rule(self, type_: str, action: dict[str, Any]) -> None:
        rule = {"program_id": self.program, "name": type_, "condition": f'event.type == "{type_}"', "actions": [action]}
        self.api.post("/v1/rules", rule, 201)

    def person(self, name: str) -> str:
        return str(self.api.post("/v1/participants", {"external_id": name, "program_id": self.program}, 201)["id"])

    def event(self, type_: str, name: str) -> None:
        body = {"program_id": self.program, "external_id": name, "idempotency_key": name}
        self.api.post("/v1/events", body | {"event_timestamp": "2026-01-15T10:30:00Z", "event_data": {"type": type_}}, 202)

    def adjust(self, name: str, **fields: Any) -> str:
        person = self.person(name)
        body = {"program_id": self.program, "asset_id": self.asset, "description": name, "amount": "10.00", **fields}
        self.api.post(f"/v1/participants/{person}/balances/adjust", {"type": "CREDIT", **body})
        return person

    def debit(self, name: str) -> None:
        self.adjust(name, type="DEBIT", allow_negative=True)

    def parcel_for(self, name: str) -> None:
        person = self.adjust(name)
        body = {"program_id": self.program, "reward_id": self.parcel, "quantity": 1}
        self.api.post(f"/v1/participants/{person}/redemptions/items", body, 201)

    def level(self, name: str) -> None:
        ends = (datetime.now(UTC) + timedelta(seconds=SOON_SECONDS)).isoformat()
        self.api.call(
            "PUT",
            f"/v1/participants/{self.person(name)}/state/tiers/club?program_id={self.program}",
            200,
            json={"level": "gold", "expires_at": ends},
        )

    def automation(self, name: str, scope: str, trigger: dict[str, Any]) -> None:
        body = {"name": name, "event_name": "nothing", "scope": scope, "trigger": trigger}
        self.api.post(f"/v1/programs/{self.program}/automations", body, 201)

    def one_time(self, name: str) -> None:
        at = (datetime.now(UTC) + timedelta(seconds=SOON_SECONDS)).isoformat()
        self.automation(name, "program", {"type": "one_time", "trigger_at": at})

    def fan_out(self, name: str) -> None:
        self.person(name)
        self.automation(name, "participants", {"type": "immediate"})


_ENTRIES = """SELECT count(*) FROM journal_entries e JOIN postings p ON p.entry_id = e.id JOIN participants h ON h.id = p.entity_id
    WHERE e.action_type = '{}' AND p.amount {} 0 AND h.external_id = '%s'"""
_FIRED = "SELECT count(*) FROM events e JOIN automations a ON a.id = e.automation_id WHERE a.name = '%s'"

CASES = {
    "event": Case(lambda world, name: world.event("purchase", name), _ENTRIES.format("CREDIT", ">")),
    "delivery": Case(
        World.debit,
        """SELECT count(*) FROM webhook_deliveries d JOIN participants h ON h.id = d.entity_id
        WHERE d.status = 'DELIVERED' AND h.external_id = '%s'""",
    ),
    "expiry": Case(lambda world, name: world.adjust(name, expires_at="1s"), _ENTRIES.format("EXPIRY", "<")),
    "maturity": Case(lambda world, name: world.adjust(name, matures_at="1s"), _ENTRIES.format("MATURITY", ">")),
    "scheduled event": Case(lambda world, name: world.event("later", name), _ENTRIES.format("CREDIT", ">")),
    "one time": Case(World.one_time, _FIRED),
    "fan-out": Case(World.fan_out, f"{_FIRED} AND e.external_id = '%s'"),
    "level": Case(
        World.level,
        """SELECT count(*) FROM tier_history t JOIN participants h ON h.id = t.entity_id
        WHERE t.reason = 'EXPIRY' AND h.external_id = '%s'""",
    ),
    "fulfilment": Case(World.parcel_for, _ENTRIES.format("REDEMPTION_REVERSAL", ">")),
}


@pytest.fixture
def settings(postgres: EmbeddedPostgres, temporal: EmbeddedTemporal, tmp_path: Path) -> Settings:
    return Settings(
        database_url=make_database(postgres.dsn, "crashing_worker"),
        temporal_address=temporal.address,
        data_dir=tmp_path,
        rate_limit="off",
        database_pool_size=4,
        sweep_seconds=1.0,
        secret_key=SECRET_KEY,
        webhook_allow_private=True,
    )


@pytest.fixture
def nursery(settings: Settings, tmp_path: Path) -> Iterator[Nursery]:
    environment = {
        "OPENSCRIP_DATABASE_URL": settings.require_database_url(),
        "OPENSCRIP_TEMPORAL_ADDRESS": settings.temporal_target,
        "OPENSCRIP_DATA_DIR": str(tmp_path),
        "OPENSCRIP_DATABASE_POOL_SIZE": "4",
        "OPENSCRIP_SWEEP_SECONDS": "1",
        "OPENSCRIP_SECRET_KEY": SECRET_KEY.get_secret_value(),
        "OPENSCRIP_WEBHOOK_ALLOW_PRIVATE": "1",
    }
    with open_nursery(environment, tmp_path / "worker.log") as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.timeout(600 if IS_WHOLE else 180)
def test_one_effect_whenever_it_is_killed(settings: Settings, nursery: Nursery) -> None:
    cases = [(name, moment) for name in CASES if IS_WHOLE or name in USUAL for moment in MOMENTS]
    with (
        receive() as receiver,
        serve(create_app(settings, PARTS)) as url,
        closing(Database(settings.require_database_url(), pool_size=2)) as database,
    ):
        api = new_tenant(database, url)
        with closing(api.http):
            world = World(api, receiver.url)
            for name, moment in cases:
                case, key = CASES[name], f"{name} {moment}"
                nursery.start("worker", moment, case.count.replace("%s", key))
                case.begin(world, key)
                nursery.require_killed()
                assert _count(database, case, key) == (0 if moment == BEFORE else case.expected), key
            nursery.start("worker")
            for name, moment in cases:
                poll(lambda name=name, moment=moment: _count(database, CASES[name], f"{name} {moment}"), PATIENCE_SECONDS)  # type: ignore[misc]
            for name, moment in cases:
                assert _count(database, CASES[name], f"{name} {moment}") == CASES[name].expected, (name, moment)
            nursery.end()
            ids = [received.headers["webhook-id"] for received in receiver.received]
            # sent, killed before the mark, and sent again with its id
            assert (len(ids), len(set(ids))) == (3, 2)
            assert_books(database, api.organization_id)


def _count(database: Database, case: Case, key: str) -> int:
    with database.connection() as conn:
        [(count,)] = conn.execute(case.count.replace("%s", key)).fetchall()
    return int(count)
