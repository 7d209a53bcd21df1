"""The operations of the API as its own description has them: what tests of the whole surface are generated from."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from api.app import create_app
from runtime.settings import Settings

Path = tuple[str | int, ...]
SOME_UUID = "01890000-0000-7000-8000-000000000001"


@cache
def document() -> Mapping[str, Any]:
    """The OpenAPI document; nothing is served for it."""
    found: Mapping[str, Any] = create_app(Settings(database_url="postgresql://127.0.0.1:1/none")).openapi()
    return found


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    spec: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def success(self) -> set[int]:
        return {int(status) for status in self.spec["responses"] if status.startswith("2")}

    def parameters(self, place: str) -> list[Mapping[str, Any]]:
        return [found for found in self.spec.get("parameters", ()) if found["in"] == place]

    @property
    def is_paged(self) -> bool:
        return any(found["name"] == "cursor" for found in self.parameters("query"))

    @property
    def body_schema(self) -> Mapping[str, Any] | None:
        content = self.spec.get("requestBody", {}).get("content", {})
        found: Mapping[str, Any] | None = content["application/json"]["schema"] if content else None
        return None if found is None else resolve(found)

    @property
    def takes_key(self) -> bool:
        return self.body_schema is not None and "idempotency_key" in self.body_schema.get("properties", {})

    def example(self) -> dict[str, Any]:
        """A copy of the first example of its body."""
        content = self.spec["requestBody"]["content"]["application/json"]
        if "examples" in content:
            found = next(iter(content["examples"].values()))["value"]
        else:
            found = content["example"] if "example" in content else resolve(content["schema"])["example"]
        copied: dict[str, Any] = copy.deepcopy(found)
        return copied

    def id_parameters(self) -> list[str]:
        """The query parameters that name resources by their UUID."""
        return [str(found["name"]) for found in self.parameters("query") if is_uuid(found["schema"])]

    def id_fields(self) -> set[str]:
        """The fields of the body that name resources by their UUID, as `recipients[].participant_id`."""
        return set() if self.body_schema is None else set(_id_fields(self.body_schema, "", ()))


def resolve(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema in place of a reference to it."""
    if "$ref" not in schema:
        return schema
    found: Mapping[str, Any] = document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def unfit(value: object, schema: Mapping[str, Any]) -> list[str]:
    """What is wrong with a value by a schema of the document."""
    whole = {"components": document()["components"], **schema}
    return [error.message for error in Draft202012Validator(whole).iter_errors(value)]


def is_uuid(schema: Mapping[str, Any]) -> bool:
    return schema.get("format") == "uuid" or any(is_uuid(part) for part in schema.get("anyOf", ()))


def _id_fields(schema: Mapping[str, Any], where: str, seen: tuple[str, ...]) -> Iterator[str]:
    name = schema.get("$ref")
    if name in seen:
        return
    seen = seen if name is None else (*seen, name)
    schema = resolve(schema)
    if schema.get("format") == "uuid":
        yield where
    for part in [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]:
        yield from _id_fields(part, where, seen)
    for field, part in schema.get("properties", {}).items():
        yield from _id_fields(part, f"{where}.{field}".removeprefix("."), seen)
    if isinstance(schema.get("items"), Mapping):
        yield from _id_fields(schema["items"], f"{where}[]", seen)


@cache
def operations() -> tuple[Operation, ...]:
    """Every operation that needs a key."""
    return tuple(
        Operation(method.upper(), path, spec)
        for path, methods in document()["paths"].items()
        for method, spec in methods.items()
        if path.startswith("/v1/")
    )


def field_of(path: Path) -> str:
    """A place in a body, as `id_fields` writes it: without numbers."""
    return "".join("[]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def leaves(value: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    """Every value in a body that isn't a list or an object, with its place."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from leaves(part, (*path, name))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from leaves(part, (*path, index))
    else:
        yield path, value


def replaced(value: Any, path: Path, new: object) -> Any:
    """A copy of a body with something else at one place."""
    made = copy.deepcopy(value)
    inner = made
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = new
    return made
