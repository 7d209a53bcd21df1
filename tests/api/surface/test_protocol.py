"""What HTTP itself may bring to any operation: methods, bodies, queries and headers, each with a documented answer."""

import gzip
from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import httpx
import pytest

from tests.api.surface.calls import Call, calls_of
from tests.api.surface.operations import Operation, document, operations
from tests.api.surface.world import World
from tests.support.stack import Stack

pytestmark = pytest.mark.xdist_group("surface")

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "QUERY")
JSON = {"Content-Type": "application/json"}
EVERY = pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.name)
WITH_BODY = pytest.mark.parametrize(
    "operation", [each for each in operations() if each.body_schema is not None], ids=lambda operation: operation.name
)
PATHS = sorted({operation.path for operation in operations()} - {"/v1/test-clock"})


@pytest.fixture(scope="module")
def anonymous(stack: Stack) -> Iterator[httpx.Client]:
    """A client without a key."""
    with httpx.Client(base_url=stack.base_url) as client:
        yield client


def raw(world: World, call: Call, content: bytes, **headers: str) -> httpx.Response:
    """The call with these bytes as its body."""
    method = call.operation.method
    return world.tenant.http.request(method, call.url, params=dict(call.query), content=content, headers=JSON | headers)


def is_error(answer: httpx.Response, status: int, code: str) -> bool:
    """Whether it is this error, in the one shape that all have."""
    body = answer.json()
    same = body["request_id"] == answer.headers["x-request-id"] and answer.headers["content-type"] == "application/json"
    return (
        same
        and set(body) == {"code", "message", "request_id", "details"}
        and (answer.status_code, body["code"]) == (status, code)
    )


@EVERY
def test_without_a_key(operation: Operation, world: World, anonymous: httpx.Client) -> None:
    call = calls_of(operation, world)[0]
    for headers in ({}, {"Authorization": "Bearer sk_wrong"}, {"X-API-Key": "sk_wrong"}, {"Authorization": "Basic c2s6"}):
        answer = anonymous.request(operation.method, call.url, headers=headers)
        assert is_error(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", PATHS)
def test_methods(path: str, world: World) -> None:
    """A path has the methods that are documented, and says which when asked by another one."""
    documented = sorted(method.upper() for method in document()["paths"][path])
    url = calls_of(next(each for each in operations() if each.path == path), world)[0].url
    for method in METHODS:
        if method not in documented:
            answer = world.tenant.http.request(method, url)
            assert (answer.status_code, method) == (405, method)
            assert answer.headers["allow"] == ", ".join(documented)
            if method != "HEAD":
                assert is_error(answer, 405, "method_not_allowed")
                assert answer.json()["details"] == {"allowed": documented}


@EVERY
def test_trailing_slash(operation: Operation, world: World) -> None:
    call = calls_of(operation, world)[0]
    answer = world.tenant.http.request(operation.method, f"{call.url}/")
    assert is_error(answer, 404, "not_found")


@EVERY
def test_query(operation: Operation, world: World) -> None:
    """Unknown parameters are refused; what isn't text neither confuses nor breaks anything."""
    if operation.path == "/v1/test-clock":
        return
    call = calls_of(operation, world)[0]
    unknown = replace(call, query={**call.query, "nothing": "1"}).send(world.tenant)
    assert is_error(unknown, 400, "bad_request")
    assert ("nothing", "unknown_parameter") in reasons(unknown)
    for name in [found["name"] for found in operation.parameters("query")]:
        for value in ("%00", "%FF", "%ED%A0%80", "", "a&" + name + "=%00"):
            answer = world.tenant.http.request(operation.method, f"{call.url}?{name}={value}")
            assert str(answer.status_code) in operation.spec["responses"], f"{name}={value}: {answer.text}"
            assert answer.status_code < 500


@EVERY
def test_path(operation: Operation, world: World) -> None:
    call = calls_of(operation, world)[0]
    for name in call.path:
        for value in ("%00", "%FF", "%ED%A0%80", "a%2Fb", "%E2%80%AE", "x" * 300):
            url = operation.path.format(**{**call.path, name: value})
            answer = world.tenant.http.request(operation.method, url, params=dict(call.query))
            assert answer.status_code in ((404,) if operation.path == "/v1/test-clock" else (400, 404)), f"{value}: {answer.text}"


@WITH_BODY
def test_body(operation: Operation, world: World) -> None:
    if operation.path == "/v1/test-clock":
        return
    call = calls_of(operation, world)[0]
    assert is_error(raw(world, call, b"{}", **{"Content-Type": "text/plain"}), 415, "unsupported_media_type")
    assert is_error(raw(world, call, b" " * ((1 << 20) + 1)), 413, "payload_too_large")
    packed = raw(world, call, gzip.compress(b"{}"), **{"Content-Encoding": "gzip"})
    for answer in (
        packed,
        raw(world, call, b""),
        raw(world, call, b"\xff"),
        raw(world, call, b"[]"),
        raw(world, call, b'{"\x00": 1}'),
        raw(world, call, b'{"a\\u0000": "\\ud800"}'),
        raw(world, call, b'{"nothing": 1}'),
    ):
        assert is_error(answer, 400, "bad_request"), answer.text


@WITH_BODY
def test_values_of_every_kind(operation: Operation, world: World) -> None:
    """Whatever stands in a field is refused or fits; nothing breaks."""
    if operation.path == "/v1/test-clock":
        return
    call = calls_of(operation, world)[0]
    for name in operation.body_schema["properties"]:
        for value in (None, True, -1, 1e300, "\x00", [{}], {"a": [{}]}, "x" * 5000):
            answer = replace(call, body={**call.body, name: value}).send(world.tenant)
            assert str(answer.status_code) in operation.spec["responses"], f"{name}={value!r}: {answer.text}"
            assert answer.status_code < 500, f"{name}={value!r}: {answer.text}"


@EVERY
def test_the_clients_request_id_comes_back(operation: Operation, world: World) -> None:
    call = calls_of(operation, world)[0]
    sent = f"trace-{uuid4()}"
    url = operation.path.format(**dict.fromkeys(call.path, str(uuid4())))
    answer = world.tenant.http.request(operation.method, url, headers={"X-Request-Id": sent, **JSON}, content=b"[")
    assert answer.headers["x-request-id"] == sent
    if answer.status_code >= 400:
        assert answer.json()["request_id"] == sent


def reasons(answer: httpx.Response) -> list[tuple[str, str]]:
    return [(fault["field"], fault["reason"]) for fault in answer.json()["details"]["fields"]]
