"""One attempt to deliver one message: check the address, sign, post."""

import time
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog
from cryptography.exceptions import InvalidTag

from activities.webhook_room import ATTEMPTS_AT_ONCE
from domain.webhook_attempts import Answer
from domain.webhook_message import envelope, signed_headers
from domain.webhook_urls import UrlFlaw
from runtime.hosts import Lookup
from runtime.metrics import WEBHOOK_ATTEMPT_SECONDS
from runtime.settings import Settings, SettingsError
from runtime.tracing import SpanKind, note, span
from runtime.webhook_client import WebhookClient
from runtime.webhook_secrets import WebhookSecrets
from services.webhook_sending import Claimed, SealedSecrets
from services.webhook_targets import addresses_of

log = structlog.get_logger(__name__)


class Post:
    """Makes single attempts on the caller's thread: checks the address, signs by the real clock, posts."""

    def __init__(
        self,
        settings: Settings,
        client: WebhookClient | None = None,
        lookup: Lookup | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._lookup = lookup
        self._clock = clock
        self._secrets = WebhookSecrets(settings)
        self._client = client or WebhookClient(max_connections=ATTEMPTS_AT_ONCE)

    def open(self, endpoint_id: UUID, secrets: SealedSecrets) -> list[str]:
        """An endpoint's secrets, newest first; SettingsError when they can't be read here."""
        try:
            return [self._secrets.open(sealed, endpoint_id) for sealed in secrets.sealed]
        except InvalidTag:
            message = f"OPENSCRIP_SECRET_KEY isn't the one that sealed the secret of webhook endpoint {endpoint_id}"
            raise SettingsError(message) from None

    def __call__(self, url: str, secrets: Sequence[str], claimed: Claimed) -> Answer:
        """The answer to one attempt, which belongs to the trace of what the message is about."""
        ids = {"delivery_id": str(claimed.key.id), "message_id": str(claimed.message_id), "message_type": claimed.type}
        ids["organization_id"] = str(claimed.organization_id)
        attempt = claimed.attempt_count + 1
        with span("webhook attempt", parent=claimed.trace_parent, kind=SpanKind.CLIENT, attempt=attempt, **ids):
            answer = self._attempt(url, secrets, claimed)
            note(answer="no answer" if answer.status is None else answer.status)
        return answer

    def _attempt(self, url: str, secrets: Sequence[str], claimed: Claimed) -> Answer:
        began = time.monotonic()
        try:
            addresses = addresses_of(url, is_private_allowed=self._settings.webhook_allow_private, lookup=self._lookup)
        except UrlFlaw as flaw:
            return Answer(error=f"forbidden address: {flaw}")
        created_at = claimed.key.created_at
        body = envelope(claimed.message_id, claimed.type, created_at, claimed.organization_id, claimed.data)
        try:
            # receivers have the real clock too, whatever the product's says
            headers = signed_headers(claimed.message_id, int(self._clock()), body, secrets)
            answer = self._client.post(url, addresses, headers, body)
        except Exception as error:
            # a fault of ours with one message counts, or it would be tried for ever
            log.exception("webhook_not_sent", delivery=str(claimed.key.id), error=type(error).__name__)
            return Answer(error="not sent: internal error")
        WEBHOOK_ATTEMPT_SECONDS.observe(time.monotonic() - began)
        return answer
