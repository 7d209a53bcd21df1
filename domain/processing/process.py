"""One event through its program's rules (events-rules.md 3.2, 3.3). Pure: all it needs is in the world, all it does stays there.

The dry run of an event and the real run are this same function.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from domain.cel import EvaluationError, StepLimitExceeded, evaluate_condition
from domain.ledger.accounts import AccountKey, EntityType
from domain.ledger.due import post_due
from domain.processing.actions import execute
from domain.processing.failure import ActionFailed
from domain.processing.levels import settle_levels
from domain.processing.record import EvaluationStatus, ExecutedAction, Record
from domain.processing.targets import Step
from domain.processing.variables import snapshot
from domain.processing.world import Event, World
from domain.rules.rule import CompiledRule
from domain.rules.ruleset import RuleSet

TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an event; its effects are in the world."""

    event: Event
    processed_at: datetime
    rule_set_id: int
    record: Record
    matched_rule_ids: tuple[UUID, ...] = ()
    error_code: str | None = None
    error_message: str | None = None

    @property
    def status(self) -> str:
        """COMPLETED or FAILED."""
        return "COMPLETED" if self.error_code is None else "FAILED"


class _RuleFailed(Exception):
    """An action of the rule failed the event."""

    def __init__(self, rule: CompiledRule, action_type: str, cause: ActionFailed) -> None:
        self.rule = rule
        self.code = cause.code
        self.message = cause.message(action_type)
        super().__init__(self.message)


def process(event: Event, rules: RuleSet, world: World, now: datetime) -> Outcome:
    """Evaluate and execute; a failing event leaves the world as it was, but for what was due anyway.

    Raises MissingState when something must be loaded first; nothing has happened then, and the call is repeated.
    """
    post_what_is_due(event, rules, world, now)
    variables = snapshot(event, rules.reads, world, now)
    record = Record()
    matched: list[UUID] = []
    try:
        with world.attempt():
            written = len(world.history)
            groups = _run_rules(event, rules, variables, world, now, record, matched)
            settle_levels(event, world, now, written=written, groups=groups)
    except _RuleFailed as failure:
        record.failed(failure.rule, failure.message)
        return Outcome(event, now, rules.id, record, tuple(matched), failure.code, failure.message)
    return Outcome(event, now, rules.id, record, tuple(matched))


def post_what_is_due(event: Event, rules: RuleSet, world: World, now: datetime) -> None:
    """Write the due entries of the event's holders before anybody looks: they stay even when the event fails."""
    linked = world.programs[event.program_id].asset_ids
    for holder_id in {id_ for id_ in (event.participant_id, event.recipient_id) if id_ is not None}:
        for asset_id in rules.asset_ids.union(linked):
            key = AccountKey(EntityType.PARTICIPANT, holder_id, asset_id)
            account = world.books.find_account(key)
            if account is not None and account.next_due_at is not None and account.next_due_at <= now:
                post_due(world.books, key, now)


def _run_rules(
    event: Event,
    rules: RuleSet,
    variables: Mapping[str, object],
    world: World,
    now: datetime,
    record: Record,
    matched: list[UUID],
) -> set[UUID]:
    """Run the rules; the groups to which an action was applied."""
    groups: set[UUID] = set()
    for rule in rules.candidates(event.type):
        if not rule.is_in_window(now) or not _matches(rule, variables, record):
            continue
        matched.append(rule.id)
        step = Step(event, rule, variables, world, now)
        done = _run_actions(step)
        groups.update(each.target_id for each in done if each.target_id and each.is_applied_to("GROUP"))
        record.matched(rule, done, event.participant_id)
        if rule.stop_after_match:
            record.stopped_by = rule.order
            break
    return groups


def _matches(rule: CompiledRule, variables: Mapping[str, object], record: Record) -> bool:
    try:
        return evaluate_condition(rule.condition, variables)
    except StepLimitExceeded as error:
        record.skipped(rule, EvaluationStatus.SKIPPED_TIMEOUT, error.message)
    except EvaluationError as error:
        record.skipped(rule, EvaluationStatus.SKIPPED_ERROR, error.message)
    return False


def _run_actions(step: Step) -> list[ExecutedAction]:
    done: list[ExecutedAction] = []
    for action in step.rule.actions:
        try:
            done.append(execute(step, action))
        except ActionFailed as failure:
            raise _RuleFailed(step.rule, action.type.value, failure) from failure
    return done
