"""The API's side of the test clock: one move at a time, waited for without holding a connection."""

import asyncio
import time
from datetime import datetime, timedelta
from functools import partial

from anyio import to_thread
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import WorkflowAlreadyStartedError

from db.session import Database
from domain.errors import ServiceUnavailable
from services import clock
from services.transactions import transact
from workflows.contracts_clock import CLOCK_WORKFLOW_ID, ClockInput, ClockResult
from workflows.signals import RPCError, start_clock

MOVE_SECONDS = 60.0
# A slice that has begun is finished, and its end told, within this long.
SPARE_SECONDS = 4.0


class ClockMover:
    """Moves the clock for requests, each through a flow of its own; two at once are served one after the other."""

    def __init__(self, client: Client, database: Database) -> None:
        self._client = client
        self._database = database

    async def read(self) -> datetime:
        """What the clock shows."""
        return await to_thread.run_sync(transact, self._database, clock.read_clock)

    async def move(self, target: datetime) -> int:
        """Move to a target; returns how many due moments were visited. BadRequest; ServiceUnavailable after 60 seconds."""
        deadline = time.monotonic() + MOVE_SECONDS
        while True:
            plan = partial(transact, self._database, lambda session: clock.plan(session, target))
            if await to_thread.run_sync(plan) is not None:
                return 0
            left = deadline - time.monotonic()
            if left <= SPARE_SECONDS:
                raise ServiceUnavailable
            result = await self._run(target, left)
            if result is not None:
                if not result.reached:
                    raise ServiceUnavailable
                return result.steps

    async def _run(self, target: datetime, seconds: float) -> ClockResult | None:
        """One flow to its end; None when another one was under way, which has ended now."""
        wanted = ClockInput(target=target, seconds=seconds - SPARE_SECONDS)
        try:
            async with asyncio.timeout(seconds):
                try:
                    handle = await start_clock(self._client, wanted, timedelta(seconds=seconds))
                except WorkflowAlreadyStartedError:
                    await self._ended(self._client.get_workflow_handle(CLOCK_WORKFLOW_ID))
                    return None
                return await handle.result()
        except (TimeoutError, WorkflowFailureError, RPCError, RuntimeError) as error:
            # RuntimeError is what a client that has never reached Temporal raises
            raise ServiceUnavailable from error

    @staticmethod
    async def _ended(other: WorkflowHandle[object, object]) -> None:
        try:
            await other.result()
        except WorkflowFailureError:
            return
