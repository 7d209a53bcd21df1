"""An immutable version of a program's active rules, with what event processing asks of all of them, computed once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from domain.cel import Expression
from domain.ledger.accounts import Bucket
from domain.rules.actions import (
    Action,
    AttributeAction,
    CounterAction,
    CreditAction,
    DebitAction,
    ForfeitAction,
    MoneyAction,
    SetTierAction,
    VoidHoldAction,
)
from domain.rules.rule import CompiledRule
from domain.rules.targets import TargetKind


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The active rules of a program by ascending order; id 0 stands for a program that never had a rule.

    `budgets` are pairs of rule and asset. `may_credit` and `may_debit` tell whether value may come to holders and leave them; a
    hold and a release only move it.
    """

    id: int
    program_id: UUID
    rules: tuple[CompiledRule, ...]
    reads: frozenset[str] = field(init=False)
    asset_ids: frozenset[UUID] = field(init=False)
    target_kinds: frozenset[TargetKind] = field(init=False)
    may_credit: bool = field(init=False)
    may_debit: bool = field(init=False)
    needs_lots: bool = field(init=False)
    names_targets: bool = field(init=False)
    assigns_levels: bool = field(init=False)
    budgets: frozenset[tuple[UUID, UUID]] = field(init=False)
    _by_event_type: Mapping[str, tuple[CompiledRule, ...]] = field(init=False, repr=False)
    _untyped: tuple[CompiledRule, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rules = tuple(sorted(self.rules, key=lambda rule: rule.order))
        actions = [action for rule in rules for action in rule.actions]
        types = frozenset(name for rule in rules for name in rule.condition.event_types or ())
        derived: dict[str, object] = {
            "rules": rules,
            "reads": frozenset(name for rule in rules for found in expressions(rule) for name in found.reads),
            "asset_ids": frozenset(action.asset_id for action in actions if isinstance(action, MoneyAction)),
            "target_kinds": frozenset(action.target.kind for action in actions),
            "may_credit": any(isinstance(action, CreditAction) for action in actions),
            "may_debit": any(isinstance(action, DebitAction | ForfeitAction | VoidHoldAction) for action in actions),
            "needs_lots": any(_needs_lots(action) for action in actions),
            "budgets": frozenset((rule.id, asset_id) for rule in rules for asset_id in rule.budgeted),
            "names_targets": any(action.target.value is not None for action in actions),
            "assigns_levels": any(isinstance(action, SetTierAction) for action in actions),
            "_by_event_type": {name: tuple(rule for rule in rules if _admits(rule, name)) for name in types},
            "_untyped": tuple(rule for rule in rules if rule.condition.event_types is None),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def candidates(self, event_type: str | None) -> Sequence[CompiledRule]:
        """The rules whose condition could be true for this `event.type`, in order; all of them without a type."""
        if event_type is None:
            return self.rules
        return self._by_event_type.get(event_type, self._untyped)


def expressions(rule: CompiledRule) -> Iterator[Expression]:
    """Every expression of a rule: its condition, then those of its actions."""
    yield rule.condition
    for action in rule.actions:
        yield from (value for value in _values(action) if isinstance(value, Expression))


def _values(action: Action) -> tuple[object, ...]:
    target = action.target.value
    if isinstance(action, MoneyAction):
        return action.amount, action.reference_id, target
    if isinstance(action, CounterAction | AttributeAction):
        return action.value, target
    return (target,)


def _admits(rule: CompiledRule, event_type: str) -> bool:
    return rule.condition.event_types is None or event_type in rule.condition.event_types


def _needs_lots(action: Action) -> bool:
    if isinstance(action, CreditAction):
        return action.reference_id is not None and action.bucket is Bucket.AVAILABLE
    return isinstance(action, MoneyAction)
