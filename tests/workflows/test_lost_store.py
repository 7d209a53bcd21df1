"""Temporal loses its whole store while everything runs: what is due happens all the same, and once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError

from runtime.embedded import EmbeddedPostgres, EmbeddedTemporal
from runtime.processes import free_port, kill_session
from tests.support.books import assert_books
from tests.support.client import Tenant, new_tenant
from tests.support.databases import make_database
from tests.support.receiver import Reply, receive
from tests.support.stack import Stack, poll, run_stack
from workflows import contracts, keeping
from workflows.contracts_automation import automation_workflow_id

PATIENCE_SECONDS = 60.0
AHEAD = timedelta(seconds=8)


@pytest.fixture
def temporal(tmp_path: Path) -> Iterator[EmbeddedTemporal]:
    with EmbeddedTemporal(tmp_path / "temporal", port=free_port(), headless=True) as server:
        yield server


@pytest.fixture
def stack(
    postgres: EmbeddedPostgres, temporal: EmbeddedTemporal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stack]:
    monkeypatch.setattr(keeping, "LOOK_SECONDS", 0.5)
    with run_stack(make_database(postgres.dsn, "lost_store"), temporal, tmp_path / "stack") as running:
        yield running


def lose_store(temporal: EmbeddedTemporal) -> None:
    kill_session(temporal.pid)
    temporal.running.reap(10)
    for file in temporal.data_dir.glob("temporal.db*"):
        file.unlink()
    temporal.start()


class Plans:
    """Everything that waits for a moment some seconds ahead, or for the flow of an automation."""

    def __init__(self, api: Tenant, hooks: str) -> None:
        self.api = api
        api.post("/v1/webhook-endpoints", {"url": hooks, "enabled_events": ["balance.held"]}, 201)
        self.program = api.post("/v1/programs", {"name": "Lost"}, 201)["id"]
        asset = {"name": "Miles", "symbol": "LOST", "inventory_mode": "LOT", "issuance_policy": "UNLIMITED", "scale": 2}
        self.asset = api.post("/v1/assets", asset | {"program_id": self.program}, 201)["id"]
        self.person = api.post("/v1/participants", {"external_id": "ann", "program_id": self.program}, 201)["id"]
        scheduled = {"type": "SCHEDULE_EVENT", "event_name": "echo", "delay": f"{AHEAD.seconds}s", "payload": {}}
        self._rule("later", scheduled)
        self._rule("echo", {"type": "CREDIT", "asset_id": self.asset, "amount": "1.00"})
        self._rule("more", {"type": "CREDIT", "asset_id": self.asset, "amount": "0.10"})
        self._move("adjust", type="CREDIT", amount="100.00")

    def make(self) -> None:
        """Plan everything."""
        self.event("later", "before")
        self._move("hold", amount="7.00", expires_at=f"{AHEAD.seconds}s")
        at = (datetime.now(UTC) + AHEAD).isoformat()
        self._automation("One time", "once", {"type": "one_time", "trigger_at": at})
        self.yearly = self._automation("Yearly", "year", {"type": "cron", "cron_expression": "0 0 1 1 *"})
        reward = {"name": "Parcel", "redemption_type": "UNIT_BASED", "asset_id": self.asset, "unit_cost": "5.00"}
        fulfillment = {"type": "manual", "timeout": f"{AHEAD.seconds}s"}
        path = f"/v1/programs/{self.program}/rewards"
        parcel = self.api.post(path, reward | {"status": "ACTIVE", "fulfillment": fulfillment}, 201)["id"]
        items = f"/v1/participants/{self.person}/redemptions/items"
        self.redemption = self.api.post(items, {"program_id": self.program, "reward_id": parcel, "quantity": 1}, 201)["id"]

    def event(self, type_: str, key: str) -> None:
        body = {"program_id": self.program, "external_id": "ann", "idempotency_key": key}
        self.api.post("/v1/events", body | {"event_timestamp": "2026-01-15T10:30:00Z", "event_data": {"type": type_}}, 202)

    def is_done(self) -> bool:
        """All but the webhook, which the test looks at: nothing is read that would settle what is due."""
        redemption = self.api.get(f"/v1/redemptions/{self.redemption}")
        return self.types() == ["echo", "later", "once"] and redemption["fulfillment_status"] == "FAILED"

    def types(self) -> list[str]:
        """The types of the completed events."""
        events = self.api.get("/v1/events", program_id=self.program)["data"]
        return sorted(event["event_data"]["type"] for event in events if event["status"] == "COMPLETED")

    def _rule(self, type_: str, action: dict[str, Any]) -> None:
        condition = f'event.type == "{type_}"'
        self.api.post("/v1/rules", {"program_id": self.program, "name": type_, "condition": condition, "actions": [action]}, 201)

    def _move(self, verb: str, **fields: Any) -> None:
        body = {"program_id": self.program, "asset_id": self.asset, "description": verb, **fields}
        self.api.post(f"/v1/participants/{self.person}/balances/{verb}", body)

    def _automation(self, name: str, event_name: str, trigger: dict[str, Any]) -> str:
        body = {"name": name, "event_name": event_name, "scope": "program", "trigger": trigger}
        return str(self.api.post(f"/v1/programs/{self.program}/automations", body, 201)["id"])


def test_everything_due_still_happens_once(stack: Stack, temporal: EmbeddedTemporal) -> None:
    with receive(Reply(status=500)) as receiver, tenant(stack) as api:
        plans = Plans(api, receiver.url)
        plans.make()
        poll(lambda: plans.types() == ["later"], PATIENCE_SECONDS)
        receiver.wait_for(1, PATIENCE_SECONDS)
        poll(lambda: _value(stack, "SELECT count(*) FROM automations WHERE flow_at IS NOT NULL") == 2, PATIENCE_SECONDS)
        lose_store(temporal)
        assert not plans.is_done(), "it took too long to show anything"
        poll(plans.is_done, PATIENCE_SECONDS)
        poll(lambda: _value(stack, "SELECT sum(remaining) FROM holds") == 0, PATIENCE_SECONDS)
        first, second = receiver.wait_for(2, PATIENCE_SECONDS)
        assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
        for id_ in (automation_workflow_id(plans.yearly), *(kind.workflow_id for kind in contracts.DueKind)):
            poll(_runs(stack, id_), PATIENCE_SECONDS)
        plans.event("more", "after")
        poll(lambda: plans.types() == ["echo", "later", "more", "once"], PATIENCE_SECONDS)
        assert len(receiver.received) == 2
        balance = api.get(f"/v1/participants/{plans.person}/balances")["data"][0]
        assert (balance["available"], balance["held"]) == ("101.10", "0.00")
        assert_books(stack.database, api.organization_id)


@contextmanager
def tenant(stack: Stack) -> Iterator[Tenant]:
    fresh = new_tenant(stack.database, stack.base_url)
    yield fresh
    fresh.http.close()


def _value(stack: Stack, query: str) -> Any:
    with stack.database.connection() as conn:
        [(value,)] = conn.execute(query).fetchall()
    return value


def _runs(stack: Stack, workflow_id: str) -> Callable[[], bool]:
    def look() -> bool:
        with suppress(RPCError):
            found = stack.loop.run(stack.client.get_workflow_handle(workflow_id).describe())
            return found.status is WorkflowExecutionStatus.RUNNING
        return False

    return look
