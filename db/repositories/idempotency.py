"""Stored answers of idempotent operations."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Json
from sqlmodel import Session

from db.session import psycopg_of


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What a key was used for, and the answer that call got."""

    fingerprint: bytes
    response: dict[str, Any]


def lock(session: Session, program_id: UUID, kind: str, key: str) -> None:
    """Wait until no other transaction uses this key; held to the end of the transaction."""
    psycopg_of(session).execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 20260115))", (f"{program_id}/{kind}/{key}",))


def find(session: Session, organization_id: UUID, program_id: UUID, kind: str, key: str) -> StoredAnswer | None:
    """The stored answer of a key, if it was used; keys of other organizations aren't seen."""
    row = (
        psycopg_of(session)
        .execute(
            "SELECT fingerprint, response FROM idempotency_keys"
            " WHERE program_id = %s AND kind = %s AND key = %s AND organization_id = %s",
            (program_id, kind, key, organization_id),
        )
        .fetchone()
    )
    return None if row is None else StoredAnswer(bytes(row[0]), row[1])


def store(
    session: Session, organization_id: UUID, program_id: UUID, kind: str, key: str, fingerprint: bytes, response: dict[str, Any]
) -> None:
    """Keep an answer for good."""
    psycopg_of(session).execute(
        "INSERT INTO idempotency_keys (program_id, kind, key, organization_id, fingerprint, response, created_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, openscrip_now())",
        (program_id, kind, key, organization_id, fingerprint, Json(response)),
    )
