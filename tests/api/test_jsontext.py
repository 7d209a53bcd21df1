"""JSON in and out keeps every digit and every character."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.jsontext import dumps, parse_json
from domain.errors import BadRequest

texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)))
numbers = st.decimals(allow_nan=False, allow_infinity=False).map(str)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts | numbers.map(Decimal),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(values)
def test_what_is_written_is_read_back(value: object) -> None:
    back, found = parse_json(dumps(value))
    assert found == []
    assert _same(back, value)


def _same(one: object, other: object) -> bool:
    if isinstance(other, list) and isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(other, dict) and isinstance(one, dict):
        return list(one) == list(other) and all(_same(one[key], other[key]) for key in other)
    return one == other and (not isinstance(other, bool) or isinstance(one, bool))


@pytest.mark.parametrize(
    "digits", ["0.1000", "1E+400", "-0.0", "123456789012345678901234567890.12345678901234567890", "9" * 5000]
)
def test_numbers_keep_every_digit(digits: str) -> None:
    value, _ = parse_json(b'{"n":' + digits.encode() + b"}")
    assert dumps(value) == b'{"n":' + digits.encode() + b"}"


def test_no_text_is_taken_for_a_number() -> None:
    for text in ("\\u0000number:1", '"\\u0000number:1"', "number:1", '\\"\\u0000number:1'):
        assert parse_json(dumps([text]))[0] == [text]


def test_kinds_of_values() -> None:
    moment = datetime(2026, 1, 15, 12, 30, tzinfo=timezone(timedelta(hours=2)))
    body = {"id": UUID(int=10), "at": moment, "first": datetime(1, 1, 1, tzinfo=UTC), "n": Decimal("1.50")}
    assert dumps(body) == (
        b'{"id":"00000000-0000-0000-0000-00000000000a","at":"2026-01-15T10:30:00.000000Z",'
        b'"first":"0001-01-01T00:00:00.000000Z","n":1.50}'
    )
    with pytest.raises(ValueError, match="not JSON compliant"):
        dumps(float("nan"))


def test_broken_texts_are_named_and_replaced() -> None:
    value, found = parse_json(b'{"a": [{"b": "x\\u0000"}], "\\ud800": 1}')
    assert value == {"a": [{"b": "x\ufffd"}], "\ufffd": 1}
    assert sorted(path for path, _ in found) == [("a", 0, "b"), ("\ufffd",)]
    assert sorted(fault.field for _, fault in found) == ["a[0].b", "\ufffd"]


def test_bombs_are_refused() -> None:
    for raw in (b"[" * 1_000_000, b'{"a":' * 200_000, b'["\\u0000",' + b"[" * 500_000):
        with pytest.raises(BadRequest):
            parse_json(raw)
