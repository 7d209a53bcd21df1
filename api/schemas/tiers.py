"""Requests and responses of tiers."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field
from pydantic.types import JsonValue

from api.schemas.common import (
    Choice,
    CreateModel,
    Given,
    ListQuery,
    Metadata,
    OptionalText255,
    QueryBoolean,
    ResponseModel,
    UpdateModel,
    clearable,
    fault,
    integer,
    omitted,
    refuse,
)
from api.schemas.tier_keys import TierKey
from api.schemas.tier_lifecycles import LifecycleGiven, QualificationGiven, ThresholdRead, list_faults
from domain.errors import Fault
from domain.tiers.definition import DowngradeMode, Mode, Operator, PeriodType, RetentionMode, Rollover
from domain.tiers.resource import MAX_LEVELS, LevelRecord, min_level_faults
from services.tiers import NewTier, TierFilter, TierRecord, TierStatus

_COLOR = re.compile(r"#[0-9A-Fa-f]{6}", re.ASCII)
_ICON = re.compile(r"https?://[^\s/?#]+[^\s]*", re.IGNORECASE)


def _check_color(found: str) -> None:
    if not _COLOR.fullmatch(found):
        refuse("invalid", "Must be # and six hexadecimal digits")


def _check_icon(found: str) -> None:
    if not _ICON.fullmatch(found):
        refuse("invalid", "Must be an http or https URL")


Rank = Annotated[int, integer(1, 1_000_000)]
Color = Annotated[str | None, clearable(7, _check_color, expected="color like #FFD700")]
IconUrl = Annotated[str | None, clearable(2048, _check_icon, expected="http or https URL")]
_BENEFITS = "Free JSON, at most 16 KiB; in conditions `participant.tiers.<key>.benefits`"
_QUALIFICATION = "Without one the level is never assigned automatically"
_GOLD: dict[str, JsonValue] = {
    "key": "gold",
    "rank": 2,
    "display_name": "Gold",
    "color": "#FFD700",
    "benefits": {"multiplier": 2},
    "qualification": {"mode": "ALL", "criteria": [{"counter": "points", "operator": ">=", "threshold": 1000}]},
}
_SILVER: dict[str, JsonValue] = {"key": "silver", "rank": 1}


class LevelGiven(CreateModel):
    key: TierKey
    rank: Rank = Field(description="Higher is better")
    display_name: OptionalText255 = None
    color: Color = None
    icon_url: IconUrl = None
    benefits: Metadata | None = Field(default=None, description=_BENEFITS)
    qualification: QualificationGiven | None = Field(default=None, description=_QUALIFICATION)

    def to_fields(self) -> dict[str, Any]:
        """The level for the service."""
        qualification = None if self.qualification is None else self.qualification.to_json()
        return {name: getattr(self, name) for name in type(self).model_fields} | {"qualification": qualification}


class LevelChange(UpdateModel):
    key: TierKey
    rank: Rank = omitted()
    display_name: OptionalText255 = omitted()
    color: Color = omitted()
    icon_url: IconUrl = omitted()
    benefits: Metadata | None = Field(default=None, description=_BENEFITS)
    qualification: QualificationGiven | None = Field(default=None, description="null leaves it, `{}` clears it")

    def to_fields(self) -> dict[str, Any]:
        """What was sent, for the service."""
        found = self.changes()
        if self.qualification is not None:
            found["qualification"] = self.qualification.to_json()
        return found


def _level_faults(given: Given, *, unique_ranks: bool) -> Iterator[Fault]:
    levels = given.get("levels")
    yield from list_faults("levels", levels, MAX_LEVELS)
    for name in ("key", "rank") if unique_ranks else ("key",):
        seen: set[object] = set()
        for index, level in enumerate(levels if isinstance(levels, list) else ()):
            value = level.get(name) if isinstance(level, dict) else None
            if type(value) in (str, int):
                if value in seen:
                    yield fault(f"levels[{index}].{name}", "duplicate", f"Two levels with the same {name}", received=value)
                seen.add(value)


def _min_level_faults(given: Given) -> Iterator[Fault]:
    """`min_level` of a new tier, looked at when both sides have their form."""
    lifecycle, levels = given.get("lifecycle"), given.get("levels")
    policy = lifecycle.get("downgrade_policy") if isinstance(lifecycle, dict) else None
    min_level = policy.get("min_level") if isinstance(policy, dict) else None
    if isinstance(min_level, str) and isinstance(levels, list):
        keys = {level["key"] for level in levels if isinstance(level, dict) and isinstance(level.get("key"), str)}
        yield from min_level_faults({"downgrade_policy": {"min_level": min_level}}, keys)


class TierCreate(CreateModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "key": "club",
                "display_name": "The Club",
                "levels": [_SILVER, _GOLD],
                "lifecycle": {
                    "retention": {"mode": "PERIOD_BASED"},
                    "qualification_period": {"type": "CALENDAR_YEAR"},
                    "status_validity": {"extend_months": 2},
                    "downgrade_policy": {"mode": "DROP_TO_QUALIFYING", "grace_days": 10, "min_level": "silver"},
                    "counters": {"qualifying": ["points"], "rollover": "EXCESS"},
                    "timezone": "Europe/Rome",
                },
            }
        }
    )

    key: TierKey = Field(description="Unique in the program, archived tiers included")
    levels: list[LevelGiven] = Field(description="1-50; keys and ranks are unique")
    display_name: OptionalText255 = None
    lifecycle: LifecycleGiven | None = Field(default=None, description="`{}` and null mean none")

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        yield from _level_faults(given, unique_ranks=True)
        yield from _min_level_faults(given)

    def to_new(self) -> NewTier:
        """The service's command."""
        lifecycle = None if self.lifecycle is None else self.lifecycle.to_json()
        return NewTier(self.key, [level.to_fields() for level in self.levels], self.display_name, lifecycle or None)


class TierUpdate(UpdateModel):
    model_config = ConfigDict(
        json_schema_extra={"example": {"levels": [{"key": "platinum", "rank": 3, "display_name": "Platinum"}]}}
    )

    display_name: OptionalText255 = omitted()
    levels: list[LevelChange] = Field(default_factory=list, description="Changed by key; levels not named stay")
    lifecycle: LifecycleGiven | None = Field(default=None, description="null leaves it, `{}` clears it, else it is replaced")

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        yield from _level_faults(given, unique_ranks=False)

    def to_changes(self) -> dict[str, Any]:
        """What was sent, for the service."""
        found = self.changes()
        if "levels" in found:
            found["levels"] = [level.to_fields() for level in self.levels]
        if self.lifecycle is not None:
            found["lifecycle"] = self.lifecycle.to_json()
        return found


class TierQuery(ListQuery):
    status: Choice[TierStatus] | None = None
    include_archived: QueryBoolean = Field(default=False, description="Show ARCHIVED ones too")

    def to_filter(self) -> TierFilter:
        """The service's filter."""
        return TierFilter(self.status, self.include_archived)


class CriterionRead(ResponseModel):
    counter: str
    operator: Operator
    threshold: ThresholdRead


class QualificationRead(ResponseModel):
    mode: Mode
    criteria: list[CriterionRead]


class LevelRead(ResponseModel):
    id: UUID
    key: str
    rank: int
    display_name: str | None
    color: str | None
    icon_url: str | None
    benefits: dict[str, Any] | None
    qualification: QualificationRead | None
    created_at: datetime
    updated_at: datetime


class RetentionRead(ResponseModel):
    mode: RetentionMode
    duration: str | None


class PeriodRead(ResponseModel):
    type: PeriodType
    start_month: int | None
    start_day: int | None


class ValidityRead(ResponseModel):
    extend_months: int


class DowngradeRead(ResponseModel):
    mode: DowngradeMode
    grace_days: int
    min_level: str | None


class CountersRead(ResponseModel):
    qualifying: list[str]
    rollover: Rollover


class LifecycleRead(ResponseModel):
    retention: RetentionRead
    qualification_period: PeriodRead
    status_validity: ValidityRead
    downgrade_policy: DowngradeRead
    counters: CountersRead | None
    timezone: str


class TierRead(ResponseModel):
    id: UUID
    program_id: UUID
    key: str
    display_name: str | None
    levels: list[LevelRead] = Field(description="By ascending rank")
    lifecycle: LifecycleRead | None
    status: TierStatus
    archived_at: Annotated[datetime | None, Field(description="Only when ARCHIVED")] = None
    created_at: datetime
    updated_at: datetime


def tier_body(tier: TierRecord) -> dict[str, Any]:
    """A tier as the API shows it."""
    return {
        "id": tier.id,
        "program_id": tier.program_id,
        "key": tier.key,
        "display_name": tier.display_name,
        "levels": [_level_body(level) for level in tier.levels],
        "lifecycle": tier.lifecycle,
        "status": tier.status,
        **({} if tier.archived_at is None else {"archived_at": tier.archived_at}),
        "created_at": tier.created_at,
        "updated_at": tier.updated_at,
    }


def _level_body(level: LevelRecord) -> dict[str, Any]:
    return {
        "id": level.id,
        "key": level.key,
        "rank": level.rank,
        "display_name": level.display_name,
        "color": level.color,
        "icon_url": level.icon_url,
        "benefits": level.benefits,
        "qualification": None if level.qualification is None else _qualification_body(level.qualification),
        "created_at": level.created_at,
        "updated_at": level.updated_at,
    }


def _qualification_body(stored: Mapping[str, Any]) -> dict[str, Any]:
    criteria = [criterion | {"threshold": Decimal(criterion["threshold"])} for criterion in stored["criteria"]]
    return {"mode": stored["mode"], "criteria": criteria}
