"""A TCP proxy in front of a server, whose connections can be cut, refused or left without a byte."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

HOST = "127.0.0.1"
CHUNK = 65_536
STOP_SECONDS = 5.0


class Proxy:
    """Carries connections from a free loopback port to `port`, on a thread of its own."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_refusing = False
        self._flows: asyncio.Event | None = None
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._open())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(TimeoutError):
            self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()

    def cut(self) -> None:
        """Cut every connection, and refuse new ones until `heal`."""
        self._is_refusing = True
        self._loop.call_soon_threadsafe(self._cut)

    def mute(self) -> None:
        """Carry nothing, in no direction, until `heal`; connections stay."""
        self._loop.call_soon_threadsafe(self._set_flowing, False)

    def heal(self) -> None:
        """Carry everything again."""
        self._is_refusing = False
        self._loop.call_soon_threadsafe(self._set_flowing, True)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(STOP_SECONDS)

    async def _open(self) -> None:
        self._flows = asyncio.Event()
        self._flows.set()
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        self._cut()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _set_flowing(self, flowing: bool) -> None:  # noqa: FBT001 - the loop passes it by position
        assert self._flows is not None
        if flowing:
            self._flows.set()
        else:
            self._flows.clear()

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_refusing:
            writer.transport.abort()
            return
        try:
            target_reader, target_writer = await asyncio.open_connection(HOST, self._target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, target_writer}
        self._writers |= both
        try:
            # one side reset ends both
            with contextlib.suppress(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._carry(reader, target_writer))
                    group.create_task(self._carry(target_reader, writer))
        finally:
            self._writers -= both
            for each in both:
                each.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._flows is not None
        while data := await reader.read(CHUNK):
            await self._flows.wait()
            writer.write(data)
            await writer.drain()
        # the other side may still have something to say
        writer.write_eof()
