"""Keeping what Temporal's store must have beside flows of single things, also when the store was lost meanwhile."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlmodel import Session
from temporalio.client import Client

from activities.books import findings
from db.session import Database
from runtime.temporal import ensure_search_attributes
from services import automation_views, fulfillments
from services.transactions import transact
from workflows.contracts import DueKind
from workflows.schedules import ensure_schedules, has_schedules, reconcile_now
from workflows.signals import RPCError, ensure_due_work, ensure_sealing

log = structlog.get_logger(__name__)

KEEP_SECONDS = 10.0


@dataclass(slots=True)
class Keeper:
    """Looks after the store, for as long as a worker runs. `sweep_every` is the sweep's interval."""

    database: Database
    client: Client
    sweep_every: timedelta
    is_to_reconcile: bool = True

    async def prepare(self) -> None:
        """Make what is missing. In a store without schedules no flow runs that somebody made sure of: nobody did, then."""
        await ensure_search_attributes(self.client)
        if not await has_schedules(self.client):
            await asyncio.to_thread(transact, self.database, forget_flows)
        await ensure_schedules(self.client, self.sweep_every)
        for kind in DueKind:
            await ensure_due_work(self.client, kind)
        await ensure_sealing(self.client)

    async def keep(self) -> None:
        """Until cancelled: notice that the store was lost, and reconcile at the start, then and when Temporal was away."""
        while True:
            try:
                await self._look()
            except Exception as error:
                self.is_to_reconcile = True
                log.warning("temporal_not_kept", error=type(error).__name__, exc_info=not isinstance(error, RPCError))
            findings.forget_old()
            await asyncio.sleep(KEEP_SECONDS)

    async def _look(self) -> None:
        if not await has_schedules(self.client):
            log.warning("temporal_store_lost")
            self.is_to_reconcile = True
            await self.prepare()
        if self.is_to_reconcile:
            await reconcile_now(self.client)
            self.is_to_reconcile = False


def forget_flows(session: Session) -> None:
    """Let the reconciliation make sure of all flows anew."""
    automation_views.forget_flows(session)
    fulfillments.forget_flows(session)
