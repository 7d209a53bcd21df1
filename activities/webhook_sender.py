"""What sending to endpoints takes: threads, a database, and the turns in which deliveries are claimed and answers marked."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar
from uuid import UUID

from sqlmodel import Session

from activities.webhook_post import Post
from activities.webhook_room import ATTEMPTS_AT_ONCE, Room
from db.session import Database
from domain.webhook_attempts import Answer
from runtime.metrics import WEBHOOK_ATTEMPTS
from runtime.settings import Settings, SettingsError
from services import webhook_sending as sending
from services.transactions import transact
from services.webhook_sending import Claimed, Result, Turn
from workflows.contracts_webhooks import RetryInput

CONNECTIONS = 4

T = TypeVar("T")
Told = Callable[[Sequence[RetryInput]], None]


@dataclass(frozen=True, slots=True)
class Sender:
    """What sending takes: posts on `callers`, transactions on `clerks`; `told` hears which deliveries failed."""

    database: Database
    post: Post
    callers: ThreadPoolExecutor
    clerks: ThreadPoolExecutor
    told: Told = lambda _: None
    room: Room = field(default_factory=lambda: Room(ATTEMPTS_AT_ONCE))

    async def attempt(self, retry: RetryInput) -> Turn:
        """Make one delivery's attempt, if it is due and may be made."""
        endpoint_id = retry.endpoint_id
        turn = await self.turn(endpoint_id, (), 1, retry.delivery_id)
        if not turn.claimed or turn.secrets is None:
            return turn
        secrets = await self.unseal(endpoint_id, turn)
        taken = self.room.take(1)
        try:
            answer = await self.call(turn.secrets.url, secrets, turn.claimed[0])
        finally:
            self.room.give(taken)
        return await self.turn(endpoint_id, [Result(turn.claimed[0], answer)], 0)

    async def turn(self, endpoint_id: UUID, results: Sequence[Result], room: int, only: UUID | None = None) -> Turn:
        """One transaction: mark and claim."""
        turn = await self.transact(lambda session: sending.take_turn(session, endpoint_id, results, room, only))
        for each in turn.outcomes:
            WEBHOOK_ATTEMPTS.labels(each.outcome.value).inc()
        return turn

    async def unseal(self, endpoint_id: UUID, turn: Turn) -> list[str]:
        """The secrets of a turn; when they can't be read, what it claimed is given back, and no attempt counts."""
        assert turn.secrets is not None, "what is claimed has an endpoint"
        try:
            return self.post.open(endpoint_id, turn.secrets)
        except SettingsError:
            await self.transact(lambda session: sending.give_back(session, turn.claimed))
            raise

    async def transact(self, work: Callable[[Session], T]) -> T:
        """A transaction on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.clerks, partial(transact, self.database, work))

    async def call(self, url: str, secrets: Sequence[str], claimed: Claimed) -> Answer:
        """A post on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.callers, partial(self.post, url, secrets, claimed))


@contextmanager
def open_sender(settings: Settings, told: Told = lambda _: None) -> Iterator[Sender]:
    """A sender with connections and threads of its own."""
    with (
        closing(Database(settings.require_database_url(), pool_size=CONNECTIONS).watched("deliveries")) as database,
        ThreadPoolExecutor(ATTEMPTS_AT_ONCE, "webhook") as callers,
        ThreadPoolExecutor(CONNECTIONS, "webhook-clerk") as clerks,
    ):
        yield Sender(database, Post(settings), callers, clerks, told)
