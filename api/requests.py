"""How requests are read: `StrictRoute` bounds and parses the body and answers every fault of the form in one 400.

Endpoints stay ordinary FastAPI endpoints with pydantic bodies and queries; they are only called with valid input.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from inspect import iscoroutinefunction
from typing import Any

from anyio import to_thread
from fastapi.dependencies.utils import request_params_to_args
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from api.deps import call_of
from api.errors import PayloadTooLarge, UnsupportedMediaType
from api.idempotency import FIELD, HEADER, apply_header, takes_key
from api.jsontext import parse_json, printable
from api.schemas.common import RequestModel
from api.schemas.urls import IS_PRIVATE_ALLOWED
from api.validation import Located, arrange, cross_faults, located, model_in, received
from domain.errors import BadRequest, Fault, bad_request

MAX_BODY_BYTES = 1 << 20
# a client that is still sending gets its answer, instead of a reset connection, up to this much
MAX_DRAINED_BYTES = 8 << 20


@dataclass(slots=True)
class Form:
    """A request's body and what was found before any model saw it."""

    body: object = None
    faults: list[Located] = field(default_factory=list)
    header_fault: Fault | None = None
    is_key_from_header: bool = False


class StrictRoute(APIRoute):
    """The route class of every endpoint: `APIRouter(route_class=StrictRoute)`.

    FastAPI reads the signature and describes the operation; requests are served here, in one pass. An endpoint may take
    ids of its path, one query model, one body, a `Call` (CallDep) and the Request, and returns a Response.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.reader = _Reader(self)
        self.app = self.serve

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; refusals are raised."""
        request = Request(scope, receive, send)
        values = await self.reader.values(request)
        if self.reader.is_async:
            response = await self.endpoint(**values)
        else:
            response = await to_thread.run_sync(partial(self.endpoint, **values))
        await response(scope, receive, send)


class _Reader:
    """What one route's requests may look like, and what its endpoint is called with."""

    def __init__(self, route: APIRoute) -> None:
        self.route = route
        self.is_async = iscoroutinefunction(route.endpoint)
        self.body_field = route.body_field
        self.body_model = _model(route.body_field.field_info.annotation) if route.body_field else None
        self.takes_key = takes_key(self.body_model)
        parameters = route.dependant.query_params
        self.query_model = _model(parameters[0].field_info.annotation) if len(parameters) == 1 else None
        self.query_names = {parameter.alias for parameter in parameters}
        self.has_cross = any(_has_cross(model) for model in (self.body_model, self.query_model))
        self._require_served(route)

    def _require_served(self, route: APIRoute) -> None:
        wanted = route.dependant
        beyond = [wanted.header_params, wanted.cookie_params, wanted.background_tasks_param_name, wanted.response_param_name]
        if any(beyond) or any(needed.call is not call_of for needed in wanted.dependencies) or len(wanted.body_params) > 1:
            raise TypeError(f"{route.path}: an endpoint takes path ids, a query model, a body, CallDep and the Request")
        if self.body_field is not None and not (self.body_model and issubclass(self.body_model, RequestModel)):
            raise TypeError(f"{route.path}: a body must be a CreateModel or UpdateModel")

    async def values(self, request: Request) -> dict[str, Any]:
        """The arguments of the endpoint; BadRequest with everything that is wrong."""
        form = await self.read(request)
        query = dict(request.query_params) if request.scope["query_string"] else {}
        wanted = self.route.dependant
        values, errors = request_params_to_args(wanted.path_params, request.path_params)
        asked, query_errors = request_params_to_args(wanted.query_params, request.query_params)
        errors += query_errors
        if self.body_field is not None:
            IS_PRIVATE_ALLOWED.set(request.app.state.settings.webhook_allow_private)
            body, body_errors = self.body_field.validate(form.body, {}, loc=("body",))
            values[wanted.body_params[0].name] = body
            errors += body_errors or []
        own = self.own_faults(form, query)
        if errors or form.faults or form.header_fault or any(own):
            raise BadRequest(self.arrange(form, query, errors, own))
        values |= asked
        for needed in wanted.dependencies:
            values[str(needed.name)] = await call_of(request)
        if wanted.request_param_name:
            values[wanted.request_param_name] = request
        return values

    async def read(self, request: Request) -> Form:
        """Read the body where there is one to be read; 413, 415 and JSON syntax are refused here."""
        form = Form()
        if self.body_field is None:
            return form
        form.body, form.faults = await read_json(request)
        if self.takes_key:
            form.is_key_from_header, form.header_fault = apply_header(request.headers, form.body)
        return form

    def own_faults(self, form: Form, query: dict[str, str]) -> tuple[list[Located], list[Located]]:
        """Rules between fields, and parameters that an endpoint without a query model doesn't know: of body and query."""
        if not self.has_cross and (not query or self.query_model):
            return _NONE
        unknown: list[Located] = []
        if self.query_model is None:
            unknown = [
                ((name,), Fault(printable(name), "unknown_parameter", "Not known to this endpoint", None, received(name, value)))
                for name, value in query.items()
                if name not in self.query_names
            ]
        return list(cross_faults(self.body_model, form.body)), [*unknown, *cross_faults(self.query_model, query)]

    def arrange(self, form: Form, query: dict[str, str], errors: Any, own: tuple[list[Located], list[Located]]) -> list[Fault]:
        """Everything wrong with a request: body, path, query, key header, in this order."""
        by_place: dict[str, list[Any]] = {"body": [], "path": [], "query": [], "header": []}
        for error in errors:
            by_place[error["loc"][0]].append(error)
        body = [*form.faults, *located(by_place["body"], self.body_model, "unknown_field"), *own[0]]
        asked = [*located(by_place["query"], self.query_model, "unknown_parameter"), *own[1]]
        faults = self._keyed(arrange(body, form.body, self.body_model), form)
        faults += [fault for _, fault in located(by_place["path"], None, "invalid")]
        faults += arrange(asked, query, self.query_model)
        return faults if form.header_fault is None else [*faults, form.header_fault]

    @staticmethod
    def _keyed(faults: list[Fault], form: Form) -> list[Fault]:
        """A fault of a key that came in the header names the header; with a faulty header the field isn't missing."""
        if form.header_fault is not None:
            return [fault for fault in faults if fault.field != FIELD or fault.reason != "required"]
        if not form.is_key_from_header:
            return faults
        renamed = [Fault(HEADER, f.reason, f.message, f.expected, f.received) for f in faults if f.field == FIELD]
        return [fault for fault in faults if fault.field != FIELD] + renamed


_NONE: tuple[list[Located], list[Located]] = ([], [])


def _has_cross(model: type[BaseModel] | None) -> bool:
    if model is None or not issubclass(model, RequestModel):
        return False
    own = any("cross_faults" in base.__dict__ for base in model.__mro__ if base is not RequestModel)
    return own or any(_has_cross(nested) for nested in _nested(model))


def _nested(model: type[BaseModel]) -> list[type[BaseModel]]:
    found = [model_in(info.annotation) for info in model.model_fields.values()]
    return [nested for nested in found if nested is not None and nested is not model]


async def read_json(request: Request) -> tuple[object, list[Located]]:
    """A body that its endpoint checks itself: the value, and the faults of single texts in it, each with its path."""
    raw = await _bounded(request)
    _check_media_type(request, raw)
    if not raw:
        raise bad_request("body", "required", "A JSON object is needed", expected="JSON object")
    return parse_json(raw)


def _model(annotation: object) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


async def _bounded(request: Request) -> bytes:
    """The body, at most MAX_BODY_BYTES of it, whatever Content-Length says."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_DRAINED_BYTES:
            break
        if size <= MAX_BODY_BYTES:
            chunks.append(chunk)
    if size > MAX_BODY_BYTES:
        raise PayloadTooLarge(limit_bytes=MAX_BODY_BYTES)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _check_media_type(request: Request, raw: bytes) -> None:
    header = request.headers.get("content-type")
    if header is None and not raw:
        return
    kind, _, parameters = (header or "").partition(";")
    pairs = (part.partition("=") for part in parameters.split(";"))
    charsets = [value for name, _, value in pairs if name.strip().lower() == "charset"]
    is_utf8 = all(value.strip().strip('"').lower() in ("utf-8", "utf8") for value in charsets)
    if kind.strip().lower() != "application/json" or not is_utf8:
        raise UnsupportedMediaType(received=None if header is None else printable(header)[:100])
