"""Tier `club` of the examples, and standings in it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from domain.tiers.definition import Criterion, Level, Lifecycle, Mode, Operator, Qualification, Standing, Tier

PROGRAM = UUID(int=0xC0)
CLUB = UUID(int=0x71)
NOW = datetime(2030, 6, 1, 12, tzinfo=UTC)
THRESHOLDS = {"bronze": 100, "silver": 500, "gold": 1000}


def at_least(threshold: int, counter: str = "points") -> Qualification:
    return Qualification(Mode.ALL, (Criterion(counter, Operator.AT_LEAST, Decimal(threshold)),))


def club(lifecycle: Lifecycle | None = None, **fields: Any) -> Tier:
    """Bronze, silver and gold at 100, 500 and 1000 points."""
    levels = tuple(Level(key, rank, at_least(points)) for rank, (key, points) in enumerate(THRESHOLDS.items(), 1))
    usual = {"id": CLUB, "program_id": PROGRAM, "key": "club", "levels": levels, "lifecycle": lifecycle}
    return Tier(**usual | fields)


def held(level: str, **fields: Any) -> Standing:
    return Standing(level, NOW.replace(month=1), **fields)


def points(value: int) -> Mapping[str, Decimal]:
    return {"points": Decimal(value)}
