"""Encryption of Temporal payloads, so that its store and its UI show no free text."""

import os
from collections.abc import Iterable

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

ENCODING = b"binary/openscrip-aes-gcm"
NONCE_BYTES = 12


class AesGcmCodec(PayloadCodec):
    """AES-256-GCM with a key derived from the deployment's secret; payloads from before it was switched on stay readable."""

    def __init__(self, secret: bytes) -> None:
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"openscrip temporal payloads").derive(secret)
        self._cipher = AESGCM(key)

    async def encode(self, payloads: Iterable[Payload]) -> list[Payload]:
        """Wrap each payload in an encrypted one."""
        return [self._seal(payload) for payload in payloads]

    async def decode(self, payloads: Iterable[Payload]) -> list[Payload]:
        """Unwrap encrypted payloads, leave others as they are; InvalidTag when the key is another one."""
        return [self._open(payload) for payload in payloads]

    def _seal(self, payload: Payload) -> Payload:
        nonce = os.urandom(NONCE_BYTES)
        data = nonce + self._cipher.encrypt(nonce, payload.SerializeToString(), ENCODING)
        return Payload(metadata={"encoding": ENCODING}, data=data)

    def _open(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        nonce, sealed = payload.data[:NONCE_BYTES], payload.data[NONCE_BYTES:]
        return Payload.FromString(self._cipher.decrypt(nonce, sealed, ENCODING))
