"""What is due: automations with a moment or a schedule, fired when it has come (automations.md 2; events-rules.md 6.14).

An event and the mark that its automation has fired commit together, so that it is made once, however often this runs. Where
several occurrences were missed the latest one fires, unless it is the test clock that went past them.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from sqlmodel import Session

from db.repositories import automations as rows
from db.repositories.automations import DueAutomation, Fired, next_scheduled_moment
from db.repositories.fan_outs import FanOutKey
from db.repositories.processing import clock
from db.session import Connection, Database, psycopg_of
from domain.automations import STILL_RUNNING, UNDER_WAY, Schedule, Scope
from services import evaluations, fan_outs, subscriptions
from services.system_events import Firing, Made, event_data_of, make_events
from services.transactions import transact

__all__ = [
    "Waiting",
    "count_scheduled_moments",
    "do",
    "do_what_is_due",
    "due_now",
    "fire",
    "fire_due",
    "look",
    "next_scheduled_moment",
    "seconds_until_next",
]

PAGE_AUTOMATIONS = 200
PAGE_SUBSCRIPTIONS = 500
# Somebody else is firing what is due.
WAIT_SECONDS = 0.02


def due_now(session: Session, limit: int, without: Collection[UUID] = ()) -> list[UUID]:
    """The automations that have been due longest; those of a program that isn't ACTIVE wait until it is."""
    return rows.due_now(psycopg_of(session), limit, without)


def fire(session: Session, automation_ids: Collection[UUID], lanes: int) -> Made:
    """Make the events of those that are still to fire, let their fan-outs begin; what somebody else fires is passed over."""
    conn = psycopg_of(session)
    due = rows.lock_due(conn, automation_ids)
    if not due:
        return Made()
    now = clock(conn)
    fired = [_fired(item, now) for item in due]
    firings = [
        Firing(item, done.occurrence, event_data_of(item), item.participant_id, item.external_id)
        for item, done in zip(due, fired, strict=True)
        if item.scope == Scope.PROGRAM
    ]
    made = make_events(conn, firings, now, lanes)
    rows.mark_fired(conn, fired, now, STILL_RUNNING)
    return made


def _fired(item: DueAutomation, now: datetime) -> Fired:
    occurrence, following = item.due_at, None
    if item.cron_expression is not None and item.timezone is not None:
        schedule = Schedule(item.cron_expression, item.timezone)
        if not item.is_moving:
            occurrence = schedule.latest(occurrence, now)
        following = schedule.after(occurrence)
    if item.scope == Scope.PROGRAM:
        return Fired(item.id, occurrence, following)
    is_dropped = item.execution_status in UNDER_WAY
    return Fired(item.id, occurrence, following, starts_fan_out=not is_dropped, is_dropped=is_dropped)


def count_scheduled_moments(conn: Connection, until: datetime, limit: int) -> int:
    """How many different moments there are from now on and not after `until`; counting stops at `limit`."""
    found = set(rows.single_moments(conn, until, limit))
    for expression, zone, moment in rows.schedules(conn, until):
        schedule = Schedule(expression, zone)
        while moment <= until and len(found) < limit:
            found.add(moment)
            moment = schedule.after(moment)  # noqa: PLW2901 - the next one of the same schedule
    return len(found)


def fire_due(session: Session, limit: int, lanes: int) -> Made:
    """Fire what is due, at most `limit` automations; no events when nothing is."""
    return fire(session, due_now(session, limit), lanes)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is due, by one look: pages of automations, subscriptions and fan-outs, and evaluations."""

    automations: Sequence[UUID] = ()
    subscriptions: Sequence[UUID] = ()
    fan_outs: Sequence[FanOutKey] = ()
    evaluations: Sequence[UUID] = ()

    def __bool__(self) -> bool:
        return bool(self.automations or self.subscriptions or self.fan_outs or self.evaluations)


def look(session: Session) -> Waiting:
    """What is due, without waiting for locks: what another transaction is firing is due until that commits."""
    return Waiting(
        due_now(session, PAGE_AUTOMATIONS),
        subscriptions.due_now(session, PAGE_SUBSCRIPTIONS),
        fan_outs.runnable(session, PAGE_AUTOMATIONS),
        evaluations.due_now(psycopg_of(session)),
    )


def do_what_is_due(database: Database, lanes: int, beat: Callable[[], None] = lambda: None) -> Made:
    """Fire and fan out until nothing is due any more, what others are firing included; the caller wakes the lanes.

    In short transactions: `beat` is called after each, and may raise to end it there.
    """
    done = Made()
    while waiting := transact(database, look):
        done = done.plus(do(database, waiting, lanes, beat))
    return done


def do(database: Database, waiting: Waiting, lanes: int, beat: Callable[[], None]) -> Made:
    """Do what a look has found, as far as it is still to do; pauses where somebody else is at it."""
    for id_ in waiting.evaluations:
        while transact(database, partial(evaluations.advance, automation_id=id_)).is_under_way:
            beat()
    made = Made()
    if waiting.automations:
        made = transact(database, partial(fire, automation_ids=waiting.automations, lanes=lanes))
    if waiting.subscriptions:
        fired = partial(subscriptions.fire, subscription_ids=waiting.subscriptions, lanes=lanes)
        made = made.plus(transact(database, fired))
    for key in waiting.fan_outs:
        made = made.plus(fan_outs.finish(database, key.automation_id, lanes, beat))
    beat()
    if not made.events:
        time.sleep(WAIT_SECONDS)
    return made


def seconds_until_next(session: Session, without: Collection[UUID]) -> float | None:
    """From the database's clock to the next moment; None when none is known."""
    return rows.seconds_until_scheduled(psycopg_of(session), without)
