"""How many threads of a worker an endpoint may use: slow ones leave some to the others, so that they delay only themselves."""

from threading import Lock

# Threads of a worker for attempts.
ATTEMPTS_AT_ONCE = 512
# An attempt that takes longer makes its endpoint slow, one that is answered sooner makes it quick again.
SLOW_SECONDS = 1.0
SLOW_AT_ONCE = 1


class Room:
    """So many threads for attempts. Half of them are anybody's; of the other half an endpoint that isn't quick gets one."""

    def __init__(self, threads: int) -> None:
        self._free_for_all = threads // 2
        self._taken = 0
        self._lock = Lock()

    def take(self, wanted: int, held: int = 0, *, is_quick: bool = False) -> int:
        """Take up to `wanted` threads for an endpoint that has `held` already; returns how many, each to be given back."""
        # moments of the test clock are sent from a loop of their own
        with self._lock:
            left = wanted if is_quick else max(self._free_for_all - self._taken, SLOW_AT_ONCE - held, 0)
            count = min(wanted, left)
            self._taken += count
        return count

    def give(self, count: int = 1) -> None:
        """Give threads back."""
        with self._lock:
            self._taken -= count
