"""Syntax tree to Python closures.

Each closure takes the variables and the step counter, charges a step for each node that it stands for, and gives a
value. Chains run in loops: only brackets, calls and conditionals nest, and their depth is limited.
"""

from __future__ import annotations

from typing import Any

from domain.cel.calls import function_call, method_suffix
from domain.cel.chains import chain
from domain.cel.errors import EvaluationError
from domain.cel.logic import conditional, junction, unary
from domain.cel.macros import macro_suffix
from domain.cel.nodes import (
    Call,
    Chain,
    Conditional,
    Has,
    Index,
    ListLiteral,
    Literal,
    Logic,
    Macro,
    MapLiteral,
    Name,
    Node,
    Path,
    Select,
    Suffix,
    Unary,
)
from domain.cel.selection import has_field, index_suffix, select_suffix, variable, variable_field
from domain.cel.steps import Apply, Run, Steps, Variables, built, spend
from domain.cel.values import TYPE_NAMES, CelType, map_key

Runs = dict[Node, Run]


def compile_nodes(nodes: list[Node]) -> Run:
    """Closure of the last node; children come before their parents, so nothing recurses."""
    runs: Runs = {}
    for node in nodes:
        runs[node] = _compile(node, runs)
    return runs[nodes[-1]]


def _compile(node: Node, runs: Runs) -> Run:
    match node:
        case Literal():
            return _literal(node.value)
        case Name():
            kind = TYPE_NAMES.get(node.name)
            return variable(node.name) if kind is None else _type_name(node.name, kind)
        case Path():
            return _path(node, runs)
    return _compile_composite(node, [runs[child] for child in node.children()])


def _compile_composite(node: Node, children: list[Run]) -> Run:
    match node:
        case Unary():
            return unary(node.operators, children[0])
        case Chain():
            return chain(node, children[0], children[1:])
        case Logic():
            return junction(node.operator, children)
        case Conditional():
            return conditional(*children)
        case Call():
            return function_call(node.name, children)
        case Has():
            return has_field(children[0], node.name)
        case MapLiteral():
            return _map_literal(children)
        case ListLiteral():
            return _list_literal(children)
    raise AssertionError(f"unknown node {type(node).__name__}")


def _literal(value: object) -> Run:
    def run(_: Variables, steps: Steps) -> object:
        spend(steps)
        return value

    return run


def _type_name(name: str, kind: CelType) -> Run:
    def run(variables: Variables, steps: Steps) -> object:
        spend(steps)
        # A macro's variable may have the name of a type.
        return variables.get(name, kind)

    return run


def _path(path: Path, runs: Runs) -> Run:
    base, suffixes = path.base, path.suffixes
    run, first = runs[base], suffixes[0]
    if isinstance(base, Name) and base.name not in TYPE_NAMES and isinstance(first, Select):
        run, suffixes = variable_field(base.name, first.name), suffixes[1:]
    applies = tuple([_suffix(suffix, runs) for suffix in suffixes])
    if not applies:
        return run
    return _with_suffix(run, applies[0]) if len(applies) == 1 else _with_suffixes(run, applies)


def _suffix(suffix: Suffix, runs: Runs) -> Apply:
    children = [runs[child] for child in suffix.children()]
    match suffix:
        case Select():
            return select_suffix(suffix.name)
        case Index():
            literal = suffix.key.value if isinstance(suffix.key, Literal) else None
            return index_suffix(children[0], literal)
        case Macro():
            return macro_suffix(suffix.name, suffix.variable, children)
        case _:
            return method_suffix(suffix, children)


def _with_suffix(base: Run, apply: Apply) -> Run:
    def run(variables: Variables, steps: Steps) -> Any:
        return apply(base(variables, steps), variables, steps)

    return run


def _with_suffixes(base: Run, applies: tuple[Apply, ...]) -> Run:
    def run(variables: Variables, steps: Steps) -> Any:
        value = base(variables, steps)
        for apply in applies:
            value = apply(value, variables, steps)
        return value

    return run


def _list_literal(items: list[Run]) -> Run:
    def run(variables: Variables, steps: Steps) -> list[Any]:
        spend(steps)
        built(steps, len(items))
        return [item(variables, steps) for item in items]

    return run


def _map_literal(items: list[Run]) -> Run:
    pairs = tuple(zip(items[::2], items[1::2], strict=True))

    def run(variables: Variables, steps: Steps) -> dict[Any, Any]:
        spend(steps)
        built(steps, len(pairs))
        made: dict[Any, Any] = {}
        for key, value in pairs:
            name = map_key(key(variables, steps))
            if name in made:
                raise EvaluationError("map key given twice")
            made[name] = value(variables, steps)
        return made

    return run
