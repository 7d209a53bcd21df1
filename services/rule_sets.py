"""The rule sets that events are evaluated with, compiled once per process: a set is immutable, so never stale."""

import threading
from collections import OrderedDict
from collections.abc import Collection
from uuid import UUID

from db.repositories import rules as repository
from db.session import Connection
from domain.rules.rule import compile_rule
from domain.rules.ruleset import RuleSet

MAX_CACHED_RULES = 50_000


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
