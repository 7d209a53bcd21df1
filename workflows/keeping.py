"""What the workers keep in Temporal, and put there again when its store is gone (ADR 1: it has the only copy of nothing)."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import structlog
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from runtime.temporal import ensure_search_attributes
from workflows import contracts
from workflows.contracts import DueKind
from workflows.schedules import ensure_schedules
from workflows.signals import ensure_due_work

log = structlog.get_logger(__name__)

# A lost store is noticed within this long; the schedules then do the rest.
LOOK_SECONDS = 10.0


class Keeper:
    """Search attributes, schedules and due work of a deployment.

    `forget_flows` makes the database forget which flows it has lately made sure of: it blocks, and runs on a thread.
    """

    def __init__(self, client: Client, sweep_every: timedelta, forget_flows: Callable[[], None]) -> None:
        self._client = client
        self._sweep_every = sweep_every
        self._forget_flows = forget_flows

    async def prepare(self) -> None:
        """Make everything that is missing, and bring the rest to this version. RPCError."""
        if await self._is_new():
            # before the schedules run: their first pass starts every flow that the database knows of
            await asyncio.to_thread(self._forget_flows)
        await ensure_search_attributes(self._client)
        await ensure_schedules(self._client, self._sweep_every)
        for kind in DueKind:
            await ensure_due_work(self._client, kind)

    async def watch(self) -> None:
        """Prepare again whenever Temporal has forgotten; ends when it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                if await self._is_new():
                    log.warning("temporal_store_lost", namespace=self._client.namespace)
                    await self.prepare()
            except Exception as error:  # noqa: BLE001 - Temporal or Postgres is away: the next look tries again
                log.warning("keeping_failed", error=str(error))

    async def _is_new(self) -> bool:
        """Whether this Temporal knows nothing of us; the schedule that starts what is missing tells."""
        try:
            await self._client.get_schedule_handle(contracts.RECONCILE_SCHEDULE).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return True
            raise
        return False
