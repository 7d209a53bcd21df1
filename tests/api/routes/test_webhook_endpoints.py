"""Webhook endpoints and deliveries over HTTP: forms, states, tenants. Nothing is sent here: no worker runs."""

from typing import Any
from uuid import uuid4

import pytest

from db.session import Database
from runtime.settings import Settings
from tests.support.client import Tenant
from tests.support.outpost import Outpost, ids

# an address of a public network that nobody is asked to resolve
URL = "https://1.1.1.1/hooks"
BODY = {"url": URL, "enabled_events": ["event.completed"]}


def made(api: Tenant, **changed: Any) -> dict[str, Any]:
    found: dict[str, Any] = api.post("/v1/webhook-endpoints", {**BODY, **changed}, 201)
    return found


def path(endpoint: dict[str, Any], rest: str = "") -> str:
    return f"/v1/webhook-endpoints/{endpoint['id']}{rest}"


def faults(answer: Any) -> list[tuple[str, str]]:
    return [(each["field"], each["reason"]) for each in answer["details"]["fields"]]


def waiting(api: Tenant, database: Database, endpoint: dict[str, Any], count: int = 1) -> list[dict[str, Any]]:
    """Deliveries that wait, the oldest first."""
    Outpost(database, api.organization_id, endpoint["id"], "").tell(ids(count))
    found: list[dict[str, Any]] = api.get(path(endpoint, "/deliveries"))["data"]
    return found[::-1]


def test_created_whole(api: Tenant) -> None:
    endpoint = made(
        api, enabled_events=["*", "event.failed", "*"], description="ours", metadata=["any", {"json": 1.50}, None, "text"]
    )
    assert endpoint["enabled_events"] == ["*", "event.failed"]
    assert (endpoint["description"], endpoint["status"]) == ("ours", "ACTIVE")
    assert endpoint["metadata"] == ["any", {"json": 1.5}, None, "text"]
    assert made(api)["metadata"] is None


@pytest.mark.parametrize(
    ("changed", "field", "reason"),
    [
        ({"url": None}, "url", "required"),
        ({"url": "https://1.1.1.1/" + "x" * 2048}, "url", "too_long"),
        ({"url": "https://1.1.1.1/#part"}, "url", "invalid"),
        ({"url": "https://no-such-host.invalid/"}, "url", "invalid"),
        ({"url": 7}, "url", "invalid"),
        ({"enabled_events": None}, "enabled_events", "required"),
        ({"enabled_events": "*"}, "enabled_events", "invalid"),
        ({"enabled_events": [7]}, "enabled_events[0]", "invalid"),
        ({"enabled_events": ["webhook.test"]}, "enabled_events[0]", "invalid"),
        ({"description": "x" * 501}, "description", "too_long"),
        ({"metadata": "x" * (16 * 1024 - 1)}, "metadata", "too_long"),
        ({"secret": "whsec_mine"}, "secret", "unknown_field"),
        ({"status": "DISABLED"}, "status", "unknown_field"),
    ],
)
def test_bad_forms(api: Tenant, changed: dict[str, Any], field: str, reason: str) -> None:
    assert faults(api.post("/v1/webhook-endpoints", {**BODY, **changed}, 400))[0] == (field, reason)
    assert api.get("/v1/webhook-endpoints")["data"] == []


def test_metadata_of_exactly_16_kib(api: Tenant) -> None:
    text = "x" * (16 * 1024 - 2)
    assert made(api, metadata=text)["metadata"] == text


def test_changed_field_by_field(api: Tenant) -> None:
    endpoint = made(api, description="old", metadata={"a": 1})
    changed = api.patch(path(endpoint), {"description": None, "metadata": None, "enabled_events": ["*", "*"]})
    assert (changed["description"], changed["metadata"], changed["enabled_events"]) == (None, None, ["*"])
    assert (changed["url"], changed["created_at"]) == (endpoint["url"], endpoint["created_at"])
    assert changed["updated_at"] > endpoint["updated_at"]
    assert api.patch(path(endpoint), {}) == changed
    assert api.patch(path(endpoint), {"status": "DISABLED"})["status"] == "DISABLED"
    assert "secret" not in changed


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"url": None}, "url", "invalid"),
        ({"url": "http://1.1.1.1/"}, "url", "invalid"),
        ({"enabled_events": []}, "enabled_events", "too_short"),
        ({"enabled_events": ["nope"]}, "enabled_events[0]", "invalid"),
        ({"status": "ARCHIVED"}, "status", "invalid"),
        ({"secret": "x"}, "secret", "unknown_field"),
    ],
)
def test_bad_changes(api: Tenant, change: dict[str, Any], field: str, reason: str) -> None:
    endpoint = made(api)
    found = faults(api.patch(path(endpoint), change, 400))
    assert found[0][0] == field
    assert found[0][1] in (reason, "required")
    assert api.get(path(endpoint))["updated_at"] == endpoint["updated_at"]


def test_lists(api: Tenant) -> None:
    first, second, third = (made(api, description=name) for name in ("first", "second", "third"))
    api.patch(path(second), {"status": "DISABLED"})
    api.call("DELETE", path(third), 204)
    assert [each["id"] for each in api.get("/v1/webhook-endpoints")["data"]] == [second["id"], first["id"]]
    assert [each["id"] for each in api.call("GET", "/v1/webhook-endpoints", 200, params={"status": "DISABLED"})["data"]] == [
        second["id"]
    ]
    api.call("GET", "/v1/webhook-endpoints", 400, params={"status": "ARCHIVED"})
    api.call("GET", "/v1/webhook-endpoints", 400, params={"limit": "101"})
    page = api.get("/v1/webhook-endpoints", limit=1)
    rest = api.get("/v1/webhook-endpoints", limit=1, cursor=page["pagination"]["next_cursor"])
    assert [page["data"][0]["id"], rest["data"][0]["id"]] == [second["id"], first["id"]]
    rows = api.get("/v1/webhook-endpoints/delivery-stats")["data"]
    assert [(row["endpoint_id"], row["blocked_reason"]) for row in rows] == [(second["id"], "disabled"), (first["id"], None)]
    assert (rows[1]["success_rate"], rows[1]["success_24h"], rows[1]["degraded"]) == (None, 0, False)


def test_archived_is_final(api: Tenant, database: Database) -> None:
    endpoint = made(api)
    [delivery] = waiting(api, database, endpoint)
    row = api.get("/v1/webhook-endpoints/delivery-stats")["data"][0]
    assert (row["pending_count"], row["oldest_pending_at"]) == (1, delivery["created_at"])
    for _ in range(2):
        api.call("DELETE", path(endpoint), 204)
    assert api.get(path(endpoint))["status"] == "ARCHIVED"
    for method, rest in (("PATCH", ""), ("POST", "/rotate-secret"), ("POST", "/test")):
        body = {"json": {"status": "ACTIVE"}} if method == "PATCH" else {}
        refused = api.call(method, path(endpoint, rest), 409, **body)
        assert (refused["code"], refused["details"]) == ("invalid_state", {"status": "ARCHIVED"})
    given_up = api.get(f"/v1/webhook-deliveries/{delivery['id']}")
    assert (given_up["status"], given_up["last_error"], given_up["attempt_count"]) == ("FAILED", "endpoint archived", 0)
    assert api.post(f"/v1/webhook-deliveries/{delivery['id']}/retry", status=409)["code"] == "invalid_state"


def test_retry_of_what_isnt_failed_is_not_found(api: Tenant, database: Database) -> None:
    endpoint = made(api)
    [delivery] = waiting(api, database, endpoint)
    assert delivery["status"] == "PENDING"
    assert api.post(f"/v1/webhook-deliveries/{delivery['id']}/retry", status=404)["code"] == "not_found"
    with database.connection() as conn:
        conn.execute(
            "UPDATE webhook_deliveries SET status = 'FAILED', attempt_count = 8, next_attempt_at = NULL WHERE id = %s",
            [delivery["id"]],
        )
    again = api.post(f"/v1/webhook-deliveries/{delivery['id']}/retry")
    assert (again["status"], again["attempt_count"], again["max_attempts"]) == ("PENDING", 0, 8)
    assert again["next_attempt_at"] is not None


def test_deliveries_are_listed_without_answers(api: Tenant, database: Database) -> None:
    endpoint = made(api)
    found = waiting(api, database, endpoint, 3)
    assert len(found) == 3
    assert not {"last_error", "last_response_body"} & found[0].keys()
    whole = api.get(f"/v1/webhook-deliveries/{found[0]['id']}")
    assert whole == {**found[0], "last_error": None, "last_response_body": None}
    assert api.call("GET", path(endpoint, "/deliveries"), 200, params={"status": "FAILED"})["data"] == []
    api.call("GET", path(endpoint, "/deliveries"), 400, params={"status": "GONE"})


@pytest.mark.parametrize("overlap", ["169h", "-1h", "soon", ""])
def test_bad_overlaps(api: Tenant, overlap: str) -> None:
    endpoint = made(api)
    assert faults(api.post(path(endpoint, "/rotate-secret"), status=400, params={"overlap": overlap}))[0][0] == "overlap"


def test_others_see_nothing(api: Tenant, stranger: Tenant, database: Database) -> None:
    endpoint = made(api)
    [delivery] = waiting(api, database, endpoint)
    assert stranger.get("/v1/webhook-endpoints")["data"] == []
    assert stranger.get("/v1/webhook-endpoints/delivery-stats")["data"] == []
    one, two = path(endpoint), f"/v1/webhook-deliveries/{delivery['id']}"
    asked = [("GET", one), ("DELETE", one), ("POST", f"{one}/rotate-secret"), ("POST", f"{one}/test")]
    for method, where in [*asked, ("GET", f"{one}/deliveries"), ("GET", two), ("POST", f"{two}/retry")]:
        assert stranger.call(method, where, 404)["code"] == "not_found"
    stranger.patch(one, {"status": "DISABLED"}, 404)
    assert api.get(one)["status"] == "ACTIVE"
    for method, where in [("GET", f"/v1/webhook-endpoints/{uuid4()}"), ("POST", f"/v1/webhook-deliveries/{uuid4()}/retry")]:
        api.call(method, where, 404)


def test_secrets_are_sealed_in_the_database(api: Tenant, database: Database, settings: Settings) -> None:
    endpoint = made(api)
    rotated = api.post(path(endpoint, "/rotate-secret"), params={"overlap": "1h"})
    with database.connection() as conn:
        [row] = conn.execute("SELECT e::text, secret, previous_secret FROM webhook_endpoints e WHERE id = %s", [endpoint["id"]])
    for secret in (endpoint["secret"], rotated["secret"]):
        assert secret not in row[0]
        assert secret.encode() not in bytes(row[1]) + bytes(row[2])
