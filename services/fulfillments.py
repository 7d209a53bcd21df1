"""Fulfilments: what was redeemed is handed over, or the value comes back (redemptions-rewards.md 5).

Reads, reports, the flow of a fulfilment and the test clock all carry out a deadline through `expire`. Everything here holds the
participant's lock, as reversals do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlmodel import Session

from db.repositories import fulfillments as repository
from db.repositories import redemptions
from db.repositories.fulfillments import FulfillmentKey
from db.repositories.ledger_terms import database_now
from db.repositories.redemptions import RedemptionRow
from db.session import Database, psycopg_of
from domain.errors import AssetArchived, BalanceOutOfRange, InvalidState, not_found
from services import reversals
from services.redemption_views import FulfillmentStatus
from services.redemptions import lock_holders
from services.state import Author
from services.transactions import transact

__all__ = ["FulfillmentKey", "Outcome", "attend", "expire", "expire_all", "look", "report"]

FAILED_REASON = "fulfillment failed"
PAGE = 100


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
    found = _locked(session, organization_id, redemption_id)
    # Somebody else may have come first, while the lock was waited for.
    if not repository.has_passed(conn, organization_id, redemption_id):
        return False
    try:
        _fail(session, found, None, None)
    except (AssetArchived, BalanceOutOfRange):
        repository.settle(conn, found.id, FulfillmentStatus.FAILED, None, database_now(conn))
    return True


def look(session: Session, organization_id: UUID, redemption_id: UUID) -> RedemptionRow:
    """A redemption, after its deadline was carried out if it has passed; NotFound."""
    expire(session, organization_id, redemption_id)
    return _known(session, organization_id, redemption_id)


def report(session: Session, author: Author, redemption_id: UUID, outcome: Outcome) -> RedemptionRow:
    """Note what a client says of a redemption that is PENDING; the status it has already changes nothing.

    Call `expire` in a transaction of its own before. NotFound; InvalidState; for FAILED AssetArchived, BalanceOutOfRange.
    """
    found = _locked(session, author.organization_id, redemption_id)
    if found.fulfillment_status == outcome.status:
        return found
    if found.fulfillment_status != FulfillmentStatus.PENDING:
        raise InvalidState("Only a pending fulfilment has an outcome to report", status=found.fulfillment_status)
    conn = psycopg_of(session)
    if outcome.status is FulfillmentStatus.FAILED:
        _fail(session, found, author.api_key_id, outcome.note)
    else:
        repository.settle(conn, found.id, outcome.status, outcome.note, database_now(conn))
    return _known(session, author.organization_id, redemption_id)


def _fail(session: Session, found: RedemptionRow, api_key_id: UUID | None, note: str | None) -> None:
    """The locked redemption is reversed in full, and its fulfilment FAILED; refused as a reversal by the ledger alone."""
    made = reversals.reverse_all(session, found, FAILED_REASON, api_key_id)
    repository.settle(psycopg_of(session), found.id, FulfillmentStatus.FAILED, note, made.created_at)


def _locked(session: Session, organization_id: UUID, redemption_id: UUID) -> RedemptionRow:
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
    """A redemption as its flow sees it; `until_deadline` counts in seconds from the database's clock."""

    redemption: RedemptionRow
    until_deadline: float | None


def attend(session: Session, organization_id: UUID, redemption_id: UUID) -> Attended | None:
    """Where a fulfilment stands, after its deadline was carried out if it has passed; None when there is no such redemption."""
    conn = psycopg_of(session)
    expire(session, organization_id, redemption_id)
    found = redemptions.find(conn, organization_id, redemption_id)
    if found is None:
        return None
    ends_at = found.fulfillment_expires_at
    return Attended(found, None if ends_at is None else (ends_at - database_now(conn)).total_seconds())


def expire_all(database: Database, go_on: Callable[[], None]) -> int:
    """Carry out every deadline that has passed, each in a short transaction, with a call of `go_on` after it; how many."""
    done = 0
    while keys := transact(database, lambda session: repository.due_now(psycopg_of(session), PAGE)):
        for key in keys:
            done += _expire_one(database, key)
            go_on()
    return done


def _expire_one(database: Database, key: FulfillmentKey) -> bool:
    return transact(database, lambda session: expire(session, key.organization_id, key.redemption_id))


def is_pending(session: Session, redemption_id: UUID) -> bool:
    """Whether the redemption waits to be handed over."""
    return repository.is_pending(psycopg_of(session), redemption_id)


def ended_between(session: Session, after: datetime, until: datetime, limit: int) -> list[FulfillmentKey]:
    """The first of those that wait and whose deadline lies after one moment and not after another."""
    return repository.ended_between(psycopg_of(session), after, until, limit)


def in_need_of_flow(session: Session, within: timedelta, since: timedelta, limit: int) -> list[FulfillmentKey]:
    """Those near their deadline, and those whose flow wasn't made sure of for a while; at most `limit` of each."""
    conn = psycopg_of(session)
    found = {key.redemption_id: key for key in repository.ending_soon(conn, within, limit)}
    found |= {key.redemption_id: key for key in repository.without_flow(conn, since, limit)}
    return list(found.values())


def note_flows(session: Session, redemption_ids: list[UUID]) -> None:
    """Note that these have a flow now."""
    repository.note_flows(psycopg_of(session), redemption_ids)
