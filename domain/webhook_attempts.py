"""Attempts of a webhook: when the next one is made, and what an answer means (webhooks.md 4.1; redemptions-rewards.md 5.3)."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

WAITS = (
    timedelta(0),
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=10),
)
MAX_ATTEMPTS = len(WAITS)
JITTER = 0.1
MOST_RETRY_AFTER = timedelta(hours=24)

_SECONDS = re.compile(r"[0-9]+", re.ASCII)
# The three forms of HTTP dates (RFC 9110, 5.6.7): the parser of mail dates would take much more.
_DATE = re.compile(
    r"""
    [A-Z][a-z]{2},\ \d\d\ [A-Z][a-z]{2}\ \d{4}\ \d\d:\d\d:\d\d\ GMT
    | [A-Z][a-z]{5,8},\ \d\d-[A-Z][a-z]{2}-\d\d\ \d\d:\d\d:\d\d\ GMT
    | [A-Z][a-z]{2}\ [A-Z][a-z]{2}\ [ \d]\d\ \d\d:\d\d:\d\d\ \d{4}
    """,
    re.ASCII | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt. With `error` it failed, whatever the status: the answer didn't come whole, or not in time.

    `body` is the beginning of the answer's, as text; `retry_after` is the header as it was sent.
    """

    status: int | None = None
    body: str | None = None
    retry_after: str | None = None
    error: str | None = None


class Delivery(StrEnum):
    """What an answer means for a delivery; RATE_LIMITED is a failed attempt that holds back the whole endpoint."""

    DELIVERED = "DELIVERED"
    GONE = "GONE"
    RATE_LIMITED = "RATE_LIMITED"
    FAILED = "FAILED"


class Fulfillment(StrEnum):
    """What an answer means for a fulfilment; TAKEN_OVER means that its outcome will be reported."""

    FULFILLED = "FULFILLED"
    TAKEN_OVER = "TAKEN_OVER"
    REFUSED = "REFUSED"
    FAILED = "FAILED"


def judge_delivery(answer: Answer, now: datetime) -> Delivery:
    """What an answer received at `now` means for a delivery."""
    if _is_success(answer):
        return Delivery.DELIVERED
    if answer.error is None and answer.status == 410:
        return Delivery.GONE
    return Delivery.FAILED if paused_until(answer, now) is None else Delivery.RATE_LIMITED


def judge_fulfillment(answer: Answer) -> Fulfillment:
    """What an answer means for a fulfilment."""
    if _is_success(answer):
        return Fulfillment.TAKEN_OVER if answer.status == 202 else Fulfillment.FULFILLED
    if answer.error is None and answer.status in (410, 422):
        return Fulfillment.REFUSED
    return Fulfillment.FAILED


def _is_success(answer: Answer) -> bool:
    return answer.error is None and answer.status is not None and 200 <= answer.status < 300


def paused_until(answer: Answer, now: datetime) -> datetime | None:
    """Until when a 429 or 503 asks to wait: between `now` and 24 hours later; None when it doesn't ask."""
    if answer.error is not None or answer.status not in (429, 503) or answer.retry_after is None:
        return None
    asked = _read_retry_after(answer.retry_after.strip(), now)
    return None if asked is None else min(max(asked, now), now + MOST_RETRY_AFTER)


def _read_retry_after(text: str, now: datetime) -> datetime | None:
    if _SECONDS.fullmatch(text):
        # so many digits are no number of seconds that a date could take
        seconds = int(text) if len(text) < 8 else MOST_RETRY_AFTER.total_seconds()
        return now + min(timedelta(seconds=seconds), MOST_RETRY_AFTER)
    if not _DATE.fullmatch(text):
        return None
    try:
        return parsedate_to_datetime(text).replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def next_attempt_at(
    failed_attempts: int, failed_at: datetime, jitter: float, not_before: datetime | None = None
) -> datetime | None:
    """When the next attempt is made after so many failed ones, the last at `failed_at`; None after the eighth.

    `jitter` in [0, 1) spreads the wait by up to 10 % either way; `not_before` is what `paused_until` gave.
    """
    if failed_attempts >= MAX_ATTEMPTS:
        return None
    due = failed_at + WAITS[failed_attempts] * (1 - JITTER + 2 * JITTER * jitter)
    return due if not_before is None else max(due, not_before)
