from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from COBY.text import (
    PLAIN_PRICES,
    PRICES,
    SIZES,
    NumberError,
    decimal_text,
    divide,
    fixed_prices,
    fixed_sizes,
    is_zero,
    places_of,
)

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


# --- one text for each value ----------------------------------------------------------------------------------

FINITE = st.decimals(min_value="0.00000001", max_value="99999999", places=8)


def spellings(value: Decimal) -> list[str]:
    """The same number as JSON may write it."""
    plain = f"{value:f}"
    short = len(value.as_tuple().digits) <= 9
    return [plain, f"{plain}0", f"{value:.8e}" if short else plain, f"{value:E}"]


@given(FINITE, st.integers(16, 30))
def test_a_value_has_one_text_of_so_many_decimals_however_it_is_spelt(value, places):
    texts = {fixed_prices(places)[text.encode()] for text in spellings(value)}
    assert texts == {f"{value:.{places}f}"}


@given(FINITE)
def test_a_price_has_one_plain_text_however_it_is_spelt(value):
    (text,) = {PLAIN_PRICES[spelling] for spelling in spellings(value)}
    assert Decimal(text) == value
    assert text == f"{value.normalize():f}"


@pytest.mark.parametrize(
    ("number", "places", "text"),
    [(b"63298", 1, "63298.0"), (b"5.1e-05", 8, "0.00005100"), (b"0", 8, "0.00000000"), (b"1E2", 0, "100"),
     (b"1.23456789", 8, "1.23456789"), (b"1.5", 0, "1.5"), (b"1e-9", 8, "0.000000001")],
)  # fmt: skip
def test_numbers_get_so_many_decimals_and_lose_none(number, places, text):
    assert fixed_sizes(places)[number] == text


@pytest.mark.parametrize(
    ("number", "places"),
    [(b"1", 0), (b"1.50", 2), (b"5.1e-05", 6), (b"1E5", 0), (b"1.5e3", 0), (b"0.0", 1), (b"x", 0), (b"\xff", 0),
     (b"", 0), (b"null", 0), (b'"1.5"', 0), (b"1e-400", 400), (b"0." + b"1" * 70, 0)],
)  # fmt: skip
def test_decimals_are_counted_as_they_are_written(number, places):
    assert places_of(number) == places


@pytest.mark.parametrize(
    "number", [b"-1", b'"1"', b"null", b"1e400", b"NaN", b"\xff", b"[1]", b"{}", b"true", b""]
)
def test_what_is_no_number_has_no_text(number):
    for fixed in (fixed_prices(2), fixed_sizes(2)):
        with pytest.raises(NumberError, match="allowed"):
            fixed[number]
        assert number not in fixed
    with pytest.raises(NumberError):
        PLAIN_PRICES[number.decode("ascii", "replace")]


@pytest.mark.parametrize("number", [b"0", b"0.000000001"])
def test_a_size_may_be_nothing_and_a_price_not(number):
    assert Decimal(fixed_sizes(2)[number]) == Decimal(number.decode())
    with pytest.raises(NumberError):
        fixed_prices(2)[number]
