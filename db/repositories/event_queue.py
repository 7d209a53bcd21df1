"""The queue of accepted events: each lane's own, in the order its events were accepted.

Another attempt after a failure of infrastructure waits in real time, whatever the test clock shows: `not_before`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from db.repositories import arrays
from db.session import Connection
from domain.processing.world import Event


@dataclass(frozen=True, slots=True)
class QueuedEvent:
    """An event whose turn it is, with its place in the queue; `automation_id` where an automation of the API made it."""

    queue_seq: int
    attempts: int
    event: Event
    automation_id: UUID | None = None
    trace_parent: str | None = None


def lock_lane(conn: Connection, lane: int) -> bool:
    """Take the lane's row for this transaction; False when another worker has it, or there is no such lane."""
    return conn.execute("SELECT 1 FROM lanes WHERE lane = %s FOR UPDATE SKIP LOCKED", [lane]).fetchone() is not None


def take_events(conn: Connection, lane: int, limit: int) -> list[QueuedEvent]:
    """The first events of a lane, in order; a participant with an event that waits for another attempt is left out."""
    rows = conn.execute(
        """
        SELECT q.queue_seq, q.attempts, e.id, e.organization_id, e.program_id, e.participant_id, e.recipient_id,
               e.event_data, e.event_timestamp, e.created_at, e.chain_depth,
               CASE WHEN e.caused_by_event_id IS NULL THEN e.automation_id END, q.trace_parent
        FROM event_queue q JOIN events e ON e.id = q.event_id AND e.created_at = q.event_created_at
        WHERE q.lane = %s AND NOT EXISTS (
            SELECT 1 FROM event_queue b
            WHERE b.order_key = q.order_key AND b.queue_seq <= q.queue_seq
              AND b.not_before IS NOT NULL AND b.not_before > clock_timestamp())
        ORDER BY q.queue_seq LIMIT %s
        """,
        [lane, limit],
    )
    return [QueuedEvent(row[0], row[1], Event(*row[2:-2]), *row[-2:]) for row in rows]


def next_attempt_in(conn: Connection, lane: int) -> float | None:
    """Seconds until the first waiting attempt of the lane, at least 0; None when none waits."""
    row: Any = conn.execute(
        """
        SELECT extract(epoch FROM min(not_before) - clock_timestamp())::float8 FROM event_queue
        WHERE lane = %s AND not_before IS NOT NULL
        """,
        [lane],
    ).fetchone()
    return None if row[0] is None else max(0.0, row[0])


def backlog(conn: Connection, lane: int, at_most: int = 1000) -> int:
    """How many events wait in the lane; counting stops at `at_most`, so that a flood costs no more than a trickle."""
    statement = "SELECT count(*) FROM (SELECT 1 FROM event_queue WHERE lane = %s LIMIT %s) AS waiting"
    row: Any = conn.execute(statement, [lane, at_most]).fetchone()
    return int(row[0])


def total_backlog(conn: Connection, at_most: int) -> int:
    """How many events wait in all lanes; counting stops at `at_most`."""
    row: Any = conn.execute("SELECT count(*) FROM (SELECT 1 FROM event_queue LIMIT %s) AS waiting", [at_most]).fetchone()
    return int(row[0])


def finish(conn: Connection, lane: int, queue_seqs: Collection[int]) -> None:
    """Take finished events off the queue."""
    conn.execute(
        "DELETE FROM event_queue WHERE lane = %s AND queue_seq = ANY(%s::bigint[])",
        [lane, arrays.numbers(queue_seqs)],
        prepare=True,
    )


def postpone(conn: Connection, lane: int, queue_seq: int, seconds: float) -> None:
    """Let an event wait for another attempt, and count the one that failed."""
    conn.execute(
        """
        UPDATE event_queue SET state = 'PENDING', attempts = attempts + 1,
               not_before = clock_timestamp() + make_interval(secs => %s), queued_at = openscrip_now()
        WHERE lane = %s AND queue_seq = %s
        """,
        [seconds, lane, queue_seq],
    )


def lanes_with_events(conn: Connection) -> list[int]:
    """Lanes with any event that isn't done."""
    return [row[0] for row in conn.execute("SELECT DISTINCT lane FROM event_queue ORDER BY lane")]


def waiting_lanes(conn: Connection, older_than_seconds: float) -> list[int]:
    """Lanes with an event that could have been processed since `older_than_seconds`: their wake signal was lost."""
    rows = conn.execute(
        """
        SELECT l.lane FROM lanes l WHERE EXISTS (
            SELECT 1 FROM event_queue q WHERE q.lane = l.lane
              AND (q.not_before IS NULL OR q.not_before < clock_timestamp())
              AND q.queued_at < openscrip_now() - make_interval(secs => %s))
        """,
        [older_than_seconds],
    )
    return [row[0] for row in rows]
