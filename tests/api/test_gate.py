"""The gate by itself: what it adds to answers and to the lines of a request."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.contextvars import get_contextvars

from api.middleware import Gate


def ask(*, is_draining: bool = False) -> tuple[dict[str, Any], list[tuple[bytes, bytes]]]:
    """What lines of a request named mine-1 carry, and the headers of its answer."""
    carried: dict[str, Any] = {}
    headers: list[tuple[bytes, bytes]] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        carried.update(get_contextvars())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        headers.extend(message.get("headers", ()))

    state = SimpleNamespace(is_draining=is_draining)
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/healthz",
        "headers": [(b"x-request-id", b"mine-1")],
        "app": SimpleNamespace(state=state),
    }
    asyncio.run(Gate(app)(scope, asyncio.sleep, send))  # type: ignore[arg-type]
    return carried, headers


def test_lines_of_a_request_name_it() -> None:
    carried, headers = ask()
    assert carried["request_id"] == "mine-1"
    assert headers == [(b"x-request-id", b"mine-1")]
    assert "request_id" not in get_contextvars()


@pytest.mark.parametrize("is_draining", [False, True])
def test_connections_are_closed_while_it_drains(is_draining: bool) -> None:
    _, headers = ask(is_draining=is_draining)
    assert ((b"connection", b"close") in headers) is is_draining
