"""automations.md 5, the examples with dates, and the test clock's due moments (conventions.md, Test clock): a product of its own."""

import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from domain.timestamps import format_timestamp, parse_timestamp
from runtime.embedded import EmbeddedPostgres, EmbeddedTemporal
from tests.support.client import Tenant, new_tenant
from tests.support.club import make_club
from tests.support.databases import make_database
from tests.support.schedules import Diary
from tests.support.stack import Stack, poll, run_stack

URL = "/v1/test-clock"


@pytest.fixture(scope="module")
def machine(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running product whose clock may be moved, with servers of its own. Its tests run in the order of their dates."""
    folder = tmp_path_factory.mktemp("automation-clock")
    with EmbeddedTemporal(folder / "temporal", headless=True, in_memory=True) as temporal:
        url = make_database(postgres.dsn, "automation_clock")
        with run_stack(url, temporal, Path(folder), test_clock=True) as running:
            yield running


@pytest.fixture
def diary(machine: Stack) -> Iterator[Diary]:
    """A program without any other automation of anybody."""
    tenant = new_tenant(machine.database, machine.base_url)
    made = Diary(make_club(tenant, machine.database))
    yield made
    for automation in made.listed(source="api"):
        made.delete(automation)
    tenant.http.close()


def shown(tenant: Tenant) -> datetime:
    return parse_timestamp(tenant.get(URL)["now"])


def move(diary: Diary, moment: str) -> int:
    return int(diary.tenant.post(URL, {"now": moment})["steps"])


def dates(diary: Diary, automation: dict[str, object], wanted: int) -> list[str]:
    events = diary.events(automation, wanted)
    return [event["event_timestamp"].replace(".000000", "") for event in events]


@pytest.mark.example("conventions.md", 15)
def test_too_many_occurrences_move_nothing(diary: Diary) -> None:
    # just after a minute, so that none begins by itself meanwhile
    move(diary, format_timestamp(shown(diary.tenant).replace(second=1) + timedelta(minutes=1)))
    cron = diary.cron("* * * * *")
    before = shown(diary.tenant)
    refused = diary.tenant.post(URL, {"now": format_timestamp(before + timedelta(days=30))}, 400)
    assert [(item["field"], item["reason"]) for item in refused["details"]["fields"]] == [("now", "out_of_range")]
    assert timedelta(0) <= shown(diary.tenant) - before < timedelta(seconds=30)
    there = parse_timestamp(cron["next_run_at"]) + timedelta(minutes=30, seconds=30)
    steps = move(diary, format_timestamp(there))
    found = dates(diary, cron, steps)
    assert steps == 31
    assert len(set(found)) == len(found) == steps, "the test clock misses none"
    gaps = {parse_timestamp(later) - parse_timestamp(earlier) for earlier, later in itertools.pairwise(found)}
    assert gaps == {timedelta(minutes=1)}


@pytest.mark.example("automations.md", 5)
def test_the_day_that_summer_time_begins(diary: Diary) -> None:
    move(diary, "2030-03-30T09:00:00Z")
    cron = diary.cron("0 9 * * *", timezone="Europe/Paris")
    assert cron["next_run_at"] == "2030-03-31T07:00:00.000000Z"
    assert (cron["timezone"], cron["last_run_at"]) == ("Europe/Paris", None)


@pytest.mark.example("automations.md", 6)
def test_hours_that_are_skipped_or_repeated(diary: Diary) -> None:
    move(diary, "2030-03-30T12:00:00Z")
    spring = diary.cron("30 2 * * *", timezone="Europe/Paris")
    twice = diary.cron("0,30 2 * * *", timezone="Europe/Paris")
    assert move(diary, "2030-03-31T06:00:00Z") == 1
    assert dates(diary, spring, 1) == dates(diary, twice, 1) == ["2030-03-31T01:00:00Z"]
    found = diary.seen(spring)
    assert found["next_run_at"] == "2030-04-01T00:30:00.000000Z"
    assert "2030-03-31T01:00:00" <= found["last_run_at"] < "2030-03-31T01:01:00"
    diary.delete(spring)
    diary.delete(twice)
    move(diary, "2030-10-26T22:00:00Z")
    autumn = diary.cron("30 2 * * *", timezone="Europe/Paris")
    elapsed = diary.cron("*/30 * * * *", timezone="Europe/Paris")
    assert move(diary, "2030-10-27T04:15:00Z") == 12
    assert dates(diary, autumn, 1) == ["2030-10-27T00:30:00Z"]
    half_hours = [
        f"2030-10-2{6 if hour > 20 else 7}T{hour:02}:{minute}:00Z" for hour in (22, 23, 0, 1, 2, 3) for minute in ("00", "30")
    ]
    assert dates(diary, elapsed, 12) == [*half_hours[1:], "2030-10-27T04:00:00Z"]


def put(diary: Diary, name: str, path: str, body: dict[str, str]) -> None:
    diary.tenant.call("PUT", f"/v1/participants/{diary.club.participant_id(name)}/state/{path}", 200, json=body)


@pytest.mark.example("automations.md", 10)
def test_birthdays(diary: Diary) -> None:
    move(diary, "2032-05-01T00:00:00Z")
    for name, day in (("a", "05-20"), ("b", "soon")):
        diary.club.completed({}, name)
        put(diary, name, "attributes/birthday", {"value": day})
    diary.club.completed({}, "c")
    made = diary.subscribe(
        "ATTRIBUTE_DATE", {"attribute": "birthday", "time": "09:00"}, filter_hints=[{"has_attribute": "birthday"}]
    )
    early = diary.subscribe("ATTRIBUTE_DATE", {"attribute": "birthday", "time": "09:00", "offset_days": -7})
    assert early["schedule_config"] == {"attribute": "birthday", "offset_days": -7, "time": "09:00"}
    found = diary.subscriptions(made)
    assert {name: row["status"] for name, row in found.items()} == {"a": "active", "b": "failed"}
    assert found["a"]["next_trigger_at"] == "2032-05-20T09:00:00.000000Z"
    assert diary.subscriptions(early)["a"]["next_trigger_at"] == "2032-05-13T09:00:00.000000Z"
    move(diary, "2032-05-21T00:00:00Z")
    assert dates(diary, made, 1) == ["2032-05-20T09:00:00Z"]
    assert dates(diary, early, 1) == ["2032-05-13T09:00:00Z"]
    assert diary.subscriptions(made)["a"]["next_trigger_at"] == "2033-05-20T09:00:00.000000Z"
    diary.tenant.call("DELETE", f"/v1/participants/{diary.club.participant_id('a')}/state/attributes/birthday", 204)
    diary.refresh(made)
    poll(lambda: diary.subscriptions(made, status="cancelled").keys() == {"a"})


@pytest.mark.example("automations.md", 13)
def test_deletion_and_rollover_are_changes(diary: Diary) -> None:
    move(diary, "2033-12-01T00:00:00Z")
    diary.club.rule('event.type == "order"', {"type": "COUNTER", "key": "orders", "value": "event.n"})
    diary.club.completed({"type": "order", "n": 9}, "c")
    for name in "ab":
        diary.club.completed({}, name)
    rank = {"mode": "ALL", "criteria": [{"counter": "orders", "operator": ">=", "threshold": 100}]}
    lifecycle = {
        "retention": {"mode": "PERIOD_BASED"},
        "qualification_period": {"type": "CALENDAR_YEAR"},
        "counters": {"qualifying": ["orders"], "rollover": "NONE"},
    }
    made = diary.subscribe("THRESHOLD", {"counter": "orders", "operator": "<=", "threshold": "0"})
    diary.tenant.call("DELETE", f"/v1/participants/{diary.club.participant_id('c')}/state/counters/orders", 204)
    assert [event["external_id"] for event in diary.events(made, 1)] == ["c"]
    tier = {"key": "club", "levels": [{"key": "gold", "rank": 1, "qualification": rank}], "lifecycle": lifecycle}
    diary.tenant.post(f"/v1/programs/{diary.club.program_id}/tiers", tier, 201)
    diary.club.completed({"type": "order", "n": 4}, "c")
    move(diary, "2034-01-02T00:00:00Z")
    assert [event["external_id"] for event in diary.events(made, 2)] == ["c", "c"]
    assert dates(diary, made, 2)[1].startswith("2034-01-01T00:00:00")
