"""Generated expressions give what cel-python's interpreter gives, where the semantics agree."""

import sys
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Any

import celpy
import pytest
from celpy import celtypes
from celpy.adapter import json_to_cel
from celpy.evaluation import CELEvalError
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.cel import EvaluationError, compile_value

EVENT: dict[str, Any] = {"n": 7, "z": 0, "s": "abc", "l": [1, 2, 3], "m": {"a": 1, "b": 2}, "t": True, "w": ["a", "bc"]}
SAMPLES = 250

Source = st.SearchStrategy[str]


def either(*texts: str) -> Source:
    return st.sampled_from(texts)


def joined(*parts: Source) -> Source:
    return st.tuples(*parts).map("".join)


def fixed(text: str) -> Source:
    return st.just(text)


NUMBER_LEAF = either("0", "1", "2", "-3", "17", "event.n", "event.z", "size(event.s)", "size(event.l)", "event.m.a")
STRING_LEAF = either('""', '"a"', "'abc'", '"b\\n"', "event.s", "string(event.n)")
LIST_LEAF = either("[]", "[1]", "event.l", "[1, event.n, 3]", "[3, 2] + event.l")
BOOL_LEAF = either("true", "false", "event.t", "has(event.n)", "has(event.x)", "event.missing", "1 / event.z > 0")

numbers: Source = st.deferred(
    lambda: (
        NUMBER_LEAF
        | joined(fixed("("), numbers, either(" + ", " - ", " * "), numbers, fixed(")"))
        | joined(fixed("("), numbers, fixed(" % "), either("2", "3", "5", "event.z"), fixed(")"))
        | joined(fixed("("), booleans, fixed(" ? "), numbers, fixed(" : "), numbers, fixed(")"))
        | joined(fixed("size("), lists, fixed(")"))
    )
)
strings: Source = st.deferred(lambda: STRING_LEAF | joined(fixed("("), strings, fixed(" + "), strings, fixed(")")))
lists: Source = st.deferred(
    lambda: (
        LIST_LEAF
        | joined(LIST_LEAF, fixed(".filter(x, x"), either(" > ", " != "), NUMBER_LEAF, fixed(")"))
        | joined(LIST_LEAF, fixed(".map(x, x * "), NUMBER_LEAF, fixed(")"))
    )
)
booleans: Source = st.deferred(
    lambda: (
        BOOL_LEAF
        | joined(fixed("("), numbers, either(" < ", " <= ", " == ", " != ", " > ", " >= "), numbers, fixed(")"))
        | joined(fixed("("), strings, either(" < ", " == ", " != ", " >= "), strings, fixed(")"))
        | joined(fixed("("), lists, either(" == ", " != "), lists, fixed(")"))
        | joined(fixed("("), booleans, either(" && ", " || "), booleans, fixed(")"))
        | joined(fixed("!("), booleans, fixed(")"))
        | joined(fixed("("), numbers, fixed(" in "), lists, fixed(")"))
        | joined(fixed("("), STRING_LEAF, fixed(" in event.m)"))
        | joined(LIST_LEAF, either(".all", ".exists", ".exists_one"), fixed("(x, x > "), NUMBER_LEAF, fixed(")"))
        | joined(STRING_LEAF, either(".contains(", ".startsWith(", ".endsWith("), strings, fixed(")"))
        | joined(STRING_LEAF, fixed('.matches("^a.*c$")'))
    )
)


@pytest.fixture(autouse=True, scope="module")
def _recursion_limit() -> Iterator[None]:
    """The oracle raises the process's recursion limit at its first use."""
    limit = sys.getrecursionlimit()
    oracle("1")
    yield
    sys.setrecursionlimit(limit)


@cache
def _environment() -> celpy.Environment:
    return celpy.Environment()


def oracle(source: str) -> object:
    """The value by cel-python, or None when that is an error."""
    environment = _environment()
    program = environment.program(environment.compile(source))
    try:
        result = program.evaluate({"event": json_to_cel(EVENT)})
    except CELEvalError:
        return None
    return plain(result)


def plain(value: object) -> object:
    if isinstance(value, bool | celtypes.BoolType):
        return bool(value)
    if isinstance(value, int):
        return Decimal(int(value))
    if isinstance(value, list):
        return [plain(item) for item in value]
    return str(value)


def ours(source: str) -> object:
    try:
        return compile_value(source).evaluate({"event": EVENT})
    except EvaluationError:
        return None


# the oracle takes its time, and a busy machine several times as long
@pytest.mark.timeout(600)
@settings(max_examples=SAMPLES, deadline=None)
@given(booleans | numbers | strings | lists)
def test_same_result_as_the_oracle(source: str) -> None:
    assert ours(source) == oracle(source), source


@pytest.mark.parametrize("source", ["1 == 1.0", "7 / 2", "string(true)"])
def test_deviations_are_real(source: str) -> None:
    """Where the specification deviates, the oracle differs: it is no use there."""
    assert ours(source) != oracle(source)
