"""Identifiers: UUIDv7 for what the server makes, in creation order within a process."""

import os
import threading
import time
from uuid import UUID

NIL = UUID(int=0)

_lock = threading.Lock()
_last = 0


def new_id() -> UUID:
    """A UUIDv7: milliseconds, 12 bits of the fraction, 62 random bits; strictly rising within this process."""
    global _last  # noqa: PLW0603 - one clock hand per process
    # 2**12 steps per millisecond, the resolution that UUIDv7's rand_a can carry
    tick = time.time_ns() * 4096 // 1_000_000
    with _lock:
        _last = tick = max(tick, _last + 1)
    millis, fraction = divmod(tick, 4096)
    random = int.from_bytes(os.urandom(8), "big") & ((1 << 62) - 1)
    return UUID(int=(millis << 80) | (0x7 << 76) | (fraction << 64) | (0b10 << 62) | random)
