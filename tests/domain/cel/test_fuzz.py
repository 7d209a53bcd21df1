"""Any text compiles or is refused, any evaluation gives a value or an EvaluationError."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.cel import CompileError, EvaluationError, compile_condition, compile_value, is_literal
from tests.domain.cel.samples import ACTIVATION

WORDS = [
    *("event", "now", "participant", "recipient", "x", "foo", "true", "false", "null", "in", "1", "0.5", "1e30", "7u"),
    *('"a"', "'b'", 'b"c"', "+", "-", "*", "/", "%", "==", "!=", "<", ">=", "&&", "||", "!", "?", ":", ".", ",", "="),
    *(
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ".amount",
        ".items",
        ".tags",
        ".all(x, ",
        ".map(x, ",
        ".filter(x, ",
        "size(",
        "has(",
    ),
    *("get(", "int(", "string(", "timestamp(", "duration(", "round(", "min(", ".matches(", ".split(", ".replace(", " "),
    *(
        ".getHours(",
        "startOfWeek(",
        "sets.contains(",
        '"\\',
        "//",
        "\n",
        '"""',
        "r'",
        "ä",
        "\ud800",
        "\0",
        "0x",
        "type(",
    ),
]
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=3)
    | st.datetimes(timezones=st.just(UTC))
    | st.datetimes()
    | st.timedeltas(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3) | st.just("a"), inner, max_size=4),
    max_leaves=10,
)
PROBES = [
    *(
        "event.a",
        "event.a + event.b",
        "event.a - event.b",
        "event.a * event.b",
        "event.a / event.b",
        "event.a % event.b",
    ),
    *("event.a == event.b", "event.a < event.b", "event.a in event.b", "event.a && event.b", "event.a ? 1 : 2"),
    *(
        "event.a[event.b]",
        "-event.a",
        "!event.a",
        "string(event.a)",
        "int(event.a)",
        "double(event.a)",
        "type(event.a)",
    ),
    *(
        "round(event.a, event.b)",
        "floor(event.a)",
        "min(event.a, event.b)",
        "sum(event.a)",
        "max(event.a)",
        "uint(event.a)",
    ),
    *(
        "sets.contains(event.a, event.b)",
        "sets.equivalent(event.a, event.b)",
        "event.a.split(event.b)",
        "bytes(event.a)",
    ),
    *(
        "event.a.join(event.b)",
        "event.a.replace(event.b, event.b, event.a)",
        "event.a.matches(event.b)",
        "bool(event.a)",
    ),
    *("timestamp(event.a)", "duration(event.a)", "event.a.getHours(event.b)", "startOfWeek(event.a, event.b)"),
    *(
        "daysBetween(event.a, event.b)",
        "event.a.map(x, x == event.b)",
        "event.a.exists(x, x > event.b)",
        "size(event.a)",
    ),
    *("get(event.a, event.b, 1)", "{event.a: event.b}[event.a] == event.b", "[event.a, event.b] == [event.b, event.a]"),
    *(
        "timestamp(event.a) - now + duration(event.b)",
        "event.a.getDayOfYear()",
        "startOfMonth(event.a)",
        "event.a.trim()",
    ),
]


def survive(source: str) -> None:
    is_literal(source)
    for compiled in (compile_value, compile_condition):
        try:
            compiled(source).evaluate(ACTIVATION)
        except (CompileError, EvaluationError) as error:
            assert error.message


@settings(max_examples=800, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=25).map("".join))
def test_any_words(source: str) -> None:
    survive(source)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40))
def test_any_text(source: str) -> None:
    survive(source)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(PROBES), VALUES, VALUES)
def test_any_data(source: str, first: object, second: object) -> None:
    variables = {"event": {"a": first, "b": second}, "now": datetime(2026, 1, 1, tzinfo=UTC)}
    try:
        result = compile_value(source).evaluate(variables)
    except EvaluationError as error:
        assert error.message
    else:
        assert not isinstance(result, int | float) or isinstance(result, bool)


@settings(max_examples=200, deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, places=12), st.decimals(allow_nan=False, allow_infinity=False))
def test_arithmetic_keeps_fifty_digits_and_the_bound(first: Decimal, second: Decimal) -> None:
    for sign in "+-*/%":
        try:
            result = compile_value(f"event.a {sign} event.b").evaluate({"event": {"a": first, "b": second}})
        except EvaluationError:
            continue
        assert isinstance(result, Decimal)
        assert result.copy_abs() < Decimal("1e38")
        assert len(result.as_tuple().digits) <= 50
