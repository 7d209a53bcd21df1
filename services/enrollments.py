"""Enrolments of participants in programs."""

from enum import StrEnum
from uuid import UUID

from sqlmodel import Session

from db.repositories import organizations as clock
from db.repositories import participants as repository
from db.repositories.processing import active_enrollments
from db.session import psycopg_of
from db.tables.holders import Enrollment
from domain.errors import not_found
from services import participants, programs

__all__ = ["Enrollment"]


class EnrollmentStatus(StrEnum):
    ACTIVE = "ACTIVE"
    FROZEN = "FROZEN"
    LOCKED = "LOCKED"
    CLOSED = "CLOSED"


def list_enrollments(session: Session, organization_id: UUID, participant_id: UUID) -> list[Enrollment]:
    """A participant's enrolments, in order of enrolment; NotFound."""
    participants.require_participant(session, organization_id, participant_id)
    return repository.enrollments(session, participant_id)


def set_enrollment_status(
    session: Session, organization_id: UUID, participant_id: UUID, program_id: UUID, status: EnrollmentStatus
) -> Enrollment:
    """Change an enrolment's status; NotFound participant, program or enrolment, ProgramArchived."""
    participants.require_participant(session, organization_id, participant_id)
    program = programs.get_program(session, organization_id, program_id)
    enrollment = repository.find_enrollment(session, participant_id, program_id)
    if enrollment is None:
        raise not_found("enrollment", program_id)
    programs.require_open(program)
    if enrollment.status != status:
        enrollment.status = status
        enrollment.updated_at = clock.now(session)
        session.flush()
    return enrollment


def is_enrolled(session: Session, participant_id: UUID, program_id: UUID) -> bool:
    """Whether a participant has an ACTIVE enrolment in a program."""
    return (participant_id, program_id) in active_enrollments(psycopg_of(session), [participant_id], [program_id])
