"""The description of the API is whole: a newcomer finds every operation, field and error explained, with an example."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from api.errors import STATUS
from api.openapi import TAGS
from tests.api.surface.operations import Operation, document, operations, unfit

EVERY = pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.name)
# titles that say all there is
PLAIN = re.compile(r"^(Create|Get|List) (an?|the)? ?[a-z ]+$")


@EVERY
def test_words(operation: Operation) -> None:
    assert operation.spec["summary"]
    assert operation.spec.get("description") or PLAIN.match(operation.spec["summary"])
    assert not re.search(r"TODO|…|\.\.\.$", operation.spec.get("description", ""))
    assert [tag for tag in operation.spec["tags"] if tag in {each["name"] for each in TAGS}] == operation.spec["tags"]
    for parameter in operation.spec.get("parameters", ()):
        assert parameter.get("description"), parameter["name"]
        assert {"type": "null"} not in parameter["schema"].get("anyOf", [])


@EVERY
def test_the_examples_of_bodies_fit(operation: Operation) -> None:
    if operation.body_schema is not None:
        content = operation.spec["requestBody"]["content"]["application/json"]
        shown = [each["value"] for each in content.get("examples", {}).values()] or [operation.example()]
        for example in shown:
            assert not unfit(example, content["schema"])
            assert not [text for text in texts(example) if "…" in text]


@EVERY
def test_answers_have_examples_that_fit(operation: Operation) -> None:
    for status in operation.success:
        response = operation.spec["responses"][str(status)]
        assert "X-Request-Id" in response["headers"]
        if status == 204:
            assert "content" not in response
        else:
            content = response["content"]["application/json"]
            assert "example" in content
            assert not unfit(content["example"], content["schema"])


@EVERY
def test_errors_have_an_example_for_each_code(operation: Operation) -> None:
    responses = operation.spec["responses"]
    assert {"400", "401", "403", "429", "500", "503"} <= set(responses)
    assert ("404" in responses) or not re.search(r"\{", operation.path)
    assert ({"413", "415"} <= set(responses)) == (operation.body_schema is not None)
    for status in responses:
        if status.startswith(("4", "5")):
            content = responses[status]["content"]["application/json"]
            assert content["schema"] == {"$ref": "#/components/schemas/ErrorBody"}
            assert content["examples"], status
            for code, reference in content["examples"].items():
                example = document()["components"]["examples"][reference["$ref"].rpartition("/")[2]]["value"]
                assert (str(STATUS[code]), example["code"]) == (status, code)
                assert not unfit(example, content["schema"])
            assert all(f"`{code}`" in responses[status]["description"] for code in content["examples"])
    assert "Retry-After" in responses["429"]["headers"]
    assert "Retry-After" in responses["503"]["headers"]
    assert "WWW-Authenticate" in responses["401"]["headers"]


def test_names() -> None:
    """Generated clients get names that people would give."""
    ids = [operation.spec["operationId"] for operation in operations()]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)+", name) for name in ids)
    assert all(re.fullmatch(r"[A-Z][A-Za-z0-9]+", name) for name in document()["components"]["schemas"])
    used = {tag for operation in operations() for tag in operation.spec["tags"]}
    assert used | {"Operations"} == {each["name"] for each in TAGS}


def test_every_reference_leads_somewhere() -> None:
    for reference in references(document()):
        found: Any = document()
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for inner in part.values():
            yield from references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from references(inner)


def texts(part: object) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict):
        for inner in part.values():
            yield from texts(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from texts(inner)
