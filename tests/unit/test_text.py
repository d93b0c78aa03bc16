from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from COBY.text import PRICES, SIZES, NumberError, decimal_text, divide, is_zero

DECIMALS = st.decimals(min_value="0.0000000001", max_value="999999999999", places=10)


@given(DECIMALS)
def test_units_are_the_decimal_rounded_half_even_to_the_8th_place(value):
    expected = int((value * 10**8).to_integral_value(ROUND_HALF_EVEN))
    assert SIZES[f"{value:f}"] == expected


@pytest.mark.parametrize(
    ("text", "units"),
    [("1", 10**8), ("0.00000001", 1), ("5.33E-4", 53300), ("0.000000005", 0), ("0.000000015", 2), ("0", 0)],
)
def test_texts_as_exchanges_write_them_are_units(text, units):
    assert SIZES[text] == units


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "+1",
        "nan",
        "NaN",
        "inf",
        "1e400",
        "1e22",
        "1.",
        ".5",
        "1_000",
        " 1",
        "0x1",
        "١",
        "1" * 70,
        "1.2.3",
    ],
)
def test_what_is_no_number_is_refused(text):
    with pytest.raises(NumberError, match="allowed"):
        SIZES[text]


@pytest.mark.parametrize("text", ["0", "0.00000000", "0.000000001", "1000000000000"])
def test_a_price_must_be_positive_and_fit_the_schema(text):
    with pytest.raises(NumberError):
        PRICES[text]


@pytest.mark.parametrize(
    ("text", "zero"), [("0", True), ("0.000", True), ("0E-8", True), ("0.001", False), ("1e0", False)]
)
def test_zero_is_told_from_what_only_rounds_to_it(text, zero):
    assert is_zero(text) is zero


@given(st.integers(-(10**18), 10**18))
def test_decimal_text_gives_the_same_number_back(units):
    assert Decimal(decimal_text(units)) * 10**8 == units


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**9))
def test_divide_rounds_half_even(numerator, denominator):
    exact = Decimal(numerator) / Decimal(denominator)
    assert divide(numerator, denominator) == int(exact.to_integral_value(ROUND_HALF_EVEN))
