"""A receiver of webhooks that answers 200 at once, in a process of its own: `python -m bench.receiver PORT`.

It keeps when each message came and how old it was then; a GET is answered with all of that.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import cast

import uvloop

from bench.clients import END_OF_HEAD, content_length

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Of each message, the moment of its receipt on the machine's monotonic clock and the seconds since it was recorded."""

    at: list[float] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)


class Receiver(asyncio.Protocol):
    """One connection with one request."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._transport: asyncio.Transport | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports aren't registered as what they are
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(END_OF_HEAD)
        if not found or self._transport is None:
            return
        if head.startswith(b"GET "):
            self._transport.write(self._told())
            self._transport.close()
        elif len(body) >= content_length(head):
            self._transport.write(ANSWER)
            self._transport.close()
            self._note(body)

    def _note(self, body: bytes) -> None:
        recorded = datetime.fromisoformat(json.loads(body)["created_at"])
        self._arrivals.at.append(time.monotonic())
        self._arrivals.ages.append(time.time() - recorded.timestamp())

    def _told(self) -> bytes:
        body = json.dumps(asdict(self._arrivals)).encode()
        return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (len(body), body)


async def main(port: int) -> None:
    """Receive until somebody ends this process."""
    arrivals = Arrivals()
    server = await asyncio.get_running_loop().create_server(lambda: Receiver(arrivals), "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
