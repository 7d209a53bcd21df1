"""The acceptance examples 1 to 10 of webhooks.md, over HTTP on the running product, with receivers on this machine."""

import base64
import json
import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from domain.webhook_message import sign
from tests.support.client import Tenant
from tests.support.club import Club
from tests.support.receiver import Receiver, Reply, is_signed_by, receive
from tests.support.stack import poll

HOSTILE = (
    "http://example.com",
    "https://localhost/x",
    "https://10.0.0.5/",
    "https://printer.local/",
    "https://[::ffff:127.0.0.1]/",
    "https://u:p@example.com/",
)


def register(tenant: Tenant, url: str, *enabled: str) -> dict[str, Any]:
    made: dict[str, Any] = tenant.post(
        "/v1/webhook-endpoints", {"url": url, "enabled_events": list(enabled) or ["balance.credited"]}, 201
    )
    return made


def member(club: Club, external_id: str) -> str:
    """A participant of the program, new or known."""
    answer = club.tenant.http.post("/v1/participants", json={"external_id": external_id, "program_id": club.program_id})
    return str(answer.json()["id"])


def credit(club: Club, external_id: str = "ann", amount: str = "10.00", **fields: Any) -> None:
    """Adjust CREDIT, which sends `balance.credited`."""
    participant = member(club, external_id)
    body = {"program_id": club.program_id, "asset_id": club.assets["CASH"], "type": "CREDIT", "amount": amount}
    club.tenant.post(f"/v1/participants/{participant}/balances/adjust", {**body, "description": "gift", **fields})


def deliveries(tenant: Tenant, endpoint: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    """Of an endpoint, the oldest first."""
    found: list[dict[str, Any]] = tenant.call("GET", f"/v1/webhook-endpoints/{endpoint['id']}/deliveries", 200, params=query)[
        "data"
    ]
    return found[::-1]


def whole(tenant: Tenant, delivery: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = tenant.get(f"/v1/webhook-deliveries/{delivery['id']}")
    return found


def with_status(
    tenant: Tenant, endpoint: dict[str, Any], status: str, count: int = 1, seconds: float = 20
) -> list[dict[str, Any]]:
    """The deliveries with a status, once there are so many."""
    return poll(lambda: len(found := deliveries(tenant, endpoint, status=status)) >= count and found, seconds) or []


def stats(tenant: Tenant, endpoint: dict[str, Any]) -> dict[str, Any]:
    rows = tenant.get("/v1/webhook-endpoints/delivery-stats")["data"]
    return next(row for row in rows if row["endpoint_id"] == endpoint["id"])


def ahead(moment: str) -> float:
    """How many seconds a moment lies ahead."""
    return (datetime.fromisoformat(moment) - datetime.now(UTC)).total_seconds()


def ids(receiver: Receiver) -> list[str]:
    return [each.headers["webhook-id"] for each in receiver.received]


@pytest.mark.example("webhooks.md", "1")
def test_01_the_secret_is_shown_once(tenant: Tenant) -> None:
    made = register(tenant, "http://127.0.0.1:1/hooks", "balance.credited")
    assert made["secret"].startswith("whsec_")
    assert len(base64.b64decode(made["secret"].removeprefix("whsec_"), validate=True)) == 32
    shown = {name: value for name, value in made.items() if name != "secret"}
    assert tenant.get(f"/v1/webhook-endpoints/{made['id']}") == shown
    assert tenant.get("/v1/webhook-endpoints")["data"] == [shown]


@pytest.mark.example("webhooks.md", "2")
def test_02_a_message_arrives(club: Club) -> None:
    with receive() as receiver:
        endpoint = register(club.tenant, receiver.url, "*")
        member(club, "ann")
        [welcome] = receiver.wait_for(1)
        credit(club)
        message = receiver.wait_for(2)[-1]
    assert json.loads(welcome.body)["type"] == "participant.created"
    body = json.loads(message.body)
    assert (body["type"], body["data"]["amount"], body["data"]["bucket"]) == ("balance.credited", "10.00", "AVAILABLE")
    assert body["data"]["action_type"] == "CREDIT"
    assert "participant_id" in body["data"]
    assert not {"group_id", "settle"} & body["data"].keys()
    assert is_signed_by(message, endpoint["secret"])
    assert message.headers["webhook-id"] == body["id"]
    [delivery] = [each for each in with_status(club.tenant, endpoint, "DELIVERED", 2) if each["event_type"] == body["type"]]
    assert (delivery["attempt_count"], delivery["webhook_event_id"]) == (1, body["id"])
    assert delivery["next_attempt_at"] is None


@pytest.mark.example("webhooks.md", "3")
@pytest.mark.parametrize("url", HOSTILE)
def test_03_hostile_urls(api: Tenant, url: str) -> None:
    refused = api.post("/v1/webhook-endpoints", {"url": url, "enabled_events": ["*"]}, 400)
    assert [(each["field"], each["reason"]) for each in refused["details"]["fields"]] == [("url", "invalid")]
    assert api.get("/v1/webhook-endpoints")["data"] == []


@pytest.mark.example("webhooks.md", "4")
@pytest.mark.parametrize(
    ("events", "field", "reason"), [([], "enabled_events", "too_short"), (["*", "balance.gone"], "enabled_events[1]", "invalid")]
)
def test_04_unknown_types(api: Tenant, events: list[str], field: str, reason: str) -> None:
    refused = api.post("/v1/webhook-endpoints", {"url": "https://192.0.1.1/", "enabled_events": events}, 400)
    assert (field, reason) in [(each["field"], each["reason"]) for each in refused["details"]["fields"]]


@pytest.mark.example("webhooks.md", "5")
def test_05_the_test_vector() -> None:
    body = b'{"id":"01890000-0000-7000-8000-0000000000aa","type":"program.funded"}'
    given = (UUID("01890000-0000-7000-8000-0000000000aa"), 1767225600, body)
    first, second = (
        sign(secret, *given)
        for secret in (
            "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            "whsec_Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=",
        )
    )
    assert first == "v1,oEpQZi3g6xKjW/KrtFwTepIraXBym0RfJAeWZPS44Vg="
    assert second == "v1,7dxNyyX28Y253NLUnXtbH4yf66E8+9J87NFCcIRoI0A="


@pytest.mark.example("webhooks.md", "6")
def test_06_a_failure_is_tried_again(club: Club) -> None:
    with receive(Reply(500)) as receiver:
        endpoint = register(club.tenant, receiver.url)
        credit(club)
        first, second = receiver.wait_for(2)
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert first.body == second.body
        assert 4.4 < second.at - first.at < 12
        [delivery] = with_status(club.tenant, endpoint, "DELIVERED")
    assert delivery["attempt_count"] == 2
    club.tenant.post(f"/v1/webhook-deliveries/{delivery['id']}/retry", status=404)


@pytest.mark.example("webhooks.md", "7")
def test_07_redirects_and_gone(club: Club) -> None:
    with receive() as good, receive(Reply(302, headers={"Location": good.url}), Reply(410)) as receiver:
        endpoint = register(club.tenant, receiver.url)
        credit(club)
        receiver.wait_for(1)
        [moved] = poll(lambda: [each for each in deliveries(club.tenant, endpoint) if each["attempt_count"] == 1])
        assert (moved["status"], moved["last_response_status"]) == ("PENDING", 302)
        credit(club)
        [gone] = with_status(club.tenant, endpoint, "FAILED")
        assert (gone["attempt_count"], gone["last_response_status"], gone["next_attempt_at"]) == (1, 410, None)
        assert good.received == []
    assert club.tenant.get(f"/v1/webhook-endpoints/{endpoint['id']}")["status"] == "DISABLED"
    assert stats(club.tenant, endpoint)["blocked_reason"] == "disabled"
    refused = club.tenant.post(f"/v1/webhook-deliveries/{gone['id']}/retry", status=409)
    assert refused["code"] == "invalid_state"


@pytest.mark.example("webhooks.md", "7")
def test_07_a_hanging_endpoint_delays_nobody(club: Club) -> None:
    with receive(script=lambda _: Reply(delay=16)) as slow, receive() as healthy:
        hanging = register(club.tenant, slow.url)
        good = register(club.tenant, healthy.url)
        credit(club)
        slow.wait_for(1)
        for number in range(3):
            credit(club, f"bob-{number}")
        healthy.wait_for(4, timeout=10)
        assert len(with_status(club.tenant, good, "DELIVERED", 4)) == 4
        assert {each["status"] for each in deliveries(club.tenant, hanging)} <= {"SENDING", "PENDING"}
        tried = poll(lambda: [each for each in deliveries(club.tenant, hanging) if each["attempt_count"]], 30)
        assert "timeout" in whole(club.tenant, tried[0])["last_error"]


@pytest.mark.example("webhooks.md", "8")
def test_08_a_pause(club: Club) -> None:
    with receive(Reply(429, headers={"Retry-After": "60"})) as receiver:
        endpoint = register(club.tenant, receiver.url)
        credit(club)
        row = poll(lambda: (row := stats(club.tenant, endpoint))["rate_limited_until"] and row)
        assert row
        assert 45 < ahead(row["rate_limited_until"]) <= 60
        assert (row["blocked_reason"], row["blocked_until"]) == ("rate_limited", row["rate_limited_until"])
        credit(club)
        time.sleep(2)
        first, second = deliveries(club.tenant, endpoint)
        assert (first["attempt_count"], second["attempt_count"]) == (1, 0)
        assert ahead(first["next_attempt_at"]) > 40
        assert len(receiver.received) == 1
        # a person who sets it ACTIVE ends the pause
        club.tenant.patch(f"/v1/webhook-endpoints/{endpoint['id']}", {"status": "ACTIVE"})
        receiver.wait_for(2)
        [delivered] = with_status(club.tenant, endpoint, "DELIVERED")
    assert delivered["id"] == second["id"]


@pytest.mark.example("webhooks.md", "9")
def test_09_the_circuit_opens(club: Club) -> None:
    with receive(script=lambda _: Reply(500)) as receiver, receive() as healthy:
        endpoint, other = register(club.tenant, receiver.url), register(club.tenant, healthy.url)
        for number in range(10):
            credit(club, f"p-{number}")
        row = poll(lambda: (row := stats(club.tenant, endpoint))["circuit_broken_until"] and row, 20)
        assert row
        assert 280 < ahead(row["circuit_broken_until"]) <= 300
        assert (row["blocked_reason"], row["degraded"], row["fail_24h"]) == ("circuit_broken", True, 10)
        credit(club, "late")
        with_status(club.tenant, other, "DELIVERED", 11)
        time.sleep(1)
        assert [each["attempt_count"] for each in deliveries(club.tenant, endpoint)] == [1] * 10 + [0]
        assert len(receiver.received) == 10
        # success with a test closes it
        receiver.script = None
        tried = club.tenant.post(f"/v1/webhook-endpoints/{endpoint['id']}/test", status=201)
        assert (tried["status"], tried["event_type"], tried["last_response_status"]) == ("DELIVERED", "webhook.test", 200)
        poll(lambda: len(set(ids(receiver))) == 12)
    assert stats(club.tenant, endpoint)["blocked_reason"] is None


@pytest.mark.example("webhooks.md", "10")
def test_10_rotation(club: Club) -> None:
    with receive() as receiver:
        endpoint = register(club.tenant, receiver.url)
        path = f"/v1/webhook-endpoints/{endpoint['id']}/rotate-secret"
        second = club.tenant.post(path)
        assert "previous_secret_expires_at" not in second
        credit(club)
        [message] = receiver.wait_for(1)
        assert not is_signed_by(message, endpoint["secret"])
        assert is_signed_by(message, second["secret"])
        third = club.tenant.post(path, params={"overlap": "24h"})
        assert 86000 < ahead(third["previous_secret_expires_at"]) <= 86400
        credit(club)
        message = receiver.wait_for(2)[-1]
    signatures = message.headers["webhook-signature"].split(" ")
    assert len(signatures) == 2
    for secret, signature in zip((third["secret"], second["secret"]), signatures, strict=True):
        alone = {**message.headers, "webhook-signature": signature}
        assert is_signed_by(type(message)(message.method, message.path, alone, message.body, message.at), secret)
    assert not is_signed_by(message, endpoint["secret"])
