"""Sending messages to endpoints: one flow's call sends what waits for one endpoint, a few at once; another's one delivery."""

import random
import time
from dataclasses import dataclass

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.webhook_sender import Sender
from activities.webhook_sending import send_waiting
from domain.webhook_health import BlockedReason
from services import webhook_sending as sending
from services.webhook_sending import Standing, Turn
from workflows.contracts_webhooks import EndpointInput, RetryInput, RetryReport, SendReport

# One call claims for about this long; then it lets what is under way end, and the flow renews its details.
SLICE_SECONDS = 60.0
# When nothing is left, a flow's call looks again after these, before it ends: where messages keep coming it goes on.
LOOKS_AGAIN = (0.02, 0.04, 0.08, 0.16, 0.32)
# The flow of a delivery that rests for a disabled endpoint is told when that is over; once in a while it looks by itself.
DISABLED_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class DeliveryActivities:
    """What the flows of endpoints and of failed deliveries call."""

    sender: Sender

    @activity.defn
    async def send_deliveries(self, endpoint: EndpointInput) -> SendReport:
        """Send what waits for an endpoint, a few at once and each entity's first attempts in order."""
        deadline = time.monotonic() + SLICE_SECONDS

        def is_over() -> bool:
            return time.monotonic() > deadline or activity.is_worker_shutdown()

        return await send_waiting(self.sender, endpoint, activity.heartbeat, is_over, LOOKS_AGAIN)

    @activity.defn
    async def attempt_delivery(self, retry: RetryInput) -> RetryReport:
        """Make a delivery's next attempt if it is due and its endpoint isn't blocked, and say where it stands."""
        turn = await self.sender.attempt(retry)
        found = await self.sender.transact(lambda session: sending.standing(session, retry.delivery_id))
        if found is None:
            raise ApplicationError(f"there is no delivery {retry.delivery_id}", type="DeliveryNotFound", non_retryable=True)
        return RetryReport(
            status=found.status,
            event_type=found.event_type,
            attempt_count=found.attempt_count,
            max_attempts=found.max_attempts,
            next_attempt_at=found.next_attempt_at,
            next_in_seconds=_look_again_in(turn, found),
            blocked=None if turn.blocked is None else turn.blocked.value,
            last_response_status=found.last_response_status,
            last_error=found.last_error,
        )


def _look_again_in(turn: Turn, found: Standing) -> float | None:
    """When a delivery is due, or, while its endpoint is blocked, somewhat after that: it is taken along then."""
    if found.next_in_seconds is None:
        return None
    ahead = found.next_in_seconds
    spread = random.uniform(1.0, 10.0)  # noqa: S311 - spreads looks
    if found.status == "SENDING" or turn.is_held_up:
        return max(ahead, spread)
    if turn.blocked is BlockedReason.DISABLED:
        return max(ahead, DISABLED_SECONDS * spread)
    if turn.blocked_seconds is not None:
        return max(ahead, turn.blocked_seconds + spread)
    return ahead
