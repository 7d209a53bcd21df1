"""Subscriptions on a real database: who has one, and every crossing and date once (automations.md 3)."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from activities.subscriptions import SubscriptionPass
from db.repositories import evaluations as evaluation_rows
from db.session import Database
from domain.automations import Automation, AutomationStatus, ScheduleType, TriggerType
from domain.errors import BadRequest
from runtime.embedded import EmbeddedPostgres
from runtime.ids import new_id
from services import automation_commands, enrollments, evaluations, participants, state, subscriptions
from services.enrollments import EnrollmentStatus
from services.paging import Keyset, SortColumn
from services.participants import ParticipantStatus
from services.state import Author, Entity, EntityKind
from services.transactions import transact
from tests.services.automation_world import enrol
from tests.services.lane_world import LANES, make_shop, together
from tests.services.schedule_world import DAY, Calendar
from tests.support.databases import make_database

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
NEWEST = Keyset((SortColumn("created_at"), SortColumn("id", "uuid")), limit=2000)
VIP = '"vip" in participant.tags'
ORDERS = {"counter": "orders", "operator": ">=", "threshold": "3"}


class Office(Calendar):
    """Subscriptions of a shop's automations."""

    def subscribe(self, kind: str, zone: str = "UTC", evaluated: bool = True, **config: Any) -> Automation:
        fields = config.pop("fields", {})
        made = self.make(
            TriggerType.PARTICIPANT_STATE, schedule_type=ScheduleType(kind), schedule_config=config, timezone=zone, **fields
        )
        if evaluated:
            self.evaluate(made)
        return made

    def evaluate(self, automation: Automation, limit: int = 500) -> int:
        """Bring the evaluation that is wanted or due to its end; gives how many participants it looked at."""
        looked_at = 0
        while True:
            step = transact(self.database, lambda session: evaluations.advance(session, automation.id, limit))
            looked_at += step.looked_at
            if not step.is_under_way:
                return looked_at

    def refresh(self, automation: Automation) -> int:
        transact(self.database, lambda session: automation_commands.refresh(session, *self.ids, automation.id))
        return self.evaluate(automation)

    def all(self, automation: Automation, status: str | None = None) -> dict[str, subscriptions.Subscription]:
        """Its subscriptions by external id."""
        wanted = None if status is None else subscriptions.SubscriptionStatus(status)
        found = transact(
            self.database,
            lambda session: subscriptions.list_subscriptions(session, *self.ids, automation.id, wanted, NEWEST),
        )
        names = dict(self.shop.fetch("SELECT id, external_id FROM participants WHERE organization_id = %s", self.ids[0]))
        return {names[row.participant_id]: row for row in found.rows}

    def one(self, automation: Automation, name: str = "a") -> subscriptions.Subscription:
        return self.all(automation)[name]

    # ---------------------------------------------------------- the state
    def entity(self, name: str) -> tuple[Author, Entity]:
        return Author(self.ids[0], new_id()), Entity(EntityKind.PARTICIPANT, self.shop.participant_id(name))

    def set_orders(self, name: str, value: int, reset_after: str | None = None) -> bool:
        who = self.entity(name)
        return transact(
            self.database, lambda session: state.set_counter(session, *who, "orders", Decimal(value), reset_after)
        ).has_crossed

    def set_attribute(self, name: str, key: str, value: str) -> None:
        who = self.entity(name)
        transact(self.database, lambda session: state.merge_attributes(session, *who, {key: value}))

    def tag(self, name: str, tag: str = "vip") -> None:
        who = self.entity(name)
        transact(self.database, lambda session: state.add_tag(session, *who, tag))

    def untag(self, name: str, tag: str = "vip") -> None:
        who = self.entity(name)
        transact(self.database, lambda session: state.remove_tag(session, *who, tag))

    def participants_of(self, automation: Automation) -> list[str]:
        statement = "SELECT external_id FROM events WHERE automation_id = %s ORDER BY event_timestamp, external_id"
        return [row[0] for row in self.shop.fetch(statement, automation.id)]


@pytest.fixture(scope="module")
def own(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A database whose clock this module moves."""
    with closing(Database(make_database(postgres.dsn, "subscriptions"), pool_size=12)) as database:
        yield database


@pytest.fixture
def office(own: Database) -> Office:
    """a, b and c, whose orders are 5, 1 and 9."""
    with own.connection() as conn:
        conn.execute("DELETE FROM automation_subscriptions")
        conn.execute("DELETE FROM automation_evaluations")
        conn.execute("DELETE FROM automations")
        conn.execute("UPDATE deployment SET clock_target = NULL, clock_offset = '0'")
    shop = make_shop(own)
    shop.rule({"type": "COUNTER", "key": "orders", "value": "event.n"}, condition="event.type == 'order'")
    made = Office(shop)
    for name, number in (("a", 5), ("b", 1), ("c", 9)):
        shop.send(name, {"type": "order", "n": number})
    shop.drain_all()
    return made


def order(office: Office, name: str, number: int) -> None:
    office.shop.send(name, {"type": "order", "n": number})


# ------------------------------------------------------------------ thresholds
def test_each_crossing_fires_once(office: Office) -> None:
    made = office.subscribe("THRESHOLD", **ORDERS)
    assert {name: row.status for name, row in office.all(made).items()} == dict.fromkeys("abc", "active")
    for _ in range(3):
        order(office, "b", 1)
        office.shop.drain_all()
        office.do_all()
    assert office.participants_of(made) == ["b"]
    assert not office.set_orders("b", 0)
    assert office.set_orders("b", 4)
    office.do_all()
    assert office.participants_of(made) == ["b", "b"]
    assert (office.one(made, "b").trigger_count, office.one(made, "a").trigger_count) == (2, 0)
    assert office.one(made, "b").next_trigger_at is None


def test_crossings_of_one_batch_are_told_apart(office: Office) -> None:
    made = office.subscribe("THRESHOLD", **ORDERS)
    twin = office.subscribe("THRESHOLD", **ORDERS)
    for number in (5, -5, 5, -5, 5):
        order(office, "b", number)
    office.shop.drain_all()
    office.do_all()
    assert office.participants_of(made) == office.participants_of(twin) == ["b"] * 3
    times = office.occurrences(made) + office.occurrences(twin)
    assert len(set(times)) == 6, "no two crossings of a participant's counters have the same time"


def test_what_an_event_leaves_is_its_change(office: Office) -> None:
    office.shop.rule(
        {"type": "COUNTER", "key": "orders", "value": "10"},
        {"type": "COUNTER", "key": "orders", "value": "-10"},
        condition="event.type == 'there and back'",
    )
    made = office.subscribe("THRESHOLD", **ORDERS)
    office.shop.send("b", {"type": "there and back"})
    office.shop.drain_all()
    office.do_all()
    assert office.participants_of(made) == []


def test_a_lapse_is_a_change_to_zero_when_the_counter_is_next_written(office: Office) -> None:
    office.set_orders("b", 5, reset_after="1h")
    below = office.subscribe("THRESHOLD", counter="orders", operator="<=", threshold="0")
    above = office.subscribe("THRESHOLD", **ORDERS)
    office.jump(office.now() + 2 * HOUR)
    office.do_all()
    assert office.participants_of(below) == []
    order(office, "b", 4)
    office.shop.drain_all()
    office.do_all()
    assert office.participants_of(below) == office.participants_of(above) == ["b"]


def test_what_is_true_at_first_has_not_crossed_even_if_it_lapsed(office: Office) -> None:
    office.set_orders("b", 5, reset_after="1h")
    office.jump(office.now() + 2 * HOUR)
    below = office.subscribe("THRESHOLD", counter="orders", operator="<=", threshold="0")
    order(office, "b", 4)
    office.shop.drain_all()
    office.do_all()
    assert office.participants_of(below) == []


def test_deletion_is_a_change_to_zero(office: Office) -> None:
    made = office.subscribe("THRESHOLD", counter="orders", operator="<=", threshold="0")
    who = office.entity("c")
    assert transact(office.database, lambda session: state.delete_counter(session, *who, "orders"))
    assert not transact(office.database, lambda session: state.delete_counter(session, *who, "orders"))
    office.do_all()
    assert office.participants_of(made) == ["c"]


@pytest.mark.parametrize("stopped", ["program", "automation"])
def test_a_crossing_while_nothing_fires_is_dropped(office: Office, stopped: str) -> None:
    made = office.subscribe("THRESHOLD", **ORDERS)
    if stopped == "program":
        office.set_program("SUSPENDED")
    else:
        office.change(made, status=AutomationStatus.PAUSED)
    office.set_orders("b", 5)
    if stopped == "program":
        office.set_program("ACTIVE")
    else:
        office.change(made, status=AutomationStatus.ACTIVE)
    office.set_orders("b", 6)
    office.do_all()
    assert office.participants_of(made) == []
    office.set_orders("b", 0)
    office.set_orders("b", 3)
    office.do_all()
    assert office.participants_of(made) == ["b"]


def test_the_guard_decides_at_each_firing(office: Office) -> None:
    made = office.subscribe("THRESHOLD", fields={"guard_condition": VIP}, **ORDERS)
    office.set_orders("b", 5)
    office.do_all()
    assert (office.participants_of(made), office.one(made, "b").trigger_count) == ([], 0)
    office.tag("b")
    office.set_orders("b", 0)
    office.set_orders("b", 5)
    office.do_all()
    assert (office.participants_of(made), office.one(made, "b").trigger_count) == (["b"], 1)


def test_no_change_is_lost_beside_the_evaluation(office: Office) -> None:
    """Each counter rises once while subscriptions begin: already true then, or a crossing, never neither."""
    ids = enrol(office.shop, 60)
    names = [row[0] for row in office.shop.fetch("SELECT external_id FROM participants WHERE id = ANY(%s)", ids)]
    made = office.subscribe("THRESHOLD", evaluated=False, **ORDERS)
    for name in names:
        order(office, name, 3)
    together([lambda: office.evaluate(made, 7), office.shop.drain_at_once])
    office.do_all()
    fired = set(office.participants_of(made))
    met = {row[0] for row in office.shop.fetch("SELECT participant_id FROM automation_subscriptions WHERE is_met")}
    assert set(ids) <= met
    for name in names:
        office.set_orders(name, 0)
        office.set_orders(name, 3)
    office.do_all()
    again = office.participants_of(made)
    assert sorted(again) == sorted([*names, *fired])


# ------------------------------------------------------------------------ dates
def test_a_birthday_comes_every_year(office: Office) -> None:
    office.jump(datetime(2030, 5, 1, tzinfo=UTC))
    office.set_attribute("a", "birthday", "05-20")
    office.set_attribute("b", "birthday", "soon")
    office.set_attribute("c", "birthday", "2029-01-01")
    made = office.subscribe("ATTRIBUTE_DATE", attribute="birthday", time="09:00")
    early = office.subscribe("ATTRIBUTE_DATE", attribute="birthday", time="09:00", offset_days=-7)
    assert office.one(made).next_trigger_at == datetime(2030, 5, 20, 9, tzinfo=UTC)
    assert office.one(early).next_trigger_at == datetime(2030, 5, 13, 9, tzinfo=UTC)
    assert {name: row.status for name, row in office.all(made).items()} == {"a": "active", "b": "failed", "c": "completed"}
    assert "soon" in str(office.one(made, "b").last_error)
    office.travel(datetime(2030, 6, 1, tzinfo=UTC))
    assert office.occurrences(made) == [datetime(2030, 5, 20, 9, tzinfo=UTC)]
    found = office.one(made)
    assert (found.next_trigger_at, found.trigger_count) == (datetime(2031, 5, 20, 9, tzinfo=UTC), 1)
    assert found.last_triggered_at is not None
    office.refresh(made)
    assert office.one(made) == found, "what goes on as it is isn't begun anew"
    office.set_attribute("a", "birthday", "2030-12-24")
    office.refresh(made)
    office.travel(datetime(2031, 1, 1, tzinfo=UTC))
    assert office.one(made).status == "completed"
    assert office.participants_of(made) == ["a", "a"]


def test_a_date_waits_while_nothing_fires_and_what_recurs_is_dropped(office: Office) -> None:
    office.jump(datetime(2030, 5, 1, tzinfo=UTC))
    office.set_attribute("a", "birthday", "05-20")
    birthday = office.subscribe("ATTRIBUTE_DATE", attribute="birthday")
    daily = office.subscribe("CRON", cron_expression="0 9 * * *")
    interval = office.subscribe("INTERVAL", interval="36h")
    began = office.one(interval).created_at
    office.set_program("SUSPENDED")
    office.jump(datetime(2030, 6, 1, tzinfo=UTC))
    assert office.do_all().events == 0
    office.set_program("ACTIVE")
    assert office.do_all().events == 1
    assert office.occurrences(birthday) == [datetime(2030, 5, 20, tzinfo=UTC)]
    assert office.one(daily).next_trigger_at == datetime(2030, 6, 1, 9, tzinfo=UTC)
    following = office.one(interval).next_trigger_at
    assert following is not None
    assert datetime(2030, 6, 1, tzinfo=UTC) < following < datetime(2030, 6, 2, 12, 1, tzinfo=UTC)
    assert (following - began) % (36 * HOUR) == timedelta(0)


def test_of_missed_dates_the_latest_fires_and_the_test_clock_misses_none(office: Office) -> None:
    office.jump(datetime(2030, 5, 1, tzinfo=UTC))
    made = office.subscribe(
        "CRON", zone="Europe/Paris", cron_expression="0 9 * * *", fields={"filter_hints": [{"has_tag": "vip"}]}
    )
    assert office.all(made) == {}
    office.tag("a")
    office.refresh(made)
    assert office.one(made).next_trigger_at == datetime(2030, 5, 1, 7, tzinfo=UTC)
    office.jump(datetime(2030, 5, 5, tzinfo=UTC))
    office.do_all()
    assert office.occurrences(made) == [datetime(2030, 5, 4, 7, tzinfo=UTC)]
    assert office.travel(datetime(2030, 5, 8, tzinfo=UTC)) >= 3
    assert office.occurrences(made)[1:] == [datetime(2030, 5, day, 7, tzinfo=UTC) for day in (5, 6, 7)]


def test_intervals_count_from_the_subscription(office: Office) -> None:
    made = office.subscribe("INTERVAL", interval="90m")
    first = office.one(made)
    assert first.next_trigger_at == first.created_at + 90 * MINUTE
    office.travel(first.created_at + 5 * HOUR)
    found = [moment - first.created_at for moment in office.occurrences(made)]
    assert found == [gap for gap in (90 * MINUTE, 180 * MINUTE, 270 * MINUTE) for _ in "abc"]


def test_a_changed_schedule_is_computed_anew(office: Office) -> None:
    made = office.subscribe("INTERVAL", interval="1h")
    first = office.one(made)
    with pytest.raises(BadRequest) as refused:
        office.change(made, schedule_config={"interval": "1s"})
    assert "schedule_config.interval" in str(refused.value.details)
    office.change(made, schedule_config={"interval": "2h"})
    office.jump(first.created_at + 61 * MINUTE)
    assert office.fire() == 0
    office.evaluate(made)
    assert office.one(made).next_trigger_at == first.created_at + 2 * HOUR
    assert office.participants_of(made) == []


# ------------------------------------------------------------------- evaluation
@pytest.mark.parametrize("few", [0, 5000])
def test_who_no_longer_matches_is_cancelled_and_comes_back(office: Office, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    """Whether few or many have changed, who is looked at is the same."""
    monkeypatch.setattr(evaluation_rows, "FEW_CHANGES", few)
    office.tag("a")
    made = office.subscribe("INTERVAL", interval="24h", fields={"participant_filter": VIP})
    first = office.one(made)
    office.untag("a")
    office.jump(office.now() + 5 * MINUTE)
    office.evaluate(made)
    assert office.all(made) == {}
    assert office.all(made, "cancelled")["a"].next_trigger_at is None
    office.tag("a")
    office.jump(office.now() + 6 * MINUTE)
    assert office.evaluate(made) == 1, "only who has changed is looked at"
    back = office.one(made)
    assert (back.id, back.created_at) == (first.id, first.created_at)
    assert back.next_trigger_at is not None
    assert first.next_trigger_at is not None
    assert back.next_trigger_at > first.next_trigger_at + 10 * MINUTE


@pytest.mark.parametrize("how", ["status", "enrollment"])
def test_who_may_not_act_is_no_match(office: Office, how: str) -> None:
    made = office.subscribe("INTERVAL", interval="24h")
    who = office.shop.participant_id("a")
    office.jump(office.now() + 10 * MINUTE)
    if how == "status":
        author, status = Author(office.ids[0], new_id()), ParticipantStatus.SUSPENDED
        transact(office.database, lambda session: participants.set_status(session, author, who, status))
    else:
        ids = (office.ids[0], who, office.ids[1])
        frozen = EnrollmentStatus.FROZEN
        transact(office.database, lambda session: enrollments.set_enrollment_status(session, *ids, frozen))
    office.evaluate(made)
    assert sorted(office.all(made)) == ["b", "c"]


def test_filters_of_time_are_evaluated_at_midnight(office: Office) -> None:
    office.jump(datetime(2030, 5, 1, 12, tzinfo=UTC))
    source = 'now > timestamp("2030-05-02T06:00:00Z")'
    made = office.subscribe("INTERVAL", interval="24h", fields={"participant_filter": source})
    assert office.all(made) == {}
    office.travel(datetime(2030, 5, 2, 12, tzinfo=UTC))
    assert office.all(made) == {}
    office.travel(datetime(2030, 5, 3, 1, tzinfo=UTC))
    found = office.all(made)
    assert sorted(found) == ["a", "b", "c"]
    assert timedelta(0) <= found["a"].created_at - datetime(2030, 5, 3, tzinfo=UTC) < MINUTE
    seen = office.seen(made).last_evaluated_at
    assert seen is not None
    assert seen >= datetime(2030, 5, 3, tzinfo=UTC)


def test_a_crash_between_pages_loses_and_repeats_nobody(office: Office) -> None:
    ids = enrol(office.shop, 30)
    made = office.subscribe("INTERVAL", interval="24h", evaluated=False)
    step = transact(office.database, lambda session: evaluations.advance(session, made.id, 10))
    assert (step.looked_at, step.is_under_way) == (10, True)
    assert len(office.all(made)) == 10
    assert office.seen(made).last_evaluated_at is None
    together([lambda: office.evaluate(made, 10)] * 3)
    office.evaluate(made, 10)
    assert len(office.all(made)) == len(ids) + 3
    assert office.seen(made).last_evaluated_at is not None


def test_everybody_at_once_in_pages(office: Office) -> None:
    enrol(office.shop, 1000)
    made = office.subscribe("CRON", cron_expression="0 0 * * *")
    office.jump(office.now() + DAY)
    run = SubscriptionPass(office.database, LANES, made.id)
    events = []
    while (page := run.page()) is not None:
        events.append(page.events)
    assert (events, len(set(office.participants_of(made)))) == ([500, 500, 3], 1003)


# --------------------------------------------------------------------- failures
class BadDay(Exception):
    """No event can be made."""


@pytest.fixture
def bad_day(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Until it is undone."""

    def fail(*_: object) -> None:
        raise BadDay

    with monkeypatch.context() as patched:
        patched.setattr(subscriptions, "make_events", fail)
        yield patched


def test_failures_in_a_row(office: Office, bad_day: pytest.MonkeyPatch) -> None:
    made = office.subscribe("THRESHOLD", **ORDERS)
    office.set_orders("b", 5)
    run = SubscriptionPass(office.database, LANES, made.id)
    for count in range(1, 5):
        assert run.page() is not None
        run.failed.clear()
        found = office.one(made, "b")
        assert (found.retry_count, found.status) == (count, "active")
        assert run.page() is None, "not before its time"
        office.jump(office.now() + timedelta(seconds=2**count))
    run.page()
    bad_day.undo()
    found, seen = office.one(made, "b"), office.seen(made)
    assert (found.retry_count, found.status, found.last_error) == (5, "failed", subscriptions.NOT_MADE)
    assert (seen.status, seen.last_error) == (AutomationStatus.PAUSED, subscriptions.NOT_MADE)


def test_a_good_run_ends_failures(office: Office, bad_day: pytest.MonkeyPatch) -> None:
    made = office.subscribe("THRESHOLD", **ORDERS)
    office.set_orders("b", 5)
    SubscriptionPass(office.database, LANES, made.id).page()
    bad_day.undo()
    assert office.seen(made).failures == 1
    office.jump(office.now() + timedelta(seconds=3))
    office.do_all()
    found, seen = office.one(made, "b"), office.seen(made)
    assert (found.retry_count, found.last_error, found.trigger_count) == (0, None, 1)
    assert (seen.failures, seen.last_error) == (0, None)


def test_an_archived_automation_is_over(office: Office) -> None:
    made = office.subscribe("INTERVAL", interval="1h")
    office.delete(made)
    assert office.all(made) == {}
    assert {row.status for row in office.all(made, "cancelled").values()} == {"cancelled"}
    office.jump(office.now() + 2 * HOUR)
    office.do_all()
    assert office.participants_of(made) == []
    assert office.shop.value("SELECT count(due_at) FROM automation_subscriptions WHERE automation_id = %s", made.id) == 0


def test_others_hear_nothing(office: Office, own: Database) -> None:
    made = office.subscribe("THRESHOLD", **ORDERS)
    other = Office(make_shop(own))
    other.shop.send("b")
    other.shop.drain_all()
    assert not other.set_orders("b", 9)
    assert UUID(int=0) not in {row.participant_id for row in office.all(made).values()}
    assert office.do_all().events == 0
