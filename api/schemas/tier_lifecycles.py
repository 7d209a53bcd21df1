"""Lifecycles of tiers and qualifications of levels in requests (tiers.md 1.2, 1.3): their forms, and the stored JSON."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any
from zoneinfo import available_timezones

from pydantic import Field, WithJsonSchema

from api.schemas.common import (
    Choice,
    CreateModel,
    Duration,
    Form,
    Given,
    StateKey,
    duration,
    fault,
    integer,
    refuse,
)
from api.schemas.tier_keys import TierKey
from domain.errors import Fault
from domain.money import CEILING, MAX_SCALE, MAX_SIGNIFICANT_DIGITS, format_plain, parse_signed, to_scale
from domain.tiers.definition import DowngradeMode, Mode, Operator, PeriodType, RetentionMode, Rollover

MAX_CRITERIA = 20
_DAYS = {2: 28, 4: 30, 6: 30, 9: 30, 11: 30}
_MOST_DAYS = 31
_ZONES = available_timezones()


def _threshold(value: object) -> Decimal:
    if isinstance(value, str):
        found = parse_signed(value)
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        found = Decimal(value)
    else:
        refuse("invalid", "Must be a number or a decimal string")
    if not -1000 < found.adjusted() < MAX_SIGNIFICANT_DIGITS or not -CEILING < (rounded := to_scale(found, MAX_SCALE)) < CEILING:
        refuse("out_of_range", "At most 20 digits before the point")
    return rounded


def _timezone(value: object) -> str:
    if not isinstance(value, str) or value not in _ZONES:
        refuse("invalid", "Must be the name of a time zone like Europe/Rome")
    return value


_THRESHOLD_SCHEMA = {"anyOf": [{"type": "number"}, {"type": "string"}], "examples": [1000, "99.5"]}
Threshold = Annotated[Decimal, Form(_threshold, "number or decimal string", _THRESHOLD_SCHEMA)]
ThresholdRead = Annotated[Decimal, WithJsonSchema({"type": "number", "examples": [1000]})]
Timezone = Annotated[str, Form(_timezone, "IANA time zone", {"type": "string", "examples": ["UTC", "Europe/Rome"]})]
Activity = Annotated[Duration, duration(timedelta(minutes=1), timedelta(hours=876_000), expected="duration from 1m to 876000h")]


class CriterionGiven(CreateModel):
    counter: StateKey
    operator: Choice[Operator]
    threshold: Threshold = Field(description="Rounded to 18 decimals")

    def to_json(self) -> dict[str, str]:
        """The stored form."""
        return {"counter": self.counter, "operator": self.operator.value, "threshold": format_plain(self.threshold)}


class QualificationGiven(CreateModel):
    """Which counters a level takes; an empty object is none."""

    mode: Choice[Mode] | None = Field(default=None, description="Required unless the object is empty")
    criteria: list[CriterionGiven] | None = Field(default=None, description="1-20, required unless the object is empty")

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        for name in ("mode", "criteria"):
            if given and name not in given:
                yield fault(name, "required", "This field is required")
        yield from list_faults("criteria", given.get("criteria"), MAX_CRITERIA)

    def to_json(self) -> dict[str, Any]:
        """The stored form, empty without a qualification."""
        if self.mode is None:
            return {}
        return {"mode": self.mode.value, "criteria": [criterion.to_json() for criterion in self.criteria or ()]}


class RetentionGiven(CreateModel):
    mode: Choice[RetentionMode]
    duration: Activity | None = Field(default=None, description="Required with ACTIVITY_REFRESH, not allowed otherwise")

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        if given.get("mode") == RetentionMode.ACTIVITY_REFRESH and "duration" not in given:
            yield fault("duration", "required", "Needed with ACTIVITY_REFRESH", expected="duration")
        if given.get("mode") == RetentionMode.PERIOD_BASED and "duration" in given:
            yield fault("duration", "not_allowed", "Only with ACTIVITY_REFRESH", received=given["duration"])


class PeriodGiven(CreateModel):
    type: Choice[PeriodType] = Field(default=PeriodType.NONE, description="Required with PERIOD_BASED")
    start_month: Annotated[int, integer(1, 12)] | None = Field(default=None, description="With FIXED_YEAR only")
    start_day: Annotated[int, integer(1, _MOST_DAYS)] | None = Field(
        default=None, description="With FIXED_YEAR only; a day that the month has in every year"
    )

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        for name in ("start_month", "start_day"):
            if given.get("type") == PeriodType.FIXED_YEAR:
                if name not in given:
                    yield fault(name, "required", "Needed with FIXED_YEAR", expected="integer")
            elif name in given:
                yield fault(name, "not_allowed", "Only with FIXED_YEAR", received=given[name])
        month, day = given.get("start_month"), given.get("start_day")
        if type(month) is int and type(day) is int and _DAYS.get(month, _MOST_DAYS) < day <= _MOST_DAYS:
            yield fault(
                "start_day", "out_of_range", "The month doesn't have this day in every year", expected="integer", received=day
            )


class ValidityGiven(CreateModel):
    extend_months: Annotated[int, integer(0, 120)] = Field(default=0, description="PERIOD_BASED only")


class DowngradeGiven(CreateModel):
    mode: Choice[DowngradeMode] = DowngradeMode.DROP_TO_QUALIFYING
    grace_days: Annotated[int, integer(0, 3650)] = 0
    min_level: TierKey | None = Field(default=None, description="A level; lifecycle downgrades never go below it")


class CountersGiven(CreateModel):
    qualifying: list[StateKey] = Field(description="Counters that roll over, at least one")
    rollover: Choice[Rollover] = Rollover.NONE

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        keys = given.get("qualifying")
        yield from list_faults("qualifying", keys, None)
        seen: set[str] = set()
        for index, key in enumerate(keys if isinstance(keys, list) else ()):
            if isinstance(key, str):
                if key in seen:
                    yield fault(f"qualifying[{index}]", "duplicate", "The same counter twice", received=key)
                seen.add(key)


class LifecycleGiven(CreateModel):
    """How long levels last; an empty object is no lifecycle."""

    retention: RetentionGiven | None = Field(default=None, description="Required unless the whole object is empty")
    qualification_period: PeriodGiven | None = None
    status_validity: ValidityGiven | None = None
    downgrade_policy: DowngradeGiven | None = None
    counters: CountersGiven | None = Field(default=None, description="Without it nothing rolls over")
    timezone: Timezone = "UTC"

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        if given and "retention" not in given:
            yield fault("retention", "required", "Needed unless the whole object is empty", expected="object")
        retention = given.get("retention")
        mode = retention.get("mode") if isinstance(retention, dict) else None
        period = given.get("qualification_period")
        kind = period.get("type") if isinstance(period, dict) else None
        if mode == RetentionMode.PERIOD_BASED and kind is None and (period is None or isinstance(period, dict)):
            yield fault(
                "qualification_period.type", "required", "Needed with PERIOD_BASED", expected="one of " + ", ".join(PeriodType)
            )
        if mode == RetentionMode.ACTIVITY_REFRESH:
            if kind in (PeriodType.CALENDAR_YEAR, PeriodType.FIXED_YEAR):
                yield fault("qualification_period.type", "not_allowed", "Only with PERIOD_BASED", received=kind)
            validity = given.get("status_validity")
            months = validity.get("extend_months") if isinstance(validity, dict) else None
            if type(months) is int and months:
                yield fault("status_validity.extend_months", "not_allowed", "Only with PERIOD_BASED", received=months)

    def to_json(self) -> dict[str, Any]:
        """The stored form with all defaults, empty without a lifecycle."""
        if self.retention is None:
            return {}
        period, downgrade = self.qualification_period or PeriodGiven(), self.downgrade_policy or DowngradeGiven()
        return {
            "retention": {"mode": self.retention.mode.value, "duration": _text(self.retention.duration)},
            "qualification_period": {
                "type": period.type.value,
                "start_month": period.start_month,
                "start_day": period.start_day,
            },
            "status_validity": {"extend_months": (self.status_validity or ValidityGiven()).extend_months},
            "downgrade_policy": {
                "mode": downgrade.mode.value,
                "grace_days": downgrade.grace_days,
                "min_level": downgrade.min_level,
            },
            "counters": None
            if self.counters is None
            else {"qualifying": self.counters.qualifying, "rollover": self.counters.rollover.value},
            "timezone": self.timezone,
        }


def list_faults(name: str, value: object, maximum: int | None) -> Iterator[Fault]:
    """What is wrong with the length of a list that must not be empty."""
    if not isinstance(value, list):
        return
    if not value:
        yield fault(name, "too_short", "At least one", expected="at least one" if maximum is None else f"1 to {maximum}")
    elif maximum is not None and len(value) > maximum:
        yield fault(name, "too_long", f"At most {maximum}", expected=f"1 to {maximum}")


def _text(value: Duration | None) -> str | None:
    return None if value is None else str(value)
