"""Amounts against exact rational arithmetic, which shares nothing with `decimal`."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import AmountError, format_amount, format_plain, has_more_decimals, parse_amount, parse_signed, to_scale

SCALES = st.integers(0, 18)
VALUES = st.decimals(min_value=Decimal(-(10**20)), max_value=Decimal(10**20), allow_nan=False, allow_infinity=False, places=25)


def half_away_from_zero(value: Fraction, scale: int) -> Fraction:
    units = abs(value) * 10**scale
    whole = (2 * units.numerator + units.denominator) // (2 * units.denominator)
    return Fraction(whole, 10**scale) * (1 if value >= 0 else -1)


@given(VALUES, SCALES)
def test_rounding_is_exact_and_half_away_from_zero(value: Decimal, scale: int) -> None:
    assert Fraction(to_scale(value, scale)) == half_away_from_zero(Fraction(value), scale)


@pytest.mark.parametrize(
    ("value", "scale", "rounded"),
    [
        ("0.125", 2, "0.13"),
        ("-0.125", 2, "-0.13"),
        ("2.5", 0, "3"),
        ("0.4499999", 0, "0"),
        ("0.449", 1, "0.4"),
        ("4.497", 2, "4.50"),
        ("0.0049999999999999999999", 2, "0.00"),
    ],
)
def test_halves_go_away_from_zero_once(value: str, scale: int, rounded: str) -> None:
    assert format_amount(Decimal(value), scale) == rounded


@given(VALUES, SCALES)
def test_what_was_rounded_stays_as_it_is(value: Decimal, scale: int) -> None:
    rounded = to_scale(value, scale)
    assert to_scale(rounded, scale) == rounded
    assert not has_more_decimals(rounded, scale)
    assert has_more_decimals(value, scale) == (Fraction(value) != Fraction(rounded))


@given(VALUES, SCALES)
def test_text_is_fixed_point_and_reads_back(value: Decimal, scale: int) -> None:
    text = format_amount(value, scale)
    assert "e" not in text.lower()
    assert len(text.partition(".")[2]) == scale
    assert Fraction(text) == half_away_from_zero(Fraction(value), scale)
    assert not (text.startswith("-") and Fraction(text) == 0)
    assert Decimal(format_plain(Decimal(text))) == Decimal(text)


@pytest.mark.parametrize("text", ["0.01", "1", "007.50", "99999999999999999999", "12345678901234567890.123456789012345678"])
def test_decimal_strings_are_amounts(text: str) -> None:
    assert Fraction(parse_amount(text)) == Fraction(text)
    assert Fraction(parse_signed(f"-{text}")) == -Fraction(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *[
            (text, "invalid")
            for text in ("", " 1", "1 ", "+1", "1e3", "1.", ".5", "0x1", "NaN", "Infinity", "1,5", "١", "-1", 1, 1.5, None)
        ],
        *[(text, "out_of_range") for text in ("0", "0.00", "100000000000000000000", "12345678901234567890.1234567890123456789")],
    ],
)
def test_anything_else_is_refused_with_its_reason(text: object, reason: str) -> None:
    with pytest.raises(AmountError) as refused:
        parse_amount(text)
    assert refused.value.reason == reason
