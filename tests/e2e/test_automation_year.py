"""A year and a fortnight of automations for 1,000 participants: each fires once in each period, whatever dies on the way.

The processes are those of a deployment, and the test clock moves them through the year. Two outages are in it: one by kill -9
in the middle of a move across the beginning of summer time, one of twelve days over the first of a month. What must fire comes
of an almanac that knows nothing of the product. `OPENSCRIP_YEAR=1000` is the number of participants; `make year` runs them all.
"""

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from db.session import Database
from domain.timestamps import format_timestamp, parse_timestamp
from runtime.embedded import EmbeddedPostgres, EmbeddedTemporal
from runtime.processes import wait_until
from runtime.settings import Settings
from runtime.temporal import connect
from tests.support.almanac import birthdays, firsts_of_months, is_birthday, mornings
from tests.support.books import assert_books
from tests.support.client import Tenant, new_tenant
from tests.support.clock import Clock
from tests.support.club import Club, make_club
from tests.support.cluster import Cluster, run_cluster
from tests.support.databases import make_database
from tests.support.loop import LoopThread
from tests.support.schedules import Diary
from tests.support.stack import poll
from workflows.contracts import DueKind
from workflows.signals import ensure_due_work

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PARTICIPANTS = int(os.environ.get("OPENSCRIP_YEAR", "200"))
PROCESSES = ("api", "worker-1")
CLOCK = "/v1/test-clock"

# a last day of February that is the 28th and one that is the 29th, and all changes between summer and winter time of two zones
START = datetime(2031, 2, 15, 12, tzinfo=UTC)
STRUCK = datetime(2031, 3, 28, tzinfo=UTC)
AFTER_STRIKE = datetime(2031, 4, 20, tzinfo=UTC)
DOWN = datetime(2031, 11, 25, 12, tzinfo=UTC)
UP_AGAIN = datetime(2031, 12, 7, 12, tzinfo=UTC)
END = datetime(2032, 3, 2, 12, tzinfo=UTC)

# a time of day that a night in spring skips and one in autumn repeats, and another zone's working hours
DAILY_ZONE, DAILY = "Europe/Paris", "30 2 * * *"
BIRTHDAY_ZONE, BIRTHDAY_TIME = "Europe/Paris", "02:30"
MONTHLY_ZONE, MONTHLY = "America/New_York", "0 9 1 * *"
PAYS = {"monthly": 10, "birthday": 100}

Firing = tuple[str | None, datetime]


@dataclass
class Year:
    """A product under way through a year, and who takes part."""

    cluster: Cluster
    database: Database
    tenant: Tenant
    club: Club
    people: dict[str, str]
    automations: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def diary(self) -> Diary:
        return Diary(self.club)

    def join(self) -> None:
        """Everybody comes with an event that says when they were born."""
        self.club.rule('event.type == "join"', {"type": "SET_ATTRIBUTE", "key": "birthday", "value_expression": "event.birthday"})
        moment = format_timestamp(START)
        events = [
            self.club.body({"type": "join", "birthday": day}, name, event_timestamp=moment) for name, day in self.people.items()
        ]
        for first in range(0, len(events), 100):
            answer = self.tenant.post("/v1/events/batch", {"events": events[first : first + 100]}, 202)
            assert answer["error_count"] == 0
        poll(self.is_idle, 60)

    def automate(self) -> None:
        """The three automations, and rules that pay for events that have a participant."""
        for kind, points in PAYS.items():
            self.club.rule(f'event.type == "{kind}"', self.club.credit(str(points)))
        diary = self.diary
        self.automations["daily"] = diary.cron(DAILY, timezone=DAILY_ZONE, event_name="daily")
        self.automations["monthly"] = diary.cron(MONTHLY, "participants", MONTHLY_ZONE, event_name="monthly")
        made = diary.make(
            {
                "type": "participant_state",
                "schedule_type": "ATTRIBUTE_DATE",
                "schedule_config": {"attribute": "birthday", "time": BIRTHDAY_TIME},
                "timezone": BIRTHDAY_ZONE,
            },
            event_name="birthday",
        )
        self.automations["birthday"] = diary.evaluated(made)

    # -------------------------------------------------------------- the clock
    def move(self, moment: datetime) -> None:
        """Through everything that is due; a move that takes longer than a request may is asked for again."""
        while self.tenant.http.post(CLOCK, json={"now": format_timestamp(moment)}).status_code != httpx.codes.OK:
            assert self.cluster.is_ready(), "the move was refused"

    def now(self) -> datetime:
        with self.database.connection() as conn:
            [found] = conn.execute("SELECT openscrip_now()").fetchone() or [START]
        return datetime.fromisoformat(str(found))

    def strike_in_the_middle(self) -> None:
        """kill -9 of API and worker while the clock is on its way; started again, the same call goes on."""

        def ask() -> None:
            with suppress(httpx.TransportError):
                self.tenant.http.post(CLOCK, json={"now": format_timestamp(AFTER_STRIKE)})

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        assert wait_until(lambda: self.now() >= STRUCK, 120, 0.005), "the clock stands still"
        self.cluster.strike(*PROCESSES)
        assert self.now() < AFTER_STRIKE, "it must die in the middle"
        asking.join(20)
        self.restart()

    def be_away(self, temporal: EmbeddedTemporal) -> None:
        """Nothing runs for twelve days; flows hear that their time has come, as they would from Temporal's own clock."""
        self.cluster.strike(*PROCESSES)
        Clock(self.database).forward((UP_AGAIN - self.now()).total_seconds())
        self.restart()
        with LoopThread() as loop:
            client = loop.run(connect(Settings(temporal_address=temporal.address)))
            loop.run(ensure_due_work(client, DueKind.SCHEDULED_EVENTS, wake=True))
        poll(self.is_idle, 90)

    def restart(self) -> None:
        for name in PROCESSES:
            self.cluster.start(name)
        self.cluster.wait_ready()

    def is_idle(self) -> bool:
        """Whether nothing is due, and everything that was made is processed."""
        with self.database.connection() as conn:
            busy = conn.execute(
                """
                SELECT 1 FROM event_queue UNION ALL SELECT 1 FROM fan_out_candidates
                UNION ALL SELECT 1 FROM automations WHERE due_at <= openscrip_now() OR execution_status = 'executing'
                UNION ALL SELECT 1 FROM automation_subscriptions WHERE due_at <= openscrip_now() LIMIT 1
                """
            ).fetchone()
        return busy is None

    # ---------------------------------------------------------------- looking
    def fired(self) -> dict[str, Counter[Firing]]:
        """For whom, for which moment, and how often each automation has fired, by its events as the API lists them."""
        names = {automation["id"]: kind for kind, automation in self.automations.items()}
        found: dict[str, Counter[Firing]] = {kind: Counter() for kind in self.automations}
        for event in self.events():
            assert event["status"] == "COMPLETED", event
            moment = parse_timestamp(event["event_timestamp"])
            found[names[event["automation_id"]]][(event["external_id"], moment)] += 1
        return found

    def events(self) -> Iterator[dict[str, Any]]:
        cursor: dict[str, str] = {}
        while True:
            query = {"program_id": self.club.program_id, "event_type": "SYSTEM", "limit": 200}
            page = self.tenant.get("/v1/events", **query, **cursor)
            yield from page["data"]
            if not page["pagination"]["has_more"]:
                return
            cursor = {"cursor": page["pagination"]["next_cursor"]}

    def points(self) -> dict[str, int]:
        """What everybody has."""
        with self.database.connection() as conn:
            rows = conn.execute(
                "SELECT p.external_id, b.available FROM balances b JOIN participants p ON p.id = b.holder_id"
                " WHERE p.organization_id = %s",
                [self.tenant.organization_id],
            )
            return {name: int(available) for name, available in rows}


@contextmanager
def begun(url: str, temporal: EmbeddedTemporal, folder: Path) -> Iterator[Year]:
    people = {f"p{number:04d}": day for number, day in enumerate(birthdays(PARTICIPANTS))}
    with (
        closing(Database(url, pool_size=2)) as database,
        run_cluster(url, temporal, folder, PROCESSES, OPENSCRIP_TEST_CLOCK="1") as cluster,
    ):
        tenant = new_tenant(database, cluster.url)
        tenant.http.timeout = httpx.Timeout(90)
        with closing(tenant.http):
            year = Year(cluster, database, tenant, make_club(tenant, database), people)
            year.move(START)
            year.join()
            year.automate()
            yield year


def wanted(people: dict[str, str], began: datetime) -> dict[str, Counter[Firing]]:
    """What an almanac says: the daily one makes up for the latest morning of the outage only, nothing else loses any."""
    days = mornings(DAILY_ZONE, 2, 30, began, END)
    missed = sorted(moment for moment in days.values() if DOWN < moment <= UP_AGAIN)
    daily = set(days.values()) - set(missed[:-1])
    months = mornings(MONTHLY_ZONE, 9, 0, began, END)
    nights = mornings(BIRTHDAY_ZONE, 2, 30, began, END)
    return {
        "daily": Counter((None, moment) for moment in daily),
        "monthly": Counter((name, months[day]) for day in firsts_of_months(months) for name in people),
        "birthday": Counter(
            (name, moment) for name, birthday in people.items() for day, moment in nights.items() if is_birthday(birthday, day)
        ),
    }


def test_the_almanac() -> None:
    """What is special about this year is in it."""
    daily = mornings(DAILY_ZONE, 2, 30, START, END)
    assert daily[date(2031, 3, 30)] == datetime(2031, 3, 30, 1, tzinfo=UTC), "02:30 is skipped"
    assert daily[date(2031, 10, 26)] == datetime(2031, 10, 26, 0, 30, tzinfo=UTC), "02:30 comes twice"
    leaped = [day for day in daily if is_birthday("02-29", day)]
    assert leaped == [date(2031, 2, 28), date(2032, 2, 29)]
    assert len(firsts_of_months(mornings(MONTHLY_ZONE, 9, 0, START, END))) == 13
    assert set(birthdays(366)) == {(date(2000, 1, 1) + timedelta(days=number)).strftime("%m-%d") for number in range(366)}


def test_a_year_with_two_outages(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    url = make_database(postgres.dsn, "year")
    with (
        EmbeddedTemporal(tmp_path / "temporal", headless=True, in_memory=True) as temporal,
        begun(url, temporal, tmp_path) as year,
    ):
        began, at = time.monotonic(), year.now()
        year.strike_in_the_middle()
        year.move(AFTER_STRIKE)
        year.move(DOWN)
        year.be_away(temporal)
        year.move(END)
        print(f"\n{PARTICIPANTS} participants, a year in {time.monotonic() - began:.1f} s")
        due, fired = wanted(year.people, at), year.fired()
        for kind, firings in due.items():
            assert fired[kind] == firings, kind
        owed = Counter[str]()
        for kind, points in PAYS.items():
            for (name, _), times in due[kind].items():
                owed[str(name)] += points * times
        assert year.points() == owed
        assert_books(year.database, year.tenant.organization_id)
        for kind, automation in year.automations.items():
            shown = year.diary.seen(automation)
            assert (shown["status"], shown["last_error"]) == ("active", None), kind
