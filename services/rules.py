"""Rules: create, read, change (events-rules.md 4). Every change is a new version in the history and a new rule set."""

import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Session

from db.repositories import groups
from db.repositories import organizations as clock
from db.repositories import rules as repository
from db.repositories.keyset import Keyset, Slice
from db.repositories.rules import HistoryFilters, RuleFilters
from db.session import Connection
from db.tables.rules import RuleHistoryRow
from domain.cel import CompileError, compile_condition
from domain.errors import BadRequest, Fault, OrderConflict, ProgramArchived, RuleArchived, bad_request, not_found
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
    compile_rule,
)
from domain.rules.ruleset import RuleSet
from domain.rules.targets import group_ids, no_group
from runtime.ids import new_id

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

MAX_CACHED_RULES = 50_000


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


def create_rule(session: Session, organization_id: UUID, new: NewRule, api_key_id: UUID | None = None) -> Rule:
    """Make a rule and put it in force. Raises NotFound, BadRequest, ProgramArchived, OrderConflict."""
    program_status = repository.lock_program(session, organization_id, new.program_id)
    if program_status is None:
        raise not_found("program", new.program_id, "program_id")
    _check_named(session, organization_id, new.program_id, new.actions)
    _check_program(program_status, new.program_id)
    order = _next_order(session, new.program_id) if new.order is None else new.order
    moment = clock.now(session)
    rule = Rule(
        id=new_id(),
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
    )
    _check_order(session, rule)
    version = _version(rule, organization_id, api_key_id, ChangeType.CREATED, {})
    repository.insert(session, organization_id, rule, version.id)
    _put_in_force(session, version)
    return rule


def get_rule(session: Session, organization_id: UUID, rule_id: UUID) -> Rule:
    """A rule. Raises NotFound."""
    rule = repository.find(session, organization_id, rule_id)
    if rule is None:
        raise not_found("rule", rule_id)
    return rule


def list_rules(session: Session, organization_id: UUID, filters: RuleFilters, keyset: Keyset, sort: str) -> Slice[Rule]:
    """A page of the organization's rules; `sort` names the keyset's first column: order, created_at or name."""
    return repository.list_rules(session, organization_id, filters, keyset, sort)


def update_rule(
    session: Session,
    organization_id: UUID,
    rule_id: UUID,
    changes: Mapping[str, Any],
    api_key_id: UUID | None = None,
) -> Rule:
    """Change the named fields of a rule, their form checked; what changes no value leaves no trace.

    Raises NotFound, BadRequest, ProgramArchived, RuleArchived, OrderConflict.
    """
    program_id = get_rule(session, organization_id, rule_id).program_id
    program_status = repository.lock_program(session, organization_id, program_id)
    assert program_status is not None
    # only now nobody else can change it
    old = get_rule(session, organization_id, rule_id)
    new = _changed(old, changes)
    if "actions" in changes:
        _check_named(session, organization_id, program_id, changes["actions"])
    _check_window(new, changes)
    _check_program(program_status, program_id)
    if old.status is RuleStatus.ARCHIVED:
        raise RuleArchived(rule_id=str(rule_id))
    differences = changes_between(old, new)
    if not differences:
        return old
    _check_order(session, new)
    moment = clock.now(session)
    is_archived = new.status is RuleStatus.ARCHIVED
    new = replace(new, updated_at=moment, deleted_at=moment if is_archived else None)
    version = _version(new, organization_id, api_key_id, change_type(old, new), differences)
    repository.update(session, organization_id, new, version.id)
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
    values = dict(changes)
    if "actions" in values:
        values["actions"] = tuple(stored_actions(values["actions"]))
    return replace(old, **values)


def _check_named(session: Session, organization_id: UUID, program_id: UUID, actions: list[dict[str, Any]]) -> None:
    """Refuse actions that name assets or groups which can't be used."""
    faults = validate_actions(actions, repository.active_linked_assets(session, program_id))
    named = list(group_ids(actions))
    active = groups.active_among(session, organization_id, {id_ for _, id_ in named}) if named else set()
    for index, id_ in named:
        if id_ not in active:
            flaw = no_group(str(id_))
            faults.append(Fault(f"actions[{index}].target.id", flaw.reason, flaw.message, flaw.expected, str(id_)))
    if faults:
        raise BadRequest(faults)


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


class _CompiledSets:
    """The process's compiled rule sets, the least recently used ones forgotten; a set is immutable, so never stale."""

    def __init__(self, most_rules: int) -> None:
        self._most_rules = most_rules
        self._rules = 0
        self._sets: OrderedDict[tuple[UUID, int], RuleSet] = OrderedDict()
        self._lock = threading.Lock()

    def known(self, keys: Collection[tuple[UUID, int]]) -> dict[tuple[UUID, int], RuleSet]:
        """Those of the sets, by program and id, that are here."""
        with self._lock:
            found = {key: self._sets[key] for key in keys if key in self._sets}
            for key in found:
                self._sets.move_to_end(key)
            return found

    def keep(self, rule_set: RuleSet) -> None:
        """Remember a set."""
        key = rule_set.program_id, rule_set.id
        with self._lock:
            self._rules += _weight(rule_set) - _weight(self._sets.pop(key, None))
            self._sets[key] = rule_set
            while self._rules > self._most_rules and len(self._sets) > 1:
                self._rules -= _weight(self._sets.popitem(last=False)[1])


def _weight(rule_set: RuleSet | None) -> int:
    return 0 if rule_set is None else 1 + len(rule_set.rules)


_compiled = _CompiledSets(MAX_CACHED_RULES)


def load_rule_sets(conn: Connection, program_ids: Collection[UUID]) -> dict[UUID, RuleSet]:
    """The set in force of each program, compiled; a program that never had a rule gets an empty one with id 0."""
    current = repository.current_rule_sets(conn, program_ids)
    sets = load_rule_sets_by_id(conn, current.items())
    return {id_: sets[current[id_]] if id_ in current else RuleSet(0, id_, ()) for id_ in program_ids}


def load_rule_sets_by_id(conn: Connection, keys: Collection[tuple[UUID, int]]) -> dict[int, RuleSet]:
    """Compiled rule sets by id, in force or long replaced; `keys` are pairs of program and rule set id."""
    sets = {id_: found for (_, id_), found in _compiled.known(keys).items()}
    missing = {id_: program_id for program_id, id_ in keys if id_ not in sets}
    if missing:
        for id_, versions in repository.snapshots_of(conn, missing).items():
            rules = tuple(compile_rule(snapshot, history_id) for history_id, snapshot in versions)
            sets[id_] = RuleSet(id_, missing[id_], rules)
            _compiled.keep(sets[id_])
        for id_ in missing.keys() - sets.keys():
            sets[id_] = RuleSet(id_, missing[id_], ())
    return sets
