"""The acceptance examples of events-rules.md 7.1, over HTTP on the running product."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid5

import pytest

from tests.support.books import assert_books
from tests.support.client import Tenant, new_tenant
from tests.support.club import Club, make_club
from tests.support.stack import Stack

SPEND = 'event.type == "spend"'
PURCHASE_OF_75 = {"type": "purchase", "amount": 75}


@pytest.fixture
def outsider(stack: Stack) -> Iterator[Tenant]:
    """Another organization."""
    other = new_tenant(stack.database, stack.base_url, "Outsider")
    yield other
    other.http.close()


def spending(club: Club) -> None:
    """The rules of examples 10 and 14: a spend costs points, a grant gives some."""
    club.ten_per_unit()
    club.rule(SPEND, club.debit("event.points"), order=20)
    club.rule('event.type == "grant"', club.credit("event.points"), order=30)


def fields(answer: dict[str, Any]) -> set[tuple[str, str]]:
    return {(fault["field"], fault["reason"]) for fault in answer["details"]["fields"]}


@pytest.mark.example("events-rules.md", "7.1.1")
def test_a_purchase_earns(club: Club) -> None:
    club.ten_per_unit()
    accepted = club.send(PURCHASE_OF_75)
    assert accepted["status"] == "RECEIVED"
    UUID(accepted["participant_id"])
    event = club.processed(accepted["id"])
    assert event["status"] == "COMPLETED"
    assert club.balance("ann") == "750"
    assert club.entries(event["id"]) == [
        ("CREDIT", [("SYSTEM_ISSUANCE", "AVAILABLE", "-750"), ("PARTICIPANT", "AVAILABLE", "750")])
    ]
    assert_books(club.database, club.tenant.organization_id)


@pytest.mark.example("events-rules.md", "7.1.2")
def test_the_same_body_again_changes_nothing(club: Club) -> None:
    club.ten_per_unit()
    body = club.body(PURCHASE_OF_75)
    first = club.processed(club.tenant.post("/v1/events", body, 202)["id"])
    response = club.tenant.http.post("/v1/events", json=body)
    assert response.status_code == 202
    assert response.headers["Idempotency-Replayed"] == "true"
    assert (response.json()["id"], response.json()["status"]) == (first["id"], "COMPLETED")
    assert club.balance("ann") == "750"
    assert len(club.tenant.get("/v1/events", program_id=club.program_id)["data"]) == 1


@pytest.mark.example("events-rules.md", "7.1.3")
def test_the_same_key_with_another_amount_is_the_first_event(club: Club) -> None:
    club.ten_per_unit()
    body = club.body(PURCHASE_OF_75)
    first = club.processed(club.tenant.post("/v1/events", body, 202)["id"])
    again = club.tenant.post("/v1/events", body | {"event_data": {"type": "purchase", "amount": 9999}}, 202)
    assert again["id"] == first["id"]
    assert club.event(first["id"])["event_data"]["amount"] == 75
    assert club.balance("ann") == "750"


@pytest.mark.example("events-rules.md", "7.1.4")
def test_the_id_follows_from_program_and_key(club: Club) -> None:
    chosen = "7d9f1c3a-52b4-4e0f-9c1d-0a6b8e2f4c11"
    with club.database.connection() as conn:
        conn.execute(
            """
            INSERT INTO programs (id, organization_id, name, created_at, updated_at)
            VALUES (%s, %s, 'Chosen', openscrip_now(), openscrip_now())
            """,
            [chosen, club.tenant.organization_id],
        )
    accepted = club.send({}, program_id=chosen, idempotency_key="order-1001-completed")
    assert accepted["id"] == "996c8f1e-458b-58e7-a615-f66bb9a50623"
    key = "clé-1001"
    assert club.send({}, idempotency_key=key)["id"] == str(uuid5(UUID(club.program_id), key))


@pytest.mark.example("events-rules.md", "7.1.5")
def test_key_missing_and_both_participant_fields(club: Club) -> None:
    body = club.body(PURCHASE_OF_75, participant_id=club.program_id)
    del body["idempotency_key"]
    answer = club.tenant.post("/v1/events", body, 400)
    assert answer["code"] == "bad_request"
    assert {("idempotency_key", "required"), ("participant_id", "not_allowed")} <= fields(answer)


@pytest.mark.example("events-rules.md", "7.1.6")
def test_programs_that_take_no_event(club: Club, outsider: Tenant) -> None:
    known = club.body(PURCHASE_OF_75)
    first = club.tenant.post("/v1/events", known, 202)
    assert outsider.post("/v1/events", known, 404)["code"] == "not_found"
    club.tenant.patch(f"/v1/programs/{club.program_id}", {"status": "SUSPENDED"})
    answer = club.tenant.post("/v1/events", club.body(PURCHASE_OF_75), 409)
    assert (answer["code"], answer["details"]["status"]) == ("program_inactive", "SUSPENDED")
    assert club.tenant.post("/v1/events", known, 202)["id"] == first["id"]
    assert club.processed(first["id"])["status"] == "COMPLETED"


@pytest.mark.example("events-rules.md", "7.1.7")
def test_unknown_participants_of_a_strict_program(tenant: Tenant, stack: Stack) -> None:
    club = make_club(tenant, stack.database, on_unknown_participant="REJECT")
    answer = tenant.post("/v1/events", club.body(PURCHASE_OF_75, "zed"), 404)
    assert (answer["code"], answer["details"]["field"]) == ("not_found", "external_id")
    assert tenant.get("/v1/events", program_id=club.program_id)["data"] == []


@pytest.mark.example("events-rules.md", "7.1.8")
def test_malformed_events(club: Club) -> None:
    post = club.tenant.post
    assert post("/v1/events", club.body({"text": "x" * 70_000}), 400)["details"]["field"] == "event_data"
    reserved = post("/v1/events", club.body({}, idempotency_key="sys:1"), 400)
    assert fields(reserved) == {("idempotency_key", "invalid")}
    assert fields(post("/v1/events", club.body({}, extId="ann"), 400)) == {("extId", "unknown_field")}


@pytest.mark.example("events-rules.md", "7.1.9")
def test_a_batch_of_three(club: Club) -> None:
    sound = club.body(PURCHASE_OF_75)
    answer = club.tenant.post("/v1/events/batch", {"events": [sound, sound | {"program_id": "abc"}, sound]}, 202)
    assert (answer["total"], answer["success_count"], answer["error_count"]) == (3, 2, 1)
    assert [result["status"] for result in answer["results"]] == ["accepted", "error", "accepted"]
    assert answer["results"][1]["code"] == "bad_request"
    assert answer["results"][0]["event"]["id"] == answer["results"][2]["event"]["id"]


@pytest.mark.example("events-rules.md", "7.1.10")
def test_a_retry_after_more_points_came(club: Club) -> None:
    spending(club)
    club.completed({"type": "grant", "points": 40})
    event = club.failed({"type": "spend", "points": 50}, "insufficient_balance")
    assert event["error_message"] == "insufficient_balance: action DEBIT failed: available 40, requested 50 PTS"
    assert club.balance("ann") == "40"
    club.completed({"type": "grant", "points": 20})
    retry = f"/v1/events/{event['id']}/retry"
    assert club.tenant.post(retry, status=202) == {
        "event_id": event["id"],
        "message": "Event queued for retry",
        "previous_status": "FAILED",
        "previous_error": event["error_message"],
        "status": "PENDING",
    }
    assert club.processed(event["id"])["status"] == "COMPLETED"
    assert club.balance("ann") == "10"
    second = club.tenant.post(retry, status=409)
    assert (second["code"], second["details"]) == ("invalid_state", {"status": "COMPLETED"})


@pytest.mark.example("events-rules.md", "7.1.11")
def test_what_is_not_there(club: Club) -> None:
    query = {"program_id": club.program_id, "idempotency_key": "nobody-sent-it"}
    assert club.tenant.get("/v1/events/by-key", 404, **query)["code"] == "not_found"
    assert club.tenant.get("/v1/events", 400, limit=201)["code"] == "bad_request"


@pytest.mark.example("events-rules.md", "7.1.12")
def test_order_of_one_participant(club: Club) -> None:
    for colour in ("red", "blue"):
        club.rule(f'event.colour == "{colour}"', {"type": "SET_ATTRIBUTE", "key": "color", "value": colour})
    names = [f"ann-{number}" for number in range(10)]
    for name in names:
        club.send({"colour": "red"}, name)
        last = club.send({"colour": "blue"}, name)
    club.processed(last["id"])
    for name in names:
        query = {"external_id": name, "sort_dir": "asc"}
        for event in club.tenant.get("/v1/events", **query)["data"]:
            club.processed(event["id"])
        assert club.participant(name)["attributes"] == {"color": "blue"}


@pytest.mark.example("events-rules.md", "7.1.13")
def test_the_key_in_the_header(club: Club) -> None:
    body = club.body(PURCHASE_OF_75)
    del body["idempotency_key"]
    header = {"Idempotency-Key": "order-7"}
    first = club.tenant.post("/v1/events", body, 202, headers=header)
    assert first["idempotency_key"] == "order-7"
    again = club.tenant.http.post("/v1/events", json=body | {"idempotency_key": "order-7"})
    assert (again.status_code, again.json()["id"]) == (202, first["id"])
    assert again.headers["Idempotency-Replayed"] == "true"
    club.tenant.post("/v1/events", body | {"idempotency_key": "order-8"}, 400, headers=header)


@pytest.mark.example("events-rules.md", "7.1.14")
def test_a_bulk_retry(club: Club) -> None:
    spending(club)
    lost = {"type": "PARTICIPANT", "external_id": "event.friend"}
    club.rule('event.type == "give"', club.credit("1", target=lost), order=40)
    waiting = [("ann", 10), ("ann", 20), ("bob", 5)]
    failed = [club.failed({"type": "spend", "points": n}, "insufficient_balance", who) for who, n in waiting]
    club.failed({"type": "give", "friend": "nobody"}, "target_not_found")
    club.completed({"type": "grant", "points": 30})
    club.completed({"type": "grant", "points": 5}, "bob")
    wanted = {"program_id": club.program_id, "error_code": "insufficient_balance"}
    assert club.tenant.post("/v1/events/retry", wanted, 202) == {"queued": 3}
    assert [club.processed(event["id"])["status"] for event in failed] == ["COMPLETED"] * 3
    assert (club.balance("ann"), club.balance("bob")) == ("0", "0")
    assert club.tenant.post("/v1/events/retry", wanted, 202) == {"queued": 0}
    assert club.tenant.post("/v1/events/retry", {"program_id": club.program_id}, 202) == {"queued": 1}
    assert_books(club.database, club.tenant.organization_id)


@pytest.mark.example("events-rules.md", "7.1.15")
def test_malformed_bulk_retries(club: Club, outsider: Tenant) -> None:
    sound = {"program_id": club.program_id}
    for wrong in (
        sound | {"error_code": "nope"},
        {"error_code": "internal_error"},
        sound | {"from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
    ):
        assert club.tenant.post("/v1/events/retry", wrong, 400)["code"] == "bad_request"
    unknown = {"program_id": "01890000-0000-7000-8000-000000000001"}
    assert club.tenant.post("/v1/events/retry", unknown, 404)["code"] == "not_found"
    assert outsider.post("/v1/events/retry", sound, 404)["code"] == "not_found"


@pytest.mark.example("events-rules.md", "7.1.18")
def test_times_and_sorts_out_of_range(club: Club) -> None:
    early = club.body({}, event_timestamp="0001-01-01T00:00:00+14:00")
    assert fields(club.tenant.post("/v1/events", early, 400)) == {("event_timestamp", "out_of_range")}
    refused = club.tenant.get("/v1/events", 400, sort_by="status")
    assert {reason for _, reason in fields(refused)} == {"required"}
    club.tenant.get("/v1/events", sort_by="status", program_id=club.program_id)
