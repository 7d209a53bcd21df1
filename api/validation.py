"""From what pydantic and the schemas found wrong to the faults of one 400, in the order of conventions.md, Errors."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel

from api.jsontext import Path, dumps, path_text, printable
from api.schemas.common import RequestModel
from api.schemas.types import Form, expected_choice
from domain.errors import Fault

MAX_RECEIVED = 100
Located = tuple[Path, Fault]

_OWN = frozenset({"required", "invalid", "too_short", "too_long", "out_of_range", "not_allowed", "duplicate"})
_REASON = {
    "missing": "required",
    "string_too_short": "too_short",
    "string_too_long": "too_long",
    "greater_than": "out_of_range",
    "greater_than_equal": "out_of_range",
    "less_than": "out_of_range",
    "less_than_equal": "out_of_range",
}
_PLAIN = {str: "string", int: "integer", bool: "boolean", dict: "object", list: "array"}
_SECRET = re.compile(r"secret|password|token|api_key$", re.IGNORECASE)
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def located(errors: Iterable[Mapping[str, Any]], model: type[BaseModel] | None, unknown: str) -> Iterator[Located]:
    """Pydantic's errors of one body or query as faults; `unknown` is the reason for what the endpoint doesn't know."""
    for error in errors:
        path = tuple(step for step in error["loc"][1:] if step != "[key]")
        yield path, _fault(error, path, model, unknown)


def _fault(error: Mapping[str, Any], path: Path, model: type[BaseModel] | None, unknown: str) -> Fault:
    kind, context = error["type"], error.get("ctx") or {}
    value = None if kind == "missing" else error.get("input")
    field = path_text(path) or "body"
    if kind == "extra_forbidden":
        return Fault(field, unknown, "Not known to this endpoint", None, received(field, value))
    expected = context["expected"] if kind in _OWN and "expected" in context else _expected_at(model, path)
    if (value is None and kind != "not_allowed") or (kind == "string_too_short" and value == ""):
        return Fault(field, "required", "This field is required", expected, None if value is None else "")
    reason = kind if kind in _OWN else _REASON.get(kind, "invalid")
    message = f"Must be {expected}" if reason == "invalid" and kind not in _OWN and expected else error["msg"]
    return Fault(field, reason, message, expected, received(field, value))


def received(field: str, value: object) -> str | None:
    """The offending value as a fault shows it: shortened, never a secret."""
    if value is None:
        return None
    if _SECRET.search(field):
        return "(hidden)"
    if isinstance(value, str):
        return printable(value[:MAX_RECEIVED])
    try:
        return printable(dumps(value).decode()[:MAX_RECEIVED])
    except (RecursionError, TypeError, UnicodeEncodeError):
        return type(value).__name__


def cross_faults(model: type[BaseModel] | None, data: object, prefix: Path = ()) -> Iterator[Located]:
    """The faults between fields of a body or query and of the objects in it, found in what was sent."""
    if model is None or not issubclass(model, RequestModel) or not isinstance(data, dict):
        return
    given = {name: value for name, value in data.items() if value is not None}
    for fault in model.cross_faults(given):
        path = prefix + parse_path(fault.field)
        yield path, replace(fault, field=path_text(path))
    for name, nested, is_list in _nested_in(model):
        value = given.get(name)
        if value is None or is_list != isinstance(value, list):
            continue
        where = (*prefix, name)
        for index, item in enumerate(value) if isinstance(value, list) else ((None, value),):
            yield from cross_faults(nested, item, where if index is None else (*where, index))


@cache
def _nested_in(model: type[BaseModel]) -> tuple[tuple[str, type[BaseModel], bool], ...]:
    """The fields that hold other models: their names in requests, the models, whether they are lists of them."""
    fields = ((field.alias or name, field.annotation) for name, field in model.model_fields.items())
    found = ((name, model_in(annotation), _is_list(annotation)) for name, annotation in fields)
    return tuple((name, nested, is_list) for name, nested, is_list in found if nested is not None)


def parse_path(text: str) -> Path:
    """Read a fault's path: `recipients[2].amount`."""
    return tuple(int(number) if number else name for name, number in _STEP.findall(text))


def arrange(found: Iterable[Located], data: object, model: type[BaseModel] | None) -> list[Fault]:
    """One fault per path: missing fields in the order of the model, then present ones in the order they were sent."""
    first: dict[str, Located] = {}
    for path, fault in found:
        first.setdefault(fault.field, (path, fault))
    return [fault for _, fault in sorted(first.values(), key=lambda item: _rank(item[0], data, model))]


def _rank(path: Path, data: object, model: type[BaseModel] | None) -> tuple[bool, list[int]]:
    """Where a path stands: absent ones first, each level by its place in the request or else in the model."""
    places: list[int] = []
    table = model
    for step in path:
        if isinstance(step, int):
            places.append(step)
            data = data[step] if isinstance(data, list) and step < len(data) else None
            continue
        names = [field.alias or name for name, field in table.model_fields.items()] if table else []
        if not isinstance(data, dict) or step not in data:
            return False, [*_table_places(path[: len(places)], model), names.index(step) if step in names else len(names)]
        places.append(list(data).index(step))
        data = data[step]
        table = model_in(table.model_fields[_name_of(table, step)].annotation) if table and step in names else None
    return True, places


def _table_places(path: Path, model: type[BaseModel] | None) -> list[int]:
    places: list[int] = []
    for step in path:
        if isinstance(step, int):
            places.append(step)
            continue
        names = [field.alias or name for name, field in model.model_fields.items()] if model else []
        places.append(names.index(step) if step in names else len(names))
        model = model_in(model.model_fields[_name_of(model, step)].annotation) if model and step in names else None
    return places


def _name_of(model: type[BaseModel], alias: str) -> str:
    return next(name for name, field in model.model_fields.items() if (field.alias or name) == alias)


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The model in an annotation like `list[Recipient] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := model_in(part)) is not None), None)


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(map(_is_list, get_args(annotation)))


def _expected_at(model: type[BaseModel] | None, path: Path) -> str | None:
    for index, step in enumerate(path):
        if model is None or isinstance(step, int):
            continue
        field = next((field for name, field in model.model_fields.items() if (field.alias or name) == step), None)
        if field is None:
            return None
        if index == len(path) - 1:
            return _described(Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation)
        model = model_in(field.annotation)
    return "object" if not path else None


def _described(annotation: Any) -> str | None:
    if get_origin(annotation) is Annotated:
        forms = [part.expected for part in annotation.__metadata__ if isinstance(part, Form)]
        return forms[0] if forms else _described(annotation.__origin__)
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return expected_choice(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "object"
    plain = _PLAIN.get(get_origin(annotation) or annotation)
    if plain is not None:
        return plain
    return next((text for part in get_args(annotation) if (text := _described(part)) is not None), None)
