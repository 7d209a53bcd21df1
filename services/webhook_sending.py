"""Sending to an endpoint (webhooks.md 4): claim what may be sent now, and mark what came of it, in one transaction.

The posts themselves happen between two such turns, outside of any transaction. An attempt is counted when it is marked: what
dies in between is made again, with the same ids and bytes.
"""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlmodel import Session

from db.repositories import webhook_claims as claims
from db.repositories import webhook_endpoints as endpoints
from db.repositories import webhook_sending as rows
from db.repositories.ledger_terms import database_now
from db.repositories.webhook_claims import Claimed, DeliveryKey, Queue, Waiting
from db.repositories.webhook_endpoints import Present, SealedSecrets
from db.repositories.webhook_sending import EndpointKey, Marked, RetryKey
from db.session import Connection, psycopg_of
from domain.webhook_attempts import Answer, Delivery, judge_delivery, next_attempt_at, paused_until
from domain.webhook_health import MOST_AT_ONCE, BlockedReason, EndpointStatus, Health

__all__ = ["Claimed", "EndpointKey", "Result", "RetryKey", "SealedSecrets", "Turn", "due_endpoints", "take_turn"]

# Resolving the host, connecting and waiting for the answer take 18 seconds at most.
CLAIM_SECONDS = 20.0
# Deliveries looked at for those whose entity isn't busy.
LOOK_AHEAD = 100
TESTS_AT_ONCE = 2
# One in so many attempts at once may be a further one while first ones wait.
KEPT_FOR_FURTHER = 5
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
    send as much as may be at once; `is_behind` when something could be sent now but for want of room.
    """

    status: EndpointStatus
    claimed: Sequence[Claimed] = ()
    secrets: SealedSecrets | None = field(default=None, repr=False)
    outcomes: Sequence[Outcome] = ()
    blocked: BlockedReason | None = None
    blocked_seconds: float | None = None
    is_held_up: bool = False
    is_behind: bool = False
    more: bool = False
    given_up: int = 0


def take_turn(
    session: Session, endpoint_id: UUID, results: Sequence[Result], room: int = MOST_AT_ONCE, only: UUID | None = None
) -> Turn:
    """Mark results, and claim up to `room` deliveries of the endpoint, or none but the one with the id `only`."""
    conn = psycopg_of(session)
    health = endpoints.lock_health(conn, endpoint_id)
    present = endpoints.present(conn, endpoint_id)
    if present is None:
        return Turn(EndpointStatus.ARCHIVED)
    secrets = present.secrets
    outcomes: list[Outcome] = []
    if results:
        outcomes, health = _mark(conn, endpoint_id, health, results, present)
        if secrets.status is EndpointStatus.ACTIVE and any(each.outcome is Delivery.GONE for each in outcomes):
            secrets = replace(secrets, status=EndpointStatus.DISABLED)
    if secrets.status is EndpointStatus.ARCHIVED:
        claims.release_expired(conn, endpoint_id)
        given_up = rows.fail_pending(conn, endpoint_id, ARCHIVED_ERROR, ARCHIVED_A_TURN)
        return Turn(secrets.status, outcomes=outcomes, given_up=given_up, more=given_up == ARCHIVED_A_TURN)
    block = health.block(secrets.status, present.now)
    queue = _look(conn, endpoint_id, 0 if block or only else min(room, health.room(0)), tests=bool(room) and only is None)
    may = 0 if block else min(room, health.room(queue.flights))
    if only is not None:
        wanted = _one(conn, only) if may else []
    else:
        # who tries an endpoint wants to know now, whatever the others wait for
        tests = queue.tests if secrets.status is EndpointStatus.ACTIVE else []
        wanted = tests + _choose(queue, tests, may - len(tests))
    reason, until = block or (None, None)
    return Turn(
        secrets.status,
        claims.claim(conn, [each.key for each in wanted], CLAIM_SECONDS) if wanted else [],
        secrets,
        outcomes,
        reason,
        None if until is None else (until - present.now).total_seconds(),
        is_held_up=bool(room and not block and not may),
        is_behind=queue.waiting + len(queue.again) > len(wanted),
    )


def _look(conn: Connection, endpoint_id: UUID, room: int, *, tests: bool) -> Queue:
    asked = {"tests": TESTS_AT_ONCE if tests else 0, "room": room, "ahead": LOOK_AHEAD}
    queue = claims.look(conn, endpoint_id, **asked)
    if queue.has_expired:
        claims.release_expired(conn, endpoint_id)
        queue = claims.look(conn, endpoint_id, **asked)
    return queue


def _choose(queue: Queue, tests: Sequence[Waiting], room: int) -> list[Waiting]:
    """First attempts, one of each entity, so that an entity's are made in order, and further ones that are due.

    Those have a share of the room to themselves, however many first attempts there are, and what these leave.
    """
    busy = {each.entity_id for each in tests}
    first = [each for each in queue.first if each.entity_id not in busy]
    kept = max(0, (queue.flights + room) // KEPT_FOR_FURTHER - queue.again_flights)
    again = queue.again[: max(0, min(kept, room), room - len(first))]
    return again + first[: max(0, room - len(again))]


def _one(conn: Connection, delivery_id: UUID) -> list[Waiting]:
    found: Any = rows.find_waiting(conn, delivery_id)
    if found is None or found[4] != "PENDING" or found[8] > 0:
        return []
    return [Waiting(DeliveryKey(found[0], found[1]), found[2], found[5])]


def _mark(
    conn: Connection, endpoint_id: UUID, health: Health, results: Sequence[Result], present: Present
) -> tuple[list[Outcome], Health]:
    marked = [_marked(result, present) for result in results]
    counted = rows.mark(conn, marked, present.now)
    outcomes: list[Outcome] = []
    after = health
    for result, each in zip(results, marked, strict=True):
        if result.claimed.key.id in counted:
            outcome = judge_delivery(result.answer, present.real)
            after = after.after(outcome, present.now, _paused(result.answer, present))
            outcomes.append(Outcome(result.claimed, each.status, outcome))
    if outcomes:
        succeeded = sum(each.outcome is Delivery.DELIVERED for each in outcomes)
        endpoints.count_attempts(conn, endpoint_id, after, succeeded, len(outcomes) - succeeded, present.now)
    if any(each.outcome is Delivery.GONE for each in outcomes):
        endpoints.disable(conn, endpoint_id, present.now)
    return outcomes, after


def _marked(result: Result, present: Present) -> Marked:
    """What an answer makes of its delivery."""
    claimed, answer = result.claimed, result.answer
    outcome = judge_delivery(answer, present.real)
    status, again, error = "FAILED", None, answer.error
    if outcome is Delivery.DELIVERED:
        status = "DELIVERED"
    elif present.secrets.status is EndpointStatus.ARCHIVED:
        error = ARCHIVED_ERROR
    elif outcome is not Delivery.GONE:
        attempts = claimed.attempt_count + 1
        if attempts < claimed.max_attempts:
            jitter = random.random()  # noqa: S311 - spreads attempts
            again = next_attempt_at(attempts, present.now, jitter, _paused(answer, present))
            status = "FAILED" if again is None else "PENDING"
    return Marked(claimed, status, again, answer.status, answer.body, error)


def _paused(answer: Answer, present: Present) -> datetime | None:
    """Until when the endpoint asks to wait, by the product's clock; dates of a Retry-After are those of the real one."""
    paused = paused_until(answer, present.real)
    return None if paused is None else present.now + (paused - present.real)


def give_back(session: Session, claimed: Sequence[Claimed]) -> None:
    """Claimed deliveries couldn't be sent, for a reason of ours: no attempt counts."""
    claims.give_back(psycopg_of(session), claimed)


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
    now = database_now(conn)
    return rows.retries_between(conn, now, now + horizon, limit)


def forget_hours(session: Session) -> None:
    """Drop counts of attempts that no statistics show any more."""
    endpoints.forget_hours(psycopg_of(session), HOURS_KEPT)
