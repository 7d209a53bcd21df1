"""Links for the API description: what is made by one operation is what others are about.

They are for machines that go from call to call. The served description has none: people would scroll past dozens.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

_MADE = ("201", "202")


def linked(document: Mapping[str, Any]) -> dict[str, Any]:
    """The description, with links from every operation that makes a resource to those whose path goes on with its id."""
    made: dict[str, Any] = copy.deepcopy(dict(document))
    paths, schemas = made["paths"], made["components"]["schemas"]
    for source, operations in paths.items():
        response = _making(operations.get("post", {}), schemas)
        if response is None:
            continue
        links = {
            operation["operationId"]: {"operationId": operation["operationId"], "parameters": parameters}
            for target, parameters in _about(source, paths)
            for operation in paths[target].values()
        }
        if links:
            response["links"] = links
    return made


def _making(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> dict[str, Any] | None:
    """The answer that has the id of something new."""
    for status in _MADE:
        response: dict[str, Any] = operation.get("responses", {}).get(status, {})
        reference = response.get("content", {}).get("application/json", {}).get("schema", {}).get("$ref", "")
        if "id" in schemas.get(reference.rpartition("/")[2], {}).get("properties", {}):
            return response
    return None


def _about(source: str, paths: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    """The paths that begin with a collection and an id of it, with what is known of their parameters."""
    known = {name: f"$request.path.{name}" for name in _names(source)}
    for target in paths:
        rest = target.removeprefix(f"{source}/")
        if rest != target and rest.startswith("{"):
            name = rest[1:].partition("}")[0]
            yield target, known | {name: f"$response.body#/{name if name == 'key' else 'id'}"}


def _names(path: str) -> list[str]:
    return [segment[1:-1] for segment in path.split("/") if segment.startswith("{")]
