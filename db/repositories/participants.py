"""Participants, their enrolments, and what the API shows with them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from psycopg.rows import class_row
from sqlmodel import Session, col, exists, select

from db.repositories.keyset import Keyset, Slice
from db.repositories.matching import contains
from db.session import psycopg_of
from db.tables.holders import Enrollment, Participant


@dataclass(frozen=True, slots=True)
class BalanceRow:
    """A participant's balance of one asset."""

    asset_id: UUID
    symbol: str
    scale: int
    available: Decimal
    held: Decimal
    deferred: Decimal


@dataclass(frozen=True, slots=True)
class ParticipantFilter:
    """What a list of participants is narrowed to."""

    external_id: str | None = None
    program_id: UUID | None = None
    status: str | None = None
    search: str | None = None
    from_: datetime | None = None
    to: datetime | None = None


def insert(session: Session, new: Participant) -> bool:
    """Create a participant with its holder row; False when the external id is taken, also by a transaction still open."""
    connection = psycopg_of(session)
    found = connection.execute(
        "INSERT INTO participants (id, organization_id, external_id, status, created_at, updated_at)"
        " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (organization_id, external_id) DO NOTHING RETURNING id",
        (new.id, new.organization_id, new.external_id, new.status, new.created_at, new.updated_at),
    ).fetchone()
    if found is None:
        return False
    connection.execute(
        "INSERT INTO holders (id, organization_id, kind) VALUES (%s, %s, 'PARTICIPANT')", (new.id, new.organization_id)
    )
    return True


def find(session: Session, organization_id: UUID, participant_id: UUID) -> Participant | None:
    """A participant of the organization, as it is now."""
    statement = select(Participant).where(Participant.id == participant_id, Participant.organization_id == organization_id)
    return session.exec(statement.execution_options(populate_existing=True)).first()


def find_by_external_id(session: Session, organization_id: UUID, external_id: str) -> Participant | None:
    """A participant by the client's own id."""
    statement = select(Participant).where(Participant.organization_id == organization_id, Participant.external_id == external_id)
    return session.exec(statement.execution_options(populate_existing=True)).first()


def lock_holder(session: Session, holder_id: UUID) -> None:
    """Lock a holder's row until the transaction ends."""
    psycopg_of(session).execute("SELECT 1 FROM holders WHERE id = %s FOR UPDATE", (holder_id,))


def page(session: Session, organization_id: UUID, wanted: ParticipantFilter, keyset: Keyset) -> Slice[Participant]:
    """One page of the organization's participants."""
    statement = select(Participant).where(Participant.organization_id == organization_id)
    if wanted.external_id is not None:
        statement = statement.where(Participant.external_id == wanted.external_id)
    if wanted.status is not None:
        statement = statement.where(Participant.status == wanted.status)
    if wanted.from_ is not None:
        statement = statement.where(Participant.created_at >= wanted.from_)
    if wanted.to is not None:
        statement = statement.where(Participant.created_at <= wanted.to)
    if wanted.search is not None:
        profile = (Participant.email, Participant.phone, Participant.first_name, Participant.last_name)
        statement = statement.where(contains(wanted.search, Participant.external_id, *profile, Participant.display_name))
    if wanted.program_id is not None:
        enrolled = exists().where(
            col(Enrollment.participant_id) == col(Participant.id),
            col(Enrollment.program_id) == wanted.program_id,
            col(Enrollment.status) != "CLOSED",
        )
        statement = statement.where(enrolled)
    return keyset.cut(session.exec(statement.where(keyset.where()).order_by(keyset.order()).limit(keyset.fetch)).all())


def enroll(session: Session, organization_id: UUID, participant_id: UUID, program_id: UUID, now: datetime) -> None:
    """Enrol a participant; an inactive enrolment becomes ACTIVE again."""
    psycopg_of(session).execute(
        "INSERT INTO enrollments (participant_id, program_id, organization_id, enrolled_at, updated_at)"
        " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (participant_id, program_id) DO UPDATE"
        " SET status = 'ACTIVE', updated_at = EXCLUDED.updated_at WHERE enrollments.status <> 'ACTIVE'",
        (participant_id, program_id, organization_id, now, now),
    )


def enrollments(session: Session, participant_id: UUID) -> list[Enrollment]:
    """Every enrolment, in order of enrolment."""
    statement = select(Enrollment).where(Enrollment.participant_id == participant_id)
    return list(session.exec(statement.order_by(col(Enrollment.enrolled_at), col(Enrollment.program_id))))


def find_enrollment(session: Session, participant_id: UUID, program_id: UUID) -> Enrollment | None:
    """One enrolment, locked."""
    statement = select(Enrollment).where(Enrollment.participant_id == participant_id, Enrollment.program_id == program_id)
    return session.exec(statement.with_for_update()).first()


def balances(session: Session, participant_id: UUID) -> list[BalanceRow]:
    """Balances of every asset the participant ever had an entry in, by symbol."""
    with psycopg_of(session).cursor(row_factory=class_row(BalanceRow)) as cursor:
        return cursor.execute(
            "SELECT b.asset_id, a.symbol, a.scale, b.available, b.held, b.deferred FROM balances b"
            " JOIN assets a ON a.id = b.asset_id WHERE b.holder_id = %s AND b.account_seq > 0"
            ' ORDER BY a.symbol COLLATE "C"',
            (participant_id,),
        ).fetchall()
