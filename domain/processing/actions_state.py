"""Actions on tags, counters and attributes (events-rules.md 6.10-6.12)."""

from dataclasses import dataclass, replace
from uuid import UUID

from domain.ledger.accounts import EntityType
from domain.money import MAX_SCALE, format_plain, to_scale
from domain.processing import expressions
from domain.processing.failure import ActionFailed
from domain.processing.record import ExecutedAction
from domain.processing.targets import Step, require_active, target_holder
from domain.processing.world import StateOwner
from domain.rules.actions import Action, AttributeAction, CounterAction, TagAction
from domain.rules.targets import Target, TargetKind
from domain.state import Changes, CounterOutOfRange, EntityState


@dataclass(frozen=True, slots=True)
class _Owner:
    kind: StateOwner
    id: UUID


def _state_owner(step: Step, target: Target, *, needs_active: bool = False) -> _Owner:
    if target.kind is TargetKind.PROGRAM:
        return _Owner(StateOwner.PROGRAM, step.event.program_id)
    holder = target_holder(step, target)
    if needs_active:
        require_active(holder)
    kind = StateOwner.GROUP if holder.kind is EntityType.GROUP else StateOwner.PARTICIPANT
    return _Owner(kind, holder.id)


def _write(step: Step, owner: _Owner, new: EntityState, changes: Changes) -> None:
    step.world.change_state(owner.kind, owner.id, new, changes, at=step.now, event=step.event, rule_id=step.rule.id)


def tag(step: Step, action: Action) -> ExecutedAction:
    """TAG and UNTAG."""
    assert isinstance(action, TagAction)
    owner = _state_owner(step, action.target)
    state = step.world.states[owner.id]
    new, changes = state.remove_tag(action.tag) if action.remove else state.add_tag(action.tag)
    _write(step, owner, new, changes)
    done = ExecutedAction(target_type=owner.kind.value, target_id=owner.id)
    return done if changes else done.no_op("NOT_SET" if action.remove else "ALREADY_SET")


def counter(step: Step, action: Action) -> ExecutedAction:
    """COUNTER, rounded to 18 decimals."""
    assert isinstance(action, CounterAction)
    owner = _state_owner(step, action.target, needs_active=True)
    value = to_scale(expressions.number(action.value, step.variables, "value"), MAX_SCALE)
    done = ExecutedAction(target_type=owner.kind.value, target_id=owner.id, value=format_plain(value))
    if value == 0:
        return done.no_op("ZERO_AMOUNT")
    try:
        new, changes = step.world.states[owner.id].add_to_counter(action.key, value, action.reset_after, step.now)
    except CounterOutOfRange as error:
        raise ActionFailed("invalid_amount", str(error)) from error
    _write(step, owner, new, changes)
    return replace(done, new_value=format_plain(new.counters[action.key].value))


def attribute(step: Step, action: Action) -> ExecutedAction:
    """SET_ATTRIBUTE."""
    assert isinstance(action, AttributeAction)
    owner = _state_owner(step, action.target)
    value = expressions.text(action.value, step.variables, "value_expression")
    new, changes = step.world.states[owner.id].set_attribute(action.key, value)
    _write(step, owner, new, changes)
    done = ExecutedAction(target_type=owner.kind.value, target_id=owner.id, new_value=value)
    return done if changes else done.no_op("ALREADY_SET")
