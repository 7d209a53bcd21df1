"""The test clock through HTTP: every due moment on the way, in order; forward only; safe to repeat (conventions.md, Test clock)."""

import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.service import RPCError

from activities import clock as activities_clock
from activities import clock as clock_activity
from api import clock as api_clock
from api.app import create_app
from db.session import Database
from domain.timestamps import format_timestamp, parse_timestamp
from runtime.embedded import EmbeddedPostgres, EmbeddedTemporal
from services import clock
from tests.api.routes.money import Money
from tests.support.books import assert_books
from tests.support.client import Tenant, new_tenant
from tests.support.club import make_club
from tests.support.databases import make_database
from tests.support.server import serve
from tests.support.shop import Shop
from tests.support.stack import Stack, poll, run_stack, run_worker
from workflows.contracts_clock import CLOCK_WORKFLOW_ID
from workflows.contracts_fulfillment import FulfillmentFlowStatus, fulfillment_workflow_id
from workflows.contracts_hold import HoldStatus, hold_workflow_id

URL = "/v1/test-clock"


@pytest.fixture(scope="module")
def own_temporal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedTemporal]:
    with EmbeddedTemporal(tmp_path_factory.mktemp("clock-temporal"), headless=True, in_memory=True) as server:
        yield server


@pytest.fixture(scope="module")
def machine(
    postgres: EmbeddedPostgres, own_temporal: EmbeddedTemporal, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A running product whose clock may be moved, with servers of its own."""
    data = Path(tmp_path_factory.mktemp("clock"))
    with run_stack(make_database(postgres.dsn, "clock"), own_temporal, data, test_clock=True) as running:
        yield running


@pytest.fixture
def traveller(machine: Stack) -> Iterator[Tenant]:
    tenant = new_tenant(machine.database, machine.base_url)
    yield tenant
    tenant.http.close()


@pytest.fixture
def money(traveller: Tenant, machine: Stack) -> Iterator[Money]:
    """A participant whose MILES are LOT; nothing else is due anywhere."""
    yield Money(traveller)
    assert_books(machine.database, traveller.organization_id)


def shown(traveller: Tenant) -> datetime:
    return parse_timestamp(traveller.get(URL)["now"])


def ahead(traveller: Tenant, **distance: float) -> str:
    return format_timestamp(shown(traveller) + timedelta(**distance))


def entries(money: Money, action_type: str) -> list[dict[str, Any]]:
    """The participant's journal entries of one type, oldest first."""
    return [entry for entry in money.entries(limit=200) if entry["action_type"] == action_type]


async def is_running(flow: WorkflowHandle[Any, Any]) -> bool:
    try:
        return (await flow.describe()).status is WorkflowExecutionStatus.RUNNING
    except RPCError:
        return False


@pytest.mark.example("conventions.md", 14)
def test_a_move_visits_due_moments_in_order(traveller: Tenant, money: Money) -> None:
    money.credit("MILES", "100", expires_at="24h")
    money.credit("MILES", "50", expires_at="48h")
    lots = sorted(money.lots("MILES"), key=lambda lot: lot["expires_at"])
    assert traveller.get(URL)["steps"] == 0
    target = ahead(traveller, hours=72)
    moved = traveller.post(URL, {"now": target})
    assert moved["steps"] == 2
    assert target <= moved["now"] <= format_timestamp(parse_timestamp(target) + timedelta(seconds=30))
    expired = entries(money, "EXPIRY")
    assert [entry["postings"][-1]["amount"] for entry in expired] == ["100", "50"]
    for entry, lot in zip(expired, lots, strict=True):
        late = parse_timestamp(entry["created_at"]) - parse_timestamp(lot["expires_at"])
        assert timedelta(0) <= late < timedelta(minutes=1)
    again = traveller.post(URL, {"now": target})
    assert (again["steps"], again["now"] >= target) == (0, True)
    assert money.balance("MILES") == "0/0/0"


def test_a_year_of_days_takes_seconds(traveller: Tenant, money: Money) -> None:
    start = shown(traveller)
    for month in range(12):
        matures, expires = start + timedelta(days=30 * month + 10), start + timedelta(days=30 * month + 20)
        money.credit("MILES", "7", matures_at=format_timestamp(matures), expires_at=format_timestamp(expires))
    money.credit("USD", "100")
    money.hold("USD", "40", reference_id="room", expires_at="4800h")
    moved = traveller.post(URL, {"now": format_timestamp(start + timedelta(days=365))})
    assert moved["steps"] == 25
    kinds = [entry["action_type"] for entry in money.entries(limit=200)]
    assert (kinds.count("MATURITY"), kinds.count("EXPIRY"), kinds.count("RELEASE")) == (12, 12, 1)
    dated = [parse_timestamp(entry["created_at"]) - start for entry in entries(money, "MATURITY")]
    assert [round(when / timedelta(days=1), 3) for when in dated] == [30 * month + 10 for month in range(12)]
    assert (money.balance("MILES"), money.balance("USD")) == ("0/0/0", "100.00/0.00/0.00")


def test_the_flow_of_a_hold_ends_with_the_move_that_passes_its_deadline(traveller: Tenant, money: Money, machine: Stack) -> None:
    money.credit("USD", "100")
    money.hold("USD", "40", reference_id="room", expires_at="72h")
    with machine.database.connection() as conn:
        [(hold_id,)] = conn.execute("SELECT id FROM holds WHERE organization_id = %s", [traveller.organization_id]).fetchall()
    flow = machine.client.get_workflow_handle(hold_workflow_id(hold_id), result_type=HoldStatus)
    poll(lambda: machine.loop.run(is_running(flow)), 20)
    traveller.post(URL, {"now": ahead(traveller, hours=73)})
    assert machine.loop.run(flow.result()).state == "EXPIRED"
    moved = machine.client.get_workflow_handle(CLOCK_WORKFLOW_ID)
    assert machine.loop.run(moved.describe()).typed_search_attributes


def test_deadlines_of_fulfilments_are_visited(traveller: Tenant, machine: Stack) -> None:
    shop = Shop(traveller)
    shop.credit("USD", "100.00")
    start = shown(traveller)
    made = [shop.take(shop.code(name=f"code {days}", timeout=f"{24 * days}h")) for days in (10, 20, 30)]
    flow = machine.client.get_workflow_handle(fulfillment_workflow_id(made[0]["id"]), result_type=FulfillmentFlowStatus)
    poll(lambda: machine.loop.run(is_running(flow)), 20)
    moved = traveller.post(URL, {"now": format_timestamp(start + timedelta(days=25))})
    assert moved["steps"] == 2
    assert machine.loop.run(flow.result()).state == "FAILED"
    assert [shop.found(each)["fulfillment_status"] for each in made] == ["FAILED", "FAILED", "PENDING"]
    dated = [parse_timestamp(shop.reversals(each)[0]["created_at"]) - start for each in made[:2]]
    assert [round(when / timedelta(days=1), 2) for when in dated] == [10, 20]
    assert shop.available() == "90.00"
    # nothing is left that is due later
    shop.hand_over(made[2], status="FULFILLED")
    shop.require_sound(machine.database)


def test_a_call_wakes_only_so_many_flows_of_holds(
    traveller: Tenant, money: Money, machine: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activities_clock, "MOST_PASSED_HOLDS", 1)
    money.credit("USD", "100")
    for hours in (72, 73, 74):
        money.hold("USD", "10", reference_id=f"room-{hours}", expires_at=f"{hours}h")
    with machine.database.connection() as conn:
        found = conn.execute("SELECT id FROM holds WHERE organization_id = %s", [traveller.organization_id]).fetchall()
    flows = [machine.client.get_workflow_handle(hold_workflow_id(id_), result_type=HoldStatus) for (id_,) in found]
    for flow in flows:
        poll(lambda flow=flow: machine.loop.run(is_running(flow)), 20)  # type: ignore[misc]
    assert traveller.post(URL, {"now": ahead(traveller, hours=75)})["steps"] == 3
    assert [machine.loop.run(flow.result()).state for flow in flows] == ["EXPIRED"] * 3
    assert money.balance("USD") == "100.00/0.00/0.00"


def test_scheduled_events_are_sent_and_processed_on_the_way(traveller: Tenant, machine: Stack) -> None:
    """Each makes the next one after thirty days, and a credit that lives for ten."""
    club = make_club(traveller, machine.database)
    again = {"type": "SCHEDULE_EVENT", "event_name": "month", "delay": "720h"}
    credit = club.credit("5", "MILES", expires_at="240h")
    club.rule('event.type == "start" || event.type == "month"', credit, again)
    club.completed({"type": "start"})
    moved = traveller.post(URL, {"now": ahead(traveller, hours=24 * 101)})
    assert moved["steps"] == 3 + 4
    events = traveller.get("/v1/events", program_id=club.program_id, sort_dir="asc")["data"]
    assert [event["status"] for event in events] == ["COMPLETED"] * 4
    moments = [parse_timestamp(event["received_at"]) for event in events]
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert all(timedelta(0) <= gap - timedelta(days=30) < timedelta(seconds=20) for gap in gaps)
    assert club.balance("ann", "MILES") == "0.00"
    assert_books(machine.database, traveller.organization_id)


def test_a_move_of_many_slices(traveller: Tenant, money: Money, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it changes from one call of its activity to the next, each moment is a step of its own."""
    monkeypatch.setattr(clock_activity, "SLICE_SECONDS", 0.05)
    start = shown(traveller) + timedelta(hours=1)
    for number in range(12):
        money.credit("MILES", "1", expires_at=format_timestamp(start + timedelta(minutes=number)))
    assert traveller.post(URL, {"now": format_timestamp(start + timedelta(hours=1))})["steps"] == 12
    assert money.balance("MILES") == "0/0/0"


def test_two_moves_at_once_are_served_one_after_the_other(traveller: Tenant, money: Money) -> None:
    for hours in range(1, 21):
        money.credit("MILES", "1", expires_at=f"{hours}h")
    target = ahead(traveller, hours=30)
    with ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(lambda _: traveller.post(URL, {"now": target}), range(4)))
    assert sorted(answer["steps"] for answer in answers) == [0, 0, 0, 20]
    assert len(entries(money, "EXPIRY")) == 20


def test_only_forward(traveller: Tenant) -> None:
    before = shown(traveller)
    refused = traveller.post(URL, {"now": ahead(traveller, hours=-1)}, 400)
    assert [(item["field"], item["reason"]) for item in refused["details"]["fields"]] == [("now", "out_of_range")]
    assert timedelta(0) <= shown(traveller) - before < timedelta(seconds=10)


def test_too_many_moments_move_nothing(traveller: Tenant, money: Money, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "MOST_MOMENTS", 4)
    same = ahead(traveller, hours=1)
    for hours in (1, 2, 3, 4):
        money.credit("MILES", "1", expires_at=f"{hours}h")
        money.credit("MILES", "1", expires_at=same)
    before = shown(traveller)
    refused = traveller.post(URL, {"now": ahead(traveller, hours=10)}, 400)
    assert refused["details"]["fields"][0]["reason"] == "out_of_range"
    assert shown(traveller) - before < timedelta(seconds=10)
    assert money.balance("MILES") == "8/0/0"
    assert traveller.post(URL, {"now": ahead(traveller, hours=3.5)})["steps"] == 4
    assert money.balance("MILES") == "1/0/0"


@pytest.mark.parametrize(
    "body", [{}, {"now": "tomorrow"}, {"now": "2030-01-01"}, {"now": None}, {"when": "2030-01-01T00:00:00Z"}]
)
def test_a_body_that_is_no_move(traveller: Tenant, body: dict[str, Any]) -> None:
    assert traveller.post(URL, body, 400)["code"] == "bad_request"


def test_there_is_no_clock_without_the_setting(api: Tenant) -> None:
    for method, options in (("GET", {}), ("POST", {"json": {"now": "2030-01-01T00:00:00Z"}}), ("POST", {"json": {}})):
        refused = api.call(method, URL, 404, **options)
        assert (refused["code"], refused["details"]["resource"]) == ("not_found", "route")
    assert set(api.get("/openapi.json")["paths"][URL]) == {"get", "post"}


def test_without_a_worker_a_move_is_refused_in_time_and_goes_on_later(
    postgres: EmbeddedPostgres, machine: Stack, own_temporal: EmbeddedTemporal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A database and a queue of its own in the same Temporal: nobody works there until the test does."""
    namespace = "alone"
    with EmbeddedTemporal(tmp_path / "temporal", headless=True, in_memory=True, namespace=namespace) as temporal:
        url = make_database(postgres.dsn, "clock_alone")
        changes = {"database_url": SecretStr(url), "temporal_address": temporal.address, "temporal_namespace": namespace}
        settings = machine.settings.model_copy(update=changes)
        monkeypatch.setattr(api_clock, "MOVE_SECONDS", 2.0)
        monkeypatch.setattr(api_clock, "SPARE_SECONDS", 1.0)
        with (
            contextlib.closing(Database(url, pool_size=2)) as database,
            serve(create_app(settings)) as base_url,
        ):
            tenant = new_tenant(database, base_url)
            target = ahead(tenant, hours=24)
            began = datetime.now(UTC)
            refused = tenant.http.post(URL, json={"now": target})
            assert (refused.status_code, refused.json()["code"]) == (503, "service_unavailable")
            assert refused.headers["Retry-After"]
            assert datetime.now(UTC) - began < timedelta(seconds=6)
            assert shown(tenant) < parse_timestamp(target)
            monkeypatch.setattr(api_clock, "MOVE_SECONDS", 30.0)
            with contextlib.closing(tenant.http), run_worker(settings, machine.loop):
                assert tenant.post(URL, {"now": target})["now"] >= target


@pytest.mark.parametrize("command", [("-m", "cli", "serve"), ("worker.py",)])
def test_a_moved_database_needs_the_setting(machine: Stack, traveller: Tenant, command: tuple[str, ...]) -> None:
    traveller.post(URL, {"now": ahead(traveller, hours=1)})
    settings = machine.settings
    known = {"DATABASE_URL": settings.require_database_url(), "TEMPORAL_ADDRESS": str(settings.temporal_address)}
    assert settings.secret_key is not None, "its absence would be warned of, too"
    known["SECRET_KEY"] = settings.secret_key.get_secret_value()
    environment = {**os.environ, **{f"OPENSCRIP_{name}": value for name, value in known.items()}}
    refused = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "set OPENSCRIP_TEST_CLOCK=1" in refused.stderr


def test_the_offset_survives_a_restart(machine: Stack, traveller: Tenant) -> None:
    traveller.post(URL, {"now": ahead(traveller, hours=100)})
    before = shown(traveller)
    with serve(create_app(machine.settings)) as base_url:
        now = httpx.get(base_url + URL, headers={"Authorization": f"Bearer {traveller.key}"}, timeout=60).json()["now"]
        assert timedelta(0) <= parse_timestamp(now) - before < timedelta(minutes=1)
