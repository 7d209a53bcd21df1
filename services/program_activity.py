"""What happened in programs, with what they issued and redeemed (reporting.md, Program activity)."""

from dataclasses import dataclass
from uuid import UUID

from sqlmodel import Session

from db.repositories import program_activity as repository
from db.repositories import reports
from db.repositories.movements import Period, movements_of
from db.repositories.program_activity import ActivityFilter, ProgramCounts, ProgramRow
from db.repositories.reports import ReportScope, Sums
from domain.reports.lines import Activity, Change, activity_of
from services.paging import Keyset, Slice
from services.reports import open_report

__all__ = ["ActivityFilter"]


@dataclass(frozen=True, slots=True)
class ProgramActivity:
    """A program with its figures; `activity` is that of the window, if there is one."""

    program: ProgramRow
    counts: ProgramCounts
    activity: Activity
    participants: int


def program_activity(session: Session, organization_id: UUID, wanted: ActivityFilter, keyset: Keyset) -> Slice[ProgramActivity]:
    """One page of programs, those with the latest entry first; UnknownActivity."""
    conn = open_report(session, organization_id, ReportScope())
    page = repository.page_of_programs(conn, organization_id, wanted, keyset)
    program_ids = [row.program_id for row in page.rows]
    counts = repository.counts(conn, organization_id, program_ids, wanted.from_, wanted.to)
    sums = Sums(organization_id, reports.assets_of(conn, organization_id, program_ids), program_ids)
    changes: dict[UUID, list[Change]] = {}
    for pair, moved in movements_of(conn, sums, wanted.from_, wanted.to).items():
        changes.setdefault(pair.program_id, []).extend(one.change for one in moved if one.period is Period.WITHIN)
    participants = repository.participants_of(conn, sums)
    rows = [
        ProgramActivity(
            row, counts[row.program_id], activity_of(changes.get(row.program_id, [])), participants.get(row.program_id, 0)
        )
        for row in page.rows
    ]
    return Slice(rows, page.last)
