"""Examples of answers for the API description, made of their schemas: every field is there, with a likely value."""

import re
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

_ID = "01890000-0000-7000-8000-0000000000a1"
_MOMENT = "2026-01-15T10:30:00.000000Z"
_MAX_DEPTH = 8

# texts by the names of their fields, or by how the names end
_TEXTS: Mapping[str, str] = {
    "name": "Shop",
    "asset_symbol": "PTS",
    "symbol": "PTS",
    "external_id": "user-42",
    "email": "ann@example.com",
    "phone": "+39 06 1234567",
    "first_name": "Ann",
    "last_name": "Rossi",
    "display_name": "Ann",
    "description": "Points for purchases",
    "idempotency_key": "order-1001-completed",
    "reference_id": "auth-1",
    "condition": 'event.type == "purchase"',
    "participant_filter": '"vip" in participant.tags',
    "guard_condition": 'participant.counters["points"] > 0',
    "cron_expression": "0 9 * * MON",
    "timezone": "Europe/Rome",
    "url": "https://example.com/hooks",
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "event_name": "monday_bonus",
    "tag": "vip",
    "key": "gold",
    "tier": "club",
    "tier_key": "club",
    "level": "gold",
    "level_key": "gold",
    "color": "#FFD700",
    "icon_url": "https://example.com/gold.png",
    "counter": "points",
    "value": "12",
    "old_value": "5",
    "new_value": "12",
    "threshold": "1000",
    "message": "Done",
    "hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "duration": "24h",
    "interval": "24h",
    "timeout": "72h",
    "reset_after": "24h",
    "api_version": "2026-03-01",
    "category": "Gifts",
    "_at": _MOMENT,
    "_timestamp": _MOMENT,
    "_id": _ID,
    "id": _ID,
    "status": "ok",
    "note": "sent",
    "reason": "Returned goods",
    "type": "purchase",
}
_AMOUNTS = re.compile(
    r"amount|available|held|deferred|balance|limit|consumed|remaining|unit_cost|total|delta|issued|redeemed|expired|forfeited|restored"
    r"|cost|value|net|current|missing"
)
_OBJECTS: Mapping[str, Any] = {
    "counters": {"points": "5"},
    "attributes": {"city": "Rome"},
    "event_data": {"type": "purchase", "amount": 75.0},
    "payload": {"points": 5},
    "metadata": {"channel": "web"},
    "benefits": {"multiplier": 2},
}
# what is null in the usual answer: failures, ends, and pages after the last one
_NULL = re.compile(
    r"error|deleted|cleared|next_cursor|left_at|previous|details|failed|circuit|rate_limited|execution|line|column|cancelled|paused"
)


def example_of(schema: Schema, schemas: Mapping[str, Schema]) -> Any:
    """An example that fits a schema; `schemas` are those that it may refer to."""
    return _example(schema, schemas, "", 0)


def _example(schema: Schema, schemas: Mapping[str, Schema], name: str, depth: int) -> Any:
    if "$ref" in schema:
        return _example(schemas[schema["$ref"].rpartition("/")[2]], schemas, name, depth + 1)
    for word in ("example", "const", "default"):
        if schema.get(word) is not None:
            return schema[word]
    if schema.get("examples"):
        return schema["examples"][0]
    if "enum" in schema:
        return schema["enum"][0]
    for word in ("anyOf", "oneOf", "allOf"):
        if word in schema:
            return _one_of(schema[word], schemas, name, depth)
    return _plain(schema, schemas, name, depth)


def _one_of(parts: list[Schema], schemas: Mapping[str, Schema], name: str, depth: int) -> Any:
    is_nullable = any(part.get("type") == "null" for part in parts)
    if is_nullable and (_NULL.search(name) or depth > _MAX_DEPTH):
        return None
    return _example(next(part for part in parts if part.get("type") != "null" or len(parts) == 1), schemas, name, depth)


def _plain(schema: Schema, schemas: Mapping[str, Schema], name: str, depth: int) -> Any:
    match schema.get("type"):
        case "object" | None:
            return _object(schema, schemas, name, depth)
        case "array":
            return [] if depth > _MAX_DEPTH else [_example(schema.get("items", {}), schemas, _singular(name), depth + 1)]
        case "string":
            return _text(schema, name)
        case "integer" | "number":
            return max(1, schema.get("minimum", 1))
        case "boolean":
            return name not in ("has_more", "skipped", "is_replay")
        case _:
            return None


def _object(schema: Schema, schemas: Mapping[str, Schema], name: str, depth: int) -> Any:
    if "properties" in schema:
        return {field: _example(part, schemas, field, depth + 1) for field, part in schema["properties"].items()}
    if name in _OBJECTS:
        return _OBJECTS[name]
    inner = schema.get("additionalProperties")
    if isinstance(inner, Mapping) and inner and depth <= _MAX_DEPTH:
        return {"club" if name == "tiers" else "PTS": _example(inner, schemas, name, depth + 1)}
    return {}


def _text(schema: Schema, name: str) -> str:
    match schema.get("format"):
        case "uuid":
            return _ID
        case "date-time":
            return _MOMENT
        case "date":
            return _MOMENT[:10]
    if name in _TEXTS:
        return _TEXTS[name]
    for ending, value in _TEXTS.items():
        if name.endswith(ending):
            return value
    return "10.00" if _AMOUNTS.search(name) else name or "text"


def _singular(name: str) -> str:
    return name.removesuffix("s")
