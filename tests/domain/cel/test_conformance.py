"""The language as published, where events-rules.md doesn't deviate, and its deviations."""

from decimal import Decimal
from typing import Any

import pytest

from domain.cel import CompileError, EvaluationError, compile_value
from tests.domain.cel.samples import run

BASIC: dict[str, Any] = {
    "0": 0,
    "42u": 42,
    "0x1F": 31,
    "0XfFu": 255,
    "-0x10": -16,
    "1.5": Decimal("1.5"),
    ".5": Decimal("0.5"),
    "1e3": 1000,
    "1.5E-2": Decimal("0.015"),
    "-1": -1,
    "- -1": 1,
    "null": None,
    "true": True,
    "false": False,
    "[]": [],
    "{}": {},
    "[1, 2]": [1, 2],
    '{"a": 1}': {"a": 1},
    "(1)": 1,
    " 1 // one\n + 2": 3,
    "1 +\n\t2": 3,
}
STRINGS: dict[str, Any] = {
    '"a"': "a",
    "'a'": "a",
    '""': "",
    '"it\'s"': "it's",
    "'\"'": '"',
    r'"\a\b\f\n\r\t\v\\\"\'\?\`"': "\a\b\f\n\r\t\v\\\"'?`",
    r'"\x41\101\u0041\U00000041"': "AAAA",
    r'"\u00e4\U0001F600"': "ä\U0001f600",
    r'r"\n"': r"\n",
    r'R"\"': "\\",
    '"""a"b\nc"""': 'a"b\nc',
    "'''it's'''": "it's",
    '""""""': "",
    r'r"""\"""': "\\",
    '"// no comment"': "// no comment",
    'b"a"': b"a",
    r'b"\xff\377"': b"\xff\xff",
    'b"ä"': "ä".encode(),
    r'rb"\n"': b"\\n",
    r'br"\n"': b"\\n",
    '"a" + "b"': "ab",
    'b"a" + b"b"': b"ab",
}
TRUE = [
    # arithmetic
    *("1 + 2 * 3 == 7", "(1 + 2) * 3 == 9", "7 - 2 - 1 == 4", "8 / 4 / 2 == 1", "-7 % 3 == -1", "7 % -3 == 1"),
    *("7 / 2 == 3.5", "0.1 + 0.2 == 0.3", "1 == 1.0", "1u == 1", "10 < 10.5", "1.5 * 2 == 3", "5.5 % 2 == 1.5"),
    "1 / 3 == 0.33333333333333333333333333333333333333333333333333",
    "2 / 3 == 0.66666666666666666666666666666666666666666666666667",
    "1e37 * 9 == 9e37",
    "1e37 % 1e-30 == 0",
    # equality over kinds
    *('"1" != 1', "!(null == false)", "null == null", "true != 1", "!(0 == false)", "[] != {}", "[true] != [1]"),
    *(
        "{'a': true} != {'a': 1}",
        "[1, [2.0]] == [1.0, [2]]",
        "{1: 'a'} == {1.0: 'a'}",
        "{'a': 1, 'b': 2} == {'b': 2, 'a': 1}",
    ),
    *("[1] != [1, 1]", "{'a': 1} != {'b': 1}", "{'a': 1} != {'a': 2}", "b'a' != 'a'", "type(1) != 'int'", "now != 1"),
    # ordering
    *('"a" < "b"', '"B" < "a"', '"a" < "aa"', "false < true", 'b"a" < b"b"', 'duration("1s") < duration("2s")'),
    *("1 <= 1.0", "2 >= 1", '"a" >= "a"', "!(true > true)", '"\U0001f600" > "\uffee"'),
    # in
    *("1 in [1.0]", "!(1 in [true])", "!(true in [1])", '"a" in {"a": 1}', "1.0 in {1: 'x'}", "!(true in {1: 'x'})"),
    *("[1] in [[1.0]]", "!(null in [])", "null in [null]", '!("x" in [])', "true in {true: 1}"),
    # lists and maps
    *(
        "[1, 2][0] == 1",
        "[1, 2][1.0] == 2",
        "[1] + [2] == [1, 2]",
        "{'a': {'b': 1}}.a.b == 1",
        "{'a b': 1}['a b'] == 1",
    ),
    *("{1: 'x'}[1.0] == 'x'", "{true: 1, 1: 2}[true] == 1", "{true: 1, 1: 2}[1] == 2", "[[1]][0][0] == 1"),
    *("{true: 1}.all(k, k == true)", 'participant.counters["a-b"] == 1', "{'a': null}.a == null"),
    # logic
    *("true || 1 / 0 > 0", "1 / 0 > 0 || true", "!(false && 1 / 0 > 0)", "!(1 / 0 > 0 && false)", "true || 1"),
    *("1 || true", "!(false && 'x')", "!('x' && false)", "true || event.missing || true", "!true == false"),
    *("false || false || true", "!(true && true && false)", "event.missing || false || true"),
    *("true ? true : 1 / 0 > 0", "false ? 1 / 0 > 0 : true", "true ? (false ? false : true) : false"),
    "(false ? 1 : true ? 2 : 3) == 2",
    # macros
    *("[1, 0].exists(x, 1 / x > 0)", "[0, 1].exists(x, 1 / x > 0)", "![0, 1].all(x, 1 / x > 1)"),
    *("[1, 2].map(x, [3, 4].map(y, x * y)) == [[3, 4], [6, 8]]", "[[1]].all(x, x.all(x, x == 1))"),
    *("[1].map(event, event + 1) == [2]", "[1].exists(int, int == 1)", "[1, 2].filter(x, x > 1).map(x, x * 2) == [4]"),
    *("[1, 2].all(e, e in [1, 2] && event.amount == 75)", ".event.amount == 75"),
]
ERRORS = [
    *(
        "1 + 'a'",
        "'a' + 1",
        "[1] + 1",
        "null + 1",
        "true + true",
        "'a' - 'b'",
        "'a' * 2",
        "-'a'",
        "-true",
        "!1",
        "!null",
    ),
    *("1 / 0", "1 % 0", "1 / 0.0", "1 < 'a'", "'a' < 1", "null < null", "[1] < [2]", "1 < true", "{} < {}", "now < 1"),
    *("[1][1]", "[1][-1]", "[1][0.5]", "[1]['a']", "[1][true]", "{'a': 1}['b']", "{'a': 1}.b", "{}[null]", "'a'[0]"),
    *("{null: 1}", "{[1]: 1}", "{1: 1, 1.0: 2}", "{'a': 1, 'a': 2}", "1 in 1", "'a' in 'abc'", "null in {'a': 1}"),
    *(
        "1 ? 2 : 3",
        "null ? 2 : 3",
        "true && 1",
        "1 && true",
        "false || 'x'",
        "event.missing && true",
        "1 / 0 > 0 || false",
    ),
    *("[0, 1].all(x, 1 / x > 0)", "[0].exists(x, 1 / x > 0)", "[1, 0].exists_one(x, 1 / x > 0)", "[0].map(x, 1 / x)"),
    *(
        "9e37 + 9e37",
        "1e37 * 10",
        "-9e37 - 9e37",
        "1e20 / 1e-20",
        "null.a",
        "1.5.a",
        "'a'.b",
        "[].a",
        "now.a",
        "event.a.b",
    ),
    *("[1, 2].exists(x, x)", "null.exists(x, true)", "'abc'.exists(x, true)", "1 == 1 < 2 < 3"),
]
SYNTAX = {
    "": (1, 1),
    " ": (1, 1),
    "1 +": (1, 4),
    'event.type = "x"': (1, 12),
    "1 + * 2": (1, 5),
    "true ? true ? 1 : 2 : 3": (1, 13),
    "(1": (1, 3),
    "1)": (1, 2),
    "[1, ]": (1, 5),
    '"abc': (1, 1),
    '"a\nb"': (1, 1),
    "1 +\n  $": (2, 3),
    "true &&\n\nfoo": (3, 1),
    "a & b": (1, 3),
    r'"\q"': (1, 2),
    r'"\ud800"': (1, 2),
    '"\ud800"': (1, 2),
    r'"\U00110000"': (1, 2),
    r'b"\u0041"': (1, 3),
    "1e999": (1, 1),
    "1e38": (1, 1),
    "event.in": (1, 7),
    "event.1": (1, 6),
    "event.": (1, 7),
    "Msg{a: 1}": (1, 1),
    "has(event)": (1, 5),
    "has(event.a, 1)": (1, 1),
    "has(event['a'])": (1, 5),
    "[1].map(x)": (1, 5),
    "[1].all(x, y, z)": (1, 5),
    "[1].all(x.y, true)": (1, 9),
    "[1].all((x), true)": (1, 10),
    "[1].all(if, true)": (1, 9),
    "[1].all(x, x == y)": (1, 17),
    "size()": (1, 1),
    "size(1, 2)": (1, 1),
    "nosuch(1)": (1, 1),
    "event.nosuch()": (1, 7),
    "round(1, 2, 3)": (1, 1),
    '"a".trim(1)': (1, 5),
    "sets.nosuch(1, 2)": (1, 1),
    "foo.bar == 1": (1, 1),
    "event.a == foo": (1, 12),
    "google.protobuf.Duration2": (1, 1),
}


@pytest.mark.parametrize(("source", "value"), [*BASIC.items(), *STRINGS.items()])
def test_literal_has_value(source: str, value: object) -> None:
    result = run(source)
    assert result == value
    assert isinstance(result, bool) is isinstance(value, bool)
    assert type(run(f"dyn({source})")) is type(result)


@pytest.mark.parametrize("source", TRUE)
def test_holds(source: str) -> None:
    assert run(source) is True


@pytest.mark.parametrize("source", ERRORS)
def test_is_an_error(source: str) -> None:
    with pytest.raises(EvaluationError):
        run(source)


@pytest.mark.parametrize(("source", "place"), SYNTAX.items())
def test_does_not_compile(source: str, place: tuple[int, int]) -> None:
    with pytest.raises(CompileError) as caught:
        compile_value(source)
    assert (caught.value.line, caught.value.column) == place
    assert caught.value.message
