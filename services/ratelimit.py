"""One token bucket per organization: kept in memory, fed by leases from the shared row (conventions.md, Rate limits)."""

from dataclasses import dataclass
from uuid import UUID

from sqlmodel import Session

from db.repositories import organizations as repository

LUMPS_PER_BURST = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request may go on, and what the bucket looks like after it; times in seconds from now."""

    is_allowed: bool
    remaining: int
    full_in: float
    retry_after: float


@dataclass(slots=True)
class _Bucket:
    """`local` tokens are leased to this process; `row` are those in the shared row, as far as it knows, at `at`."""

    local: float
    row: float
    at: float
    empty_until: float = 0.0


class RateLimiter:
    """The buckets of one process. Times are any steadily rising seconds, the same for every call.

    Tokens in memory and in the row together never exceed the burst, as far as this process knows; so with one process
    the bucket is exact.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self.rate = rate
        self.burst = burst
        self.lump = max(1, burst // LUMPS_PER_BURST)
        self._buckets: dict[UUID, _Bucket] = {}

    def take(self, organization_id: UUID, now: float) -> Verdict | None:
        """Take one token; None when a lease is needed first."""
        bucket = self._buckets.get(organization_id)
        if bucket is None:
            return None
        self._refill(bucket, now)
        if bucket.local >= 1:
            bucket.local -= 1
            return self._verdict(bucket, is_allowed=True)
        return self._verdict(bucket, is_allowed=False) if now < bucket.empty_until else None

    def look(self, organization_id: UUID, now: float) -> Verdict:
        """What the bucket looks like, nothing taken."""
        bucket = self._buckets.get(organization_id) or _Bucket(0, self.burst, now)
        self._refill(bucket, now)
        return self._verdict(bucket, is_allowed=True)

    def most_left(self, organization_id: UUID, now: float) -> float:
        """The most that can be in the shared row now: what was leased and not yet taken counts against the burst."""
        bucket = self._buckets.get(organization_id)
        if bucket is None:
            return self.burst
        self._refill(bucket, now)
        return bucket.row

    def lease(self, session: Session, organization_id: UUID, most_left: float) -> tuple[float, float]:
        """Take a lump from the shared row: how much was granted, and what is left there. Hand both to `feed`."""
        return repository.lease_tokens(session, organization_id, self.rate, self.burst, self.lump, most_left)

    def feed(self, organization_id: UUID, granted: float, left: float, now: float) -> None:
        """Put a lease into the bucket; after it `take` always gives a verdict."""
        bucket = self._buckets.setdefault(organization_id, _Bucket(0, left, now))
        bucket.local += granted
        bucket.row, bucket.at = left, now
        if bucket.local < 1:
            bucket.empty_until = now + max(1e-3, (1 - bucket.local - left) / self.rate)

    def _refill(self, bucket: _Bucket, now: float) -> None:
        bucket.row = min(self.burst - bucket.local, bucket.row + self.rate * (now - bucket.at))
        bucket.at = now

    def _verdict(self, bucket: _Bucket, *, is_allowed: bool) -> Verdict:
        total = max(0.0, bucket.local + bucket.row)
        return Verdict(is_allowed, int(total), (self.burst - total) / self.rate, max(0.0, (1 - total) / self.rate))
