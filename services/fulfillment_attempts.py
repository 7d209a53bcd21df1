"""Attempts of webhook fulfilments (redemptions-rewards.md 5.3): begin one, post it outside of any transaction, finish it.

An attempt is counted when it is finished, with its effect and in one transaction: what dies in between is made again, with the
same number and bytes. While it is under way it is claimed, so that nobody else makes it too.
"""

import random
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from db.repositories import fulfillment_requests as requests
from db.repositories import redemptions, rewards
from db.repositories.fulfillments import FulfillmentKey
from db.repositories.ledger_terms import database_now
from db.repositories.redemptions import RedemptionRow
from db.session import Connection, psycopg_of
from domain.messages.redemptions import EndedBy, Ending
from domain.webhook_attempts import MAX_ATTEMPTS, Answer, Fulfillment, judge_fulfillment, next_attempt_at, paused_until
from services import fulfillments
from services.redemption_views import FulfillmentStatus

__all__ = ["MAX_ATTEMPTS", "Attempt", "Fulfillment", "Made", "begin", "due_between", "due_now", "finish", "give_back"]

# Resolving the host, connecting and waiting for the answer take 18 seconds at most.
CLAIM_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that this process makes: where to, signed with which secret of the reward's, and what it posts."""

    organization_id: UUID
    redemption_id: UUID
    reward_id: UUID
    number: int
    url: str
    body: bytes = field(repr=False)
    sealed_secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Made:
    """An attempt and its answer; `outcome` is None when it came too late to count."""

    number: int
    outcome: Fulfillment | None
    response_status: int | None
    error: str | None


def begin(session: Session, organization_id: UUID, redemption_id: UUID) -> Attempt | None:
    """Claim the attempt that is due; None when none is, when somebody else makes it, or when the reward has no webhook any more.

    Then no further attempt is made. A deadline that has passed is carried out first.
    """
    conn = psycopg_of(session)
    if fulfillments.expire(session, organization_id, redemption_id):
        return None
    claimed = requests.claim(conn, organization_id, redemption_id, CLAIM_SECONDS)
    if claimed is None:
        return None
    webhook = rewards.webhook_of(conn, claimed.reward_id)
    if webhook is None:
        requests.close(conn, redemption_id)
        return None
    url, secret = webhook
    number = claimed.attempt_count + 1
    return Attempt(organization_id, redemption_id, claimed.reward_id, number, url, claimed.body, secret)


def give_back(session: Session, attempt: Attempt) -> None:
    """An attempt couldn't be made, for a reason of ours: it doesn't count."""
    requests.release(psycopg_of(session), attempt.redemption_id)


def finish(session: Session, attempt: Attempt, answer: Answer) -> Made:
    """Count an attempt, with the effect of its answer.

    It loses against whatever ended the fulfilment or its attempts meanwhile, a deadline that has passed included.
    """
    conn = psycopg_of(session)
    late = Made(attempt.number, None, answer.status, answer.error)
    if fulfillments.expire(session, attempt.organization_id, attempt.redemption_id):
        return late
    found = fulfillments.locked(session, attempt.organization_id, attempt.redemption_id)
    request = requests.find(conn, found.id)
    if request is None or request.next_attempt_at is None:
        return late
    outcome = judge_fulfillment(answer)
    if outcome is Fulfillment.FAILED and request.attempt_count >= attempt.number:
        # somebody else has made this attempt meanwhile
        return late
    now = database_now(conn)
    requests.note(conn, found.id, attempt.number, now, answer.status, answer.error)
    _carry_out(conn, found, outcome, _next(conn, attempt.number, answer, now))
    return replace(late, outcome=outcome)


def _carry_out(conn: Connection, found: RedemptionRow, outcome: Fulfillment, again_at: datetime | None) -> None:
    """What an answer means; `again_at` is None after the last attempt."""
    ending = Ending(EndedBy.WEBHOOK)
    if outcome is Fulfillment.FULFILLED:
        fulfillments.end(conn, found, FulfillmentStatus.FULFILLED, ending)
    elif outcome is Fulfillment.TAKEN_OVER:
        requests.close(conn, found.id)
    elif outcome is Fulfillment.REFUSED or again_at is None:
        fulfillments.fail(conn, found, ending)
    else:
        requests.plan(conn, found.id, again_at)


def _next(conn: Connection, number: int, answer: Answer, now: datetime) -> datetime | None:
    """When the attempt after a failed one is made; the date of a Retry-After is one of the real clock."""
    real = redemptions.real_time(conn)
    paused = paused_until(answer, real)
    not_before = None if paused is None else now + (paused - real)
    return next_attempt_at(number, now, random.random(), not_before)  # noqa: S311 - spreads attempts


def due_now(session: Session, limit: int, without: Collection[UUID]) -> list[FulfillmentKey]:
    """Those whose attempt is due, or under way, but for some."""
    return requests.due_now(psycopg_of(session), limit, without)


def due_between(session: Session, after: datetime, until: datetime, limit: int) -> list[FulfillmentKey]:
    """The first of those whose attempt is due after one moment and not after another."""
    return requests.due_between(psycopg_of(session), after, until, limit)
