"""Every operation does what it is for when it is called as its own example shows."""

from dataclasses import replace

import httpx
import pytest

from tests.api.surface.calls import Call, calls_of
from tests.api.surface.operations import Operation, operations, unfit
from tests.api.surface.world import World

pytestmark = pytest.mark.xdist_group("surface")

# what ends something is called when nobody needs that any more
LAST = ("cancel", "DELETE", "archive")


def is_last(operation: Operation) -> tuple[int, int]:
    """What ends a thing comes late, and the inner thing before the outer one."""
    rank = next((rank for rank, word in enumerate(LAST, 1) if word in operation.name), 0)
    return rank, -operation.path.count("/") if rank else 0


def is_served(operation: Operation) -> bool:
    """Whether this deployment serves it: the test clock is switched on where it is needed."""
    return operation.path != "/v1/test-clock"


SERVED = sorted(filter(is_served, operations()), key=is_last)


@pytest.mark.parametrize("operation", SERVED, ids=lambda operation: operation.name)
def test_examples_work(operation: Operation, spare: World) -> None:
    answer = calls_of(operation, spare)[0].send(spare.tenant)
    assert answer.status_code in operation.success, answer.text
    assert_fit(operation, answer)


def test_criteria_are_as_described(spare: World) -> None:
    """The world's own tier has none: its levels are assigned by hand."""
    qualification = {"mode": "ALL", "criteria": [{"counter": "spent", "operator": ">=", "threshold": 1000}]}
    levels = [{"key": "gold", "rank": 1, "qualification": qualification}]
    spare.tenant.post(f"/v1/programs/{spare['program']}/tiers", {"key": "earned", "levels": levels}, 201)
    paths = "/v1/participants/{id}/state/tiers/{key}/progress", "/v1/programs/{programId}/tiers/{key}"
    for operation in (each for each in SERVED if each.method == "GET" and each.path in paths):
        call = calls_of(operation, spare)[0]
        answer = replace(call, path={**call.path, "key": "earned"}).send(spare.tenant)
        assert '"threshold":1000' in answer.text
        assert_fit(operation, answer)


def assert_fit(operation: Operation, answer: httpx.Response) -> None:
    """The body is as its description has it."""
    described = operation.spec["responses"][str(answer.status_code)]
    if "content" in described:
        assert not unfit(answer.json(), described["content"]["application/json"]["schema"])


@pytest.mark.parametrize("operation", SERVED, ids=lambda operation: operation.name)
def test_every_id_of_a_body_is_shown_by_some_call(operation: Operation, world: World) -> None:
    shown = {place for call in calls_of(operation, world) for place in places(call)}
    assert {f"body {field}" for field in operation.id_fields()} <= shown
    assert {f"query {name}" for name in operation.id_parameters()} <= shown


def places(call: Call) -> set[str]:
    return {place for place, _, _ in call.ids()}
