"""What a tier is: levels by rank, what qualifies for them, and how long they last (tiers.md 1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import Any
from uuid import UUID

ZERO = Decimal(0)
BASE_RANK = 0


class Mode(StrEnum):
    """How many criteria must be met."""

    ALL = "ALL"
    ANY = "ANY"


class Operator(StrEnum):
    """How a counter is compared with a threshold."""

    AT_LEAST = ">="
    ABOVE = ">"
    EQUAL = "=="
    AT_MOST = "<="
    BELOW = "<"


class RetentionMode(StrEnum):
    """What keeps a level: a period's counters, or activity."""

    PERIOD_BASED = "PERIOD_BASED"
    ACTIVITY_REFRESH = "ACTIVITY_REFRESH"


class PeriodType(StrEnum):
    """When periods end."""

    CALENDAR_YEAR = "CALENDAR_YEAR"
    FIXED_YEAR = "FIXED_YEAR"
    NONE = "NONE"


class DowngradeMode(StrEnum):
    """Where a level that isn't kept falls to."""

    DROP_TO_QUALIFYING = "DROP_TO_QUALIFYING"
    DROP_ONE = "DROP_ONE"
    HOLD = "HOLD"


class Rollover(StrEnum):
    """What is left of a qualifying counter at a period end."""

    NONE = "NONE"
    EXCESS = "EXCESS"


@dataclass(frozen=True, slots=True)
class Criterion:
    """A counter compared with a threshold."""

    counter: str
    operator: Operator
    threshold: Decimal

    def is_met(self, counters: Mapping[str, Decimal]) -> bool:
        """By these effective counters; a missing one is zero."""
        value = counters.get(self.counter, ZERO)
        match self.operator:
            case Operator.AT_LEAST:
                return value >= self.threshold
            case Operator.ABOVE:
                return value > self.threshold
            case Operator.EQUAL:
                return value == self.threshold
            case Operator.AT_MOST:
                return value <= self.threshold
            case Operator.BELOW:
                return value < self.threshold


@dataclass(frozen=True, slots=True)
class Qualification:
    """What a holder's counters must be for a level."""

    mode: Mode
    criteria: tuple[Criterion, ...]

    def is_met(self, counters: Mapping[str, Decimal]) -> bool:
        """By these effective counters."""
        met = (criterion.is_met(counters) for criterion in self.criteria)
        return all(met) if self.mode is Mode.ALL else any(met)


@dataclass(frozen=True, slots=True)
class Level:
    """A level as rules and windows see it; without a qualification it is never assigned automatically."""

    key: str
    rank: int
    qualification: Qualification | None = None
    benefits: Mapping[str, Any] | None = None

    def is_qualified(self, counters: Mapping[str, Decimal]) -> bool:
        """Whether these effective counters qualify for it."""
        return self.qualification is not None and self.qualification.is_met(counters)


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """How long levels last (tiers.md 1.3); omitted parts have their defaults."""

    mode: RetentionMode
    duration: timedelta | None = None
    period: PeriodType = PeriodType.NONE
    start_month: int = 1
    start_day: int = 1
    extend_months: int = 0
    downgrade: DowngradeMode = DowngradeMode.DROP_TO_QUALIFYING
    grace_days: int = 0
    min_level: str | None = None
    qualifying: tuple[str, ...] = ()
    rollover: Rollover = Rollover.NONE
    timezone: str = "UTC"

    @property
    def has_periods(self) -> bool:
        """Whether there are period ends."""
        return self.mode is RetentionMode.PERIOD_BASED and self.period is not PeriodType.NONE


@dataclass(frozen=True)
class Tier:
    """A ranked track of levels in one program, its levels by ascending rank; `lifecycle_number` counts its lifecycles."""

    id: UUID
    program_id: UUID
    key: str
    levels: tuple[Level, ...]
    lifecycle: Lifecycle | None = None
    lifecycle_started_at: datetime | None = None
    is_archived: bool = False
    lifecycle_number: int = 0

    @cached_property
    def by_key(self) -> Mapping[str, Level]:
        """The levels by their keys."""
        return {level.key: level for level in self.levels}

    @cached_property
    def counters(self) -> frozenset[str]:
        """The counters it names, in criteria or to roll over."""
        named = {c.counter for level in self.levels if level.qualification for c in level.qualification.criteria}
        return frozenset(named | set(self.lifecycle.qualifying if self.lifecycle else ()))

    def rank_of(self, level: str | None) -> int:
        """The rank of a level; base is 0."""
        return BASE_RANK if level is None else self.by_key[level].rank

    def best_for(self, counters: Mapping[str, Decimal]) -> Level | None:
        """The level of highest rank that these effective counters qualify for."""
        return next((level for level in reversed(self.levels) if level.is_qualified(counters)), None)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a holder has of one tier; `level` None is base. Moments in UTC.

    `expires_at` is the explicit expiry, `lifecycle_expires_at` the one of tiers.md 4.1 (without grace days);
    `steps_done_through` is the last period end whose steps were done, None before the first.
    """

    level: str | None = None
    acquired_at: datetime | None = None
    expires_at: datetime | None = None
    lifecycle_expires_at: datetime | None = None
    steps_done_through: datetime | None = None

    @property
    def shown_expiry(self) -> datetime | None:
        """The explicit expiry if one is set, else the lifecycle's."""
        return self.expires_at or self.lifecycle_expires_at
