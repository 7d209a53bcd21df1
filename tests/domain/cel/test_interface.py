"""What other code relies on: reads, event types, literals, activations, messages, threads."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest

from domain.cel import (
    AUTOMATION_VARIABLES,
    RULE_VARIABLES,
    CompileError,
    EvaluationError,
    compile_condition,
    compile_value,
    evaluate_condition,
    is_literal,
    to_text,
)
from tests.domain.cel.samples import ACTIVATION, run

READS = {
    "1": set(),
    'event.type == "x"': {"event"},
    "now > timestamp(0)": {"now"},
    '"vip" in participant.tags': {"participant.tags"},
    'participant["tags"] == []': {"participant.tags"},
    "participant.tiers.club.rank > 1": {"participant.tiers"},
    "has(participant.counters.n)": {"participant.counters"},
    "has(participant.counters)": {"participant.counters"},
    'get(participant.counters, "n", 0)': {"participant.counters"},
    'get(participant, "attributes", {})': {"participant.attributes"},
    "get(participant, event.x, 0)": {"participant", "event"},
    "participant[event.x]": {"participant", "event"},
    "[participant].map(p, p.tags)": {"participant"},
    "participant == null": {"participant"},
    "recipient.balances.PTS.available": {"recipient.balances"},
    "program.counters.n + program.name": {"program.counters", "program.name"},
    'groups.exists(g, "x" in g.tags)': {"groups"},
    'group != null && group.role == "owner"': {"group"},
    "[1].map(event, event.x)": set(),
    "[1].map(participant, participant.tags)": set(),
    "event.items.map(event, event.x)": {"event"},
    "true ? participant.tags : recipient.tags": {"participant.tags", "recipient.tags"},
}
EVENT_TYPES: dict[str, set[str] | None] = {
    'event.type == "a"': {"a"},
    '"a" == event.type': {"a"},
    'event.type == "a" && event.x > 1': {"a"},
    '(event.type == "a" && event.x > 1) && true': {"a"},
    'event.type in ["a", "b"] && true': {"a", "b"},
    '(event.type == "a" || "b" == event.type || event.type in ["c"]) && event.x > 1': {"a", "b", "c"},
    'event.type == "a" || event.type == "b"': {"a", "b"},
    "event.type in []": set(),
    'event.x > 1 && event.type == "a"': None,
    'event.type == "a" || event.x > 1': None,
    'event.type != "a"': None,
    '!(event.type == "a")': None,
    "event.type == event.x": None,
    "event.type == 1": None,
    'event.type in ["a", event.x]': None,
    'event.type == "a" ? true : true': None,
    'event.type == "a" == false': None,
    "true": None,
    'event.kind == "a"': None,
    'event.a.type == "a"': None,
}


@pytest.mark.parametrize(("source", "reads"), READS.items())
def test_reads(source: str, reads: set[str]) -> None:
    assert compile_value(source).reads == reads


@pytest.mark.parametrize(("source", "types"), EVENT_TYPES.items())
def test_event_types(source: str, types: set[str] | None) -> None:
    expression = compile_condition(source)
    assert expression.event_types == types
    if types is not None:
        for other in ("z", ""):
            assert evaluate_condition(expression, {"event": {"type": other, "x": Decimal(2)}}) is False


@pytest.mark.parametrize(
    "source", ["1 + 1", '"x"', "[]", "{}", "null", "size(event)", "now", "event", "-event.x", "[1].map(x, x)"]
)
def test_condition_that_is_visibly_not_boolean(source: str) -> None:
    assert compile_value(source)
    with pytest.raises(CompileError):
        compile_condition(source)


@pytest.mark.parametrize("source", ["event.x", "true ? event.x : 1", 'get(event, "x", false)', "dyn(1)", "!event.x", "event[0]"])
def test_condition_that_may_be_boolean(source: str) -> None:
    assert compile_condition(source)


def test_condition_with_another_result_is_an_error() -> None:
    with pytest.raises(EvaluationError):
        evaluate_condition(compile_condition("event.amount"), ACTIVATION)


def test_variables_of_automations() -> None:
    assert {"event", "recipient"} == RULE_VARIABLES - AUTOMATION_VARIABLES
    assert compile_condition('"x" in participant.tags', AUTOMATION_VARIABLES)
    with pytest.raises(CompileError, match="unknown variable: event"):
        compile_condition("event.x == 1", AUTOMATION_VARIABLES)


@pytest.mark.parametrize(
    "text",
    ["auth-1", "42", "-1.5", "1e3", "0x1F", "7u", "event", "now", "group", " now ", "plain", "a b", "", "order 7"]
    + ["996c8f1e-458b-58e7-a615-f66bb9a50623", "00000000-0000-0000-0000-000000000000", "a@b.c", "event.", "string"],
)
def test_literals(text: str) -> None:
    assert is_literal(text)


@pytest.mark.parametrize("text", ["event.auth", '"x"', "string(event.id)", "participant.id", "'a' + event.b", "1 + 1"])
def test_expressions_are_not_literals(text: str) -> None:
    assert not is_literal(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("12.50"), "12.5"),
        (Decimal("1E+3"), "1000"),
        (Decimal("0E-9"), "0"),
        (Decimal("-0.10"), "-0.1"),
        (7, "7"),
        (True, "true"),
        (False, "false"),
        ("x", "x"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05Z"),
        (datetime(1, 1, 1, 2, tzinfo=timezone(timedelta(hours=1))), "0001-01-01T01:00:00Z"),
        (timedelta(seconds=90), "90s"),
    ],
)
def test_to_text(value: object, text: str) -> None:
    assert to_text(value) == text


@pytest.mark.parametrize("value", [None, [], {}, object(), datetime(2026, 1, 1)])
def test_to_text_of_other_values(value: object) -> None:
    with pytest.raises(EvaluationError):
        to_text(value)


class Lazy(dict[str, Any]):
    """Makes its values when they are first read."""

    def __missing__(self, key: str) -> Any:
        if key != "tags":
            raise KeyError(key)
        self[key] = ["vip"]
        return self[key]


class ReadOnly(Mapping[str, Any]):
    def __init__(self, content: dict[str, Any]) -> None:
        self._content = content

    def __getitem__(self, key: str) -> Any:
        return self._content[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)


class Status(StrEnum):
    ACTIVE = "ACTIVE"


class NotLoadedError(Exception):
    pass


class Unloaded(dict[str, Any]):
    def __missing__(self, key: str) -> Any:
        raise NotLoadedError(key)


class TestActivation:
    def test_mappings_may_be_lazy(self) -> None:
        variables = {"participant": Lazy()}
        assert run('"vip" in participant.tags && has(participant.tags) && !has(participant.x)', variables) is True
        assert run('"tags" in participant && get(participant, "tags", []) == ["vip"]', variables) is True
        assert run("[1].exists(x, participant.tags == ['vip'])", ReadOnly({"participant": Lazy()})) is True

    def test_any_mapping(self) -> None:
        variables = {"event": ReadOnly({"a": ReadOnly({"b": 1})})}
        assert run("event.a.b == 1 && size(event) == 1 && event.a == {'b': 1.0} && event.exists(k, k == 'a')", variables) is True

    def test_error_of_a_lazy_mapping_passes_through(self) -> None:
        with pytest.raises(NotLoadedError):
            run("participant.tags == [] || true", {"participant": Unloaded()})

    def test_other_types_of_numbers_and_strings(self) -> None:
        event = {"i": 3, "f": 0.1, "l": [1, 2, True], "t": ("a",), "s": {"b", "a"}, "e": Status.ACTIVE, "n": {"x": 1}}
        for source in (
            "event.i / 2 == 1.5 && type(event.i) == int",
            "event.f + 0.2 == 0.3",
            "1 in event.l && event.l[0] / 2 == 0.5 && event.l != [1, 2, 1] && event.l == [1.0, 2, true]",
            "event.l.filter(x, x == 1) == [1] && min([event.i, 4]) == 3",
            'event.t == ["a"] && event.s == ["a", "b"] && event.e == "ACTIVE"',
            "event.n == {'x': 1} && get(event, 'i', 0) / 2 == 1.5 && event['i'] / 2 == 1.5",
            "sets.contains(event.l, [1, true]) && !sets.contains([1, 2], event.l)",
        ):
            assert run(source, {"event": event}) is True
        with pytest.raises(EvaluationError):
            run("sum(event.l)", {"event": event})

    def test_timestamps_become_utc(self) -> None:
        moment = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))
        assert run("now.getFullYear() == 2025 && now.getHours() == 23", {"now": moment}) is True
        with pytest.raises(EvaluationError):
            run("now", {"now": datetime(2026, 1, 1)})

    @pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), float("nan"), object()])
    def test_odd_values_are_errors(self, value: object) -> None:
        for source in (
            "event.x + 1",
            "string(event.x)",
            "event.x * 0",
            "round(event.x)",
            "int(event.x)",
            "[1][event.x]",
        ):
            with pytest.raises(EvaluationError):
                run(source, {"event": {"x": value}})

    @pytest.mark.parametrize("source", ["event.x > 1", "event.x < event.x", "1 >= event.x", "min(event.x, 1)"])
    def test_what_is_not_a_number_has_no_order(self, source: str) -> None:
        with pytest.raises(EvaluationError):
            run(source, {"event": {"x": Decimal("NaN")}})

    def test_missing_variable_is_an_error(self) -> None:
        for source in ("event.x", "event", "[1].all(x, event.x == 1)", "has(event.x)"):
            with pytest.raises(EvaluationError):
                run(source, {})

    def test_nothing_is_changed(self) -> None:
        event = {"l": [1, [2]], "m": {"a": 1}}
        run("event.l.map(event, event) == event.l + event.l", {"event": event})
        assert event == {"l": [1, [2]], "m": {"a": 1}}


def test_messages_name_missing_fields_only() -> None:
    secret = {"key": "s3cret", "s3cret": "s3cret", "m": {}, "l": ["s3cret"]}
    sources = [
        "event.m[event.key]",
        "event.key + 1",
        "int(event.key)",
        "event.l[7]",
        "event.key.x",
        "timestamp(event.key)",
    ]
    sources += ["'a'.matches('(' + event.key)", "duration(event.key)", "now.getHours(event.key)", "bool(event.key)"]
    for source in sources:
        with pytest.raises(EvaluationError) as caught:
            run(source, {"event": secret, "now": datetime.now(UTC)})
        assert "s3cret" not in caught.value.message
        assert caught.value.message == str(caught.value)
    with pytest.raises(EvaluationError, match="coupon"):
        run("event.coupon", {"event": secret})


def test_expressions_are_cached_and_immutable() -> None:
    expression = compile_value("event.x + 1")
    assert compile_value("event.x + 1") is expression
    with pytest.raises(FrozenInstanceError):
        expression.source = "2"  # type: ignore[misc]


def test_threads_share_expressions() -> None:
    sources = [f"event.l.map(x, x * {number}).filter(y, y > 10).size() + {number} / 7" for number in range(40)]
    variables = {"event": {"l": [Decimal(number) for number in range(30)]}}
    expected = [run(source, variables) for source in sources]
    compile_value.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda source: run(source, variables), sources * 5))
    assert results == expected * 5
