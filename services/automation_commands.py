"""What is asked of an automation at once: trigger, cancel, pause, refresh (automations.md 4.6-4.8), by the API or a signal."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from db.repositories import automation_records as records
from db.repositories import automations as rows
from db.repositories.automations import Fired
from db.repositories.processing import clock
from db.session import Connection, psycopg_of
from domain.automations import (
    CANNOT_REFRESH,
    CANNOT_TRIGGER,
    NOTHING_TO_CANCEL,
    STILL_RUNNING,
    Automation,
    AutomationStatus,
    NotInThisState,
    Schedule,
    Scope,
    TriggerType,
)
from services import evaluations, fan_outs, programs, scheduled
from services.automations import AutomationChange, archive, lock_automation, update_automation
from services.system_events import Firing, Made, event_data_of, make_events


def trigger(
    session: Session, organization_id: UUID, program_id: UUID, automation_id: UUID, lanes: int, at: datetime | None = None
) -> tuple[Automation, Made]:
    """Fire at once: one event for the program, or a fan-out that is pending then; the schedule goes on as it would have.

    `at` is the moment of the call where that is known already: any number of calls with one moment fire once. The caller wakes
    the lanes. NotFound; NotInThisState; ProgramInactive.
    """
    program, automation = lock_automation(session, organization_id, program_id, automation_id)
    if at is not None and at in (automation.execution_at, automation.last_run_at):
        return automation, Made()
    if not automation.can_be_triggered:
        raise NotInThisState(CANNOT_TRIGGER)
    programs.require_active(program)
    conn = psycopg_of(session)
    if automation.scope is Scope.PARTICIPANTS:
        fired = Fired(automation_id, at or clock(conn), automation.next_run_at, starts_fan_out=True)
        rows.mark_fired(conn, [fired], fired.occurrence, STILL_RUNNING)
        return _as_it_is(conn, automation), Made()
    # an occurrence that is due and hasn't fired yet isn't lost
    made = scheduled.fire(session, [automation_id], lanes)
    now = at or clock(conn)
    made = made.plus(make_events(conn, [Firing(automation, now, event_data_of(automation))], now, lanes))
    assert automation.cron_expression is not None
    assert automation.timezone is not None
    following = Schedule(automation.cron_expression, automation.timezone).after(now)
    rows.mark_fired(conn, [Fired(automation_id, now, following)], now, STILL_RUNNING)
    return replace(_as_it_is(conn, automation), next_run_at=now), made


def cancel(session: Session, organization_id: UUID, program_id: UUID, automation_id: UUID) -> Automation:
    """Stop the fan-out under way, or archive what fires once and hasn't begun. NotFound; NotInThisState."""
    _, automation = lock_automation(session, organization_id, program_id, automation_id)
    conn = psycopg_of(session)
    if automation.status is not AutomationStatus.ARCHIVED and automation.ends_when_cancelled:
        return archive(conn, automation)
    if not automation.is_under_way:
        raise NotInThisState(NOTHING_TO_CANCEL)
    fan_outs.cancel(session, automation_id)
    return _as_it_is(conn, automation)


def pause(session: Session, organization_id: UUID, program_id: UUID, automation_id: UUID) -> Automation:
    """As a PATCH of `status` to `paused`."""
    changes = {"status": AutomationStatus.PAUSED}
    return update_automation(session, organization_id, AutomationChange(program_id, automation_id, changes))


def refresh(session: Session, organization_id: UUID, program_id: UUID, automation_id: UUID) -> Automation:
    """Queue an evaluation of subscriptions, which only participant_state automations have. NotFound; NotInThisState."""
    program, automation = lock_automation(session, organization_id, program_id, automation_id)
    is_active = automation.status is AutomationStatus.ACTIVE
    if automation.trigger_type is not TriggerType.PARTICIPANT_STATE or not is_active:
        raise NotInThisState(CANNOT_REFRESH)
    programs.require_active(program)
    conn = psycopg_of(session)
    evaluations.ask(conn, automation, clock(conn))
    return automation


def _as_it_is(conn: Connection, automation: Automation) -> Automation:
    found = records.find(conn, automation.organization_id, automation.program_id, automation.id)
    assert found is not None
    return found
