"""How an endpoint does: the circuit breaker, pauses it asked for, and how many attempts may be made now (webhooks.md 4)."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from domain.webhook_attempts import Delivery

FAILURES_THAT_OPEN = 10
FIRST_BREAK = timedelta(minutes=5)
LONGEST_BREAK = timedelta(hours=1)
# As many as failures open the circuit: so no attempt is made that it would have kept back.
MOST_AT_ONCE = FAILURES_THAT_OPEN

DEGRADED_BELOW = 0.9
DEGRADED_FROM_ATTEMPTS = 10


class EndpointStatus(StrEnum):
    """webhooks.md 1.1."""

    ACTIVE = "ACTIVE"
    DISABLED = "DISABLED"
    ARCHIVED = "ARCHIVED"


class BlockedReason(StrEnum):
    """Why an endpoint gets nothing at the moment; the first that applies."""

    DISABLED = "disabled"
    CIRCUIT_BROKEN = "circuit_broken"
    RATE_LIMITED = "rate_limited"


@dataclass(frozen=True, slots=True)
class Health:
    """`failures` in a row; `openings` of the circuit without a success since, the last one until `circuit_broken_until`."""

    failures: int = 0
    openings: int = 0
    circuit_broken_until: datetime | None = None
    rate_limited_until: datetime | None = None

    @property
    def is_half_open(self) -> bool:
        """Whether, at the end of the break, one delivery is tried."""
        return self.openings > 0

    def after(self, outcome: Delivery, now: datetime, paused_until: datetime | None = None) -> "Health":
        """The health after an attempt that ended `now`; a pause that the endpoint asked for doesn't count as a failure."""
        if outcome is Delivery.DELIVERED:
            return replace(self, failures=0, openings=0, circuit_broken_until=None)
        if outcome is Delivery.RATE_LIMITED:
            until = max(filter(None, (self.rate_limited_until, paused_until)), default=None)
            return replace(self, rate_limited_until=until)
        failed = replace(self, failures=self.failures + 1)
        is_broken = self.circuit_broken_until is not None and self.circuit_broken_until > now
        if failed.failures < FAILURES_THAT_OPEN or is_broken:
            return failed
        openings = self.openings + 1
        # a shift by more than this is longer than the longest break
        length = min(FIRST_BREAK * (1 << min(openings - 1, 10)), LONGEST_BREAK)
        return replace(failed, openings=openings, circuit_broken_until=now + length)

    def block(self, status: EndpointStatus, now: datetime) -> tuple[BlockedReason, datetime | None] | None:
        """Why nothing is sent to an endpoint with this status, and until when; None when something may be."""
        if status is not EndpointStatus.ACTIVE:
            return BlockedReason.DISABLED, None
        if self.circuit_broken_until is not None and self.circuit_broken_until > now:
            return BlockedReason.CIRCUIT_BROKEN, self.circuit_broken_until
        if self.rate_limited_until is not None and self.rate_limited_until > now:
            return BlockedReason.RATE_LIMITED, self.rate_limited_until
        return None

    def room(self, in_flight: int) -> int:
        """How many more attempts may begin while so many are under way, if nothing blocks the endpoint.

        If all of them fail, the circuit opens at the last one and not before.
        """
        most = 1 if self.is_half_open else max(1, FAILURES_THAT_OPEN - self.failures)
        return max(0, min(most, MOST_AT_ONCE) - in_flight)


def success_rate(succeeded: int, failed: int) -> float | None:
    """Attempts that succeeded among all, to 4 decimals; None without any."""
    total = succeeded + failed
    return None if not total else round(succeeded / total, 4)


def is_degraded(succeeded: int, failed: int, *, is_broken: bool) -> bool:
    """Whether somebody should look after the endpoint."""
    rate = success_rate(succeeded, failed)
    return is_broken or (succeeded + failed >= DEGRADED_FROM_ATTEMPTS and rate is not None and rate < DEGRADED_BELOW)
