"""What time does to a holder's levels and counters: period ends, lapses, explicit expiries (tiers.md 3.3, 4.2 to 4.4).

A value goes in, a value comes out: `advance` carries out what has come due, in the order of the moments, each step once.
At one moment every tier is judged by the counters before any of them rolls over; an explicit expiry comes before a period
end, because the level isn't held at that moment any more.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from domain.money import CONTEXT, format_plain
from domain.state import Counter, StateChange
from domain.tiers.calendar import end_after, lapse_at, lifecycle_expiry
from domain.tiers.changes import Reason
from domain.tiers.definition import DowngradeMode, Level, Operator, RetentionMode, Rollover, Standing, Tier

ZERO = Decimal(0)
BASE = Standing()
_RAISING = (Operator.AT_LEAST, Operator.ABOVE, Operator.EQUAL)


@dataclass(frozen=True, slots=True)
class Lowering:
    """A level lost at its due moment; `after` None is base, `expires_at` the new level's."""

    tier: Tier
    before: str
    after: str | None
    reason: Reason
    due_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class RolledOver:
    """A counter that a tier rolled over, as the state history tells it."""

    tier: Tier
    change: StateChange


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a holder has: its standings of its organization's ACTIVE tiers, and its counters.

    `enrolled_at` says by program since when a participant takes part; None for a group, which takes part in all.
    """

    tiers: tuple[Tier, ...]
    standings: Mapping[UUID, Standing]
    counters: Mapping[str, Counter]
    enrolled_at: Mapping[UUID, datetime] | None = None

    def standing(self, tier: Tier) -> Standing:
        """What it has of a tier."""
        return self.standings.get(tier.id, BASE)


@dataclass(frozen=True, slots=True)
class Advance:
    """What came of time: the holdings after it, and what happened on the way, in order."""

    holdings: Holdings
    lowerings: tuple[Lowering, ...] = ()
    rolled_over: tuple[RolledOver, ...] = ()


def next_due(holdings: Holdings) -> datetime | None:
    """When the next step of any tier is due, which may have passed."""
    return min((moment for tier in holdings.tiers if (moment := _next_of(holdings, tier)) is not None), default=None)


def next_visit(holdings: Holdings, tier: Tier, now: datetime) -> datetime | None:
    """When somebody must look at a holder's tier again; holders that may join its program until then are looked at, too."""
    due = _next_of(holdings, tier)
    if due is None and tier.lifecycle is not None and _has_qualifying(tier, holdings.counters):
        return end_after(tier.lifecycle, now)
    return due


def advance(holdings: Holdings, until: datetime) -> Advance:
    """Carry out everything that is due up to and including a moment; RuntimeError when something is due again that was done."""
    run: _Run | None = None
    done: datetime | None = None
    while (moment := next_due(holdings if run is None else run.holdings)) is not None and moment <= until:
        if done is not None and moment <= done:
            raise RuntimeError(f"what was due at {done} is due again, at {moment}")
        run = run or _Run(holdings)
        run.step(moment)
        done = moment
    return Advance(holdings) if run is None else Advance(run.holdings, tuple(run.lowerings), tuple(run.rolled_over))


def first_marks(holdings: Holdings, created: Iterable[str], now: datetime) -> dict[UUID, Standing]:
    """Standings that say from when on period ends concern a holder that had no part in them until some counters were created.

    `holdings` are those before, up to date; what it had a part in already has its mark.
    """
    keys = set(created)
    concerned = (tier for tier in holdings.tiers if tier.lifecycle is not None and keys & set(tier.lifecycle.qualifying))
    return {
        tier.id: replace(holdings.standing(tier), steps_done_through=now)
        for tier in concerned
        if tier.lifecycle is not None and tier.lifecycle.has_periods and not _is_concerned(tier, holdings)
    }


def _is_concerned(tier: Tier, holdings: Holdings) -> bool:
    return holdings.standing(tier).level is not None or _has_qualifying(tier, holdings.counters)


def _has_qualifying(tier: Tier, counters: Mapping[str, Counter]) -> bool:
    return tier.lifecycle is not None and any(key in counters for key in tier.lifecycle.qualifying)


def _next_of(holdings: Holdings, tier: Tier) -> datetime | None:
    standing = holdings.standing(tier)
    moments = (_expiry_due(standing), _lapse_due(tier, standing), _period_end_due(holdings, tier, standing))
    return min((moment for moment in moments if moment is not None), default=None)


def _expiry_due(standing: Standing) -> datetime | None:
    return None if standing.level is None else standing.expires_at


def _lapse_due(tier: Tier, standing: Standing) -> datetime | None:
    """Never while an explicit expiry is set."""
    if tier.lifecycle is None or standing.level is None or standing.expires_at is not None:
        return None
    return lapse_at(tier.lifecycle, standing.lifecycle_expires_at)


def _period_end_due(holdings: Holdings, tier: Tier, standing: Standing) -> datetime | None:
    """The first period end whose steps weren't done: of a level, or of counters of who takes part in the program."""
    lifecycle, started_at = tier.lifecycle, tier.lifecycle_started_at
    if lifecycle is None or started_at is None or not lifecycle.has_periods:
        return None
    if standing.level is None and not _has_qualifying(tier, holdings.counters):
        return None
    joined = started_at if holdings.enrolled_at is None else holdings.enrolled_at.get(tier.program_id)
    if joined is None:
        return None
    mark = max(started_at, joined, standing.steps_done_through or standing.acquired_at or started_at)
    return end_after(lifecycle, mark)


@dataclass(slots=True)
class _Run:
    """Steps under way."""

    holdings: Holdings
    lowerings: list[Lowering] = field(default_factory=list)
    rolled_over: list[RolledOver] = field(default_factory=list)

    def step(self, moment: datetime) -> None:
        """Everything that is due at the earliest due moment."""
        tiers = self.holdings.tiers
        named = {key for tier in tiers for key in tier.counters}
        counters = {key: counter.effective(moment) for key, counter in self.holdings.counters.items() if key in named}
        rolling = [tier for tier in tiers if self._step_of(tier, moment, counters)]
        for tier in rolling:
            self._roll_over(tier, moment)

    def _step_of(self, tier: Tier, moment: datetime, counters: Mapping[str, Decimal]) -> bool:
        """What a tier does to the level; whether its counters roll over now."""
        standing = self.holdings.standing(tier)
        if (expiry := _expiry_due(standing)) is not None and expiry <= moment:
            self._lower(tier, None, Reason.EXPIRY, moment)
        standing = self.holdings.standing(tier)
        end = _period_end_due(self.holdings, tier, standing)
        lapse = _lapse_due(tier, standing)
        ends, lapses = end is not None and end <= moment, lapse is not None and lapse <= moment
        if ends or lapses:
            self._judge(tier, moment, counters, lapses=lapses)
        if ends:
            self._set(tier, replace(self.holdings.standing(tier), steps_done_through=moment))
        return ends or (lapses and tier.lifecycle is not None and tier.lifecycle.mode is RetentionMode.ACTIVITY_REFRESH)

    def _judge(self, tier: Tier, moment: datetime, counters: Mapping[str, Decimal], *, lapses: bool) -> None:
        """Renew the level, or lower it when its time is over; an explicit expiry protects it from both."""
        standing, lifecycle = self.holdings.standing(tier), tier.lifecycle
        if standing.level is None or standing.expires_at is not None or lifecycle is None:
            return
        level = tier.by_key[standing.level]
        if lifecycle.mode is RetentionMode.PERIOD_BASED and level.is_qualified(counters):
            self._renew(tier, moment)
        elif lapses:
            target = _target(tier, level, counters)
            if target == level.key:
                self._renew(tier, moment)
            else:
                reason = Reason.PERIOD_END if lifecycle.mode is RetentionMode.PERIOD_BASED else Reason.INACTIVITY
                self._lower(tier, target, reason, moment)

    def _renew(self, tier: Tier, moment: datetime) -> None:
        standing = self.holdings.standing(tier)
        self._set(tier, replace(standing, lifecycle_expires_at=lifecycle_expiry(tier, standing.level, moment)))

    def _lower(self, tier: Tier, target: str | None, reason: Reason, moment: datetime) -> None:
        old = self.holdings.standing(tier)
        assert old.level is not None, "only a level is lowered"
        expiry = lifecycle_expiry(tier, target, moment)
        # what was done before this level was lost stays done
        mark = old.steps_done_through or old.acquired_at
        self._set(tier, Standing(target, None if target is None else moment, None, expiry, mark))
        self.lowerings.append(Lowering(tier, old.level, target, reason, moment, expiry))

    def _roll_over(self, tier: Tier, moment: datetime) -> None:
        counters = dict(self.holdings.counters)
        for key in tier.lifecycle.qualifying if tier.lifecycle is not None else ():
            counter = counters.get(key)
            # one whose own time is over counts as nothing already
            if counter is None or counter.has_lapsed(moment):
                continue
            rest = _rest(tier, self.holdings.standing(tier).level, key, counter.value)
            if rest != counter.value:
                old, new = format_plain(counter.value), format_plain(rest)
                self.rolled_over.append(RolledOver(tier, StateChange("counter", key, "auto_reset", old, new)))
                counters[key] = replace(counter, value=rest)
        self.holdings = replace(self.holdings, counters=counters)

    def _set(self, tier: Tier, standing: Standing) -> None:
        self.holdings = replace(self.holdings, standings={**self.holdings.standings, tier.id: standing})


def _target(tier: Tier, level: Level, counters: Mapping[str, Decimal]) -> str | None:
    """Where a level that isn't kept falls to; itself when it is never lowered."""
    lifecycle = tier.lifecycle
    if lifecycle is None or lifecycle.downgrade is DowngradeMode.HOLD:
        return level.key
    lower = [each for each in tier.levels if each.rank < level.rank]
    if lifecycle.downgrade is DowngradeMode.DROP_TO_QUALIFYING:
        lower = [each for each in lower if each.is_qualified(counters)]
    target = lower[-1].key if lower else None
    if lifecycle.min_level is not None and tier.rank_of(target) < tier.rank_of(lifecycle.min_level):
        target = lifecycle.min_level
    return target if tier.rank_of(target) < level.rank else level.key


def _rest(tier: Tier, level: str | None, key: str, value: Decimal) -> Decimal:
    """What is left of a qualifying counter."""
    lifecycle = tier.lifecycle
    if lifecycle is None or lifecycle.rollover is Rollover.NONE or level is None:
        return ZERO
    qualification = tier.by_key[level].qualification
    criteria = qualification.criteria if qualification is not None else ()
    thresholds = [c.threshold for c in criteria if c.counter == key and c.operator in _RAISING]
    return max(ZERO, CONTEXT.subtract(value, max(thresholds))) if thresholds else ZERO
