"""The acceptance examples of dry runs, and impact: events-rules.md 7.1.1, 7.1.16, 7.1.17, 7.2.11."""

from typing import Any

import pytest

from tests.api.routes.money import unsealed
from tests.support.client import Tenant
from tests.support.club import Club, actions, outcomes

SPEND = 'event.type == "spend"'
PURCHASE_OF_75 = {"type": "purchase", "amount": 75}


def simulate(club: Club, data: dict[str, Any], external_id: str | None = "ann", **fields: Any) -> dict[str, Any]:
    """A dry run of an event, sent as it would be."""
    found: dict[str, Any] = club.tenant.post("/v1/events/simulate", club.body(data, external_id, **fields))
    return found


def impact(club: Club, event: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = club.tenant.get(f"/v1/events/{event['id']}/impact")
    return found


def amounts(found: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Entity type, symbol, bucket and amount of each row of `balance_impact`."""
    names = ("entity_type", "asset_symbol", "bucket", "amount")
    return [(row[names[0]], row[names[1]], row[names[2]], row[names[3]]) for row in found["balance_impact"]]


def how_many(club: Club, table: str) -> int:
    with club.database.connection() as conn:
        row = conn.execute(f"SELECT count(*) FROM {table} WHERE organization_id = %s", [club.tenant.organization_id]).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.example("events-rules.md", "7.1.1")
def test_the_impact_of_a_purchase(club: Club) -> None:
    club.ten_per_unit()
    event = club.completed(PURCHASE_OF_75)
    found = impact(club, event)
    assert found | event == found
    [entry] = found["journal_entries"]
    assert unsealed(entry) == unsealed(club.tenant.get(f"/v1/journal-entries/{entry['id']}"))
    assert (entry["action_type"], entry["event_id"]) == ("CREDIT", event["id"])
    assert [(line["entity_type"], line["amount"]) for line in entry["postings"]] == [
        ("SYSTEM_ISSUANCE", "-750"),
        ("PARTICIPANT", "750"),
    ]
    assert found["balance_impact"] == [
        {
            "entity_type": kind,
            "entity_id": id_,
            "asset_id": club.assets["PTS"],
            "asset_symbol": "PTS",
            "bucket": "AVAILABLE",
            "amount": amount,
        }
        for kind, id_, amount in (("PARTICIPANT", event["participant_id"], "750"), ("SYSTEM_ISSUANCE", None, "-750"))
    ]
    assert found["state_changes"] == []


def test_the_impact_on_state(club: Club) -> None:
    rule = club.rule(
        "true",
        {"type": "TAG", "tag": "VIP"},
        {"type": "TAG", "tag": "vip"},
        {"type": "COUNTER", "key": "n", "value": "1.50", "target": {"type": "PROGRAM"}},
        {"type": "SET_ATTRIBUTE", "key": "colour", "value": "red"},
    )
    event = club.completed({})
    ann, program = str(club.participant_id("ann")), club.program_id
    changes = impact(club, event)["state_changes"]
    assert [
        tuple(row[name] for name in ("entity_type", "entity_id", "state_type", "key", "operation", "old_value", "new_value"))
        for row in changes
    ] == [
        ("PARTICIPANT", ann, "tag", "vip", "add", None, None),
        ("PROGRAM", program, "counter", "n", "set", None, "1.5"),
        ("PARTICIPANT", ann, "attribute", "colour", "set", None, "red"),
    ]
    of_history = club.tenant.get(f"/v1/participants/{ann}/activity/state-history")["data"]
    assert [{name: row[name] for name in of_history[0]} for row in (changes[2], changes[0])] == of_history
    assert {(row["event_id"], row["rule_id"], row["program_id"]) for row in changes} == {(event["id"], rule["id"], program)}


def test_what_nets_to_zero_is_left_out(club: Club) -> None:
    club.rule("true", club.credit("5"), club.debit("5"), club.credit("1.25", "CASH", bucket="HELD"))
    found = impact(club, club.completed({}))
    assert amounts(found) == [("PARTICIPANT", "CASH", "HELD", "1.25"), ("SYSTEM_ISSUANCE", "CASH", "AVAILABLE", "-1.25")]
    assert [entry["action_type"] for entry in found["journal_entries"]] == ["CREDIT", "CREDIT", "DEBIT"]


def test_the_impact_of_a_failed_event_is_empty(club: Club) -> None:
    club.rule("true", club.credit("5"))
    club.rule("event.nothing == 1", club.credit("5"))
    club.rule("true", club.debit("50"))
    event = club.failed({}, "insufficient_balance")
    found = impact(club, event)
    assert outcomes(found) == [("FAILED", "ROLLED_BACK"), ("SKIPPED_ERROR", None), ("FAILED", "ACTION_FAILED")]
    assert (found["journal_entries"], found["state_changes"], found["balance_impact"]) == ([], [], [])


def test_the_impact_of_nobodys_event(club: Club) -> None:
    unknown = "01890000-0000-7000-8000-000000000001"
    assert club.tenant.get(f"/v1/events/{unknown}/impact", 404)["code"] == "not_found"
    assert club.tenant.get("/v1/events/abc/impact", 400)["code"] == "bad_request"


@pytest.mark.example("events-rules.md", "7.1.16")
def test_a_dry_run_for_somebody_unknown(club: Club) -> None:
    club.ten_per_unit()
    found = simulate(club, PURCHASE_OF_75, "eve", idempotency_key=None, event_timestamp=None)
    assert (found["status"], found["error_code"], found["error_message"]) == ("COMPLETED", None, None)
    assert (found["participant_id"], found["recipient_id"], found["tier_changes"]) == (None, None, [])
    assert outcomes(found) == [("SUCCESS", None)]
    [row] = found["rule_evaluations"]
    assert row["id"] is None
    assert row["executed_actions"] == [
        {
            "index": 0,
            "type": "CREDIT",
            "outcome": "APPLIED",
            "reason": None,
            "target": {"type": "PARTICIPANT", "id": None, "external_id": "eve"},
            "asset_id": club.assets["PTS"],
            "asset_symbol": "PTS",
            "amount": "750",
            "bucket": "AVAILABLE",
            "journal_entry_id": None,
        }
    ]
    assert amounts(found) == [("PARTICIPANT", "PTS", "AVAILABLE", "750"), ("SYSTEM_ISSUANCE", "PTS", "AVAILABLE", "-750")]
    eve, issuance = found["balance_impact"]
    assert (eve["entity_id"], eve["external_id"]) == (None, "eve")
    assert (issuance["entity_id"], "external_id" in issuance) == (None, False)
    assert {table: how_many(club, table) for table in ("participants", "events", "journal_entries", "enrollments")} == {
        "participants": 0,
        "events": 0,
        "journal_entries": 0,
        "enrollments": 0,
    }


@pytest.mark.example("events-rules.md", "7.1.17")
def test_a_dry_run_that_fails(club: Club) -> None:
    club.ten_per_unit()
    club.rule(SPEND, club.debit("event.points"), order=20)
    club.completed({"type": "purchase", "amount": 4})
    found = simulate(club, {"type": "spend", "points": 50})
    assert (found["status"], found["error_code"]) == ("FAILED", "insufficient_balance")
    assert found["error_message"] == "insufficient_balance: action DEBIT failed: available 40, requested 50 PTS"
    assert (found["balance_impact"], found["state_changes"], found["tier_changes"]) == ([], [], [])
    assert outcomes(found) == [("NOT_MATCHED", None), ("FAILED", "ACTION_FAILED")]
    assert found["participant_id"] == str(club.participant_id("ann"))
    assert club.balance("ann") == "40"
    body = club.body({"type": "spend", "points": 50})
    post = club.tenant.post
    assert (
        post("/v1/events/simulate", {k: v for k, v in body.items() if k != "event_data"}, 400)["details"]["field"] == "event_data"
    )
    assert post("/v1/events/simulate", body | {"program_id": "01890000-0000-7000-8000-000000000001"}, 404)["code"] == "not_found"
    club.tenant.patch(f"/v1/programs/{club.program_id}", {"status": "SUSPENDED"})
    assert post("/v1/events/simulate", body, 409)["code"] == "program_inactive"


def test_enrolment_in_the_dry_run_only(club: Club) -> None:
    """Who isn't enrolled is, for the time of the dry run; the recipient receives."""
    club.rule("size(participant.program_ids) == 1 && recipient.program_ids == participant.program_ids", club.credit("5"))
    club.tenant.post("/v1/participants", {"external_id": "ann"}, 201)
    found = simulate(club, {}, recipient_external_id="bob")
    assert actions(found) == [("CREDIT", "APPLIED", None)]
    assert found["balance_impact"][0]["external_id"] == "bob"
    assert found["participant_id"] == str(club.participant_id("ann"))
    assert how_many(club, "enrollments") == 0


def test_the_same_answers_as_ingest(club: Club, tenant: Tenant) -> None:
    sound = club.body(PURCHASE_OF_75)
    for wrong in (
        {"event_data": {"text": "x" * 70_000}},
        {"idempotency_key": "sys:1"},
        {"extId": "ann"},
        {"participant_id": club.program_id},
        {"event_timestamp": "yesterday"},
    ):
        refused = tenant.post("/v1/events", sound | wrong, 400)
        tried = tenant.post("/v1/events/simulate", sound | wrong, 400)
        assert tried["details"] == refused["details"]
    nobody = club.body(PURCHASE_OF_75, None, participant_id="01890000-0000-7000-8000-000000000001")
    assert tenant.post("/v1/events/simulate", nobody, 404)["details"] == tenant.post("/v1/events", nobody, 404)["details"]
    tenant.patch(f"/v1/programs/{club.program_id}", {"on_unknown_participant": "REJECT"})
    zed = club.body(PURCHASE_OF_75, "zed")
    assert tenant.post("/v1/events/simulate", zed, 404)["details"] == tenant.post("/v1/events", zed, 404)["details"]


def test_a_known_key_is_tried_out_all_the_same(club: Club) -> None:
    club.ten_per_unit()
    body = club.body(PURCHASE_OF_75)
    club.processed(club.tenant.post("/v1/events", body, 202)["id"])
    assert amounts(club.tenant.post("/v1/events/simulate", body))[0] == ("PARTICIPANT", "PTS", "AVAILABLE", "750")
    assert club.balance("ann") == "750"


@pytest.mark.example("events-rules.md", "7.2.11")
def test_trying_out_a_rule(club: Club) -> None:
    rule = club.ten_per_unit()
    path = f"/v1/rules/{rule['id']}/simulate"
    found = club.tenant.post(path, {"event": PURCHASE_OF_75})
    assert found["rule"]["id"] == rule["id"]
    assert (found["evaluation"]["matched"], found["evaluation"]["status"]) == (True, "evaluated")
    [only] = found["evaluation"]["results"]
    assert (only["action"], only["result"]["amount"]) == (rule["actions"][0], "750")
    assert only["result"]["description"] == "Credit 750 PTS to participant"
    evaluation = club.tenant.post(path, {"event": {}})["evaluation"]
    assert (evaluation["matched"], evaluation["status"]) == (False, "condition_failed")
    assert "results" not in evaluation
    assert {table: how_many(club, table) for table in ("participants", "events", "journal_entries")} == {
        "participants": 0,
        "events": 0,
        "journal_entries": 0,
    }
