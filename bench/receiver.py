"""A receiver of webhooks that answers 200 at once, in a process of its own: `python -m bench.receiver PORT`."""

import asyncio
import sys
from typing import cast

import uvloop

from bench.clients import END_OF_HEAD, content_length

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Receiver(asyncio.Protocol):
    """One connection with one request."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports aren't registered as what they are
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(END_OF_HEAD)
        if found and len(body) >= content_length(head) and self._transport is not None:
            self._transport.write(ANSWER)
            self._transport.close()


async def main(port: int) -> None:
    """Receive until somebody ends this process."""
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
