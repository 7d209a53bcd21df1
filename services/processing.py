"""Processing the events of a lane (events-rules.md 3): lock, load, evaluate, flush; the caller commits.

Everything an event did, and the mark that it is done, is written by one transaction: a batch that runs twice finds nothing
the second time. See ADR 1 for lanes and ADR 7 for the order of locks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from db.repositories import event_queue as queue
from db.repositories import holds
from db.repositories import processing as rows
from db.repositories.automation_runs import RunOutcome, note_outcomes
from db.session import Connection
from domain.processing.process import Outcome
from domain.processing.record import Record
from services import outbox
from services.batch_work import Locks, StartAgain, Work
from services.event_traces import NO_TRACES, EventTraces
from services.messages.events import record_failure

__all__ = ["BATCH_EVENTS", "Batch", "Locks", "StartAgain", "give_up_or_postpone", "process_batch"]

BATCH_EVENTS = 200
RETRY_SECONDS = (2, 4, 8, 16, 32)
# The due work looks twice a minute by itself: it needs to hear only of moments that come before that.
NEAR = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction did to a lane; `taken` events were loaded, of which the time box let `events` be processed.

    `accepted` says when these were accepted, in the order of the lane.

    After the commit `committed` ends the spans of its events.

    `plans_soon`: it planned SYSTEM events of the next minute, or crossed a threshold, of which the due work should hear after the
    commit; `lowered_holds`: holds with a flow of their own that rules took from.
    """

    events: int = 0
    failed: int = 0
    entries: int = 0
    taken: int = 0
    busy: bool = False
    accepted: Sequence[datetime] = ()
    plans_soon: bool = False
    outcomes: Sequence[Outcome] = ()
    traces: EventTraces = NO_TRACES
    lowered_holds: tuple[UUID, ...] = ()

    def committed(self) -> "Batch":
        """End the spans of the events."""
        self.traces.end(self.outcomes)
        return self


def process_batch(conn: Connection, lane: int, *, limit: int = BATCH_EVENTS, locks: Locks | None = None) -> Batch:
    """Process the first events of a lane inside the caller's transaction, up to `limit` or until 25 ms of computing are spent.

    Raises StartAgain when locks must be taken anew; anything else that it raises is infrastructure, or a fault of ours.
    """
    locks = locks or Locks()
    if not queue.lock_lane(conn, lane):
        return Batch(busy=True)
    queued = queue.take_events(conn, lane, limit)
    if not queued:
        return Batch()
    traces = EventTraces(queued)
    work = Work(conn, [item.event for item in queued], locks, traces=traces)
    outcomes = work.evaluate()
    queue.finish(conn, lane, [item.queue_seq for item in queued[: len(outcomes)]])
    work.flush(outcomes)
    _note_runs(conn, queued, outcomes)
    failed = sum(outcome.error_code is not None for outcome in outcomes)
    return Batch(
        len(outcomes),
        failed,
        len(work.books.entries),
        taken=len(queued),
        accepted=[outcome.event.created_at for outcome in outcomes],
        outcomes=outcomes,
        traces=traces,
        plans_soon=work.has_crossings or any(item.due_at - item.planned_at <= NEAR for item in work.world.planned),
        lowered_holds=_lowered_holds(conn, work),
    )


def _lowered_holds(conn: Connection, work: Work) -> tuple[UUID, ...]:
    dated = [record.id for _, record in work.books.changed_holds.values() if record.expires_at is not None]
    return tuple(holds.made_by_api(conn, dated)) if dated else ()


def _note_runs(conn: Connection, queued: Sequence[queue.QueuedEvent], outcomes: Sequence[Outcome]) -> None:
    """Tell the automations of the API what became of their events; costs nothing where there are none."""
    pairs = zip(queued, outcomes, strict=False)
    found = [(item.automation_id, done) for item, done in pairs if item.automation_id is not None]
    if found:
        ended = [RunOutcome(id_, done.event.timestamp, done.error_message) for id_, done in found]
        note_outcomes(conn, ended, outcomes[-1].processed_at)


def give_up_or_postpone(conn: Connection, lane: int) -> Batch:
    """Count a failed attempt of the lane's first event: wait 2, 4, 8, 16, 32 seconds, then FAILED with `internal_error`."""
    if not queue.lock_lane(conn, lane):
        return Batch(busy=True)
    queued = queue.take_events(conn, lane, 1)
    if not queued:
        return Batch()
    first = queued[0]
    if first.attempts < len(RETRY_SECONDS):
        queue.postpone(conn, lane, first.queue_seq, RETRY_SECONDS[first.attempts])
        return Batch(taken=1)
    now = rows.clock(conn)
    message = "internal_error: the event could not be processed"
    outcome = Outcome(first.event, now, 0, Record(), (), "internal_error", message)
    rows.write_outcomes(conn, [outcome])
    audience = outbox.look_up(conn, {first.event.organization_id})()
    record_failure(conn, audience, outcome)
    queue.finish(conn, lane, [first.queue_seq])
    _note_runs(conn, queued, [outcome])
    return Batch(1, failed=1, taken=1, accepted=[first.event.created_at])
