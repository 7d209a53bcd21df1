"""What holders have of tiers: read, assigned and removed over the API, with history and progress (tiers.md 5, 6)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlmodel import Session

from db.repositories import organizations as clock
from db.repositories import state as state_rows
from db.repositories import tier_history, tier_states, tiers
from db.repositories.ledger_terms import lock_holder
from db.repositories.tier_history import TierHistoryFilter, TierHistoryRow
from db.session import psycopg_of
from domain.errors import BadRequest, Fault, TierArchived, not_found
from domain.ledger.accounts import EntityType
from domain.tiers.changes import Cause, LevelChange, LevelHolder, Reason
from domain.tiers.definition import Standing, Tier
from domain.tiers.progress import Progress, progress
from domain.tiers.qualification import BASE, assigned, due_at, removed
from domain.timestamps import format_timestamp
from services import enrollments, groups, participants, programs, tier_records, tier_steps
from services.paging import Keyset, Slice
from services.posting import require_usable
from services.state import Author, Entity, EntityKind
from services.tier_sets import load_tiers, standings_of

__all__ = ["Progress", "Standing", "Tier", "TierHistoryFilter", "TierHistoryRow"]


@dataclass(frozen=True, slots=True)
class TierOf:
    """Whose tier of which program."""

    holder: Entity
    program_id: UUID
    key: str


@dataclass(frozen=True, slots=True)
class Held:
    """A level that is held."""

    tier: Tier
    level: str
    standing: Standing


@dataclass(frozen=True, slots=True)
class _Present:
    """A holder as it is now: its tiers of one program with what it has of them, and its effective counters."""

    now: datetime
    tiers: tuple[Tier, ...]
    standings: Mapping[tuple[UUID, UUID], Standing]
    counters: Mapping[str, Decimal]


def list_held(session: Session, organization_id: UUID, holder: Entity, program_id: UUID) -> list[Held]:
    """The levels that a holder has in a program, by tier key, archived tiers too; NotFound."""
    _require_enrolled(session, organization_id, holder, program_id)
    present = _load(session, organization_id, holder, program_id)
    found = ((tier, present.standings.get((holder.id, tier.id), BASE)) for tier in present.tiers)
    return [Held(tier, standing.level, standing) for tier, standing in found if standing.level is not None]


def get_held(session: Session, organization_id: UUID, wanted: TierOf) -> Held:
    """The level that a holder has of a tier; NotFound, also at base."""
    _require_enrolled(session, organization_id, wanted.holder, wanted.program_id)
    tier, standing, _ = _find(session, organization_id, wanted)
    if standing.level is None:
        raise not_found("tier_level", wanted.key)
    return Held(tier, standing.level, standing)


def get_progress(session: Session, organization_id: UUID, wanted: TierOf) -> Progress:
    """How far the next level of a tier is; NotFound."""
    _require_enrolled(session, organization_id, wanted.holder, wanted.program_id)
    tier, standing, present = _find(session, organization_id, wanted)
    return progress(tier, standing, present.counters, present.now)


def set_level(session: Session, author: Author, wanted: TierOf, level: str, expires_at: datetime | None) -> Held:
    """Assign a level, up or down, with an explicit expiry or none.

    NotFound; BadRequest for an unknown level and an expiry that isn't after now; ProgramInactive, TierArchived,
    ParticipantInactive, GroupArchived.
    """
    program, status = _lock(session, author.organization_id, wanted)
    tier, old, present = _find(session, author.organization_id, wanted)
    faults = [] if level in tier.by_key else [Fault("level", "invalid", "No level of the tier", "level of the tier", level)]
    if expires_at is not None and expires_at <= present.now:
        received = format_timestamp(expires_at)
        faults.append(Fault("expires_at", "out_of_range", "Must be after now", "timestamp", received))
    if faults:
        raise BadRequest(faults)
    _require_changeable(program, tier, wanted.holder, status)
    new = assigned(tier, old, tier.by_key[level], expires_at, present.now)
    _save(session, author, wanted.holder, tier, (old, new), present.now)
    return Held(tier, level, new)


def remove_level(session: Session, author: Author, wanted: TierOf) -> None:
    """Bring a holder to base, if it isn't there. NotFound; ProgramInactive, TierArchived, ParticipantInactive, GroupArchived."""
    program, status = _lock(session, author.organization_id, wanted)
    tier, old, present = _find(session, author.organization_id, wanted)
    _require_changeable(program, tier, wanted.holder, status)
    _save(session, author, wanted.holder, tier, (old, removed(old)), present.now)


def list_history(
    session: Session, organization_id: UUID, holder: Entity, wanted: TierHistoryFilter, keyset: Keyset
) -> Slice[TierHistoryRow]:
    """One page of a holder's changes of level; NotFound holder, or program of the filter."""
    _require_holder(session, organization_id, holder)
    if wanted.program_id is not None:
        programs.get_program(session, organization_id, wanted.program_id, field="program_id")
    tier_steps.settle(session, organization_id, holder.id)
    return tier_history.page(psycopg_of(session), organization_id, holder.id, wanted, keyset)


def _require_holder(session: Session, organization_id: UUID, holder: Entity) -> None:
    if holder.kind is EntityKind.GROUP:
        groups.require_group(session, organization_id, holder.id)
    else:
        participants.require_participant(session, organization_id, holder.id)


def _require_enrolled(session: Session, organization_id: UUID, holder: Entity, program_id: UUID) -> None:
    """NotFound for holder and program, and for a participant that isn't enrolled; groups needn't be."""
    _require_holder(session, organization_id, holder)
    programs.get_program(session, organization_id, program_id, field="program_id")
    _check_enrollment(session, holder, program_id)


def _check_enrollment(session: Session, holder: Entity, program_id: UUID) -> None:
    if holder.kind is EntityKind.PARTICIPANT and not enrollments.is_enrolled(session, holder.id, program_id):
        raise not_found("enrollment", program_id, "program_id")


def _lock(session: Session, organization_id: UUID, wanted: TierOf) -> tuple[programs.Program, str]:
    """Lock the holder and hold the tiers still; the program, and the holder's status. NotFound."""
    _require_holder(session, organization_id, wanted.holder)
    program = programs.lock_program(session, organization_id, wanted.program_id, field="program_id")
    conn = psycopg_of(session)
    status = lock_holder(conn, organization_id, EntityType(wanted.holder.kind.value), wanted.holder.id)
    assert status is not None, "holders are never deleted"
    _check_enrollment(session, wanted.holder, wanted.program_id)
    tiers.hold_still(conn, [organization_id])
    return program, status


def _find(session: Session, organization_id: UUID, wanted: TierOf) -> tuple[Tier, Standing, _Present]:
    """A tier of the program and what the holder has of it; NotFound."""
    present = _load(session, organization_id, wanted.holder, wanted.program_id)
    tier = next((tier for tier in present.tiers if tier.key == wanted.key), None)
    if tier is None:
        raise not_found("tier", wanted.key)
    return tier, present.standings.get((wanted.holder.id, tier.id), BASE), present


def _load(session: Session, organization_id: UUID, holder: Entity, program_id: UUID) -> _Present:
    """What a holder has, after what time did to it; every endpoint here reads standings and counters through this."""
    tier_steps.settle(session, organization_id, holder.id)
    conn = psycopg_of(session)
    now = clock.now(session)
    stored = tier_states.load(conn, [organization_id], [holder.id])
    found = load_tiers(conn, [organization_id]).get(program_id, ())
    state = state_rows.load_holder(session, organization_id, holder.kind, holder.id, is_locked=False)
    counters = {} if state is None else {key: counter.effective(now) for key, counter in state.counters.items()}
    return _Present(now, found, standings_of(found, stored), counters)


def _require_changeable(program: programs.Program, tier: Tier, holder: Entity, status: str) -> None:
    programs.require_active(program)
    if tier.is_archived:
        raise TierArchived(tier_key=tier.key)
    require_usable(holder, status)


def _save(
    session: Session, author: Author, holder: Entity, tier: Tier, standings: tuple[Standing, Standing], now: datetime
) -> None:
    """Store a standing that changed from the first to the second, and record a change of level."""
    old, new = standings
    if new is old:
        return
    whose = LevelHolder(EntityType(holder.kind.value), holder.id, author.organization_id)
    if holder.kind is EntityKind.PARTICIPANT:
        external_id = participants.require_participant(session, author.organization_id, holder.id).external_id
        whose = LevelHolder(whose.kind, whose.id, whose.organization_id, external_id)
    changes = []
    if new.level != old.level:
        cause = Cause(Reason.API, now, api_key_id=author.api_key_id)
        changes.append(LevelChange(whose, tier, old.level, new.level, new.shown_expiry, cause))
    stored = tier_states.NewStanding(author.organization_id, holder.id, tier, new, due_at(tier, new))
    tier_records.save(psycopg_of(session), [stored], changes)
