"""Secrets of webhooks: made at random, sealed for one owner under the deployment's key."""

import base64
from uuid import uuid4

import pytest
from cryptography.exceptions import InvalidTag

from runtime.settings import Settings, SettingsError
from runtime.webhook_secrets import WebhookSecrets
from tests.conftest import SECRET_KEY

SECRETS = WebhookSecrets(Settings(secret_key=SECRET_KEY))


def test_a_secret_opens_for_its_owner_only() -> None:
    owner = uuid4()
    secret, sealed = SECRETS.make(owner)
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    assert secret.encode() not in sealed
    assert WebhookSecrets(Settings(secret_key=SECRET_KEY)).open(sealed, owner) == secret
    with pytest.raises(InvalidTag):
        SECRETS.open(sealed, uuid4())


def test_another_key_opens_nothing() -> None:
    owner = uuid4()
    _, sealed = SECRETS.make(owner)
    other = WebhookSecrets(Settings(secret_key=base64.b64encode(bytes(32)).decode()))
    with pytest.raises(InvalidTag):
        other.open(sealed, owner)


def test_no_two_are_alike() -> None:
    owner = uuid4()
    made = [SECRETS.make(owner) for _ in range(20)]
    assert len({secret for secret, _ in made}) == len({sealed for _, sealed in made}) == 20


def test_without_a_key_nothing_is_made() -> None:
    with pytest.raises(SettingsError, match="OPENSCRIP_SECRET_KEY"):
        WebhookSecrets(Settings(secret_key=None)).make(uuid4())
