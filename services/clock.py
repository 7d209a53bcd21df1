"""The test clock: forward only, through every due moment on the way (conventions.md, Test clock).

Everything that is due at a moment of its own has a row in `KINDS`: with it the clock stops there, and counts it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session

from db.repositories import clock as repository
from db.repositories import due, fulfillment_requests, fulfillments, webhook_sending
from db.repositories.processing import ensure_partitions
from db.session import Connection, Database, psycopg_of
from domain.errors import bad_request
from domain.timestamps import format_timestamp
from runtime.settings import SettingsError
from services import evaluations, expiry_notices, scheduled, subscriptions, tier_steps

MOST_MOMENTS = 10_000


class ClockMoved(SettingsError):
    """The database's clock was moved, and this process isn't allowed to work with such a clock."""


@dataclass(frozen=True, slots=True)
class DueKind:
    """One kind of due moment: the first one after a moment, and how many lie between now and a moment, up to a limit."""

    next_moment: Callable[[Connection, datetime], datetime | None]
    count_moments: Callable[[Connection, datetime, int], int]


KINDS = (
    DueKind(due.next_moment, due.count_moments),
    DueKind(scheduled.next_scheduled_moment, scheduled.count_scheduled_moments),
    DueKind(fulfillments.next_moment, fulfillments.count_moments),
    DueKind(webhook_sending.next_moment, webhook_sending.count_moments),
    DueKind(fulfillment_requests.next_moment, fulfillment_requests.count_moments),
    DueKind(tier_steps.next_moment, tier_steps.count_moments),
    DueKind(expiry_notices.next_moment, expiry_notices.count_moments),
    DueKind(subscriptions.next_moment, subscriptions.count_moments),
    DueKind(evaluations.next_moment, evaluations.count_moments),
)


@dataclass(frozen=True, slots=True)
class Move:
    """One move of the clock: a due moment, or the target when none comes before it."""

    moment: datetime
    now: datetime
    is_due: bool


def read_clock(session: Session) -> datetime:
    """What the clock shows."""
    return repository.read_clock(psycopg_of(session)).now


def plan(session: Session, target: datetime) -> datetime | None:
    """Check a move; returns what the clock shows when its target was that of the latest move and is reached, else None.

    BadRequest at `now`: into the past, or over more due moments than one call visits.
    """
    conn = psycopg_of(session)
    clock = repository.read_clock(conn)
    if target <= clock.now:
        if target == clock.target:
            return clock.now
        message = f"The clock only goes forward, and shows {format_timestamp(clock.now)}"
        raise bad_request("now", "out_of_range", message, received=format_timestamp(target))
    known = sum(kind.count_moments(conn, target, MOST_MOMENTS + 1) for kind in KINDS)
    if known > MOST_MOMENTS:
        message = f"More than {MOST_MOMENTS} due moments lie before it"
        raise bad_request("now", "out_of_range", message, received=format_timestamp(target))
    return None


def begin(session: Session, target: datetime) -> datetime:
    """Note the target of a move that begins; returns what the clock shows."""
    conn = psycopg_of(session)
    repository.set_target(conn, target)
    return repository.read_clock(conn).now


def advance(session: Session, after: datetime, target: datetime) -> Move:
    """Set the clock to the first due moment after `after`, where everything due was done, or to the target."""
    conn = psycopg_of(session)
    found = [moment for kind in KINDS if (moment := kind.next_moment(conn, after)) is not None and moment <= target]
    moment = min(found, default=target)
    now = repository.set_clock(conn, moment)
    ensure_partitions(conn)
    return Move(moment, now, is_due=bool(found))


def require_own_time(database: Database, *, may_be_moved: bool) -> None:
    """ClockMoved when the database's clock was moved and that isn't allowed: its dates mean nothing to real business."""
    if may_be_moved:
        return
    with database.connection() as conn:
        offset = repository.read_clock(conn).offset
    if offset > timedelta(0):
        raise ClockMoved(f"the database's clock was moved {offset} ahead: set OPENSCRIP_TEST_CLOCK=1, or use another database")
