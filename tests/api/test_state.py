"""participants-groups.md, Acceptance examples: state, through real HTTP; what rules do to it is in tests/spec."""

from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.api.helpers import faults, history, participant, program, state_path
from tests.support.client import Tenant
from tests.support.clock import Clock


@pytest.fixture
def person(api: Tenant) -> str:
    return participant(api)


@pytest.mark.example("participants-groups.md", "state 1")
def test_state_01_one_tag(api: Tenant, person: str) -> None:
    assert api.call("PUT", state_path(person, "tags/VIP"), 201) == {"tag": "vip"}
    assert api.call("PUT", state_path(person, "tags/Vip"), 200) == {"tag": "vip"}
    assert history(api, person) == [("add", "vip", None, None)]
    for _ in range(2):
        assert api.call("DELETE", state_path(person, "tags/vIp"), 204) is None
    assert len(history(api, person)) == 2


@pytest.mark.example("participants-groups.md", "state 2")
def test_state_02_all_tags(api: Tenant, person: str) -> None:
    path = state_path(person, "tags")
    assert api.call("PUT", path, 200, json={"tags": ["b", "A", "a"]}) == {"tags": ["a", "b"]}
    assert api.call("PUT", path, 200, json={"tags": ["c"]}) == {"tags": ["c"]}
    changes = [(operation, key) for operation, key, _, _ in history(api, person)]
    assert changes[:3] == [("add", "c"), ("remove", "a"), ("remove", "b")]
    assert api.get(path) == {"data": [{"tag": "c"}], "pagination": {"has_more": False, "next_cursor": None}}


@pytest.mark.example("participants-groups.md", "state 3")
def test_state_03_counters_print_plainly(api: Tenant, person: str) -> None:
    path = state_path(person, "counters/spend")
    assert api.call("PUT", path, 200, json={"value": "340.00"})["value"] == "340"
    assert api.get(path) == {"key": "spend", "value": "340", "reset_after": None, "last_reset_at": None}
    assert history(api, person) == [("set", "spend", None, "340")]


@pytest.mark.example("participants-groups.md", "state 4")
def test_state_04_auto_reset_shows_zero(timed: Tenant, clock: Clock) -> None:
    person = participant(timed)
    path = state_path(person, "counters/daily")
    written = timed.call("PUT", path, 200, json={"value": "5", "reset_after": "2s"})
    assert (written["value"], written["reset_after"]) == ("5", "2s")
    assert timed.get(path) == written
    clock.forward(3)
    shown = timed.get(path)
    assert (shown["value"], shown["last_reset_at"]) == ("0", written["last_reset_at"])
    assert timed.get(state_path(person, "counters"))["data"] == [shown]
    assert timed.get(f"/v1/participants/{person}")["counters"] == {"daily": "0"}
    assert history(timed, person) == [("set", "daily", None, "5")]


@pytest.mark.parametrize("status", [200, 204])
def test_a_lapsed_counter_is_reset_before_it_is_written_or_deleted(timed: Tenant, clock: Clock, status: int) -> None:
    person = participant(timed)
    path = state_path(person, "counters/daily")
    timed.call("PUT", path, 200, json={"value": "5", "reset_after": "2s"})
    clock.forward(3)
    if status == 200:
        written = timed.call("PUT", path, 200, json={"value": "7"})
        assert (written["value"], written["reset_after"]) == ("7", "2s")
        last = ("set", "daily", "0", "7")
    else:
        timed.call("DELETE", path, 204)
        last = ("delete", "daily", "0", None)
    assert history(timed, person) == [last, ("auto_reset", "daily", "5", "0"), ("set", "daily", None, "5")]


@pytest.mark.example("participants-groups.md", "state 5")
def test_state_05_auto_reset_is_removed(timed: Tenant, clock: Clock) -> None:
    api, person = timed, participant(timed)
    path = state_path(person, "counters/daily")
    api.call("PUT", path, 200, json={"value": "5", "reset_after": "2s"})
    kept = api.call("PUT", path, 200, json={"value": "6"})
    assert kept["reset_after"] == "2s"
    removed = api.call("PUT", path, 200, json={"value": "1", "reset_after": ""})
    assert (removed["value"], removed["reset_after"], removed["last_reset_at"]) == ("1", None, None)
    clock.forward(3)
    assert api.get(state_path(person, "counters"))["data"] == [{"key": "daily", "value": "1"}]


@pytest.mark.example("participants-groups.md", "state 6")
@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"value": 5}, ("value", "invalid")),
        ({"value": "abc"}, ("value", "invalid")),
        ({"value": "1e3"}, ("value", "invalid")),
        ({}, ("value", "required")),
        ({"value": "1" + "0" * 20}, ("value", "out_of_range")),
        ({"value": "9" * 20 + "." + "9" * 18}, None),
        ({"value": "1", "reset_after": "2 days"}, ("reset_after", "invalid")),
        ({"value": "1", "reset_after": "0s"}, ("reset_after", "out_of_range")),
        ({"value": "1", "reset_after": "43801h"}, ("reset_after", "out_of_range")),
        ({"value": "1", "reset_after": 60}, ("reset_after", "invalid")),
    ],
)
def test_state_06_bad_counters(api: Tenant, person: str, body: dict[str, object], fault: tuple[str, str] | None) -> None:
    found = api.call("PUT", state_path(person, "counters/x"), 400 if fault else 200, json=body)
    if fault is None:
        assert found["value"] == body["value"]
    else:
        assert faults(found) == [fault]
        assert api.get(state_path(person, "counters"))["data"] == history(api, person) == []


@pytest.mark.example("participants-groups.md", "state 7")
@pytest.mark.parametrize("kind", ["counter", "attribute"])
def test_state_07_absent_entries(api: Tenant, person: str, kind: str) -> None:
    missing = api.get(state_path(person, f"{kind}s/none"), 404)
    assert (missing["code"], missing["details"]) == ("not_found", {"resource": kind, "id": "none"})
    api.call("DELETE", state_path(person, f"{kind}s/none"), 204)
    assert history(api, person) == []


@pytest.mark.example("participants-groups.md", "state 8")
def test_state_08_bad_attributes(api: Tenant, person: str) -> None:
    empty = api.call("PUT", state_path(person, "attributes/city"), 400, json={"value": ""})
    assert faults(empty) == [("value", "required")]
    for value in (1, None, ""):
        body = api.patch(state_path(person, "attributes"), {"attributes": {"n": value}}, 400)
        assert body["details"]["field"] == "attributes.n"
    long = api.call("PUT", state_path(person, f"attributes/{'k' * 256}"), 400, json={"value": "x"})
    assert faults(long) == [("key", "too_long")]
    assert faults(api.call("PUT", state_path(person, "attributes/a"), 400, json={"value": "x" * 4097})) == [("value", "too_long")]
    assert api.get(state_path(person, "attributes"))["data"] == history(api, person) == []


@pytest.mark.example("participants-groups.md", "state 9")
def test_state_09_same_value_twice(api: Tenant, person: str) -> None:
    for _ in range(2):
        assert api.call("PUT", state_path(person, "attributes/city"), 200, json={"value": "Rome"}) == {
            "key": "city",
            "value": "Rome",
        }
    assert history(api, person) == [("set", "city", None, "Rome")]


def test_attributes_merge_and_go(api: Tenant, person: str) -> None:
    path = state_path(person, "attributes")
    assert api.patch(path, {"attributes": {"b": "2", "a": "1"}}) == {"attributes": {"a": "1", "b": "2"}}
    assert api.patch(path, {"attributes": {"a": "3"}}) == {"attributes": {"a": "3", "b": "2"}}
    api.call("DELETE", f"{path}/b", 204)
    assert api.get(path)["data"] == [{"key": "a", "value": "3"}]
    assert history(api, person)[0] == ("delete", "b", "2", None)


@pytest.mark.parametrize("key", ["größe", "a b", "50%", "a?b", "#1", "..."])
def test_keys_are_percent_encoded(api: Tenant, person: str, key: str) -> None:
    path = state_path(person, f"counters/{quote(key, safe='')}")
    assert api.call("PUT", path, 200, json={"value": "1"})["key"] == key
    assert api.get(path)["key"] == key


@pytest.mark.parametrize("key", ["a%2Fb", "%20a", "a%20", "a%00", "a%0Ab"])
def test_bad_keys_are_refused(api: Tenant, person: str, key: str) -> None:
    bad = api.call("PUT", state_path(person, f"counters/{key}"), 400, json={"value": "1"})
    assert faults(bad) == [("key", "invalid")]
    assert api.call("PUT", state_path(person, "tags/%ff"), 400)["details"]["field"] == "path"


def test_history_filters_and_author(api: Tenant, person: str) -> None:
    api.call("PUT", state_path(person, "tags/x"), 201)
    api.call("PUT", state_path(person, "counters/n"), 200, json={"value": "1"})
    api.call("PUT", state_path(person, "counters/n"), 200, json={"value": "2"})
    path = f"/v1/participants/{person}/activity/state-history"
    rows = api.get(path, state_type="counter")["data"]
    assert [(row["old_value"], row["new_value"]) for row in rows] == [("1", "2"), (None, "1")]
    assert rows[0]["changed_by_api_key_id"] is not None
    assert (rows[0]["event_id"], rows[0]["rule_id"], rows[0]["program_id"]) == (None, None, None)
    assert history(api, person, operation="add") == [("add", "x", None, None)]
    assert history(api, person, key="n", **{"from": rows[0]["changed_at"]}) == [("set", "n", "1", "2")]
    assert history(api, person, event_to=rows[1]["changed_at"]) == [("set", "n", None, "1"), ("add", "x", None, None)]
    first = api.get(path, limit=2)
    rest = api.get(path, cursor=first["pagination"]["next_cursor"])
    assert (len(first["data"]), len(rest["data"])) == (2, 1)
    assert faults(api.get(path, 400, limit="101")) == [("limit", "out_of_range")]
    assert api.get(path, program_id=program(api))["data"] == []
    assert api.get(path, 404, program_id=str(uuid4()))["details"]["field"] == "program_id"
    assert faults(api.get(path, 400, state_type="TAG")) == [("state_type", "invalid")]


def test_another_tenant_sees_nothing(api: Tenant, stranger: Tenant, person: str) -> None:
    api.call("PUT", state_path(person, "counters/n"), 200, json={"value": "1"})
    bodies = {"tags": {"tags": []}, "counters/n": {"value": "2"}, "attributes/a": {"value": "x"}}
    for rest in ("tags", "counters", "attributes", "counters/n", "attributes/a"):
        stranger.get(state_path(person, rest), 404)
    for rest, body in bodies.items():
        stranger.call("PUT", state_path(person, rest), 404, json=body)
    for rest in ("tags/x", "counters/n", "attributes/a"):
        stranger.call("DELETE", state_path(person, rest), 404)
    stranger.patch(state_path(person, "attributes"), {"attributes": {"a": "b"}}, 404)
    stranger.get(f"/v1/participants/{person}/activity/state-history", 404)
    assert api.get(state_path(person, "counters/n"))["value"] == "1"
    assert api.get(state_path(str(uuid4()), "tags"), 404)["details"]["resource"] == "participant"
