"""Budgets: what a rule's credits may issue of one asset in one period (events-rules.md 4.5). Pure, frozen values."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from domain.durations import parse_duration
from domain.money import ZERO, format_amount
from domain.recurrence import latest_occurrence, next_occurrence, parse_cron
from domain.timestamps import format_timestamp

TICK = timedelta(microseconds=1)


class ScheduleType(StrEnum):
    """How a budget resets by itself; one without a schedule lasts for good."""

    CRON = "CRON"
    INTERVAL = "INTERVAL"


class PeriodCause(StrEnum):
    """Why a period of a budget began."""

    CREATED = "CREATED"
    SCHEDULE = "SCHEDULE"
    RESET = "RESET"
    REPLACED = "REPLACED"


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget as its owner defined it; `limit` has exactly the decimals of the asset's scale."""

    asset_id: UUID
    limit: Decimal
    schedule_type: ScheduleType | None = None
    cron_expression: str | None = None
    interval: str | None = None

    def as_json(self) -> dict[str, object]:
        """The definition as the rule's history keeps it."""
        return {
            "asset_id": str(self.asset_id),
            "limit": format(self.limit, "f"),
            "schedule_type": None if self.schedule_type is None else self.schedule_type.value,
            "cron_expression": self.cron_expression,
            "interval": self.interval,
        }

    @property
    def scale(self) -> int:
        """The asset's."""
        exponent = self.limit.as_tuple().exponent
        assert isinstance(exponent, int)
        return -exponent

    @property
    def schedule(self) -> object:
        """What resets it: equal for budgets that reset at the same times, however they are written."""
        if self.cron_expression is not None:
            return parse_cron(self.cron_expression)
        return None if self.interval is None else parse_duration(self.interval)

    def first_reset_after(self, start: datetime) -> datetime | None:
        """When a period that begins at `start` ends by itself."""
        if self.cron_expression is not None:
            return next_occurrence(parse_cron(self.cron_expression), start)
        return None if self.interval is None else start + parse_duration(self.interval)


@dataclass(frozen=True, slots=True)
class LiveBudget:
    """A rule's budget in its present period. `version` rises with every change but those by crediting and by the schedule."""

    rule_id: UUID
    budget: Budget
    consumed: Decimal
    period_started_at: datetime
    next_reset_at: datetime | None
    version: int = 0

    @classmethod
    def started(cls, rule_id: UUID, budget: Budget, now: datetime) -> "LiveBudget":
        """A new budget, nothing issued yet."""
        return cls(rule_id, budget, ZERO, now, budget.first_reset_after(now))

    def at(self, now: datetime) -> "LiveBudget":
        """The budget in the period that `now` lies in: after a reset time nothing is consumed. Itself until then."""
        due, budget = self.next_reset_at, self.budget
        if due is None or now < due:
            return self
        if budget.cron_expression is not None:
            cron = parse_cron(budget.cron_expression)
            start, end = latest_occurrence(cron, now), next_occurrence(cron, now)
        else:
            assert budget.interval is not None
            length = parse_duration(budget.interval)
            start = due + (now - due) // length * length
            end = start + length
        return replace(self, consumed=ZERO, period_started_at=start, next_reset_at=end)

    def admits(self, amount: Decimal) -> bool:
        """Whether a credit of `amount` fits into what is left of the period; equal does."""
        return self.consumed + amount <= self.budget.limit

    def consume(self, amount: Decimal) -> "LiveBudget":
        """Count an executed credit."""
        return replace(self, consumed=self.consumed + amount)

    def reset(self, now: datetime) -> "LiveBudget":
        """Begin a new period, now; never at the start of one that has begun already."""
        start = max(now, self.period_started_at + TICK)
        fresh = self.started(self.rule_id, self.budget, start)
        return replace(fresh, version=self.version + 1)

    def as_json(self) -> dict[str, object]:
        """The budget object as the API answers it."""
        reset_at = None if self.next_reset_at is None else format_timestamp(self.next_reset_at)
        consumed = format_amount(self.consumed, self.budget.scale)
        return {**self.budget.as_json(), "consumed": consumed, "next_reset_at": reset_at}


@dataclass(frozen=True, slots=True)
class Period:
    """The beginning of one period of a budget."""

    rule_id: UUID
    asset_id: UUID
    started_at: datetime
    cause: PeriodCause
    limit: Decimal

    @classmethod
    def of(cls, live: LiveBudget, cause: PeriodCause) -> "Period":
        """The present period of a budget."""
        return cls(live.rule_id, live.budget.asset_id, live.period_started_at, cause, live.budget.limit)


def replaced(
    rule_id: UUID, old: Sequence[LiveBudget], new: Iterable[Budget], now: datetime
) -> tuple[tuple[LiveBudget, ...], list[Period]]:
    """A rule's budgets after a change, and the periods that it began.

    A budget with the same asset and schedule goes on in its period, whatever its limit; any other starts at zero.
    """
    former = {live.budget.asset_id: live for live in old}
    result: list[LiveBudget] = []
    periods: list[Period] = []
    for budget in new:
        before = former.get(budget.asset_id)
        live, cause = _succeed(rule_id, before, budget, now)
        result.append(live)
        if cause is not None:
            periods.append(Period.of(live, cause))
    return tuple(result), periods


def _succeed(rule_id: UUID, before: LiveBudget | None, budget: Budget, now: datetime) -> tuple[LiveBudget, PeriodCause | None]:
    if before is None:
        return LiveBudget.started(rule_id, budget, now), PeriodCause.CREATED
    if before.budget.schedule != budget.schedule:
        return replace(before, budget=budget).reset(now), PeriodCause.REPLACED
    current = before.at(now)
    cause = PeriodCause.SCHEDULE if current is not before else None
    return replace(current, budget=budget, version=before.version + 1), cause
