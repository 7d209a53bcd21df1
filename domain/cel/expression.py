"""Compiled expressions and the entry points of the package."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from domain.cel.analysis import event_types
from domain.cel.checker import check, check_condition
from domain.cel.compiler import compile_nodes
from domain.cel.errors import CompileError, EvaluationError, SourceError
from domain.cel.nodes import Macro, Node, Path, post_order
from domain.cel.parser import parse
from domain.cel.steps import STEP_LIMIT, Run
from domain.cel.values import TYPE_NAMES, kind_of

RULE_VARIABLES: Final = frozenset({"event", "now", "participant", "recipient", "program", "groups", "group"})
AUTOMATION_VARIABLES: Final = RULE_VARIABLES - {"event", "recipient"}

_CACHED: Final = 4_096
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_NUMBER = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]+|[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[uU]?")
# Guard against values that no activation should hold; errors of a lazy mapping's own pass through.
_UNEXPECTED = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression; may be shared between threads.

    `reads` names what it reads of the variables: `participant.tags`, or `participant` when that is used whole;
    only `participant`, `recipient` and `program` have parts. `event_types` is set for a condition that can be true
    only for these values of `event.type`.
    """

    source: str
    reads: frozenset[str]
    event_types: frozenset[str] | None
    _run: Run = field(repr=False, compare=False)
    _copied: tuple[str, ...] | None = field(repr=False, compare=False)

    def evaluate(self, variables: Mapping[str, object], *, step_limit: int = STEP_LIMIT) -> object:
        """The value for these variables; raises EvaluationError, StepLimitExceeded."""
        if self._copied is not None:
            variables = _copy(variables, self._copied)
        try:
            return self._run(variables, [step_limit])
        except EvaluationError:
            raise
        except _UNEXPECTED:
            raise EvaluationError("the expression can't be evaluated with these values") from None


def _copy(variables: Mapping[str, object], names: tuple[str, ...]) -> dict[str, object]:
    """The named variables as far as they exist; macros add their own to such a copy."""
    found: dict[str, object] = {}
    for name in names:
        with suppress(KeyError):
            found[name] = variables[name]
    return found


@lru_cache(maxsize=_CACHED)
def compile_condition(source: str, variables: frozenset[str] = RULE_VARIABLES) -> Expression:
    """An expression whose result isn't visibly something else than a boolean; raises CompileError."""
    return _compile(source, variables, is_condition=True)


@lru_cache(maxsize=_CACHED)
def compile_value(source: str, variables: frozenset[str] = RULE_VARIABLES) -> Expression:
    """An expression of any result; raises CompileError."""
    return _compile(source, variables, is_condition=False)


def _compile(source: str, variables: frozenset[str], *, is_condition: bool) -> Expression:
    try:
        root = parse(source)
        nodes = post_order(root)
        facts = check(nodes, variables)
        if is_condition:
            check_condition(root, facts)
        types = event_types(root) if is_condition and "event" in variables else None
        copied = tuple(sorted(facts.needs)) if any(map(_has_macro, nodes)) else None
        return Expression(source, facts.reads, types, compile_nodes(nodes), copied)
    except SourceError as error:
        raise error.located(source) from None
    except (RecursionError, MemoryError):
        raise CompileError("expression too complex") from None


def _has_macro(node: Node) -> bool:
    return isinstance(node, Path) and any(isinstance(suffix, Macro) for suffix in node.suffixes)


def evaluate_condition(expression: Expression, variables: Mapping[str, object]) -> bool:
    """Result of a condition; raises EvaluationError, also when it isn't a boolean."""
    value = expression.evaluate(variables)
    if value is True or value is False:
        return bool(value)
    raise EvaluationError(f"the condition gave a {kind_of(value)}, not a boolean")


def is_literal(text: str) -> bool:
    """Whether a target id or reference is taken as it stands (events-rules.md, Targets and literals)."""
    bare = text.strip()
    if bare in RULE_VARIABLES or bare in TYPE_NAMES or _UUID.fullmatch(bare) or _NUMBER.fullmatch(bare):
        return True
    try:
        compile_value(text)
    except CompileError:
        return True
    return False
