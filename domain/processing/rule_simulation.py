"""One rule against a made-up event and participant (events-rules.md 4.12): what each action would do, nothing is done.

Conditions and expressions see the snapshot that processing builds, and actions evaluate and round as the executors do.
`SIMULATORS` is the one place that lists the types.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from domain.cel import EvaluationError, Expression, StepLimitExceeded, evaluate_condition
from domain.ledger.accounts import NIL, Account, AccountKey, AssetTerms, Balance, EntityType
from domain.ledger.books import Books
from domain.money import MAX_SCALE, ZERO, format_amount, format_plain, to_scale
from domain.processing import expressions
from domain.processing.failure import ActionFailed
from domain.processing.variables import snapshot
from domain.processing.world import Event, Holder, Program, World
from domain.rules.actions import (
    Action,
    AttributeAction,
    BroadcastAction,
    CounterAction,
    MoneyAction,
    ScheduleAction,
    SetTierAction,
    TagAction,
)
from domain.rules.forms import TextValue
from domain.rules.rule import CompiledRule
from domain.rules.ruleset import RuleSet
from domain.rules.targets import Target, TargetKind
from domain.state import CounterOutOfRange, EntityState
from domain.tiers.definition import Standing, Tier

PARTICIPANT_ID = UUID(int=1)
EXTERNAL_ID = "simulated"

Result = dict[str, object]


@dataclass(frozen=True, slots=True)
class Case:
    """What a rule is tried on: an event at `now`, a participant's state and balances, and the real program at `clock`.

    `tiers` are the program's, `levels` those that the participant has of them, by tier key.
    """

    program: Program
    program_state: EntityState
    assets: Mapping[UUID, AssetTerms]
    event: Mapping[str, object]
    now: datetime
    clock: datetime
    state: EntityState = field(default_factory=EntityState)
    balances: Mapping[UUID, Balance] = field(default_factory=dict)
    tiers: tuple[Tier, ...] = ()
    levels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RuleSimulation:
    """Whether the condition was true, why it couldn't be evaluated, and a result for each action of a matched rule."""

    matched: bool
    failure: str | None = None
    results: Sequence[Result] = ()


@dataclass(frozen=True, slots=True)
class _Trial:
    """A matched rule with what its actions' expressions see."""

    case: Case
    world: World
    variables: Mapping[str, object]


def simulate_rule(rule: CompiledRule, case: Case) -> RuleSimulation:
    """Evaluate the condition and, when it is true, each action; status, window, budgets and balances don't matter."""
    world, event = _world(case), _event(case)
    variables = snapshot(event, RuleSet(0, case.program.id, (rule,)).reads, world, case.clock)
    try:
        if not evaluate_condition(rule.condition, variables):
            return RuleSimulation(matched=False)
    except (EvaluationError, StepLimitExceeded) as error:
        return RuleSimulation(matched=False, failure=error.message)
    trial = _Trial(case, world, variables)
    return RuleSimulation(matched=True, results=[_result(trial, action) for action in rule.actions])


def _world(case: Case) -> World:
    program = case.program
    world = World(Books(case.assets, lambda: NIL))
    world.programs[program.id] = program
    world.states |= {program.id: case.program_state, PARTICIPANT_ID: case.state}
    world.holders[PARTICIPANT_ID] = Holder(
        PARTICIPANT_ID, program.organization_id, EntityType.PARTICIPANT, EXTERNAL_ID, "ACTIVE", case.clock, (program.id,)
    )
    world.standings.tiers = {program.id: case.tiers}
    for tier in case.tiers:
        if tier.key in case.levels:
            world.standings.loaded[PARTICIPANT_ID, tier.id] = Standing(case.levels[tier.key], case.clock)
    for asset_id in program.asset_ids:
        balance = case.balances.get(asset_id, Balance(ZERO, ZERO, ZERO))
        world.books.add_account(Account(AccountKey(EntityType.PARTICIPANT, PARTICIPANT_ID, asset_id), *balance))
    return world


def _event(case: Case) -> Event:
    program = case.program
    return Event(NIL, program.organization_id, program.id, PARTICIPANT_ID, None, case.event, case.now, case.clock)


def _result(trial: _Trial, action: Action) -> Result:
    try:
        return SIMULATORS[action.type.value](trial, action)
    except ActionFailed as failure:
        return {"error": failure.message(action.type.value)}


# ------------------------------------------------------------------- targets
@dataclass(frozen=True, slots=True)
class _Whom:
    """Whom an action is for; `state` when that is the event's own participant."""

    name: str
    state: EntityState | None = None


def _whom(trial: _Trial, target: Target) -> _Whom:
    if target.kind is TargetKind.PROGRAM:
        return _Whom("program")
    own = _Whom("participant", trial.case.state)
    if target.value is None:
        return own
    if target.by == "external_id":
        name = expressions.string(target.value, trial.variables, "target.external_id")
        return own if name == EXTERNAL_ID else _Whom(f"participant {name}")
    id_ = expressions.uuid(target.value, trial.variables, f"target.{target.by}")
    if target.kind is TargetKind.GROUP:
        return _Whom(f"group {id_}")
    return own if id_ == PARTICIPANT_ID else _Whom(f"participant {id_}")


# ------------------------------------------------------------------- actions
def _money(verb: str, preposition: str, trial: _Trial, action: MoneyAction) -> Result:
    whom = _whom(trial, action.target)
    asset = trial.world.asset_in_use(action.asset_id, trial.case.program.id)
    amount = _amount(trial, action.amount, asset)
    _check_reference(trial, action.reference_id)
    return {
        "amount": amount,
        "asset_symbol": asset.symbol,
        "description": f"{verb} {amount or 'all'} {asset.symbol} {preposition} {whom.name}",
    }


def _amount(trial: _Trial, source: Decimal | Expression | None, asset: AssetTerms) -> str | None:
    if source is None:
        return None
    return format_amount(expressions.amount(source, trial.variables, asset.scale), asset.scale)


def _check_reference(trial: _Trial, source: TextValue | None) -> str | None:
    return None if source is None else expressions.reference(source, trial.variables)


def _void_hold(trial: _Trial, action: MoneyAction) -> Result:
    whom = _whom(trial, action.target)
    asset = trial.world.asset_in_use(action.asset_id, trial.case.program.id)
    reference = _check_reference(trial, action.reference_id)
    return {"description": f"Void what {whom.name} holds of {asset.symbol} under {reference}; VOID_HOLD isn't simulated"}


def _tag(trial: _Trial, action: TagAction) -> Result:
    whom = _whom(trial, action.target)
    result: Result = {}
    if whom.state is not None:
        is_there = action.tag in whom.state.tags
        result = {"current_tags": sorted(whom.state.tags)}
        result |= {"would_remove": is_there} if action.remove else {"would_add": not is_there}
    verb, preposition = ("Remove", "from") if action.remove else ("Add", "to")
    return {**result, "description": f"{verb} tag {action.tag} {preposition} {whom.name}"}


def _counter(trial: _Trial, action: CounterAction) -> Result:
    whom = _whom(trial, action.target)
    value = to_scale(expressions.number(action.value, trial.variables, "value"), MAX_SCALE)
    result: Result = {"value": format_plain(value)}
    if whom.state is not None:
        try:
            new, _ = whom.state.add_to_counter(action.key, value, None, trial.case.clock)
        except CounterOutOfRange as error:
            raise ActionFailed("invalid_amount", str(error)) from error
        for name, state in (("current_value", whom.state), ("projected_value", new)):
            counter = state.counters.get(action.key)
            result[name] = format_plain(counter.value if counter else ZERO)
    return {**result, "description": f"Add {format_plain(value)} to counter {action.key} of {whom.name}"}


def _attribute(trial: _Trial, action: AttributeAction) -> Result:
    whom = _whom(trial, action.target)
    value = expressions.text(action.value, trial.variables, "value_expression")
    result: Result = {}
    if whom.state is not None:
        current = whom.state.attributes.get(action.key)
        result = {"current_value": current, "would_change": current != value}
    return {**result, "description": f"Set attribute {action.key} of {whom.name} to {value}"}


def _set_tier(trial: _Trial, action: SetTierAction) -> Result:
    return {"description": f"Set tier {action.tier} of {_whom(trial, action.target).name} to {action.level}"}


def _schedule(trial: _Trial, action: ScheduleAction) -> Result:
    return {"description": f"Schedule event {action.event_name} for {_whom(trial, action.target).name} in {action.delay}"}


def _broadcast(_: _Trial, action: BroadcastAction) -> Result:
    return {"description": f"Send event {action.event_name} to every active participant of the program"}


SIMULATORS: Mapping[str, Callable[[_Trial, Any], Result]] = {
    "CREDIT": partial(_money, "Credit", "to"),
    "DEBIT": partial(_money, "Debit", "from"),
    "HOLD": partial(_money, "Hold", "of"),
    "RELEASE": partial(_money, "Release", "of"),
    "FORFEIT": partial(_money, "Forfeit", "of"),
    "VOID_HOLD": _void_hold,
    "TAG": _tag,
    "UNTAG": _tag,
    "COUNTER": _counter,
    "SET_ATTRIBUTE": _attribute,
    "SET_TIER": _set_tier,
    "SCHEDULE_EVENT": _schedule,
    "BROADCAST": _broadcast,
}
