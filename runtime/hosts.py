"""Resolving host names with a deadline, which the system's resolver doesn't have."""

import queue
import socket
import threading
from collections.abc import Callable

RESOLVE_SECONDS = 3.0
MOST_LOOKUPS = 32

Lookup = Callable[[str, int], list[str]]

_slots = threading.BoundedSemaphore(MOST_LOOKUPS)


class Unresolvable(Exception):
    """A host without an address, or whose name servers don't answer in time."""


def resolve(host: str, port: int, *, timeout_seconds: float = RESOLVE_SECONDS, lookup: Lookup | None = None) -> list[str]:
    """Every address of a host, in the resolver's order; Unresolvable. Blocks: call it on a thread, outside transactions."""
    answer: queue.SimpleQueue[list[str] | OSError | UnicodeError] = queue.SimpleQueue()
    find = lookup or _addresses

    def look() -> None:
        try:
            answer.put(find(host, port))
        except (OSError, UnicodeError) as error:
            answer.put(error)
        finally:
            _slots.release()

    # A lookup can't be stopped, only left behind; the slots bound how many there can be.
    if not _slots.acquire(timeout=timeout_seconds):
        raise Unresolvable(host)
    threading.Thread(target=look, name="resolver", daemon=True).start()
    try:
        found = answer.get(timeout=timeout_seconds)
    except queue.Empty:
        raise Unresolvable(host) from None
    if isinstance(found, Exception):
        raise Unresolvable(host) from found
    return found


def _addresses(host: str, port: int) -> list[str]:
    rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in rows))
