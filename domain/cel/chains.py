"""Closures of relations, sums and products, with short ways for one operand that is a literal."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from domain.cel.errors import EvaluationError
from domain.cel.nodes import Chain, Literal, Node
from domain.cel.operators import BINARY, COMPARE, Operator
from domain.cel.steps import Run, Steps, Variables, spend, stop
from domain.cel.values import contains


def chain(node: Chain, first: Run, rest: list[Run]) -> Run:
    """Closure of a chain, given those of its operands."""
    if len(rest) == 1:
        sign, right = node.rest[0]
        return _with_literal(sign, node.first, right, first, rest[0]) or _pair(BINARY[sign], first, rest[0])
    pairs = tuple([(BINARY[sign], run) for (sign, _), run in zip(node.rest, rest, strict=True)])

    def run(variables: Variables, steps: Steps) -> Any:
        spend(steps, len(pairs))
        value = first(variables, steps)
        for apply, operand in pairs:
            value = apply(value, operand(variables, steps), steps)
        return value

    return run


def _pair(apply: Operator, first: Run, second: Run) -> Run:
    def run(variables: Variables, steps: Steps) -> Any:
        left = steps[0] - 1
        steps[0] = left
        if left < 0:
            stop()
        return apply(first(variables, steps), second(variables, steps), steps)

    return run


def _with_literal(sign: str, left: Node, right: Node, first: Run, second: Run) -> Run | None:
    if isinstance(right, Literal):
        if sign in ("==", "!=") and isinstance(right.value, str | Decimal):
            return _equals(first, right.value, is_negated=sign == "!=")
        if sign in COMPARE and isinstance(right.value, Decimal):
            return _ordered(sign, first, right.value)
    if isinstance(left, Literal) and isinstance(left.value, str):
        if sign in ("==", "!="):
            return _equals(second, left.value, is_negated=sign == "!=")
        if sign == "in":
            return _contained(left.value, second)
    return None


def _equals(operand: Run, literal: str | Decimal, *, is_negated: bool) -> Run:
    kind = type(literal)

    def run(variables: Variables, steps: Steps) -> bool:
        left = steps[0] - 2
        steps[0] = left
        if left < 0:
            stop()
        value = operand(variables, steps)
        return (type(value) is kind and value == literal) is not is_negated

    return run


def _ordered(sign: str, operand: Run, literal: Decimal) -> Run:
    compare, general = COMPARE[sign], BINARY[sign]

    def run(variables: Variables, steps: Steps) -> Any:
        left = steps[0] - 2
        steps[0] = left
        if left < 0:
            stop()
        value = operand(variables, steps)
        if type(value) is not Decimal:
            return general(value, literal, steps)
        try:
            return compare(value, literal)
        except ArithmeticError:
            raise EvaluationError("number is not finite") from None

    return run


def _contained(literal: str, container: Run) -> Run:
    def run(variables: Variables, steps: Steps) -> bool:
        left = steps[0] - 2
        steps[0] = left
        if left < 0:
            stop()
        value = container(variables, steps)
        if type(value) is list and len(value) < 64:
            return literal in value
        return contains(value, literal, steps)

    return run
