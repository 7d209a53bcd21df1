"""Automations as records: created, shown, changed, and which of them ought to have a flow."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.errors import UniqueViolation
from psycopg.rows import dict_row
from psycopg.types.json import Json, Jsonb

from db.repositories.keyset import Keyset, Slice
from db.repositories.matching import like_pattern
from db.session import Connection
from domain.automations import Automation, AutomationStatus, ExecutionStatus, ScheduleType, Scope, Source, TriggerType
from domain.errors import NameConflict

_COLUMNS = (
    "id", "organization_id", "program_id", "name", "description", "trigger_type", "scope", "status", "source", "event_name",
    "payload", "created_at", "updated_at", "last_error", "cron_expression", "timezone", "next_run_at", "last_run_at",
    "trigger_at", "processed_at", "error_message", "participant_id", "participant_filter", "guard_condition", "filter_hints",
    "execution_status", "execution_at", "execution_started_at", "execution_completed_at", "execution_error",
    "participants_total", "participants_processed", "caused_by_event_id", "failures", "chain_depth", "schedule_type",
    "schedule_config", "schedule_version", "active_since", "last_evaluated_at",
)  # fmt: skip
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM automations a"
# What rules made and is over; worded as the index of the list is.
_LISTED = "(source = 'api' OR (processed_at IS NULL AND status <> 'archived'))"
_HAS_FLOW = "source = 'api' AND status <> 'archived' AND (trigger_type = 'cron' OR processed_at IS NULL)"


@dataclass(frozen=True, slots=True)
class AutomationFilter:
    """What a program's list is narrowed to."""

    search: str | None = None
    trigger_type: TriggerType | None = None
    scope: Scope | None = None
    status: AutomationStatus | None = None
    source: Source | None = None
    is_archived_shown: bool = False


@dataclass(frozen=True, slots=True)
class AutomationKey:
    """What names an automation."""

    automation_id: UUID
    organization_id: UUID
    program_id: UUID


def find(conn: Connection, organization_id: UUID, program_id: UUID, automation_id: UUID) -> Automation | None:
    """An automation of the organization's program."""
    return _find(conn, organization_id, program_id, automation_id, "")


def lock(conn: Connection, organization_id: UUID, program_id: UUID, automation_id: UUID) -> Automation | None:
    """The same, locked until commit."""
    return _find(conn, organization_id, program_id, automation_id, "FOR UPDATE")


def page(conn: Connection, program_id: UUID, keyset: Keyset, wanted: AutomationFilter) -> Slice[Automation]:
    """One page of a program's automations."""
    after, values = keyset.where_sql()
    conditions, parameters = ["program_id = %(program)s", after], {"program": program_id, **values}
    for column in ("trigger_type", "scope", "status", "source"):
        value = getattr(wanted, column)
        if value is not None:
            conditions.append(f"{column} = %({column})s")
            parameters[column] = value
    if wanted.status is None and not wanted.is_archived_shown:
        conditions.append("status <> 'archived'")
    if wanted.source is None:
        conditions.append(_LISTED)
    if wanted.search is not None:
        conditions.append(r"name ILIKE %(search)s ESCAPE '\'")
        parameters["search"] = like_pattern(wanted.search)
    statement = f"{_SELECT} WHERE {' AND '.join(conditions)} ORDER BY {keyset.order_sql()} LIMIT {keyset.fetch}"
    with conn.cursor(row_factory=dict_row) as cursor:
        return keyset.cut([_automation(row) for row in cursor.execute(statement, parameters)])


def insert(conn: Connection, automation: Automation) -> None:
    """Store a new automation; NameConflict."""
    values = _values({column: getattr(automation, column) for column in _COLUMNS})
    marks = ", ".join(f"%({column})s" for column in _COLUMNS)
    _write(conn, f"INSERT INTO automations ({', '.join(_COLUMNS)}) VALUES ({marks})", values)


def update(conn: Connection, automation_id: UUID, changes: Mapping[str, Any]) -> None:
    """Overwrite these columns of a locked automation; NameConflict."""
    settings = ", ".join(f"{column} = %({column})s" for column in changes)
    values = _values(changes) | {"automation_id": automation_id}
    _write(conn, f"UPDATE automations SET {settings} WHERE id = %(automation_id)s", values)


def without_flow(conn: Connection, checked_for_seconds: float, limit: int) -> list[AutomationKey]:
    """Automations whose flow nobody has made sure of for so long, in real time."""
    rows = conn.execute(
        f"""
        SELECT id, organization_id, program_id FROM automations
        WHERE {_HAS_FLOW} AND (flow_at IS NULL OR flow_at < clock_timestamp() - make_interval(secs => %s))
        ORDER BY flow_at NULLS FIRST, id LIMIT %s
        """,
        [checked_for_seconds, limit],
    )
    return [AutomationKey(*row) for row in rows]


def note_flows(conn: Connection, automation_ids: Collection[UUID]) -> None:
    """Note that these have their flows; one that is locked is passed over."""
    conn.execute(
        """
        UPDATE automations SET flow_at = clock_timestamp()
        WHERE id IN (SELECT id FROM automations WHERE id = ANY(%s::uuid[]) ORDER BY id FOR UPDATE SKIP LOCKED)
        """,
        [list(automation_ids)],
    )


def forget_flows(conn: Connection) -> None:
    """Note that nobody has made sure of any flow; one that is locked is passed over."""
    conn.execute(
        f"""
        UPDATE automations SET flow_at = NULL
        WHERE id IN (SELECT id FROM automations WHERE {_HAS_FLOW} AND flow_at IS NOT NULL ORDER BY id FOR UPDATE SKIP LOCKED)
        """
    )


def serve_since(conn: Connection, program_id: UUID, now: datetime) -> None:
    """Let subscriptions of the program's automations drop recurring dates that came before a moment."""
    conn.execute(
        "UPDATE automations SET active_since = %s WHERE program_id = %s AND trigger_type = 'participant_state'", [now, program_id]
    )


def due_schedules(conn: Connection, program_id: UUID, now: datetime) -> list[Automation]:
    """The program's cron automations with an occurrence that isn't after a moment, locked by id."""
    statement = f"{_SELECT} WHERE program_id = %s AND trigger_type = 'cron' AND due_at <= %s ORDER BY id FOR UPDATE"
    with conn.cursor(row_factory=dict_row) as cursor:
        return [_automation(row) for row in cursor.execute(statement, [program_id, now])]


def _find(conn: Connection, organization_id: UUID, program_id: UUID, automation_id: UUID, lock: str) -> Automation | None:
    statement = f"{_SELECT} WHERE id = %s AND program_id = %s AND organization_id = %s {lock}"
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(statement, [automation_id, program_id, organization_id]).fetchone()
    return None if row is None else _automation(row)


def _write(conn: Connection, statement: str, values: Mapping[str, object]) -> None:
    try:
        conn.execute(statement, values)
    except UniqueViolation as error:
        if error.diag.constraint_name != "automations_name":
            raise
        raise NameConflict(field="name", value=values["name"]) from None


def _values(columns: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(columns)
    if "payload" in found:
        found["payload"] = Json(found["payload"])
    if "filter_hints" in found:
        found["filter_hints"] = Jsonb(found["filter_hints"])
    if found.get("schedule_config") is not None:
        found["schedule_config"] = Jsonb(found["schedule_config"])
    return found


def _automation(row: dict[str, Any]) -> Automation:
    execution, schedule = row["execution_status"], row["schedule_type"]
    typed = {
        "trigger_type": TriggerType(row["trigger_type"]),
        "scope": Scope(row["scope"]),
        "status": AutomationStatus(row["status"]),
        "source": Source(row["source"]),
        "execution_status": None if execution is None else ExecutionStatus(execution),
        "schedule_type": None if schedule is None else ScheduleType(schedule),
    }
    return Automation(**row | typed)
