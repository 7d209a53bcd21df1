"""The acceptance examples of events-rules.md, CEL, as far as they need no server."""

from decimal import Decimal
from typing import Any

import pytest

from domain.cel import (
    CompileError,
    EvaluationError,
    StepLimitExceeded,
    compile_condition,
    compile_value,
    evaluate_condition,
)


def value(source: str, event: dict[str, Any]) -> object:
    return compile_value(source).evaluate({"event": event})


def matches(source: str, event: dict[str, Any]) -> bool:
    return evaluate_condition(compile_condition(source), {"event": event})


def test_7_3_1_amounts_are_exact_before_rounding() -> None:
    assert value("event.amount * 0.03", {"amount": Decimal("33.33")}) == Decimal("0.9999")


@pytest.mark.example("events-rules.md", "7.3.2")
@pytest.mark.parametrize(
    "source",
    [
        "0.1 + 0.2 == 0.3",
        "7 / 2 == 3.5",
        "7 % 2 == 1",
        "1 == 1.0",
        '!("1" == 1)',
        "round(2.5) == 3",
        "round(-2.5) == -3",
    ],
)
def test_7_3_2_numbers(source: str) -> None:
    assert matches(source, {})


def test_7_3_3_missing_field() -> None:
    with pytest.raises(EvaluationError, match="coupon"):
        matches('event.coupon == "X"', {})
    assert not matches('has(event.coupon) && event.coupon == "X"', {})
    assert matches('event.coupon == "X" || true', {})


def test_7_3_4_numeric_strings_and_missing_amounts() -> None:
    assert value("event.points", {"points": "12"}) == "12"
    assert value("double(event.points)", {"points": "12"}) == 12
    with pytest.raises(EvaluationError):
        value("event.missing", {"points": "12"})
    assert value("event.amount - 100", {"amount": Decimal(75)}) == -25


def test_7_3_5_all_digits_are_kept() -> None:
    event = {"id": Decimal("12345678901234567890.123456789")}
    assert matches('string(event.id) == "12345678901234567890.123456789"', event)


@pytest.mark.parametrize("source", ["foo.bar == 1", "nosuch(1)", "1 + 1"])
def test_7_3_6_condition_does_not_compile(source: str) -> None:
    with pytest.raises(CompileError):
        compile_condition(source)


def test_7_3_7_default_for_a_missing_field() -> None:
    assert value('get(event, "missing", 3)', {}) == 3


def test_7_3_8_macros_stop_at_the_step_limit() -> None:
    event = {"l": [Decimal(number) for number in range(100)]}
    with pytest.raises(StepLimitExceeded):
        matches("event.l.all(a, event.l.all(b, event.l.all(c, a + b + c >= 0)))", event)
    assert matches("event.l.all(a, event.l.all(b, a + b >= 0))", event)
    with pytest.raises(StepLimitExceeded):
        value("size(event.l.filter(a, event.l.all(b, event.l.all(c, a + b + c >= 0))))", event)


@pytest.mark.parametrize(
    "source",
    [
        "event.l.all(a, a.all(b, b.all(c, c.all(d, true))))",
        f'event.s.matches("{"a" * 1001}")',
        "(" * 100 + "true" + ")" * 100,
    ],
)
def test_7_3_9_limits_of_the_source(source: str) -> None:
    with pytest.raises(CompileError):
        compile_condition(source)


def test_7_2_2_position_of_a_syntax_error() -> None:
    with pytest.raises(CompileError) as caught:
        compile_condition('event.type = "x"')
    assert (caught.value.line, caught.value.column) == (1, 12)


def test_7_2_10_fields_are_not_checked() -> None:
    assert compile_condition("event.whatever > 1")
    with pytest.raises(CompileError):
        compile_condition("event.a >")


def test_7_4_7_tags_are_case_sensitive() -> None:
    variables = {"participant": {"tags": ["vip"]}}
    assert evaluate_condition(compile_condition('"vip" in participant.tags'), variables)
    assert not evaluate_condition(compile_condition('"VIP" in participant.tags'), variables)
