"""One key, one effect, for every operation that takes a key (conventions.md, Idempotency)."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.api.surface.calls import Call, calls_of
from tests.api.surface.operations import Operation, operations
from tests.api.surface.rows import checksums
from tests.api.surface.world import World
from tests.support.stack import Stack

pytestmark = pytest.mark.xdist_group("surface")

# it says so of its field: a simulation has no effect
WITHOUT_EFFECT = {"POST /v1/events/simulate"}
KEYED = [operation for operation in operations() if operation.takes_key and operation.name not in WITHOUT_EFFECT]
# a field of each body that may be something else
OTHER: Mapping[str, Any] = {"description": "another", "reason": "another", "quantity": 1, "event_data": {"type": "another"}}
# rows that an effect leaves; an event leaves more once it is processed
EFFECTS = ("journal_entries", "redemptions", "redemption_reversals", "events", "idempotency_keys")
WAITING = 20


def usual(operation: Operation, world: World) -> Call:
    """A call that may be made often: it takes little, and something is left."""
    call = calls_of(operation, world)[0]
    amount = {"amount": "0.01"} if "amount" in call.body or "forfeit" in call.url else {}
    if call.url.endswith(("/release", "/void-hold")):
        reference = f"r-{uuid4()}"
        holder = call.url.partition("/balances/")[0]
        if call.url.endswith("/release"):
            world.move(holder, "hold", amount="1.00", reference_id=reference)
        else:
            world.move(holder, "adjust", type="CREDIT", amount="1.00", bucket="HELD", reference_id=reference)
        return call.with_body(reference_id=reference)
    return call.with_body(**amount)


@pytest.mark.parametrize("operation", KEYED, ids=lambda operation: operation.name)
def test_a_replay_gives_the_first_answer_again(operation: Operation, stack: Stack, spare: World) -> None:
    call = usual(operation, spare)
    first = call.send(spare.tenant)
    assert first.status_code == max(operation.success), first.text
    counts = effects(stack, spare)
    by_header = call.with_body(idempotency_key=None).send(spare.tenant, **{"Idempotency-Key": call.body["idempotency_key"]})
    for again in (call.send(spare.tenant), by_header):
        assert is_replay_of(again, first), again.text
        assert again.status_code == (202 if operation.path == "/v1/events" else 200)
    assert effects(stack, spare) == counts


@pytest.mark.parametrize("operation", KEYED, ids=lambda operation: operation.name)
def test_another_payload_is_a_conflict(operation: Operation, stack: Stack, spare: World) -> None:
    call = usual(operation, spare)
    first = call.send(spare.tenant)
    counts = effects(stack, spare)
    field = next(name for name in OTHER if name in operation.body_schema["properties"])
    other = call.with_body(**{field: OTHER[field]}).send(spare.tenant)
    if operation.path == "/v1/events":
        assert is_replay_of(other, first)
    else:
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict"), other.text
        assert other.json()["details"] == {"idempotency_key": call.body["idempotency_key"], "program_id": spare["program"]}
    assert effects(stack, spare) == counts


@pytest.mark.parametrize("operation", KEYED, ids=lambda operation: operation.name)
def test_of_two_at_once_one_has_an_effect(operation: Operation, stack: Stack, spare: World) -> None:
    single = usual(operation, spare)
    before = effects(stack, spare)
    assert single.send(spare.tenant).is_success
    between = effects(stack, spare)
    call = usual(operation, spare)
    start, prepared = Barrier(2), effects(stack, spare)

    def send(_: int) -> httpx.Response:
        start.wait(WAITING)
        return call.send(spare.tenant)

    with ThreadPoolExecutor(2) as threads:
        answers = sorted(threads.map(send, range(2)), key=lambda answer: "idempotency-replayed" in answer.headers)
    assert is_replay_of(answers[1], answers[0]), [answer.text for answer in answers]
    assert difference(prepared, effects(stack, spare)) == difference(before, between)


def effects(stack: Stack, world: World) -> dict[str, int]:
    found = checksums(stack.database, world.tenant.organization_id)
    return {name: found[name][0] for name in EFFECTS}


def difference(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    return {name: after[name] - before[name] for name in EFFECTS}


def is_replay_of(answer: httpx.Response, first: httpx.Response) -> bool:
    replayed = answer.headers.get("idempotency-replayed"), first.headers.get("idempotency-replayed")
    # an event's answer shows how far it is by now
    bodies = (
        [{**each.json(), "status": None} for each in (answer, first)] if "events" in str(first.url) else [answer.text, first.text]
    )
    return answer.is_success and first.is_success and replayed == ("true", None) and bodies[0] == bodies[1]
