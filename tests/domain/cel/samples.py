"""Shared helpers: a sample activation, and evaluating a source at once."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from domain.cel import compile_value

EVENT: dict[str, Any] = {
    "type": "purchase",
    "amount": Decimal(75),
    "coupon": None,
    "sku": "GIFT-1",
    "points": "12.50",
    "items": [
        {"sku": "A1", "price": Decimal("9.99"), "qty": Decimal(2)},
        {"sku": "B2", "price": Decimal("0.01"), "qty": Decimal(1)},
    ],
}
PARTICIPANT: dict[str, Any] = {
    "id": "7d9f1c3a-52b4-4e0f-9c1d-0a6b8e2f4c11",
    "tags": ["vip", "beta"],
    "counters": {"spend": Decimal(990), "a-b": Decimal(1)},
    "tiers": {"club": {"level": "gold", "rank": Decimal(2), "benefits": {}}},
    "created_at": datetime(2025, 1, 1, tzinfo=UTC),
}
ACTIVATION: dict[str, object] = {
    "event": EVENT,
    "now": datetime(2026, 3, 5, 12, 30, 15, 250_000, tzinfo=UTC),
    "participant": PARTICIPANT,
    "recipient": None,
    "program": {"id": "p", "name": "P", "tags": [], "counters": {}, "attributes": {}},
    "groups": [],
    "group": None,
}


def run(source: str, variables: Mapping[str, object] = ACTIVATION) -> object:
    """Value of an expression for the sample activation."""
    return compile_value(source).evaluate(variables)
