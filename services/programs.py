"""Programs: create, change, list; and what their status allows (programs-assets.md, Program status)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlmodel import Session

from db.repositories import groups
from db.repositories import organizations as clock
from db.repositories import programs as repository
from db.tables.core import Program, ProgramState
from domain.errors import GroupArchived, ProgramArchived, ProgramInactive, bad_request, not_found
from runtime.ids import new_id
from services import schedules
from services.paging import Keyset, Slice

__all__ = ["Program"]


class ProgramStatus(StrEnum):
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    ARCHIVED = "ARCHIVED"


class OnUnknownParticipant(StrEnum):
    CREATE = "CREATE"
    REJECT = "REJECT"


class RedemptionTarget(StrEnum):
    SYSTEM_REDEMPTION = "SYSTEM_REDEMPTION"
    SYSTEM_BREAKAGE = "SYSTEM_BREAKAGE"
    LEDGER_ENTITY = "LEDGER_ENTITY"


@dataclass(frozen=True, slots=True)
class ProgramFilter:
    """What a list of programs is narrowed to; an explicit status shows archived ones without `is_archived_shown`."""

    status: ProgramStatus | None = None
    is_archived_shown: bool = False
    search: str | None = None


def create_program(
    session: Session, organization_id: UUID, *, name: str, description: str | None, on_unknown_participant: OnUnknownParticipant
) -> Program:
    """Create an ACTIVE program with empty state."""
    now = clock.now(session)
    program = Program(
        id=new_id(),
        organization_id=organization_id,
        name=name,
        description=description,
        on_unknown_participant=on_unknown_participant,
        created_at=now,
        updated_at=now,
    )
    session.add(program)
    session.flush()
    session.add(ProgramState(program_id=program.id, organization_id=organization_id))
    session.flush()
    return program


def list_programs(session: Session, organization_id: UUID, wanted: ProgramFilter, keyset: Keyset) -> Slice[Program]:
    """One page of programs."""
    return repository.page(
        session,
        organization_id,
        keyset,
        status=wanted.status,
        is_archived_shown=wanted.is_archived_shown,
        search=wanted.search,
    )


def get_program(session: Session, organization_id: UUID, program_id: UUID, *, field: str | None = None) -> Program:
    """A program; NotFound, with `field` when the id came from a body or query."""
    program = repository.find(session, organization_id, program_id)
    if program is None:
        raise not_found("program", program_id, field)
    return program


def lock_program(session: Session, organization_id: UUID, program_id: UUID, *, field: str | None = None) -> Program:
    """A program whose status stays as it is until commit; NotFound, with `field` when the id came from a body."""
    program = repository.find(session, organization_id, program_id, lock="share")
    if program is None:
        raise not_found("program", program_id, field)
    return program


def get_open_program(session: Session, organization_id: UUID, program_id: UUID, *, field: str | None = None) -> Program:
    """A program that isn't ARCHIVED and stays so until commit; NotFound, ProgramArchived."""
    program = lock_program(session, organization_id, program_id, field=field)
    require_open(program)
    return program


def require_open(program: Program) -> None:
    """Refuse what ACTIVE and SUSPENDED programs allow but ARCHIVED ones don't."""
    if program.status == ProgramStatus.ARCHIVED:
        raise ProgramArchived(program_id=str(program.id))


def require_active(program: Program) -> None:
    """Refuse what only ACTIVE programs allow."""
    if program.status != ProgramStatus.ACTIVE:
        raise ProgramInactive(program_id=str(program.id), status=str(program.status))


def update_program(session: Session, organization_id: UUID, program_id: UUID, changes: dict[str, Any]) -> Program:
    """Change the fields given; NotFound, BadRequest or GroupArchived for the redemption target. Allowed in every status."""
    program = repository.find(session, organization_id, program_id, lock="update")
    if program is None:
        raise not_found("program", program_id)
    entity = changes.get("redemption_target_entity_id")
    if entity is not None and repository.exists(session, organization_id, entity):
        raise bad_request(
            "redemption_target_entity_id", "invalid", "A program can't be a redemption target", received=str(entity)
        )
    target = None if entity is None else groups.find(session, organization_id, entity)
    if target is not None and target.status == "ARCHIVED":
        raise GroupArchived(group_id=str(entity))
    wanted = dict(changes)
    if "redemption_target_type" in wanted:
        wanted["redemption_target_entity_id"] = entity
    different = {name: value for name, value in wanted.items() if getattr(program, name) != value}
    if not different:
        return program
    now = clock.now(session)
    for name, value in different.items():
        setattr(program, name, value)
    program.updated_at = now
    if "status" in different:
        program.deleted_at = now if program.status == ProgramStatus.ARCHIVED else None
    session.flush()
    if "status" in different and program.status == ProgramStatus.ACTIVE:
        schedules.drop_missed(session, program_id, now)
    return program
