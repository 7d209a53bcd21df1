"""The sealed journal as lines of JSON that anybody can verify (docs/ledger-format.md)."""

import json
from collections.abc import Iterator
from uuid import UUID

from sqlmodel import Session

from db.repositories import organizations
from db.session import psycopg_of
from domain.errors import not_found
from domain.seals import hashed
from services import chain


def export_entries(session: Session, organization_id: UUID) -> Iterator[str]:
    """One line for each sealed entry of an organization, in sequence: what is hashed, and `entry_hash`. NotFound.

    The chain is exported as it is stored; whether it is right is for the reader to find out. An entry that is missing fails it.
    """
    if organizations.find(session, organization_id) is None:
        raise not_found("organization", organization_id)
    for step in chain.walk(psycopg_of(session), organization_id):
        if step.entry is None:
            raise not_found("journal_entry", step.seal.entry_id)
        content = hashed(step.entry, step.seal.sequence_number, step.seal.previous_hash)
        yield json.dumps(content | {"entry_hash": step.seal.entry_hash}, ensure_ascii=False, separators=(",", ":"))
