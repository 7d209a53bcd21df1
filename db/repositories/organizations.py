"""Organizations, API keys, shared rate-limit rows, and the clock."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Session, col, select

from db.session import psycopg_of
from db.tables.core import ApiKey, Organization

_BOOTSTRAP_LOCK = 7_310_579_002

_LEASE = """
WITH seen AS MATERIALIZED (
    SELECT organization_id, least(%(burst)s, %(most_left)s, tokens + %(rate)s * greatest(
        0, extract(epoch FROM clock_timestamp() - updated_at)))::double precision AS tokens
    FROM rate_buckets WHERE organization_id = %(organization)s FOR UPDATE)
UPDATE rate_buckets b SET tokens = seen.tokens - least(%(lump)s, greatest(0, seen.tokens)), updated_at = clock_timestamp()
FROM seen WHERE b.organization_id = seen.organization_id
RETURNING least(%(lump)s, greatest(0, seen.tokens)), b.tokens
"""


def now(session: Session) -> datetime:
    """The product's one clock, read now."""
    row = psycopg_of(session).execute("SELECT openscrip_now()").fetchone()
    assert row is not None
    found: datetime = row[0]
    return found


def find(session: Session, organization_id: UUID) -> Organization | None:
    """An organization by id."""
    return session.get(Organization, organization_id)


def list_all(session: Session) -> list[Organization]:
    """Every organization, oldest first."""
    return list(session.exec(select(Organization).order_by(col(Organization.created_at), col(Organization.id))))


def list_keys(session: Session, organization_id: UUID) -> list[ApiKey]:
    """An organization's keys, oldest first."""
    statement = select(ApiKey).where(ApiKey.organization_id == organization_id)
    return list(session.exec(statement.order_by(col(ApiKey.created_at), col(ApiKey.id))))


def find_key(session: Session, key_id: UUID) -> ApiKey | None:
    """A key by id."""
    return session.get(ApiKey, key_id)


def is_known(session: Session, key_hash: bytes) -> bool:
    """Whether a key with this hash was ever created, revoked ones included."""
    return psycopg_of(session).execute("SELECT 1 FROM api_keys WHERE key_hash = %s", (key_hash,)).fetchone() is not None


def find_owner(session: Session, key_hash: bytes) -> tuple[UUID, UUID, str] | None:
    """Key id, organization and its status for a key that isn't revoked."""
    return (
        psycopg_of(session)
        .execute(
            "SELECT k.id, k.organization_id, o.status FROM api_keys k JOIN organizations o ON o.id = k.organization_id"
            " WHERE k.key_hash = %s AND k.revoked_at IS NULL",
            (key_hash,),
        )
        .fetchone()
    )


def lock_bootstrap(session: Session) -> None:
    """Let one process at a time create the first organization."""
    psycopg_of(session).execute("SELECT pg_advisory_xact_lock(%s)", (_BOOTSTRAP_LOCK,))


def lease_tokens(
    session: Session, organization_id: UUID, rate: float, burst: int, lump: int, most_left: float
) -> tuple[float, float]:
    """Move up to `lump` tokens out of the shared bucket, which holds at most `most_left`: granted, left.

    A missing bucket is full.
    """
    connection = psycopg_of(session)
    values = {"organization": organization_id, "rate": rate, "burst": burst, "lump": lump, "most_left": most_left}
    row = connection.execute(_LEASE, values).fetchone()
    if row is None:
        connection.execute(
            "INSERT INTO rate_buckets (organization_id, tokens, updated_at)"
            " VALUES (%(organization)s, %(burst)s, clock_timestamp()) ON CONFLICT DO NOTHING",
            values,
        )
        row = connection.execute(_LEASE, values).fetchone()
    assert row is not None
    return float(row[0]), float(row[1])
