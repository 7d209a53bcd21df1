"""Links for the API description: what one operation makes is what others are about.

They are for machines that go from call to call. The served description has none: people would scroll past hundreds.
Whoever follows a link sends the sound call of its target, with the new thing in place of the world's. A made-up body
seldom gets past the checks of names and states, and nothing would come of it to go on with.
"""

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.api.surface.calls import Call, calls_of
from tests.api.surface.operations import Operation, leaves, operations, replaced
from tests.api.surface.world import World

# what answers with something new, and what that is in a world
_MAKERS = {
    "POST /v1/programs": "program",
    "POST /v1/assets": "asset",
    "POST /v1/participants": "participant",
    "POST /v1/groups": "group",
    "POST /v1/events": "order-1001-completed",
    "POST /v1/rules": "rule",
    "POST /v1/webhook-endpoints": "endpoint",
    "POST /v1/webhook-endpoints/{id}/test": "delivery",
    "POST /v1/transfers": "journal_entry",
    "POST /v1/participants/{id}/redemptions": "redemption",
    "POST /v1/participants/{id}/redemptions/items": "redemption",
    "POST /v1/programs/{programId}/rewards": "reward",
    "POST /v1/programs/{programId}/tiers": "tier",
    "POST /v1/programs/{programId}/automations": "automation",
}
# where its name is, if that isn't `id`
_NAMES = {"journal_entry": "journal_entry_id", "tier": "key"}
# what is in a world for the sake of its state
_SAME = {
    "second": "participant",
    "third": "participant",
    "prefunded": "asset",
    "unused": "asset",
    "unlinked": "asset",
    "failed": "order-1001-completed",
    "pending_redemption": "redemption",
    "birthday": "automation",
    "later": "automation",
}
# what each call has of its own, and what is put there instead: something that no other answer has
_OWN = re.compile(r"[0-9a-f-]{12,}")
_NEW = "{$response.header.X-Request-Id#regex:([0-9a-f]+)$}"
# what would be taken for an expression
_MARKS = set("{}$#")


def linked(document: Mapping[str, Any], world: World) -> dict[str, Any]:
    """The description, with links from each maker to what may name its thing, from lists to makers, from PUT to DELETE."""
    made: dict[str, Any] = copy.deepcopy(dict(document))
    for operation in operations():
        links = list(_links(operation, world))
        response = made["paths"][operation.path][operation.method.lower()]["responses"][str(max(operation.success))]
        if links:
            response["links"] = {f"{link['operationId']}_{number}": link for number, link in enumerate(links)}
    return made


def _links(source: Operation, world: World) -> Iterator[dict[str, Any]]:
    known = {id_: id_ for id_ in world.ids.values()}
    at_hand = known | {value: f"$request.path.{name}" for name, value in calls_of(source, world)[0].path.items()}
    if source.name in _MAKERS:
        yield from _uses(source, at_hand, world)
    for target in operations():
        if target.path == source.path and (source.method, target.method) in (("GET", "POST"), ("PUT", "GET"), ("PUT", "DELETE")):
            yield from (_link(call, at_hand) for call in calls_of(target, world))


def _uses(maker: Operation, at_hand: Mapping[str, str], world: World) -> Iterator[dict[str, Any]]:
    """Links to every call that names such a thing, once for each place."""
    thing = _MAKERS[maker.name]
    new = f"$response.body#/{_NAMES.get(thing, 'id')}"
    names = {id_: _SAME.get(name, name) for name, id_ in world.ids.items()}
    names |= {"tier": "tier"}
    body = calls_of(maker, world)[0].body or {}
    told = {body[field]: f"$request.body#/{field}" for field in ("program_id", "asset_id") if field in body}
    for target in operations():
        for call in calls_of(target, world):
            named = _named(call, names)
            for id_ in named:
                # a new program has nothing yet that the call could name beside it
                if names[id_] == thing and (thing != "program" or len(named) == 1):
                    yield _link(call, {**at_hand, **told, id_: new})


def _named(call: Call, names: Mapping[str, str]) -> list[str]:
    """The things that a call names."""
    values = [*call.path.values(), *call.query.values(), *(value for _, value in leaves(call.body))]
    return [value for value in dict.fromkeys(values) if isinstance(value, str) and value in names]


def _link(call: Call, expressions: Mapping[str, str]) -> dict[str, Any]:
    """The link that sends this call, with expressions in place of some ids."""
    places = {f"path.{name}": value for name, value in call.path.items()}
    places |= {f"query.{name}": value for name, value in call.query.items()}
    link: dict[str, Any] = {
        "operationId": call.operation.spec["operationId"],
        "parameters": {place: expressions.get(value, value) for place, value in places.items()},
    }
    if call.body is not None:
        body = call.body
        for path, value in leaves(body):
            if isinstance(value, str):
                body = replaced(body, path, expressions.get(value) or _literal(value))
        link |= {"requestBody": body, "x-schemathesis": {"merge_body": False}}
    return link


def _literal(value: str) -> str | None:
    return None if _MARKS & set(value) else _OWN.sub(_NEW, value)
