"""Organizations and their API keys: what the command line manages and every request is checked against."""

import hashlib
import secrets
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from sqlmodel import Session

from db.repositories import organizations as repository
from db.tables.core import ApiKey, Organization
from domain.errors import bad_request, not_found
from runtime.ids import new_id

KEY_PREFIX = "sk_"
KEY_RANDOM_BYTES = 32
HINT_CHARACTERS = 4
BOOTSTRAP_NAME = "Default organization"
MAX_NAME = 255


class OrganizationStatus(StrEnum):
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"


@dataclass(frozen=True, slots=True)
class KeyOwner:
    """Whom a valid key belongs to."""

    api_key_id: UUID
    organization_id: UUID
    is_suspended: bool


def create_organization(session: Session, name: str) -> Organization:
    """Create an ACTIVE organization; BadRequest for a name that isn't 1-255 characters."""
    if not name.strip() or len(name) > MAX_NAME:
        raise bad_request("name", "required", "A name of 1-255 characters is needed")
    organization = Organization(id=new_id(), name=name, created_at=repository.now(session))
    session.add(organization)
    session.flush()
    return organization


def list_organizations(session: Session) -> list[Organization]:
    """Every organization, oldest first."""
    return repository.list_all(session)


def set_organization_status(session: Session, organization_id: UUID, status: OrganizationStatus) -> Organization:
    """Suspend or resume an organization; NotFound. API processes follow within 5 seconds."""
    organization = repository.find(session, organization_id)
    if organization is None:
        raise not_found("organization", organization_id)
    organization.status = status
    session.flush()
    return organization


def create_api_key(session: Session, organization_id: UUID, name: str) -> tuple[ApiKey, str]:
    """Create a key; the secret is returned here and never again. NotFound."""
    if repository.find(session, organization_id) is None:
        raise not_found("organization", organization_id)
    secret = KEY_PREFIX + secrets.token_urlsafe(KEY_RANDOM_BYTES)
    return _store_key(session, organization_id, name, secret), secret


def list_api_keys(session: Session, organization_id: UUID) -> list[ApiKey]:
    """An organization's keys, oldest first, revoked ones included. NotFound."""
    if repository.find(session, organization_id) is None:
        raise not_found("organization", organization_id)
    return repository.list_keys(session, organization_id)


def revoke_api_key(session: Session, key_id: UUID) -> ApiKey:
    """Revoke a key for good; repeating it changes nothing. NotFound."""
    key = repository.find_key(session, key_id)
    if key is None:
        raise not_found("api_key", key_id)
    if key.revoked_at is None:
        key.revoked_at = repository.now(session)
        session.flush()
    return key


def ensure_bootstrap(session: Session, secret: str) -> Organization | None:
    """Create the first organization with this very key, unless the key is known; returns what was created."""
    repository.lock_bootstrap(session)
    if repository.is_known(session, hash_key(secret)):
        return None
    organization = create_organization(session, BOOTSTRAP_NAME)
    _store_key(session, organization.id, "bootstrap", secret)
    return organization


def authenticate(session: Session, key_hash: bytes) -> KeyOwner | None:
    """The owner of the key with this hash; None for an unknown or revoked one."""
    row = repository.find_owner(session, key_hash)
    if row is None:
        return None
    return KeyOwner(row[0], row[1], row[2] == OrganizationStatus.SUSPENDED)


def hash_key(secret: str) -> bytes:
    """What is stored of a key."""
    return hashlib.sha256(secret.encode()).digest()


def _store_key(session: Session, organization_id: UUID, name: str, secret: str) -> ApiKey:
    key = ApiKey(
        id=new_id(),
        organization_id=organization_id,
        name=name,
        key_hash=hash_key(secret),
        key_hint=secret[-HINT_CHARACTERS:],
        created_at=repository.now(session),
    )
    session.add(key)
    session.flush()
    return key
