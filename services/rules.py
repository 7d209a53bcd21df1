"""Rules: create, read, change (events-rules.md 4). Every change is a new version in the history and a new rule set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Session

from db.repositories import budgets as budget_rows
from db.repositories import groups
from db.repositories import organizations as clock
from db.repositories import rules as repository
from db.repositories import tiers as tier_rows
from db.repositories.keyset import Keyset, Slice
from db.repositories.rules import HistoryFilters, RuleFilters
from db.session import psycopg_of
from db.tables.rules import RuleHistoryRow
from domain.cel import CompileError, compile_condition
from domain.errors import BadRequest, Fault, InvalidScale, OrderConflict, ProgramArchived, RuleArchived, bad_request, not_found
from domain.money import has_more_decimals, parse_amount
from domain.rules.actions import ActionType
from domain.rules.budget_forms import parse_budgets
from domain.rules.budgets import Budget, Period, replaced
from domain.rules.definitions import stored_actions, validate_actions
from domain.rules.rule import (
    FIRST_ORDER,
    MAX_ORDER,
    ORDER_STEP,
    ChangeType,
    Rule,
    RuleStatus,
    change_type,
    changes_between,
)
from domain.rules.targets import group_ids, no_group
from domain.tiers.resource import TierStatus
from runtime.ids import new_id
from services.rule_sets import load_rule_sets, load_rule_sets_by_id

__all__ = [
    "HistoryFilters",
    "NewRule",
    "RuleFilters",
    "RuleHistoryRow",
    "compile_error_of",
    "create_rule",
    "get_rule",
    "list_history",
    "list_rules",
    "load_rule_sets",
    "load_rule_sets_by_id",
    "update_rule",
]


@dataclass(frozen=True, slots=True)
class NewRule:
    """A rule to be made, its form checked; without `order` it comes last."""

    program_id: UUID
    name: str
    condition: str
    actions: list[dict[str, Any]]
    description: str | None = None
    order: int | None = None
    stop_after_match: bool = False
    active_from: datetime | None = None
    active_to: datetime | None = None
    status: RuleStatus = RuleStatus.ACTIVE
    budgets: Sequence[Mapping[str, object]] = ()


def create_rule(
    session: Session, organization_id: UUID, new: NewRule, api_key_id: UUID | None = None, *, is_strict: bool = False
) -> Rule:
    """Make a rule and put it in force. Raises NotFound, BadRequest, InvalidScale, ProgramArchived, OrderConflict."""
    program_status = repository.lock_program(session, organization_id, new.program_id)
    if program_status is None:
        raise not_found("program", new.program_id, "program_id")
    definitions = _check_named(session, organization_id, new.program_id, new.actions, new.budgets, is_strict=is_strict)
    _check_program(program_status, new.program_id)
    order = _next_order(session, new.program_id) if new.order is None else new.order
    moment, rule_id = clock.now(session), new_id()
    budgets, periods = replaced(rule_id, (), definitions, moment)
    rule = Rule(
        id=rule_id,
        program_id=new.program_id,
        name=new.name,
        description=new.description,
        condition=new.condition,
        actions=tuple(stored_actions(new.actions)),
        order=order,
        stop_after_match=new.stop_after_match,
        active_from=new.active_from,
        active_to=new.active_to,
        status=new.status,
        created_at=moment,
        updated_at=moment,
        budgets=budgets,
    )
    _check_order(session, rule)
    version = _version(rule, organization_id, api_key_id, ChangeType.CREATED, {})
    repository.insert(session, organization_id, rule, version.id)
    if budgets:
        budget_rows.write(psycopg_of(session), organization_id, rule, periods, api_key_id)
    _put_in_force(session, version)
    return rule


def get_rule(session: Session, organization_id: UUID, rule_id: UUID) -> Rule:
    """A rule with its budgets as they are now. Raises NotFound."""
    return _live(session, [_find(session, organization_id, rule_id)])[0]


def _find(session: Session, organization_id: UUID, rule_id: UUID) -> Rule:
    rule = repository.find(session, organization_id, rule_id)
    if rule is None:
        raise not_found("rule", rule_id)
    return rule


def _live(session: Session, rules: Sequence[Rule]) -> list[Rule]:
    """The rules with their budgets, each in its present period."""
    stored = budget_rows.load(psycopg_of(session), [rule.id for rule in rules])
    if not stored:
        return list(rules)
    moment = clock.now(session)
    live = [budget.at(moment) for budget in stored]
    return [replace(rule, budgets=tuple(one for one in live if one.rule_id == rule.id)) for rule in rules]


def list_rules(session: Session, organization_id: UUID, filters: RuleFilters, keyset: Keyset, sort: str) -> Slice[Rule]:
    """A page of the organization's rules; `sort` names the keyset's first column: order, created_at or name."""
    found = repository.list_rules(session, organization_id, filters, keyset, sort)
    return replace(found, rows=_live(session, found.rows))


def update_rule(
    session: Session,
    organization_id: UUID,
    rule_id: UUID,
    changes: Mapping[str, Any],
    api_key_id: UUID | None = None,
    *,
    is_strict: bool = False,
) -> Rule:
    """Change the named fields of a rule, their form checked; what changes no value leaves no trace.

    Raises NotFound, BadRequest, InvalidScale, ProgramArchived, RuleArchived, OrderConflict.
    """
    program_id = _find(session, organization_id, rule_id).program_id
    program_status = repository.lock_program(session, organization_id, program_id)
    assert program_status is not None
    # only now nobody else can change it
    old = get_rule(session, organization_id, rule_id)
    new = _changed(old, changes)
    definitions = _check_named(
        session, organization_id, program_id, changes.get("actions"), changes.get("budgets", ()), is_strict=is_strict
    )
    _check_window(new, changes)
    _check_program(program_status, program_id)
    if old.status is RuleStatus.ARCHIVED:
        raise RuleArchived(rule_id=str(rule_id))
    periods: list[Period] = []
    if "budgets" in changes:
        # locked before the clock is read: whatever a batch issued of them was issued before
        stored = budget_rows.load(psycopg_of(session), [rule_id], lock=True)
        budgets, periods = replaced(rule_id, stored, definitions, clock.now(session))
        new = replace(new, budgets=budgets)
    differences = changes_between(old, new)
    if not differences:
        return old
    _check_order(session, new)
    moment = clock.now(session)
    is_archived = new.status is RuleStatus.ARCHIVED
    new = replace(new, updated_at=moment, deleted_at=moment if is_archived else None)
    version = _version(new, organization_id, api_key_id, change_type(old, new), differences)
    repository.update(session, organization_id, new, version.id)
    if "budgets" in differences:
        budget_rows.write(psycopg_of(session), organization_id, new, periods, api_key_id)
    _put_in_force(session, version)
    return new


def list_history(
    session: Session, organization_id: UUID, rule_id: UUID, filters: HistoryFilters, keyset: Keyset
) -> Slice[RuleHistoryRow]:
    """A page of a rule's versions, newest first. Raises NotFound."""
    get_rule(session, organization_id, rule_id)
    return repository.list_history(session, rule_id, filters, keyset)


def compile_error_of(condition: str) -> CompileError | None:
    """What keeps a condition from compiling; None for a valid one."""
    try:
        compile_condition(condition)
    except CompileError as error:
        return error
    return None


def _changed(old: Rule, changes: Mapping[str, Any]) -> Rule:
    values = {name: value for name, value in changes.items() if name != "budgets"}
    if "actions" in values:
        values["actions"] = tuple(stored_actions(values["actions"]))
    return replace(old, **values)


def _check_named(
    session: Session,
    organization_id: UUID,
    program_id: UUID,
    actions: list[dict[str, Any]] | None,
    budgets: Sequence[Mapping[str, object]],
    *,
    is_strict: bool,
) -> tuple[Budget, ...]:
    """Refuse actions and budgets that name assets or groups which can't be used; the budgets, with limits at their scales."""
    if actions is None and not budgets:
        return ()
    assets = repository.active_linked_assets(session, program_id)
    faults = [] if actions is None else validate_actions(actions, assets)
    named = list(group_ids(actions or []))
    active = groups.active_among(session, organization_id, {id_ for _, id_ in named}) if named else set()
    for index, id_ in named:
        if id_ not in active:
            flaw = no_group(str(id_))
            faults.append(Fault(f"actions[{index}].target.id", flaw.reason, flaw.message, flaw.expected, str(id_)))
    faults += _tier_faults(session, organization_id, program_id, actions or [])
    definitions, wrong = parse_budgets(budgets, assets)
    if faults or wrong:
        raise BadRequest([*faults, *wrong])
    if is_strict:
        _refuse_rounding(budgets, definitions)
    return definitions


def _tier_faults(
    session: Session, organization_id: UUID, program_id: UUID, actions: Sequence[Mapping[str, object]]
) -> list[Fault]:
    """What SET_TIER actions name that isn't an ACTIVE tier of the program, or a level of it."""
    named = [(index, action) for index, action in enumerate(actions) if action.get("type") == ActionType.SET_TIER]
    if not named:
        return []
    found = tier_rows.of_program(psycopg_of(session), organization_id, program_id)
    levels = {tier.key: {level.key for level in tier.levels} for tier in found if tier.status is TierStatus.ACTIVE}
    faults = []
    for index, action in named:
        tier, level = str(action.get("tier")), str(action.get("level"))
        if tier not in levels:
            faults.append(Fault(f"actions[{index}].tier", "invalid", "No active tier of the program", "active tier", tier))
        elif level not in levels[tier]:
            faults.append(Fault(f"actions[{index}].level", "invalid", "No level of the tier", "level of the tier", level))
    return faults


def _refuse_rounding(budgets: Sequence[Mapping[str, object]], definitions: Sequence[Budget]) -> None:
    for index, (raw, budget) in enumerate(zip(budgets, definitions, strict=True)):
        if has_more_decimals(parse_amount(raw["limit"]), budget.scale):
            raise InvalidScale(
                field=f"budgets[{index}].limit", asset_id=str(budget.asset_id), scale=budget.scale, received=raw["limit"]
            )


def _check_window(rule: Rule, changes: Mapping[str, Any]) -> None:
    """A bound that was sent must fit the one that stays."""
    sent = [name for name in ("active_to", "active_from") if changes.get(name) is not None]
    if sent and rule.active_from is not None and rule.active_to is not None and rule.active_to <= rule.active_from:
        raise bad_request(sent[0], "out_of_range", "active_to must be after active_from", expected="timestamp")


def _check_program(status: str, program_id: UUID) -> None:
    if status == "ARCHIVED":
        raise ProgramArchived(program_id=str(program_id))


def _next_order(session: Session, program_id: UUID) -> int:
    highest = repository.highest_order(session, program_id)
    order = FIRST_ORDER if highest is None else highest + ORDER_STEP
    if order > MAX_ORDER:
        raise bad_request("order", "out_of_range", "No order is left after the last rule", expected="integer")
    return order


def _check_order(session: Session, rule: Rule) -> None:
    if rule.status is not RuleStatus.ACTIVE:
        return
    holder = repository.active_rule_at(session, rule.program_id, rule.order, other_than=rule.id)
    if holder is not None:
        raise OrderConflict(order=rule.order, rule_id=str(holder))


def _version(
    rule: Rule,
    organization_id: UUID,
    api_key_id: UUID | None,
    change: ChangeType,
    changes: dict[str, dict[str, object]],
) -> RuleHistoryRow:
    return RuleHistoryRow(
        id=new_id(),
        organization_id=organization_id,
        program_id=rule.program_id,
        rule_id=rule.id,
        change_type=change.value,
        changes=changes,
        snapshot=rule.snapshot(),
        changed_at=rule.updated_at,
        changed_by_api_key_id=api_key_id,
    )


def _put_in_force(session: Session, version: RuleHistoryRow) -> None:
    repository.append_history(session, version)
    repository.append_rule_set(session, version.organization_id, version.program_id, version.changed_at)
