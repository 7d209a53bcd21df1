"""Events over HTTP beyond the acceptance examples: one class per endpoint."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from db.session import Database
from tests.support.client import Tenant
from tests.support.club import Club, make_club


@pytest.fixture
def stored(api: Tenant, database: Database) -> Club:
    """Program P of an API without workers: events are accepted and wait."""
    return make_club(api, database)


def faults(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(fault["field"], fault["reason"]) for fault in answer["details"]["fields"]]


def pages(tenant: Tenant, **query: Any) -> Iterator[list[dict[str, Any]]]:
    """All pages of the event list."""
    cursor: dict[str, str] = {}
    while True:
        page = tenant.get("/v1/events", **query, **cursor)
        yield page["data"]
        if not page["pagination"]["has_more"]:
            return
        cursor = {"cursor": page["pagination"]["next_cursor"]}


class TestIngest:
    def test_anonymous(self, stored: Club, base_url: str) -> None:
        response = httpx.post(f"{base_url}/v1/events", json=stored.body({}), trust_env=False)
        assert (response.status_code, response.json()["code"]) == (401, "unauthorized")

    def test_the_answer(self, stored: Club) -> None:
        body = stored.body({"type": "visit"}, event_timestamp="2026-01-15T12:30:00.1234567+02:00")
        answer = stored.tenant.post("/v1/events", body, 202)
        assert answer == {
            "id": answer["id"],
            "program_id": stored.program_id,
            "participant_id": str(stored.participant_id("ann")),
            "external_id": "ann",
            "idempotency_key": body["idempotency_key"],
            "event_timestamp": "2026-01-15T10:30:00.123456Z",
            "status": "RECEIVED",
        }

    def test_one_key_from_twenty_clients_is_one_event(self, stored: Club) -> None:
        body = stored.body({"n": 1})
        start = threading.Barrier(20)

        def post(number: int) -> httpx.Response:
            start.wait(20)
            return stored.tenant.http.post("/v1/events", json=body | {"event_data": {"n": number}})

        with ThreadPoolExecutor(20) as pool:
            responses = list(pool.map(post, range(20)))
        assert {response.status_code for response in responses} == {202}
        assert len({response.json()["id"] for response in responses}) == 1
        assert ["Idempotency-Replayed" in response.headers for response in responses].count(False) == 1
        assert len(stored.tenant.get("/v1/events", program_id=stored.program_id)["data"]) == 1

    def test_by_participant_id_and_recipient_id(self, stored: Club) -> None:
        ann, bob = stored.send({})["participant_id"], stored.send({}, "bob")["participant_id"]
        answer = stored.send({}, None, participant_id=ann, recipient_id=bob)
        assert (answer["participant_id"], answer["external_id"]) == (ann, "ann")
        assert stored.event(answer["id"])["recipient_id"] == bob

    @pytest.mark.parametrize("field", ["participant_id", "recipient_id"])
    def test_another_tenants_participant_is_unknown(self, stored: Club, stranger: Tenant, database: Database, field: str) -> None:
        theirs = make_club(stranger, database).send({})["participant_id"]
        external_id = None if field == "participant_id" else "ann"
        answer = stored.tenant.post("/v1/events", stored.body({}, external_id, **{field: theirs}), 404)
        assert (answer["code"], answer["details"]["field"]) == ("not_found", field)

    @pytest.mark.parametrize(
        ("fields", "fault"),
        [
            ({"external_id": None}, ("external_id", "required")),
            ({"external_id": ""}, ("external_id", "required")),
            ({"external_id": "x" * 256}, ("external_id", "too_long")),
            ({"idempotency_key": "k" * 256}, ("idempotency_key", "too_long")),
            ({"event_timestamp": "2026-01-15T10:30:00"}, ("event_timestamp", "invalid")),
            ({"event_data": [1]}, ("event_data", "invalid")),
            ({"event_data": "text"}, ("event_data", "invalid")),
            ({"program_id": "abc"}, ("program_id", "invalid")),
            (
                {"recipient_id": str(UUID(int=1)), "recipient_external_id": "bob"},
                ("recipient_external_id", "not_allowed"),
            ),
        ],
    )
    def test_faults(self, stored: Club, fields: dict[str, Any], fault: tuple[str, str]) -> None:
        body = stored.body({}) | fields
        answer = stored.tenant.post("/v1/events", {k: v for k, v in body.items() if v is not None}, 400)
        assert fault in faults(answer)

    def test_depth_digits_and_characters_of_the_payload(self, stored: Club) -> None:
        deep: Any = 1
        for _ in range(32):
            deep = {"d": deep}
        stored.send(deep)
        post = stored.tenant.post
        for payload in ({"d": deep}, {"n": int("9" * 101)}, {"text": "a\x00b"}, {"text\x00": 1}):
            assert post("/v1/events", stored.body(payload), 400)["code"] == "bad_request"
        lone = '{"program_id": "%s", "idempotency_key": "s", "external_id": "ann", "event_timestamp": "2026-01-15T10:30:00Z", "event_data": {"t": "\\ud800"}}'
        headers = {"Content-Type": "application/json"}
        assert stored.tenant.http.post("/v1/events", content=lone % stored.program_id, headers=headers).status_code == 400

    def test_the_last_of_a_repeated_name_counts(self, stored: Club) -> None:
        body = stored.body({})
        raw = (
            f'{{"program_id": "{body["program_id"]}", "external_id": "ann", "idempotency_key": "r", '
            f'"event_timestamp": "{body["event_timestamp"]}", "event_data": {{"n": 1, "n": 2}}}}'
        )
        sent = stored.tenant.http.post("/v1/events", content=raw, headers={"Content-Type": "application/json"})
        assert stored.event(sent.json()["id"])["event_data"] == {"n": 2}


class TestBatch:
    def test_items_keep_their_order(self, stored: Club) -> None:
        items = [stored.body({"n": n}, f"p-{n % 3}") for n in range(100)]
        answer = stored.tenant.post("/v1/events/batch", {"events": items}, 202)
        assert (answer["total"], answer["success_count"], answer["error_count"]) == (100, 100, 0)
        ids = [result["event"]["id"] for result in answer["results"]]
        listed = [event for page in pages(stored.tenant, sort_dir="asc", limit=30) for event in page]
        assert [event["id"] for event in listed] == ids
        assert [event["event_data"]["n"] for event in listed] == list(range(100))
        times = [event["received_at"] for event in listed]
        assert times == sorted(set(times))

    @pytest.mark.parametrize(
        ("body", "fault"),
        [
            ({}, ("events", "required")),
            ({"events": []}, ("events", "required")),
            ({"events": {}}, ("events", "invalid")),
            ({"events": [{}] * 101}, ("events", "too_long")),
            ({"events": [{}], "extra": 1}, ("extra", "unknown_field")),
        ],
    )
    def test_a_bad_envelope_is_refused(self, stored: Club, body: dict[str, Any], fault: tuple[str, str]) -> None:
        assert fault in faults(stored.tenant.post("/v1/events/batch", body, 400))

    def test_every_item_may_be_an_error(self, stored: Club) -> None:
        wrong = [1, stored.body({}, program_id=str(uuid4())), stored.body({}, extra=1), stored.body({}, None)]
        answer = stored.tenant.post("/v1/events/batch", {"events": wrong}, 202)
        assert (answer["total"], answer["success_count"], answer["error_count"]) == (4, 0, 4)
        assert [result["code"] for result in answer["results"]] == [
            "bad_request",
            "not_found",
            "bad_request",
            "bad_request",
        ]
        assert [result["index"] for result in answer["results"]] == [0, 1, 2, 3]
        for result, item in zip(answer["results"][1:], wrong[1:], strict=True):
            alone = stored.tenant.http.post("/v1/events", json=item).json()
            assert (result["code"], result["error"], result["details"]) == (
                alone["code"],
                alone["message"],
                alone["details"],
            )
        assert stored.tenant.get("/v1/events")["data"] == []


class TestList:
    @pytest.fixture
    def mixed(self, club: Club) -> Club:
        """Four processed events: ann 1 and 2, bob 1 for ann, bob 2 that failed."""
        club.rule("event.n == 1", club.credit("1"), order=10, name="ones")
        club.rule("event.n == 2 && event.who == 'bob'", club.debit("1"), order=20)
        for who in ("ann", "bob"):
            for n in (1, 2):
                extra = {"recipient_external_id": "ann"} if (who, n) == ("bob", 1) else {}
                club.run({"n": n, "who": who}, who, event_timestamp=f"2026-01-0{n}T00:00:00Z", **extra)
        return club

    def found(self, club: Club, **query: Any) -> list[tuple[str, int]]:
        """Who and n of the events of a list, oldest first."""
        rows = club.tenant.call("GET", "/v1/events", 200, params={"sort_dir": "asc", **query})["data"]
        return [(row["event_data"]["who"], row["event_data"]["n"]) for row in rows]

    def test_filters(self, mixed: Club) -> None:
        ann, bob = [("ann", 1), ("ann", 2)], [("bob", 1), ("bob", 2)]
        rules = mixed.tenant.get("/v1/rules", program_id=mixed.program_id)["data"]
        assert self.found(mixed) == ann + bob
        assert self.found(mixed, external_id="ann") == ann
        assert self.found(mixed, participant_id=str(mixed.participant_id("ann"))) == ann
        assert self.found(mixed, status="FAILED") == [("bob", 2)]
        assert self.found(mixed, status="COMPLETED", external_id="bob") == [("bob", 1)]
        assert self.found(mixed, status="PENDING") == self.found(mixed, status="PROCESSING") == []
        assert self.found(mixed, event_type="SYSTEM") == []
        assert self.found(mixed, rule_id=rules[0]["id"]) == [("ann", 1), ("bob", 1)]
        assert self.found(mixed, rule_id=rules[1]["id"]) == [("bob", 2)]
        assert self.found(mixed, event_from="2026-01-02T00:00:00Z") == [("ann", 2), ("bob", 2)]
        assert self.found(mixed, event_to="2026-01-01T00:00:00Z") == [("ann", 1), ("bob", 1)]
        for unknown in ("program_id", "participant_id", "rule_id"):
            assert self.found(mixed, **{unknown: str(uuid4())}) == []
        first = mixed.tenant.get("/v1/events", sort_dir="asc", limit=1)["data"][0]
        assert self.found(mixed, to=first["created_at"]) == [("ann", 1)]
        assert "rule_evaluations" not in first

    def test_sorting_by_time_of_event_and_status(self, mixed: Club) -> None:
        by_time = [("ann", 1), ("bob", 1), ("ann", 2), ("bob", 2)]
        assert self.found(mixed, sort_by="event_timestamp") == by_time
        by_status = self.found(mixed, sort_by="status", program_id=mixed.program_id)
        assert by_status == [("ann", 1), ("ann", 2), ("bob", 1), ("bob", 2)]

    def test_events_that_involve_a_participant(self, mixed: Club) -> None:
        path = f"/v1/participants/{mixed.participant_id('ann')}/activity/events"
        rows = mixed.tenant.get(path)["data"]
        found = [(row["event_data"]["who"], row["event_data"]["n"]) for row in rows]
        assert found == [("bob", 1), ("ann", 2), ("ann", 1)]

    def test_pages_meet_without_gap_or_repeat_while_events_come_in(self, stored: Club) -> None:
        for n in range(12):
            stored.send({"n": n})
        seen: list[int] = []
        for page in pages(stored.tenant, limit=5):
            seen += [event["event_data"]["n"] for event in page]
            stored.send({"n": 100 + len(seen)})
        assert seen == list(reversed(range(12)))

    def test_other_tenants_see_nothing(self, stored: Club, stranger: Tenant) -> None:
        event = stored.send({})
        assert stranger.get("/v1/events")["data"] == []
        assert stranger.get("/v1/events", program_id=stored.program_id)["data"] == []
        stranger.get(f"/v1/events/{event['id']}", 404)
        key = {"program_id": stored.program_id, "idempotency_key": event["idempotency_key"]}
        stranger.get("/v1/events/by-key", 404, **key)
        stranger.post(f"/v1/events/{event['id']}/retry", status=404)


class TestGet:
    def test_a_waiting_event(self, stored: Club) -> None:
        sent = stored.send({"n": 1})
        event = stored.tenant.get(f"/v1/events/{sent['id']}")
        assert event == {
            **sent,
            "recipient_id": None,
            "event_type": "EXTERNAL",
            "event_data": {"n": 1},
            "received_at": event["created_at"],
            "processed_at": None,
            "error_code": None,
            "error_message": None,
            "automation_id": None,
            "caused_by_event_id": None,
            "chain_depth": 0,
            "created_at": event["created_at"],
            "updated_at": event["created_at"],
            "rule_evaluations": [],
        }

    def test_by_key(self, club: Club) -> None:
        club.rule("event.missing > 1", club.credit("1"))
        club.rule("true", club.credit("1"))
        event = club.completed({})
        query = {"program_id": club.program_id, "idempotency_key": event["idempotency_key"]}
        assert club.tenant.get("/v1/events/by-key", **query, include_skipped="true") == event
        shown = club.tenant.get("/v1/events/by-key", **query)
        assert shown == {**event, "rule_evaluations": event["rule_evaluations"][1:]}
        club.tenant.get("/v1/events/by-key", 400, program_id=club.program_id)

    def test_an_executed_action_names_everything_it_touched(self, club: Club) -> None:
        rule = club.rule("true", club.credit("2.5", "CASH", reference_id="auth-1"), {"type": "TAG", "tag": "VIP"})
        event = club.completed({})
        [row] = event["rule_evaluations"]
        assert (row["rule_id"], row["rule_name"]) == (rule["id"], "Rule")
        credit, tag = row["executed_actions"]
        target = {"type": "PARTICIPANT", "id": event["participant_id"]}
        assert {**credit, "journal_entry_id": None} == {
            "index": 0,
            "type": "CREDIT",
            "outcome": "APPLIED",
            "reason": None,
            "target": target,
            "asset_id": club.assets["CASH"],
            "asset_symbol": "CASH",
            "amount": "2.50",
            "bucket": "AVAILABLE",
            "reference_id": "auth-1",
            "journal_entry_id": None,
        }
        UUID(credit["journal_entry_id"])
        assert tag == {"index": 1, "type": "TAG", "outcome": "APPLIED", "reason": None, "target": target, "tag": "vip"}


class TestRetry:
    def test_a_waiting_event_cannot_be_retried(self, stored: Club) -> None:
        event = stored.send({})
        answer = stored.tenant.post(f"/v1/events/{event['id']}/retry", status=409)
        assert (answer["code"], answer["details"]) == ("invalid_state", {"status": "RECEIVED"})
        stored.tenant.post(f"/v1/events/{uuid4()}/retry", status=404)

    def test_it_replaces_what_the_failure_left(self, club: Club) -> None:
        rule = club.rule("true", club.credit("event.missing"))
        event = club.failed({}, "expression_error")
        club.tenant.patch(f"/v1/rules/{rule['id']}", {"condition": "false"})
        club.tenant.patch(f"/v1/programs/{club.program_id}", {"status": "ARCHIVED"})
        club.tenant.post(f"/v1/events/{event['id']}/retry", status=202)
        again = club.processed(event["id"])
        assert (again["status"], again["error_code"], again["error_message"]) == ("COMPLETED", None, None)
        assert [row["status"] for row in again["rule_evaluations"]] == ["NOT_MATCHED"]
        assert again["processed_at"] > event["processed_at"]
        assert club.tenant.get("/v1/events", rule_id=rule["id"])["data"] == []

    def test_bulk_filters_by_time(self, club: Club) -> None:
        club.rule("true", club.credit("event.missing"))
        first, second = (club.failed({}, "expression_error") for _ in range(2))
        body = {"program_id": club.program_id, "from": second["created_at"], "to": second["created_at"]}
        assert club.tenant.post("/v1/events/retry", body, 202) == {"queued": 1}
        assert club.processed(second["id"])["processed_at"] > second["processed_at"]
        assert club.event(first["id"])["processed_at"] == first["processed_at"]
