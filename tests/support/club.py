"""Program P of the acceptance examples (events-rules.md 7): assets, rules, events, and looking at what they did."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import UUID

from db.session import Database
from domain.money import ZERO, format_amount
from tests.support.client import Tenant
from tests.support.stack import poll

MOMENT = "2026-01-15T10:30:00Z"
PURCHASE = 'event.type == "purchase"'
DONE = ("COMPLETED", "FAILED")
SCALES = {"PTS": 0, "CASH": 2, "MILES": 2}


@dataclass
class Club:
    """One tenant's program with PTS (SIMPLE, scale 0), CASH (SIMPLE, 2) and MILES (LOT, 2)."""

    tenant: Tenant
    database: Database
    program_id: str
    assets: dict[str, str]
    numbers: Callable[[], int] = field(default_factory=lambda: count(1).__next__)

    # --------------------------------------------------------------- making
    def rule(self, condition: str, *actions: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """Create a rule."""
        body = {
            "program_id": self.program_id,
            "name": "Rule",
            "condition": condition,
            "actions": list(actions),
            **fields,
        }
        made: dict[str, Any] = self.tenant.post("/v1/rules", body, 201)
        return made

    def credit(self, amount: str, symbol: str = "PTS", **fields: Any) -> dict[str, Any]:
        return {"type": "CREDIT", "asset_id": self.assets[symbol], "amount": amount, **fields}

    def debit(self, amount: str, symbol: str = "PTS", **fields: Any) -> dict[str, Any]:
        return {"type": "DEBIT", "asset_id": self.assets[symbol], "amount": amount, **fields}

    def ten_per_unit(self) -> dict[str, Any]:
        """R10 of the examples."""
        return self.rule(PURCHASE, self.credit("event.amount * 10"), order=10, name="R10")

    def body(self, data: dict[str, Any], external_id: str | None = "ann", **fields: Any) -> dict[str, Any]:
        """A sound event; None leaves out what is usual."""
        usual = {
            "program_id": self.program_id,
            "external_id": external_id,
            "idempotency_key": f"key-{self.numbers()}",
            "event_timestamp": MOMENT,
            "event_data": data,
        }
        return {name: value for name, value in (usual | fields).items() if value is not None}

    def send(self, data: dict[str, Any], external_id: str | None = "ann", **fields: Any) -> dict[str, Any]:
        """Send an event; what the server answers."""
        answer: dict[str, Any] = self.tenant.post("/v1/events", self.body(data, external_id, **fields), 202)
        return answer

    def run(self, data: dict[str, Any], external_id: str | None = "ann", **fields: Any) -> dict[str, Any]:
        """Send an event and wait until it is processed."""
        return self.processed(self.send(data, external_id, **fields)["id"])

    # -------------------------------------------------------------- looking
    def event(self, event_id: str) -> dict[str, Any]:
        """The event with all its evaluations."""
        found: dict[str, Any] = self.tenant.get(f"/v1/events/{event_id}", include_skipped="true")
        return found

    def processed(self, event_id: str, timeout_seconds: float = 10.0) -> dict[str, Any]:
        """The event once it is COMPLETED or FAILED."""

        def look() -> dict[str, Any] | None:
            found = self.event(event_id)
            return found if found["status"] in DONE else None

        return poll(look, timeout_seconds)

    def completed(self, data: dict[str, Any], external_id: str | None = "ann", **fields: Any) -> dict[str, Any]:
        """As `run`, and it must have succeeded."""
        found = self.run(data, external_id, **fields)
        assert found["status"] == "COMPLETED", found["error_message"]
        return found

    def failed(self, data: dict[str, Any], code: str, external_id: str | None = "ann", **fields: Any) -> dict[str, Any]:
        """As `run`, and it must have failed with this code."""
        found = self.run(data, external_id, **fields)
        assert (found["status"], found["error_code"]) == ("FAILED", code)
        assert found["error_message"].startswith(f"{code}: ")
        return found

    def participant_id(self, external_id: str) -> UUID:
        with self.database.connection() as conn:
            row = conn.execute(
                "SELECT id FROM participants WHERE organization_id = %s AND external_id = %s",
                [self.tenant.organization_id, external_id],
            ).fetchone()
        assert row is not None, f"no participant {external_id}"
        found: UUID = row[0]
        return found

    def participant(self, external_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.tenant.get(f"/v1/participants/{self.participant_id(external_id)}")
        return found

    def buckets(self, external_id: str, symbol: str = "PTS") -> tuple[str, str, str]:
        """Available, held and deferred, as the API prints them; zeros without an account."""
        for row in self.participant(external_id)["balances"]:
            if row["symbol"] == symbol:
                return row["available"], row["held"], row["deferred"]
        zero = format_amount(ZERO, SCALES[symbol])
        return zero, zero, zero

    def balance(self, external_id: str, symbol: str = "PTS") -> str:
        """What is available."""
        return self.buckets(external_id, symbol)[0]

    def entries(self, event_id: str) -> list[tuple[str, list[tuple[str, str, str]]]]:
        """The event's journal entries: action type and (entity type, bucket, amount) of each posting."""
        with self.database.connection() as conn:
            rows = conn.execute(
                """
                SELECT e.id, e.action_type, p.entity_type, p.bucket, p.amount, a.scale
                FROM journal_entries e JOIN postings p ON p.entry_id = e.id JOIN assets a ON a.id = p.asset_id
                WHERE e.event_id = %s ORDER BY e.created_at, e.id, p.ordinal
                """,
                [event_id],
            ).fetchall()
        found: dict[UUID, tuple[str, list[tuple[str, str, str]]]] = {}
        for id_, action, entity, bucket, amount, scale in rows:
            found.setdefault(id_, (action, []))[1].append((entity, bucket, format_amount(amount, scale)))
        return list(found.values())


def make_club(tenant: Tenant, database: Database, **program: Any) -> Club:
    """A fresh program P, changed by `program`."""
    program_id = tenant.post("/v1/programs", {"name": "P", **program}, 201)["id"]
    assets = {
        symbol: tenant.post(
            "/v1/assets",
            {
                "program_id": program_id,
                "name": symbol,
                "symbol": symbol,
                "inventory_mode": "LOT" if symbol == "MILES" else "SIMPLE",
                "issuance_policy": "UNLIMITED",
                "scale": scale,
            },
            201,
        )["id"]
        for symbol, scale in SCALES.items()
    }
    return Club(tenant, database, program_id, assets)


def outcomes(event: dict[str, Any]) -> list[tuple[str, str | None]]:
    """Status and reason of each evaluation of an event."""
    return [(row["status"], row["reason"]) for row in event["rule_evaluations"]]


def actions(event: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    """Type, outcome and reason of all executed actions of an event."""
    return [
        (action["type"], action["outcome"], action["reason"])
        for row in event["rule_evaluations"]
        for action in row["executed_actions"]
    ]
