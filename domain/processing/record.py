"""Evaluation records: stored sparsely, read whole (events-rules.md 3.5, 3.6).

Stored is one compact object per event: the stopping rule, the failing rule, and an item for each outcome that doesn't
follow from the rule set and the processing time. Rules are named by their order, which is unique in a rule set, so 200
rules that didn't match cost nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

from domain.automations import rule_automation_id
from domain.rules.actions import ActionType, BroadcastAction, ScheduleAction
from domain.rules.rule import CompiledRule


class EvaluationStatus(StrEnum):
    """3.5."""

    SUCCESS = "SUCCESS"
    NOT_MATCHED = "NOT_MATCHED"
    SKIPPED = "SKIPPED"
    SKIPPED_ERROR = "SKIPPED_ERROR"
    SKIPPED_TIMEOUT = "SKIPPED_TIMEOUT"
    FAILED = "FAILED"


HIDDEN_UNLESS_ASKED = frozenset({EvaluationStatus.SKIPPED_ERROR, EvaluationStatus.SKIPPED_TIMEOUT})


@dataclass(frozen=True, slots=True)
class ExecutedAction:
    """What one action did; what doesn't apply is None."""

    outcome: str = "APPLIED"
    reason: str | None = None
    target_type: str = "PARTICIPANT"
    target_id: UUID | None = None
    amount: str | None = None
    bucket: str | None = None
    reference_id: str | None = None
    journal_entry_id: UUID | None = None
    value: str | None = None
    new_value: str | None = None

    def is_applied_to(self, target_type: str) -> bool:
        """Whether it had an effect on a target of this type."""
        return self.outcome == "APPLIED" and self.target_type == target_type

    def no_op(self, reason: str) -> "ExecutedAction":
        """The same, without effect."""
        return replace(self, outcome="NO_OP", reason=reason)

    def suppressed(self, reason: str, amount: str | None = None) -> "ExecutedAction":
        """The same, kept from happening; `amount` is what it would have moved."""
        return replace(self, outcome="SUPPRESSED", reason=reason, amount=amount)


# Short names in storage, because most of the database's bytes are these.
_STORED = {
    "outcome": "o",
    "reason": "x",
    "target_type": "y",
    "target_id": "t",
    "amount": "a",
    "bucket": "b",
    "reference_id": "f",
    "journal_entry_id": "j",
    "value": "v",
    "new_value": "n",
}
_DEFAULTS = ExecutedAction()
_PLAIN_DEFAULTS = {name: getattr(_DEFAULTS, name) for name in _STORED}


@dataclass(slots=True)
class Record:
    """What was found out about one event's rules, by their order."""

    stopped_by: int | None = None
    failed_at: int | None = None
    items: dict[int, dict[str, Any]] = field(default_factory=dict)

    def matched(self, rule: CompiledRule, actions: Sequence[ExecutedAction], event_participant: UUID | None) -> None:
        """The rule matched and its actions ran, or were suppressed."""
        item: dict[str, Any] = {"a": [_pack(action, event_participant) for action in actions]}
        if _is_out_of_budget(rule, actions):
            item |= {"s": EvaluationStatus.SKIPPED.value, "x": "BUDGET_EXCEEDED"}
        elif all(action.reason == "TIER_ARCHIVED" for action in actions):
            item |= {"s": EvaluationStatus.SKIPPED.value, "x": "TIER_ARCHIVED"}
        self.items[rule.order] = item

    def skipped(self, rule: CompiledRule, status: EvaluationStatus, message: str) -> None:
        """The condition raised an error, or took too long."""
        self.items[rule.order] = {"s": status.value, "e": message}

    def failed(self, rule: CompiledRule, message: str) -> None:
        """The rule's action failed the event: what matched before is rolled back."""
        self.failed_at = rule.order
        self.stopped_by = None
        for earlier, item in self.items.items():
            if "a" in item:
                self.items[earlier] = {"s": EvaluationStatus.FAILED.value, "x": "ROLLED_BACK"}
        self.items[rule.order] = {"s": EvaluationStatus.FAILED.value, "x": "ACTION_FAILED", "e": message}

    def count_reached(self, rules: Sequence[CompiledRule]) -> int:
        """How many rows `evaluations` has: all of the rules but those after the one that failed the event."""
        return len(rules) if self.failed_at is None else sum(rule.order <= self.failed_at for rule in rules)

    def pack(self) -> dict[str, Any]:
        """The stored form."""
        packed: dict[str, Any] = {"i": {str(order): item for order, item in self.items.items()}}
        if self.stopped_by is not None:
            packed["stop"] = self.stopped_by
        if self.failed_at is not None:
            packed["fail"] = self.failed_at
        return packed


def _is_out_of_budget(rule: CompiledRule, actions: Sequence[ExecutedAction]) -> bool:
    """Whether credits were suppressed and none was given; one of zero counts neither way."""
    if not rule.budgeted:
        return False
    pairs = zip(rule.actions, actions, strict=True)
    outcomes = {done.outcome for action, done in pairs if action.type is ActionType.CREDIT}
    return outcomes - {"NO_OP"} == {"SUPPRESSED"}


def _pack(action: ExecutedAction, event_participant: UUID | None) -> dict[str, Any]:
    packed: dict[str, Any] = {}
    for name, short in _STORED.items():
        value = getattr(action, name)
        if value != _PLAIN_DEFAULTS[name]:
            packed[short] = str(value) if isinstance(value, UUID) else value
    if action.target_type == "PARTICIPANT" and action.target_id == event_participant:
        packed.pop("t", None)
    return packed


@dataclass(frozen=True, slots=True)
class EvaluatedEvent:
    """What reading a record needs of its event; a dry run's has no id, and so its rows have none."""

    id: UUID | None
    participant_id: UUID | None
    program_id: UUID
    processed_at: datetime


def evaluations(packed: Mapping[str, Any], rules: Sequence[CompiledRule], event: EvaluatedEvent) -> Iterator[dict[str, Any]]:
    """The rows of `rule_evaluations`, one for each rule reached, with enums and ids as the API prints them."""
    items = packed.get("i", {})
    stop, fail = packed.get("stop"), packed.get("fail")
    stopper = next((rule.id for rule in rules if rule.order == stop), None)
    for rule in rules:
        if fail is not None and rule.order > fail:
            return
        row = _blank_row(rule, event)
        item = items.get(str(rule.order))
        if stop is not None and rule.order > stop:
            row |= {"status": "SKIPPED", "reason": "STOPPED_BY_RULE", "stopped_by_rule_id": stopper}
        elif item is not None:
            row |= _item(item, rule, event)
        elif not rule.is_in_window(event.processed_at):
            row |= {"status": "SKIPPED", "reason": "OUTSIDE_TIME_WINDOW"}
        yield row


def _blank_row(rule: CompiledRule, event: EvaluatedEvent) -> dict[str, Any]:
    return {
        "id": None if event.id is None else uuid5(event.id, str(rule.id)),
        "rule_id": rule.id,
        "rule_name": rule.name,
        "rule_history_id": rule.history_id,
        "status": "NOT_MATCHED",
        "reason": None,
        "stopped_by_rule_id": None,
        "error_message": None,
        "executed_actions": [],
        "created_at": event.processed_at,
    }


def _item(item: Mapping[str, Any], rule: CompiledRule, event: EvaluatedEvent) -> dict[str, Any]:
    if "a" not in item:
        return {"status": item["s"], "reason": item.get("x"), "error_message": item.get("e")}
    actions = [_executed(index, stored, rule, event) for index, stored in enumerate(item["a"])]
    return {"status": item.get("s", "SUCCESS"), "reason": item.get("x"), "executed_actions": actions}


def _executed(index: int, stored: Mapping[str, Any], rule: CompiledRule, event: EvaluatedEvent) -> dict[str, Any]:
    action = rule.actions[index]
    kind = stored.get("y", "PARTICIPANT")
    row: dict[str, Any] = {
        "index": index,
        "type": action.type.value,
        "outcome": stored.get("o", "APPLIED"),
        "reason": stored.get("x"),
        "target": {"type": kind, "id": stored.get("t", event.program_id if kind == "PROGRAM" else event.participant_id)},
    }
    for name in ("asset_id", "key", "tag", "tier", "level"):
        if hasattr(action, name):
            row[name] = getattr(action, name)
    for name in ("amount", "bucket", "reference_id", "journal_entry_id", "value", "new_value"):
        if _STORED[name] in stored:
            row[name] = stored[_STORED[name]]
    if isinstance(action, ScheduleAction | BroadcastAction):
        made = None if event.id is None else rule_automation_id(event.id, rule.id, index)
        row |= {"event_name": action.event_name, "automation_id": made}
    if isinstance(action, ScheduleAction):
        row["due_at"] = event.processed_at + action.delay
    return row
