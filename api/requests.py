"""How requests are read: `StrictRoute` bounds and parses the body and answers every fault of the form in one 400.

Endpoints stay ordinary FastAPI endpoints with pydantic bodies and queries; they are only called with valid input.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from fastapi.dependencies.utils import solve_dependencies
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from api.errors import PayloadTooLarge, UnsupportedMediaType
from api.idempotency import FIELD, HEADER, apply_header, takes_key
from api.jsontext import parse_json, printable
from api.schemas.common import RequestModel
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
    """The route class of every endpoint: `APIRouter(route_class=StrictRoute)`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        reader = _Reader(self)

        async def strict(request: Request) -> Response:
            form = await reader.read(request)
            query = dict(request.query_params) if request.scope["query_string"] else {}
            own = reader.own_faults(form, query)
            if form.faults or form.header_fault or any(own):
                errors = await reader.validate(request, form)
                raise BadRequest(reader.arrange(form, query, errors, own))
            try:
                return await handle(request)
            except RequestValidationError as error:
                raise BadRequest(reader.arrange(form, query, error.errors(), own)) from None

        return strict


class _Reader:
    """What one route's requests may look like."""

    def __init__(self, route: APIRoute) -> None:
        self.route = route
        self.body_model = _model(route.body_field.field_info.annotation) if route.body_field else None
        self.has_body = route.body_field is not None
        self.takes_key = takes_key(self.body_model)
        parameters = route.dependant.query_params
        self.query_model = _model(parameters[0].field_info.annotation) if len(parameters) == 1 else None
        self.query_names = {parameter.alias for parameter in parameters}
        self.has_cross = any(_has_cross(model) for model in (self.body_model, self.query_model))
        if route.body_field is not None and not (self.body_model and issubclass(self.body_model, RequestModel)):
            raise TypeError(f"{route.path}: a body must be a CreateModel or UpdateModel")

    async def read(self, request: Request) -> Form:
        """Read the body where there is one to be read; 413, 415 and JSON syntax are refused here."""
        form = Form()
        if not self.has_body:
            return form
        form.body, form.faults = await read_json(request)
        if self.takes_key:
            form.is_key_from_header, form.header_fault = apply_header(request.headers, form.body)
        request._body, request._json = b"{}", form.body  # noqa: SLF001 - what FastAPI will ask this request for
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

    async def validate(self, request: Request, form: Form) -> list[Any]:
        """The rest of the faults, when some are known already: the endpoint isn't called."""
        solved = await solve_dependencies(
            request=request,
            dependant=self.route.dependant,
            body=form.body,
            async_exit_stack=request.scope["fastapi_inner_astack"],
            embed_body_fields=False,
        )
        return solved.errors

    def arrange(
        self, form: Form, query: dict[str, str], errors: Any, own: tuple[list[Located], list[Located]]
    ) -> list[Fault]:
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
