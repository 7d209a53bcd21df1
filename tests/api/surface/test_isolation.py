"""Nobody sees or changes what another organization has, by whichever operation, wherever an id may stand."""

import re
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from tests.api.surface.calls import Call, calls_of
from tests.api.surface.operations import Operation, operations
from tests.api.surface.rows import checksums
from tests.api.surface.world import World
from tests.support.stack import Stack

pytestmark = pytest.mark.xdist_group("surface")

# where an unknown id refuses one item of several, and the answer says so of that item
BY_ITEM = {"POST /v1/events/batch"}
# what needn't be there: the id of anything may be a target of redemptions, and only an own holder is one that gets them
ANYTHING = {("PATCH /v1/programs/{id}", "body redemption_target_entity_id")}
# what rules name must be linked to their program: else the rule is invalid (conventions.md, Catalogue)
INVALID = {
    (method, f"body {field}[].asset_id")
    for method in ("POST /v1/rules", "PATCH /v1/rules/{id}")
    for field in ("actions", "budgets")
}
# texts that name things, by the query parameter; both organizations have things of these names
TEXTS = {
    "external_id": "user-42",
    "idempotency_key": "order-1001-completed",
    "reference_id": "auth-1",
    "search": "o",
    "key": "points",
    "tier_key": "tier",
}


@pytest.fixture(autouse=True)
def untouched(stack: Stack, world: World, foreign: World) -> Iterator[None]:
    """Whatever a test here asks for, nothing of the other organization changes."""
    before = checksums(stack.database, foreign.tenant.organization_id)
    yield
    assert checksums(stack.database, foreign.tenant.organization_id) == before


@pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.name)
def test_a_foreign_id_is_an_unknown_id(operation: Operation, world: World, foreign: World) -> None:
    names = {id_: name for name, id_ in world.ids.items()}
    for call in calls_of(operation, world):
        for place, id_, call_with in call.ids():
            theirs, nobodys = foreign[names[id_]], str(uuid4())
            found, unknown = call_with(theirs).send(world.tenant), call_with(nobodys).send(world.tenant)
            if (operation.name, place) in INVALID:
                assert found.status_code == 400, place
            elif (operation.name, place) not in ANYTHING:
                assert is_nothing(operation, found), f"{place}: {found.status_code} {found.text}"
            assert shape(found, theirs) == shape(unknown, nobodys), place
            assert_nothing_of(foreign, found, besides=theirs)


@pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.name)
def test_a_whole_foreign_request_finds_nothing(operation: Operation, world: World, foreign: World) -> None:
    for call in calls_of(operation, foreign):
        if any(True for _ in call.ids()):
            found = call.send(world.tenant)
            assert is_nothing(operation, found), found.text


@pytest.mark.parametrize(
    "operation", [each for each in operations() if each.method == "GET"], ids=lambda operation: operation.name
)
def test_reads_show_only_ones_own(operation: Operation, world: World, foreign: World) -> None:
    for call in calls_of(operation, world):
        assert_nothing_of(foreign, call.send(world.tenant))
        for parameter in operation.parameters("query"):
            if (name := parameter["name"]) in TEXTS:
                named = Call(operation, call.path, {**call.query, name: TEXTS[name]})
                assert_nothing_of(foreign, named.send(world.tenant))


def is_nothing(operation: Operation, answer: httpx.Response) -> bool:
    """404, or an empty list where the id is a filter."""
    if operation.name in BY_ITEM:
        [item] = answer.json()["results"]
        return bool(item["code"] == "not_found")
    return answer.status_code == 404 or (operation.is_paged and answer.status_code == 200 and answer.json()["data"] == [])


def shape(answer: httpx.Response, id_: str) -> tuple[int, str]:
    """An answer without what differs between any two requests and any two unknown ids."""
    text = answer.text.replace(id_, "ID").replace(answer.headers["x-request-id"], "REQUEST")
    return answer.status_code, re.sub(r'"updated_at":"[^"]*"', "", text)


def assert_nothing_of(foreign: World, answer: httpx.Response, besides: str = "") -> None:
    shown = {name for name, id_ in foreign.ids.items() if id_ != besides and id_ in answer.text}
    assert not shown, f"{answer.url}: {shown}"
