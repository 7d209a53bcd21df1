"""What is posted to webhooks: the envelope's bytes, and the headers that sign them (webhooks.md 3).

The signature is that of the Standard Webhooks specification, symmetric, version 1.
"""

import base64
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

from standardwebhooks import Webhook

from domain.timestamps import format_timestamp

API_VERSION = "2026-03-01"
SECRET_PREFIX = "whsec_"  # noqa: S105 - how secrets begin
USER_AGENT = "OpenScrip-Webhooks/1"


def envelope(message_id: UUID, type_: str, created_at: datetime, organization_id: UUID, data: str) -> bytes:
    """The body, as compact JSON.

    `data` is the text of a JSON object and becomes part of the body as it is: what is kept as text has the same bytes always.
    """
    head = {
        "id": str(message_id),
        "type": type_,
        "api_version": API_VERSION,
        "created_at": format_timestamp(created_at),
        "organization_id": str(organization_id),
    }
    text = json.dumps(head, ensure_ascii=False, separators=(",", ":"))
    return f'{text[:-1]},"data":{data}}}'.encode()


def signed_headers(message_id: UUID, timestamp: int, body: bytes, secrets: Iterable[str]) -> dict[str, str]:
    """The headers of one attempt; `timestamp` in Unix seconds, `secrets` (`whsec_...`) newest first, two while they overlap."""
    return {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": str(message_id),
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(secret, message_id, timestamp, body) for secret in secrets),
    }


def sign(secret: str, message_id: UUID, timestamp: int, body: bytes) -> str:
    """The signature with one secret; ValueError when that isn't one. The error doesn't show it."""
    # the library would take for a secret what only looks a little like one
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise ValueError("not a webhook secret")
    return Webhook(key).sign(str(message_id), datetime.fromtimestamp(timestamp, UTC), body.decode())
