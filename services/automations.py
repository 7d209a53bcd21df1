"""Automations: create, read, change, archive (automations.md 4.1-4.5)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Session

from db.repositories import automation_records as rows
from db.repositories.automation_records import AutomationFilter, AutomationKey
from db.repositories.processing import clock
from db.session import Connection, psycopg_of
from domain.automation_forms import change_faults
from domain.automations import (
    Automation,
    AutomationStatus,
    ExecutionStatus,
    Schedule,
    ScheduleType,
    Scope,
    Source,
    TriggerType,
    is_near_enough,
)
from domain.errors import BadRequest, Fault, InvalidState, not_found
from domain.subscription_forms import parse_schedule
from domain.timestamps import format_timestamp
from runtime.ids import new_id
from services import evaluations, fan_outs, programs
from services.paging import Keyset, Slice
from services.participants import require_participant

__all__ = [
    "Automation",
    "AutomationChange",
    "AutomationFilter",
    "AutomationKey",
    "NewAutomation",
    "archive",
    "create_automation",
    "delete_automation",
    "get_automation",
    "list_automations",
    "lock_automation",
    "update_automation",
]


# Fields whose change concerns who has a subscription, and when it fires.
_EVALUATED = frozenset({"participant_filter", "filter_hints", "schedule_config", "timezone"})


@dataclass(frozen=True, slots=True)
class NewAutomation:
    """What an automation is created with; its form is checked, moments against the clock are not."""

    name: str
    event_name: str
    scope: Scope
    trigger_type: TriggerType
    description: str | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)
    participant_filter: str | None = None
    guard_condition: str | None = None
    filter_hints: list[dict[str, str]] = field(default_factory=list)
    participant_id: UUID | None = None
    cron_expression: str | None = None
    timezone: str | None = None
    trigger_at: datetime | None = None
    schedule_type: ScheduleType | None = None
    schedule_config: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class AutomationChange:
    """Fields to change by name, their form checked."""

    program_id: UUID
    automation_id: UUID
    changes: Mapping[str, Any]


def create_automation(session: Session, organization_id: UUID, program_id: UUID, new: NewAutomation) -> Automation:
    """Create an automation in a program.

    NotFound program, participant; BadRequest for a moment that has passed or is too far; ProgramArchived, NameConflict.
    """
    program = programs.lock_program(session, organization_id, program_id)
    if new.participant_id is not None:
        require_participant(session, organization_id, new.participant_id, field="participant_id")
    conn = psycopg_of(session)
    now = clock(conn)
    if new.trigger_at is not None:
        _require_ahead(new.trigger_at, now, "trigger.trigger_at")
    programs.require_open(program)
    automation = _made(new, organization_id, program_id, now)
    rows.insert(conn, automation)
    if automation.trigger_type is TriggerType.PARTICIPANT_STATE:
        evaluations.ask(conn, automation, now)
    return automation


def _made(new: NewAutomation, organization_id: UUID, program_id: UUID, now: datetime) -> Automation:
    is_fan_out = new.scope is Scope.PARTICIPANTS
    is_pending = new.trigger_type is TriggerType.IMMEDIATE
    execution = ExecutionStatus.PENDING if is_pending else ExecutionStatus.IDLE
    automation = Automation(
        id=new_id(),
        organization_id=organization_id,
        program_id=program_id,
        name=new.name,
        description=new.description,
        trigger_type=new.trigger_type,
        scope=new.scope,
        status=AutomationStatus.ACTIVE,
        source=Source.API,
        event_name=new.event_name,
        payload=new.payload,
        created_at=now,
        updated_at=now,
        cron_expression=new.cron_expression,
        timezone=new.timezone,
        trigger_at=new.trigger_at,
        participant_id=new.participant_id,
        participant_filter=new.participant_filter,
        guard_condition=new.guard_condition,
        filter_hints=new.filter_hints,
        execution_status=execution if is_fan_out else None,
        execution_at=now if is_pending else None,
        schedule_type=new.schedule_type,
        schedule_config=new.schedule_config,
        active_since=now if new.trigger_type is TriggerType.PARTICIPANT_STATE else None,
    )
    if new.cron_expression is None or new.timezone is None:
        return automation
    return replace(automation, next_run_at=Schedule(new.cron_expression, new.timezone).after(now))


def list_automations(
    session: Session, organization_id: UUID, program_id: UUID, wanted: AutomationFilter, keyset: Keyset
) -> Slice[Automation]:
    """One page of a program's automations; NotFound."""
    programs.get_program(session, organization_id, program_id)
    return rows.page(psycopg_of(session), program_id, keyset, wanted)


def get_automation(session: Session, organization_id: UUID, program_id: UUID, automation_id: UUID) -> Automation:
    """An automation of the program, archived or not; NotFound."""
    programs.get_program(session, organization_id, program_id)
    automation = rows.find(psycopg_of(session), organization_id, program_id, automation_id)
    if automation is None:
        raise not_found("automation", automation_id)
    return automation


def lock_automation(
    session: Session, organization_id: UUID, program_id: UUID, automation_id: UUID
) -> tuple[programs.Program, Automation]:
    """Program and automation, both as they are until commit; NotFound."""
    program = programs.lock_program(session, organization_id, program_id)
    automation = rows.lock(psycopg_of(session), organization_id, program_id, automation_id)
    if automation is None:
        raise not_found("automation", automation_id)
    return program, automation


def update_automation(session: Session, organization_id: UUID, wanted: AutomationChange) -> Automation:
    """Change the fields given.

    NotFound; BadRequest for fields that the automation doesn't have and moments that have passed; ProgramArchived, InvalidState
    for an archived automation, NameConflict.
    """
    program, old = lock_automation(session, organization_id, wanted.program_id, wanted.automation_id)
    conn = psycopg_of(session)
    now = clock(conn)
    changes = _checked_change(old, wanted.changes, now)
    programs.require_open(program)
    if old.status is AutomationStatus.ARCHIVED:
        raise InvalidState(status=str(old.status))
    columns = old.changed(changes, now)
    if not columns:
        return old
    rows.update(conn, old.id, columns)
    changed = replace(old, **columns)
    if old.trigger_type is TriggerType.PARTICIPANT_STATE and not columns.keys().isdisjoint(_EVALUATED):
        evaluations.ask(conn, changed, now)
    return changed


def _checked_change(old: Automation, changes: Mapping[str, Any], now: datetime) -> Mapping[str, Any]:
    """The changes as they are stored; BadRequest."""
    faults = list(change_faults(old.trigger_type, old.scope, changes))
    if old.schedule_type is not None and "schedule_config" in changes:
        config, found = parse_schedule(old.schedule_type, changes["schedule_config"], "schedule_config")
        changes = {**changes, "schedule_config": config}
        faults += found
    if "name" in changes and old.source is Source.RULE_ACTION:
        faults.append(Fault("name", "not_allowed", "Rules name their automations", None, changes["name"][:100]))
    if faults:
        raise BadRequest(faults)
    if changes.get("trigger_at") is not None:
        _require_ahead(changes["trigger_at"], now, "trigger_at")
    return changes


def _require_ahead(trigger_at: datetime, now: datetime, path: str) -> None:
    if not is_near_enough(trigger_at, now):
        message = "Must lie after now, at most 5 years ahead"
        raise BadRequest([Fault(path, "out_of_range", message, "timestamp", format_timestamp(trigger_at))])


def delete_automation(session: Session, organization_id: UUID, program_id: UUID, automation_id: UUID) -> Automation:
    """Archive an automation and stop its fan-out; one that is archived stays so. NotFound."""
    _, automation = lock_automation(session, organization_id, program_id, automation_id)
    if automation.status is AutomationStatus.ARCHIVED:
        return automation
    conn = psycopg_of(session)
    if automation.is_under_way:
        fan_outs.cancel(session, automation_id)
    return archive(conn, automation)


def archive(conn: Connection, automation: Automation) -> Automation:
    """Let a locked automation fire no more."""
    fan_outs.archive(conn, automation.id)
    found = rows.find(conn, automation.organization_id, automation.program_id, automation.id)
    assert found is not None
    return found
