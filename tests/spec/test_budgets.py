"""Budgets over HTTP: the acceptance examples of events-rules.md 7.2, bad input, history, resets, and many clients at once."""

import ssl
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from db.session import Database
from runtime.ids import new_id
from tests.support.books import assert_books
from tests.support.client import new_tenant
from tests.support.club import Club, actions, outcomes
from tests.support.stack import Stack, poll

EXCEEDED = [("SKIPPED", "BUDGET_EXCEEDED")]
LIFETIME = {"schedule_type": None, "cron_expression": None, "interval": None}


def budget(club: Club, limit: str = "100", symbol: str = "PTS", **fields: Any) -> dict[str, Any]:
    return {"asset_id": club.assets[symbol], "limit": limit, **fields}


def live(club: Club, rule: dict[str, Any]) -> dict[str, Any]:
    """The rule's first budget, as it is now."""
    found: dict[str, Any] = club.tenant.get(f"/v1/rules/{rule['id']}")["budgets"][0]
    return found


def simulated(club: Club) -> dict[str, Any]:
    """What one more event would do."""
    body = {"program_id": club.program_id, "external_id": "ann", "event_data": {}}
    found: dict[str, Any] = club.tenant.post("/v1/events/simulate", body)
    return found


@pytest.mark.example("events-rules.md", "7.2.4")
def test_a_budget_and_its_reset(club: Club) -> None:
    rule = club.rule("true", club.credit("60"), budgets=[budget(club)])
    path = f"/v1/rules/{rule['id']}"
    assert outcomes(club.completed({})) == [("SUCCESS", None)]
    assert (club.balance("ann"), live(club, rule)["consumed"]) == ("60", "60")
    second = club.completed({})
    assert outcomes(second) == EXCEEDED
    assert actions(second) == [("CREDIT", "SUPPRESSED", "BUDGET_EXCEEDED")]
    assert club.balance("ann") == "60"
    club.tenant.patch(path, {"actions": [club.credit("40")]})
    club.completed({})
    assert (club.balance("ann"), live(club, rule)["consumed"]) == ("100", "100")
    again = simulated(club)
    assert (again["status"], outcomes(again), again["balance_impact"]) == ("COMPLETED", EXCEEDED, [])
    fresh = club.tenant.post(f"{path}/reset-budget", params={"asset_id": club.assets["PTS"]})
    assert fresh == {**budget(club), **LIFETIME, "consumed": "0", "next_reset_at": None}
    assert live(club, rule) == fresh
    again = simulated(club)
    assert (outcomes(again), again["rule_evaluations"][0]["executed_actions"][0]["amount"]) == ([("SUCCESS", None)], "40")
    assert live(club, rule) == fresh
    club.completed({})
    assert (club.balance("ann"), live(club, rule)["consumed"]) == ("140", "40")
    assert_books(club.database, club.tenant.organization_id)


@pytest.mark.example("events-rules.md", "7.2.5")
def test_the_other_actions_run(club: Club) -> None:
    counter = {"type": "COUNTER", "key": "n", "value": "1"}
    club.rule("true", club.credit("60"), counter, budgets=[budget(club)])
    first, second = club.completed({}), club.completed({})
    assert (outcomes(first), outcomes(second)) == ([("SUCCESS", None)], EXCEEDED)
    assert actions(second) == [("CREDIT", "SUPPRESSED", "BUDGET_EXCEEDED"), ("COUNTER", "APPLIED", None)]
    assert club.participant("ann")["counters"] == {"n": "2"}
    assert club.balance("ann") == "60"


def test_the_budget_object(club: Club) -> None:
    before = datetime.now(UTC)
    monthly = budget(club, "12.345", "CASH", schedule_type="CRON", cron_expression="0 0 1 * *")
    daily = budget(club, "7", "MILES", schedule_type="INTERVAL", interval="24h")
    rule = club.rule("true", club.credit("1"), budgets=[daily, monthly])
    assert rule == club.tenant.get(f"/v1/rules/{rule['id']}")
    assert rule in club.tenant.get("/v1/rules")["data"]
    by_interval, by_cron = rule["budgets"]
    resets = [datetime.fromisoformat(one.pop("next_reset_at")) for one in (by_interval, by_cron)]
    assert by_interval == {**LIFETIME, **daily, "limit": "7.00", "consumed": "0.00"}
    assert by_cron == {**LIFETIME, **monthly, "limit": "12.35", "consumed": "0.00"}
    assert before + timedelta(hours=24) <= resets[0] <= datetime.now(UTC) + timedelta(hours=24)
    assert (resets[1].day, resets[1].hour, resets[1].minute, resets[1].utcoffset()) == (1, 0, 0, timedelta(0))
    assert before < resets[1] < before + timedelta(days=32)


def test_changes_and_their_history(club: Club) -> None:
    rule = club.rule("true", club.credit("60"), budgets=[budget(club)])
    path = f"/v1/rules/{rule['id']}"
    club.completed({})
    assert club.tenant.patch(path, {"budgets": [budget(club, "100.4")]})["budgets"][0]["consumed"] == "60"
    higher = club.tenant.patch(path, {"budgets": [budget(club, "500")]})["budgets"]
    assert (higher[0]["limit"], higher[0]["consumed"]) == ("500", "60")
    assert club.tenant.patch(path, {"budgets": [budget(club, "500")], "name": "Other"})["budgets"] == higher
    replaced = club.tenant.patch(path, {"budgets": [budget(club, "500", schedule_type="INTERVAL", interval="1h")]})
    assert replaced["budgets"][0]["consumed"] == "0"
    assert club.tenant.patch(path, {"budgets": []})["budgets"] == []
    club.tenant.post(f"{path}/reset-budget", status=404, params={"asset_id": club.assets["PTS"]})
    history = club.tenant.get(f"{path}/history")["data"]
    one = {**budget(club), **LIFETIME}
    two, three = {**one, "limit": "500"}, {**one, "limit": "500", "schedule_type": "INTERVAL", "interval": "1h"}
    assert [item["changes"].get("budgets") for item in history] == [
        {"from": [three], "to": []},
        {"from": [two], "to": [three]},
        None,
        {"from": [one], "to": [two]},
        None,
    ]
    assert [item["snapshot"]["budgets"] for item in history] == [[], [three], [two], [two], [one]]


def test_a_reset_begins_a_period_from_now(club: Club) -> None:
    daily = budget(club, schedule_type="INTERVAL", interval="24h")
    rule = club.rule("true", club.credit("60"), budgets=[daily])
    path = f"/v1/rules/{rule['id']}"
    club.completed({})
    before = live(club, rule)
    fresh = club.tenant.post(f"{path}/reset-budget", params={"asset_id": club.assets["PTS"]})
    assert (before["consumed"], fresh["consumed"]) == ("60", "0")
    assert fresh["next_reset_at"] > before["next_reset_at"]
    assert [item["change_type"] for item in club.tenant.get(f"{path}/history")["data"]] == ["created"]
    with club.database.connection() as conn:
        statement = "SELECT cause, api_key_id IS NOT NULL FROM budget_periods WHERE rule_id = %s ORDER BY started_at"
        assert conn.execute(statement, [rule["id"]]).fetchall() == [("CREATED", True), ("RESET", True)]


def test_resets_that_are_refused(club: Club, stack: Stack) -> None:
    rule = club.rule("true", club.credit("60"), budgets=[budget(club)])
    path, asset = f"/v1/rules/{rule['id']}/reset-budget", {"asset_id": club.assets["PTS"]}
    missing = club.tenant.post(path, status=400)["details"]
    assert (missing["field"], missing["reason"]) == ("asset_id", "required")
    assert club.tenant.post(path, status=400, params={"asset_id": "x"})["details"]["reason"] == "invalid"
    assert club.tenant.post(path, status=400, params={**asset, "x": "1"})["details"]["reason"] == "unknown_parameter"
    none = club.tenant.post(path, status=404, params={"asset_id": club.assets["CASH"]})["details"]
    assert (none["resource"], none["field"]) == ("budget", "asset_id")
    unknown = club.tenant.post(f"/v1/rules/{new_id()}/reset-budget", status=404, params=asset)["details"]
    assert unknown["resource"] == "rule"
    stranger = new_tenant(stack.database, stack.base_url, "Stranger")
    stranger.post(path, status=404, params=asset)
    stranger.http.close()
    club.tenant.patch(f"/v1/rules/{rule['id']}", {"status": "ARCHIVED"})
    assert club.tenant.post(path, status=409, params=asset)["code"] == "rule_archived"
    assert live(club, rule)["consumed"] == "0"


def test_budgets_that_are_refused(club: Club) -> None:
    body = {"program_id": club.program_id, "name": "Rule", "condition": "1 +", "actions": [club.credit("1")]}
    wrong = [
        budget(club, "0"),
        budget(club),
        budget(club, symbol="CASH", schedule_type="CRON", cron_expression="0 0 31 2 *"),
        budget(club, symbol="MILES", schedule_type="INTERVAL", interval="1s"),
        {"limit": "5", "consumed": "0"},
        5,
    ]
    faults = club.tenant.post("/v1/rules", {**body, "budgets": wrong}, 400)["details"]["fields"]
    assert {(fault["field"], fault["reason"]) for fault in faults} == {
        ("budgets[4].asset_id", "required"),
        ("budgets[4].consumed", "unknown_field"),
        ("condition", "invalid"),
        ("budgets[0].limit", "out_of_range"),
        ("budgets[1].asset_id", "duplicate"),
        ("budgets[2].cron_expression", "invalid"),
        ("budgets[3].interval", "out_of_range"),
        ("budgets[5]", "invalid"),
    }
    assert len(faults) == 8
    body["condition"] = "true"
    unlinked = {"asset_id": str(new_id()), "limit": "5"}
    named = {**body, "actions": [club.credit("0.1")], "budgets": [unlinked, budget(club, "0.4")]}
    faults = club.tenant.post("/v1/rules", named, 400)["details"]["fields"]
    assert [(fault["field"], fault["reason"], fault["expected"]) for fault in faults] == [
        ("actions[0].amount", "out_of_range", "decimal string"),
        ("budgets[0].asset_id", "invalid", "linked asset"),
        ("budgets[1].limit", "out_of_range", "decimal string"),
    ]
    strict = {"Prefer": "handling=strict"}
    refused = club.tenant.post("/v1/rules", {**body, "budgets": [budget(club, "1.5")]}, 400, headers=strict)
    assert (refused["code"], refused["details"]["field"]) == ("invalid_scale", "budgets[0].limit")


def test_an_asset_with_a_budget_is_in_use(club: Club) -> None:
    club.rule("true", {"type": "TAG", "tag": "x"}, budgets=[budget(club, symbol="CASH")])
    path = f"/v1/programs/{club.program_id}/assets/{club.assets['CASH']}"
    assert club.tenant.call("DELETE", path, 409)["details"]["reason"] == "in_use"


# ----------------------------------------------------------- many clients at once
CLIENTS, EVENTS_EACH, PARTICIPANTS = 200, 3, 150


def deadlocks(database: Database) -> int:
    with database.connection() as conn:
        row = conn.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()
    assert row is not None
    return int(row[0])


def test_many_clients_get_exactly_the_limit(club: Club) -> None:
    """200 clients at once, lanes in parallel: 1000.00 at 2.50 each are 400 credits, whoever gets them."""
    rule = club.rule("true", club.credit("2.50", "CASH"), budgets=[budget(club, "1000.00", "CASH")])
    before = deadlocks(club.database)
    bodies = [club.body({}, f"p-{number % PARTICIPANTS}") for number in range(CLIENTS * EVENTS_EACH)]

    to_server: dict[str, Any] = {"base_url": club.tenant.http.base_url, "headers": club.tenant.http.headers, "timeout": 60}
    trust = ssl.create_default_context()

    def send(client: int) -> None:
        with httpx.Client(**to_server, verify=trust) as http:
            for body in bodies[client::CLIENTS]:
                assert http.post("/v1/events", json=body).status_code == 202

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(send, range(CLIENTS)))
    found = poll(lambda: done(club, len(bodies)), 60)
    assert found == {"COMPLETED": 400, "suppressed": len(bodies) - 400}
    assert live(club, rule)["consumed"] == "1000.00"
    with club.database.connection() as conn:
        total = conn.execute("SELECT sum(available) FROM balances WHERE asset_id = %s", [club.assets["CASH"]]).fetchone()
    assert total is not None
    assert f"{total[0]:.2f}" == "1000.00"
    assert_books(club.database, club.tenant.organization_id)
    assert deadlocks(club.database) == before


def done(club: Club, events: int) -> dict[str, int] | None:
    """How many events ended as what, once all have."""
    with club.database.connection() as conn:
        rows = conn.execute(
            """
            SELECT CASE WHEN evaluations::text LIKE '%%BUDGET_EXCEEDED%%' THEN 'suppressed' ELSE status END, count(*)
            FROM event_outcomes WHERE organization_id = %s GROUP BY 1
            """,
            [club.tenant.organization_id],
        ).fetchall()
    counts = {str(row[0]): int(row[1]) for row in rows}
    return counts if sum(counts.values()) == events else None
