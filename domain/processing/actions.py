"""What actions do (events-rules.md 6). One function per type; `EXECUTORS` is the one place that lists them.

Here are the actions on money; those on state are in `actions_state`, those that assign levels in `actions_tiers`, those that
make events in `actions_events`.

The order inside an action is the specification's (6.3): target, status restriction, expressions, rounding, zero check,
budget, ledger checks, effect.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

from domain.cel import Expression
from domain.errors import DomainError
from domain.ledger.accounts import NIL, AccountKey, AssetTerms, Bucket, EntityType
from domain.ledger.checks import NothingToMove
from domain.ledger.credit import credit
from domain.ledger.debit import debit
from domain.ledger.entries import Entry, Origin
from domain.ledger.moves import MoveResult, forfeit, hold, release, void_hold
from domain.money import ZERO, format_amount
from domain.processing import actions_events, actions_state, actions_tiers, expressions
from domain.processing.failure import from_refusal
from domain.processing.record import ExecutedAction
from domain.processing.targets import Step, require_active, target_holder
from domain.processing.world import Holder
from domain.rules.actions import (
    Action,
    ActionType,
    CreditAction,
    DebitAction,
    ForfeitAction,
    HoldAction,
    MoneyAction,
    ReleaseAction,
    VoidHoldAction,
)


def execute(step: Step, action: Action) -> ExecutedAction:
    """Carry out one action; raises ActionFailed, or MissingState when something must be loaded first."""
    return EXECUTORS[action.type](step, action)


def _asset(step: Step, asset_id: UUID) -> AssetTerms:
    return step.world.asset_in_use(asset_id, step.event.program_id)


def _account(step: Step, holder: Holder, asset: AssetTerms) -> AccountKey:
    is_group = holder.kind is EntityType.GROUP
    return AccountKey(holder.kind, holder.id, asset.id, step.event.program_id if is_group else NIL)


def _amount(step: Step, source: Decimal | Expression, asset: AssetTerms) -> Decimal:
    return expressions.amount(source, step.variables, asset.scale)


def _reference(step: Step, source: str | Expression | None) -> str | None:
    return None if source is None else expressions.reference(source, step.variables)


def _origin(step: Step, description: str | None, reference: str | None) -> Origin:
    return Origin(
        program_id=step.event.program_id,
        description=description or step.rule.name,
        event_id=step.event.id,
        event_timestamp=step.event.timestamp,
        rule_id=step.rule.id,
        reference_id=reference,
    )


def _is_in_budget(step: Step, asset: AssetTerms, amount: Decimal) -> bool:
    """Count a credit against the rule's budget; False when it doesn't fit, and then it is suppressed whole (4.5)."""
    return step.world.budgets.issue(step.rule.id, asset.id, amount, step.now)


@dataclass(frozen=True, slots=True)
class _Posted:
    """What was written: the entry, the amount that moved, and the bucket of actions that have one."""

    entry: Entry
    amount: Decimal
    bucket: Bucket | None


_Post = Callable[[AccountKey, Decimal | None, Origin], _Posted | None]


def _move(step: Step, action: MoneyAction, post: _Post) -> ExecutedAction:
    """The frame of every action on money, in the order of 6.3; `post` writes the entry, or finds nothing to move.

    An amount of None stands for everything.
    """
    holder = target_holder(step, action.target, for_credit=isinstance(action, CreditAction))
    if not isinstance(action, VoidHoldAction):
        require_active(holder)
    asset = _asset(step, action.asset_id)
    amount = None if action.amount is None else _amount(step, action.amount, asset)
    reference = _reference(step, action.reference_id)
    done = ExecutedAction(
        target_type=holder.kind.value,
        target_id=holder.id,
        amount=format_amount(ZERO, asset.scale),
        bucket=action.bucket,
        reference_id=reference,
    )
    if amount == 0:
        return done.no_op("ZERO_AMOUNT")
    if isinstance(action, CreditAction) and amount is not None and not _is_in_budget(step, asset, amount):
        return done.suppressed("BUDGET_EXCEEDED", format_amount(amount, asset.scale))
    try:
        posted = post(_account(step, holder, asset), amount, _origin(step, action.description, reference))
    except DomainError as refusal:
        raise from_refusal(refusal, asset.symbol) from refusal
    if posted is None:
        return done.no_op("NOTHING_TO_MOVE")
    shown = format_amount(posted.amount, asset.scale)
    return replace(done, amount=shown, bucket=posted.bucket, journal_entry_id=posted.entry.id)


def _credit(step: Step, action: Action) -> ExecutedAction:
    assert isinstance(action, CreditAction)

    def post(key: AccountKey, amount: Decimal | None, origin: Origin) -> _Posted:
        assert amount is not None
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
        return _Posted(result.entry, amount, result.bucket)

    return _move(step, action, post)


def _debit(step: Step, action: Action) -> ExecutedAction:
    assert isinstance(action, DebitAction)

    def post(key: AccountKey, amount: Decimal | None, origin: Origin) -> _Posted:
        assert amount is not None
        negative = action.allow_negative
        entry = debit(step.world.books, key, amount, now=step.now, origin=origin, bucket=action.bucket, allow_negative=negative)
        return _Posted(entry, amount, action.bucket)

    return _move(step, action, post)


_Shift = Callable[[AccountKey, Decimal | None, Origin], MoveResult]


def _shift(step: Step, action: MoneyAction, operation: _Shift) -> ExecutedAction:
    """HOLD, RELEASE, FORFEIT, VOID_HOLD: unlike on the API, an empty selection is no failure."""

    def post(key: AccountKey, amount: Decimal | None, origin: Origin) -> _Posted | None:
        try:
            moved = operation(key, amount, origin)
        except NothingToMove:
            return None
        return _Posted(moved.entry, moved.amount, action.bucket)

    return _move(step, action, post)


def _hold(step: Step, action: Action) -> ExecutedAction:
    assert isinstance(action, HoldAction)

    def operation(key: AccountKey, amount: Decimal | None, origin: Origin) -> MoveResult:
        return hold(step.world.books, key, amount, now=step.now, origin=origin, expires_at=action.expires_at)

    return _shift(step, action, operation)


def _release(step: Step, action: Action) -> ExecutedAction:
    assert isinstance(action, ReleaseAction)

    def operation(key: AccountKey, amount: Decimal | None, origin: Origin) -> MoveResult:
        return release(step.world.books, key, amount, now=step.now, origin=origin)

    return _shift(step, action, operation)


def _forfeit(step: Step, action: Action) -> ExecutedAction:
    assert isinstance(action, ForfeitAction)

    def operation(key: AccountKey, amount: Decimal | None, origin: Origin) -> MoveResult:
        return forfeit(step.world.books, key, amount, now=step.now, origin=origin, bucket=action.bucket)

    return _shift(step, action, operation)


def _void_hold(step: Step, action: Action) -> ExecutedAction:
    assert isinstance(action, VoidHoldAction)

    def operation(key: AccountKey, _: Decimal | None, origin: Origin) -> MoveResult:
        return void_hold(step.world.books, key, now=step.now, origin=origin)

    return _shift(step, action, operation)


EXECUTORS: Mapping[ActionType, Callable[[Step, Action], ExecutedAction]] = {
    ActionType.CREDIT: _credit,
    ActionType.DEBIT: _debit,
    ActionType.HOLD: _hold,
    ActionType.RELEASE: _release,
    ActionType.FORFEIT: _forfeit,
    ActionType.VOID_HOLD: _void_hold,
    ActionType.TAG: actions_state.tag,
    ActionType.UNTAG: actions_state.tag,
    ActionType.COUNTER: actions_state.counter,
    ActionType.SET_ATTRIBUTE: actions_state.attribute,
    ActionType.SET_TIER: actions_tiers.set_tier,
    ActionType.SCHEDULE_EVENT: actions_events.schedule,
    ActionType.BROADCAST: actions_events.broadcast,
}
