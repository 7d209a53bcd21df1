"""Organizations and API keys, as the command line manages them."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from db.session import Database
from domain.errors import BadRequest, NotFound
from services import organizations
from services.organizations import OrganizationStatus
from services.transactions import transact


def test_a_key_is_shown_once_and_stored_as_its_hash(database: Database) -> None:
    with database.session() as session:
        tenant = organizations.create_organization(session, "Shop")
        record, secret = organizations.create_api_key(session, tenant.id, "backend")
    assert secret.startswith("sk_")
    assert len(secret) >= 35
    assert secret not in repr(record)
    assert record.key_hash == organizations.hash_key(secret)
    with database.session() as session:
        owner = organizations.authenticate(session, organizations.hash_key(secret))
        assert owner is not None
        assert (owner.organization_id, owner.api_key_id, owner.is_suspended) == (tenant.id, record.id, False)
        assert [key.name for key in organizations.list_api_keys(session, tenant.id)] == ["backend"]
        assert tenant.id in [found.id for found in organizations.list_organizations(session)]


def test_revocation_and_suspension(database: Database) -> None:
    with database.session() as session:
        tenant = organizations.create_organization(session, "Shop")
        record, secret = organizations.create_api_key(session, tenant.id, "k")
        organizations.set_organization_status(session, tenant.id, OrganizationStatus.SUSPENDED)
    with database.session() as session:
        owner = organizations.authenticate(session, organizations.hash_key(secret))
        assert owner is not None
        assert owner.is_suspended
        revoked_at = organizations.revoke_api_key(session, record.id).revoked_at
    with database.session() as session:
        assert organizations.authenticate(session, organizations.hash_key(secret)) is None
        assert organizations.revoke_api_key(session, record.id).revoked_at == revoked_at


def test_unknown_ones_are_refused(database: Database) -> None:
    with database.session() as session:
        for refused in (
            lambda: organizations.create_api_key(session, uuid4(), "k"),
            lambda: organizations.list_api_keys(session, uuid4()),
            lambda: organizations.revoke_api_key(session, uuid4()),
            lambda: organizations.set_organization_status(session, uuid4(), OrganizationStatus.ACTIVE),
        ):
            with pytest.raises(NotFound):
                refused()
        with pytest.raises(BadRequest):
            organizations.create_organization(session, " ")


def test_bootstrap_creates_one_organization_whoever_comes_first(database: Database) -> None:
    secret = "sk_" + secrets.token_hex(8)
    with ThreadPoolExecutor(4) as pool:
        made = list(
            pool.map(lambda _: transact(database, lambda session: organizations.ensure_bootstrap(session, secret)), range(4))
        )
    assert sum(organization is not None for organization in made) == 1
    with database.session() as session:
        assert organizations.authenticate(session, organizations.hash_key(secret)) is not None
