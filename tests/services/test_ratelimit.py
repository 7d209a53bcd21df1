"""The token bucket: exact in one process, shared by leases between several (conventions.md, Rate limits)."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.session import Database
from services.ratelimit import RateLimiter, Verdict
from services.transactions import transact

TENANT = UUID(int=1)


class Row:
    """The shared row, with a clock of the test's own."""

    def __init__(self, rate: float, burst: int) -> None:
        self.rate, self.burst = rate, burst
        self.tokens, self.at = float(burst), 0.0

    def lease(self, lump: int, now: float, most_left: float) -> tuple[float, float]:
        available = min(self.burst, most_left, self.tokens + self.rate * (now - self.at))
        granted = min(lump, max(0.0, available))
        self.tokens, self.at = available - granted, now
        return granted, self.tokens


def take(limiter: RateLimiter, row: Row, now: float) -> Verdict:
    verdict = limiter.take(TENANT, now)
    if verdict is None:
        limiter.feed(TENANT, *row.lease(limiter.lump, now, limiter.most_left(TENANT, now)), now)
        verdict = limiter.take(TENANT, now)
    assert verdict is not None
    return verdict


@settings(max_examples=200, deadline=None)
@given(
    rate=st.sampled_from([0.5, 1, 10, 1000]),
    burst=st.sampled_from([1, 5, 30, 100, 3000]),
    pauses=st.lists(st.sampled_from([0, 0, 0, 0.0001, 0.01, 0.3, 1, 40]), max_size=200),
)
def test_one_process_is_exact(rate: float, burst: int, pauses: list[float]) -> None:
    limiter, row = RateLimiter(rate, burst), Row(rate, burst)
    exact, now = float(burst), 0.0
    for pause in pauses:
        now += pause
        exact = min(burst, exact + rate * pause)
        if abs(exact - round(exact)) < 1e-6 and exact < 2:
            continue  # on the edge, floating point may fall either way
        verdict = take(limiter, row, now)
        assert verdict.is_allowed == (exact >= 1)
        exact -= verdict.is_allowed
        assert abs(verdict.remaining - exact) <= 1
        assert verdict.full_in == pytest.approx((burst - exact) / rate, abs=1e-3 + 1e-6 * burst / rate)
        assert verdict.retry_after <= 1 / rate


def test_two_processes_never_give_more_than_the_bucket() -> None:
    one, two, row = RateLimiter(10, 100), RateLimiter(10, 100), Row(10, 100)
    allowed = sum(take(limiter, row, 0.0).is_allowed for _ in range(100) for limiter in (one, two))
    assert allowed == 100


def test_an_idle_process_keeps_its_lease() -> None:
    limiter, row = RateLimiter(1000, 3000), Row(1000, 3000)
    take(limiter, row, 0.0)
    assert all(limiter.take(TENANT, 10.0 + second) is not None for second in range(149))
    assert limiter.take(TENANT, 200.0) is None
    assert limiter.most_left(TENANT, 200.0) == 3000


def test_a_refusal_asks_the_row_once_per_token() -> None:
    limiter, row = RateLimiter(1, 2), Row(1, 2)
    for _ in range(3):
        verdict = take(limiter, row, 0.0)
    assert (verdict.is_allowed, verdict.retry_after) == (False, 1.0)
    assert limiter.take(TENANT, 0.5) is not None
    assert limiter.take(TENANT, 1.01) is None


def test_leases_come_from_the_row(database: Database) -> None:
    tenant = uuid4()
    limiter = RateLimiter(0.001, 100)
    leases = [transact(database, lambda session: limiter.lease(session, tenant, 100)) for _ in range(25)]
    assert sum(granted for granted, _ in leases) == pytest.approx(100, abs=0.1)
    assert leases[0] == (5, 95)
    assert leases[-1][0] < 1
