"""A sound request of every operation: its own documented example, with the ids of a world in it.

Ids are put in by the names of fields and parameters. What that doesn't decide is in the tables here; an operation that
neither covers can't be called, and tests of the whole surface fail for it.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

from tests.api.surface.operations import Operation, field_of, leaves, replaced
from tests.api.surface.world import ANN, MOMENT, World
from tests.support.client import Tenant

Body = dict[str, Any]

# what a path's first id names, by the word before it
_COLLECTIONS = {
    "programs": "program",
    "assets": "asset",
    "participants": "participant",
    "groups": "group",
    "events": "order-1001-completed",
    "redemptions": "redemption",
    "rewards": "reward",
    "rules": "rule",
    "automations": "automation",
    "members": "second",
    "enrollments": "program",
    "journal-entries": "journal_entry",
    "webhook-endpoints": "endpoint",
    "webhook-deliveries": "delivery",
}
_KEYS = {"tags": "vip", "counters": "points", "attributes": "city", "tiers": "tier"}

# what fields and query parameters name; endings count: `source_participant_id`
_FIELDS = {
    "program_id": "program",
    "asset_id": "asset",
    "participant_id": "participant",
    "group_id": "group",
    "reward_id": "reward",
    "reward_catalog_item_id": "reward",
    "rule_id": "rule",
    "event_id": "order-1001-completed",
    "recipient_id": "second",
    "redemption_target_entity_id": "second",
    "lot_ids": "lot",
}

# where an operation needs another thing than the usual one
_OTHERS: Mapping[str, Mapping[str, str]] = {
    "POST /v1/programs/{id}/assets/{assetId}/fund": {"assetId": "prefunded"},
    "POST /v1/programs/{id}/assets/{assetId}/burn": {"assetId": "prefunded"},
    "DELETE /v1/programs/{programId}/assets/{assetId}": {"assetId": "unused"},
    "POST /v1/programs/{programId}/assets": {"asset_id": "unlinked"},
    "GET /v1/programs/{id}/statement": {"asset_id": "prefunded"},
    "GET /v1/programs/{id}/balance": {"asset_id": "prefunded"},
    "GET /v1/programs/{id}/history": {"asset_id": "prefunded"},
    "POST /v1/events/{id}/retry": {"id": "failed"},
    "POST /v1/redemptions/{id}/fulfillment": {"id": "pending_redemption"},
    "GET /v1/programs/{programId}/automations/{automationId}/subscriptions": {"automationId": "birthday"},
    "POST /v1/programs/{programId}/automations/{automationId}/refresh-subscriptions": {"automationId": "birthday"},
    "POST /v1/programs/{programId}/automations/{automationId}/cancel": {"automationId": "later"},
    "POST /v1/groups/{id}/members": {"participant_id": "third"},
}

# fields that an example needs beside or instead of its own, and bodies for the ids that the example doesn't show
_BODIES: Mapping[str, Callable[[World], Body]] = {
    "PATCH /v1/programs/{id}": lambda _: {"status": "ACTIVE"},
    "PATCH /v1/participants/{id}/status": lambda _: {"status": "ACTIVE"},
    "PATCH /v1/participants/{id}/enrollments/{programId}": lambda _: {"status": "ACTIVE"},
    "POST /v1/assets": lambda _: {"symbol": f"N{uuid4().hex[:12]}"},
    "PATCH /v1/assets/{id}": lambda _: {"max_transaction_amount": "100000000"},
    "POST /v1/programs/{id}/assets/{assetId}/burn": lambda _: {"amount": "10.00"},
    "POST /v1/events": lambda _: {"external_id": ANN},
    "POST /v1/participants": lambda _: {"external_id": f"new-{uuid4()}"},
    "POST /v1/programs/{programId}/rewards": lambda _: {"name": f"New {uuid4()}", "fulfillment": {"type": "manual"}},
    "POST /v1/programs/{programId}/tiers": lambda _: {"key": f"new_{uuid4().hex}"},
    "POST /v1/programs/{programId}/automations": lambda _: {"name": f"New {uuid4()}"},
    "POST /v1/rules": lambda _: {"order": None},
    "POST /v1/rules/{id}/simulate": lambda _: {"participant_state": {"balances": {"ASSET": {"available": "750"}}}},
    "POST /v1/webhook-endpoints": lambda _: {"url": "http://127.0.0.1:1/hook"},
    "PATCH /v1/programs/{programId}/automations/{automationId}": lambda _: {"status": "active"},
    "PATCH /v1/webhook-endpoints/{id}": lambda _: {"description": "changed", "enabled_events": ["balance.expiring"]},
}

_ANY: Body = {"reference_id": None}


def _of_lots(ending: Body) -> Callable[[World], Body]:
    return lambda world: {"lot_ids": [world["lot"]]} | ending


# bodies that show the ids which the example doesn't: `None` takes a field of the example away
_VARIANTS: Mapping[str, tuple[Callable[[World], Body], ...]] = {
    "PATCH /v1/programs/{id}": (
        lambda world: {
            "status": None,
            "redemption_target_type": "LEDGER_ENTITY",
            "redemption_target_entity_id": world["second"],
        },
    ),
    "POST /v1/participants": (lambda world: {"program_id": world["program"]},),
    "POST /v1/groups": (lambda world: {"on_behalf_of_participant_id": world["participant"]},),
    "POST /v1/groups/{id}/members": (
        lambda world: {
            "participant_id": None,
            "role": None,
            "members": [{"participant_id": world["third"], "role": "MEMBER"}],
            "on_behalf_of_participant_id": world["participant"],
        },
    ),
    "PATCH /v1/groups/{id}/members/{participantId}": (lambda world: {"on_behalf_of_participant_id": world["participant"]},),
    "POST /v1/transfers": (
        lambda world: {
            "source_external_id": None,
            "source_participant_id": world["participant"],
            "recipients": [{"amount": "1.00", "participant_id": world["second"]}, {"amount": "1.00", "group_id": world["group"]}],
        },
        lambda world: {"source_external_id": None, "source_group_id": world["group"]},
    ),
    "POST /v1/events": (lambda world: _whose(world),),
    "POST /v1/events/batch": (lambda world: {"events": [_event(world)]},),
    "POST /v1/events/simulate": (lambda world: _whose(world),),
    "POST /v1/rules": (lambda world: {"order": None, "budgets": [{"asset_id": world["asset"], "limit": "10.00"}]},),
    "PATCH /v1/rules/{id}": (
        lambda world: {
            "status": None,
            "actions": [{"type": "CREDIT", "asset_id": world["asset"], "amount": "event.amount"}],
            "budgets": [{"asset_id": world["asset"], "limit": "100000.00"}],
        },
    ),
    "POST /v1/programs/{programId}/automations": (
        lambda world: {
            "name": f"New {uuid4()}",
            "scope": "program",
            "trigger": {"type": "one_time", "trigger_at": world.in_a_year},
            "participant_filter": None,
            "participant_id": world["participant"],
        },
    ),
    **{
        f"POST /v1/{kind}/{{id}}/balances/{operation}": (_of_lots(ending),)
        for kind in ("participants", "groups")
        for operation, ending in {"hold": {}, "release": _ANY, "forfeit": {}}.items()
    },
}

# the queries that some operations can't do without
_QUERIES: Mapping[str, Mapping[str, str]] = {
    "GET /v1/events/by-key": {"idempotency_key": "order-1001-completed"},
    "POST /v1/rules/{id}/reset-budget": {},
}
_NOW = datetime.now(UTC)
_NEEDED = {"from": (_NOW - timedelta(days=30)).isoformat(), "to": (_NOW + timedelta(days=300)).isoformat()}


def _whose(world: World) -> Body:
    return {"external_id": None, "participant_id": world["participant"], "recipient_id": world["second"]}


def _event(world: World) -> Body:
    known = {"program_id": world["program"], "idempotency_key": f"key-{uuid4()}", "event_timestamp": MOMENT}
    return known | {"participant_id": world["participant"], "recipient_id": world["second"], "event_data": {"type": "purchase"}}


@dataclass(frozen=True)
class Call:
    """One request, ready to be sent."""

    operation: Operation
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any = None

    @property
    def url(self) -> str:
        return self.operation.path.format(**self.path)

    def send(self, tenant: Tenant, **headers: str) -> httpx.Response:
        json = {} if self.body is None else {"json": self.body}
        return tenant.http.request(self.operation.method, self.url, params=dict(self.query), headers=headers, **json)

    def with_body(self, **fields: Any) -> "Call":
        return replace(self, body=merged(self.body, fields))

    def ids(self) -> Iterator[tuple[str, str, Callable[[str], "Call"]]]:
        """Every place with the id of a resource: its name, the id, and the same call with another id there."""
        fields = self.operation.id_fields()
        for name, value in self.path.items():
            if name not in ("key", "tag"):
                yield f"path {name}", value, lambda new, name=name: replace(self, path={**self.path, name: new})
        for name, value in self.query.items():
            if name in self.operation.id_parameters():
                yield f"query {name}", value, lambda new, name=name: replace(self, query={**self.query, name: new})
        for path, value in leaves(self.body):
            if field_of(path) in fields:
                yield (
                    f"body {field_of(path)}",
                    str(value),
                    lambda new, path=path: replace(self, body=replaced(self.body, path, new)),
                )


def merged(body: Body, fields: Mapping[str, Any]) -> Body:
    """A body with other fields; what is None is left out."""
    return {name: value for name, value in {**copy.deepcopy(body), **fields}.items() if value is not None}


def calls_of(operation: Operation, world: World) -> list[Call]:
    """The usual call, and those that show the ids which it doesn't have. KeyError for an operation that can't be called."""
    others = _OTHERS.get(operation.name, {})
    path = {found["name"]: _in_path(operation.path, found["name"], others, world) for found in operation.parameters("path")}
    query = {
        found["name"]: _in_query(operation, found["name"], others, world)
        for found in operation.parameters("query")
        if found.get("required")
    }
    if operation.body_schema is None:
        usual = Call(operation, path, query)
    else:
        example = _with_ids(operation, operation.example(), others, world)
        own = _BODIES.get(operation.name, lambda _: {})(world)
        # no request repeats another one unless a test wants it
        key = {"idempotency_key": f"key-{uuid4()}"} if operation.takes_key else {}
        usual = Call(operation, path, query, merged(example, key | own))
    made = [replace(usual, body=merged(usual.body, variant(world))) for variant in _VARIANTS.get(operation.name, ())]
    return [usual, *made, *_asked(usual, others, world)]


def _asked(usual: Call, others: Mapping[str, str], world: World) -> Iterator[Call]:
    """The call with each id that its query may have."""
    for name in usual.operation.id_parameters():
        if name not in usual.query:
            yield replace(usual, query={**usual.query, name: _in_query(usual.operation, name, others, world)})


def _in_path(path: str, name: str, others: Mapping[str, str], world: World) -> str:
    if name in others:
        return world[others[name]]
    word = path.partition("/{" + name + "}")[0].rpartition("/")[2]
    return _KEYS[word] if name in ("key", "tag") else world[_COLLECTIONS[word]]


def _in_query(operation: Operation, name: str, others: Mapping[str, str], world: World) -> str:
    if name in others:
        return world[others[name]]
    if name in operation.id_parameters():
        return world[_name_of(name)]
    return _QUERIES.get(operation.name, {}).get(name) or _NEEDED[name]


def _name_of(field: str) -> str:
    return _FIELDS[field] if field in _FIELDS else next(name for ending, name in _FIELDS.items() if field.endswith(f"_{ending}"))


def _with_ids(operation: Operation, body: Any, others: Mapping[str, str], world: World) -> Any:
    """A body whose ids are those of a world, by the names of their fields."""
    fields = operation.id_fields()
    for path, _ in list(leaves(body)):
        if path[-1] == "idempotency_key":
            body = replaced(body, path, f"key-{uuid4()}")
        if field_of(path) in fields:
            name = next(str(step) for step in reversed(path) if isinstance(step, str))
            body = replaced(body, path, world[others.get(name) or _name_of(name)])
    return body
