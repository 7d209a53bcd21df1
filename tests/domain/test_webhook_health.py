"""The circuit breaker and pauses of endpoints."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.webhook_attempts import Delivery
from domain.webhook_health import (
    FAILURES_THAT_OPEN,
    FIRST_BREAK,
    LONGEST_BREAK,
    BlockedReason,
    EndpointStatus,
    Health,
    is_degraded,
    success_rate,
)

NOW = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
ACTIVE = EndpointStatus.ACTIVE


def failed(times: int, health: Health = Health(), now: datetime = NOW) -> Health:  # noqa: B008 - it is immutable
    for _ in range(times):
        health = health.after(Delivery.FAILED, now)
    return health


def test_ten_failures_in_a_row_open_the_circuit() -> None:
    assert failed(9).block(ACTIVE, NOW) is None
    assert failed(10).block(ACTIVE, NOW) == (BlockedReason.CIRCUIT_BROKEN, NOW + timedelta(minutes=5))
    interrupted = failed(9, failed(9).after(Delivery.DELIVERED, NOW))
    assert interrupted.block(ACTIVE, NOW) is None


def test_one_delivery_is_tried_at_the_end_of_the_break() -> None:
    broken, later = failed(10), NOW + FIRST_BREAK
    assert broken.block(ACTIVE, later) is None
    assert (broken.room(0), broken.room(1)) == (1, 0)
    assert broken.after(Delivery.DELIVERED, later) == Health()


def test_each_break_is_twice_as_long_up_to_an_hour() -> None:
    health, now, lengths = failed(10), NOW, []
    for _ in range(6):
        assert health.circuit_broken_until is not None
        lengths.append(health.circuit_broken_until - now)
        now = health.circuit_broken_until
        health = health.after(Delivery.FAILED, now)
    assert lengths == [timedelta(minutes=minutes) for minutes in (5, 10, 20, 40, 60, 60)]


def test_a_pause_is_no_failure() -> None:
    until = NOW + timedelta(seconds=60)
    health = failed(9).after(Delivery.RATE_LIMITED, NOW, until)
    assert health.block(ACTIVE, NOW) == (BlockedReason.RATE_LIMITED, until)
    assert health.after(Delivery.RATE_LIMITED, NOW, NOW + timedelta(seconds=5)).rate_limited_until == until
    assert health.block(ACTIVE, until) is None
    # in the trial at the end of a break it decides nothing
    trial = failed(10).after(Delivery.RATE_LIMITED, NOW + FIRST_BREAK, NOW + FIRST_BREAK + timedelta(seconds=60))
    assert (trial.openings, trial.room(0)) == (1, 1)


def test_the_first_reason_that_applies() -> None:
    both = failed(10).after(Delivery.RATE_LIMITED, NOW, NOW + timedelta(hours=2))
    assert both.block(EndpointStatus.DISABLED, NOW) == (BlockedReason.DISABLED, None)
    assert both.block(ACTIVE, NOW) == (BlockedReason.CIRCUIT_BROKEN, NOW + FIRST_BREAK)


@given(st.lists(st.sampled_from([Delivery.DELIVERED, Delivery.FAILED]), max_size=60), st.integers(0, 12))
def test_what_is_under_way_never_goes_past_the_opening(outcomes: list[Delivery], in_flight: int) -> None:
    health, now = Health(), NOW
    for outcome in outcomes:
        if health.circuit_broken_until is not None and health.circuit_broken_until > now:
            now = health.circuit_broken_until
        health = health.after(outcome, now)
        assert health.circuit_broken_until is None or health.circuit_broken_until - now <= LONGEST_BREAK
    room = health.room(in_flight)
    assert room >= 0
    if not health.is_half_open and room:
        assert health.failures + in_flight + room <= FAILURES_THAT_OPEN


@pytest.mark.parametrize(
    ("succeeded", "failures", "rate", "degraded"),
    [(0, 0, None, False), (8, 1, 0.8889, False), (9, 1, 0.9, False), (8, 2, 0.8, True), (2, 1, 0.6667, False)],
)
def test_statistics(succeeded: int, failures: int, rate: float | None, degraded: bool) -> None:
    assert success_rate(succeeded, failures) == rate
    assert is_degraded(succeeded, failures, is_broken=False) is degraded
    assert is_degraded(succeeded, failures, is_broken=True)
