"""Fulfilments: what was redeemed is handed over, or the value comes back (redemptions-rewards.md 5).

Reads, reports, the flow of a fulfilment and the test clock all carry out a deadline through `expire`. Everything here holds the
participant's lock, as reversals do.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlmodel import Session

from db.repositories import fulfillment_requests as requests
from db.repositories import fulfillments as repository
from db.repositories import redemptions
from db.repositories.fulfillment_requests import RequestRow
from db.repositories.fulfillments import FulfillmentKey
from db.repositories.ledger_terms import database_now
from db.repositories.redemptions import RedemptionRow
from db.session import Connection, psycopg_of
from domain.errors import AssetArchived, BalanceOutOfRange, InvalidState, not_found
from domain.messages.redemptions import EndedBy, Ending
from services import fulfillment_requests, reversals
from services.messages.redemptions import tell_ended
from services.redemption_views import FulfillmentStatus
from services.redemptions import lock_holders
from services.state import Author

__all__ = ["FulfillmentKey", "Outcome", "RequestRow", "attend", "expire", "look", "past_deadline", "report"]

FAILED_REASON = "fulfillment failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a client reports."""

    status: FulfillmentStatus
    note: str | None = None


def expire(session: Session, organization_id: UUID, redemption_id: UUID) -> bool:
    """Carry out the deadline of a redemption, if it has passed: it failed. One indexed read when there is nothing to do.

    The value returns; where the ledger can't take that, only the fulfilment's status changes.
    """
    conn = psycopg_of(session)
    if not repository.has_passed(conn, organization_id, redemption_id):
        return False
    found = locked(session, organization_id, redemption_id)
    # Somebody else may have come first, while the lock was waited for.
    if not repository.has_passed(conn, organization_id, redemption_id):
        return False
    fail(conn, found, Ending(EndedBy.DEADLINE))
    return True


def look(session: Session, organization_id: UUID, redemption_id: UUID) -> RedemptionRow:
    """A redemption, after its deadline was carried out if it has passed; NotFound."""
    expire(session, organization_id, redemption_id)
    return _known(session, organization_id, redemption_id)


def report(session: Session, author: Author, redemption_id: UUID, outcome: Outcome) -> RedemptionRow:
    """Note what a client says of a redemption that is PENDING; the status it has already changes nothing.

    Call `expire` in a transaction of its own before. NotFound; InvalidState; for FAILED AssetArchived, BalanceOutOfRange.
    """
    found = locked(session, author.organization_id, redemption_id)
    if found.fulfillment_status == outcome.status:
        return found
    if found.fulfillment_status != FulfillmentStatus.PENDING:
        raise InvalidState("Only a pending fulfilment has an outcome to report", status=found.fulfillment_status)
    conn, ending = psycopg_of(session), Ending(EndedBy.API, outcome.note, author.api_key_id)
    if outcome.status is FulfillmentStatus.FAILED:
        reversals.reverse_all(conn, found, FAILED_REASON, ending)
    else:
        end(conn, found, FulfillmentStatus.FULFILLED, ending)
    return _known(session, author.organization_id, redemption_id)


def fail(conn: Connection, found: RedemptionRow, ending: Ending) -> None:
    """The locked redemption that is PENDING is reversed in full, and its fulfilment FAILED.

    Where the ledger can't take the reversal, only the fulfilment's status changes.
    """
    try:
        reversals.reverse_all(conn, found, FAILED_REASON, ending)
    except (AssetArchived, BalanceOutOfRange):
        end(conn, found, FulfillmentStatus.FAILED, ending)


def end(conn: Connection, found: RedemptionRow, status: FulfillmentStatus, ending: Ending) -> None:
    """Note the end of a fulfilment that is PENDING, which moves nothing; its redemption is locked."""
    moment = database_now(conn)
    fulfillment_requests.settle(conn, found.id, status, ending.note, moment)
    now = redemptions.find(conn, found.organization_id, found.id)
    assert now is not None, "redemptions aren't deleted"
    tell_ended(conn, now, ending, moment)


def locked(session: Session, organization_id: UUID, redemption_id: UUID) -> RedemptionRow:
    """A redemption, its holders locked, as it is then; NotFound."""
    found = _known(session, organization_id, redemption_id)
    conn = psycopg_of(session)
    lock_holders(conn, found.participant_id, redemptions.captured_target(conn, found))
    return _known(session, organization_id, redemption_id)


def _known(session: Session, organization_id: UUID, redemption_id: UUID) -> RedemptionRow:
    found = redemptions.find(psycopg_of(session), organization_id, redemption_id)
    if found is None:
        raise not_found("redemption", redemption_id)
    return found


# ------------------------------------------------------------------ time and flows


@dataclass(frozen=True, slots=True)
class Attended:
    """A redemption as its flow sees it; `until_deadline` counts in seconds from the database's clock.

    `request` is what its webhook is asked, if it is.
    """

    redemption: RedemptionRow
    until_deadline: float | None
    request: RequestRow | None = None


def attend(session: Session, organization_id: UUID, redemption_id: UUID) -> Attended | None:
    """Where a fulfilment stands, after its deadline was carried out if it has passed; None when there is no such redemption."""
    conn = psycopg_of(session)
    expire(session, organization_id, redemption_id)
    found = redemptions.find(conn, organization_id, redemption_id)
    if found is None:
        return None
    ends_at = found.fulfillment_expires_at
    left = None if ends_at is None else (ends_at - database_now(conn)).total_seconds()
    return Attended(found, left, requests.find(conn, redemption_id))


def past_deadline(session: Session, limit: int, without: Collection[UUID]) -> list[FulfillmentKey]:
    """Those whose deadline has passed, the first first, but for some."""
    return repository.due_now(psycopg_of(session), limit, without)


def is_pending(session: Session, redemption_id: UUID) -> bool:
    """Whether the redemption waits to be handed over."""
    return repository.is_pending(psycopg_of(session), redemption_id)


def ended_between(session: Session, after: datetime, until: datetime, limit: int) -> list[FulfillmentKey]:
    """The first of those that wait and whose deadline lies after one moment and not after another."""
    return repository.ended_between(psycopg_of(session), after, until, limit)


def in_need_of_flow(session: Session, within: timedelta, since: timedelta, limit: int) -> list[FulfillmentKey]:
    """Those near their deadline or an attempt, or past it, and those whose flow wasn't made sure of for a while.

    At most `limit` of each.
    """
    conn = psycopg_of(session)
    found = {key.redemption_id: key for key in repository.ending_soon(conn, within, limit)}
    found |= {key.redemption_id: key for key in repository.without_flow(conn, since, limit)}
    found |= {key.redemption_id: key for key in requests.due_now(conn, limit, within=within)}
    return list(found.values())


def note_flows(session: Session, redemption_ids: list[UUID]) -> None:
    """Note that these have a flow now."""
    repository.note_flows(psycopg_of(session), redemption_ids)


def forget_flows(session: Session) -> None:
    """Note that nobody has made sure of any flow."""
    repository.forget_flows(psycopg_of(session))
