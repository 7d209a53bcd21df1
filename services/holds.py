"""Holds with a deadline: where one stands after what is due was posted, and which ones end soon (ledger.md, Holds)."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from db.repositories import holds as repository
from db.repositories.holds import DatedHold, HoldRow
from db.session import psycopg_of
from domain.ledger.due import HOLD_EXPIRED
from services import due

__all__ = ["DatedHold", "HoldRow", "attend", "ending_between", "ending_soon"]


def attend(session: Session, organization_id: UUID, hold_id: UUID) -> HoldRow | None:
    """The hold as it is now; when its deadline has come, what is still held is released first. None when there is none.

    However often it runs, one RELEASE is written: the service is the one that every read uses.
    """
    conn = psycopg_of(session)
    found = repository.find_hold(conn, organization_id, hold_id, HOLD_EXPIRED)
    if found is None or not _has_come(found):
        return found
    due.settle(session, organization_id, found.holder_id)
    return repository.find_hold(conn, organization_id, hold_id, HOLD_EXPIRED)


def _has_come(hold: HoldRow) -> bool:
    return bool(hold.remaining) and not hold.is_archived and hold.until_deadline is not None and hold.until_deadline <= 0


def ending_soon(session: Session, within_seconds: float, limit: int) -> list[DatedHold]:
    """Open holds that the API made whose deadline is near or has passed."""
    return repository.holds_ending_soon(psycopg_of(session), within_seconds, limit)


def ending_between(session: Session, after: datetime, until: datetime, limit: int) -> list[DatedHold]:
    """Open holds that the API made whose deadline lies after one moment and not after another, the first first."""
    return repository.holds_between(psycopg_of(session), after, until, limit)
