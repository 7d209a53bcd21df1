"""What both sides of Temporal agree on about webhooks. Pure data, importable from anywhere; never a secret, nor a message."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

ENDPOINT_WORKFLOW = "WebhookEndpointWorkflow"
RETRY_WORKFLOW = "WebhookRetryWorkflow"
SEND_DELIVERIES = "send_deliveries"
ATTEMPT_DELIVERY = "attempt_delivery"
CHANGED_SIGNAL = "changed"


def endpoint_workflow_id(endpoint_id: UUID) -> str:
    """`webhook-endpoint/0190...`: one workflow per endpoint with something to send."""
    return f"webhook-endpoint/{endpoint_id}"


def retry_workflow_id(delivery_id: UUID) -> str:
    """`webhook-retry/0190...`: one workflow per delivery that has failed and will be attempted again."""
    return f"webhook-retry/{delivery_id}"


class SendTotals(BaseModel):
    """What an endpoint's workflow has seen since it first started; carried over continue-as-new."""

    attempts: int = 0
    delivered: int = 0
    passes: int = 0


class EndpointInput(BaseModel):
    """Start of an endpoint's workflow: ids, and what its earlier runs did."""

    endpoint_id: UUID
    organization_id: UUID
    totals: SendTotals = Field(default_factory=SendTotals)


class SendReport(BaseModel):
    """What one call of `send_deliveries` did, and what it leaves.

    `status` is the endpoint's; `pending` stops counting at 1000. `blocked` says why nothing is sent now; `next_in_seconds` is
    when to look again by itself.
    """

    status: str
    attempts: int = 0
    delivered: int = 0
    failed: int = 0
    given_up: int = 0
    pending: int = 0
    blocked: str | None = None
    blocked_until: datetime | None = None
    next_in_seconds: float | None = None
    more: bool = False
    finished_at: datetime | None = None


class EndpointFlowStatus(BaseModel):
    """Answer of an endpoint's `status` query, and the result of its workflow."""

    endpoint_id: UUID
    phase: str
    totals: SendTotals
    last: SendReport | None = None


class RetryInput(BaseModel):
    """Start of the workflow of a delivery that failed: ids only."""

    delivery_id: UUID
    endpoint_id: UUID
    organization_id: UUID


class RetryReport(BaseModel):
    """Where a delivery stands after one call of `attempt_delivery`, which makes the attempt when it is due."""

    status: str
    event_type: str
    attempt_count: int
    max_attempts: int
    next_attempt_at: datetime | None = None
    next_in_seconds: float | None = None
    blocked: str | None = None
    last_response_status: int | None = None
    last_error: str | None = None


class RetryFlowStatus(BaseModel):
    """Answer of a retry's `status` query, and the result of its workflow."""

    delivery_id: UUID
    endpoint_id: UUID
    last: RetryReport | None = None
