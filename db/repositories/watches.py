"""THRESHOLD subscriptions: what watches the counters of locked participants, and the crossings that were seen."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from db.repositories import arrays
from db.session import Connection


@dataclass(frozen=True, slots=True)
class Watch:
    """A locked THRESHOLD subscription; it isn't `is_heard` while its automation or program isn't active: then it doesn't fire."""

    id: UUID
    participant_id: UUID
    config: Mapping[str, Any]
    is_met: bool
    last_crossed_at: datetime | None
    is_heard: bool


def lock_watches(conn: Connection, participant_ids: Collection[UUID]) -> list[Watch]:
    """What watches the counters of locked participants, locked by id; what an evaluation has still to renew is left out."""
    rows = conn.execute(
        """
        SELECT s.id, s.participant_id, a.schedule_config, s.is_met, s.last_crossed_at,
               a.status = 'active' AND (SELECT p.status FROM programs p WHERE p.id = s.program_id) = 'ACTIVE'
        FROM automation_subscriptions s JOIN automations a ON a.id = s.automation_id
        WHERE s.participant_id = ANY(%s::uuid[]) AND s.is_met IS NOT NULL AND s.status = 'active'
          AND a.status <> 'archived' AND s.schedule_version = a.schedule_version
        ORDER BY s.id FOR UPDATE OF s
        """,
        [arrays.uuids(participant_ids)],
    )
    return [Watch(*row) for row in rows]


def note_watches(conn: Connection, changed: Mapping[UUID, tuple[bool, Sequence[datetime]]]) -> None:
    """What comparisons are now, and the crossings that led there, of locked subscriptions."""
    conn.execute(
        """
        UPDATE automation_subscriptions s
        SET is_met = new.is_met, crossings = s.crossings || new.crossings::timestamptz[],
            last_crossed_at = coalesce((new.crossings::timestamptz[])[array_upper(new.crossings::timestamptz[], 1)],
                                       s.last_crossed_at)
        FROM unnest(%s::uuid[], %s::boolean[], %s::text[]) AS new (id, is_met, crossings) WHERE s.id = new.id
        """,
        [
            arrays.uuids(changed),
            arrays.words("true" if is_met else "false" for is_met, _ in changed.values()),
            arrays.texts(arrays.moments(crossings) for _, crossings in changed.values()),
        ],
    )
