"""Limits of source and evaluation: exact, deterministic, and without deep recursion."""

import sys
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from domain.cel import CompileError, EvaluationError, StepLimitExceeded, compile_condition, compile_value
from tests.domain.cel.samples import run

LONG = {
    "sum": ("+".join(["1"] * 8000), Decimal(8000)),
    "difference": ("1" + "-1" * 8000, Decimal(-7999)),
    "product": ("*".join(["1"] * 8000), Decimal(1)),
    "and": ("&&".join(["true"] * 2700), True),
    "or": ("||".join(["false"] * 2300), False),
    "not": ("!" * 16_000 + "true", True),
    "minus": ("-" * 16_001 + "1", Decimal(-1)),
    "equality": ("true" + "==true" * 2300, True),
    "calls": ('"a"' + ".trim()" * 2300, "a"),
    "list": ("[" + ",".join("1" * 8000) + "]", [Decimal(1)] * 8000),
    "arguments": ("min(" + ",".join("1" * 8000) + ")", Decimal(1)),
    "brackets": ("(" * 64 + "1" + ")" * 64, Decimal(1)),
    "negated brackets": ("-(" * 64 + "1" + ")" * 64, Decimal(1)),
    "conditionals": ("false ? 1 : " * 64 + "2", Decimal(2)),
}
TOO_DEEP = [
    "(" * 65 + "1" + ")" * 65,
    "(" * 8_000 + "1" + ")" * 8_000,
    "[" * 65 + "]" * 65,
    "[" * 8_000 + "]" * 8_000,
    "{1:" * 65 + "1" + "}" * 65,
    "size(" * 65 + "1" + ")" * 65,
    "event" + "[event" * 65 + "]" * 65,
    "true ? 1 : " * 65 + "1",
    "true ? (" * 33 + "1" + ") : 2" * 33,
    "-(" * 65 + "1" + ")" * 65,
]
HOSTILE = {
    "(" * 16_384,
    "[" * 16_384,
    "size(" * 3_000,
    '"' + "\\n" * 8_000,
    "'" * 16_383,
    "!-" * 8_000 + "1",
    "event" + ".a" * 8_000,
    "event" + "[0]" * 5_000,
    "1<" * 8_000 + "1",
    "9" * 16_384,
    "1e" + "9" * 10_000,
    "-" * 16_384,
    "a?b:" * 4_000,
}


def steps_needed(source: str, variables: dict[str, Any]) -> int:
    """The smallest step limit with which an expression ends."""
    expression = compile_value(source)
    low, high = 0, 100_000
    while low < high:
        middle = (low + high) // 2
        try:
            expression.evaluate(variables, step_limit=middle)
            high = middle
        except StepLimitExceeded:
            low = middle + 1
    return low


@pytest.mark.parametrize("name", LONG)
def test_long_expression_runs(name: str) -> None:
    source, value = LONG[name]
    assert compile_value(source).evaluate({}) == value


def test_long_chain_runs_with_little_stack() -> None:
    results: list[object] = []
    limit = sys.getrecursionlimit()
    source = " + ".join(["1"] * 4_000)

    def nested(depth: int, then: Callable[[], object]) -> object:
        return nested(depth - 1, then) if depth else then()

    def work() -> None:
        results.append(nested(limit - 300, lambda: compile_value(source).evaluate({})))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert results == [4_000]


def test_deepest_expression_of_all_operators_runs() -> None:
    source = "1"
    for _ in range(31):
        source = f"min(1, true && 1 == 1 + 2 * -{source} || 1 > 1 ? 1 : 2)"
    assert run(source) in (1, 2)


@pytest.mark.parametrize("source", TOO_DEEP)
def test_too_deep_does_not_compile(source: str) -> None:
    with pytest.raises(CompileError, match="nested more than 64"):
        compile_value(source)


@pytest.mark.parametrize("source", sorted(HOSTILE))
def test_hostile_source_is_refused_or_fails(source: str) -> None:
    with pytest.raises((CompileError, EvaluationError)):
        compile_value(source).evaluate({"event": {}})


def test_length_of_the_source() -> None:
    longest = "1" + " " * 16_383
    assert compile_value(longest).evaluate({}) == 1
    with pytest.raises(CompileError):
        compile_value(longest + " ")


def test_macros_nest_three_deep() -> None:
    assert run("[[[1]]].all(a, a.all(b, b.all(c, c == 1)))") is True
    assert run("[1].map(a, a).map(b, b).map(c, c).map(d, d) == [1]") is True
    with pytest.raises(CompileError, match="nested more than 3"):
        compile_condition("[[[[1]]]].all(a, a.all(b, b.all(c, c.all(d, d == 1))))")


STEPS = {
    "1": 1,
    "event.n": 2,
    "event.n + 1": 4,
    "1 + 1 + 1": 5,
    "event.n == 1": 4,
    'event.s == "x"': 4,
    '"x" in event.l': 4,
    "true && false": 3,
    "false && true": 2,
    "true ? 1 : 2": 3,
    "!true": 2,
    "-event.n": 3,
    "[1, 2]": 3,
    "event.l.size()": 3,
    "size(event.l)": 3,
    'event.s.matches("x")': 4,
    "event.l.all(x, true)": 2 + 1 + 3 * 2,
    "event.l.map(x, x)": 2 + 1 + 3 * 2,
    "event.l.exists(x, true)": 2 + 1 + 2,
    "has(event.n)": 2,
    'get(event, "n", 0)': 4,
    "event.long + event.long": 5 + 2,
}


@pytest.mark.parametrize(("source", "steps"), STEPS.items())
def test_each_node_element_and_64_characters_cost_a_step(source: str, steps: int) -> None:
    event = {"n": Decimal(1), "s": "x", "l": [Decimal(1), Decimal(2), Decimal(3)], "long": "x" * 64}
    assert steps_needed(source, {"event": event}) == steps


def test_same_data_stops_at_the_same_step() -> None:
    source = "event.l.filter(a, event.l.exists(b, a * b == 6)).map(x, string(x) + event.s).join(',')"
    variables = {"event": {"l": [Decimal(number) for number in range(20)], "s": "x" * 100}}
    needed = steps_needed(source, variables)
    expression = compile_value(source)
    assert [expression.evaluate(variables, step_limit=needed) for _ in range(3)]
    for _ in range(3):
        with pytest.raises(StepLimitExceeded):
            expression.evaluate(variables, step_limit=needed - 1)


def test_or_does_not_absorb_the_step_limit() -> None:
    expression = compile_condition("event.l.all(a, event.l.all(b, event.l.all(c, true))) || true")
    with pytest.raises(StepLimitExceeded):
        expression.evaluate({"event": {"l": [Decimal(1)] * 100}})


TIMEOUTS = [
    "event.s + event.s",
    "event.l + event.l",
    'event.s.replace("a", event.s)',
    'event.s.replace("", "b")',
    "event.l.map(x, event.s).join()",
    'event.l.map(x, "").join(event.s)',
    "event.l.map(x, event.l.map(y, event.s + 'b'))",
    "event.l.map(x, sets.contains(event.l, [x]))",
    "event.l.map(x, event.l == event.l)",
    "event.l.map(x, x in event.l)",
    "event.l.map(x, sum(event.l) + max(event.l))",
    'event.l.map(x, event.s.matches("(a|b)*c$"))',
    "event.l.map(x, event.s.contains('ab'))",
    "event.l.map(x, event.s.split(''))",
    "event.l.map(x, event.s.upperAscii())",
    "string(event.tiny)",
]


@pytest.mark.parametrize("source", TIMEOUTS)
def test_huge_work_is_a_timeout(source: str) -> None:
    event = {"s": "a" * 60_000, "l": list(range(60_000)), "tiny": Decimal("1e-200000")}
    with pytest.raises(StepLimitExceeded):
        run(source, {"event": event})


class TestPatterns:
    def test_literal_is_checked_when_compiling(self) -> None:
        assert compile_condition(f'event.s.matches("{"a" * 1000}")')
        for source in ('event.s.matches("(")', f'event.s.matches("{"a" * 1001}")', 'matches(event.s, "a{1001}")'):
            with pytest.raises(CompileError):
                compile_condition(source)

    def test_computed_is_an_error_when_used(self) -> None:
        event = {"long": "a" * 1001, "bad": "(", "big": "((a{1,100}){1,100}){1,100}", "back": r"(a)\1"}
        for name in event:
            with pytest.raises(EvaluationError) as caught:
                run(f'"x".matches(event.{name})', {"event": event})
            assert not isinstance(caught.value, StepLimitExceeded)

    def test_backtracking_pattern_is_linear(self) -> None:
        assert run('event.s.matches("^(a+)+$")', {"event": {"s": "a" * 5_000 + "b"}}) is False
