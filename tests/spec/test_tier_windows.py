"""The windows of tiers.md over HTTP with the test clock: its examples of years, and what comes between them."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata

from domain.timestamps import format_timestamp, parse_timestamp
from runtime.embedded import EmbeddedPostgres, EmbeddedTemporal
from tests.support.client import Tenant, new_tenant
from tests.support.club import Club, make_club
from tests.support.databases import make_database
from tests.support.stack import Stack, poll, run_stack
from workflows.contracts_tiers import TierRetentionStatus, tier_retention_workflow_id

URL = "/v1/test-clock"
THRESHOLDS = {"bronze": 100, "silver": 500, "gold": 1000}


@pytest.fixture(scope="module")
def own_temporal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedTemporal]:
    with EmbeddedTemporal(tmp_path_factory.mktemp("tiers-temporal"), headless=True, in_memory=True) as server:
        yield server


@pytest.fixture(scope="module")
def machine(
    postgres: EmbeddedPostgres, own_temporal: EmbeddedTemporal, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A running product whose clock may be moved, with servers of its own."""
    data = Path(tmp_path_factory.mktemp("tiers"))
    with run_stack(make_database(postgres.dsn, "tier_windows"), own_temporal, data, test_clock=True) as running:
        yield running


def levels() -> list[dict[str, Any]]:
    return [
        {"key": key, "rank": rank, "qualification": points(threshold)}
        for rank, (key, threshold) in enumerate(THRESHOLDS.items(), 1)
    ]


def points(threshold: int) -> dict[str, Any]:
    return {"mode": "ALL", "criteria": [{"counter": "points", "operator": ">=", "threshold": threshold}]}


def calendar(**changes: Any) -> dict[str, Any]:
    """The lifecycle of example 8."""
    usual = {
        "retention": {"mode": "PERIOD_BASED"},
        "qualification_period": {"type": "CALENDAR_YEAR"},
        "counters": {"qualifying": ["points"], "rollover": "EXCESS"},
    }
    return usual | changes


@dataclass
class Years:
    """Tier `club` and ann; year 0 is one that nobody has been in yet, since the clock only goes forward."""

    club: Club
    machine: Stack
    zero: int

    @property
    def api(self) -> Tenant:
        return self.club.tenant

    def at(self, year: int, month: int = 1, day: int = 1) -> datetime:
        return datetime(self.zero + year, month, day, tzinfo=UTC)

    def text(self, year: int, month: int = 1, day: int = 1) -> str:
        return format_timestamp(self.at(year, month, day))

    def move(self, to: datetime) -> int:
        steps: int = self.api.post(URL, {"now": format_timestamp(to)})["steps"]
        return steps

    def define(self, lifecycle: dict[str, Any] | None) -> dict[str, Any]:
        """The tier and the rule that counts."""
        self.club.rule("true", {"type": "COUNTER", "key": "points", "value": "event.n"}, order=10)
        body = {"key": "club", "levels": levels(), "lifecycle": lifecycle}
        made: dict[str, Any] = self.api.post(f"/v1/programs/{self.club.program_id}/tiers", body, 201)
        return made

    def change(self, **body: Any) -> dict[str, Any]:
        changed: dict[str, Any] = self.api.call("PATCH", f"/v1/programs/{self.club.program_id}/tiers/club", 200, json=body)
        return changed

    def earn(self, n: int, who: str = "ann") -> None:
        self.club.completed({"n": n}, who)

    def path(self, rest: str, who: str = "ann") -> str:
        return f"/v1/participants/{self.club.participant_id(who)}/{rest}"

    def call(self, method: str, status: int, rest: str = "", who: str = "ann", **options: Any) -> Any:
        path = f"{self.path('state/tiers/club', who)}{rest}?program_id={self.club.program_id}"
        return self.api.call(method, path, status, **options)

    def stand(self, who: str = "ann") -> tuple[str, str | None]:
        """Level and expiry."""
        found = self.call("GET", 200, who=who)
        return found["level"], found["expires_at"]

    def counter(self, who: str = "ann") -> str:
        value: str = self.api.get(self.path("state/counters/points", who))["value"]
        return value

    def history(self, who: str = "ann") -> list[tuple[str | None, str | None, str]]:
        """Changes of level, oldest first."""
        rows = self.api.get(self.path("activity/tier-history", who))["data"]
        return [(row["from_level"], row["to_level"], row["reason"]) for row in reversed(rows)]

    def resets(self, who: str = "ann") -> list[tuple[str, str]]:
        """What the counter was before and after each time it rolled over, oldest first."""
        rows = self.api.get(self.path("activity/state-history", who), operation="auto_reset")["data"]
        assert {row["program_id"] for row in rows} <= {self.club.program_id}
        return [(row["old_value"], row["new_value"]) for row in reversed(rows)]

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self.club.database.connection() as conn:
            cursor = conn.execute(statement, list(values))
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def years(machine: Stack) -> Iterator[Years]:
    tenant = new_tenant(machine.database, machine.base_url)
    club = make_club(tenant, machine.database)
    shown = parse_timestamp(tenant.get(URL)["now"])
    found = Years(club, machine, shown.year + 1)
    found.move(found.at(0, 3))
    yield found
    # nothing of this test is due in the years of the next one
    for tier in tenant.get(f"/v1/programs/{club.program_id}/tiers")["data"]:
        tenant.post(f"/v1/programs/{club.program_id}/tiers/{tier['key']}/archive", {}, 200)
    tenant.http.close()


@pytest.mark.example("tiers.md", "8")
def test_a_year_at_a_time(years: Years) -> None:
    years.define(calendar())
    years.earn(1300)
    assert years.stand() == ("gold", years.text(1))
    assert years.move(years.at(1)) == 1
    assert (years.stand(), years.counter()) == (("gold", years.text(2)), "300")
    years.earn(250)
    assert years.counter() == "550"
    years.move(years.at(2))
    assert (years.stand(), years.counter()) == (("silver", years.text(3)), "50")
    assert years.history() == [(None, "gold", "QUALIFICATION"), ("gold", "silver", "PERIOD_END")]
    assert years.resets() == [("1300", "300"), ("550", "50")]
    [row, _] = years.api.get(years.path("activity/tier-history"))["data"]
    assert (row["change"], row["expires_at"], row["event_id"], row["rule_id"]) == ("DOWNGRADED", years.text(3), None, None)
    assert timedelta(0) <= parse_timestamp(row["changed_at"]) - years.at(2) < timedelta(minutes=1)


@pytest.mark.example("tiers.md", "9")
def test_validity_and_grace(years: Years) -> None:
    lifecycle = calendar(status_validity={"extend_months": 2}, downgrade_policy={"mode": "DROP_TO_QUALIFYING", "grace_days": 10})
    years.define(lifecycle)
    for who in ("ann", "bob"):
        years.earn(1300, who)
    assert years.stand() == ("gold", years.text(1, 3))
    years.move(years.at(1))
    assert years.stand() == ("gold", years.text(2, 3))
    for who in ("ann", "bob"):
        years.earn(250, who)
    years.move(years.at(2))
    assert (years.stand(), years.counter()) == (("gold", years.text(2, 3)), "0")
    years.earn(120)
    years.move(years.at(2, 2, 20))
    years.earn(1000, "bob")
    assert years.stand("bob") == ("gold", years.text(3, 3))
    years.move(years.at(2, 3, 10) + timedelta(hours=23))
    assert years.stand()[0] == "gold"
    years.move(years.at(2, 3, 11))
    assert years.stand() == ("bronze", years.text(3, 3))
    assert years.call("GET", 200)["acquired_at"] == years.text(2, 3, 11)
    assert (years.stand("bob"), years.counter("bob")) == (("gold", years.text(3, 3)), "1000")


@pytest.mark.example("tiers.md", "10")
def test_never_below_the_lowest_level(years: Years) -> None:
    years.define(calendar(downgrade_policy={"mode": "DROP_ONE", "min_level": "silver"}))
    years.earn(1300)
    years.move(years.at(1))
    assert years.stand()[0] == "gold"
    years.earn(-300)
    years.move(years.at(2))
    assert years.stand() == ("silver", None)
    years.move(years.at(4))
    assert (years.stand(), len(years.history())) == (("silver", None), 2)


@pytest.mark.example("tiers.md", "11")
def test_activity(years: Years) -> None:
    retention = {"mode": "ACTIVITY_REFRESH", "duration": "720h"}
    years.define({"retention": retention, "downgrade_policy": {"mode": "DROP_ONE"}})
    years.earn(600)
    start = parse_timestamp(years.call("GET", 200)["acquired_at"])
    years.move(start + timedelta(hours=700))
    years.earn(0)
    level, expiry = years.stand()
    moved = parse_timestamp(expiry or "")
    assert (level, round((moved - start) / timedelta(hours=1), 1)) == ("silver", 1420.0)
    years.move(moved - timedelta(minutes=1))
    assert years.stand()[0] == "silver"
    years.move(moved)
    assert years.stand() == ("bronze", format_timestamp(moved + timedelta(hours=720)))
    years.move(moved + timedelta(hours=721))
    years.call("GET", 404)
    assert years.history()[1:] == [("silver", "bronze", "INACTIVITY"), ("bronze", None, "INACTIVITY")]


@pytest.mark.example("tiers.md", "14")
def test_years_without_a_visitor(years: Years) -> None:
    years.define(calendar())
    years.earn(1300)
    years.move(years.at(1, 6))
    assert years.counter() == "300"
    progress = years.call("GET", 200, "/progress")
    assert (progress["level"], progress["next_level"], progress["period_end"]) == ("gold", None, years.text(2))
    before = len(years.history())
    years.move(years.at(4, 2))
    years.earn(5)
    assert years.stand() == ("bronze", years.text(5))
    assert years.call("GET", 200)["acquired_at"] == years.text(2)
    assert (years.counter(), len(years.history())) == ("5", before + 1)
    assert [new for _, new in years.resets()] == ["300", "200", "100", "0"]


def test_a_clock_that_jumped_over_years_is_caught_up_with_by_whoever_comes_first(years: Years) -> None:
    """As after a server that was down: nobody visited the moments, the offset alone was moved."""
    years.define(calendar())
    looks: list[Callable[[str], Any]] = [
        lambda who: years.counter(who),
        lambda who: years.api.get(years.path("state/counters", who)),
        lambda who: years.api.get(f"/v1/participants/{years.club.participant_id(who)}"),
        lambda who: years.call("GET", 200, "/progress", who),
        lambda who: years.api.get(years.path("state/tiers", who), program_id=years.club.program_id),
        lambda who: years.history(who),
        lambda who: years.earn(5, who),
        lambda who: years.api.call("PUT", years.path("state/counters/other", who), 200, json={"value": "1"}),
    ]
    names = [f"visitor{number}" for number in range(len(looks))]
    for who in names:
        years.earn(1300, who)
    with years.club.database.connection() as conn:
        # in the middle of the third year, in one step; the clock of the move is told of no moment
        conn.execute("UPDATE deployment SET clock_offset = %s::timestamptz - clock_timestamp()", [years.at(2, 6)])
    for look, who in zip(looks, names, strict=True):
        look(who)
        [(level, acquired_at)] = years.sql(
            "SELECT level_key, acquired_at FROM tier_states WHERE holder_id = %s", years.club.participant_id(who)
        )
        assert (level, acquired_at) == ("bronze", years.at(2))
        assert years.resets(who)[:2] == [("1300", "300"), ("300", "200")]
        assert years.counter(who) == ("205" if look is looks[6] else "200")


def test_explicit_expiries_come_without_a_visitor(years: Years) -> None:
    tier = years.define(None)
    years.earn(0)
    until = parse_timestamp(years.api.get(URL)["now"]) + timedelta(seconds=2)
    years.call("PUT", 200, json={"level": "gold", "expires_at": format_timestamp(until)})
    ann = years.club.participant_id("ann")
    look = "SELECT reason FROM tier_history WHERE entity_id = %s ORDER BY changed_at"
    poll(lambda: len(years.sql(look, ann)) == 2, 20)
    assert years.history() == [(None, "gold", "API"), ("gold", None, "EXPIRY")]
    years.call("GET", 404)
    flow = years.machine.client.get_workflow_handle(tier_retention_workflow_id(tier["id"]), result_type=TierRetentionStatus)
    status = years.machine.loop.run(flow.query("status", result_type=TierRetentionStatus))
    assert (status.totals.levels, status.totals.holders) == (1, 1)
    years.api.post(f"/v1/programs/{years.club.program_id}/tiers/club/archive", {}, 200)
    assert years.machine.loop.run(flow.result()).phase == "ended"


def test_raised_thresholds_demote_nobody_before_the_window_says_so(years: Years) -> None:
    years.define(calendar())
    years.earn(1300)
    years.change(levels=[{"key": "gold", "qualification": points(5000)}, {"key": "silver", "qualification": points(1200)}])
    years.earn(0)
    assert years.stand() == ("gold", years.text(1))
    years.move(years.at(0, 12, 31))
    assert years.stand() == ("gold", years.text(1))
    years.move(years.at(1))
    assert (years.stand(), years.counter()) == (("silver", years.text(2)), "100")


def test_the_flow_shows_what_the_definition_has_become_while_it_sleeps(years: Years) -> None:
    """As a person sees it in the Temporal UI: requests that are refused change nothing, the others its next moment."""
    made = years.define(calendar())
    years.earn(1300)
    path = f"/v1/programs/{years.club.program_id}/tiers/club"
    flow = years.machine.client.get_workflow_handle(tier_retention_workflow_id(UUID(made["id"])), result_type=TierRetentionStatus)
    run = years.machine.loop.run

    def shows(text: str) -> bool:
        metadata = run(flow.query("__temporal_workflow_metadata", result_type=WorkflowMetadata))
        return text in metadata.current_details

    def next_is(moment: datetime) -> bool:
        return shows(f"**Next moment** {moment.isoformat(timespec='seconds')}")

    # events move moments without telling the flow, which would look by itself in half a minute
    run(flow.signal("wake"))
    poll(lambda: next_is(years.at(1)))
    for status, body in (
        (400, {"lifecycle": calendar(downgrade_policy={"min_level": "x"})}),
        (400, {"lifecycle": {"timezone": "UTC"}}),
        (400, {"levels": [{"key": "gold", "qualification": points(1) | {"mode": "MOST"}}]}),
        (409, {"levels": [{"key": "bronze", "rank": 2}], "lifecycle": {}}),
    ):
        years.api.call("PATCH", path, status, json=body)
    assert years.api.get(path) == made
    assert next_is(years.at(1))
    june = {"type": "FIXED_YEAR", "start_month": 6, "start_day": 15}
    years.change(lifecycle=calendar(qualification_period=june), levels=[{"key": "gold", "qualification": points(5000)}])
    poll(lambda: next_is(years.at(0, 6, 15)))
    years.move(years.at(0, 6, 14))
    assert years.stand() == ("gold", years.text(0, 6, 15))
    years.move(years.at(0, 6, 15))
    assert (years.stand(), years.counter()) == (("silver", years.text(1, 6, 15)), "800")
    poll(lambda: next_is(years.at(1, 6, 15)))
    years.change(lifecycle={})
    poll(lambda: shows("**Next moment** none is known"))
    assert years.stand() == ("silver", None)
    run(flow.signal("wake", {"not": "expected"}))
    years.api.post(f"{path}/archive", {}, 200)
    assert run(flow.result()).phase == "ended"
    assert shows("**Tier** `club`, ARCHIVED")


def test_a_new_lifecycle_starts_at_once_after_what_the_old_one_still_had_to_do(years: Years) -> None:
    years.define(calendar())
    years.earn(1300)
    years.earn(700, "bob")
    with years.club.database.connection() as conn:
        conn.execute("UPDATE deployment SET clock_offset = %s::timestamptz - clock_timestamp()", [years.at(1, 2)])
    years.change(lifecycle={"retention": {"mode": "ACTIVITY_REFRESH", "duration": "24h"}})
    # the period end of before was carried out by the old lifecycle
    assert (years.counter(), years.counter("bob")) == ("300", "200")
    level, expiry = years.stand()
    assert level == "gold"
    assert timedelta(hours=24) <= parse_timestamp(expiry or "") - years.at(1, 2) < timedelta(hours=25)
    years.change(lifecycle={})
    assert (years.stand(), years.stand("bob")) == (("gold", None), ("silver", None))
    years.change(lifecycle=calendar())
    assert years.stand() == ("gold", years.text(2))
    years.move(years.at(2))
    assert (years.stand()[0], years.counter(), years.counter("bob")) == ("bronze", "200", "100")


def test_counters_without_a_level_roll_over_too(years: Years) -> None:
    """Of participants of the program and of groups, whichever program's event counted; of nobody else."""
    years.earn(1, "before")
    years.define(calendar())
    program_id = years.api.post("/v1/programs", {"name": "Q"}, 201)["id"]
    other = Club(years.api, years.club.database, program_id, {})
    other.rule("true", {"type": "COUNTER", "key": "points", "value": "event.n"})
    other.completed({"n": 40}, "stranger")
    years.club.completed({"n": 70}, "member")
    other.completed({"n": 5}, "member")
    group = years.api.post(
        "/v1/groups",
        {"name": "G", "members": [{"participant_id": str(years.club.participant_id("member")), "role": "ADMIN"}]},
        201,
    )
    years.api.call("PUT", f"/v1/groups/{group['id']}/state/counters/points", 200, json={"value": "30"})
    years.move(years.at(1, 2))
    assert (years.counter("member"), years.counter("stranger")) == ("0", "40")
    assert years.api.get(f"/v1/groups/{group['id']}/state/counters/points")["value"] == "0"
    # it joins later: only period ends from then on concern it
    years.club.completed({"n": 2}, "stranger")
    assert years.counter("stranger") == "42"
    years.move(years.at(2, 2))
    assert years.counter("stranger") == "0"


def test_each_step_is_done_once_however_many_come_at_once(years: Years) -> None:
    years.define(calendar())
    names = [f"member{number}" for number in range(12)]
    for who in names:
        years.club.send({"n": 2300}, who)
    poll(
        lambda: (
            len(years.sql("SELECT 1 FROM tier_states WHERE program_id = %s AND level_key = 'gold'", years.club.program_id)) == 12
        )
    )
    with years.club.database.connection() as conn:
        conn.execute("UPDATE deployment SET clock_offset = %s::timestamptz - clock_timestamp()", [years.at(3, 2)])
    ids = {who: years.club.participant_id(who) for who in names}

    def visit(number: int) -> None:
        who = names[number % len(names)]
        if number % 3 == 0:
            years.club.send({"n": 1}, who)
        else:
            years.api.get(f"/v1/participants/{ids[who]}/state/counters/points")

    with ThreadPoolExecutor(8) as clients:
        list(clients.map(visit, range(96)))
    with years.club.database.connection() as conn:
        counts = conn.execute(
            "SELECT count(*), count(DISTINCT (entity_id, old_value)) FROM state_history"
            " WHERE entity_id = ANY(%s) AND operation = 'auto_reset'",
            [list(ids.values())],
        ).fetchone()
    # 2300 -> 1300 -> 300, gold still; then not gold: bronze, 200
    assert counts == (36, 36)
    assert {years.history(who)[-1] for who in names} == {("gold", "bronze", "PERIOD_END")}


def test_a_dry_run_sees_what_is_due_and_writes_nothing(years: Years) -> None:
    years.define(calendar())
    years.earn(1300)
    with years.club.database.connection() as conn:
        conn.execute("UPDATE deployment SET clock_offset = %s::timestamptz - clock_timestamp()", [years.at(1, 2)])
    body = {"program_id": years.club.program_id, "external_id": "ann", "event_data": {"n": 10}}
    found = years.api.post("/v1/events/simulate", body, 200)
    [change] = [row for row in found["state_changes"] if row["state_type"] == "counter"]
    assert (change["old_value"], change["new_value"]) == ("300", "310")
