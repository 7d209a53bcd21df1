"""Programs and their state rows."""

from uuid import UUID

from sqlmodel import Session, select

from db.repositories.keyset import Keyset, Slice
from db.repositories.matching import contains
from db.tables.core import Program


def find(session: Session, organization_id: UUID, program_id: UUID, *, lock: str | None = None) -> Program | None:
    """A program of the organization; `lock` is "share" (its status stays until commit) or "update"."""
    statement = select(Program).where(Program.id == program_id, Program.organization_id == organization_id)
    if lock is not None:
        statement = statement.with_for_update(read=lock == "share").execution_options(populate_existing=True)
    return session.exec(statement).first()


def exists(session: Session, organization_id: UUID, program_id: UUID) -> bool:
    """Whether the organization has this program."""
    return find(session, organization_id, program_id) is not None


def page(
    session: Session, organization_id: UUID, keyset: Keyset, *, status: str | None, is_archived_shown: bool, search: str | None
) -> Slice[Program]:
    """One page of the organization's programs."""
    statement = select(Program).where(Program.organization_id == organization_id)
    if status is not None:
        statement = statement.where(Program.status == status)
    elif not is_archived_shown:
        statement = statement.where(Program.status != "ARCHIVED")
    if search is not None:
        statement = statement.where(contains(search, Program.name))
    rows = session.exec(statement.where(keyset.where()).order_by(keyset.order()).limit(keyset.fetch)).all()
    return keyset.cut(rows)
