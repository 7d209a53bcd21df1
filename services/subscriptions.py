"""Subscriptions: listed, and fired when they are due, each event and the mark of it in one transaction (automations.md 3)."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from db.repositories import automation_records
from db.repositories import automation_runs as runs
from db.repositories import subscriptions as rows
from db.repositories.processing import clock
from db.repositories.subscriptions import DueSubscription, Subscription, Turned
from db.session import Connection, psycopg_of
from domain.automations import MOST_FAILURES, AutomationStatus, Schedule, ScheduleType
from domain.errors import not_found
from domain.subscriptions import (
    Interval,
    StateSchedule,
    SubscriptionStatus,
    Turn,
    retry_after,
    schedule_of,
    turn,
)
from services import programs
from services.audience import satisfying
from services.paging import Keyset, Slice
from services.system_events import Firing, Made, event_data_of, make_events

__all__ = [
    "Subscription",
    "SubscriptionStatus",
    "count_moments",
    "due_now",
    "fire",
    "list_subscriptions",
    "next_moment",
    "note_failure",
    "seconds_until_next",
]

NOT_MADE = "internal_error: the event could not be made"


def list_subscriptions(
    session: Session,
    organization_id: UUID,
    program_id: UUID,
    automation_id: UUID,
    status: SubscriptionStatus | None,
    keyset: Keyset,
) -> Slice[Subscription]:
    """One page of an automation's subscriptions, without a status all but cancelled ones; NotFound."""
    programs.get_program(session, organization_id, program_id)
    conn = psycopg_of(session)
    if automation_records.find(conn, organization_id, program_id, automation_id) is None:
        raise not_found("automation", automation_id)
    return rows.page(conn, automation_id, status, keyset)


def due_now(session: Session, limit: int, without: Collection[UUID] = (), automation_id: UUID | None = None) -> list[UUID]:
    """The subscriptions that have been due longest, of one automation or of all."""
    return rows.due_now(psycopg_of(session), limit, without, automation_id)


def fire(session: Session, subscription_ids: Collection[UUID], lanes: int) -> Made:
    """Make the events of those that are still due, where the guard lets them; what others are firing is passed over."""
    conn = psycopg_of(session)
    due = rows.lock_due(conn, subscription_ids)
    over = [item.subscription_id for item in due if item.automation_status == AutomationStatus.ARCHIVED]
    if over:
        rows.end(conn, over)
    due = [item for item in due if item.automation_status != AutomationStatus.ARCHIVED]
    if not due:
        return Made()
    now = clock(conn)
    schedules = {item.id: _schedule(item) for item in due}
    turns = [_turn(schedules[item.id], item, now) for item in due]
    allowed = _allowed(conn, [item for item, done in zip(due, turns, strict=True) if done.occurrence is not None], now)
    firings: list[Firing] = []
    turned: list[Turned] = []
    for item, done in zip(due, turns, strict=True):
        fires = done.occurrence is not None and item.subscription_id in allowed
        if fires and done.occurrence is not None:
            firings.append(Firing(item, done.occurrence, event_data_of(item), item.participant_id, item.external_id))
        turned.append(Turned(item.subscription_id, item.is_crossing, fires, done.following))
    made = make_events(conn, firings, now, lanes)
    rows.note_turns(conn, turned, now)
    for automation_id in sorted({item.id for item in due if item.failures}):
        runs.note_good_run(conn, automation_id)
    return made


def _schedule(item: DueSubscription) -> StateSchedule:
    return schedule_of(item.schedule_type, item.schedule_config, item.timezone)


def _turn(schedule: StateSchedule, item: DueSubscription, now: datetime) -> Turn:
    return turn(
        schedule,
        item.moment,
        now,
        anchor=item.anchor,
        basis=item.basis,
        active_since=item.active_since,
        misses_none=item.is_moving,
    )


def _allowed(conn: Connection, due: Sequence[DueSubscription], now: datetime) -> set[UUID]:
    """Those whose guard is true at this moment, or that have none."""
    found = {item.subscription_id for item in due if item.guard_condition is None}
    guarded: dict[UUID, list[DueSubscription]] = defaultdict(list)
    for item in due:
        if item.guard_condition is not None:
            guarded[item.id].append(item)
    for items in guarded.values():
        [first, *_] = items
        assert first.guard_condition is not None
        ids = {item.participant_id for item in items}
        true_for = satisfying(conn, first.organization_id, first.program_id, ids, first.guard_condition, now)
        found |= {item.subscription_id for item in items if item.participant_id in true_for}
    return found


def note_failure(session: Session, subscription_id: UUID) -> None:
    """Count a run whose event couldn't be made, of the subscription and of its automation; it is tried again later."""
    conn = psycopg_of(session)
    now = clock(conn)
    for item in rows.lock_due(conn, [subscription_id]):
        retry_at = now + retry_after(item.retry_count + 1)
        rows.note_failure(conn, subscription_id, NOT_MADE, retry_at, MOST_FAILURES)
        if item.automation_status == AutomationStatus.ACTIVE:
            runs.note_failure(conn, item.id, item.failures, NOT_MADE, now)


def seconds_until_next(session: Session, without: Collection[UUID] = (), automation_id: UUID | None = None) -> float | None:
    """From the database's clock to the next moment of a subscription, of one automation or of all; None without one."""
    return rows.seconds_until_next(psycopg_of(session), without, automation_id)


def next_moment(conn: Connection, after: datetime) -> datetime | None:
    """The first moment after another one at which a subscription fires."""
    return rows.next_moment(conn, after)


def count_moments(conn: Connection, until: datetime, limit: int) -> int:
    """How many different moments there are from now on and not after `until`; counting stops at `limit`."""
    found: set[datetime] = set()
    for kind, config, zone, anchor, first in rows.series(conn, until, limit):
        schedule, moment = schedule_of(ScheduleType(kind), config, zone), first
        while moment <= until and len(found) < limit:
            found.add(moment)
            if isinstance(schedule, Interval):
                moment = schedule.after(anchor, moment)
            elif isinstance(schedule, Schedule):
                moment = schedule.after(moment)
            else:
                break
    return len(found)
