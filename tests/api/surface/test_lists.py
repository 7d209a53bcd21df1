"""Invariant 23 for every list: each row comes exactly once while rows are inserted; and a cursor is good for its list only."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.api.surface.calls import Call, calls_of
from tests.api.surface.growth import GROWTH
from tests.api.surface.operations import Operation, operations, resolve
from tests.api.surface.world import World
from tests.support.stack import poll

pytestmark = pytest.mark.xdist_group("surface")

LISTS = [operation for operation in operations() if operation.is_paged]
ENOUGH = 5
ABOUT = ("participant_id", "program_id", "asset_id", "bucket")
# what some orders ask for
ALSO: Mapping[str, Callable[[World], dict[str, str]]] = {"/v1/events": lambda world: {"program_id": world["program"]}}
# of rows in these statuses the order may still change
MOVING = ("RECEIVED", "PENDING", "PROCESSING")
# filters that every row of a list passes, and that another cursor belongs to
FILTERS = {"from": "2000-01-01T00:00:00Z", "include_archived": "true", "include_former": "true", "status": None}
WINDOW_END = "2000-02-01T00:00:00Z"


def sorts(operation: Operation) -> Iterator[dict[str, str]]:
    """The orders that a list offers, as its query asks for them; of one that offers none, the usual one."""
    choices = {found["name"]: resolve(found["schema"]).get("enum", ()) for found in operation.parameters("query")}
    for by in choices.get("sort_by", ()):
        yield from ({"sort_by": by, "sort_dir": direction} for direction in choices["sort_dir"])
    if "sort_by" not in choices:
        yield {}


CASES = [pytest.param(each, sort, id=f"{each.path} {' '.join(sort.values())}".strip()) for each in LISTS for sort in sorts(each)]


@pytest.mark.parametrize(("operation", "sort"), CASES)
def test_every_row_comes_once_while_rows_are_inserted(operation: Operation, sort: dict[str, str], spare: World) -> None:
    grow = GROWTH[operation.path]
    call = calls_of(operation, spare)[0]
    call = replace(call, query={**call.query, **ALSO.get(operation.path, lambda _: {})(spare), **sort})
    for _ in range(ENOUGH - len(rows(spare, call, limit="100")["data"])):
        grow(spare)
    there = poll(lambda: known if len(known := at_rest(rows(spare, call, limit="100"))) >= ENOUGH else None)
    found: list[str] = []
    page = rows(spare, call, limit="2")
    while True:
        found += identities(page)
        if not page["pagination"]["has_more"]:
            break
        grow(spare)
        page = rows(spare, call, limit="2", cursor=page["pagination"]["next_cursor"])
    assert [row for row in found if row in there] == there


@pytest.mark.parametrize("operation", LISTS, ids=lambda operation: operation.path)
def test_cursors_of_another_kind_are_refused(operation: Operation, spare: World, foreign: World) -> None:
    grow = GROWTH[operation.path]
    call = calls_of(operation, spare)[0]
    while len(rows(spare, call, limit="2")["data"]) < 2:
        grow(spare)
    cursor = rows(spare, call, limit="1")["pagination"]["next_cursor"]
    other = "/v1/programs" if operation.path != "/v1/programs" else "/v1/assets"
    others = spare.tenant.get(other, limit="1")["pagination"]["next_cursor"]
    refuse(spare, call, cursor="!")
    refuse(spare, call, cursor=cursor[:-5])
    refuse(spare, call, cursor=others)
    names = {found["name"] for found in operation.parameters("query")}
    for name, value in FILTERS.items():
        if name in names:
            # some lists want a window whole
            end = {"to": WINDOW_END} if name == "from" and "to" in names else {}
            refuse(spare, call, cursor=cursor, **{name: value or str(resolve_enum(operation, name)[0])}, **end)
    theirs = calls_of(operation, foreign)[0]
    if call.ids and any(True for _ in call.ids()):
        refuse(foreign, theirs, cursor=cursor)
    else:
        answer = replace(theirs, query={**theirs.query, "cursor": cursor}).send(foreign.tenant)
        assert answer.status_code == 200
        assert not [id_ for id_ in spare.ids.values() if id_ in answer.text]


def resolve_enum(operation: Operation, name: str) -> list[Any]:
    schema = next(found["schema"] for found in operation.parameters("query") if found["name"] == name)
    parts = [resolve(part) for part in (schema, *schema.get("anyOf", ()))]
    return next(part["enum"] for part in parts if "enum" in part)


def rows(world: World, call: Call, **query: str) -> dict[str, Any]:
    answer = replace(call, query={**call.query, **query}).send(world.tenant)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def refuse(world: World, call: Call, **query: str) -> None:
    answer = replace(call, query={**call.query, **query}).send(world.tenant)
    assert (answer.status_code, answer.json()["details"]["field"]) == (400, "cursor"), f"{query}: {answer.text}"


def at_rest(page: dict[str, Any]) -> list[str]:
    """The rows once none of them is on the move."""
    return [] if any(row.get("status") in MOVING for row in page["data"]) else identities(page)


def identities(page: dict[str, Any]) -> list[str]:
    """What tells the rows of a page apart: their own id, for postings everything, or the ids of what there is one row about."""
    return [
        row.get("id") or json.dumps(row if "journal_entry_id" in row else [row.get(name) for name in ABOUT])
        for row in page["data"]
    ]
