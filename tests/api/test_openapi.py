"""The API description: every operation has a title, a tag, its errors, and needs a key under /v1."""

from typing import Any

import httpx


def test_operations_are_described(base_url: str) -> None:
    document = httpx.get(f"{base_url}/openapi.json", timeout=60).json()
    tags = {tag["name"] for tag in document["tags"]}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert set(operation["tags"]) <= tags, where
            assert "HTTPValidationError" not in str(operation), where
            if path.startswith("/v1/"):
                assert operation["security"] == [{"bearer": []}, {"header": []}], where
                assert {"400", "401", "403", "429", "500", "503"} <= set(operation["responses"]), where


def test_request_models_have_examples_that_fit(base_url: str) -> None:
    document = httpx.get(f"{base_url}/openapi.json", timeout=60).json()
    schemas: dict[str, Any] = document["components"]["schemas"]
    bodies = {
        content["schema"]["$ref"].rpartition("/")[2]
        for operations in document["paths"].values()
        for operation in operations.values()
        for content in operation.get("requestBody", {}).get("content", {}).values()
        if "$ref" in content["schema"]
    }
    for name in bodies:
        schema = schemas[name]
        assert schema["additionalProperties"] is False, name
        for example in [schema["example"]] if "example" in schema else schema.get("examples", []):
            assert set(schema.get("required", [])) <= set(example) <= set(schema["properties"]), name


def test_executed_actions_are_described_whole(base_url: str) -> None:
    """events-rules.md 3.6."""
    described = httpx.get(f"{base_url}/openapi.json", timeout=60).json()["components"]["schemas"]["ExecutedAction"]["properties"]
    always = {"index", "type", "outcome", "reason", "target"}
    money = {"asset_id", "asset_symbol", "amount", "bucket", "reference_id", "journal_entry_id"}
    assert set(described) == always | money | {
        "key",
        "value",
        "new_value",
        "tag",
        "tier",
        "level",
        "event_name",
        "due_at",
        "automation_id",
    }


def test_forms_of_texts_are_described(base_url: str) -> None:
    described = httpx.get(f"{base_url}/openapi.json", timeout=60).json()["components"]["schemas"]
    assert described["AssetCreate"]["properties"]["symbol"]["pattern"] == "^[A-Za-z0-9][A-Za-z0-9_]*$"
    assert described["TierCreate"]["properties"]["key"]["pattern"] == "^[a-z][a-z0-9_]*$"
