"""A worker for the flows of webhooks with scripted answers."""

import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

from temporalio import activity
from temporalio.client import Client

from tests.workflows.workers import serving
from workflows.contracts_webhooks import EndpointInput, RetryInput, RetryReport, SendReport
from workflows.webhook_endpoint import WebhookEndpointWorkflow
from workflows.webhook_retry import WebhookRetryWorkflow

MOMENT = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)


def sent(attempts: int = 0, **fields: object) -> SendReport:
    """What a call of the sender did."""
    usual = {"status": "ACTIVE", "attempts": attempts, "delivered": attempts, "finished_at": MOMENT}
    return SendReport.model_validate({**usual, **fields})


def tried(attempts: int, status: str = "PENDING", **fields: object) -> RetryReport:
    """Where a delivery stands."""
    usual = {"status": status, "event_type": "balance.credited", "attempt_count": attempts, "max_attempts": 8}
    return RetryReport.model_validate({**usual, "last_response_status": 500, **fields})


def some_endpoint() -> EndpointInput:
    return EndpointInput(endpoint_id=UUID(int=random.getrandbits(100)), organization_id=UUID(int=1))


def some_retry() -> RetryInput:
    return RetryInput(delivery_id=UUID(int=random.getrandbits(100)), endpoint_id=UUID(int=5), organization_id=UUID(int=1))


class Answers:
    """Each call of an activity gets the next answer, the last one again and again."""

    def __init__(self, sends: Sequence[SendReport] = (), tries: Sequence[RetryReport] = ()) -> None:
        self.looks = 0
        self._sends, self._last_send = iter(sends), sent()
        self._tries, self._last_try = iter(tries), tried(1, next_in_seconds=3600.0)

    @activity.defn
    async def send_deliveries(self, _: EndpointInput) -> SendReport:
        self.looks += 1
        self._last_send = next(self._sends, self._last_send)
        return self._last_send

    @activity.defn
    async def attempt_delivery(self, _: RetryInput) -> RetryReport:
        self.looks += 1
        self._last_try = next(self._tries, self._last_try)
        return self._last_try


@contextlib.asynccontextmanager
async def working(client: Client, answers: Answers) -> AsyncIterator[str]:
    """A worker with these answers; gives the name of its queue."""
    flows = [WebhookEndpointWorkflow, WebhookRetryWorkflow]
    async with serving(client, "webhooks", flows, [answers.send_deliveries, answers.attempt_delivery]) as queue:
        yield queue
