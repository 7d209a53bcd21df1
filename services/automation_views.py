"""What the flow of an automation does and sees (automations.md 2): where it stands, and the end of a run that can't be made."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlmodel import Session

from db.repositories import automation_records as records
from db.repositories import automation_runs as runs
from db.repositories import automations as rows
from db.repositories.automation_records import AutomationKey
from db.repositories.automations import Fired
from db.repositories.processing import clock
from db.session import psycopg_of
from domain.automations import STILL_RUNNING, Automation, AutomationStatus, ExecutionStatus, Schedule, TriggerType
from services import schedules

NOT_MADE = "internal_error: the event could not be made"


@dataclass(frozen=True, slots=True)
class AutomationView:
    """An automation, the seconds until its next moment by the database's clock, and whether its program is ACTIVE."""

    automation: Automation
    next_in_seconds: float | None
    is_program_active: bool

    @property
    def has_subscriptions(self) -> bool:
        """Whether its participants have schedules of their own, and something may happen to them now."""
        found = self.automation
        is_active = found.status is AutomationStatus.ACTIVE and self.is_program_active
        return found.trigger_type is TriggerType.PARTICIPANT_STATE and is_active

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to wait for."""
        found = self.automation
        if found.is_under_way:
            return False
        return found.status is AutomationStatus.ARCHIVED or (
            found.trigger_type is not TriggerType.CRON and found.processed_at is not None
        )

    @property
    def has_pending_run(self) -> bool:
        """Whether a fan-out should begin."""
        found = self.automation
        is_active = found.status is AutomationStatus.ACTIVE and self.is_program_active
        return found.execution_status is ExecutionStatus.PENDING and is_active


def view(session: Session, key: AutomationKey) -> AutomationView | None:
    """Where an automation stands; an occurrence that came while its program wasn't ACTIVE is dropped. None without one."""
    conn = psycopg_of(session)
    automation = records.find(conn, key.organization_id, key.program_id, key.automation_id)
    if automation is None:
        return None
    is_active, now = rows.program_is_active(conn, key.program_id), clock(conn)
    if not is_active and automation.next_run_at is not None and automation.next_run_at <= now:
        schedules.drop_missed(session, key.program_id, now)
        automation = records.find(conn, key.organization_id, key.program_id, key.automation_id) or automation
    due_at = automation.due_at
    return AutomationView(automation, None if due_at is None else (due_at - now).total_seconds(), is_active)


def give_up(session: Session, key: AutomationKey) -> None:
    """Count a failed run where a due event couldn't be made again and again, and go on to the next moment."""
    conn = psycopg_of(session)
    found = rows.lock_due(conn, [key.automation_id])
    automation = records.lock(conn, key.organization_id, key.program_id, key.automation_id)
    if not found or automation is None:
        return
    now, [item] = clock(conn), found
    following = None
    if item.cron_expression is not None and item.timezone is not None:
        following = Schedule(item.cron_expression, item.timezone).after(now)
    rows.mark_fired(conn, [Fired(item.id, item.due_at, following)], now, STILL_RUNNING)
    if automation.trigger_type is TriggerType.ONE_TIME:
        records.update(conn, item.id, {"processed_at": now})
    runs.note_failure(conn, item.id, automation.failures, NOT_MADE, now)


def without_flow(session: Session, checked_for_seconds: float, limit: int) -> list[AutomationKey]:
    """Automations whose flow nobody has made sure of for so long."""
    return records.without_flow(psycopg_of(session), checked_for_seconds, limit)


def note_flows(session: Session, automation_ids: Collection[UUID]) -> None:
    """Note that these have their flows."""
    records.note_flows(psycopg_of(session), automation_ids)


def forget_flows(session: Session) -> None:
    """Note that nobody has made sure of any flow."""
    records.forget_flows(psycopg_of(session))
