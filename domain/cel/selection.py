"""Closures that read fields, keys and elements."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from domain.cel.errors import EvaluationError
from domain.cel.steps import Apply, Run, Steps, Variables, spend, stop
from domain.cel.values import MAPPINGS, PLAIN, kind_of, map_key, to_cel


def variable(name: str) -> Run:
    """Closure that reads a variable."""

    def run(variables: Variables, steps: Steps) -> Any:
        spend(steps)
        return _variable(variables, name)

    return run


def _variable(variables: Variables, name: str) -> Any:
    try:
        value = variables[name]
    except KeyError:
        raise EvaluationError(f"no such variable: {name}") from None
    return value if type(value) in PLAIN else to_cel(value)


def read_field(container: Any, name: str) -> Any:
    """`container.name`; raises EvaluationError when there is none."""
    if not isinstance(container, MAPPINGS):
        raise EvaluationError(f"no such field: {name} (of a {kind_of(container)})")
    try:
        value = container[name]
    except KeyError:
        raise EvaluationError(f"no such field: {name}") from None
    return value if type(value) in PLAIN else to_cel(value)


def variable_field(variable_name: str, name: str) -> Run:
    """Closure that reads `variable.name` at once, which is what most conditions spend their time on."""

    def run(variables: Variables, steps: Steps) -> Any:
        left = steps[0] - 2
        steps[0] = left
        if left < 0:
            stop()
        try:
            value = variables[variable_name][name]
        except (KeyError, TypeError):
            return read_field(_variable(variables, variable_name), name)
        return value if type(value) in PLAIN else to_cel(value)

    return run


def select_suffix(name: str) -> Apply:
    """Closure for `.name`."""

    def apply(container: Any, _: Variables, steps: Steps) -> Any:
        spend(steps)
        return read_field(container, name)

    return apply


def has_field(operand: Run, name: str) -> Run:
    """Closure for `has(operand.name)`."""

    def run(variables: Variables, steps: Steps) -> bool:
        spend(steps)
        container = operand(variables, steps)
        if not isinstance(container, MAPPINGS):
            raise EvaluationError(f"no such field: {name} (of a {kind_of(container)})")
        try:
            container[name]
        except KeyError:
            return False
        return True

    return run


def index_suffix(key: Run, literal: object) -> Apply:
    """Closure for `[key]`; errors name the key only if it is a literal of the source."""
    shown = f": {literal}" if isinstance(literal, str) else ""

    def apply(container: Any, variables: Variables, steps: Steps) -> Any:
        spend(steps)
        index = key(variables, steps)
        if type(container) is list:
            value = _element(container, index)
        elif isinstance(container, MAPPINGS):
            try:
                value = container[map_key(index)]
            except KeyError:
                raise EvaluationError(f"no such key{shown}") from None
        else:
            raise EvaluationError(f"a {kind_of(container)} can't be indexed")
        return value if type(value) in PLAIN else to_cel(value)

    return apply


def _element(items: list[Any], index: Any) -> Any:
    if type(index) is not Decimal or index != index.to_integral_value():
        raise EvaluationError("a list index must be a whole number")
    if not 0 <= index < len(items):
        raise EvaluationError("list index out of range")
    return items[int(index)]
