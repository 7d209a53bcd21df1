"""The budgets of a batch: what its events issued of them, and what of it an event that fails takes back."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from domain.money import ZERO
from domain.rules.budgets import LiveBudget, Period, PeriodCause

Key = tuple[UUID, UUID]


@dataclass(frozen=True, slots=True)
class Spending:
    """One budget as it was read and as it is now.

    `added` is what was issued since, in the present period; `began` are the periods that the schedule began meanwhile. With
    `is_exact` something was issued in an earlier period too, which holds only if the budget still is as it was read.
    """

    read: LiveBudget
    live: LiveBudget
    added: Decimal = ZERO
    began: tuple[Period, ...] = ()
    is_exact: bool = False

    def issue(self, amount: Decimal, now: datetime) -> "Spending | None":
        """With a credit of `amount` more; None when the budget doesn't admit it."""
        current = self.live.at(now)
        if not current.admits(amount):
            return None
        if current is self.live:
            return Spending(self.read, current.consume(amount), self.added + amount, self.began, self.is_exact)
        began = (*self.began, Period.of(current, PeriodCause.SCHEDULE))
        return Spending(self.read, current.consume(amount), amount, began, self.is_exact or bool(self.added))


@dataclass(slots=True)
class Budgets:
    """The budgets of the rules that a batch runs, by rule and asset; a rule without one isn't limited."""

    _spendings: dict[Key, Spending] = field(default_factory=dict)
    _undo: dict[Key, Spending] = field(default_factory=dict)

    def add(self, budgets: Iterable[LiveBudget]) -> None:
        """Put budgets in, as they are stored."""
        self._spendings.update(((live.rule_id, live.budget.asset_id), Spending(live, live)) for live in budgets)

    def issue(self, rule_id: UUID, asset_id: UUID, amount: Decimal, now: datetime) -> bool:
        """Count a credit of a rule, whole; False, and nothing counted, when it doesn't fit into the budget."""
        key = (rule_id, asset_id)
        before = self._spendings.get(key)
        if before is None:
            return True
        after = before.issue(amount, now)
        if after is None:
            return False
        self._undo.setdefault(key, before)
        self._spendings[key] = after
        return True

    @property
    def changed(self) -> list[Spending]:
        """The budgets that something was issued of, in the order of locks."""
        return [spending for _, spending in sorted(self._spendings.items()) if spending.live is not spending.read]

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Take back what the block issued when it raises."""
        self._undo.clear()
        try:
            yield
        except BaseException:
            self._spendings.update(self._undo)
            raise
