"""When webhooks are tried again, and what answers mean (webhooks.md 4.1; redemptions-rewards.md 5.3)."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.webhook_attempts import (
    MAX_ATTEMPTS,
    Answer,
    Delivery,
    Fulfillment,
    judge_delivery,
    judge_fulfillment,
    next_attempt_at,
    paused_until,
)

NOW = datetime(2026, 3, 1, 10, 0, 0, tzinfo=UTC)
DAY = timedelta(hours=24)
SECONDS = {1: 5, 2: 300, 3: 1800, 4: 7200, 5: 18000, 6: 36000, 7: 36000}

jitters = st.floats(0, 1, exclude_max=True)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
statuses = st.integers(100, 599)
headers = st.none() | st.text(max_size=40) | st.integers(0, 10**9).map(str)
answers = st.builds(Answer, st.none() | statuses, st.none() | st.text(max_size=5), headers, st.none() | st.just("timeout"))


def limited(retry_after: str | None, status: int = 429) -> Answer:
    return Answer(status, "", retry_after)


@pytest.mark.parametrize(("failed", "seconds"), SECONDS.items())
def test_the_waits(failed: int, seconds: int) -> None:
    assert next_attempt_at(failed, NOW, 0.5) == NOW + timedelta(seconds=seconds)
    assert next_attempt_at(failed, NOW, 0.0) == NOW + timedelta(seconds=seconds) * 0.9


@given(st.integers(1, 7), moments, jitters)
def test_the_jitter_is_at_most_a_tenth_either_way(failed: int, moment: datetime, jitter: float) -> None:
    due = next_attempt_at(failed, moment, jitter)
    assert due is not None
    assert 0.9 * SECONDS[failed] <= (due - moment).total_seconds() <= 1.1 * SECONDS[failed]


@given(st.integers(1, 7), moments, jitters, jitters)
def test_the_jitter_spreads(failed: int, moment: datetime, one: float, other: float) -> None:
    first, second = next_attempt_at(failed, moment, one), next_attempt_at(failed, moment, other)
    assert first is not None
    assert second is not None
    assert (first <= second) == (one <= other) or abs(first - second) <= timedelta(microseconds=1)


@given(moments, jitters, st.none() | moments)
def test_eight_attempts_and_no_more(moment: datetime, jitter: float, pause: datetime | None) -> None:
    made, at = 1, moment
    while (due := next_attempt_at(made, at, jitter, pause)) is not None:
        assert due > at
        made, at = made + 1, due
    assert made == MAX_ATTEMPTS == 8


@given(st.integers(1, 7), moments, jitters, moments)
def test_a_pause_delays_and_never_hastens(failed: int, moment: datetime, jitter: float, pause: datetime) -> None:
    usual = next_attempt_at(failed, moment, jitter)
    assert usual is not None
    assert next_attempt_at(failed, moment, jitter, pause) == max(usual, pause)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("60", timedelta(seconds=60)),
        (" 60 ", timedelta(seconds=60)),
        ("0", timedelta(0)),
        ("0000060", timedelta(seconds=60)),
        ("86400", DAY),
        ("86401", DAY),
        ("9" * 5000, DAY),
        ("Sun, 01 Mar 2026 10:01:00 GMT", timedelta(seconds=60)),
        ("Sunday, 01-Mar-26 10:01:00 GMT", timedelta(seconds=60)),
        ("Sun Mar  1 10:01:00 2026", timedelta(seconds=60)),
        ("Sun, 01 Mar 2026 09:00:00 GMT", timedelta(0)),
        ("Thu, 01 Jan 1970 00:00:00 GMT", timedelta(0)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", DAY),
    ],
)
def test_the_receiver_asks_to_wait(header: str, wait: timedelta, status: int) -> None:
    assert paused_until(limited(header, status), NOW) == NOW + wait
    assert judge_delivery(limited(header, status), NOW) == Delivery.RATE_LIMITED
    assert judge_fulfillment(limited(header, status)) == Fulfillment.FAILED


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "-1",
        "1.5",
        "60s",
        "1e3",
        "\u0661",
        "soon",
        "Sun, 32 Mar 2026 10:00:00 GMT",
        "Sun, 01 Xyz 2026 10:00:00 GMT",
        "Sun, 01 Mar 2026 10:01:00 +0200",
        "2026-03-01T10:01:00Z",
    ],
)
def test_what_asks_for_no_wait_is_a_usual_failure(header: str | None) -> None:
    assert paused_until(limited(header), NOW) is None
    assert judge_delivery(limited(header), NOW) == Delivery.FAILED


@pytest.mark.parametrize("status", [200, 302, 400, 408, 410, 500, 502, 504])
def test_other_statuses_can_not_ask_to_wait(status: int) -> None:
    assert paused_until(limited("60", status), NOW) is None


@given(st.datetimes(datetime(1900, 1, 1), datetime(9999, 12, 31)), moments)
def test_dates_count_between_now_and_a_day_later(asked: datetime, now: datetime) -> None:
    date = asked.replace(microsecond=0, tzinfo=UTC)
    assert paused_until(limited(format_datetime(date, usegmt=True)), now) == min(max(date, now), now + DAY)


@given(answers, moments)
def test_no_answer_is_without_a_meaning(answer: Answer, now: datetime) -> None:
    pause = paused_until(answer, now)
    assert pause is None or now <= pause <= now + DAY
    delivery, fulfillment = judge_delivery(answer, now), judge_fulfillment(answer)
    assert (delivery == Delivery.RATE_LIMITED) == (pause is not None)
    assert (delivery == Delivery.DELIVERED) == (fulfillment in (Fulfillment.FULFILLED, Fulfillment.TAKEN_OVER))
    if answer.error is not None or answer.status is None:
        assert (delivery, fulfillment) == (Delivery.FAILED, Fulfillment.FAILED)


@given(statuses)
def test_what_statuses_mean(status: int) -> None:
    answer = Answer(status, "")
    good = 200 <= status <= 299
    delivery = Delivery.DELIVERED if good else Delivery.GONE if status == 410 else Delivery.FAILED
    assert judge_delivery(answer, NOW) == delivery
    fulfillment = {202: Fulfillment.TAKEN_OVER, 410: Fulfillment.REFUSED, 422: Fulfillment.REFUSED}.get(
        status, Fulfillment.FULFILLED if good else Fulfillment.FAILED
    )
    assert judge_fulfillment(answer) == fulfillment
