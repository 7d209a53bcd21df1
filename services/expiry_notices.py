"""Announcing lots that expire soon: `balance.expiring`, at 00:00 UTC, each lot once (webhooks.md 5.13).

A midnight is worked through in pages by asset, day and holder. A lot's mark, its message and how far the midnight is commit
together, so nothing is announced twice or forgotten, whoever does it, however often it is interrupted. Marks don't depend on
who listens: what a midnight would have announced is done with when nobody subscribed then. After missed midnights the latest of
them is worked through at once: what has expired meanwhile isn't announced any more, and nothing is twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from uuid import UUID

from sqlmodel import Session

from db.repositories import expiry_notices as rows
from db.repositories.expiry_notices import HolderRow, MarkedLot, NoticeAsset, Place
from db.repositories.ledger_terms import database_now
from db.session import Connection, psycopg_of
from domain.messages.expiring import DAY, ExpiringLot, LotSet, at_midnight, expiring_message, midnight_of
from domain.outbox import MessageType
from services import due, outbox
from services.transactions import is_transient


@dataclass(frozen=True, slots=True)
class Announced:
    """What one page came to: how many lot sets were announced; the error that made it pass over its only place."""

    sets: int
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class _Page:
    """Places of one asset, one after the other."""

    asset: NoticeAsset
    places: Sequence[Place]


def is_done(session: Session, until: datetime | None = None) -> bool:
    """Whether nothing is left of the latest midnight, or of that before another moment."""
    conn = psycopg_of(session)
    return rows.read_pass(conn).done_through >= midnight_of(until or database_now(conn))


def announce(session: Session, limit: int, until: datetime | None = None) -> Announced | None:
    """Announce at the next places, at most `limit`; None when the midnight is done.

    The midnight is the latest one, or that before `until`, which has come. A page of more than one place fails as a whole; one
    that fails alone is left for the next midnight.
    """
    conn = psycopg_of(session)
    midnight = midnight_of(until or database_now(conn))
    page = _next_page(conn, midnight, limit)
    if page is None:
        return None
    rows.move_on(conn, midnight, page.places[-1])
    if limit > 1:
        return Announced(_announce(session, page, midnight, until))
    try:
        with session.begin_nested():
            return Announced(_announce(session, page, midnight, until))
    except Exception as error:
        if conn.closed or is_transient(error):
            raise
        return Announced(0, error)


def _next_page(conn: Connection, midnight: datetime, limit: int) -> _Page | None:
    """Under the lock of who announces; None when nothing is left, which is noted."""
    found = rows.read_pass(conn, lock=True)
    if found.done_through >= midnight:
        return None
    place = found.place if found.midnight == midnight else None
    asset = rows.next_asset(conn, midnight, None) if place is None else rows.find_asset(conn, place.asset_id)
    after = None if place is None else place.asset_id
    while asset is not None or place is not None:
        if asset is not None:
            places = rows.next_places(conn, midnight, asset.terms.id, asset.notice_days, place, limit)
            if places:
                return _Page(asset, places)
            after = asset.terms.id
        asset, place = rows.next_asset(conn, midnight, after), None
    rows.finish(conn, midnight)
    return None


def _announce(session: Session, page: _Page, midnight: datetime, until: datetime | None) -> int:
    conn, terms = psycopg_of(session), page.asset.terms
    # what is due goes first, so that nothing is announced that has expired, and balances are those that are shown
    due.settle_all(session, terms.organization_id, {place.holder_id for place in page.places}, until)
    lots = rows.mark(conn, midnight, page.places)
    if not lots:
        return 0
    accounts = rows.touch(conn, terms.id, {(lot.holder_id, lot.pair_program_id) for lot in lots})
    sets = _lot_sets(lots)
    _tell(conn, page.asset, sets, accounts)
    return len(sets)


def _lot_sets(lots: Sequence[MarkedLot]) -> list[LotSet]:
    """By holder, then by day, so that what a holder hears begins with what is nearest."""
    ordered = sorted(lots, key=_set_of)
    return [
        LotSet(holder_id, pair_program_id, program_id, [ExpiringLot(lot.expires_at, lot.id, lot.remaining) for lot in group])
        for (holder_id, _, program_id, pair_program_id), group in groupby(ordered, key=_set_of)
    ]


def _set_of(lot: MarkedLot) -> tuple[UUID, date, UUID, UUID]:
    return lot.holder_id, lot.day, lot.program_id, lot.pair_program_id


def _tell(conn: Connection, asset: NoticeAsset, sets: Sequence[LotSet], accounts: dict[tuple[UUID, UUID], HolderRow]) -> None:
    organization_id = asset.terms.organization_id
    audience = outbox.look_up(conn, [organization_id])()
    if not audience.endpoints(organization_id, MessageType.BALANCE_EXPIRING):
        return
    external_ids = {holder_id: row.external_id for (holder_id, _), row in accounts.items() if row.external_id is not None}
    now = database_now(conn)
    messages = [
        expiring_message(
            each,
            asset.terms,
            asset.notice_days,
            accounts[each.holder_id, each.pair_program_id].balance,
            external_ids,
            now,
        )
        for each in sets
    ]
    outbox.record(conn, audience, messages)


def seconds_until_next(session: Session) -> float:
    """From the database's clock to the next midnight."""
    now = database_now(psycopg_of(session))
    return (midnight_of(now) + DAY - now).total_seconds()


def next_moment(conn: Connection, after: datetime) -> datetime | None:
    """The first midnight after a moment that has something to announce, as things are."""
    day = rows.next_day(conn, midnight_of(after) + DAY)
    return None if day is None else at_midnight(day)


def count_moments(conn: Connection, until: datetime, limit: int) -> int:
    """How many midnights up to a moment have something to announce, as things are; counting stops at `limit`."""
    first, last = midnight_of(database_now(conn)) + DAY, midnight_of(until)
    return rows.count_days(conn, first, last.date(), limit) if first <= last else 0
