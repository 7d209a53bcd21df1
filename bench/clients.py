"""The load: prepared requests over kept connections, in a process of its own that needs as little of the machine as it can.

A protocol on uvloop, because a full HTTP client would cost about as much per request as the server that is measured.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import psycopg
import uvloop

from bench.plan import Plan, Report, bodies, hold, read_plan, write

POLL_SECONDS = 0.002
PATIENCE_SECONDS = 30.0
ACCEPTED = b"HTTP/1.1 202"
LENGTH = b"content-length:"
END_OF_HEAD = b"\r\n\r\n"

# Posted is what another transaction can see: from acceptance to the moment of this query, at most a poll too late.
POSTED = """
SELECT event_id::text, extract(epoch FROM clock_timestamp() - created_at)::float8
FROM event_outcomes WHERE event_id = ANY(%s::uuid[])
"""


class Refused(Exception):
    """The API answered something else than 202, or refused an event of a batch."""


class Connection(asyncio.Protocol):
    """One kept connection with at most one request on its way."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytes] | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports aren't registered as what they are
        self._transport = cast("asyncio.Transport", transport)

    def request(self, payload: bytes) -> "asyncio.Future[bytes]":
        """Send a request; the future gets the body of the answer."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(payload)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(END_OF_HEAD)
        if not found or len(body) < content_length(head):
            return
        self._received = b""
        if self._answer is not None:
            if head.startswith(ACCEPTED):
                self._answer.set_result(body)
            else:
                self._answer.set_exception(Refused((head + b" " + body).decode()[:500]))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Refused(f"the connection was lost: {exc}"))

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


def content_length(head: bytes) -> int:
    """The length an answer's head announces."""
    _, _, rest = head.lower().partition(LENGTH)
    return int(rest.partition(b"\r\n")[0])


async def connect(plan: Plan) -> list[Connection]:
    """Open the plan's connections."""
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(Connection, plan.host, plan.port) for _ in range(plan.connections)]
    return [connection for _, connection in opened]


def requests(plan: Plan) -> list[bytes]:
    """Complete HTTP requests."""
    path = "/v1/events" if plan.per_request == 1 else "/v1/events/batch"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {plan.host}:{plan.port}\r\nAuthorization: Bearer {plan.api_key}\r\n"
        "Content-Type: application/json\r\nContent-Length: "
    )
    return [f"{head}{len(body.encode())}\r\n\r\n{body}".encode() for body in bodies(plan)]


async def flood(plan: Plan, report_file: Path) -> Report:
    """Every connection sends its next request as soon as the last one is answered."""
    prepared = requests(plan)
    connections = await connect(plan)
    feed = iter(prepared)
    answers: list[float] = []
    hold(report_file)
    began, cpu = time.monotonic(), time.process_time()
    await asyncio.gather(*(_send_all(connection, feed, answers, plan) for connection in connections))
    report = Report(began, time.monotonic(), time.process_time() - cpu, answers)
    for connection in connections:
        connection.close()
    return report


async def _send_all(connection: Connection, feed: Iterator[bytes], answers: list[float], plan: Plan) -> None:
    for payload in feed:
        started = time.monotonic()
        body = await connection.request(payload)
        answers.append(time.monotonic() - started)
        if plan.per_request > 1 and b'"error_count":0' not in body:
            raise Refused(body.decode()[:500])


async def pace(plan: Plan, report_file: Path) -> Report:
    """Send at a steady rate whatever the answers do, and watch in the database when each event is posted if that is wanted."""
    prepared = requests(plan)
    everyone = await connect(plan)
    # taken in turn: a server hangs up on connections that stay idle
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for connection in everyone:
        free.put_nowait(connection)
    answers: list[float] = []
    waiting: set[str] = set()
    posted: list[float] = []
    hold(report_file)
    began, cpu = time.monotonic(), time.process_time()
    watcher = asyncio.create_task(_watch(plan, waiting, posted)) if plan.is_watched else None
    sending = []
    for number, payload in enumerate(prepared):
        await asyncio.sleep(max(0.0, began + number / plan.rate - time.monotonic()))
        if plan.is_watched and free.empty():
            raise Refused("all connections wait for answers: the rate can't be held")
        sending.append(asyncio.create_task(_send_one(await free.get(), payload, answers, waiting, free)))
    await asyncio.gather(*sending)
    if watcher is not None:
        await asyncio.wait_for(watcher, PATIENCE_SECONDS)
    report = Report(began, time.monotonic(), time.process_time() - cpu, answers, posted)
    for connection in everyone:
        connection.close()
    return report


async def _send_one(
    connection: Connection, payload: bytes, answers: list[float], waiting: set[str], free: "asyncio.Queue[Connection]"
) -> None:
    started = time.monotonic()
    body = await connection.request(payload)
    answers.append(time.monotonic() - started)
    free.put_nowait(connection)
    waiting.add(json.loads(body)["id"])


async def _watch(plan: Plan, waiting: set[str], posted: list[float]) -> None:
    """Take events from `waiting` as their outcomes become visible."""
    connection: psycopg.AsyncConnection[tuple[Any, ...]]
    async with await psycopg.AsyncConnection.connect(plan.database_url, autocommit=True, prepare_threshold=0) as connection:
        while len(posted) < plan.events:
            if waiting:
                found = await (await connection.execute(POSTED, [list(waiting)])).fetchall()
                posted.extend(seconds for _, seconds in found)
                waiting.difference_update(event_id for event_id, _ in found)
            await asyncio.sleep(POLL_SECONDS)


def main(plan_file: Path, report_file: Path) -> None:
    """Carry out a plan."""
    plan = read_plan(plan_file)
    write(report_file, uvloop.run((pace if plan.rate else flood)(plan, report_file)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
