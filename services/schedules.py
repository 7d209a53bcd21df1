"""Occurrences of cron automations that nothing fires for (automations.md 2.5)."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from db.repositories import automation_records as rows
from db.session import psycopg_of
from domain.automations import Schedule


def drop_missed(session: Session, program_id: UUID, now: datetime) -> None:
    """Let the program's schedules go on after now: what came while it wasn't ACTIVE is dropped."""
    conn = psycopg_of(session)
    for automation in rows.due_schedules(conn, program_id, now):
        assert automation.cron_expression is not None
        assert automation.timezone is not None
        schedule = Schedule(automation.cron_expression, automation.timezone)
        rows.update(conn, automation.id, {"next_run_at": schedule.after(now)})
    rows.serve_since(conn, program_id, now)
