"""What happened on groups' accounts: balances and statements over all pairs of an asset, or of one program's."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlmodel import Session

from db.repositories import group_reads
from db.repositories.group_reads import GroupBalanceRow, Pairs, Place
from db.repositories.ledger_reads import HistoryRow
from domain.ledger.accounts import Bucket, add
from domain.money import ZERO
from services import programs
from services.activity import Statement, find_asset, settled
from services.paging import Slice
from services.state import Entity, EntityKind

__all__ = ["GroupBalanceRow", "Place"]


@dataclass(frozen=True, slots=True)
class GroupStatementQuery:
    """One page of a group's statement of one asset, oldest first.

    `limit` lines after the place `after`; `until` is the last place that any page shows, None on the first page.
    """

    asset_id: UUID
    program_id: UUID | None = None
    bucket: Bucket | None = None
    from_: datetime | None = None
    to: datetime | None = None
    limit: int = 50
    after: Place | None = None
    until: Place | None = None


def group_balances(session: Session, organization_id: UUID, group_id: UUID, program_id: UUID | None) -> list[GroupBalanceRow]:
    """A group's balances after what is due, of all its pairs or of one program's; NotFound."""
    conn = settled(session, organization_id, Entity(EntityKind.GROUP, group_id))
    _require_program(session, organization_id, program_id)
    return group_reads.balances(conn, group_id, program_id)


def group_statement(session: Session, organization_id: UUID, group_id: UUID, wanted: GroupStatementQuery) -> Statement:
    """One page of a group's statement: running balances come from the whole history of its pairs. NotFound."""
    conn = settled(session, organization_id, Entity(EntityKind.GROUP, group_id))
    asset = find_asset(conn, organization_id, wanted.asset_id)
    _require_program(session, organization_id, wanted.program_id)
    bucket = None if wanted.bucket is None else str(wanted.bucket)
    pairs = Pairs(group_id, asset.id, wanted.program_id, bucket)
    until = wanted.until or group_reads.last_place(conn, pairs, wanted.to)
    if until is None:
        return Statement(asset, ZERO, ZERO, Slice([], None))
    opening = ZERO if wanted.from_ is None else group_reads.standing(conn, pairs, before=wanted.from_)
    closing = group_reads.standing(conn, pairs, at=until)
    lines = group_reads.statement_lines(conn, pairs, from_=wanted.from_, after=wanted.after, until=until, limit=wanted.limit)
    start = opening if wanted.after is None else group_reads.standing(conn, pairs, at=wanted.after)
    page = _running(lines[: wanted.limit], start)
    last = None
    if len(lines) > wanted.limit:
        end = page[-1]
        last = (end.created_at, end.journal_entry_id, end.ordinal, *until)
    return Statement(asset, opening, closing, Slice(page, last))


def _require_program(session: Session, organization_id: UUID, program_id: UUID | None) -> None:
    if program_id is not None:
        programs.get_program(session, organization_id, program_id, field="program_id")


def _running(lines: Sequence[HistoryRow], start: Decimal) -> list[HistoryRow]:
    # The balances stored with a posting are those of its own pair.
    rows = []
    for line in lines:
        start = add(start, line.amount)
        rows.append(replace(line, balance_after=start, total_after=start))
    return rows
