"""The gate in front of every route, and the dispatch behind it: plain ASGI, in the order of checks of conventions.md."""

import re
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes
from uuid import uuid4

from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from prometheus_client import Histogram
from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars

from api.admission import admit
from api.errors import MethodNotAllowed, as_refusal, render, unknown_route
from api.requests import StrictRoute
from domain.errors import bad_request
from runtime.tracing import name_request

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_SECONDS = Histogram(
    "openscrip_http_request_seconds",
    "Time from a request's headers to the end of its answer",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
_series: dict[tuple[str, str, int], Histogram] = {}
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


class Gate:
    """Names the request, lets it in, turns every exception into our error body, measures."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = _request_id(headers)
        scope.setdefault("state", {})["request_id"] = request_id
        # the task of the request has a context of its own: nothing has to be taken back
        bind_contextvars(request_id=request_id)
        extra = [(b"x-request-id", request_id.encode())]
        if scope["app"].state.is_draining:
            extra.append((b"connection", b"close"))
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # the span of the request ends with the answer's last part, before this returns
                name_request(*_series_of(scope, status), request_id=request_id)
                message["headers"] = [*message.get("headers", ()), *extra]
            await send(message)

        try:
            if scope["path"].startswith("/v1/") or scope["path"] == "/v1":
                state = scope["app"].state
                scope["state"]["principal"] = await admit(headers, state.keys, state.turnstile, extra)
            await self.app(scope, receive, answer)
        except ClientDisconnect:
            if not status:
                status = 499
                name_request(*_series_of(scope, status), request_id=request_id)
        except Exception as error:
            if status:
                raise
            await render(as_refusal(error, request_id), request_id)(scope, receive, answer)
        finally:
            _observe(scope, status, time.perf_counter() - started)


def _request_id(headers: dict[bytes, bytes]) -> str:
    sent = headers.get(b"x-request-id")
    if sent is not None and _REQUEST_ID.fullmatch(sent):
        return sent.decode()
    return str(uuid4())


def _observe(scope: Scope, status: int, seconds: float) -> None:
    series = _series_of(scope, status)
    found = _series.get(series)
    if found is None:
        method, path, _ = series
        found = _series[series] = _SECONDS.labels(method, path, str(status))
    found.observe(seconds)


def _series_of(scope: Scope, status: int) -> tuple[str, str, int]:
    """Method, route and status: what requests are counted and traced by."""
    route = scope.get("route")
    path = route.path if route is not None else "none"
    method = scope["method"] if scope["method"] in _METHODS else "other"
    return method, path, status


class _Node:
    """One step of a path: literal children, one parameter child, and the routes that end here by method."""

    __slots__ = ("children", "parameter", "routes")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.routes: dict[str, tuple[Route, ASGIApp, tuple[str, ...]]] = {}


class Dispatch:
    """Finds a route by path segments: constant time, percent-encoded slashes stay inside their segment.

    A literal segment beats a parameter, whatever the method. Unknown paths are 404, known ones with another method 405
    with every method they have; nothing is redirected.
    """

    def __init__(self, routes: Iterable[Any], lifespan: ASGIApp) -> None:
        self._root = _Node()
        self._lifespan = lifespan
        self.add(routes)

    def add(self, routes: Iterable[Any]) -> None:
        """Serve these routes too."""
        for route in routes:
            self._add(route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._lifespan(scope, receive, send)
        segments = _segments(scope)
        found: list[tuple[_Node, tuple[str, ...]]] = []
        _walk(self._root, segments, 0, (), found)
        method = scope["method"]
        if not found:
            raise unknown_route(scope["path"])
        node, values = found[0]
        if (match := node.routes.get(method)) is None:
            raise MethodNotAllowed(sorted(node.routes))
        route, app, names = match
        scope["route"], scope["endpoint"] = route, route.endpoint
        scope["path_params"] = dict(zip(names, values, strict=True))
        return await app(scope, receive, send)

    def _add(self, route: Route) -> None:
        node, names = self._root, []
        for segment in route.path.split("/")[1:]:
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.children.setdefault(segment, _Node())
        # the framework's own routes expect its exit stack around them
        app = route.app if isinstance(route, StrictRoute) else AsyncExitStackMiddleware(route.app)
        for method in route.methods or ():
            if method in node.routes:
                raise ValueError(f"{method} {route.path} is defined twice")
            node.routes[method] = (route, app, tuple(names))


def _walk(
    node: _Node, segments: list[str], depth: int, values: tuple[str, ...], found: list[tuple[_Node, tuple[str, ...]]]
) -> None:
    if depth == len(segments):
        if node.routes:
            found.append((node, values))
        return
    segment = segments[depth]
    child = node.children.get(segment)
    if child is not None:
        _walk(child, segments, depth + 1, values, found)
    if node.parameter is not None and segment:
        _walk(node.parameter, segments, depth + 1, (*values, segment), found)


def _segments(scope: Scope) -> list[str]:
    raw: bytes | None = scope.get("raw_path")
    if raw is None or b"%" not in raw:
        path: str = scope["path"]
        return path.split("/")[1:]
    try:
        return [unquote_to_bytes(segment).decode() for segment in raw.partition(b"?")[0].split(b"/")[1:]]
    except UnicodeDecodeError:
        raise bad_request("path", "invalid", "The path isn't UTF-8") from None
