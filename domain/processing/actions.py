"""What each action does (events-rules.md 6). One function per type; `EXECUTORS` is the one place that lists them.

The order inside an action is the specification's (6.3): target, status restriction, expressions, rounding, zero check,
ledger checks, effect.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from domain.cel import Expression
from domain.errors import DomainError
from domain.ledger.accounts import NIL, AccountKey, AssetTerms, Bucket, EntityType
from domain.ledger.credit import credit
from domain.ledger.debit import debit
from domain.ledger.entries import Entry, Origin
from domain.money import MAX_SCALE, format_amount, format_plain, to_scale
from domain.processing import expressions, planning
from domain.processing.failure import ActionFailed, from_refusal
from domain.processing.record import ExecutedAction
from domain.processing.world import Event, Holder, StateOwner, World
from domain.rules.actions import (
    Action,
    ActionType,
    AttributeAction,
    BroadcastAction,
    CounterAction,
    CreditAction,
    DebitAction,
    ScheduleAction,
    TagAction,
)
from domain.rules.rule import CompiledRule
from domain.rules.targets import Target, TargetKind
from domain.state import Changes, CounterOutOfRange, EntityState

_REFERENCE = re.compile(r"[A-Za-z0-9._:@-]{1,255}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Step:
    """One matched rule at work: the event, the snapshot's variables, and the world it changes."""

    event: Event
    rule: CompiledRule
    variables: Mapping[str, object]
    world: World
    now: datetime


def execute(step: Step, action: Action) -> ExecutedAction:
    """Carry out one action; raises ActionFailed, or MissingState when something must be loaded first."""
    return EXECUTORS[action.type](step, action)


# ------------------------------------------------------------------- targets
def target_holder(step: Step, target: Target, *, for_credit: bool = False) -> Holder:
    """The participant or ACTIVE group an action is for (6.2); `target_required`, `target_not_found` or `group_archived`."""
    event = step.event
    if target.kind is TargetKind.GROUP:
        return _target_group(step, target)
    if target.by == "self":
        default = event.recipient_id if for_credit and target.kind is TargetKind.DEFAULT else None
        holder_id = default or event.participant_id
        if holder_id is None:
            raise ActionFailed("target_required", "the event has no participant")
        found = step.world.holder(holder_id, event.organization_id)
    else:
        found = _named_holder(step, target)
    if found is None or found.kind is not EntityType.PARTICIPANT:
        raise ActionFailed("target_not_found", "no such participant")
    return found


def _target_group(step: Step, target: Target) -> Holder:
    assert target.value is not None
    group_id = expressions.uuid(target.value, step.variables, "target.id")
    found = step.world.holder(group_id, step.event.organization_id)
    if found is None or found.kind is not EntityType.GROUP:
        raise ActionFailed("target_not_found", "no such group")
    if found.status == "ARCHIVED":
        raise ActionFailed("group_archived", f"the group {found.name} is archived")
    return found


def _named_holder(step: Step, target: Target) -> Holder | None:
    assert target.value is not None
    field = f"target.{target.by}"
    if target.by != "external_id":
        holder_id = expressions.uuid(target.value, step.variables, field)
        return step.world.holder(holder_id, step.event.organization_id)
    external_id = expressions.string(target.value, step.variables, field)
    if not external_id or len(external_id) > 255 or not expressions.is_storable(external_id):
        return None
    return step.world.holder_by_external_id(external_id, step.event.organization_id)


def _require_active(holder: Holder) -> None:
    if holder.status != "ACTIVE":
        raise ActionFailed("participant_inactive", f"the participant is {holder.status}")


# --------------------------------------------------------------------- money
def _asset(step: Step, asset_id: UUID) -> AssetTerms:
    asset = step.world.books.assets.get(asset_id)
    if asset is None or asset_id not in step.world.programs[step.event.program_id].asset_ids:
        raise ActionFailed("asset_not_linked", "the asset isn't linked to the program")
    if asset.is_archived:
        raise ActionFailed("asset_archived", f"{asset.symbol} is archived")
    return asset


def _account(step: Step, holder: Holder, asset: AssetTerms) -> AccountKey:
    is_group = holder.kind is EntityType.GROUP
    return AccountKey(holder.kind, holder.id, asset.id, step.event.program_id if is_group else NIL)


def _amount(step: Step, source: Decimal | Expression, asset: AssetTerms) -> Decimal:
    amount = to_scale(expressions.number(source, step.variables, "amount"), asset.scale)
    if amount < 0:
        raise ActionFailed("invalid_amount", f"amount: negative ({format_amount(amount, asset.scale)})")
    return amount


def _reference(step: Step, source: str | Expression | None) -> str | None:
    if source is None:
        return None
    reference = expressions.string(source, step.variables, "reference_id")
    if not _REFERENCE.fullmatch(reference):
        raise ActionFailed("expression_error", "reference_id: not 1-255 of letters, digits and . _ : @ -")
    return reference


def _origin(step: Step, description: str | None, reference: str | None) -> Origin:
    return Origin(
        program_id=step.event.program_id,
        description=description or step.rule.name,
        event_id=step.event.id,
        event_timestamp=step.event.timestamp,
        rule_id=step.rule.id,
        reference_id=reference,
    )


def _move(
    step: Step, action: CreditAction | DebitAction, post: Callable[[AccountKey, Decimal, Origin], tuple[Entry, Bucket]]
) -> ExecutedAction:
    """The frame of every action on money, in the order of 6.3; `post` writes the entry, and says which bucket it moved."""
    holder = target_holder(step, action.target, for_credit=isinstance(action, CreditAction))
    _require_active(holder)
    asset = _asset(step, action.asset_id)
    amount = _amount(step, action.amount, asset)
    reference = _reference(step, action.reference_id)
    entry, bucket = None, action.bucket
    if amount:
        try:
            entry, bucket = post(_account(step, holder, asset), amount, _origin(step, action.description, reference))
        except DomainError as refusal:
            raise from_refusal(refusal, asset.symbol) from refusal
    return ExecutedAction(
        outcome="APPLIED" if entry else "NO_OP",
        reason=None if entry else "ZERO_AMOUNT",
        target_type=holder.kind.value,
        target_id=holder.id,
        amount=format_amount(amount, asset.scale),
        bucket=bucket.value,
        reference_id=reference,
        journal_entry_id=entry.id if entry else None,
    )


def _credit(step: Step, action: Action) -> ExecutedAction:
    assert isinstance(action, CreditAction)

    def post(key: AccountKey, amount: Decimal, origin: Origin) -> tuple[Entry, Bucket]:
        result = credit(
            step.world.books,
            key,
            amount,
            now=step.now,
            origin=origin,
            bucket=action.bucket,
            expires_at=action.expires_at,
            matures_at=action.matures_at,
        )
        return result.entry, result.bucket

    return _move(step, action, post)


def _debit(step: Step, action: Action) -> ExecutedAction:
    assert isinstance(action, DebitAction)

    def post(key: AccountKey, amount: Decimal, origin: Origin) -> tuple[Entry, Bucket]:
        negative = action.allow_negative
        entry = debit(step.world.books, key, amount, now=step.now, origin=origin, bucket=action.bucket, allow_negative=negative)
        return entry, action.bucket

    return _move(step, action, post)


# --------------------------------------------------------------------- state
@dataclass(frozen=True, slots=True)
class _Owner:
    kind: StateOwner
    id: UUID


def _state_owner(step: Step, target: Target, *, needs_active: bool = False) -> _Owner:
    if target.kind is TargetKind.PROGRAM:
        return _Owner(StateOwner.PROGRAM, step.event.program_id)
    holder = target_holder(step, target)
    if needs_active:
        _require_active(holder)
    kind = StateOwner.GROUP if holder.kind is EntityType.GROUP else StateOwner.PARTICIPANT
    return _Owner(kind, holder.id)


def _write(step: Step, owner: _Owner, new: EntityState, changes: Changes) -> None:
    step.world.change_state(owner.kind, owner.id, new, changes, at=step.now, event=step.event, rule_id=step.rule.id)


def _tag(step: Step, action: Action) -> ExecutedAction:
    assert isinstance(action, TagAction)
    owner = _state_owner(step, action.target)
    state = step.world.states[owner.id]
    new, changes = state.remove_tag(action.tag) if action.remove else state.add_tag(action.tag)
    _write(step, owner, new, changes)
    done = ExecutedAction(target_type=owner.kind.value, target_id=owner.id)
    return done if changes else done.no_op("NOT_SET" if action.remove else "ALREADY_SET")


def _counter(step: Step, action: Action) -> ExecutedAction:
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


def _attribute(step: Step, action: Action) -> ExecutedAction:
    assert isinstance(action, AttributeAction)
    owner = _state_owner(step, action.target)
    value = expressions.text(action.value, step.variables, "value_expression")
    new, changes = step.world.states[owner.id].set_attribute(action.key, value)
    _write(step, owner, new, changes)
    done = ExecutedAction(target_type=owner.kind.value, target_id=owner.id, new_value=value)
    return done if changes else done.no_op("ALREADY_SET")


# ------------------------------------------------------------- SYSTEM events
def _schedule(step: Step, action: Action) -> ExecutedAction:
    assert isinstance(action, ScheduleAction)
    holder = target_holder(step, action.target)
    step.world.planned.append(planning.schedule(step.event, step.rule, action, holder.id, step.now))
    return ExecutedAction(target_id=holder.id)


def _broadcast(step: Step, action: Action) -> ExecutedAction:
    assert isinstance(action, BroadcastAction)
    step.world.planned.append(planning.broadcast(step.event, step.rule, action, step.now))
    return ExecutedAction(target_type=StateOwner.PROGRAM.value, target_id=step.event.program_id)


EXECUTORS: Mapping[ActionType, Callable[[Step, Action], ExecutedAction]] = {
    ActionType.CREDIT: _credit,
    ActionType.DEBIT: _debit,
    ActionType.TAG: _tag,
    ActionType.UNTAG: _tag,
    ActionType.COUNTER: _counter,
    ActionType.SET_ATTRIBUTE: _attribute,
    ActionType.SCHEDULE_EVENT: _schedule,
    ActionType.BROADCAST: _broadcast,
}
