"""The journal: its entries as anybody may read them (reporting.md, Journal entries)."""

from dataclasses import replace
from uuid import UUID

from sqlmodel import Session

from db.repositories import journal as repository
from db.repositories import participants
from db.repositories.journal import EntryFilter, EntryRow, PostingRow
from db.session import psycopg_of
from domain.errors import not_found
from domain.ledger.entries import ActionType
from services import programs
from services.activity import find_asset
from services.paging import Keyset, Slice

__all__ = ["ActionType", "EntryFilter", "EntryRow", "PostingRow"]


def list_entries(
    session: Session, organization_id: UUID, wanted: EntryFilter, external_id: str | None, keyset: Keyset
) -> Slice[EntryRow]:
    """One page of entries; NotFound for an unknown program or asset, an unknown `external_id` gives none."""
    conn = psycopg_of(session)
    if wanted.program_id is not None:
        programs.get_program(session, organization_id, wanted.program_id, field="program_id")
    if wanted.asset_id is not None:
        find_asset(conn, organization_id, wanted.asset_id)
    if external_id is not None:
        participant = participants.find_by_external_id(session, organization_id, external_id)
        if participant is None:
            return Slice([], None)
        wanted = replace(wanted, entity_id=participant.id, entity_type="PARTICIPANT")
    return repository.page(conn, organization_id, wanted, keyset)


def get_entry(session: Session, organization_id: UUID, entry_id: UUID) -> EntryRow:
    """One entry; NotFound."""
    entry = repository.find(psycopg_of(session), organization_id, entry_id)
    if entry is None:
        raise not_found("journal_entry", entry_id)
    return entry
