"""Years of tiers, compared with a model that goes through them half an hour at a time, whoever visits when."""

import random
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from domain.state import Counter
from domain.tiers.calendar import lifecycle_expiry
from domain.tiers.definition import (
    Criterion,
    DowngradeMode,
    Level,
    Lifecycle,
    Mode,
    Operator,
    PeriodType,
    Qualification,
    RetentionMode,
    Rollover,
    Standing,
    Tier,
)
from domain.tiers.windows import Holdings, advance, first_marks, next_due
from tests.domain.tiers.model import TICKS, Has, Model, Purse, moment_of

KEYS = ("points", "nights", "spend")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Adelaide", "Pacific/Auckland", "America/Havana")
DAYS = ((1, 1), (2, 28), (3, 31), (8, 31), (10, 30), (12, 31))
SEEDS = 24
PROGRAMS = (UUID(int=901), UUID(int=902))
NAMES = ("bronze", "silver", "gold", "platinum")


def a_qualification(dice: random.Random, step: int) -> Qualification | None:
    if dice.random() < 0.1:
        return None
    operators = (Operator.AT_LEAST,) * 6 + (Operator.ABOVE, Operator.EQUAL, Operator.AT_MOST, Operator.BELOW)
    criteria = tuple(
        Criterion(dice.choice(KEYS[:2]), dice.choice(operators), Decimal(step * dice.choice((50, 100, 200))))
        for _ in range(dice.choice((1, 1, 1, 2)))
    )
    return Qualification(dice.choice(tuple(Mode)), criteria)


def a_lifecycle(dice: random.Random) -> Lifecycle | None:
    kind = dice.choice(("calendar", "fixed", "fixed", "activity", "none", None))
    if kind is None:
        return None
    common = {
        "downgrade": dice.choice((*DowngradeMode, DowngradeMode.DROP_ONE)),
        "grace_days": dice.choice((0, 0, 1, 10, 366)),
        "min_level": dice.choice((None, None, "bronze", "silver")),
        "qualifying": tuple(dice.sample(KEYS, dice.choice((0, 1, 2)))),
        "rollover": dice.choice(tuple(Rollover)),
        "timezone": dice.choice(ZONES),
    }
    if kind == "activity":
        return Lifecycle(RetentionMode.ACTIVITY_REFRESH, duration=timedelta(hours=dice.choice((720, 2001, 9000))), **common)
    month, day = dice.choice(DAYS) if kind == "fixed" else (1, 1)
    period = {"calendar": PeriodType.CALENDAR_YEAR, "fixed": PeriodType.FIXED_YEAR, "none": PeriodType.NONE}[kind]
    extend = dice.choice((0, 0, 1, 2, 6, 12, 13))
    return Lifecycle(RetentionMode.PERIOD_BASED, period=period, start_month=month, start_day=day, extend_months=extend, **common)


@dataclass
class Pair:
    """The product and the model, side by side: what one is told the other is told."""

    dice: random.Random
    tiers: list[Tier]
    starts: list[int]
    model: Model
    holdings: Holdings
    log: list[tuple[object, ...]] = field(default_factory=list)

    def visit(self, tick: int) -> None:
        done = advance(self.holdings, moment_of(tick))
        self.holdings = done.holdings
        due = next_due(self.holdings)
        assert due is None or due > moment_of(tick)
        assert advance(self.holdings, moment_of(tick)).holdings == self.holdings
        for low in done.lowerings:
            tier = low.tier
            self.log.append(
                (self.tiers.index(tier), tier_step(tier, low.before), tier_step(tier, low.after), low.reason, low.due_at)
            )
        for change in (rolled.change for rolled in done.rolled_over):
            self.log.append(("counter", change.key, Decimal(change.old_value or ""), Decimal(change.new_value or "")))

    def count(self, tick: int) -> None:
        """A counter is written, with or without a time of its own."""
        key, value = self.dice.choice(KEYS), Decimal(self.dice.choice((0, 60, 120, 250, 400, 900)))
        hours = self.dice.choice((None, None, None, 5000))
        counter = Counter(value) if hours is None else Counter(value, f"{hours}h", moment_of(tick))
        marks = first_marks(self.holdings, {key} - self.holdings.counters.keys(), moment_of(tick))
        standings = {**self.holdings.standings, **marks}
        counters = {**self.holdings.counters, key: counter}
        self.holdings = replace(self.holdings, standings=standings, counters=counters)
        self.model.purses[key] = Purse(value, None if hours is None else hours * 2, tick)

    def forget(self, _: int) -> None:
        key = self.dice.choice(KEYS)
        counters = {name: counter for name, counter in self.holdings.counters.items() if name != key}
        self.holdings = replace(self.holdings, counters=counters)
        self.model.purses.pop(key, None)

    def assign(self, tick: int) -> None:
        """Only who takes part in the program has a level."""
        number = self.dice.randrange(len(self.tiers))
        tier, step = self.tiers[number], self.dice.randrange(5)
        self._join(tier.program_id, tick)
        until = tick + self.dice.choice((1, 4000, 20000)) if step and self.dice.random() < 0.3 else None
        old, level = self.holdings.standing(tier), NAMES[step - 1] if step else None
        acquired = old.acquired_at if level == old.level else (moment_of(tick) if level else None)
        expiry = lifecycle_expiry(tier, level, moment_of(tick))
        mark = old.steps_done_through or (old.acquired_at if level != old.level else None)
        explicit = None if until is None else moment_of(until)
        standing = Standing(level, acquired, explicit, expiry, mark)
        self.holdings = replace(self.holdings, standings={**self.holdings.standings, tier.id: standing})
        had = self.model.has[number]
        since = had.since if had.step == step else (tick if step else None)
        self.model.has[number] = Has(step, since, until, self.model.validity(number, step, tick))

    def join(self, tick: int) -> None:
        self._join(self.dice.choice(PROGRAMS), tick)

    def _join(self, program: UUID, tick: int) -> None:
        if self.holdings.enrolled_at is not None:
            self.holdings = replace(self.holdings, enrolled_at={program: moment_of(tick), **self.holdings.enrolled_at})
            self.model.joined.setdefault(program, tick)

    def compare(self) -> None:
        # one step's levels come before its counters: each kind in its own order
        for kind in (lambda row: row[0] == "counter", lambda row: row[0] != "counter"):
            assert list(filter(kind, self.log)) == list(filter(kind, self.model.log))
        assert {key: counter.value for key, counter in self.holdings.counters.items()} == {
            key: purse.value for key, purse in self.model.purses.items()
        }
        for tier, has in zip(self.tiers, self.model.has, strict=True):
            standing = self.holdings.standing(tier)
            assert tier_step(tier, standing.level) == has.step
            assert standing.acquired_at == (None if has.since is None else moment_of(has.since))
            assert standing.expires_at == (None if has.until is None else moment_of(has.until))
            assert shown(tier, standing) == has.valid


def tier_step(tier: Tier, level: str | None) -> int:
    return 0 if level is None else NAMES.index(level) + 1


def shown(tier: Tier, standing: Standing) -> datetime | None:
    """The lifecycle expiry on the wall."""
    if standing.lifecycle_expires_at is None or tier.lifecycle is None:
        return None
    return standing.lifecycle_expires_at.astimezone(ZoneInfo(tier.lifecycle.timezone)).replace(tzinfo=None)


def a_pair(seed: int) -> Pair:
    dice = random.Random(seed)
    tiers, starts = [], []
    for number in range(dice.choice((1, 2, 3))):
        start = dice.choice((0, 0, 15000))
        levels = tuple(Level(name, 10 * step, a_qualification(dice, step)) for step, name in enumerate(NAMES, 1))
        tier = Tier(UUID(int=number + 1), dice.choice(PROGRAMS), f"t{number}", levels, a_lifecycle(dice), moment_of(start))
        tiers.append(tier if tier.lifecycle else replace(tier, lifecycle_started_at=None))
        starts.append(start)
    is_group = dice.random() < 0.3
    joined = dict.fromkeys(PROGRAMS, 0) if is_group else {}
    return Pair(dice, tiers, starts, Model(tiers, starts, joined), Holdings(tuple(tiers), {}, {}, None if is_group else {}))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_years_go_as_the_calendar_on_the_wall_says(seed: int) -> None:
    pair = a_pair(seed)
    dice = pair.dice
    often = dice.choice((60, 400))
    deeds = {dice.randrange(1, TICKS): pair.visit for _ in range(10)}
    for _ in range(often):
        deeds[dice.randrange(1, TICKS)] = dice.choice((pair.count, pair.count, pair.forget, pair.assign, pair.assign, pair.join))
    for tick in range(1, TICKS):
        pair.model.pass_tick(tick)
        if deed := deeds.get(tick):
            pair.visit(tick)
            deed(tick)
    pair.visit(TICKS - 1)
    pair.compare()


def test_the_seeds_meet_every_kind_of_step() -> None:
    """What the comparison is worth: over all seeds each reason and a good number of roll-overs happen."""
    pairs = [a_pair(seed) for seed in range(SEEDS)]
    cycles = [tier.lifecycle for pair in pairs for tier in pair.tiers if tier.lifecycle]
    assert {cycle.downgrade for cycle in cycles} == set(DowngradeMode)
    assert {cycle.timezone for cycle in cycles} == set(ZONES)
    assert {cycle.rollover for cycle in cycles} == set(Rollover)
