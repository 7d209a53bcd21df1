"""Fan-outs: one event for each participant of a program, page by page (events-rules.md 6.15; automations.md 2.3, 4.7).

A page's events and its end in the list commit together: whatever crashes, the next page begins where the last one ended.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlmodel import Session

from db.repositories import automation_runs as runs
from db.repositories import fan_outs as rows
from db.repositories.candidates import candidate_query
from db.repositories.fan_outs import FanOut, FanOutKey
from db.repositories.processing import clock
from db.session import Connection, Database, psycopg_of
from domain.automations import CANCELLED, UNDER_WAY, ExecutionStatus
from domain.state_tests import hint_tests, split
from services.audience import satisfying
from services.system_events import Firing, Made, event_data_of, make_events
from services.transactions import transact

__all__ = ["FanOutKey", "Progress", "Stage", "advance", "archive", "cancel", "finish", "give_up", "runnable"]

PAGE_PARTICIPANTS = 500


class Stage(StrEnum):
    """What a flow has to know of a fan-out: WAITING is for the program, or the automation, to be active again."""

    WAITING = "WAITING"
    EXECUTING = "EXECUTING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    ARCHIVED = "ARCHIVED"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a fan-out stands, and what the last step made; `looked_at` participants were filtered or had their turn in it.

    `total` is 0 while the participants are still chosen.
    """

    stage: Stage
    event_name: str
    total: int
    processed: int
    error: str | None = None
    made: Made = field(default_factory=Made)
    looked_at: int = 0


_STAGES = {
    ExecutionStatus.IDLE: Stage.ARCHIVED,
    ExecutionStatus.PENDING: Stage.WAITING,
    ExecutionStatus.EXECUTING: Stage.EXECUTING,
    ExecutionStatus.COMPLETED: Stage.COMPLETED,
    ExecutionStatus.FAILED: Stage.FAILED,
}


def runnable(session: Session, limit: int, *, only_pending: bool = False) -> list[FanOutKey]:
    """Fan-outs that somebody should bring further, oldest first; `only_pending`: those not begun yet."""
    return rows.runnable(psycopg_of(session), limit, only_pending=only_pending)


def advance(
    session: Session, automation_id: UUID, lanes: int, limit: int = PAGE_PARTICIPANTS, *, has_room: bool = True
) -> Progress | None:
    """Begin a fan-out that is pending, or make the next page's events where the lanes have room; None when there is none.

    Both wait while the program isn't ACTIVE. What hasn't begun also waits for a paused automation; what is under way ends when
    the automation is archived.
    """
    conn = psycopg_of(session)
    fan_out = rows.lock_fan_out(conn, automation_id)
    if fan_out is None:
        return None
    if fan_out.execution_status == ExecutionStatus.PENDING:
        return _begin(conn, fan_out)
    if fan_out.execution_status == ExecutionStatus.EXECUTING:
        return _go_on(conn, fan_out, lanes, limit if has_room else 0)
    return _as_it_is(fan_out)


def _go_on(conn: Connection, fan_out: FanOut, lanes: int, limit: int) -> Progress:
    if fan_out.status == "archived":
        return _fail(conn, fan_out, CANCELLED, is_failure=False)
    if fan_out.program_status != "ACTIVE":
        return _as_it_is(fan_out, Stage.WAITING)
    if not limit:
        return _as_it_is(fan_out)
    return _filter(conn, fan_out, limit) if fan_out.total is None else _page(conn, fan_out, lanes, limit)


def _begin(conn: Connection, fan_out: FanOut) -> Progress:
    if fan_out.status != "active" or fan_out.program_status != "ACTIVE":
        return _as_it_is(fan_out)
    now = clock(conn)
    wanted = candidate_query(hint_tests(fan_out.filter_hints), split(fan_out.participant_filter))
    total = rows.begin(conn, fan_out, wanted, now)
    return _chosen(conn, fan_out, total, now)


def _chosen(conn: Connection, fan_out: FanOut, total: int | None, now: datetime, looked_at: int = 0) -> Progress:
    """It goes on, unless nobody is left."""
    if total == 0:
        rows.complete(conn, fan_out.id, now)
    stage = Stage.COMPLETED if total == 0 else Stage.EXECUTING
    return Progress(stage, fan_out.event_name, total or 0, 0, looked_at=looked_at)


def _filter(conn: Connection, fan_out: FanOut, limit: int) -> Progress:
    """Choose among the next participants on the list."""
    now = clock(conn)
    ids = rows.unfiltered(conn, fan_out, limit)
    kept = set(ids)
    if ids and fan_out.participant_filter is not None:
        kept = satisfying(conn, fan_out.organization_id, fan_out.program_id, ids, fan_out.participant_filter, now)
    last = ids[-1] if len(ids) == limit else None
    total = rows.note_filtered(conn, fan_out, last, [id_ for id_ in ids if id_ not in kept], now)
    return _chosen(conn, fan_out, total, now, max(1, len(ids)))


def _page(conn: Connection, fan_out: FanOut, lanes: int, limit: int) -> Progress:
    people = rows.take_candidates(conn, fan_out, limit)
    now = clock(conn)
    data = event_data_of(fan_out)
    wanted = {id_ for id_, _ in people}
    if people and fan_out.guard_condition is not None:
        wanted = satisfying(conn, fan_out.organization_id, fan_out.program_id, wanted, fan_out.guard_condition, now)
    chosen = [(id_, external_id) for id_, external_id in people if id_ in wanted]
    firings = [Firing(fan_out, fan_out.execution_at, data, id_, external_id) for id_, external_id in chosen]
    made = make_events(conn, firings, now, lanes)
    total, processed = fan_out.total or 0, (fan_out.processed or 0) + len(people)
    rows.note_page(conn, fan_out.id, len(people), now)
    is_done = len(people) < limit or processed >= total
    if is_done:
        rows.complete(conn, fan_out.id, now)
    stage = Stage.COMPLETED if is_done else Stage.EXECUTING
    return Progress(stage, fan_out.event_name, total, processed, made=made, looked_at=max(1, len(people)))


def cancel(session: Session, automation_id: UUID) -> Progress | None:
    """Stop a fan-out: the events that it made stay, the rest is skipped; an immediate one that hasn't begun is archived.

    What isn't pending or under way stays as it is; None when there is no fan-out.
    """
    conn = psycopg_of(session)
    fan_out = rows.lock_fan_out(conn, automation_id)
    if fan_out is None or fan_out.execution_status not in UNDER_WAY:
        return None if fan_out is None else _as_it_is(fan_out)
    if fan_out.execution_status == ExecutionStatus.PENDING and fan_out.trigger_type == "immediate":
        rows.archive(conn, fan_out.id, clock(conn))
        return _as_it_is(fan_out, Stage.ARCHIVED)
    return _fail(conn, fan_out, CANCELLED, is_failure=False)


def archive(conn: Connection, automation_id: UUID) -> None:
    """Let a locked automation fire no more."""
    rows.archive(conn, automation_id, clock(conn))


def give_up(session: Session, automation_id: UUID) -> Progress | None:
    """End a fan-out that can't go on."""
    conn = psycopg_of(session)
    fan_out = rows.lock_fan_out(conn, automation_id)
    if fan_out is None or fan_out.execution_status not in UNDER_WAY:
        return None if fan_out is None else _as_it_is(fan_out)
    return _fail(conn, fan_out, "internal_error: the events could not be made", is_failure=True)


def finish(database: Database, automation_id: UUID, lanes: int, beat: Callable[[], None] = lambda: None) -> Made:
    """Bring a fan-out to its end, or to where it waits, in short transactions; `beat` is called after each."""
    done = Made()
    while True:
        progress = transact(database, lambda session: advance(session, automation_id, lanes))
        if progress is None:
            return done
        done = done.plus(progress.made)
        beat()
        if progress.stage is not Stage.EXECUTING:
            return done


def _fail(conn: Connection, fan_out: FanOut, error: str, *, is_failure: bool) -> Progress:
    now = clock(conn)
    rows.fail(conn, fan_out, error, now)
    if is_failure:
        runs.note_failure(conn, fan_out.id, fan_out.failures, error, now)
    return Progress(Stage.FAILED, fan_out.event_name, fan_out.total or 0, fan_out.processed or 0, error)


def _as_it_is(fan_out: FanOut, stage: Stage | None = None) -> Progress:
    found = stage or _STAGES[ExecutionStatus(fan_out.execution_status)]
    return Progress(found, fan_out.event_name, fan_out.total or 0, fan_out.processed or 0, fan_out.execution_error)
