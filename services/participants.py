"""Participants: upsert, change, list (participants-groups.md, Participants)."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from db.repositories import organizations as clock
from db.repositories import participants as repository
from db.repositories.participants import BalanceRow, ParticipantFilter
from db.session import psycopg_of
from db.tables.holders import Participant
from domain.errors import ExternalIdConflict, bad_request, not_found
from domain.messages.participants import PROFILE, Newcomer
from domain.state import Changes, EntityState
from runtime.ids import new_id
from services import due, outbox, programs, state
from services.messages.participants import record_newcomers
from services.paging import Keyset, Slice
from services.state import Author, Entity, EntityKind, StateView

__all__ = ["PROFILE", "BalanceRow", "Participant", "ParticipantFilter"]


class ParticipantStatus(StrEnum):
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True)
class ParticipantView:
    """A participant with everything the API shows with it."""

    participant: Participant
    state: StateView
    balances: list[BalanceRow]
    program_ids: list[UUID]


@dataclass(frozen=True, slots=True)
class ParticipantInput:
    """What a call says about a participant: only what was sent, under its field's name."""

    sent: dict[str, Any] = field(default_factory=dict)

    def columns(self) -> dict[str, Any]:
        """The part that is columns of the row."""
        return {name: self.sent[name] for name in (*PROFILE, "status", "external_id") if name in self.sent}

    def change_state(self, old: EntityState, _: datetime) -> tuple[EntityState, Changes]:
        """Tags replaced and attributes merged, where they were sent."""
        new = old
        history: Changes = ()
        if "tags" in self.sent:
            new, history = state.with_tags(new, self.sent["tags"])
        if "attributes" in self.sent:
            new, more = state.with_attributes(new, self.sent["attributes"])
            history += more
        return new, history


def upsert_participant(
    session: Session, author: Author, external_id: str, program_id: UUID | None, given: ParticipantInput
) -> tuple[ParticipantView, bool]:
    """Create a participant or change what was sent of it; whether it is new. NotFound program, ProgramArchived."""
    if program_id is not None:
        programs.get_open_program(session, author.organization_id, program_id, field="program_id")
    now = clock.now(session)
    new = Participant(
        id=new_id(), organization_id=author.organization_id, external_id=external_id, created_at=now, updated_at=now
    )
    is_new = repository.insert(session, new)
    participant = repository.find_by_external_id(session, author.organization_id, external_id)
    assert participant is not None
    repository.lock_holder(session, participant.id)
    _apply(session, author, participant, given)
    if program_id is not None:
        repository.enroll(session, author.organization_id, participant.id, program_id, now)
    view = _view(session, author.organization_id, participant.id)
    if is_new:
        _announce(session, author, view, program_id)
    return view, is_new


def _announce(session: Session, author: Author, view: ParticipantView, program_id: UUID | None) -> None:
    conn, participant = psycopg_of(session), view.participant
    if audience := outbox.look_up(conn, {author.organization_id})():
        newcomer = Newcomer(
            participant.id,
            participant.organization_id,
            participant.external_id,
            participant.created_at,
            program_id,
            api_key_id=author.api_key_id,
            status=participant.status,
            profile={name: getattr(participant, name) for name in PROFILE},
            tags=view.state.tags,
            attributes=view.state.attributes,
        )
        record_newcomers(conn, audience, [newcomer])


def list_participants(session: Session, organization_id: UUID, wanted: ParticipantFilter, keyset: Keyset) -> Slice[Participant]:
    """One page of participants; NotFound for the program of the filter."""
    if wanted.program_id is not None:
        programs.get_program(session, organization_id, wanted.program_id, field="program_id")
    return repository.page(session, organization_id, wanted, keyset)


def get_participant(session: Session, organization_id: UUID, participant_id: UUID) -> ParticipantView:
    """A participant with state, balances and enrolments, after what is due for it; NotFound."""
    return _view(session, organization_id, participant_id)


def require_participant(
    session: Session, organization_id: UUID, participant_id: UUID, *, field: str | None = None
) -> Participant:
    """A participant's row; NotFound, with `field` when the id came from a body or query."""
    participant = repository.find(session, organization_id, participant_id)
    if participant is None:
        raise not_found("participant", participant_id, field)
    return participant


def update_participant(session: Session, author: Author, participant_id: UUID, given: ParticipantInput) -> ParticipantView:
    """Change what was sent; NotFound, BadRequest for another status than the present one, ExternalIdConflict."""
    participant = _locked(session, author.organization_id, participant_id)
    status = given.sent.get("status")
    if status is not None and status != participant.status:
        raise bad_request(
            "status", "not_allowed", "Use the status endpoint to change it", expected=participant.status, received=status
        )
    _apply(session, author, participant, given)
    return _view(session, author.organization_id, participant_id)


def set_status(session: Session, author: Author, participant_id: UUID, status: ParticipantStatus) -> ParticipantView:
    """Change the status, in any direction; NotFound."""
    participant = _locked(session, author.organization_id, participant_id)
    _apply(session, author, participant, ParticipantInput({"status": status}))
    return _view(session, author.organization_id, participant_id)


def _locked(session: Session, organization_id: UUID, participant_id: UUID) -> Participant:
    repository.lock_holder(session, participant_id)
    return require_participant(session, organization_id, participant_id)


def _apply(session: Session, author: Author, participant: Participant, given: ParticipantInput) -> None:
    columns = given.columns()
    different = {name: value for name, value in columns.items() if getattr(participant, name) != value}
    if different:
        for name, value in different.items():
            setattr(participant, name, value)
        participant.updated_at = clock.now(session)
        _flush(session, participant.external_id)
    if "tags" in given.sent or "attributes" in given.sent:
        state.change(session, author, Entity(EntityKind.PARTICIPANT, participant.id), given.change_state)


def _flush(session: Session, external_id: str) -> None:
    try:
        session.flush()
    except IntegrityError as error:
        if "participants_external_id" not in str(error.orig):
            raise
        raise ExternalIdConflict(external_id=external_id) from None


def _view(session: Session, organization_id: UUID, participant_id: UUID) -> ParticipantView:
    due.settle(session, organization_id, participant_id)
    participant = require_participant(session, organization_id, participant_id)
    return ParticipantView(
        participant,
        state.view(session, organization_id, Entity(EntityKind.PARTICIPANT, participant_id)),
        repository.balances(session, participant_id),
        [
            enrollment.program_id
            for enrollment in repository.enrollments(session, participant_id)
            if enrollment.status != "CLOSED"
        ],
    )
