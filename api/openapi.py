"""The API description: tags, documented errors, the key scheme, and the router every resource starts from."""

import json
import re
from collections.abc import Mapping, Sequence
from inspect import Parameter, Signature, cleandoc
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.routing import BaseRoute

from api.openapi_errors import HEADERS, describe_errors, describe_headers, examples
from api.openapi_examples import example_of
from api.requests import StrictRoute
from api.schemas.webhook_examples import EXAMPLES
from api.schemas.webhook_messages import MESSAGES, posted
from domain.outbox import MessageType

DESCRIPTION = """Open, self-hosted rewards: send **events**, let **rules** decide what they earn, read **balances** from a
double-entry ledger.

Authenticate with `Authorization: Bearer sk_...`. Amounts are decimal strings, timestamps RFC 3339 in UTC, lists are
paged by `cursor`, and money operations take an `idempotency_key`."""

TAGS = [
    {"name": "Programs", "description": "Containers of rules, linked assets and wallets."},
    {"name": "Assets", "description": "Units of value: points, cashback, nights, credits."},
    {"name": "Participants", "description": "Users of the client's system, with balances and state."},
    {"name": "Participant state", "description": "Tags, counters and attributes that rules read and write."},
    {"name": "Balances", "description": "Adjust, hold, release, forfeit and void value directly."},
    {"name": "Activity", "description": "Histories and statements of participants and groups."},
    {"name": "Groups", "description": "Families, teams, pools: holders of their own, with members."},
    {"name": "Group balances", "description": "What groups have, per program and in all, and the operations on it."},
    {"name": "Group state", "description": "Tags, counters and attributes of groups."},
    {"name": "Transfers", "description": "Existing value moves between participants and groups."},
    {"name": "Events", "description": "Signals about participants, stored first and processed in order."},
    {"name": "Redemptions", "description": "Value spent outside the ledger, and given back."},
    {"name": "Rules", "description": "CEL conditions with actions, evaluated for every event."},
    {
        "name": "Automations",
        "description": "SYSTEM events by a schedule, at a moment, at once: one, or one for each participant.",
    },
    {"name": "Rewards", "description": "The catalog of what participants can redeem their balance for."},
    {"name": "Tiers", "description": "Ranked levels, what qualifies for them, and how long they last."},
    {"name": "Participant tiers", "description": "The levels that participants have, with history and progress."},
    {"name": "Group tiers", "description": "The levels that groups have, with history and progress."},
    {"name": "Ledger", "description": "Journal entries."},
    {"name": "Reports", "description": "What was issued, spent and is owed, computed from the postings."},
    {"name": "Webhooks", "description": "Signed messages about what has happened, posted to the client."},
    {"name": "Test clock", "description": "For tests and trials, with `OPENSCRIP_TEST_CLOCK=1`: play a year in seconds."},
    {"name": "Operations", "description": "Health, readiness and metrics; no key needed."},
]

# what parameters mean everywhere; where one means more, its schema says so
_PARAMETERS = {
    "asset_id": "Only this asset",
    "bucket": "Only this bucket",
    "change_type": "Only this kind of change",
    "event_id": "Only of this event",
    "event_type": "Only EXTERNAL events, or only SYSTEM ones",
    "external_id": "Only of the participant with this external id",
    "fulfillment_status": "Only with this status of the fulfilment",
    "group_id": "Only of this group",
    "include_archived": "Show archived ones too",
    "idempotency_key": "The key that the event was sent with",
    "key": "Only this key",
    "limit": "Rows per page",
    "max_amount": "At most this signed amount",
    "min_amount": "At least this signed amount",
    "operation": "Only this kind of change",
    "program_id": "Only of this program",
    "reference_id": "Only with this reference",
    "rule_id": "Only of this rule",
    "action_type": "Only this type of entry",
    "scope": "Only of this scope",
    "sort_by": "What the list is sorted by",
    "sort_dir": "Ascending or descending",
    "state_type": "Only tags, only counters, or only attributes",
    "status": "Only with this status",
    "tier_key": "Only of the tier with this key",
    "trigger_type": "Only with this type of trigger",
}

_COMMON = (400, 401, 403, 429, 500, 503)


class FaultBody(BaseModel):
    field: str
    reason: str
    message: str
    expected: str | None
    received: str | None


class ErrorBody(BaseModel):
    """The body of every error: `code` for machines, `message` for people, `details` as the code has them."""

    code: str
    message: str
    request_id: str
    details: dict[str, Any]


def router(tag: str) -> APIRouter:
    """A router for one resource; its endpoints take full paths."""
    return APIRouter(route_class=StrictRoute, tags=[tag])


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documented errors of an operation: the ones every operation has, and these."""
    return {status: {"model": ErrorBody} for status in sorted({*_COMMON, *statuses})}


def webhook_routes() -> Sequence[BaseRoute]:
    """What receivers implement, one operation per type of message; nothing here is served."""
    hooks = APIRouter(tags=["Webhooks"])
    for type_, data in MESSAGES.items():
        hooks.add_api_route(
            type_.value,
            _receiver(type_),
            methods=["POST"],
            operation_id=type_.value,
            summary=type_.value,
            description=cleandoc(data.__doc__ or ""),
            response_description=_RECEIVED,
        )
    return hooks.routes


_RECEIVED = "Any 2xx within 15 seconds: the message was delivered"


def _receiver(type_: MessageType) -> Any:
    def receive(**_: Any) -> None:
        raise AssertionError("described only")

    parameter = Parameter("body", Parameter.KEYWORD_ONLY, annotation=posted(type_))
    receive.__signature__ = Signature([parameter], return_annotation=None)  # type: ignore[attr-defined]
    return receive


def describe(app: FastAPI) -> dict[str, Any]:
    """Build the OpenAPI document once: FastAPI's own 422 is gone, every /v1 operation needs a key."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            webhooks=webhook_routes(),
            tags=list(TAGS),
        )
        document["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer", "description": "An API key: `sk_...`"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        document["components"]["examples"] = examples()
        document["components"]["headers"] = dict(HEADERS)
        for path, operations in document["paths"].items():
            for operation in operations.values():
                _finish(path, operation, document["components"]["schemas"])
        for type_ in MESSAGES:
            _finish_webhook(document["webhooks"][type_.value]["post"], EXAMPLES[type_])
        for name in ("HTTPValidationError", "ValidationError"):
            document["components"]["schemas"].pop(name, None)
        app.openapi_schema = _renamed(document)
    return app.openapi_schema


def _finish(path: str, operation: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    operation["operationId"] = _identifier(operation["summary"])
    operation["responses"].pop("422", None) if _is_framework_422(operation) else None
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _queried(parameter["schema"])
        if (words := _PARAMETERS.get(parameter["name"])) is not None:
            parameter.setdefault("description", words)
    if path.startswith("/v1/"):
        operation["security"] = [{"bearer": []}, {"header": []}]
        describe_errors(operation, _body_of(operation, schemas))
    describe_headers(operation)
    for status, response in operation["responses"].items():
        content = response.get("content", {}).get("application/json")
        if status.startswith("2") and content is not None and content.get("schema"):
            content["example"] = example_of(content["schema"], schemas)


def _body_of(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    found: Mapping[str, Any] = schemas.get(content.get("schema", {}).get("$ref", "").rpartition("/")[2], {})
    return found


def _identifier(summary: str) -> str:
    """What generated clients call an operation: `list_programs`."""
    return re.sub(r"[^a-z]+", "_", re.sub(r"\b(an?|the) ", "", summary.lower())).strip("_")


def _queried(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter's schema: nothing in a path or query is null, a parameter is left out instead."""
    parts = [part for part in schema.get("anyOf", ()) if part.get("type") != "null"]
    kept = {name: value for name, value in schema.items() if name not in ("title", "description", "anyOf")}
    return kept | (parts[0] if len(parts) == 1 else {"anyOf": parts} if parts else {})


def _renamed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with names for people: `ProgramPage` for `Paged_ProgramRead_`, `RuleActionType` for a module's path."""
    schemas = document["components"]["schemas"]
    names = {name: _schema_name(name) for name in schemas if not name.isalnum()}
    text = json.dumps(document)
    for old, new in names.items():
        text = text.replace(f'"#/components/schemas/{old}"', f'"#/components/schemas/{new}"')
    renamed: dict[str, Any] = json.loads(text)
    found = renamed["components"]["schemas"]
    renamed["components"]["schemas"] = {names.get(name, name): schema for name, schema in found.items()}
    if len(renamed["components"]["schemas"]) < len(found):
        raise ValueError("two schemas of the description have one name")
    return renamed


def _schema_name(name: str) -> str:
    page = re.fullmatch(r"Paged_(\w+?)(Read|Item|Listed)?_", name)
    if page is not None:
        return f"{page[1]}Page"
    *modules, own = name.removesuffix("-Input").split("__")
    words = [re.sub("s$", "", re.sub("ies$", "y", part.replace("_", " ").title().replace(" ", ""))) for part in modules]
    return next((f"{word}{own}" for word in reversed(words) if not own.startswith(word)), own)


def _finish_webhook(operation: dict[str, Any], example: Mapping[str, Any]) -> None:
    # put in here, because the framework drops what is null from examples, too
    operation["requestBody"]["content"]["application/json"]["example"] = example
    del operation["responses"]["422"]


def _is_framework_422(operation: dict[str, Any]) -> bool:
    found = operation["responses"].get("422", {})
    return "HTTPValidationError" in str(found)
