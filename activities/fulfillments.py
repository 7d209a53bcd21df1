"""What flows of fulfilments call, and starting these flows from a worker."""

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlmodel import Session
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from activities.lanes import is_unreachable
from activities.webhooks import FulfillmentSender
from db.session import Database
from services import fulfillment_attempts, fulfillments
from services.fulfillments import FulfillmentKey, RequestRow
from services.redemption_views import redemption_body
from services.transactions import transact
from workflows.contracts_fulfillment import FulfillmentInput, FulfillmentReport, FulfillmentState
from workflows.policies import RECONCILE_HORIZON
from workflows.signals import RPCError, start_fulfillment

log = structlog.get_logger(__name__)

# A flow that was made sure of this long ago is made sure of again: Temporal may have lost it.
CHECKED_FOR = timedelta(hours=1)
# A pass isn't endless.
A_PASS = 500
PAGE = 100
# Somebody else is at it.
WAIT_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class FulfillmentActivities:
    """Looks after single fulfilments, with the database of this worker."""

    database: Database

    @activity.defn(no_thread_cancel_exception=True)
    def attend_fulfillment(self, call: FulfillmentInput) -> FulfillmentReport:
        """Give the value back if the deadline has passed, and say where the fulfilment stands."""
        ids = (call.organization_id, call.redemption_id)
        found = transact(self.database, lambda session: fulfillments.attend(session, *ids))
        if found is None or found.redemption.fulfillment_status is None:
            message = f"redemption {call.redemption_id} has no fulfilment"
            raise ApplicationError(message, type="FulfillmentNotFound", non_retryable=True)
        redemption = found.redemption
        return FulfillmentReport(
            state=FulfillmentState(found.redemption.fulfillment_status),
            participant_id=redemption.participant_id,
            amount=redemption_body(redemption)["amount"],
            quantity=redemption.quantity,
            ledger_status=redemption.status,
            expires_at=redemption.fulfillment_expires_at,
            deadline_in_seconds=found.until_deadline,
            **_attempts(found.request),
        )


def _attempts(request: RequestRow | None) -> dict[str, Any]:
    """What the report tells of a webhook's attempts."""
    if request is None:
        return {}
    return {
        "attempt_count": request.attempt_count,
        "attempt_in_seconds": request.seconds_left,
        "next_attempt_at": request.next_attempt_at,
        "last_response_status": request.last_response_status,
        "last_error": request.last_error,
    }


def expire_all(database: Database, go_on: Callable[[], None]) -> None:
    """Carry out every deadline that has passed, each in a short transaction, with a call of `go_on` after it."""

    def expire(key: FulfillmentKey) -> bool:
        return transact(database, lambda session: fulfillments.expire(session, key.organization_id, key.redemption_id))

    _do_all(database, fulfillments.past_deadline, expire, go_on)


def attempt_all(sender: FulfillmentSender, go_on: Callable[[], None]) -> None:
    """Make every attempt that is due, with a call of `go_on` after each; waits for those that somebody else makes."""
    _do_all(sender.database, fulfillment_attempts.due_now, lambda key: sender.make(key) is not None, go_on)


def _do_all(
    database: Database,
    find: Callable[[Session, int, Collection[UUID]], list[FulfillmentKey]],
    do: Callable[[FulfillmentKey], bool],
    go_on: Callable[[], None],
) -> None:
    """Do what is found until nothing is; a culprit is left alone and doesn't hold up the others."""
    failed: set[UUID] = set()
    while keys := transact(database, lambda session: find(session, PAGE, failed)):
        done = False
        for key in keys:
            try:
                done |= do(key)
            except Exception as error:
                if is_unreachable(error):
                    raise
                log.warning("fulfillment_failed", redemption=str(key.redemption_id), error=type(error).__name__, exc_info=True)
                failed.add(key.redemption_id)
            go_on()
        if not done:
            time.sleep(WAIT_SECONDS)


def fulfillment_input(key: FulfillmentKey) -> FulfillmentInput:
    """The start of a fulfilment's flow."""
    return FulfillmentInput(redemption_id=key.redemption_id, organization_id=key.organization_id, program_id=key.program_id)


async def start_fulfillments(client: Client, wanted: Collection[FulfillmentInput]) -> int:
    """Make sure that these flows run and look at the clock; gives how many do. The reconciliation finds the others."""
    started = 0
    for each in wanted:
        try:
            await start_fulfillment(client, each, wake=True)
        except RPCError as error:
            log.warning("fulfillment_flow_failed", redemption=str(each.redemption_id), error=str(error))
        else:
            started += 1
    return started


async def reconcile_fulfillments(database: Database, client: Client) -> tuple[int, int]:
    """Start the flows of fulfilments that ought to have one: how many were looked at, and how many of them couldn't be."""

    def in_need() -> list[FulfillmentKey]:
        return transact(database, lambda session: fulfillments.in_need_of_flow(session, RECONCILE_HORIZON, CHECKED_FOR, A_PASS))

    keys = await asyncio.to_thread(in_need)
    started = await start_fulfillments(client, [fulfillment_input(key) for key in keys])
    if keys and started == len(keys):
        ids = [key.redemption_id for key in keys]
        await asyncio.to_thread(transact, database, lambda session: fulfillments.note_flows(session, ids))
    return len(keys), len(keys) - started
