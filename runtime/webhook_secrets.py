"""Secrets that webhooks are signed with: made here, and sealed for the database with a key of the deployment's."""

import base64
import os
import secrets
from functools import cached_property
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from runtime.settings import Settings

PREFIX = "whsec_"
SECRET_BYTES = 32
NONCE_BYTES = 12


class WebhookSecrets:
    """AES-256-GCM with a key derived from SECRET_KEY; what is sealed for one owner can't be opened for another."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _cipher(self) -> AESGCM:
        secret = self._settings.require_secret_key()
        return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=b"openscrip webhook secrets").derive(secret))

    def make(self, owner: UUID) -> tuple[str, bytes]:
        """A new secret for a reward or endpoint, to be shown once, and the same sealed; SettingsError without SECRET_KEY."""
        secret = PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
        nonce = os.urandom(NONCE_BYTES)
        return secret, nonce + self._cipher.encrypt(nonce, secret.encode(), owner.bytes)

    def open(self, sealed: bytes, owner: UUID) -> str:
        """The secret; InvalidTag when the key or the owner is another one."""
        nonce, text = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        return self._cipher.decrypt(nonce, text, owner.bytes).decode()
