"""Reports of all holders' value: summary, liability, rollforward (reporting.md, 2, 4, 5). Read only, each of one moment."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Generic, TypeVar
from uuid import UUID

from sqlmodel import Session

from db.repositories import moments
from db.repositories import reports as repository
from db.repositories.moments import Mark
from db.repositories.movements import Movement, Period, movements_and_participants, movements_of
from db.repositories.reports import AssetRow, PairRow, ReportScope, Sums
from db.session import Connection, freeze, psycopg_of, scan_alone
from domain.errors import bad_request
from domain.ledger.accounts import add, subtract, total
from domain.reports.lines import Activity, Line, UnknownActivity, activity_of
from domain.timestamps import format_timestamp
from services import programs
from services.activity import find_asset
from services.paging import Keyset, Slice

__all__ = ["Activity", "AssetRow", "Line", "Mark", "PairRow", "ReportScope"]

Head = TypeVar("Head")


@dataclass(frozen=True, slots=True)
class Window:
    """From a moment to a moment, both included."""

    from_: datetime
    to: datetime


@dataclass(frozen=True, slots=True)
class Rollforward(Generic[Head]):
    """What there was before a window, what happened in it by line, and what there is at its end."""

    head: Head
    opening: Decimal
    activity: Activity
    closing: Decimal


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One asset: everything until now, and with a window its rollforward."""

    asset: AssetRow
    ever: Activity
    balance: Decimal
    participants: int
    period: Rollforward[AssetRow] | None


@dataclass(frozen=True, slots=True)
class LiabilityRow:
    """What holders have of an asset by the entries of a program, in all buckets or in the one that the pair names."""

    pair: PairRow
    balance: Decimal


def ledger_summary(
    session: Session, organization_id: UUID, program_id: UUID | None, window: Window | None, keyset: Keyset
) -> Slice[SummaryRow]:
    """One page of assets with their figures, over all programs or of one; NotFound, UnknownActivity."""
    conn = open_report(session, organization_id, ReportScope(program_id))
    page = repository.page_of_assets(conn, organization_id, program_id, keyset)
    wanted = Sums(organization_id, [row.asset_id for row in page.rows], None if program_id is None else [program_id])
    bounds = (None, None) if window is None else (window.from_, window.to)
    by_pair, participants = movements_and_participants(conn, wanted, *bounds)
    moved: dict[UUID, list[Movement]] = {}
    for pair, movements in by_pair.items():
        moved.setdefault(pair.asset_id, []).extend(movements)
    rows = [
        _summary(asset, moved.get(asset.asset_id, []), participants.get(asset.asset_id, 0), has_window=window is not None)
        for asset in page.rows
    ]
    return Slice(rows, page.last)


def _summary(asset: AssetRow, moved: list[Movement], participants: int, *, has_window: bool) -> SummaryRow:
    ever = activity_of(movement.change for movement in moved)
    until = [movement for movement in moved if movement.period is not Period.AFTER]
    period = _rollforward(asset, until) if has_window else None
    return SummaryRow(asset, ever, _sum(moved), participants, period)


def mark_moment(session: Session, as_of: datetime | None) -> Mark:
    """The present, or an earlier moment that is asked for; BadRequest for a later one.

    Once the mark is over, what was written at or before its moment doesn't change any more.
    """
    mark = moments.make_mark(psycopg_of(session))
    if as_of is None:
        return mark
    if as_of > mark.moment:
        message = "Must not be in the future"
        raise bad_request("as_of", "out_of_range", message, expected="a moment until now", received=format_timestamp(as_of))
    return mark._replace(moment=as_of)


def is_over(session: Session, mark: Mark) -> bool:
    """Whether nobody can write at or before the mark's moment any more; asked in a transaction of its own."""
    return moments.is_over(psycopg_of(session), mark)


def liability(
    session: Session, organization_id: UUID, scope: ReportScope, as_of: datetime, keyset: Keyset, *, by_bucket: bool
) -> Slice[LiabilityRow]:
    """One page of what holders had at a moment that is over, by asset and program; NotFound."""
    conn = open_report(session, organization_id, scope)
    page = repository.page_of_pairs(conn, organization_id, scope, as_of, keyset, by_bucket=by_bucket)
    found = repository.outstanding(conn, _sums(organization_id, page.rows, as_of))

    def balance(row: PairRow) -> Decimal:
        return total(amount for (pair, bucket), amount in found.items() if pair == row.pair and row.bucket in (None, bucket))

    return Slice([LiabilityRow(row, balance(row)) for row in page.rows], page.last)


def liability_rollforward(
    session: Session, organization_id: UUID, scope: ReportScope, window: Window, keyset: Keyset
) -> Slice[Rollforward[PairRow]]:
    """One page of rollforwards by asset and program; NotFound, UnknownActivity."""
    conn = open_report(session, organization_id, scope)
    page = repository.page_of_pairs(conn, organization_id, scope, window.to, keyset)
    moved = movements_of(conn, _sums(organization_id, page.rows, window.to), window.from_)
    return Slice([_rollforward(row, moved.get(row.pair, [])) for row in page.rows], page.last)


def _rollforward(head: Head, moved: list[Movement]) -> Rollforward[Head]:
    """What was moved until the window's end; UnknownActivity unless the lines explain the difference to the last digit."""
    opening = _sum(movement for movement in moved if movement.period is Period.BEFORE)
    activity = activity_of(movement.change for movement in moved if movement.period is Period.WITHIN)
    closing = _sum(moved)
    if subtract(closing, add(opening, activity.change)):
        raise UnknownActivity("the lines don't sum to the difference of the balances")
    return Rollforward(head, opening, activity, closing)


def _sum(moved: Iterable[Movement]) -> Decimal:
    return total(movement.change.amount for movement in moved)


def _sums(organization_id: UUID, rows: list[PairRow], until: datetime) -> Sums:
    """What has all the rows' pairs, and maybe others."""
    return Sums(organization_id, list({row.asset_id for row in rows}), list({row.program_id for row in rows}), until)


def open_report(session: Session, organization_id: UUID, scope: ReportScope) -> Connection:
    """A connection that sees one moment; NotFound for a program or an asset that isn't the organization's."""
    conn = psycopg_of(session)
    freeze(conn)
    scan_alone(conn)
    if scope.program_id is not None:
        programs.get_program(session, organization_id, scope.program_id, field="program_id")
    if scope.asset_id is not None:
        find_asset(conn, organization_id, scope.asset_id)
    return conn
