"""Requests and responses of what holders have of tiers: levels, history, progress."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.common import CreateModel, ListQuery, QueryModel, ResponseModel, TimeRange, Timestamp, Uuid, text
from api.schemas.tier_lifecycles import ThresholdRead
from domain.money import format_plain
from domain.tiers.changes import Change, Reason
from domain.tiers.definition import Mode, Operator
from domain.tiers.progress import CriterionProgress, Progress
from services.tier_standings import Held, TierHistoryFilter, TierHistoryRow

LevelKey = Annotated[str, text(100)]


class TierProgramQuery(QueryModel):
    program_id: Uuid = Field(description="The program of the tiers")


class TierSet(CreateModel):
    model_config = ConfigDict(json_schema_extra={"example": {"level": "gold", "expires_at": "2030-01-01T00:00:00Z"}})

    level: LevelKey = Field(description="A level of the tier")
    expires_at: Timestamp | None = Field(default=None, description="After now; without one, the tier's lifecycle decides")


class TierHistoryQuery(TimeRange, ListQuery):
    program_id: Uuid | None = None
    tier_key: Annotated[str, text(255)] | None = None

    def to_filter(self) -> TierHistoryFilter:
        """The service's filter."""
        return TierHistoryFilter(self.program_id, self.tier_key, self.from_, self.to)


class TierStateRead(ResponseModel):
    level: str
    rank: int
    benefits: dict[str, Any] | None = Field(description="Of the level")
    acquired_at: datetime
    expires_at: datetime | None = Field(description="The explicit expiry if one is set, else the lifecycle's")


class TierStateItem(TierStateRead):
    key: str


class TierHistoryItem(ResponseModel):
    id: UUID
    program_id: UUID
    tier_key: str
    from_level: str | None = Field(description="null is base")
    to_level: str | None = Field(description="null is base")
    from_rank: int
    to_rank: int
    change: Change
    reason: Reason
    expires_at: datetime | None = Field(description="Of the new level")
    event_id: UUID | None
    rule_id: UUID | None
    changed_by_api_key_id: UUID | None
    changed_at: datetime = Field(description="Time of processing")


class CriterionProgressRead(ResponseModel):
    counter: str
    operator: Operator
    threshold: ThresholdRead
    current: str = Field(examples=["600"])
    met: bool
    missing: str | None = Field(examples=["400"], description="null when growth can't reach it")


class TierProgressRead(ResponseModel):
    key: str
    level: str | None = Field(description="null is base")
    rank: int
    expires_at: datetime | None
    next_level: str | None = Field(description="The level of the next higher rank that has a qualification")
    next_rank: int | None
    mode: Mode | None
    qualified: bool = Field(description="The next event of the program raises the level")
    criteria: list[CriterionProgressRead]
    period_end: datetime | None


def held_body(held: Held) -> dict[str, Any]:
    """A level that is held."""
    level = held.tier.by_key[held.level]
    return {
        "level": level.key,
        "rank": level.rank,
        "benefits": level.benefits,
        "acquired_at": held.standing.acquired_at,
        "expires_at": held.standing.shown_expiry,
    }


def held_item(held: Held) -> dict[str, Any]:
    """The same in a list."""
    return {"key": held.tier.key, **held_body(held)}


def tier_history_body(row: TierHistoryRow) -> dict[str, Any]:
    """A row of the tier history."""
    return {name: getattr(row, name) for name in TierHistoryRow.__dataclass_fields__}


def progress_body(progress: Progress) -> dict[str, Any]:
    """How far the next level is."""
    following = progress.next_level
    qualification = None if following is None else following.qualification
    return {
        "key": progress.tier.key,
        "level": progress.standing.level,
        "rank": progress.rank,
        "expires_at": progress.standing.shown_expiry,
        "next_level": None if following is None else following.key,
        "next_rank": None if following is None else following.rank,
        "mode": None if qualification is None else qualification.mode,
        "qualified": progress.is_qualified,
        "criteria": [_criterion_body(each) for each in progress.criteria],
        "period_end": progress.period_end,
    }


def _criterion_body(each: CriterionProgress) -> dict[str, Any]:
    return {
        "counter": each.criterion.counter,
        "operator": each.criterion.operator,
        "threshold": each.criterion.threshold,
        "current": format_plain(each.current),
        "met": each.is_met,
        "missing": None if each.missing is None else format_plain(each.missing),
    }
