"""Expressions in the Common Expression Language over one decimal number domain (events-rules.md, CEL)."""

from domain.cel.errors import CompileError, EvaluationError, StepLimitExceeded
from domain.cel.expression import (
    AUTOMATION_VARIABLES,
    RULE_VARIABLES,
    Expression,
    compile_condition,
    compile_value,
    evaluate_condition,
    is_literal,
)
from domain.cel.values import to_text

__all__ = [
    "AUTOMATION_VARIABLES",
    "RULE_VARIABLES",
    "CompileError",
    "EvaluationError",
    "Expression",
    "StepLimitExceeded",
    "compile_condition",
    "compile_value",
    "evaluate_condition",
    "is_literal",
    "to_text",
]
