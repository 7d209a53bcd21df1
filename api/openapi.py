"""The API description: tags, documented errors, the key scheme, and the router every resource starts from."""

from collections.abc import Mapping, Sequence
from inspect import Parameter, Signature, cleandoc
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.routing import BaseRoute

from api.errors import STATUS
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
    return {status: _documented(status) for status in sorted({*_COMMON, *statuses})}


def _documented(status: int) -> dict[str, Any]:
    codes = [code for code, value in STATUS.items() if value == status]
    example = {"code": codes[0], "message": "…", "request_id": "7d1c2b9e-0a53-4b7e-9d3e-2f6f0c1c8a55", "details": {}}
    return {
        "model": ErrorBody,
        "description": " or ".join(f"`{code}`" for code in codes),
        "content": {"application/json": {"example": example}},
    }


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
        for path, operations in document["paths"].items():
            for operation in operations.values():
                _finish(path, operation)
        for type_ in MESSAGES:
            _finish_webhook(document["webhooks"][type_.value]["post"], EXAMPLES[type_])
        for name in ("HTTPValidationError", "ValidationError"):
            document["components"]["schemas"].pop(name, None)
        app.openapi_schema = document
    return app.openapi_schema


def _finish(path: str, operation: dict[str, Any]) -> None:
    operation["responses"].pop("422", None) if _is_framework_422(operation) else None
    if path.startswith("/v1/"):
        operation["security"] = [{"bearer": []}, {"header": []}]


def _finish_webhook(operation: dict[str, Any], example: Mapping[str, Any]) -> None:
    # put in here, because the framework drops what is null from examples, too
    operation["requestBody"]["content"]["application/json"]["example"] = example
    del operation["responses"]["422"]


def _is_framework_422(operation: dict[str, Any]) -> bool:
    found = operation["responses"].get("422", {})
    return "HTTPValidationError" in str(found)
