"""How far a holder is from the next level (tiers.md 5.6)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from domain.money import CONTEXT
from domain.tiers.calendar import end_after
from domain.tiers.definition import BASE_RANK, ZERO, Criterion, Level, Operator, Standing, Tier


@dataclass(frozen=True, slots=True)
class CriterionProgress:
    """A criterion of the next level and the effective counter; `missing` None: what is missing can't come by growth."""

    criterion: Criterion
    current: Decimal
    is_met: bool
    missing: Decimal | None


@dataclass(frozen=True, slots=True)
class Progress:
    """The present level, base being None, and what the next one takes; `qualified`: the next event raises the level."""

    tier: Tier
    standing: Standing
    next_level: Level | None
    criteria: tuple[CriterionProgress, ...]
    period_end: datetime | None

    @property
    def rank(self) -> int:
        """The rank of the present level."""
        return self.tier.rank_of(self.standing.level)

    @property
    def is_qualified(self) -> bool:
        """Whether the next level's qualification is met now."""
        if self.next_level is None:
            return False
        return self.next_level.is_qualified({each.criterion.counter: each.current for each in self.criteria})


def progress(tier: Tier, standing: Standing, counters: Mapping[str, Decimal], now: datetime) -> Progress:
    """From a standing and the holder's effective counters to the next level; nothing is next in an archived tier."""
    if tier.is_archived:
        return Progress(tier, standing, None, (), None)
    rank = BASE_RANK if standing.level is None else tier.rank_of(standing.level)
    following = next((level for level in tier.levels if level.rank > rank and level.qualification is not None), None)
    wanted = following.qualification.criteria if following is not None and following.qualification is not None else ()
    period_end = None if tier.lifecycle is None else end_after(tier.lifecycle, now)
    return Progress(tier, standing, following, tuple(_criterion(each, counters) for each in wanted), period_end)


def _criterion(criterion: Criterion, counters: Mapping[str, Decimal]) -> CriterionProgress:
    current = counters.get(criterion.counter, ZERO)
    is_met = criterion.is_met(counters)
    return CriterionProgress(criterion, current, is_met, _missing(criterion, current))


def _missing(criterion: Criterion, current: Decimal) -> Decimal | None:
    difference = CONTEXT.subtract(criterion.threshold, current)
    match criterion.operator:
        case Operator.AT_LEAST | Operator.ABOVE:
            return max(difference, ZERO)
        case Operator.EQUAL:
            return difference if difference >= 0 else None
        case Operator.AT_MOST | Operator.BELOW:
            return ZERO if criterion.is_met({criterion.counter: current}) else None
