"""Values that actions take from the snapshot: amounts, texts, ids, each with the failure that fits it."""

import re
from collections.abc import Mapping
from decimal import Decimal
from uuid import UUID

from domain.cel import EvaluationError, Expression, StepLimitExceeded, to_text
from domain.money import CEILING, format_amount, to_scale
from domain.processing.failure import ActionFailed

Variables = Mapping[str, object]

MAX_TEXT = 4096
_REFERENCE = re.compile(r"[A-Za-z0-9._:@-]{1,255}", re.ASCII)


def evaluate(expression: Expression, variables: Variables, field: str) -> object:
    """The value of an action's expression; `expression_error` or `expression_timeout` with the field named."""
    try:
        return expression.evaluate(variables)
    except StepLimitExceeded as error:
        raise ActionFailed("expression_timeout", f"{field}: {error.message}") from error
    except EvaluationError as error:
        raise ActionFailed("expression_error", f"{field}: {error.message}") from error


def number(source: Decimal | Expression, variables: Variables, field: str) -> Decimal:
    """A constant, or what the expression gives; `invalid_amount` unless it is a number of at most 20 integer digits."""
    value = source if isinstance(source, Decimal) else evaluate(source, variables, field)
    if not isinstance(value, Decimal):
        raise ActionFailed("invalid_amount", f"{field}: not a number")
    if value.copy_abs() >= CEILING:
        raise ActionFailed("invalid_amount", f"{field}: more than 20 integer digits")
    return value


def amount(source: Decimal | Expression, variables: Variables, scale: int) -> Decimal:
    """An amount as it is recorded, rounded to the asset's scale; `invalid_amount` when it is negative or too large."""
    value = to_scale(number(source, variables, "amount"), scale)
    if value < 0:
        raise ActionFailed("invalid_amount", f"amount: negative ({format_amount(value, scale)})")
    if value >= CEILING:
        raise ActionFailed("invalid_amount", "amount: more than 20 integer digits")
    return value


def text(source: str | Expression, variables: Variables, field: str, longest: int = MAX_TEXT) -> str:
    """A literal, or the expression's value as `string()` prints it, 1 to `longest` characters that can be stored."""
    if isinstance(source, str):
        return source
    value = evaluate(source, variables, field)
    if not isinstance(value, str) and (value is None or isinstance(value, (list, dict, bytes))):
        raise ActionFailed("expression_error", f"{field}: not a text, number, boolean or timestamp")
    result = value if isinstance(value, str) else to_text(value)
    if not 1 <= len(result) <= longest or not is_storable(result):
        raise ActionFailed("expression_error", f"{field}: not a text of 1-{longest} characters")
    return result


def string(source: str | Expression, variables: Variables, field: str) -> str:
    """A literal, or an expression that must give a string."""
    if isinstance(source, str):
        return source
    value = evaluate(source, variables, field)
    if not isinstance(value, str):
        raise ActionFailed("expression_error", f"{field}: not a string")
    return value


def reference(source: str | Expression, variables: Variables) -> str:
    """A correlation id; `expression_error` unless it has the form of one."""
    value = string(source, variables, "reference_id")
    if not _REFERENCE.fullmatch(value):
        raise ActionFailed("expression_error", "reference_id: not 1-255 of letters, digits and . _ : @ -")
    return value


def uuid(source: str | Expression, variables: Variables, field: str) -> UUID:
    """As `string`, and it must be a UUID."""
    value = string(source, variables, field)
    try:
        return UUID(value)
    except ValueError as error:
        raise ActionFailed("expression_error", f"{field}: not a UUID") from error


def is_storable(value: str) -> bool:
    """Whether Postgres can hold the text: no NUL, no unpaired surrogate."""
    return "\x00" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
