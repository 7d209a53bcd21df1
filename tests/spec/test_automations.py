"""automations.md 4 and 5: automations over HTTP on the running product; those with dates are in test_automation_clock.py."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.client import Tenant, new_tenant
from tests.support.club import Club
from tests.support.schedules import Diary
from tests.support.stack import Stack, poll

CANNOT = "Automation cannot be triggered (must be active and idle or cron+program)"
VIP = '"vip" in participant.tags'


def ahead(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def faults(refused: dict[str, Any]) -> list[tuple[str, str]]:
    return [(item["field"], item["reason"]) for item in refused["details"]["fields"]]


@pytest.fixture
def diary(club: Club) -> Diary:
    """P with a, b, c: a and b are vip; orders 5, 1, 9; a gift is 10 PTS."""
    club.rule('event.type == "gift"', club.credit("10"), name="gift")
    marked = club.rule(
        'event.type == "start"',
        {"type": "COUNTER", "key": "orders", "value": "event.orders"},
        {"type": "TAG", "tag": "met"},
    )
    vip = club.rule('event.type == "start" && event.vip', {"type": "TAG", "tag": "vip"})
    for name, orders, is_vip in (("a", 5, True), ("b", 1, True), ("c", 9, False)):
        club.completed({"type": "start", "orders": orders, "vip": is_vip}, name)
    for rule in (marked, vip):
        club.tenant.patch(f"/v1/rules/{rule['id']}", {"status": "SUSPENDED"})
    return Diary(club)


def balances(diary: Diary) -> list[str]:
    return [diary.club.balance(name) for name in "abc"]


@pytest.mark.example("automations.md", 1)
@pytest.mark.example("automations.md", 3)
def test_at_once_for_those_who_match_and_again_by_hand(diary: Diary) -> None:
    made = diary.immediate(participant_filter=VIP)
    assert (made["execution_status"], made["status"], made["source"]) == ("pending", "active", "api")
    done = diary.ended(made)
    assert (done["execution_status"], done["participants_total"], done["participants_processed"]) == ("completed", 2, 2)
    events = diary.events(made, 2)
    assert [(event["event_type"], event["event_data"], event["chain_depth"]) for event in events] == [
        ("SYSTEM", {"type": "gift"}, 0)
    ] * 2
    assert {event["event_timestamp"] for event in events} == {made["created_at"]}
    assert {event["idempotency_key"] for event in events} == {
        f"sys:{made['id']}:{made['created_at']}:{diary.club.participant_id(name)}" for name in "ab"
    }
    assert balances(diary) == ["10", "10", "0"]
    again = diary.trigger(made)
    assert again["execution_status"] == "pending"
    refused = diary.trigger(made, 400)
    assert (refused["code"], refused["message"]) == ("bad_request", CANNOT)
    poll(lambda: balances(diary) == ["20", "20", "0"], 30)
    assert diary.ended(made)["participants_total"] == 2
    assert len(diary.events(made, 4)) == 4


@pytest.mark.example("automations.md", 2)
def test_a_guard_decides_at_the_moment(diary: Diary) -> None:
    made = diary.immediate(participant_filter=VIP, guard_condition="participant.counters.orders > 2")
    done = diary.ended(made)
    assert (done["participants_total"], done["participants_processed"]) == (2, 2)
    assert [event["external_id"] for event in diary.events(made, 1)] == ["a"]
    assert balances(diary) == ["10", "0", "0"]


@pytest.mark.example("automations.md", 4)
def test_once_for_one_participant(diary: Diary) -> None:
    who = str(diary.club.participant_id("b"))
    made = diary.one_time(ahead(4), participant_id=who, payload={"x": 1, "type": "zzz"})
    assert (made["processed_at"], made["participant_id"]) == (None, who)
    [event] = diary.events(made, 1)
    assert (event["event_data"], event["event_timestamp"]) == ({"x": 1, "type": "gift"}, made["trigger_at"])
    assert (event["participant_id"], event["external_id"]) == (who, "b")
    found = diary.seen(made)
    assert (found["processed_at"] >= made["trigger_at"], found["status"], found["error_message"]) == (True, "active", None)
    assert diary.trigger(made, 400)["message"] == CANNOT
    changed = diary.change(made, trigger_at=ahead(4))
    assert changed["processed_at"] is None
    assert len(diary.events(made, 2)) == 2
    assert balances(diary) == ["0", "20", "0"]


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"trigger": {"type": "immediate"}, "scope": "program"}, "scope", "not_allowed"),
    ({"trigger": {"type": "participant_state", "schedule_type": "INTERVAL"}}, "trigger.schedule_config", "required"),
    ({"trigger": {"type": "participant_state", "schedule_config": {}}}, "trigger.schedule_type", "required"),
    (
        {"trigger": {"type": "participant_state", "schedule_type": "INTERVAL", "schedule_config": {"interval": "1s"}}},
        "trigger.schedule_config.interval",
        "out_of_range",
    ),
    ({"trigger": {"type": "cron"}}, "trigger.cron_expression", "required"),
    ({"trigger": {"type": "cron", "cron_expression": "CRON_TZ=UTC 0 0 * * *"}}, "trigger.cron_expression", "invalid"),
    ({"trigger": {"type": "cron", "cron_expression": "0 0 31 2 *"}}, "trigger.cron_expression", "invalid"),
    ({"trigger": {"type": "cron", "cron_expression": "0 0 L * *"}}, "trigger.cron_expression", "invalid"),
    ({"trigger": {"type": "cron", "cron_expression": "0 0 * * 5#2"}}, "trigger.cron_expression", "invalid"),
    ({"trigger": {"type": "cron", "cron_expression": "0 0 ? * MON"}}, "trigger.cron_expression", "invalid"),
    ({"trigger": {"type": "cron", "cron_expression": "0 0 15W * *"}}, "trigger.cron_expression", "invalid"),
    ({"trigger": {"type": "cron", "cron_expression": "@daily"}}, "trigger.cron_expression", "invalid"),
    ({"trigger": {"type": "cron", "cron_expression": "0 0 * * *", "timezone": "Mars"}}, "trigger.timezone", "invalid"),
    ({"trigger": {"type": "cron", "cron_expression": "0 0 * * *", "trigger_at": ahead(99)}}, "trigger.trigger_at", "not_allowed"),
    ({"trigger": {"type": "one_time"}}, "trigger.trigger_at", "required"),
    ({"trigger": {"type": "one_time", "trigger_at": ahead(-60)}}, "trigger.trigger_at", "out_of_range"),
    ({"trigger": {"type": "one_time", "trigger_at": ahead(6 * 366 * 86400)}}, "trigger.trigger_at", "out_of_range"),
    ({"trigger": {"type": "one_time", "trigger_at": ahead(99), "timezone": "UTC"}}, "trigger.timezone", "not_allowed"),
    ({"trigger": {"type": "immediate", "cron_expression": "0 0 * * *"}}, "trigger.cron_expression", "not_allowed"),
    ({"trigger": {"type": "immediate", "schedule_config": {}}}, "trigger.schedule_config", "not_allowed"),
    ({"trigger": {"type": "sometimes"}}, "trigger.type", "invalid"),
    ({"trigger": {}}, "trigger.type", "required"),
    ({"trigger": {"type": "immediate", "when": 1}}, "trigger.when", "unknown_field"),
    ({"trigger": None}, "trigger", "required"),
    ({"scope": "group"}, "scope", "invalid"),
    ({"name": ""}, "name", "required"),
    ({"name": "n" * 256}, "name", "too_long"),
    ({"event_name": None}, "event_name", "required"),
    ({"description": "d" * 1001}, "description", "too_long"),
    ({"payload": []}, "payload", "invalid"),
    ({"payload": {"x": "y" * 16384}}, "payload", "too_long"),
    ({"guard_condition": "participant."}, "guard_condition", "invalid"),
    ({"participant_filter": "1 + 1"}, "participant_filter", "invalid"),
    ({"participant_filter": "event.amount > 1"}, "participant_filter", "invalid"),
    ({"guard_condition": "recipient == null"}, "guard_condition", "invalid"),
    ({"filter_hints": [{"has_tag": "a", "has_counter": "b"}]}, "filter_hints[0]", "invalid"),
    ({"filter_hints": [{"has_tag": "a"}, {"has_level": "b"}]}, "filter_hints[1]", "invalid"),
    ({"filter_hints": [{"has_tag": ""}]}, "filter_hints[0].has_tag", "required"),
    ({"filter_hints": [{"has_counter": "a/b"}]}, "filter_hints[0].has_counter", "invalid"),
    ({"filter_hints": [{"has_tag": "a"}] * 11}, "filter_hints", "too_long"),
    ({"filter_hints": {"has_tag": "a"}}, "filter_hints", "invalid"),
    ({"participant_id": "0190a000-0000-7000-8000-000000000000"}, "participant_id", "not_allowed"),
    ({"status": "paused"}, "status", "unknown_field"),
]
BAD_PROGRAM: list[tuple[dict[str, Any], str, str]] = [
    ({"participant_filter": "true"}, "participant_filter", "not_allowed"),
    ({"guard_condition": "true"}, "guard_condition", "not_allowed"),
    ({"filter_hints": [{"has_tag": "a"}]}, "filter_hints", "not_allowed"),
    ({"participant_id": "0190a000-0000-7000-8000-000000000000"}, "participant_id", "not_allowed"),
]


@pytest.mark.example("automations.md", 7)
def test_what_is_no_automation(club: Club) -> None:
    diary = Diary(club)
    daily = {"type": "cron", "cron_expression": "0 0 * * *"}
    cases = [(diary.body({"type": "immediate"}) | fields, at, why) for fields, at, why in BAD]
    cases += [(diary.body(daily, "program") | fields, at, why) for fields, at, why in BAD_PROGRAM]
    for body, field, reason in cases:
        refused = club.tenant.post(diary.path, body, 400)
        assert faults(refused) == [(field, reason)], body
    assert diary.listed(include_archived="true") == []
    made = diary.make(daily, "program", name="Same")
    refused = diary.make({"type": "immediate"}, name="Same", status=409)
    assert (refused["code"], refused["details"]["field"]) == ("name_conflict", "name")
    diary.delete(made)
    assert diary.make(daily, "program", name="Same", status=409)["code"] == "name_conflict"


def test_faults_of_conditions_have_places(club: Club) -> None:
    body = Diary(club).body({"type": "immediate"}, participant_filter="true &&\n  participant.tags ==", guard_condition="nope")
    found = club.tenant.post(Diary(club).path, body, 400)["details"]["fields"]
    assert [(item["field"], item["line"], item["column"]) for item in found] == [
        ("participant_filter", 2, 22),
        ("guard_condition", 1, 1),
    ]


@pytest.mark.example("automations.md", 8)
def test_cancelling(diary: Diary) -> None:
    made = diary.one_time(ahead(6))
    assert diary.cancel(made)["status"] == "archived"
    assert diary.cancel(made, 400)["message"] == "Nothing to cancel"
    refused = diary.change(made, 409, description="late")
    assert (refused["code"], refused["details"]) == ("invalid_state", {"status": "archived"})
    cron = diary.cron("0 9 * * *")
    assert diary.cancel(cron, 400)["code"] == "bad_request"
    diary.delete(cron)
    diary.delete(cron)
    gone = diary.seen(cron)
    assert (gone["status"], gone["next_run_at"]) == ("archived", None)
    later = diary.one_time(ahead(7), participant_id=str(diary.club.participant_id("c")))
    assert len(diary.events(later, 1)) == 1
    assert diary.events(made) == []


@pytest.mark.example("automations.md", 11)
def test_only_subscriptions_can_be_refreshed(diary: Diary) -> None:
    cron = diary.cron("0 9 * * *")
    assert diary.refresh(cron, 400)["code"] == "bad_request"
    diary.change(cron, status="paused")
    assert diary.refresh(cron, 400)["code"] == "bad_request"
    assert diary.tenant.get(f"{diary.path}/{cron['id']}/subscriptions")["data"] == []


@pytest.mark.example("automations.md", 12)
def test_five_failures_in_a_row_pause_it(diary: Diary) -> None:
    club = diary.club
    rule = club.rule('event.type == "tick"', club.debit("5"))
    cron = diary.cron("0 0 1 1 *", event_name="tick")
    for number in range(1, 6):
        assert diary.trigger(cron)["status"] == "active"
        assert [event["status"] for event in diary.events(cron, number)] == ["FAILED"] * number
    paused = diary.seen(cron)
    assert (paused["status"], paused["next_run_at"]) == ("paused", None)
    assert paused["last_error"].startswith("target_required: ")
    assert diary.trigger(cron, 400)["message"] == CANNOT
    again = diary.change(cron, status="active")
    assert again["next_run_at"] == cron["next_run_at"]
    club.tenant.patch(f"/v1/rules/{rule['id']}", {"status": "SUSPENDED"})
    diary.trigger(cron)
    assert [event["status"] for event in diary.events(cron, 6)] == ["FAILED"] * 5 + ["COMPLETED"]
    assert (diary.seen(cron)["status"], diary.seen(cron)["last_error"]) == ("active", None)


def test_a_good_run_starts_the_count_again(diary: Diary) -> None:
    club = diary.club
    rule = club.rule('event.type == "tick"', club.debit("5"))
    cron = diary.cron("0 0 1 1 *", event_name="tick")
    count = 0
    for failures in (4, 4):
        for status, times in (("ACTIVE", failures), ("SUSPENDED", 1)):
            club.tenant.patch(f"/v1/rules/{rule['id']}", {"status": status})
            for _ in range(times):
                count += 1
                diary.trigger(cron)
            diary.events(cron, count)
    assert (diary.seen(cron)["status"], len(diary.events(cron))) == ("active", 10)


def test_a_failed_event_that_is_retried_counts_once(diary: Diary) -> None:
    diary.club.rule('event.type == "tick"', diary.club.debit("5"))
    cron = diary.cron("0 0 1 1 *", event_name="tick")
    diary.trigger(cron)
    [event] = diary.events(cron, 1)
    for _ in range(5):
        diary.tenant.post(f"/v1/events/{event['id']}/retry", None, 202)
        diary.club.processed(event["id"])
    assert diary.seen(cron)["status"] == "active"


@pytest.mark.example("automations.md", 14)
def test_what_rules_make_is_listed_while_it_waits(diary: Diary) -> None:
    club = diary.club
    club.rule('event.type == "order"', {"type": "SCHEDULE_EVENT", "event_name": "check", "delay": "2s"})
    cause = club.completed({"type": "order"}, "a")
    [waiting] = diary.listed()
    assert (waiting["source"], waiting["status"], waiting["caused_by_event_id"]) == ("rule_action", "active", cause["id"])
    diary.events(waiting, 1)
    assert [diary.listed(), diary.listed(include_archived="true")] == [[], []]
    [fired] = diary.listed(source="rule_action")
    assert (fired["id"], fired["processed_at"] is not None) == (waiting["id"], True)
    assert faults(diary.change(waiting, 400, name="mine")) == [("name", "not_allowed")]


def test_cron_for_the_program_by_hand(diary: Diary) -> None:
    cron = diary.cron("0 0 1 1 *", payload={"n": 1})
    before = datetime.now(UTC)
    for number in (1, 2, 3):
        triggered = diary.trigger(cron)
        assert abs(moment(triggered["next_run_at"]) - datetime.now(UTC)) < timedelta(seconds=10)
        assert len(diary.events(cron, number)) == number
    found = diary.seen(cron)
    assert (found["next_run_at"], moment(found["last_run_at"]) >= before) == (cron["next_run_at"], True)
    assert {event["participant_id"] for event in diary.events(cron)} == {None}
    diary.club.tenant.patch(f"/v1/programs/{diary.club.program_id}", {"status": "SUSPENDED"})
    refused = diary.trigger(cron, 409)
    assert (refused["code"], refused["details"]["status"]) == ("program_inactive", "SUSPENDED")
    diary.change(cron, status="paused")
    assert diary.trigger(cron, 400)["message"] == CANNOT, "what the automation forbids comes first"


class TestChanges:
    def test_a_schedule_is_effective_at_once(self, diary: Diary) -> None:
        cron = diary.cron("0 0 1 1 *", timezone="Asia/Tokyo")
        year = datetime.now(UTC).year
        assert cron["next_run_at"] == f"{year}-12-31T15:00:00.000000Z"
        assert diary.change(cron, timezone="UTC")["next_run_at"] == f"{year + 1}-01-01T00:00:00.000000Z"
        changed = diary.change(cron, cron_expression="30 12 1 1 *")
        assert (changed["next_run_at"], changed["cron_expression"]) == (f"{year + 1}-01-01T12:30:00.000000Z", "30 12 1 1 *")
        assert diary.change(cron, status="paused")["next_run_at"] is None
        assert diary.change(cron, cron_expression="0 0 1 1 *")["next_run_at"] is None
        assert diary.change(cron, status="active")["next_run_at"] == f"{year + 1}-01-01T00:00:00.000000Z"

    def test_what_it_has_can_be_cleared(self, diary: Diary) -> None:
        fields = {"description": "d", "participant_filter": VIP, "guard_condition": "true", "filter_hints": [{"has_tag": "VIP"}]}
        cron = diary.cron("0 0 1 1 *", "participants", **fields)
        assert cron["filter_hints"] == [{"has_tag": "vip"}]
        assert {name: cron[name] for name in fields} == fields | {"filter_hints": [{"has_tag": "vip"}]}
        cleared = diary.change(cron, **dict.fromkeys(fields))
        assert {name: cleared[name] for name in fields} == dict.fromkeys(fields) | {"filter_hints": []}
        assert diary.seen(cron) == cleared
        same = diary.change(cron, description=None, name=cron["name"])
        assert same["updated_at"] == cleared["updated_at"]

    @pytest.mark.parametrize(
        ("fields", "field", "reason"),
        [
            ({"trigger_at": ahead(99)}, "trigger_at", "not_allowed"),
            ({"schedule_config": {}}, "schedule_config", "not_allowed"),
            ({"participant_filter": "true"}, "participant_filter", "not_allowed"),
            ({"guard_condition": None}, "guard_condition", "not_allowed"),
            ({"filter_hints": []}, "filter_hints", "not_allowed"),
            ({"trigger_type": "cron"}, "trigger_type", "unknown_field"),
            ({"scope": "program"}, "scope", "unknown_field"),
            ({"participant_id": None}, "participant_id", "unknown_field"),
            ({"status": "archived"}, "status", "invalid"),
            ({"status": None}, "status", "required"),
            ({"name": None}, "name", "required"),
            ({"cron_expression": "0 0 31 2 *"}, "cron_expression", "invalid"),
            ({"timezone": "Mars"}, "timezone", "invalid"),
            ({"payload": None}, "payload", "required"),
        ],
    )
    def test_what_is_no_change_of_a_cron(self, club: Club, fields: dict[str, Any], field: str, reason: str) -> None:
        diary = Diary(club)
        cron = diary.cron("0 0 1 1 *")
        assert faults(diary.change(cron, 400, **fields)) == [(field, reason)]
        assert diary.seen(cron) == cron

    def test_what_is_no_change_of_a_one_time(self, club: Club) -> None:
        diary = Diary(club)
        once = diary.one_time(ahead(99))
        for fields in ({"cron_expression": "0 0 1 1 *"}, {"timezone": "UTC"}):
            assert [reason for _, reason in faults(diary.change(once, 400, **fields))] == ["not_allowed"]
        assert faults(diary.change(once, 400, trigger_at=ahead(-1))) == [("trigger_at", "out_of_range")]
        assert diary.seen(once) == once

    def test_names_stay_unique_and_an_archived_program_is_closed(self, club: Club) -> None:
        diary = Diary(club)
        one, other = diary.cron("0 0 1 1 *"), diary.cron("0 0 1 1 *")
        assert diary.change(other, 409, name=one["name"])["code"] == "name_conflict"
        club.tenant.patch(f"/v1/programs/{club.program_id}", {"status": "ARCHIVED"})
        assert diary.change(other, 409, description="x")["code"] == "program_archived"
        assert diary.make({"type": "immediate"}, status=409)["code"] == "program_archived"


class TestWhoAsks:
    def test_others_find_nothing(self, diary: Diary, stack: Stack) -> None:
        cron = diary.cron("0 0 1 1 *")
        other = new_tenant(stack.database, stack.base_url, "Stranger")
        path = f"{diary.path}/{cron['id']}"
        elsewhere = f"/v1/programs/{other.post('/v1/programs', {'name': 'Q'}, 201)['id']}/automations/{cron['id']}"
        own = diary.tenant.post("/v1/programs", {"name": "Q"}, 201)["id"]
        for tenant, where in ((other, path), (other, elsewhere), (diary.tenant, f"/v1/programs/{own}/automations/{cron['id']}")):
            self.require_nothing(tenant, where)
        other.get(diary.path, 404)
        other.post(diary.path, diary.body({"type": "immediate"}), 404)
        assert diary.seen(cron) == cron
        other.http.close()

    def require_nothing(self, tenant: Tenant, path: str) -> None:
        tenant.get(path, 404)
        tenant.get(f"{path}/subscriptions", 404)
        tenant.patch(path, {"status": "paused"}, 404)
        tenant.call("DELETE", path, 404)
        for what in ("trigger", "cancel", "refresh-subscriptions"):
            tenant.post(f"{path}/{what}", None, 404)

    def test_a_participant_of_others_is_unknown(self, club: Club, stack: Stack) -> None:
        other = new_tenant(stack.database, stack.base_url, "Stranger")
        foreign = other.post("/v1/participants", {"external_id": "x"}, 201)["id"]
        other.http.close()
        diary = Diary(club)
        for id_ in (foreign, "0190a000-0000-7000-8000-000000000000"):
            refused = diary.make({"type": "one_time", "trigger_at": ahead(99)}, "program", 404, participant_id=id_)
            assert refused["details"]["field"] == "participant_id"


def test_lists_are_narrowed_and_paged(club: Club) -> None:
    diary = Diary(club)
    names = ["Alpha_1", "alpha%2", "beta"]
    cron = [diary.cron("0 0 1 1 *", name=name)["id"] for name in names]
    once = diary.one_time(ahead(99), "participants")["id"]
    gone = diary.cron("0 0 2 1 *")
    diary.delete(gone)
    diary.change({"id": cron[2]}, status="paused")

    def ids(**query: Any) -> list[str]:
        return [row["id"] for row in diary.listed(**query)]

    assert ids() == [once, *reversed(cron)]
    assert ids(include_archived="true") == [gone["id"], once, *reversed(cron)]
    assert ids(status="archived") == [gone["id"]]
    assert ids(status="paused") == [cron[2]]
    assert ids(trigger_type="one_time", source="api") == ids(scope="participants") == [once]
    assert ids(search="ALPHA") == [cron[1], cron[0]]
    assert (ids(search="a_1"), ids(search="%"), ids(source="rule_action")) == ([cron[0]], [cron[1]], [])
    first = club.tenant.get(diary.path, limit=3)
    assert [row["id"] for row in first["data"]] == [once, cron[2], cron[1]]
    rest = club.tenant.get(diary.path, limit=3, cursor=first["pagination"]["next_cursor"])
    assert [row["id"] for row in rest["data"]] == [cron[0]]
    club.tenant.call("GET", diary.path, 400, params={"status": "ended"})
