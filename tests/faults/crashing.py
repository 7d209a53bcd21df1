"""APIs and workers that are killed (SIGKILL, by themselves) before or after the commit that a query first sees.

A line of JSON on standard input starts one and tells its role, moment and query; without a moment it runs until it is told to
end by a line of standard input. They are forks of one process, which has imported everything.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import worker
from cli import serve
from db.session import Database, psycopg_of

MOMENTS = ("before the commit", "after the commit")
BEFORE, AFTER = MOMENTS


def die() -> None:
    """kill -9."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(moment: str, query: str) -> None:
    """Have every transaction of this process look, at its end, whether this is the one."""
    really_session, really_connection = Database.session, Database.connection

    def sees(conn: Any) -> bool:
        [(found,)] = conn.execute(query).fetchall()
        if found and moment == BEFORE:
            die()
        return bool(found)

    @contextmanager
    def session(self: Database, *arguments: Any) -> Iterator[Any]:
        with really_session(self, *arguments) as opened:
            yield opened
            seen = sees(psycopg_of(opened))
        if seen:
            die()

    @contextmanager
    def connection(self: Database, *arguments: Any) -> Iterator[Any]:
        with really_connection(self, *arguments) as opened:
            yield opened
            # a transaction that may not write, or has rolled back, has made nothing
            seen = sees(opened)
        if seen:
            die()

    Database.session = session  # type: ignore[method-assign]
    Database.connection = connection  # type: ignore[method-assign]


def run(order: dict[str, Any]) -> None:
    if order["moment"]:
        arm(order["moment"], order["query"])
    if order["role"] == "api":
        serve.run("127.0.0.1", order["port"])
    else:
        asyncio.run(worker.main())
    os._exit(0)


def main() -> None:
    """Start one process for each line, when the one before has ended."""
    print("ready", flush=True)
    while line := sys.stdin.readline():
        order = json.loads(line)
        child = os.fork()
        if not child:
            run(order)
        print("started", flush=True)
        if not order["moment"]:
            sys.stdin.readline()
            os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)
        print(-os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
