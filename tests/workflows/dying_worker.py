"""A worker that is killed (SIGKILL, by itself) right before or right after the commit that writes a RELEASE: `before` or `after`."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from sqlmodel import Session

import worker
from db.session import Database, psycopg_of
from runtime.settings import Settings
from runtime.temporal import connect, ensure_search_attributes


class Dying(Database):
    """Dies at the first transaction that sees a RELEASE."""

    moment = "before"

    @contextmanager
    def session(self) -> Iterator[Session]:
        with super().session() as session:
            yield session
            [(released,)] = psycopg_of(session).execute("SELECT count(*) FROM journal_entries WHERE action_type = 'RELEASE'")
            if released and self.moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)
        if released:
            os.kill(os.getpid(), signal.SIGKILL)


async def main(moment: str) -> None:
    settings = Settings(database_pool_size=4)
    database = Dying(settings.require_database_url(), pool_size=4)
    database.moment = moment
    client = await connect(settings)
    await ensure_search_attributes(client)
    with ThreadPoolExecutor(4) as executor:
        await worker.build_worker(client, database, settings, 8, executor).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
