"""A request, what earlier answers have told, and what makes the one of the other."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from chaos.plan import Intent
from chaos.world import World

T = TypeVar("T")
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent; `key_kind` names the kind of its idempotency key, None where there is no key."""

    kind: str
    key: str
    method: str
    path: str
    body: Body | None = None
    key_kind: str | None = None
    program: str = ""


@dataclass
class Memory:
    """What earlier answers have told, for operations that build on them; shared by all clients."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    redemptions: list[tuple[str, str]] = field(default_factory=list)
    parcels: list[str] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)
    sent: list[Body] = field(default_factory=list)
    failed_deliveries: list[str] = field(default_factory=list)

    def choose(self, known: Sequence[T], pick: float) -> T | None:
        """One of what is known, or None."""
        with self.lock:
            return known[int(pick * len(known))] if known else None


Builder = Callable[[Intent, World, Memory], Request | None]
