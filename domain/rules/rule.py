"""A rule: its record, what a change of it writes to the history, and its compiled form (events-rules.md 4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from domain.cel import Expression, compile_condition
from domain.errors import Fault
from domain.rules.actions import Action
from domain.rules.budgets import LiveBudget
from domain.rules.definitions import parse_actions
from domain.rules.forms import Malformed, condition
from domain.timestamps import format_timestamp, parse_timestamp

FIRST_ORDER = 10
ORDER_STEP = 10
MAX_ORDER = 2_147_483_647
# Fields that a change of a rule can touch, in the order of the rule object.
_CHANGEABLE = (
    "name", "description", "condition", "actions", "order", "stop_after_match", "active_from", "active_to", "budgets", "status",
)  # fmt: skip


class RuleStatus(StrEnum):
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    ARCHIVED = "ARCHIVED"


class ChangeType(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    SUSPENDED = "suspended"
    ACTIVATED = "activated"
    ARCHIVED = "archived"


_STATUS_CHANGES = {
    RuleStatus.ACTIVE: ChangeType.ACTIVATED,
    RuleStatus.SUSPENDED: ChangeType.SUSPENDED,
    RuleStatus.ARCHIVED: ChangeType.ARCHIVED,
}


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as its owner defined it, with its budgets as they are; `actions` are the checked JSON objects."""

    id: UUID
    program_id: UUID
    name: str
    description: str | None
    condition: str
    actions: tuple[Mapping[str, object], ...]
    order: int
    stop_after_match: bool
    active_from: datetime | None
    active_to: datetime | None
    status: RuleStatus
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None
    budgets: tuple[LiveBudget, ...] = ()

    def snapshot(self) -> dict[str, object]:
        """The rule object as JSON, the form that the history keeps and that `compile_rule` reads."""
        return {
            "id": str(self.id),
            "program_id": str(self.program_id),
            "name": self.name,
            "description": self.description,
            "condition": self.condition,
            "actions": list(self.actions),
            "order": self.order,
            "stop_after_match": self.stop_after_match,
            "active_from": _time(self.active_from),
            "active_to": _time(self.active_to),
            "budgets": [live.budget.as_json() for live in self.budgets],
            "status": self.status.value,
            "created_at": _time(self.created_at),
            "updated_at": _time(self.updated_at),
            "deleted_at": _time(self.deleted_at),
        }

    def as_json(self) -> dict[str, object]:
        """The rule object as the API answers it: its budgets with what is consumed of them."""
        return {**self.snapshot(), "budgets": [live.as_json() for live in self.budgets]}


def _time(value: datetime | None) -> str | None:
    return None if value is None else format_timestamp(value)


def changes_between(old: Rule, new: Rule) -> dict[str, dict[str, object]]:
    """Field -> `from` and `to` of every value that differs, as JSON; the three times of the record aside."""
    before, after = old.snapshot(), new.snapshot()
    return {name: {"from": before[name], "to": after[name]} for name in _CHANGEABLE if before[name] != after[name]}


def change_type(old: Rule, new: Rule) -> ChangeType:
    """What the history calls the change: the new status when it changed, else `updated`."""
    return ChangeType.UPDATED if old.status is new.status else _STATUS_CHANGES[new.status]


def condition_faults(source: object) -> list[Fault]:
    """What is wrong with a rule's condition, with line and column where it doesn't compile; empty when it is sound."""
    try:
        condition(source)
    except Malformed as error:
        return error.faults("condition", source)
    return []


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """One version of a rule, ready to be evaluated; `history_id` names the version, `budgeted` the assets with a budget."""

    id: UUID
    history_id: UUID
    program_id: UUID
    name: str
    order: int
    condition: Expression
    actions: tuple[Action, ...]
    stop_after_match: bool
    active_from: datetime | None
    active_to: datetime | None
    budgeted: frozenset[UUID] = frozenset()

    def is_in_window(self, now: datetime) -> bool:
        """Whether the server's clock lies in the rule's window: from inclusive, to exclusive."""
        has_begun = self.active_from is None or self.active_from <= now
        return has_begun and (self.active_to is None or now < self.active_to)


def compile_rule(snapshot: Mapping[str, Any], history_id: UUID) -> CompiledRule:
    """Compile what `Rule.snapshot` gave. Raises ValueError when it isn't a checked rule."""
    actions, faults = parse_actions(snapshot["actions"])
    if faults:
        raise ValueError(f"rule version {history_id}: {faults[0].field} {faults[0].message}")
    return CompiledRule(
        id=UUID(snapshot["id"]),
        history_id=history_id,
        program_id=UUID(snapshot["program_id"]),
        name=snapshot["name"],
        order=int(snapshot["order"]),
        condition=compile_condition(snapshot["condition"]),
        actions=actions,
        stop_after_match=snapshot["stop_after_match"],
        active_from=_moment(snapshot["active_from"]),
        active_to=_moment(snapshot["active_to"]),
        budgeted=frozenset(UUID(budget["asset_id"]) for budget in snapshot["budgets"]),
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else parse_timestamp(text)
