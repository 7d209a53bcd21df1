"""How a reward's redemptions are handed over: the setting, its secret, its URL (redemptions-rewards.md 5.1)."""

import base64
from collections.abc import Iterator
from uuid import UUID

import pytest

from api.app import create_app
from db.repositories import rewards as repository
from db.session import Database, psycopg_of
from runtime.settings import Settings
from runtime.webhook_secrets import WebhookSecrets
from tests.api.helpers import faults
from tests.support.catalog import Catalog, make_catalog
from tests.support.client import Tenant, new_tenant
from tests.support.server import serve

HOOK = {"type": "webhook", "url": "https://8.8.8.8/parcels"}


@pytest.fixture
def catalog(api: Tenant, database: Database) -> Catalog:
    return make_catalog(api, database)


@pytest.fixture(scope="module")
def private_url(settings: Settings) -> Iterator[str]:
    """An API of a developer's machine."""
    with serve(create_app(settings.model_copy(update={"webhook_allow_private": True}))) as url:
        yield url


@pytest.fixture
def private(database: Database, private_url: str) -> Iterator[Catalog]:
    tenant = new_tenant(database, private_url)
    yield make_catalog(tenant, database)
    tenant.http.close()


def test_the_secret_is_shown_once_and_sealed(catalog: Catalog, database: Database, settings: Settings) -> None:
    made = catalog.post(fulfillment=HOOK)
    secret = made["fulfillment"].pop("secret")
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    assert made["fulfillment"] == {"type": "webhook", "url": HOOK["url"], "timeout": "72h"}
    assert catalog.get(made["id"]) == made
    assert catalog.api.get(catalog.path)["data"] == [made]
    assert "secret" not in catalog.patch(made["id"], name="CUP")["fulfillment"]
    with database.session() as session:
        found = repository.webhook_of(psycopg_of(session), UUID(made["id"]))
    assert found is not None
    assert secret.encode() not in found[1]
    assert (found[0], WebhookSecrets(settings).open(found[1], UUID(made["id"]))) == (HOOK["url"], secret)


def test_every_setting_makes_a_new_secret(catalog: Catalog, database: Database, settings: Settings) -> None:
    made = catalog.post(fulfillment=HOOK)
    again = catalog.patch(made["id"], fulfillment=HOOK | {"timeout": "1h"})
    same = catalog.patch(made["id"], fulfillment=HOOK | {"timeout": "1h"})
    shown = [body["fulfillment"]["secret"] for body in (made, again, same)]
    assert len(set(shown)) == 3
    assert made["updated_at"] < again["updated_at"] < same["updated_at"]
    with database.session() as session:
        found = repository.webhook_of(psycopg_of(session), UUID(made["id"]))
    assert found is not None
    assert WebhookSecrets(settings).open(found[1], UUID(made["id"])) == shown[2]


def test_a_webhook_ends_with_its_secret(catalog: Catalog, database: Database) -> None:
    made = catalog.post(fulfillment=HOOK)["id"]
    assert catalog.patch(made, fulfillment={"type": "manual"})["fulfillment"] == {
        "type": "manual",
        "url": None,
        "timeout": None,
    }
    with database.session() as session:
        assert repository.webhook_of(psycopg_of(session), UUID(made)) is None
    assert catalog.patch(made, fulfillment=None)["fulfillment"]["type"] == "none"


@pytest.mark.parametrize(
    ("url", "reason", "expected"),
    [
        ("", "required", "https URL"),
        (5, "invalid", "https URL"),
        ("https://example.com/" + "x" * 2048, "too_long", "https URL"),
        ("https://user@example.com/", "invalid", "https URL"),
        ("https://example.com/#x", "invalid", "https URL"),
        ("https://localhost/", "invalid", "public host"),
        ("https://169.254.169.254/latest", "invalid", "public host"),
        ("https://[::ffff:10.0.0.1]/", "invalid", "public host"),
        ("https://nowhere.invalid/", "invalid", "resolvable host"),
    ],
)
def test_urls(catalog: Catalog, url: object, reason: str, expected: str) -> None:
    refused = catalog.post(400, fulfillment={"type": "webhook", "url": url})
    assert faults(refused) == [("fulfillment.url", reason)]
    assert refused["details"]["expected"] == expected


def test_without_a_secret_key(database: Database, settings: Settings) -> None:
    """The answer names the setting, nothing is made, and what needs no secret works."""
    with serve(create_app(settings.model_copy(update={"secret_key": None}))) as url:
        tenant = new_tenant(database, url)
        lacking = make_catalog(tenant, database)
        refused = lacking.post(503, fulfillment=HOOK)
        assert (refused["code"], "OPENSCRIP_SECRET_KEY" in refused["message"]) == ("service_unavailable", True)
        assert tenant.get(lacking.path)["data"] == []
        made = lacking.post(fulfillment={"type": "manual"})
        lacking.patch(made["id"], 503, fulfillment=HOOK)
        assert lacking.get(made["id"]) == made
        tenant.http.close()


def test_a_developers_machine(private: Catalog, catalog: Catalog) -> None:
    here = {"type": "webhook", "url": "http://localhost:9000/parcels"}
    assert private.post(fulfillment=here)["fulfillment"]["url"] == here["url"]
    assert catalog.post(400, fulfillment=here)["details"]["expected"] == "https URL"
    metadata = {"type": "webhook", "url": "http://169.254.169.254/"}
    assert private.post(400, name="B", fulfillment=metadata)["details"]["expected"] == "public host"
