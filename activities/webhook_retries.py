"""Flows of deliveries that failed: what the reconciliation makes sure of."""

import asyncio

import structlog
from sqlmodel import Session
from temporalio.client import Client

from db.session import Database
from services import webhook_sending as sending
from services.transactions import transact
from services.webhook_sending import RetryKey
from workflows.contracts_webhooks import RetryInput
from workflows.policies import RECONCILE_HORIZON
from workflows.signals import RPCError
from workflows.webhook_signals import start_retry

log = structlog.get_logger(__name__)

# A pass of the reconciliation isn't endless.
A_PASS = 500


async def reconcile_retries(database: Database, client: Client) -> tuple[int, int]:
    """Start the flows of deliveries that are soon attempted again: how many these are, and how many have no flow."""

    def soon(session: Session) -> list[RetryKey]:
        sending.forget_hours(session)
        return sending.retries_soon(session, RECONCILE_HORIZON, A_PASS)

    keys = await asyncio.to_thread(transact, database, soon)
    failed = 0
    for key in keys:
        retry = RetryInput(delivery_id=key.delivery_id, endpoint_id=key.endpoint_id, organization_id=key.organization_id)
        try:
            await start_retry(client, retry)
        except RPCError as error:
            # it is sent all the same, by the flow of its endpoint
            log.warning("webhook_retry_failed", delivery=str(key.delivery_id), error=str(error))
            failed += 1
    return len(keys), failed
