"""Whom a fan-out concerns, as far as the database can tell (automations.md 2.3)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from domain.state_tests import Split, StateKind, StateTest

# Texts are compared by code points.
_SQL = {"==": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
# Whose counters a period end or a lapse of a tier changes now, though nobody has written that yet.
_JOIN_DUE = """
    LEFT JOIN (SELECT DISTINCT s.holder_id FROM tiers t JOIN tier_states s ON s.tier_id = t.id
               WHERE t.organization_id = (SELECT organization_id FROM programs WHERE id = %(program)s)
                 AND s.next_due_at <= (SELECT openscrip_now())) AS due ON due.holder_id = h.id
    CROSS JOIN (SELECT EXISTS (
        SELECT FROM tiers t WHERE t.organization_id = (SELECT organization_id FROM programs WHERE id = %(program)s)
            AND t.renewed_through IS NOT NULL AND t.renewal_passes <= 0) AS is_new) AS lifecycle
"""
# While a lifecycle is so new that not everybody's row says when it does something, anybody may be due.
_IS_DUE = "(due.holder_id IS NOT NULL OR lifecycle.is_new)"


@dataclass(frozen=True, slots=True)
class CandidateQuery:
    """Parts of a statement over participants `p`: who may match, and of whom that is certain.

    The state of `h`, their holder, is joined only where it is looked at. The statement has a value `program`.
    """

    condition: str = "TRUE"
    certain: str = "TRUE"
    join: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    may_be_uncertain: bool = False


def candidate_query(hints: Sequence[StateTest], wanted: Split) -> CandidateQuery:
    """Those whom hints and filter leave, the filter as far as it can be tested."""
    tests = [*hints, *wanted.tests]
    if not tests and wanted.is_complete:
        return CandidateQuery()
    values: dict[str, Any] = {}
    conditions = [_condition(test, number, values) for number, test in enumerate(tests)]
    # what a counter with auto-reset counts depends on the time, which is not the database's to judge
    doubts = [f"jsonb_typeof(h.counters -> %(key_{number})s) = 'object'" for number, test in enumerate(tests) if _is_dated(test)]
    join = "JOIN holders h ON h.id = e.participant_id" if tests else ""
    if doubts:
        doubts.append(_IS_DUE)
        join += _JOIN_DUE
    certain = " AND ".join(f"({doubt}) IS NOT TRUE" for doubt in doubts) or "TRUE"
    return CandidateQuery(
        condition=" AND ".join(conditions) or "TRUE",
        certain=certain if wanted.is_complete else "FALSE",
        join=join,
        values=values,
        may_be_uncertain=bool(doubts) or not wanted.is_complete,
    )


def _is_dated(test: StateTest) -> bool:
    return test.kind is StateKind.COUNTER and test.operator is not None


def _condition(test: StateTest, number: int, values: dict[str, Any]) -> str:
    key = f"key_{number}"
    values[key] = test.key
    if test.operator is None:
        found = f"h.tags @> ARRAY[%({key})s::text]" if test.kind is StateKind.TAG else f"h.{test.kind} ? %({key})s::text"
        return f"NOT ({found})" if test.is_negated else found
    values[f"value_{number}"], values[f"default_{number}"] = test.value, test.default
    type_, collation = ("numeric", "") if test.kind is StateKind.COUNTER else ("text", ' COLLATE "C"')
    stored = f"coalesce((h.{test.kind} ->> %({key})s)::{type_}, %(default_{number})s::{type_})"
    compared = f"coalesce({stored}{collation} {_SQL[test.operator]} %(value_{number})s::{type_}, FALSE)"
    if test.kind is StateKind.ATTRIBUTE:
        return compared
    return f"CASE WHEN jsonb_typeof(h.counters -> %({key})s) = 'object' OR {_IS_DUE} THEN TRUE ELSE {compared} END"
