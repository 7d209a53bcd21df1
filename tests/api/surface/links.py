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
# what gives a holder something to go on with
_MOVES = ("/balances/adjust", "/balances/hold")
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
# what each call has of its own, and what is put there instead, before a number of the link: something that no other answer has
_OWN = re.compile(r"[0-9a-f-]{12,}")
_NEW = "{$response.header.X-Request-Id#regex:([0-9a-f]+)$}"
# what would be taken for an expression
_MARKS = set("{}$#")


def linked(document: Mapping[str, Any], world: World) -> dict[str, Any]:
    """The description, with links from each maker to what may name its thing, and on to what a client does next."""
    made: dict[str, Any] = copy.deepcopy(dict(document))
    for operation in operations():
        links = [_link(call, given, number) for number, (call, given) in enumerate(_links(operation, world))]
        response = made["paths"][operation.path][operation.method.lower()]["responses"][str(max(operation.success))]
        if links:
            response["links"] = {f"{number}_{link['operationId']}": link for number, link in enumerate(links)}
    return made


def _links(source: Operation, world: World) -> Iterator[tuple[Call, Mapping[str, str]]]:
    """The calls that can follow, with expressions for the ids in them."""
    known = {id_: id_ for id_ in world.ids.values()}
    at_hand = known | {value: f"$request.path.{name}" for name, value in calls_of(source, world)[0].path.items()}
    body = calls_of(source, world)[0].body or {}
    at_hand |= {body[field]: f"$request.body#/{field}" for field in ("program_id", "asset_id") if field in body}
    if source.name in _MAKERS:
        yield from _uses(source, at_hand, world)
    for target in operations():
        if _goes_on(source, target):
            yield from ((call, at_hand) for call in calls_of(target, world))


def _goes_on(source: Operation, target: Operation) -> bool:
    """Whether one is what a client does next: make one more in a list, take back what was put, spend what was given."""
    if target.path == source.path:
        return (source.method, target.method) in (("GET", "POST"), ("PUT", "GET"), ("PUT", "DELETE"))
    holder = source.path.partition("/balances/")[0]
    spending = (f"{holder}/balances/", f"{holder}/redemptions")
    return source.path.endswith(_MOVES) and target.method == "POST" and target.path.startswith(spending)


def _uses(maker: Operation, at_hand: Mapping[str, str], world: World) -> Iterator[tuple[Call, Mapping[str, str]]]:
    """Every call that names such a thing, once for each one it names."""
    thing = _MAKERS[maker.name]
    new = f"$response.body#/{_NAMES.get(thing, 'id')}"
    names = {id_: _SAME.get(name, name) for name, id_ in world.ids.items()}
    names |= {"tier": "tier"}
    for target in operations():
        for call in calls_of(target, world):
            named = _named(call, names)
            for id_ in named:
                # a new program has nothing yet that the call could name beside it
                if names[id_] == thing and (thing != "program" or len(named) == 1):
                    yield call, {**at_hand, id_: new}


def _named(call: Call, names: Mapping[str, str]) -> list[str]:
    """The things that a call names."""
    values = [*call.path.values(), *call.query.values(), *(value for _, value in leaves(call.body))]
    return [value for value in dict.fromkeys(values) if isinstance(value, str) and value in names]


def _link(call: Call, expressions: Mapping[str, str], number: int) -> dict[str, Any]:
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
                body = replaced(body, path, expressions.get(value) or _literal(value, number))
        link |= {"requestBody": body, "x-schemathesis": {"merge_body": False}}
    return link


def _literal(value: str, number: int) -> str | None:
    return None if _MARKS & set(value) else _OWN.sub(f"{_NEW}{number}", value)
