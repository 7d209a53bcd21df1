"""The API's side of redemptions: look, start a flow, wait for its answer without holding a connection, look once more.

After `OPENSCRIP_REDEMPTION_TIMEOUT` the answer is 503, and final: by then the flow may not do it any more, and the last look
has waited for whoever still did. A crowd is served one after the other, and that time begins anew whenever a flow answers one
of them; who waits looks again when one of them is refused, so that those for whom nothing is left cost no flow.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from anyio import to_thread
from sqlmodel import Session
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, FailureError, WorkflowAlreadyStartedError

from api.looks import Looks, Seen
from api.turns import NobodyGotOnError, Turn, Turns
from db.session import Database
from domain.errors import DomainError, ServiceUnavailable
from domain.refusals import refusal_of
from runtime.metrics import REDEMPTION_SECONDS, REDEMPTIONS
from runtime.settings import Settings
from runtime.temporal import connect
from services.idempotency import Outcome
from services.redemptions import Glance
from services.tickets import Outlook
from services.transactions import transact
from workflows.contracts_redemption import RedemptionResult
from workflows.signals import RPCError

log = structlog.get_logger(__name__)

RECONNECT_SECONDS = 1.0
RESTART_SECONDS = 0.1
# The 503 comes within a second of the timeout: the last look may take most of it.
LAST_LOOK_SECONDS = 0.9

# Flows of one process under way at the same moment: enough to keep its worker busy. A turn is waited for while others get on.
AT_ONCE = 6
LONGEST_WAIT_SECONDS = 50.0

# A worker in this process tells what it did right after its commit; Temporal is asked when it is still silent then.
SILENCE_SECONDS = 0.05

Look = Callable[[Session], Outlook]
Handle = WorkflowHandle[Any, RedemptionResult]


@dataclass(frozen=True, slots=True)
class Errand:
    """One request: how to look (within so many milliseconds), how to look at the end, how to start its flow; what it makes.

    With a `glance` it looks together with others, and by itself only where something due has to be written.
    """

    look: Callable[[Session, int], Outlook]
    last_look: Callable[[Session, Outlook], Outlook]
    start: Callable[[Client, Outlook, datetime], Awaitable[Handle]]
    workflow_id: str
    id: UUID
    glance: Glance | None = None


class Redeemer:
    """Carries out errands through flows; connects to Temporal by itself, so that everything else works without it."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._timeout = settings.redemption_timeout
        self._loop = asyncio.get_running_loop()
        self._turns = Turns(AT_ONCE, self._timeout, LONGEST_WAIT_SECONDS)
        self._looks = Looks(database, self._timeout)
        self._told: dict[UUID, asyncio.Future[RedemptionResult]] = {}
        self._client: asyncio.Future[Client] = self._loop.create_future()
        self._connecting = asyncio.create_task(self._connect())

    async def close(self) -> None:
        """Stop connecting, and end the looks."""
        self._connecting.cancel()
        await asyncio.gather(self._connecting, return_exceptions=True)
        await self._looks.close()

    async def client(self) -> Client:
        """The connection, once there is one; a worker that shares it gets flows without a detour."""
        return await asyncio.shield(self._client)

    def tell(self, id_: UUID, result: RedemptionResult) -> None:
        """From any thread: what has this id was made, and is committed. Whoever waits for it needn't wait for Temporal."""
        self._loop.call_soon_threadsafe(self._hear, id_, result)

    def _hear(self, id_: UUID, result: RedemptionResult) -> None:
        told = self._told.get(id_)
        if told is not None and not told.done():
            told.set_result(result)

    async def _connect(self) -> None:
        while not self._client.done():
            try:
                self._client.set_result(await connect(self._settings))
            except RuntimeError as error:
                # what a client that can't reach Temporal raises
                log.warning("temporal_unreachable", error=str(error))
                await asyncio.sleep(RECONNECT_SECONDS)

    async def run(self, errand: Errand) -> Outcome:
        """Carry out an errand: its answer, or its refusal; ServiceUnavailable when it wasn't done in time, and won't be."""
        kind = errand.workflow_id.partition("/")[0]
        began, result = self._loop.time(), "failed"
        try:
            outcome = await self._run(errand)
            result = "replayed" if outcome.is_replay else "done"
        except DomainError as error:
            result = "unavailable" if isinstance(error, ServiceUnavailable) else "refused"
            raise
        else:
            return outcome
        finally:
            REDEMPTIONS.labels(kind, result).inc()
            REDEMPTION_SECONDS.labels(kind).observe(self._loop.time() - began)

    async def _run(self, errand: Errand) -> Outcome:
        first, began = await self._look(errand, self._timeout)
        if first.answer is not None:
            return first.answer
        try:
            async with self._turns.take(began, partial(self._look, errand, self._timeout)) as turn:
                outcome = await self._carry_out(errand, None if turn.has_waited else first, turn)
        except NobodyGotOnError:
            return await self._without_a_turn(errand)
        except DomainError:
            self._turns.tell()
            raise
        return await self._at_last(errand, first) if outcome is None else outcome

    async def _carry_out(self, errand: Errand, outlook: Outlook | None, turn: Turn) -> Outcome | None:
        """Look, unless there is a fresh outlook, and start flows until one does it; None when the time is over."""
        while (deadline := turn.deadline()) > self._loop.time():
            with suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    outlook = outlook or (await self._look(errand, deadline - self._loop.time(), is_first=True)).outlook
                    if outlook.answer is not None:
                        return outlook.answer
                    result = await self._attempt(errand, outlook, deadline)
                    if result is not None:
                        return Outcome(result.answer, is_replay=result.is_replay)
            outlook = None
        return None

    async def _look(self, errand: Errand, seconds: float, *, is_first: bool = False) -> Seen:
        """What there is to see, and when the look began, which may be long after it was asked for; a refusal is raised."""
        seen = None if errand.glance is None else await self._looks.look(errand.glance, is_first=is_first)
        if seen is None or seen.outlook.is_due:
            seen = await self._look_alone(errand, seconds)
        if seen.outlook.refusal is not None:
            raise seen.outlook.refusal
        return seen

    async def _look_alone(self, errand: Errand, seconds: float) -> Seen:
        began: list[float] = []

        def look(session: Session) -> Outlook:
            began.append(self._loop.time())
            return errand.look(session, max(1, int(1000 * seconds)))

        return Seen(await self._transact(look), began[0])

    async def _attempt(self, errand: Errand, outlook: Outlook, deadline: float) -> RedemptionResult | None:
        """One start of the flow; its refusal is raised.

        None when another one was under way, which has ended now, or when it came to nothing: then it is looked at again.
        """
        # By the database's clock, from a moment before this one: never later than the deadline.
        valid_until = outlook.now + timedelta(seconds=deadline - self._loop.time())
        try:
            client = await self.client()
            told = self._told[errand.id] = self._loop.create_future()
            try:
                handle = await errand.start(client, outlook, valid_until)
            except WorkflowAlreadyStartedError:
                with suppress(WorkflowFailureError):
                    await client.get_workflow_handle(errand.workflow_id).result()
                self._turns.got_on()
                return None
            return self._got_on(await _first(told, handle))
        except (WorkflowFailureError, RPCError, RuntimeError) as error:
            refusal = _refusal(error)
            if refusal is not None:
                self._turns.got_on()
                raise refusal from None
            # It may have been started, or done, all the same: the next look, or the last one, tells.
            log.warning("redemption_not_done", workflow=errand.workflow_id, error=str(error))
            await asyncio.sleep(RESTART_SECONDS)
            return None
        finally:
            self._told.pop(errand.id, None)

    def _got_on(self, result: RedemptionResult) -> RedemptionResult:
        self._turns.got_on()
        return result

    async def _at_last(self, errand: Errand, first: Outlook) -> Outcome:
        """Its time is over, and so is that of its flows: it was done, or it won't be."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_LOOK_SECONDS):
                outlook = await self._transact(lambda session: errand.last_look(session, first))
                if outlook.answer is not None:
                    return outlook.answer
                await self._look(errand, LAST_LOOK_SECONDS, is_first=True)
        raise ServiceUnavailable

    async def _without_a_turn(self, errand: Errand) -> Outcome:
        """Its time is over before it began: still, what needs no flow is answered."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_LOOK_SECONDS):
                outlook, _ = await self._look(errand, LAST_LOOK_SECONDS, is_first=True)
                if outlook.answer is not None:
                    return outlook.answer
        raise ServiceUnavailable

    async def _transact(self, work: Look) -> Outlook:
        return await to_thread.run_sync(partial(transact, self._database, work), abandon_on_cancel=True)


async def _first(told: asyncio.Future[RedemptionResult], handle: Handle) -> RedemptionResult:
    """The result, from the worker of this process or from Temporal. WorkflowFailureError, RPCError."""
    await asyncio.wait({told}, timeout=SILENCE_SECONDS)
    if told.done():
        return told.result()
    result = asyncio.ensure_future(handle.result())
    try:
        done, _ = await asyncio.wait({told, result}, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        result.cancel()


def _refusal(failure: Exception) -> DomainError | None:
    """The refusal that a flow failed with; None when it didn't end by itself, or too late."""
    error: BaseException | None = failure.cause if isinstance(failure, WorkflowFailureError) else None
    while isinstance(error, FailureError) and not isinstance(error, ApplicationError):
        error = error.cause
    if not isinstance(error, ApplicationError) or error.type in (None, ServiceUnavailable.code):
        return None
    return refusal_of(str(error.type), error.message, error.details[0] if error.details else {})
