"""What the API description says of messages: each type has its schema and an example that fits."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from api.app import create_app
from api.openapi import describe
from api.schemas.webhook_examples import EXAMPLES
from api.schemas.webhook_messages import MESSAGES, posted
from domain.outbox import MessageType
from runtime.settings import Settings


@pytest.fixture(scope="module")
def document(settings: Settings) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(describe(create_app(settings))))
    return found


def test_every_type_is_described(document: dict[str, Any]) -> None:
    assert list(document["webhooks"]) == [type_.value for type_ in MessageType] == [type_.value for type_ in MESSAGES]
    assert not {path for path in document["paths"] if path.lstrip("/") in document["webhooks"]}


@pytest.mark.parametrize("type_", MessageType)
def test_its_example_is_what_its_schema_says(document: dict[str, Any], type_: MessageType) -> None:
    operation = document["webhooks"][type_.value]["post"]
    assert operation["summary"] == type_.value
    assert operation["description"]
    assert set(operation["responses"]) == {"200"}
    content = operation["requestBody"]["content"]["application/json"]
    assert content["example"] == EXAMPLES[type_]
    schema = {**content["schema"], "components": document["components"]}
    assert [error.message for error in Draft202012Validator(schema).iter_errors(content["example"])] == []


@pytest.mark.parametrize("type_", MessageType)
def test_the_schema_refuses_what_is_not_of_the_type(type_: MessageType) -> None:
    check = Draft202012Validator(posted(type_).model_json_schema(), format_checker=FormatChecker())
    example = dict(EXAMPLES[type_])
    data = dict(example["data"])
    assert check.is_valid(example)
    assert not check.is_valid(example | {"type": "balance.gone"})
    assert not check.is_valid(example | {"data": data | {"extra": 1}})
    optional = {"reference_id", "settle", "lots", "expires_at", "matures_at", "redemption_id", "reversal_id"}
    for name in data.keys() - optional:
        left = {key: value for key, value in data.items() if key != name}
        assert not check.is_valid(example | {"data": left}), name


def test_a_message_is_about_a_participant_or_a_group() -> None:
    check = Draft202012Validator(posted(MessageType.BALANCE_DEBITED).model_json_schema())
    example = dict(EXAMPLES[MessageType.BALANCE_DEBITED])
    both = dict(example["data"]) | {"participant_id": example["id"], "external_id": "ann"}
    assert not check.is_valid(example | {"data": both})
    del both["group_id"]
    assert check.is_valid(example | {"data": both})
