"""What the load meets: a program with ten rules and its members; and what the books must say afterwards."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Self
from uuid import UUID

import httpx
import psycopg

from bench.plan import EVENT_TYPE, Plan, purchases
from runtime.processes import ServiceError

SYMBOL = "BENCH"
RATE = Decimal("0.1")
OTHER_TYPES = ("refund", "signup", "referral", "review", "visit", "birthday", "survey")
# The big program: as many rules, of as many event types; a purchase concerns the same three.
MANY_RULES, MANY_TYPES = 200, 40
# More than any run issues: the budget and the wallet of the scarce program are hot, not empty.
PLENTY = "1000000000.00"
POLL_SECONDS = 0.02
PATIENCE_SECONDS = 120.0

TOTALS = """
SELECT (SELECT coalesce(sum(available + held + deferred), 0) FROM balances WHERE asset_id = ANY(%(assets)s)),
       (SELECT coalesce(sum(remaining), 0) FROM lots WHERE asset_id = ANY(%(assets)s)),
       (SELECT coalesce(-sum(amount), 0) FROM postings
        WHERE asset_id = ANY(%(assets)s) AND entity_type IN ('SYSTEM_ISSUANCE', 'PROGRAM')),
       (SELECT coalesce(sum((counters ->> 'spend')::numeric), 0) FROM holders),
       (SELECT count(*) FROM event_outcomes WHERE status = 'COMPLETED'),
       (SELECT count(*) FROM event_outcomes WHERE status <> 'COMPLETED'),
       (SELECT count(*) FROM event_queue)
"""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the whole database: what members own, by three ways that must agree, and what became of events."""

    balances: Decimal
    lots: Decimal
    issued: Decimal
    spent: Decimal
    completed: int
    failed: int
    waiting: int

    def after(self, plan: Plan) -> Self:
        """What they must be when the events of `plan` are posted, each exactly once."""
        sent = purchases(plan)
        spent = sum((Decimal(purchase.tenths) / 10 for purchase in sent), Decimal(0))
        earned = spent * RATE
        return type(self)(
            self.balances + earned,
            self.lots + earned,
            self.issued + earned,
            self.spent + spent,
            self.completed + len(sent),
            self.failed,
            self.waiting,
        )


@dataclass(frozen=True, slots=True)
class Scheme:
    """A program, the asset that it credits, and the rule that credits each purchase once."""

    program_id: str
    asset_id: str
    credit_rule_id: str


@dataclass(frozen=True, slots=True)
class World:
    """The programs that were created: one of ten rules, one of two hundred, and one whose value is scarce."""

    plain: Scheme
    big: Scheme
    scarce: Scheme

    @property
    def schemes(self) -> tuple[Scheme, Scheme, Scheme]:
        """All of them."""
        return self.plain, self.big, self.scarce

    def credit_rule_of(self, program_id: str) -> str:
        """The rule that credits each purchase once."""
        return next(scheme.credit_rule_id for scheme in self.schemes if scheme.program_id == program_id)


def create_world(client: httpx.Client) -> World:
    """A program with a LOT asset and ten rules: three match every purchase (one of them once per member), seven other types.

    The big program shares the asset and has two hundred rules of forty types, the same three of them for purchases. The scarce
    one has the ten rules again, but credits a PREFUNDED asset from its wallet, and within a budget: two rows that all lanes want.
    """
    program = post(client, "/v1/programs", {"name": "Bench"})["id"]
    asset = {"name": "Bench", "symbol": SYMBOL, "inventory_mode": "LOT", "issuance_policy": "UNLIMITED", "scale": 2}
    asset_id = post(client, "/v1/assets", asset | {"program_id": program})["id"]
    plain = _scheme(client, program, asset_id, rules(asset_id, OTHER_TYPES))
    big = post(client, "/v1/programs", {"name": "Bench, many rules"})["id"]
    post(client, f"/v1/programs/{big}/assets", {"asset_id": asset_id})
    others = [f"kind-{number % (MANY_TYPES - 1)}" for number in range(MANY_RULES - 3)]
    many = _scheme(client, big, asset_id, rules(asset_id, others))
    return World(plain, many, _create_scarce(client, asset))


def _create_scarce(client: httpx.Client, asset: dict[str, Any]) -> Scheme:
    program = post(client, "/v1/programs", {"name": "Bench, scarce"})["id"]
    own = {"program_id": program, "symbol": f"{SYMBOL}2", "issuance_policy": "PREFUNDED"}
    asset_id = post(client, "/v1/assets", asset | own)["id"]
    post(client, f"/v1/programs/{program}/assets/{asset_id}/fund", {"amount": PLENTY, "description": "Bench"})
    earning, *others = rules(asset_id, OTHER_TYPES)
    budgets = [{"asset_id": asset_id, "limit": PLENTY}]
    return _scheme(client, program, asset_id, [earning | {"budgets": budgets}, *others])


def _scheme(client: httpx.Client, program_id: str, asset_id: str, wanted: Sequence[dict[str, Any]]) -> Scheme:
    created = [post(client, "/v1/rules", rule | {"program_id": program_id}) for rule in wanted]
    return Scheme(program_id, asset_id, created[0]["id"])


def rules(asset_id: str, others: Sequence[str]) -> list[dict[str, Any]]:
    """Three rules for purchases, and one for each of the other types named."""
    matching: list[tuple[str, str, dict[str, str]]] = [
        ("Earn", "event.amount > 0.5", {"type": "CREDIT", "asset_id": asset_id, "amount": f"event.amount * {RATE}"}),
        ("Spend so far", "event.amount > 0", {"type": "COUNTER", "key": "spend", "value": "event.amount"}),
        ("First purchase", '!("welcomed" in participant.tags)', {"type": "TAG", "tag": "welcomed"}),
    ]
    wanted = [(name, f'event.type == "{EVENT_TYPE}" && {condition}', action) for name, condition, action in matching]
    for other in others:
        action = {"type": "CREDIT", "asset_id": asset_id, "amount": "5.00"}
        wanted.append((f"For a {other}", f'event.type == "{other}" && event.amount > 10', action))
    return [
        {"order": 10 * (position + 1), "name": name, "condition": condition, "actions": [action]}
        for position, (name, condition, action) in enumerate(wanted)
    ]


def create_endpoint(client: httpx.Client, port: int) -> str:
    """A webhook endpoint on this machine that hears of every credit; returns its id."""
    body = {"url": f"http://127.0.0.1:{port}/", "enabled_events": ["balance.credited"]}
    return str(post(client, "/v1/webhook-endpoints", body)["id"])


def post(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The answer to a POST; ServiceError when it is refused."""
    response = client.post(path, json=body)
    if not response.is_success:
        raise ServiceError(f"bench: POST {path} answered {response.status_code}: {response.text[:300]}")
    answer: dict[str, Any] = response.json()
    return answer


class Books:
    """Questions to the database, on one connection."""

    def __init__(self, dsn: str, world: World) -> None:
        self._connection: psycopg.Connection[tuple[Any, ...]] = psycopg.connect(dsn, autocommit=True)
        self._world = world

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def now(self) -> datetime:
        """The product's clock."""
        moment: datetime = self._one("SELECT openscrip_now()")[0]
        return moment

    def totals(self) -> Totals:
        """The sums of this moment."""
        assets = sorted({UUID(scheme.asset_id) for scheme in self._world.schemes})
        return Totals(*self._one(TOTALS, {"assets": assets}))

    def posted_since(self, moment: datetime, program_id: str) -> int:
        """How many of a program's purchases accepted since then are posted: each matches its earning rule once."""
        statement = "SELECT count(*) FROM rule_matches WHERE rule_id = %s AND created_at >= %s"
        return int(self._one(statement, [UUID(self._world.credit_rule_of(program_id)), moment])[0])

    def delivered(self, endpoint_ids: Sequence[str]) -> int:
        """How many messages endpoints have got, all together."""
        statement = "SELECT count(*) FROM webhook_deliveries WHERE webhook_endpoint_id = ANY(%s) AND status = 'DELIVERED'"
        return int(self._one(statement, [[UUID(each) for each in endpoint_ids]])[0])

    def is_sealed(self) -> bool:
        """Whether every entry has its seal."""
        return not self._one("SELECT EXISTS (SELECT 1 FROM unsealed_entries)")[0]

    def deadlocks(self) -> int:
        """Deadlocks of the product's database since it was made."""
        return int(self._one("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")[0])

    def _one(self, statement: str, parameters: Any = None) -> tuple[Any, ...]:
        row = self._connection.execute(statement.encode(), parameters).fetchone()
        assert row is not None
        return row


def require(found: Totals, wanted: Totals, name: str) -> None:
    """ServiceError when the books aren't exactly what the events that were sent make them."""
    if found != wanted:
        raise ServiceError(f"bench: the books are wrong after {name}: {found} instead of {wanted}")


class Deadline:
    """Patience with events that don't get posted."""

    def __init__(self, name: str, events: int) -> None:
        self._name, self._events = name, events
        self._latest = time.monotonic() + PATIENCE_SECONDS

    def check(self, posted: int) -> None:
        """ServiceError when it is over."""
        if time.monotonic() > self._latest:
            raise ServiceError(f"bench: {self._name}: {posted} of {self._events} events are posted, not all are sealed")
