"""Tiers over years, the slow way: half an hour at a time, each asked whether a day of somebody's calendar begins with it.

It knows no period ends and no expiries in UTC, only what a calendar on the wall shows, and shares nothing with the
product but the words of a tier's definition.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from zoneinfo import ZoneInfo

from domain.tiers.definition import DowngradeMode, PeriodType, RetentionMode, Rollover, Tier

START = datetime(2027, 11, 20, tzinfo=UTC)
TICK = timedelta(minutes=30)
TICKS = 3 * 366 * 48
COMPARE = {
    ">=": lambda a, b: a >= b,
    ">": lambda a, b: a > b,
    "==": lambda a, b: a == b,
    "<=": lambda a, b: a <= b,
    "<": lambda a, b: a < b,
}


def moment_of(tick: int) -> datetime:
    return START + tick * TICK


@cache
def walls(zone: str) -> list[datetime]:
    """What the clock on the wall shows at each tick."""
    info = ZoneInfo(zone)
    return [moment_of(tick).astimezone(info).replace(tzinfo=None) for tick in range(TICKS)]


@cache
def mornings(zone: str) -> list[int]:
    """The ticks with which a day begins."""
    shown = walls(zone)
    return [tick for tick in range(1, TICKS) if shown[tick].date() > shown[tick - 1].date()]


@cache
def new_years(zone: str, month: int, day: int) -> frozenset[int]:
    """The ticks with which a period begins."""
    return frozenset(tick for tick in mornings(zone) if (walls(zone)[tick].month, walls(zone)[tick].day) == (month, day))


def months_later(day: date, months: int) -> date:
    year, month, last = day.year, day.month, day.day
    for _ in range(months):
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    while True:
        try:
            return date(year, month, last)
        except ValueError:
            last -= 1


@dataclass
class Has:
    """Of one tier; `step` 0 is base, `valid` a wall-clock day or moment."""

    step: int = 0
    since: int | None = None
    until: int | None = None
    valid: datetime | None = None


@dataclass
class Purse:
    """One counter; `reset` ticks after `begun` it counts as nothing."""

    value: Decimal
    reset: int | None = None
    begun: int = 0

    def at(self, tick: int) -> Decimal:
        return Decimal(0) if self.reset is not None and tick >= self.begun + self.reset else self.value


@dataclass
class Model:
    """A holder and its tiers; `starts` are the ticks of their lifecycles."""

    tiers: list[Tier]
    starts: list[int]
    joined: dict[object, int]
    has: list[Has] = field(default_factory=list)
    purses: dict[str, Purse] = field(default_factory=dict)
    log: list[tuple[object, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.has = [Has() for _ in self.tiers]

    def pass_tick(self, tick: int) -> None:
        rolls = [number for number in range(len(self.tiers)) if self._tier(number, tick)]
        for number in rolls:
            self._roll(number, tick)

    def _tier(self, number: int, tick: int) -> bool:
        tier, has = self.tiers[number], self.has[number]
        cycle = tier.lifecycle
        if has.step and has.until is not None and tick >= has.until:
            self._fall(number, 0, "EXPIRY", tick)
        if cycle is None:
            return False
        periods = cycle.mode is RetentionMode.PERIOD_BASED
        begins = self._begins(number, tick) and tick > self.starts[number] and self._takes_part(number)
        over = bool(has.step) and has.until is None and self._is_over(number, tick)
        if has.step and has.until is None and (begins or over):
            if periods and self._fits(number, has.step, tick):
                has.valid = self.validity(number, has.step, tick)
            elif over:
                self._fall(number, self._target(number, tick), "PERIOD_END" if periods else "INACTIVITY", tick)
        return begins or (over and not periods)

    def _begins(self, number: int, tick: int) -> bool:
        cycle = self.tiers[number].lifecycle
        if cycle is None or cycle.mode is RetentionMode.ACTIVITY_REFRESH or cycle.period is PeriodType.NONE:
            return False
        month, day = (1, 1) if cycle.period is PeriodType.CALENDAR_YEAR else (cycle.start_month, cycle.start_day)
        return tick in new_years(cycle.timezone, month, day)

    def _takes_part(self, number: int) -> bool:
        if self.has[number].step:
            return True
        cycle = self.tiers[number].lifecycle
        return any(key in self.purses for key in cycle.qualifying) and self.tiers[number].program_id in self.joined

    def _is_over(self, number: int, tick: int) -> bool:
        cycle, valid = self.tiers[number].lifecycle, self.has[number].valid
        return valid is not None and walls(cycle.timezone)[tick] >= valid + timedelta(days=cycle.grace_days)

    def validity(self, number: int, step: int, tick: int) -> datetime | None:
        cycle = self.tiers[number].lifecycle
        if cycle is None or step == 0 or cycle.downgrade is DowngradeMode.HOLD or step <= self._floor(number):
            return None
        shown = walls(cycle.timezone)
        if cycle.mode is RetentionMode.ACTIVITY_REFRESH:
            # elapsed time, shown on the wall
            zone = ZoneInfo(cycle.timezone)
            return (moment_of(tick) + cycle.duration).astimezone(zone).replace(tzinfo=None)
        if cycle.period is PeriodType.NONE:
            return None
        day = shown[tick].date() + timedelta(days=1)
        month, first = (1, 1) if cycle.period is PeriodType.CALENDAR_YEAR else (cycle.start_month, cycle.start_day)
        while (day.month, day.day) != (month, first):
            day += timedelta(days=1)
        return datetime.combine(months_later(day, cycle.extend_months), datetime.min.time())

    def _floor(self, number: int) -> int:
        cycle = self.tiers[number].lifecycle
        keys = [level.key for level in self.tiers[number].levels]
        return 0 if cycle.min_level is None else keys.index(cycle.min_level) + 1

    def _fits(self, number: int, step: int, tick: int) -> bool:
        wanted = self.tiers[number].levels[step - 1].qualification
        if wanted is None:
            return False
        found = [
            COMPARE[c.operator](self.purses[c.counter].at(tick) if c.counter in self.purses else Decimal(0), c.threshold)
            for c in wanted.criteria
        ]
        return False not in found if wanted.mode == "ALL" else True in found

    def _target(self, number: int, tick: int) -> int:
        cycle, step = self.tiers[number].lifecycle, self.has[number].step - 1
        if cycle.downgrade is DowngradeMode.DROP_TO_QUALIFYING:
            while step and not self._fits(number, step, tick):
                step -= 1
        return max(step, self._floor(number))

    def _fall(self, number: int, step: int, why: str, tick: int) -> None:
        has = self.has[number]
        self.log.append((number, has.step, step, why, moment_of(tick)))
        has.step, has.since, has.until = step, tick if step else None, None
        has.valid = self.validity(number, step, tick)

    def _roll(self, number: int, tick: int) -> None:
        tier = self.tiers[number]
        cycle, step = tier.lifecycle, self.has[number].step
        for key in cycle.qualifying:
            if key not in self.purses or self.purses[key].at(tick) == 0:
                continue
            purse, rest = self.purses[key], Decimal(0)
            wanted = tier.levels[step - 1].qualification if step else None
            if cycle.rollover is Rollover.EXCESS and wanted is not None:
                bars = sorted(c.threshold for c in wanted.criteria if c.counter == key and c.operator in (">=", ">", "=="))
                if bars and purse.value > bars[-1]:
                    rest = purse.value - bars[-1]
            if rest != purse.value:
                self.log.append(("counter", key, purse.value, rest))
                purse.value = rest
