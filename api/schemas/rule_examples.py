"""Rules that the API description shows."""

from collections.abc import Mapping
from typing import Any

from fastapi.openapi.models import Example

_POINTS: Mapping[str, Any] = {
    "program_id": "0198c1a0-7a5e-7b3c-9d52-4f1e6c0b8a11",
    "name": "Ten points per unit spent",
    "condition": 'event.type == "purchase" && event.amount > 0',
    "actions": [
        {"type": "CREDIT", "asset_id": "0198c1a0-9c40-7f0e-8a16-2b7d5e9f4c22", "amount": "event.amount * 10"},
        {"type": "COUNTER", "key": "purchases", "value": "1"},
    ],
    "order": 100,
}
_HOLD: Mapping[str, Any] = {
    "program_id": "0198c1a0-7a5e-7b3c-9d52-4f1e6c0b8a11",
    "name": "Reserve points for an order",
    "condition": 'event.type == "order"',
    "actions": [
        {
            "type": "HOLD",
            "asset_id": "0198c1a0-9c40-7f0e-8a16-2b7d5e9f4c22",
            "amount": "event.points",
            "reference_id": "event.order_id",
            "expires_at": "72h",
        },
    ],
}
_RELEASE: Mapping[str, Any] = {
    "program_id": "0198c1a0-7a5e-7b3c-9d52-4f1e6c0b8a11",
    "name": "Give them back when it is cancelled",
    "condition": 'event.type == "cancellation"',
    "actions": [
        {"type": "RELEASE", "asset_id": "0198c1a0-9c40-7f0e-8a16-2b7d5e9f4c22", "reference_id": "event.order_id"},
    ],
}

EXAMPLES: dict[str, Example] = {
    "points": {"summary": "Points per purchase", "value": _POINTS},
    "hold": {"summary": "A hold with a reference and a deadline", "value": _HOLD},
    "release": {"summary": "The release of that hold", "value": _RELEASE},
}
