"""Closures of the macros `all`, `exists`, `exists_one`, `filter` and `map`; each element costs a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from domain.cel.errors import EvaluationError, StepLimitExceeded
from domain.cel.steps import Apply, Run, Steps, Variables, built, spend
from domain.cel.values import elements, kind_of, to_cel


def macro_suffix(name: str, variable: str, bodies: list[Run]) -> Apply:
    """Closure of `.name(variable, bodies...)`."""
    if name == "map":
        return _map(variable, None if len(bodies) == 1 else bodies[0], bodies[-1])
    make = {"all": _all, "exists": _exists, "exists_one": _exists_one, "filter": _filter}[name]
    return make(variable, bodies[0])


def _scopes(value: Any, variable: str, variables: Variables, steps: Steps) -> Iterator[dict[str, Any]]:
    """The variables of each element's turn: one dict that is changed from turn to turn."""
    spend(steps)
    scope = dict(variables)
    for element in elements(value):
        spend(steps)
        scope[variable] = to_cel(element)
        yield scope


def _accepts(predicate: Run, scope: Variables, steps: Steps) -> bool:
    value = predicate(scope, steps)
    if value is not True and value is not False:
        raise EvaluationError(f"a predicate must give a bool, not a {kind_of(value)}")
    return bool(value)


def _quantifier(*, deciding: bool) -> Callable[[str, Run], Apply]:
    """`all` and `exists`: as `&&` and `||` over the elements, errors absorbed by an element that decides."""

    def make(variable: str, predicate: Run) -> Apply:
        def apply(value: Any, variables: Variables, steps: Steps) -> bool:
            problem: str | None = None
            for scope in _scopes(value, variable, variables, steps):
                try:
                    if _accepts(predicate, scope, steps) is deciding:
                        return deciding
                except StepLimitExceeded:
                    raise
                except EvaluationError as error:
                    problem = problem or error.message
            if problem is not None:
                raise EvaluationError(problem)
            return not deciding

        return apply

    return make


_all = _quantifier(deciding=False)
_exists = _quantifier(deciding=True)


def _exists_one(variable: str, predicate: Run) -> Apply:
    def apply(value: Any, variables: Variables, steps: Steps) -> bool:
        found = 0
        for scope in _scopes(value, variable, variables, steps):
            found += _accepts(predicate, scope, steps)
        return found == 1

    return apply


def _filter(variable: str, predicate: Run) -> Apply:
    def apply(value: Any, variables: Variables, steps: Steps) -> list[Any]:
        scopes = _scopes(value, variable, variables, steps)
        kept = [scope[variable] for scope in scopes if _accepts(predicate, scope, steps)]
        built(steps, len(kept))
        return kept

    return apply


def _map(variable: str, predicate: Run | None, transform: Run) -> Apply:
    def apply(value: Any, variables: Variables, steps: Steps) -> list[Any]:
        scopes = _scopes(value, variable, variables, steps)
        made = [transform(scope, steps) for scope in scopes if predicate is None or _accepts(predicate, scope, steps)]
        built(steps, len(made))
        return made

    return apply
