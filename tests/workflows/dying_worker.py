"""A worker that is killed (SIGKILL, by itself) right before or right after a commit: `before` or `after`; or when it has `asked`.

`asked`: it serves webhooks, has the answer of the first one, and hasn't counted the attempt. Otherwise the commit is the first
one of a RELEASE, or, with a participant's id as second argument, of this participant's REDEMPTION, or of the action that the
third argument names.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NoReturn

from sqlmodel import Session
from temporalio.client import Client

import worker
from activities.redemptions import RedemptionActivities
from activities.webhook_sender import open_sender
from db.session import Database, psycopg_of
from runtime.settings import Settings
from runtime.temporal import connect, ensure_search_attributes
from services import fulfillment_attempts
from workflows.hosting import redemption_worker

RELEASES = "SELECT count(*) FROM journal_entries WHERE action_type = 'RELEASE'"
OF_PARTICIPANT = """
    SELECT count(*) FROM journal_entries e JOIN postings p ON p.entry_id = e.id
    WHERE p.entity_id = %s AND e.action_type = %s"""

# Whoever comes after it needn't wait longer than this for its claim to end.
ASKED_CLAIM_SECONDS = 2.0


class Dying(Database):
    """Dies at the first transaction that sees what it waits for."""

    moment = "before"
    participant: str | None = None
    action = "REDEMPTION"

    @contextmanager
    def session(self) -> Iterator[Session]:
        with super().session() as session:
            yield session
            query, values = RELEASES, None
            if self.participant is not None:
                query, values = OF_PARTICIPANT, [self.participant, self.action]
            [(seen,)] = psycopg_of(session).execute(query, values)
            if seen and self.moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)
        if seen:
            os.kill(os.getpid(), signal.SIGKILL)


async def main(moment: str, participant: str | None = None, action: str = "REDEMPTION") -> None:
    settings = Settings(database_pool_size=4)
    database = Dying(settings.require_database_url(), pool_size=4)
    database.moment = moment
    database.participant = participant
    database.action = action
    client = await connect(settings)
    await ensure_search_attributes(client)
    if moment == "asked":
        await _ask(client, Database(database.url, pool_size=4), settings)
    with ThreadPoolExecutor(4) as executor:
        if participant is None:
            with open_sender(settings) as sender:
                await worker.build_worker(client, database, settings, 8, executor, sender).run()
        async with redemption_worker(client, RedemptionActivities(database).all, executor):
            print("working", flush=True)
            await asyncio.Event().wait()


async def _ask(client: Client, database: Database, settings: Settings) -> None:
    fulfillment_attempts.CLAIM_SECONDS = ASKED_CLAIM_SECONDS
    fulfillment_attempts.finish = _die
    with ThreadPoolExecutor(worker.WEBHOOKS_AT_ONCE) as executor:
        async with worker.webhook_worker(client, database, settings, executor):
            print("working", flush=True)
            await asyncio.Event().wait()


def _die(*_: object) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
