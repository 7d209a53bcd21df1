"""When value that nobody uses will expire (reporting.md, Expiration schedule)."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from sqlmodel import Session

from db.repositories import expiration_schedule as repository
from db.repositories.expiration_schedule import AFTER, BEFORE, NEVER, Expiring
from db.repositories.reports import AssetRow, ReportScope
from domain.errors import bad_request
from domain.ledger.accounts import total
from domain.money import ZERO
from domain.reports.schedule import MOST_BUCKETS, Granularity, Span, TooManyBuckets, spans
from domain.timestamps import format_timestamp
from services.activity import find_asset
from services.paging import Keyset, Slice
from services.reports import Window, open_report

__all__ = ["Granularity", "Span"]


@dataclass(frozen=True, slots=True)
class ScheduleQuery:
    """What is asked for."""

    scope: ReportScope
    window: Window
    granularity: Granularity


@dataclass(frozen=True, slots=True)
class Bucket:
    """What expires in one bucket, within the window."""

    span: Span
    amount: Decimal
    lots: int


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """One asset: what expires when, and what doesn't in the window."""

    asset: AssetRow
    buckets: list[Bucket]
    never: Decimal
    before: Decimal
    after: Decimal
    outstanding: Decimal


def expiration_schedule(session: Session, organization_id: UUID, wanted: ScheduleQuery, keyset: Keyset) -> Slice[ScheduleRow]:
    """One page of assets with lots; NotFound, BadRequest for an asset without lots and for more buckets than 400."""
    conn = open_report(session, organization_id, wanted.scope)
    asset_id, program_id, window = wanted.scope.asset_id, wanted.scope.program_id, wanted.window
    if asset_id is not None and not find_asset(conn, organization_id, asset_id).is_lot:
        raise bad_request("asset_id", "not_allowed", "This asset has no lots", received=str(asset_id))
    found = _spans(wanted)
    page = repository.page_of_assets(conn, organization_id, program_id, asset_id, keyset)
    expiring = repository.expiring(
        conn,
        organization_id,
        [row.asset_id for row in page.rows],
        program_id,
        (window.from_, window.to),
        [span.start for span in found],
    )
    return Slice([_row(row, found, expiring.get(row.asset_id, [])) for row in page.rows], page.last)


def _spans(wanted: ScheduleQuery) -> list[Span]:
    try:
        return spans(wanted.window.from_, wanted.window.to, wanted.granularity)
    except TooManyBuckets:
        message = f"At most {MOST_BUCKETS} buckets: choose a shorter window or a coarser granularity"
        raise bad_request("to", "out_of_range", message, received=format_timestamp(wanted.window.to)) from None


def _row(asset: AssetRow, found: list[Span], expiring: Iterable[Expiring]) -> ScheduleRow:
    places = {one.place: one for one in expiring}
    nothing = Expiring(0, ZERO, 0)

    def at(place: int) -> Expiring:
        return places.get(place, nothing)

    return ScheduleRow(
        asset,
        [Bucket(span, at(place).amount, at(place).lots) for place, span in enumerate(found)],
        at(NEVER).amount,
        at(BEFORE).amount,
        at(AFTER).amount,
        total(one.amount for one in places.values()),
    )
