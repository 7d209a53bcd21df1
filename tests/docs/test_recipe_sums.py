"""The cashback card under a random life: what everybody has in the end follows from what was kept, whatever came between."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from random import Random
from typing import Any

import pytest

from cli.recipe_file import load_recipe
from cli.recipe_server import Server
from tests.support.books import assert_books
from tests.support.client import Tenant
from tests.support.stack import Stack, poll

CENT = Decimal("0.01")
RATES = {"dining": Decimal("0.03"), "travel": Decimal("0.02"), "books": Decimal("0.01")}
EVENTS = 100


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, ROUND_HALF_UP)


def life(
    random: Random, left: dict[int, tuple[str, Decimal]], net: dict[str, Decimal]
) -> Iterator[tuple[datetime, dict[str, Any]]]:
    """Purchases and partial refunds over some months, some of them late; `left` and `net` keep the sums beside."""
    moment, open_month = datetime(2026, 1, 20, tzinfo=UTC), ""
    for number in range(EVENTS):
        moment += timedelta(hours=random.randrange(1, 48))
        told = moment - timedelta(days=random.choice((0, 0, 0, 40)))
        open_month = max(open_month, f"{told:%Y-%m}")
        kept = [key for key, (_, amount) in left.items() if amount]
        if kept and random.random() < 0.4:
            key = random.choice(kept)
            category, before = left[key]
            amount = min(before, Decimal(random.randrange(1, 40_000)) / 100)
            left[key] = category, before - amount
            net[open_month] = net.get(open_month, Decimal(0)) - amount
            yield told, {"type": "refund", "category": category, "amount": float(amount), "left": float(before)}
        else:
            category, amount = random.choice(list(RATES)), Decimal(random.randrange(1, 60_000)) / 100
            left[number] = category, amount
            net[open_month] = net.get(open_month, Decimal(0)) + amount
            yield told, {"type": "purchase", "category": category, "amount": float(amount)}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_kept_decides_what_is_earned(tenant: Tenant, stack: Stack, seed: int) -> None:
    left: dict[int, tuple[str, Decimal]] = {}
    net: dict[str, Decimal] = {}
    server = Server(tenant.http, load_recipe("cashback-card"))
    server.create()
    events = [
        {
            "program_id": server.program_id,
            "external_id": server.named("ann"),
            "idempotency_key": f"life-{number}",
            "event_timestamp": told.isoformat(),
            "event_data": data,
        }
        for number, (told, data) in enumerate(life(Random(seed), left, net))
    ]
    accepted = tenant.post("/v1/events/batch", {"events": events}, 202)
    assert accepted["success_count"] == EVENTS
    poll(lambda: tenant.get(f"/v1/events/{accepted['results'][-1]['event']['id']}")["status"] == "COMPLETED", 20)
    failed = {"program_id": server.program_id, "status": "FAILED"}
    assert tenant.call("GET", "/v1/events", 200, params=failed)["data"] == []
    base = sum(cents(amount * RATES[category]) for category, amount in left.values())
    boost = sum(cents(spend / 100) for spend in net.values() if spend >= 1000)
    assert boost > 0
    assert dict(server.holdings("ann", {}))["CASH"] == str(base + boost)
    assert_books(stack.database, tenant.organization_id)
