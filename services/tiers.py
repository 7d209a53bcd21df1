"""Tiers: create, read, change, archive (tiers.md 1, 2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlmodel import Session

from db.repositories import organizations as clock
from db.repositories import tier_steps as steps
from db.repositories import tiers as repository
from db.session import Connection, Database, psycopg_of
from domain.errors import TierArchived, not_found
from domain.tiers.definition import Tier
from domain.tiers.resource import TierRecord, TierStatus, changed, new_levels, require_ranks
from domain.tiers.stored import Json
from runtime.ids import new_id
from services import programs, tier_renewals, tier_steps
from services.paging import Keyset, Slice
from services.tier_steps import TierKey
from services.transactions import transact

__all__ = ["Tier", "TierRecord", "TierStatus"]


class StepsDue(Exception):
    """A step of the tier has come due: call `bring_up_to_date`, then change it."""


@dataclass(frozen=True, slots=True)
class NewTier:
    """What a tier is created with; its form is checked, `min_level` too."""

    key: str
    levels: Sequence[Mapping[str, Any]]
    display_name: str | None = None
    lifecycle: Json | None = None


@dataclass(frozen=True, slots=True)
class TierFilter:
    """What a program's list is narrowed to; an explicit status shows archived ones without `is_archived_shown`."""

    status: TierStatus | None = None
    is_archived_shown: bool = False


def create_tier(session: Session, organization_id: UUID, program_id: UUID, new: NewTier) -> TierRecord:
    """Create a tier in a program. NotFound program; ProgramArchived, NameConflict."""
    programs.get_open_program(session, organization_id, program_id)
    now = clock.now(session)
    tier = TierRecord(
        id=new_id(),
        program_id=program_id,
        key=new.key,
        levels=new_levels(new.levels, now, new_id),
        created_at=now,
        updated_at=now,
        display_name=new.display_name,
        lifecycle=new.lifecycle,
        lifecycle_started_at=None if new.lifecycle is None else now,
    )
    conn = psycopg_of(session)
    if tier.lifecycle is not None:
        # who creates a counter at this moment has seen the tier, or is seen here
        repository.lock_for_change(conn, organization_id)
    repository.insert(conn, organization_id, tier)
    if tier.lifecycle is not None:
        tier_renewals.begin(conn, tier.id)
    return tier


def list_tiers(
    session: Session, organization_id: UUID, program_id: UUID, wanted: TierFilter, keyset: Keyset
) -> Slice[TierRecord]:
    """One page of a program's tiers; NotFound."""
    programs.get_program(session, organization_id, program_id)
    return repository.page(
        psycopg_of(session), program_id, keyset, status=wanted.status, is_archived_shown=wanted.is_archived_shown
    )


def get_tier(session: Session, organization_id: UUID, program_id: UUID, key: str) -> TierRecord:
    """A tier of the program, archived or not; NotFound."""
    programs.get_program(session, organization_id, program_id)
    return require_tier(session, organization_id, program_id, key)


def require_tier(session: Session, organization_id: UUID, program_id: UUID, key: str) -> TierRecord:
    """A tier of a program that is there; NotFound."""
    tier = repository.find(psycopg_of(session), organization_id, program_id, key)
    if tier is None:
        raise not_found("tier", key)
    return tier


def update_tier(session: Session, organization_id: UUID, program_id: UUID, key: str, changes: Mapping[str, Any]) -> TierRecord:
    """Change the fields given; a new lifecycle starts at once for every held level. Raises StepsDue.

    NotFound; BadRequest for a new level without rank, too many levels, `min_level`; ProgramArchived, TierArchived, LevelConflict.
    """
    program, old = _locked(session, organization_id, program_id, key)
    new = changed(old, changes, clock.now(session), new_id)
    programs.require_open(program)
    require_live(old)
    require_ranks(new.levels)
    if new is old:
        return old
    conn = psycopg_of(session)
    _require_nothing_due(conn, old, new)
    repository.update(conn, new)
    if new.lifecycle_number != old.lifecycle_number:
        tier_renewals.begin(conn, new.id)
    return new


def archive_tier(session: Session, organization_id: UUID, program_id: UUID, key: str) -> TierRecord:
    """Archive for good; holders keep what they have, and the tier's flow clears moments that never come.

    NotFound; ProgramArchived, TierArchived; StepsDue.
    """
    program, old = _locked(session, organization_id, program_id, key)
    programs.require_open(program)
    require_live(old)
    now = clock.now(session)
    new = replace(old, status=TierStatus.ARCHIVED, archived_at=now, updated_at=now)
    conn = psycopg_of(session)
    _require_nothing_due(conn, old, new)
    repository.update(conn, new)
    tier_renewals.end(conn, new.id)
    return new


def bring_up_to_date(database: Database, organization_id: UUID, program_id: UUID, key: str) -> None:
    """Carry out what is due for everybody who holds a tier, page by page: call it before the tier is changed.

    A tier that isn't there has nothing due.
    """
    tier = transact(database, lambda session: repository.find(psycopg_of(session), organization_id, program_id, key))
    if tier is not None:
        tier_steps.settle_tier(database, TierKey(tier.id, organization_id, program_id), None, lambda: None)


def require_live(tier: TierRecord) -> None:
    """Refuse every change of an ARCHIVED tier and of what holders have of it."""
    if tier.status is TierStatus.ARCHIVED:
        raise TierArchived(tier_key=tier.key)


def _require_nothing_due(conn: Connection, old: TierRecord, new: TierRecord) -> None:
    """What came before a change is done by the definition of then."""
    if steps.holders_due(conn, old.id, 1, ()) or tier_renewals.comes_first(conn, old, new, new.updated_at):
        raise StepsDue


def _locked(session: Session, organization_id: UUID, program_id: UUID, key: str) -> tuple[programs.Program, TierRecord]:
    program = programs.lock_program(session, organization_id, program_id)
    repository.lock_for_change(psycopg_of(session), organization_id)
    return program, require_tier(session, organization_id, program_id, key)
