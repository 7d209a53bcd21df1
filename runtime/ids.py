"""Identifiers: UUIDv7 for what the server makes, in creation order within a process."""

import os
import threading
import time
from uuid import UUID

NIL = UUID(int=0)

_POOL_BYTES = 4096
_RANDOM_BYTES = 8
_RANDOM_MASK = (1 << 62) - 1
_VERSION_AND_VARIANT = (0x7 << 76) | (0b10 << 62)


class _Source:
    """One process's clock hand and its store of random bytes: the operating system is asked for many at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self._pool = b""
        self._used = 0

    def next(self) -> int:
        # 2**12 steps per millisecond, the resolution that UUIDv7's rand_a can carry
        tick = time.time_ns() * 4096 // 1_000_000
        with self._lock:
            self._last = tick = max(tick, self._last + 1)
            if self._used == len(self._pool):
                self._pool, self._used = os.urandom(_POOL_BYTES), 0
            end = self._used + _RANDOM_BYTES
            random = int.from_bytes(self._pool[self._used : end], "big") & _RANDOM_MASK
            self._used = end
        millis, fraction = divmod(tick, 4096)
        return (millis << 80) | (fraction << 64) | _VERSION_AND_VARIANT | random


_source = _Source()


def new_id() -> UUID:
    """A UUIDv7: milliseconds, 12 bits of the fraction, 62 random bits; strictly rising within this process."""
    return UUID(int=_source.next())
