"""Closures of `&&`, `||`, `!`, unary minus and `?:`."""

from __future__ import annotations

from typing import Any

from domain.cel.errors import EvaluationError, StepLimitExceeded
from domain.cel.operators import inverted, negated
from domain.cel.steps import Run, Steps, Variables, spend, stop
from domain.cel.values import kind_of


def junction(operator: str, operands: list[Run]) -> Run:
    """Closure of `&&` or `||` over all operands; an operand that decides absorbs errors of the others."""
    deciding = operator == "||"
    neutral = not deciding
    runs, cost = tuple(operands), len(operands) - 1

    def run(variables: Variables, steps: Steps) -> bool:
        left = steps[0] - cost
        steps[0] = left
        if left < 0:
            stop()
        problem: str | None = None
        value: object
        for operand in runs:
            try:
                value = operand(variables, steps)
            except StepLimitExceeded:
                raise
            except EvaluationError as error:
                problem = problem or error.message
                continue
            if value is deciding:
                return deciding
            if value is not neutral:
                problem = problem or f"{operator} isn't defined for {kind_of(value)}"
        if problem is not None:
            raise EvaluationError(problem)
        return neutral

    return run


def unary(operators: list[str], operand: Run) -> Run:
    """Closure of prefix operators, the innermost first."""
    if operators == ["!"]:
        return _not(operand)
    chain = tuple([inverted if operator == "!" else negated for operator in operators])

    def run(variables: Variables, steps: Steps) -> Any:
        spend(steps, len(chain))
        value = operand(variables, steps)
        for apply in chain:
            value = apply(value)
        return value

    return run


def _not(operand: Run) -> Run:
    def run(variables: Variables, steps: Steps) -> bool:
        left = steps[0] - 1
        steps[0] = left
        if left < 0:
            stop()
        value = operand(variables, steps)
        if value is True:
            return False
        return inverted(value)

    return run


def conditional(condition: Run, accepted: Run, rejected: Run) -> Run:
    """Closure of `?:`; only the chosen branch runs."""

    def run(variables: Variables, steps: Steps) -> Any:
        spend(steps)
        chosen = condition(variables, steps)
        if chosen is True:
            return accepted(variables, steps)
        if chosen is False:
            return rejected(variables, steps)
        raise EvaluationError(f"a condition must be a bool, not a {kind_of(chosen)}")

    return run
