"""Calling the webhooks of fulfilments: one attempt, outside of any transaction, counted when its answer is there."""

import time
from dataclasses import dataclass, field

import structlog
from cryptography.exceptions import InvalidTag
from temporalio import activity

from db.session import Database
from domain.webhook_attempts import Answer
from domain.webhook_message import signed_headers
from domain.webhook_urls import UrlFlaw
from runtime.settings import Settings, SettingsError
from runtime.tracing import SpanKind, note, span
from runtime.webhook_client import WebhookClient
from runtime.webhook_secrets import WebhookSecrets
from services import fulfillment_attempts
from services.fulfillment_attempts import Attempt, Made
from services.fulfillments import FulfillmentKey
from services.transactions import transact
from services.webhook_targets import addresses_of
from workflows.contracts_fulfillment import AttemptReport, FulfillmentInput

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FulfillmentSender:
    """Makes attempts on the caller's thread, with a database, and with the settings' key for secrets."""

    database: Database
    settings: Settings
    client: WebhookClient = field(default_factory=WebhookClient)

    def make(self, key: FulfillmentKey) -> Made | None:
        """Make the attempt of a fulfilment that is due; None when there is none, or while somebody else makes it.

        SettingsError when its secret can't be read here: it doesn't count then.
        """
        ids = (key.organization_id, key.redemption_id)
        attempt = transact(self.database, lambda session: fulfillment_attempts.begin(session, *ids))
        if attempt is None:
            return None
        try:
            answer = self._post(attempt)
        except Exception:
            transact(self.database, lambda session: fulfillment_attempts.give_back(session, attempt))
            raise
        made = transact(self.database, lambda session: fulfillment_attempts.finish(session, attempt, answer))
        outcome = "too late" if made.outcome is None else made.outcome.value
        log.info("fulfillment_attempted", redemption=str(key.redemption_id), number=made.number, outcome=outcome)
        return made

    def _post(self, attempt: Attempt) -> Answer:
        try:
            secret = WebhookSecrets(self.settings).open(attempt.sealed_secret, attempt.reward_id)
        except InvalidTag:
            message = f"OPENSCRIP_SECRET_KEY isn't the one that sealed the secret of reward {attempt.reward_id}"
            raise SettingsError(message) from None
        try:
            addresses = addresses_of(attempt.url, is_private_allowed=self.settings.webhook_allow_private)
        except UrlFlaw as flaw:
            return Answer(error=f"forbidden address: {flaw}")
        # by the real clock, which receivers have too
        headers = signed_headers(attempt.redemption_id, int(time.time()), attempt.body, [secret])
        ids = {"redemption_id": str(attempt.redemption_id), "organization_id": str(attempt.organization_id)}
        with span("fulfillment attempt", kind=SpanKind.CLIENT, **ids):
            answer = self.client.post(attempt.url, addresses, headers, attempt.body)
            note(answer="no answer" if answer.status is None else answer.status)
        return answer


@dataclass(frozen=True, slots=True)
class WebhookActivities:
    """What is asked of webhooks by flows."""

    sender: FulfillmentSender

    @activity.defn(no_thread_cancel_exception=True)
    def attempt_fulfillment(self, call: FulfillmentInput) -> AttemptReport:
        """Make the attempt that is due, if there is one."""
        made = self.sender.make(FulfillmentKey(call.redemption_id, call.organization_id, call.program_id))
        if made is None:
            return AttemptReport()
        outcome = None if made.outcome is None else made.outcome.value
        return AttemptReport(number=made.number, outcome=outcome, response_status=made.response_status, error=made.error)
