"""Evaluation of the filters of participant_state automations: who has a subscription (automations.md 3.2).

Paged and resumable: each page of participants, what it changes and how far it came commit together.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlmodel import Session

from db.repositories import evaluations as rows
from db.repositories import ledger
from db.repositories import subscriptions as subscription_rows
from db.repositories.candidates import candidate_query
from db.repositories.evaluations import Evaluated, Evaluation
from db.repositories.processing import clock
from db.repositories.subscriptions import Planned, Stored
from db.session import Connection, psycopg_of
from domain.automation_forms import automation_condition
from domain.automations import Automation
from domain.state import counters_from_json
from domain.state_tests import hint_tests, split
from domain.subscriptions import (
    AttributeDate,
    StateSchedule,
    SubscriptionStatus,
    Threshold,
    changes_with_time,
    plan,
    schedule_of,
)
from runtime.ids import new_id
from services.audience import satisfying

PAGE_PARTICIPANTS = 500
EVERY = timedelta(minutes=5)
DAY = timedelta(days=1)
# A change is dated before it commits: the next evaluation looks so far back.
OVERLAP = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Step:
    """What one step of an evaluation did; `is_under_way` when another one should follow at once."""

    looked_at: int = 0
    is_under_way: bool = False


def ask(conn: Connection, automation: Automation, now: datetime) -> None:
    """Want an evaluation for everybody; several before it begins are one."""
    source = automation.participant_filter
    is_timed = source is not None and changes_with_time(automation_condition(source).reads)
    rows.ask(conn, (automation.id, automation.organization_id, automation.program_id), now, is_timed=is_timed)


def advance(session: Session, automation_id: UUID, limit: int = PAGE_PARTICIPANTS) -> Step:
    """Begin the evaluation that is wanted or due, or look at the next page of participants of the one under way."""
    conn = psycopg_of(session)
    wanted = rows.hold(conn, automation_id)
    if wanted is None:
        return Step()
    found = rows.lock(conn, automation_id)
    if found is None:
        return Step()
    begun = _begun(conn, found)
    return Step() if begun is None else _page(conn, wanted, begun, limit)


def _begun(conn: Connection, found: Evaluation) -> Evaluation | None:
    """The evaluation under way; None when none is and nothing is due."""
    now = clock(conn)
    if found.requested_at is None and found.is_under_way:
        return found
    if found.requested_at is not None or (_daily(found) or now) < now:
        rows.begin(conn, found.automation_id, None, now)
    elif found.started_at is not None and found.started_at + EVERY <= now:
        rows.begin(conn, found.automation_id, found.started_at - OVERLAP, now)
    else:
        return None
    return rows.lock(conn, found.automation_id)


def _page(conn: Connection, wanted: Evaluated, found: Evaluation, limit: int) -> Step:
    people = rows.people(conn, wanted, found, limit)
    ids = [id_ for id_, _ in people]
    schedule = schedule_of(wanted.schedule_type, wanted.schedule_config, wanted.timezone)
    if ids and isinstance(schedule, Threshold):
        # no counter changes between the look at it and the beginning of its subscription
        ledger.lock_holders(conn, ids)
    now = clock(conn)
    if ids:
        _subscribe(conn, wanted, schedule, ids, now)
    is_over = len(people) < limit
    rows.go_on(conn, wanted.automation_id, None if is_over else people[-1], now)
    return Step(len(people), not is_over)


def _subscribe(conn: Connection, wanted: Evaluated, schedule: StateSchedule, ids: list[UUID], now: datetime) -> None:
    matching = _matching(conn, wanted, ids, now)
    have = subscription_rows.stored(conn, wanted.automation_id, ids)
    planned, kept = _plans(conn, wanted, schedule, matching, have, now)
    key = (wanted.organization_id, wanted.program_id, wanted.automation_id)
    if planned:
        subscription_rows.save_plans(conn, key, wanted.schedule_version, planned, now)
    kept |= {item.participant_id for item in planned}
    lost = [
        each.id for each in have.values() if each.participant_id not in kept and each.status is not SubscriptionStatus.CANCELLED
    ]
    if lost:
        subscription_rows.cancel(conn, lost)


def _matching(conn: Connection, wanted: Evaluated, ids: Collection[UUID], now: datetime) -> set[UUID]:
    query = candidate_query(hint_tests(wanted.filter_hints), split(wanted.participant_filter))
    found = rows.candidates(conn, wanted, query, ids)
    sure = {id_ for id_, is_certain in found.items() if is_certain}
    unsure = found.keys() - sure
    if not unsure or wanted.participant_filter is None:
        return sure
    return sure | satisfying(conn, wanted.organization_id, wanted.program_id, unsure, wanted.participant_filter, now)


def _plans(
    conn: Connection,
    wanted: Evaluated,
    schedule: StateSchedule,
    matching: Collection[UUID],
    have: Mapping[UUID, Stored],
    now: datetime,
) -> tuple[list[Planned], set[UUID]]:
    """Subscriptions that begin to wait, and whose go on as they are."""
    reads_state = isinstance(schedule, AttributeDate | Threshold)
    states = subscription_rows.states(conn, matching) if reads_state and matching else {}
    planned: list[Planned] = []
    kept: set[UUID] = set()
    for id_ in sorted(matching):
        stored, attributes = states.get(id_, ({}, {}))
        existing = have.get(id_)
        is_open = existing is not None and existing.status is not SubscriptionStatus.CANCELLED
        if existing is not None and is_open and _goes_on(existing, wanted, schedule, attributes):
            kept.add(id_)
            continue
        anchor = existing.anchor if existing is not None and is_open else now
        counters = {key: counter.effective(now) for key, counter in counters_from_json(stored).items()}
        found = plan(schedule, attributes, counters, anchor, now)
        if found is not None:
            planned.append(Planned(new_id() if existing is None else existing.id, id_, anchor, found))
    return planned, kept


def _goes_on(existing: Stored, wanted: Evaluated, schedule: StateSchedule, attributes: Mapping[str, str]) -> bool:
    if existing.schedule_version != wanted.schedule_version:
        return False
    return not isinstance(schedule, AttributeDate) or existing.basis == attributes.get(schedule.attribute)


# ------------------------------------------------------------------ moments
def _daily(found: Evaluation) -> datetime | None:
    """The midnight at which everybody is looked at again; None for a filter that time doesn't change."""
    if not found.is_timed or found.full_at is None:
        return None
    return found.full_at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + DAY


def _next(found: Evaluation, now: datetime) -> datetime:
    if found.requested_at is not None or found.is_under_way or found.started_at is None:
        return now
    daily = _daily(found)
    return found.started_at + EVERY if daily is None else min(daily, found.started_at + EVERY)


def next_at(conn: Connection, automation_id: UUID, now: datetime) -> datetime | None:
    """When the next evaluation of an automation is due, which may be now; None while it isn't served."""
    found = rows.find(conn, automation_id)
    return None if found is None else _next(found, now)


def due_now(conn: Connection) -> list[UUID]:
    """Automations with an evaluation that would change something: it is wanted, under way, daily, or somebody has changed."""
    now = clock(conn)
    found = (each for each in rows.served(conn) if _next(each, now) <= now)
    return [each.automation_id for each in found if _is_needed(conn, each, now)]


def _is_needed(conn: Connection, found: Evaluation, now: datetime) -> bool:
    if found.requested_at is not None or found.is_under_way or found.started_at is None:
        return True
    daily = _daily(found)
    return (daily is not None and daily <= now) or rows.has_changes(conn, found.automation_id, found.started_at - OVERLAP)


def next_moment(conn: Connection, after: datetime) -> datetime | None:
    """The first moment after another one at which an evaluation is due; the five minutes count where somebody has changed."""
    moments = []
    for found in rows.served(conn):
        daily = _daily(found)
        if daily is not None and daily > after:
            moments.append(daily)
        soon = None if found.started_at is None else found.started_at + EVERY
        if soon is not None and soon > after and rows.has_changes(conn, found.automation_id, soon - EVERY - OVERLAP):
            moments.append(soon)
    return min(moments, default=None)


def count_moments(conn: Connection, until: datetime, limit: int) -> int:
    """How many midnights lie between now and a moment, if any automation is evaluated daily."""
    if not any(found.is_timed for found in rows.served(conn)):
        return 0
    return min(limit, max(0, (until.astimezone(UTC).date() - clock(conn).astimezone(UTC).date()).days))
