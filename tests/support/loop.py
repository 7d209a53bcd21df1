"""An event loop in a thread of its own, for clients and workers that tests without a loop use."""

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")


class LoopThread:
    """Runs coroutines from any thread; a `with` block ends the loop with all that still runs on it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="test-loop")
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], timeout_seconds: float = 60.0) -> T:
        """Run a coroutine to its end and give its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_seconds)

    def close(self) -> None:
        """Cancel what is left and end the thread."""
        self.run(self._cancel_rest())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()

    async def _cancel_rest(self) -> None:
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await asyncio.get_running_loop().shutdown_default_executor()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
