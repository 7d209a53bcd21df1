"""What is known of an expression before it runs: variables it needs, nesting of macros, kind of its result.

Facts are found from the leaves up, so scoping needs no recursion: a macro takes its variable out of what its body
needs, and whatever is left at the root must be a variable of the activation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from domain.cel.analysis import reads_of_call, reads_of_has, reads_of_path
from domain.cel.errors import EvaluationError, SourceError
from domain.cel.functions import FUNCTIONS, METHODS, Function
from domain.cel.functions_text import pattern
from domain.cel.nodes import (
    Call,
    Chain,
    Conditional,
    Has,
    ListLiteral,
    Literal,
    Logic,
    Macro,
    MapLiteral,
    Method,
    Name,
    Node,
    Path,
    Suffix,
    Unary,
)
from domain.cel.values import TYPE_NAMES, kind_of

MAX_MACRO_DEPTH: Final = 3
VARIABLE_KINDS: Final = {
    "event": "map",
    "now": "timestamp",
    "participant": "map",
    "recipient": "map",
    "program": "map",
    "groups": "list",
    "group": "map",
}
_FIXED_KINDS: Final[dict[type[Node], str]] = {Logic: "bool", Has: "bool", ListLiteral: "list", MapLiteral: "map"}


@dataclass(frozen=True, slots=True)
class Facts:
    """`needs`: free variables and where they first occur; `reads`: what is read of them; `kind`: None if unknown."""

    needs: dict[str, int]
    reads: frozenset[str]
    macro_depth: int = 0
    kind: str | None = None


def check(nodes: list[Node], variables: frozenset[str]) -> Facts:
    """Facts of the last of the nodes, which come children first. Raises SourceError."""
    facts: dict[Node, Facts] = {}
    for node in nodes:
        facts[node] = _facts(node, facts)
    root = facts[nodes[-1]]
    unknown = [(offset, name) for name, offset in root.needs.items() if name not in variables]
    if unknown:
        offset, name = min(unknown)
        raise SourceError(f"unknown variable: {name}", offset)
    return root


def check_condition(root: Node, facts: Facts) -> None:
    """Raise SourceError when the result is visibly not a boolean."""
    if facts.kind not in (None, "bool"):
        raise SourceError("the result of a condition must be a boolean", root.offset)


def _facts(node: Node, facts: dict[Node, Facts]) -> Facts:
    match node:
        case Name():
            if node.name in TYPE_NAMES:
                return Facts({}, frozenset(), kind="type")
            return Facts({node.name: node.offset}, frozenset({node.name}), kind=VARIABLE_KINDS.get(node.name))
        case Path():
            return _path_facts(node, facts)
        case Call():
            function = _lookup(FUNCTIONS, node, "function")
            if node.name == "matches":
                _check_pattern(node.arguments[1])
            inner = _merged(facts[argument] for argument in node.arguments)
            reads = reads_of_call(node, [facts[argument].reads for argument in node.arguments])
            return Facts(inner.needs, reads, inner.macro_depth, function.kind)
        case Has():
            operand = facts[node.operand]
            reads = reads_of_has(node.name, node.operand, operand.reads)
            return Facts(operand.needs, reads, operand.macro_depth, "bool")
        case _:
            inner = _merged(facts[child] for child in node.children())
            return Facts(inner.needs, inner.reads, inner.macro_depth, _kind(node, facts))


def _kind(node: Node, facts: dict[Node, Facts]) -> str | None:
    match node:
        case Literal():
            return kind_of(node.value)
        case Unary():
            return "bool" if node.operators[-1] == "!" else "number"
        case Chain():
            return "bool" if node.level == "relation" else "sum"
        case Conditional():
            accepted, rejected = facts[node.accepted].kind, facts[node.rejected].kind
            both_known = accepted is not None and rejected is not None
            return accepted if both_known and (accepted == "bool") == (rejected == "bool") else None
    return _FIXED_KINDS.get(type(node))


def _merged(parts: Iterable[Facts]) -> Facts:
    needs: dict[str, int] = {}
    reads: set[str] = set()
    depth = 0
    for part in parts:
        for name, offset in part.needs.items():
            needs.setdefault(name, offset)
        reads |= part.reads
        depth = max(depth, part.macro_depth)
    return Facts(needs, frozenset(reads), depth)


def _path_facts(path: Path, facts: dict[Node, Facts]) -> Facts:
    base = facts[path.base]
    parts = [Facts(base.needs, reads_of_path(path, base.reads), base.macro_depth)]
    parts += [_suffix_facts(suffix, facts) for suffix in path.suffixes]
    merged = _merged(parts)
    return Facts(merged.needs, merged.reads, merged.macro_depth, _suffix_kind(path.suffixes[-1]))


def _suffix_facts(suffix: Suffix, facts: dict[Node, Facts]) -> Facts:
    inner = _merged(facts[child] for child in suffix.children())
    if isinstance(suffix, Method):
        _lookup(METHODS, suffix, "method")
        if suffix.name == "matches":
            _check_pattern(suffix.arguments[0])
    if not isinstance(suffix, Macro):
        return inner
    if inner.macro_depth >= MAX_MACRO_DEPTH:
        raise SourceError(f"macros nested more than {MAX_MACRO_DEPTH} deep", suffix.offset)
    needs = {name: offset for name, offset in inner.needs.items() if name != suffix.variable}
    reads = frozenset(read for read in inner.reads if read.partition(".")[0] != suffix.variable)
    return Facts(needs, reads, inner.macro_depth + 1)


def _suffix_kind(suffix: Suffix) -> str | None:
    if isinstance(suffix, Method):
        return METHODS[suffix.name].kind
    if isinstance(suffix, Macro):
        return "list" if suffix.name in ("map", "filter") else "bool"
    return None


def _lookup(table: dict[str, Function], call: Call | Method, what: str) -> Function:
    function = table.get(call.name)
    if function is None:
        raise SourceError(f"unknown {what}: {call.name}", call.offset)
    if not function.least <= len(call.arguments) <= function.most:
        raise SourceError(f"wrong number of arguments of {call.name}", call.offset)
    return function


def _check_pattern(argument: Node) -> None:
    if isinstance(argument, Literal) and isinstance(argument.value, str):
        try:
            pattern(argument.value)
        except EvaluationError as error:
            raise SourceError(error.message, argument.offset) from None
