"""Sending to an endpoint (webhooks.md 4): claim what may be sent now, and mark what came of it, in one transaction.

The posts themselves happen between two such turns, outside of any transaction. An attempt is counted when it is marked: what
dies in between is made again, with the same ids and bytes.
"""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlmodel import Session

from db.repositories import webhook_endpoints as endpoints
from db.repositories import webhook_sending as rows
from db.repositories.webhook_endpoints import SealedSecrets
from db.repositories.webhook_sending import Claimed, DeliveryKey, EndpointKey, Marked, RetryKey, Waiting
from db.session import Connection, psycopg_of
from domain.webhook_attempts import Answer, Delivery, judge_delivery, next_attempt_at, paused_until
from domain.webhook_health import MOST_AT_ONCE, BlockedReason, EndpointStatus, Health

__all__ = ["Claimed", "EndpointKey", "Result", "RetryKey", "SealedSecrets", "Turn", "due_endpoints", "take_turn"]

# Resolving the host, connecting and waiting for the answer take 18 seconds at most.
CLAIM_SECONDS = 20.0
# Deliveries looked at for those whose entity isn't busy.
LOOK_AHEAD = 100
TESTS_AT_ONCE = 2
ARCHIVED_A_TURN = 1000
ARCHIVED_ERROR = "endpoint archived"
# What statistics count, and a little.
HOURS_KEPT = timedelta(hours=48)


@dataclass(frozen=True, slots=True)
class Result:
    """A claimed delivery and its answer."""

    claimed: Claimed
    answer: Answer


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt that counts: the delivery's new status."""

    claimed: Claimed
    status: str
    outcome: Delivery


@dataclass(frozen=True, slots=True)
class Turn:
    """What is to be sent next, and why not more.

    `blocked_seconds` until the end of the block, None when only a change of the endpoint ends it; `is_held_up` while others
    send as much as may be at once.
    """

    status: EndpointStatus
    claimed: Sequence[Claimed] = ()
    secrets: SealedSecrets | None = field(default=None, repr=False)
    outcomes: Sequence[Outcome] = ()
    blocked: BlockedReason | None = None
    blocked_seconds: float | None = None
    is_held_up: bool = False
    more: bool = False
    given_up: int = 0


@dataclass(frozen=True, slots=True)
class _Moment:
    """The product's clock, and the real one."""

    now: datetime
    real: datetime


def take_turn(
    session: Session, endpoint_id: UUID, results: Sequence[Result], room: int = MOST_AT_ONCE, only: UUID | None = None
) -> Turn:
    """Mark results, and claim up to `room` deliveries of the endpoint, or none but the one with the id `only`."""
    conn = psycopg_of(session)
    health = endpoints.lock_health(conn, endpoint_id)
    moment = _moment(conn)
    outcomes: list[Outcome] = []
    if results:
        secrets = endpoints.secrets_of(conn, endpoint_id)
        is_archived = secrets is None or secrets.status is EndpointStatus.ARCHIVED
        outcomes, health = _mark(conn, endpoint_id, health, results, moment, is_archived=is_archived)
    secrets = endpoints.secrets_of(conn, endpoint_id)
    if secrets is None:
        return Turn(EndpointStatus.ARCHIVED, outcomes=outcomes)
    rows.release_expired(conn, endpoint_id)
    if secrets.status is EndpointStatus.ARCHIVED:
        given_up = rows.fail_pending(conn, endpoint_id, ARCHIVED_ERROR, ARCHIVED_A_TURN)
        return Turn(secrets.status, outcomes=outcomes, given_up=given_up, more=given_up == ARCHIVED_A_TURN)
    return _claim(conn, endpoint_id, health, secrets, outcomes, moment, room, only)


def _claim(
    conn: Connection,
    endpoint_id: UUID,
    health: Health,
    secrets: SealedSecrets,
    outcomes: Sequence[Outcome],
    moment: _Moment,
    room: int,
    only: UUID | None,
) -> Turn:
    flights = rows.in_flight(conn, endpoint_id)
    block = health.block(secrets.status, moment.now)
    may = 0 if block else min(room, health.room(len(flights)))
    wanted: list[Waiting] = []
    if room and only is None and secrets.status is EndpointStatus.ACTIVE:
        # who tries an endpoint wants to know now, whatever the others wait for
        wanted += rows.waiting_tests(conn, endpoint_id, TESTS_AT_ONCE)
    if may:
        busy = {entity for entity, attempts, _ in flights if not attempts} | {each.entity_id for each in wanted}
        wanted += _one(conn, only) if only else _choose(conn, endpoint_id, busy, may - len(wanted))
    claimed = rows.claim(conn, [each.key for each in wanted], CLAIM_SECONDS) if wanted else []
    reason, until = block or (None, None)
    return Turn(
        secrets.status,
        claimed,
        secrets,
        outcomes,
        reason,
        None if until is None else (until - moment.now).total_seconds(),
        is_held_up=bool(room and not block and not may),
    )


def _choose(conn: Connection, endpoint_id: UUID, busy: set[UUID], room: int) -> list[Waiting]:
    """First attempts, one of each entity, so that an entity's are made in order; then further ones that are due."""
    chosen: list[Waiting] = []
    if room <= 0:
        return chosen
    for each in rows.waiting_first(conn, endpoint_id, busy, LOOK_AHEAD):
        if len(chosen) < room and each.entity_id not in busy:
            busy.add(each.entity_id)
            chosen.append(each)
    if len(chosen) < room:
        chosen += rows.waiting_again(conn, endpoint_id, room - len(chosen))
    return chosen


def _one(conn: Connection, delivery_id: UUID) -> list[Waiting]:
    found: Any = rows.find_waiting(conn, delivery_id)
    if found is None or found[4] != "PENDING" or found[8] > 0:
        return []
    return [Waiting(DeliveryKey(found[0], found[1]), found[2], found[5])]


def _mark(
    conn: Connection, endpoint_id: UUID, health: Health, results: Sequence[Result], moment: _Moment, *, is_archived: bool
) -> tuple[list[Outcome], Health]:
    marked = [_marked(result, moment, is_archived=is_archived) for result in results]
    counted = rows.mark(conn, marked, moment.now)
    outcomes: list[Outcome] = []
    after = health
    for result, each in zip(results, marked, strict=True):
        if result.claimed.key.id in counted:
            outcome = judge_delivery(result.answer, moment.real)
            after = after.after(outcome, moment.now, _paused(result.answer, moment))
            outcomes.append(Outcome(result.claimed, each.status, outcome))
    if after != health:
        endpoints.save_health(conn, endpoint_id, after)
    if outcomes:
        succeeded = sum(each.outcome is Delivery.DELIVERED for each in outcomes)
        endpoints.count_attempts(conn, endpoint_id, succeeded, len(outcomes) - succeeded, moment.now)
    if any(each.outcome is Delivery.GONE for each in outcomes):
        endpoints.disable(conn, endpoint_id, moment.now)
    return outcomes, after


def _marked(result: Result, moment: _Moment, *, is_archived: bool) -> Marked:
    """What an answer makes of its delivery."""
    claimed, answer = result.claimed, result.answer
    outcome = judge_delivery(answer, moment.real)
    status, again, error = "FAILED", None, answer.error
    if outcome is Delivery.DELIVERED:
        status = "DELIVERED"
    elif is_archived:
        error = ARCHIVED_ERROR
    elif outcome is not Delivery.GONE:
        attempts = claimed.attempt_count + 1
        if attempts < claimed.max_attempts:
            jitter = random.random()  # noqa: S311 - spreads attempts
            again = next_attempt_at(attempts, moment.now, jitter, _paused(answer, moment))
            status = "FAILED" if again is None else "PENDING"
    return Marked(claimed, status, again, answer.status, answer.body, error)


def _paused(answer: Answer, moment: _Moment) -> datetime | None:
    """Until when the endpoint asks to wait, by the product's clock; dates of a Retry-After are those of the real one."""
    paused = paused_until(answer, moment.real)
    return None if paused is None else moment.now + (paused - moment.real)


def _moment(conn: Connection) -> _Moment:
    row: Any = conn.execute("SELECT openscrip_now(), clock_timestamp()", prepare=True).fetchone()
    return _Moment(*row)


def give_back(session: Session, claimed: Sequence[Claimed]) -> None:
    """Claimed deliveries couldn't be sent, for a reason of ours: no attempt counts."""
    rows.give_back(psycopg_of(session), claimed)


# ------------------------------------------------------------------ what waits


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a delivery stands; `next_in_seconds` until its next attempt is due."""

    endpoint_id: UUID
    event_type: str
    status: str
    attempt_count: int
    max_attempts: int
    next_attempt_at: datetime | None
    next_in_seconds: float | None
    last_response_status: int | None
    last_error: str | None


def standing(session: Session, delivery_id: UUID) -> Standing | None:
    """Where a delivery stands."""
    found: Any = rows.find_waiting(psycopg_of(session), delivery_id)
    if found is None:
        return None
    return Standing(found[3], found[11], *found[4:11])


def pending(session: Session, endpoint_id: UUID, limit: int) -> int:
    """How many deliveries of an endpoint are open; counting stops at `limit`."""
    return rows.pending(psycopg_of(session), endpoint_id, limit)


def due_endpoints(session: Session, limit: int, without: Collection[UUID]) -> list[EndpointKey]:
    """Endpoints that something could be sent to now, but for some."""
    return rows.due_endpoints(psycopg_of(session), timedelta(0), limit, without)


def is_anything_due(session: Session, without: Collection[UUID]) -> bool:
    """Whether something could be sent now, or is being sent, but to some endpoints."""
    return rows.is_anything_due(psycopg_of(session), without)


def retries_between(session: Session, after: datetime, until: datetime, limit: int) -> list[RetryKey]:
    """The first of those whose further attempt is due after one moment and not after another."""
    return rows.retries_between(psycopg_of(session), after, until, limit)


def retries_soon(session: Session, horizon: timedelta, limit: int) -> list[RetryKey]:
    """Those whose further attempt is due within a while from now."""
    conn = psycopg_of(session)
    now = _moment(conn).now
    return rows.retries_between(conn, now, now + horizon, limit)


def forget_hours(session: Session) -> None:
    """Drop counts of attempts that no statistics show any more."""
    endpoints.forget_hours(psycopg_of(session), HOURS_KEPT)
