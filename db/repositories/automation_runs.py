"""What became of runs of automations: failures in a row, and the pause that five of them make (automations.md 2.4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from db.repositories import arrays
from db.session import Connection
from domain.automations import Streak


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How the event of a run ended, `error` being None for a good one; `occurrence` is what the run was for."""

    automation_id: UUID
    occurrence: datetime
    error: str | None


def note_outcomes(conn: Connection, outcomes: Sequence[RunOutcome], now: datetime) -> None:
    """Count runs of scope program, in this order; what is counted already, or of another scope, is passed over.

    Locks the automations by id; who holds one waits for nothing that a batch of events has locked.
    """
    rows = conn.execute(
        """
        SELECT id, failures, counted_at FROM automations
        WHERE id = ANY(%s::uuid[]) AND source = 'api' AND scope = 'program' ORDER BY id FOR UPDATE
        """,
        [arrays.uuids({outcome.automation_id for outcome in outcomes})],
    ).fetchall()
    streaks = {row[0]: Streak(row[1]) for row in rows}
    counted: dict[UUID, datetime | None] = {row[0]: row[2] for row in rows}
    changed: dict[UUID, Streak] = {}
    for outcome in outcomes:
        id_, last = outcome.automation_id, counted.get(outcome.automation_id)
        if id_ in streaks and (last is None or last < outcome.occurrence):
            changed[id_] = streaks[id_] = streaks[id_].after(outcome.error)
            counted[id_] = outcome.occurrence
    if changed:
        _write(conn, changed, counted, now)


def note_failure(conn: Connection, automation_id: UUID, failures: int, error: str, now: datetime) -> None:
    """Count a failed run of a locked automation that had so many before."""
    streak = Streak(failures).after(error)
    _write(conn, {automation_id: streak}, {}, now)


def note_good_run(conn: Connection, automation_id: UUID) -> None:
    """Start the count of a locked automation again."""
    conn.execute("UPDATE automations SET failures = 0, last_error = NULL WHERE id = %s", [automation_id])


def _write(conn: Connection, streaks: dict[UUID, Streak], counted: dict[UUID, datetime | None], now: datetime) -> None:
    found = list(streaks.items())
    conn.execute(
        """
        UPDATE automations a SET failures = new.failures, last_error = new.error, updated_at = %s,
               counted_at = coalesce(new.counted_at, a.counted_at),
               error_message = CASE WHEN a.trigger_type IN ('one_time', 'immediate') THEN new.error ELSE a.error_message END,
               status = CASE WHEN new.is_over AND a.status = 'active' THEN 'paused' ELSE a.status END,
               next_run_at = CASE WHEN new.is_over THEN NULL ELSE a.next_run_at END
        FROM unnest(%s::uuid[], %s::integer[], %s::text[], %s::boolean[], %s::timestamptz[])
            AS new (id, failures, error, is_over, counted_at)
        WHERE a.id = new.id
        """,
        [
            now,
            arrays.uuids(id_ for id_, _ in found),
            arrays.numbers(streak.failures for _, streak in found),
            arrays.texts(streak.error for _, streak in found),
            arrays.words("true" if streak.is_over else "false" for _, streak in found),
            arrays.moments(counted.get(id_) for id_, _ in found),
        ],
    )
