"""State rows of participants, groups and programs, and the history of their changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from sqlmodel import Session

from db.repositories.keyset import Keyset, Slice
from db.session import Connection, psycopg_of
from domain.processing.impact import StateEffect
from domain.state import EntityState, StateChange, counters_from_json, counters_to_json
from runtime.ids import new_id


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One row of the state history."""

    id: UUID
    state_type: str
    key: str
    operation: str
    old_value: str | None
    new_value: str | None
    changed_at: datetime
    changed_by_api_key_id: UUID | None
    event_id: UUID | None
    rule_id: UUID | None
    program_id: UUID | None


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """What a state history is narrowed to; times are inclusive, rows without an event use their own time."""

    state_type: str | None = None
    key: str | None = None
    program_id: UUID | None = None
    operation: str | None = None
    from_: datetime | None = None
    to: datetime | None = None
    event_from: datetime | None = None
    event_to: datetime | None = None


_CONDITIONS = {
    "state_type": "state_type = %(state_type)s",
    "key": "key = %(key)s",
    "program_id": "program_id = %(program_id)s",
    "operation": "operation = %(operation)s",
    "from_": "changed_at >= %(from_)s",
    "to": "changed_at <= %(to)s",
    "event_from": "coalesce(event_timestamp, changed_at) >= %(event_from)s",
    "event_to": "coalesce(event_timestamp, changed_at) <= %(event_to)s",
}


def load_holder(session: Session, organization_id: UUID, kind: str, holder_id: UUID, *, is_locked: bool) -> EntityState | None:
    """The state of a participant or group of the organization."""
    lock = " FOR UPDATE" if is_locked else ""
    row = psycopg_of(session).execute(
        f"SELECT tags, counters, attributes FROM holders WHERE id = %s AND organization_id = %s AND kind = %s{lock}",
        (holder_id, organization_id, kind),
    )
    return _state(row.fetchone())


def is_group_archived(session: Session, group_id: UUID) -> bool:
    """Whether a group is ARCHIVED; asked under the lock of its state."""
    row = psycopg_of(session).execute("SELECT status = 'ARCHIVED' FROM groups WHERE id = %s", (group_id,)).fetchone()
    return row is not None and bool(row[0])


def load_program(session: Session, organization_id: UUID, program_id: UUID, *, is_locked: bool) -> EntityState | None:
    """The state of a program of the organization."""
    lock = " FOR UPDATE" if is_locked else ""
    row = psycopg_of(session).execute(
        f"SELECT tags, counters, attributes FROM program_states WHERE program_id = %s AND organization_id = %s{lock}",
        (program_id, organization_id),
    )
    return _state(row.fetchone())


def _state(row: tuple[Any, ...] | None) -> EntityState | None:
    if row is None:
        return None
    return EntityState(frozenset(row[0]), counters_from_json(row[1]), row[2])


def save_holder(session: Session, holder_id: UUID, state: EntityState, now: datetime) -> None:
    """Replace the state of a locked participant or group."""
    psycopg_of(session).execute(
        "UPDATE holders SET tags = %s, counters = %s, attributes = %s, state_changed_at = %s WHERE id = %s",
        (sorted(state.tags), Jsonb(counters_to_json(state.counters)), Jsonb(dict(state.attributes)), now, holder_id),
    )


def save_program(session: Session, program_id: UUID, state: EntityState) -> None:
    """Replace the state of a locked program."""
    psycopg_of(session).execute(
        "UPDATE program_states SET tags = %s, counters = %s, attributes = %s, version = version + 1 WHERE program_id = %s",
        (sorted(state.tags), Jsonb(counters_to_json(state.counters)), Jsonb(dict(state.attributes)), program_id),
    )


def touch_participant(session: Session, participant_id: UUID, now: datetime) -> None:
    """Move `updated_at`, as changes of tags and attributes do."""
    psycopg_of(session).execute("UPDATE participants SET updated_at = %s WHERE id = %s", (now, participant_id))


def insert_changes(
    session: Session,
    organization_id: UUID,
    entity_type: str,
    entity_id: UUID,
    changes: Sequence[StateChange],
    *,
    changed_at: datetime,
    api_key_id: UUID,
) -> None:
    """Record changes made through the API, in the order they were made."""
    with psycopg_of(session).cursor() as cursor:
        cursor.executemany(
            "INSERT INTO state_history (id, organization_id, entity_type, entity_id, state_type, key, operation, old_value,"
            " new_value, changed_at, changed_by_api_key_id) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    new_id(),
                    organization_id,
                    entity_type,
                    entity_id,
                    change.state_type,
                    change.key,
                    change.operation,
                    change.old_value,
                    change.new_value,
                    changed_at,
                    api_key_id,
                )
                for change in changes
            ],
        )


def page(session: Session, organization_id: UUID, entity_id: UUID, wanted: HistoryFilter, keyset: Keyset) -> Slice[ChangeRow]:
    """One page of an entity's state history."""
    asked = {name: value for name in _CONDITIONS if (value := getattr(wanted, name)) is not None}
    after, values = keyset.where_sql()
    owner = "entity_id = %(entity_id)s AND organization_id = %(organization_id)s"
    conditions = " AND ".join([owner, after, *(_CONDITIONS[name] for name in asked)])
    with psycopg_of(session).cursor(row_factory=class_row(ChangeRow)) as cursor:
        cursor.execute(
            "SELECT id, state_type, key, operation, old_value, new_value, changed_at, changed_by_api_key_id, event_id, rule_id,"
            f" program_id FROM state_history WHERE {conditions} ORDER BY {keyset.order_sql()} LIMIT {keyset.fetch}",
            {**asked, **values, "entity_id": entity_id, "organization_id": organization_id},
        )
        return keyset.cut(cursor.fetchall())


def changes_of_event(conn: Connection, organization_id: UUID, event_id: UUID) -> list[StateEffect]:
    """All changes of state that an event made, in the order it made them."""
    with conn.cursor(row_factory=class_row(StateEffect)) as cursor:
        return cursor.execute(
            "SELECT id, entity_type, entity_id, state_type, key, operation, old_value, new_value, changed_at,"
            " changed_by_api_key_id, event_id, rule_id, program_id FROM state_history"
            " WHERE event_id = %s AND organization_id = %s ORDER BY changed_at, id",
            [event_id, organization_id],
        ).fetchall()
