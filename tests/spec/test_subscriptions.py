"""automations.md 3 to 5: subscriptions over HTTP on the running product; those with dates are in test_automation_clock.py."""

from typing import Any
from uuid import uuid4

import pytest

from tests.support.client import new_tenant
from tests.support.club import Club
from tests.support.schedules import Diary
from tests.support.stack import Stack, poll

VIP = '"vip" in participant.tags'
ORDERS = {"counter": "orders", "operator": ">=", "threshold": 3}
FIELDS = {
    "id", "automation_id", "participant_id", "status", "next_trigger_at", "last_triggered_at", "trigger_count", "retry_count",
    "last_error", "created_at",
}  # fmt: skip


@pytest.fixture
def diary(club: Club) -> Diary:
    """P with a, b, c: orders 5, 1, 9; an order counts; a gift is 10 PTS."""
    club.rule('event.type == "gift"', club.credit("10"), name="gift")
    club.rule('event.type == "order"', {"type": "COUNTER", "key": "orders", "value": "event.n"}, name="count")
    for name, orders in (("a", 5), ("b", 1), ("c", 9)):
        club.completed({"type": "order", "n": orders}, name)
    return Diary(club)


def state(diary: Diary, method: str, name: str, path: str, status: int, **body: Any) -> None:
    diary.tenant.call(
        method, f"/v1/participants/{diary.club.participant_id(name)}/state/{path}", status, **({"json": body} if body else {})
    )


@pytest.mark.example("automations.md", 9)
def test_a_threshold_fires_once_per_crossing(diary: Diary) -> None:
    made = diary.subscribe("THRESHOLD", ORDERS)
    assert (made["schedule_type"], made["schedule_config"], made["timezone"]) == ("THRESHOLD", ORDERS | {"threshold": "3"}, "UTC")
    assert (made["execution_status"], made["participants_total"], made["participants_processed"]) == ("idle", None, None)
    found = diary.subscriptions(made)
    assert {name: row["status"] for name, row in found.items()} == dict.fromkeys("abc", "active")
    assert found["a"].keys() == FIELDS
    for wanted in (0, 1, 1):
        diary.club.completed({"type": "order", "n": 1}, "b")
        assert [event["external_id"] for event in diary.events(made, wanted)] == ["b"] * wanted
    state(diary, "PUT", "b", "counters/orders", 200, value="0")
    state(diary, "PUT", "b", "counters/orders", 200, value="4")
    events = diary.events(made, 2)
    assert [(event["external_id"], event["event_type"], event["chain_depth"]) for event in events] == [("b", "SYSTEM", 0)] * 2
    assert {event["idempotency_key"] for event in events} == {
        f"sys:{made['id']}:{event['event_timestamp']}:{diary.club.participant_id('b')}" for event in events
    }
    assert [diary.club.balance(name) for name in "abc"] == ["0", "20", "0"]
    counts = {name: (row["trigger_count"], row["next_trigger_at"]) for name, row in diary.subscriptions(made).items()}
    assert counts == {"a": (0, None), "b": (2, None), "c": (0, None)}


@pytest.mark.example("automations.md", 11)
def test_refresh_any_number_of_times(diary: Diary) -> None:
    made = diary.subscribe("INTERVAL", {"interval": "1h"}, participant_filter=VIP)
    assert diary.subscriptions(made) == {}
    state(diary, "PUT", "a", "tags/vip", 201)
    assert (diary.refresh(made), diary.refresh(made)) == ({}, {})
    poll(lambda: list(diary.subscriptions(made)) == ["a"])
    state(diary, "DELETE", "a", "tags/vip", 204)
    diary.refresh(made)
    poll(lambda: diary.subscriptions(made) == {})
    assert [row["status"] for row in diary.subscriptions(made, status="cancelled").values()] == ["cancelled"]
    assert diary.refresh(diary.cron("0 9 * * *"), 400)["code"] == "bad_request"
    diary.change(made, status="paused")
    assert diary.refresh(made, 400)["code"] == "bad_request"
    diary.change(made, status="active")
    diary.tenant.patch(f"/v1/programs/{diary.club.program_id}", {"status": "SUSPENDED"})
    assert diary.refresh(made, 409)["code"] == "program_inactive"


def test_the_list_is_paged_and_narrowed(diary: Diary) -> None:
    made = diary.subscribe("INTERVAL", {"interval": "1h"})
    path = f"{diary.path}/{made['id']}/subscriptions"
    first = diary.tenant.call("GET", path, 200, params={"limit": 2})
    rest = diary.tenant.call("GET", path, 200, params={"limit": 2, "cursor": first["pagination"]["next_cursor"]})
    assert len({row["id"] for row in first["data"] + rest["data"]}) == 3
    assert diary.subscriptions(made, status="active").keys() == {"a", "b", "c"}
    assert diary.subscriptions(made, status="failed") == {}
    diary.tenant.call("GET", path, 400, params={"status": "over"})
    diary.tenant.call("GET", f"{diary.path}/{uuid4()}/subscriptions", 404)
    assert diary.subscriptions(diary.cron("0 9 * * *")) == {}
    diary.delete(made)
    assert diary.subscriptions(made) == {}
    assert diary.subscriptions(made, status="cancelled").keys() == {"a", "b", "c"}


def test_others_see_nothing(diary: Diary, stack: Stack) -> None:
    made = diary.subscribe("THRESHOLD", ORDERS)
    stranger = new_tenant(stack.database, stack.base_url)
    stranger.call("GET", f"{diary.path}/{made['id']}/subscriptions", 404)
    stranger.call("POST", f"{diary.path}/{made['id']}/refresh-subscriptions", 404)
    stranger.http.close()


def test_what_participant_state_may_have(diary: Diary) -> None:
    trigger = {"type": "participant_state", "schedule_type": "THRESHOLD", "schedule_config": ORDERS}
    assert diary.make(trigger, "program", 400)["details"]["fields"][0]["field"] == "scope"
    for extra in ({"trigger_at": "2040-01-01T00:00:00Z"}, {"cron_expression": "0 9 * * *"}):
        refused = diary.make(trigger | extra, status=400)
        assert [item["reason"] for item in refused["details"]["fields"]] == ["not_allowed"]
    made = diary.make(trigger, participant_filter=VIP)
    for change, field, reason in (
        ({"schedule_config": ORDERS | {"operator": "!="}}, "schedule_config.operator", "invalid"),
        ({"schedule_config": {"interval": "1h"}}, "schedule_config.interval", "unknown_field"),
        ({"cron_expression": "0 9 * * *"}, "cron_expression", "not_allowed"),
        ({"schedule_type": "CRON"}, "schedule_type", "unknown_field"),
    ):
        refused = diary.change(made, 400, **change)
        assert (field, reason) in [(item["field"], item["reason"]) for item in refused["details"]["fields"]]
    changed = diary.change(made, schedule_config=ORDERS | {"threshold": "2.50"}, timezone="Europe/Paris")
    assert (changed["schedule_config"]["threshold"], changed["timezone"]) == ("2.5", "Europe/Paris")
    assert diary.trigger(made, 400)["code"] == diary.cancel(made, 400)["code"] == "bad_request"
    assert diary.change(diary.cron("0 9 * * *"), 400, schedule_config={})["details"]["field"] == "schedule_config"
