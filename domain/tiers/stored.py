"""Lifecycles and qualifications as JSON, the form in which they are stored and answered (tiers.md 1.2, 1.3)."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from domain.durations import parse_duration
from domain.tiers.definition import (
    Criterion,
    DowngradeMode,
    Lifecycle,
    Mode,
    Operator,
    PeriodType,
    Qualification,
    RetentionMode,
    Rollover,
)

Json = Mapping[str, Any]


def lifecycle_of(stored: Json) -> Lifecycle:
    """What a stored lifecycle means; every part is there but `counters`, which may be null."""
    retention, period = stored["retention"], stored["qualification_period"]
    downgrade, counters = stored["downgrade_policy"], stored["counters"]
    return Lifecycle(
        mode=RetentionMode(retention["mode"]),
        duration=None if retention["duration"] is None else parse_duration(retention["duration"]),
        period=PeriodType(period["type"]),
        start_month=int(period["start_month"] or 1),
        start_day=int(period["start_day"] or 1),
        extend_months=int(stored["status_validity"]["extend_months"]),
        downgrade=DowngradeMode(downgrade["mode"]),
        grace_days=int(downgrade["grace_days"]),
        min_level=downgrade["min_level"],
        qualifying=() if counters is None else tuple(counters["qualifying"]),
        rollover=Rollover.NONE if counters is None else Rollover(counters["rollover"]),
        timezone=stored["timezone"],
    )


def qualification_of(stored: Json) -> Qualification:
    """What a stored qualification means; its thresholds are texts."""
    criteria = (Criterion(item["counter"], Operator(item["operator"]), Decimal(item["threshold"])) for item in stored["criteria"])
    return Qualification(Mode(stored["mode"]), tuple(criteria))
