"""Requests and responses of the program activity and the expiration schedule."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from api.schemas.common import Choice, ListQuery, ResponseModel, Timestamp, Uuid
from api.schemas.reports import RequiredWindow, WholeWindow
from domain.money import format_amount
from services.expiration_schedule import Bucket, Granularity, ScheduleQuery, ScheduleRow
from services.program_activity import ActivityFilter, ProgramActivity
from services.reports import ReportScope


class ActivityQuery(WholeWindow, ListQuery):
    since: Timestamp | None = Field(default=None, description="Only programs with an entry or processed event after it")

    def to_filter(self) -> ActivityFilter:
        """The service's filter."""
        return ActivityFilter(self.since, self.from_, self.to)


class ScheduleReadQuery(RequiredWindow, ListQuery):
    granularity: Choice[Granularity] = Field(default=Granularity.MONTH, description="UTC days, weeks from Monday, or months")
    program_id: Uuid | None = Field(default=None, description="Only lots made in that program")
    asset_id: Uuid | None = Field(default=None, description="Exactly this LOT asset's row")

    def to_query(self) -> ScheduleQuery:
        """The service's query."""
        return ScheduleQuery(ReportScope(self.program_id, self.asset_id), self.window, self.granularity)


class ActivityRead(ResponseModel):
    program_id: UUID
    program_name: str
    event_count: Annotated[int, Field(description="COMPLETED or FAILED; of the window, if one is asked for")]
    journal_count: int
    total_issued: Annotated[str, Field(examples=["690"], description="Net, over all assets; of the window")]
    total_redeemed: Annotated[str, Field(examples=["100"], description="Net, over all assets; of the window")]
    unique_participants: Annotated[int, Field(description="With a credit, settle or redemption")]
    last_activity_at: Annotated[datetime | None, Field(description="The latest journal entry")]
    asset_count: int
    rule_count: Annotated[int, Field(description="Not archived")]
    reward_count: Annotated[int, Field(description="Not archived")]
    tier_count: Annotated[int, Field(description="Not archived")]


class ScheduleBucket(ResponseModel):
    bucket_start: datetime
    bucket_end: Annotated[datetime, Field(description="Excluded")]
    amount: Annotated[str, Field(examples=["100"])]
    lot_count: Annotated[int, Field(examples=[1])]


class ScheduleRead(ResponseModel):
    asset_id: UUID
    asset_name: str
    asset_symbol: Annotated[str, Field(examples=["MILES"])]
    scale: Annotated[int, Field(examples=[0])]
    buckets: Annotated[list[ScheduleBucket], Field(description="From that of `from` to that of `to`, without gaps")]
    never_expiring: Annotated[str, Field(examples=["60"])]
    expiring_before_window: Annotated[str, Field(examples=["0"])]
    expiring_after_window: Annotated[str, Field(examples=["25"])]
    total_outstanding: Annotated[str, Field(examples=["225"], description="The exact sum of all of them")]


def activity_body(row: ProgramActivity) -> dict[str, Any]:
    """One program of the activity."""
    program, counts = row.program, row.counts
    return {
        "program_id": program.program_id,
        "program_name": program.program_name,
        "event_count": counts.event_count,
        "journal_count": counts.journal_count,
        "total_issued": format_amount(row.activity.issued_net, counts.scale),
        "total_redeemed": format_amount(row.activity.redeemed_net, counts.scale),
        "unique_participants": row.participants,
        "last_activity_at": program.last_activity_at,
        "asset_count": counts.asset_count,
        "rule_count": counts.rule_count,
        "reward_count": counts.reward_count,
        "tier_count": counts.tier_count,
    }


def schedule_body(row: ScheduleRow) -> dict[str, Any]:
    """One asset of the schedule."""
    asset = row.asset
    amounts = {
        "never_expiring": row.never,
        "expiring_before_window": row.before,
        "expiring_after_window": row.after,
        "total_outstanding": row.outstanding,
    }
    return {
        "asset_id": asset.asset_id,
        "asset_name": asset.asset_name,
        "asset_symbol": asset.asset_symbol,
        "scale": asset.scale,
        "buckets": [_bucket_body(bucket, asset.scale) for bucket in row.buckets],
        **{name: format_amount(amount, asset.scale) for name, amount in amounts.items()},
    }


def _bucket_body(bucket: Bucket, scale: int) -> dict[str, Any]:
    return {
        "bucket_start": bucket.span.start,
        "bucket_end": bucket.span.end,
        "amount": format_amount(bucket.amount, scale),
        "lot_count": bucket.lots,
    }
