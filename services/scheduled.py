"""Scheduled events: automations with one moment, fired when it has come (events-rules.md 6.14; automations.md 2.1, 2.5).

An event and the mark that its automation has fired commit together, so that it is made once, however often this runs.
"""

import time
from collections.abc import Callable, Collection
from uuid import UUID

from sqlmodel import Session

from db.repositories import automations as rows
from db.repositories.automations import count_scheduled_moments, next_scheduled_moment
from db.repositories.processing import clock
from db.session import Database, psycopg_of
from services import fan_outs
from services.system_events import Firing, Made, event_data_of, make_events
from services.transactions import transact

__all__ = [
    "count_scheduled_moments",
    "do_what_is_due",
    "due_now",
    "fire",
    "fire_due",
    "is_anything_due",
    "next_scheduled_moment",
    "seconds_until_next",
]

PAGE_AUTOMATIONS = 200
# Somebody else is firing what is due.
WAIT_SECONDS = 0.02


def due_now(session: Session, limit: int, without: Collection[UUID] = ()) -> list[UUID]:
    """The automations that have been due longest; those of a program that isn't ACTIVE wait until it is."""
    return rows.due_now(psycopg_of(session), limit, without)


def fire(session: Session, automation_ids: Collection[UUID], lanes: int) -> Made:
    """Make the events of those that are still to fire; what somebody else is firing is passed over."""
    conn = psycopg_of(session)
    due = rows.lock_due(conn, automation_ids)
    if not due:
        return Made()
    now = clock(conn)
    firings = [Firing(item, item.trigger_at, event_data_of(item), item.participant_id, item.external_id) for item in due]
    made = make_events(conn, firings, now, lanes)
    rows.mark_fired(conn, [item.id for item in due], now)
    return made


def fire_due(session: Session, limit: int, lanes: int) -> Made:
    """Fire what is due, at most `limit` automations; no events when nothing is."""
    return fire(session, due_now(session, limit), lanes)


def do_what_is_due(database: Database, lanes: int, beat: Callable[[], None] = lambda: None) -> Made:
    """Fire and fan out until nothing is due any more, what others are firing included; the caller wakes the lanes.

    In short transactions: `beat` is called after each, and may raise to end it there.
    """
    done = Made()
    while transact(database, is_anything_due):
        made = transact(database, lambda session: fire_due(session, PAGE_AUTOMATIONS, lanes))
        for key in transact(database, lambda session: fan_outs.runnable(session, PAGE_AUTOMATIONS)):
            made = made.plus(fan_outs.finish(database, key.automation_id, lanes, beat))
        done = done.plus(made)
        beat()
        if not made.events:
            time.sleep(WAIT_SECONDS)
    return done


def is_anything_due(session: Session) -> bool:
    """Asked without waiting for locks: what another transaction is firing is due until that commits."""
    return bool(due_now(session, 1) or fan_outs.runnable(session, 1))


def seconds_until_next(session: Session, without: Collection[UUID]) -> float | None:
    """From the database's clock to the next moment; None when none is known."""
    return rows.seconds_until_scheduled(psycopg_of(session), without)
