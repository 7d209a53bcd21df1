"""Closures of functions and methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from domain.cel.functions import FUNCTIONS, METHODS
from domain.cel.functions_text import pattern, search
from domain.cel.nodes import Literal, Method, Node
from domain.cel.steps import Apply, Run, Steps, Variables, spend


def function_call(name: str, arguments: list[Run]) -> Run:
    """Closure of `name(arguments)`."""
    call = FUNCTIONS[name].run
    if len(arguments) == 1:
        return _call_with_one(call, arguments[0])
    runs = tuple(arguments)

    def run(variables: Variables, steps: Steps) -> Any:
        spend(steps)
        return call(steps, *[argument(variables, steps) for argument in runs])

    return run


def _call_with_one(call: Callable[..., Any], argument: Run) -> Run:
    def run(variables: Variables, steps: Steps) -> Any:
        spend(steps)
        return call(steps, argument(variables, steps))

    return run


def method_suffix(node: Method, arguments: list[Run]) -> Apply:
    """Closure of `.name(arguments)`."""
    if node.name == "matches" and isinstance(node.arguments[0], Literal):
        found = _matches_literal(node.arguments[0])
        if found is not None:
            return found
    call, runs = METHODS[node.name].run, tuple(arguments)

    def apply(value: Any, variables: Variables, steps: Steps) -> Any:
        spend(steps)
        return call(steps, value, *[argument(variables, steps) for argument in runs])

    return apply


def _matches_literal(argument: Node) -> Apply | None:
    source = argument.value if isinstance(argument, Literal) else None
    if not isinstance(source, str):
        return None
    compiled = pattern(source)

    def apply(value: Any, _: Variables, steps: Steps) -> bool:
        spend(steps, 2)
        return search(compiled, value, steps)

    return apply
