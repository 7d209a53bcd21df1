"""A worker that is killed (SIGKILL, by itself) right before or right after a commit: `before` or `after`.

The commit is the first one of a RELEASE, or, with a participant's id as second argument, of this participant's REDEMPTION.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from sqlmodel import Session

import worker
from activities.redemptions import RedemptionActivities
from activities.webhook_deliveries import open_sender
from db.session import Database, psycopg_of
from runtime.settings import Settings
from runtime.temporal import connect, ensure_search_attributes
from workflows.hosting import redemption_worker

RELEASES = "SELECT count(*) FROM journal_entries WHERE action_type = 'RELEASE'"
REDEMPTIONS = """
    SELECT count(*) FROM journal_entries e JOIN postings p ON p.entry_id = e.id
    WHERE e.action_type = 'REDEMPTION' AND p.entity_id = %s"""


class Dying(Database):
    """Dies at the first transaction that sees what it waits for."""

    moment = "before"
    participant: str | None = None

    @contextmanager
    def session(self) -> Iterator[Session]:
        with super().session() as session:
            yield session
            query, values = RELEASES, None
            if self.participant is not None:
                query, values = REDEMPTIONS, [self.participant]
            [(seen,)] = psycopg_of(session).execute(query, values)
            if seen and self.moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)
        if seen:
            os.kill(os.getpid(), signal.SIGKILL)


async def main(moment: str, participant: str | None = None) -> None:
    settings = Settings(database_pool_size=4)
    database = Dying(settings.require_database_url(), pool_size=4)
    database.moment = moment
    database.participant = participant
    client = await connect(settings)
    await ensure_search_attributes(client)
    with ThreadPoolExecutor(4) as executor:
        if participant is None:
            with open_sender(settings) as sender:
                await worker.build_worker(client, database, settings, 8, executor, sender).run()
        async with redemption_worker(client, RedemptionActivities(database).all, executor):
            print("working", flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
