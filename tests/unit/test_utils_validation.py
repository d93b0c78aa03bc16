"""Checks of values and of the quality of a book."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from COBY.models import OrderBookSnapshot, PriceLevel
from COBY.settings import table
from COBY.utils.exceptions import ValidationError
from COBY.utils.validation import (
    quality_of,
    validate_price,
    validate_settings,
    validate_size,
    validate_symbol,
)


def book(bids: list[float], asks: list[float]) -> OrderBookSnapshot:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    sides = [[PriceLevel(price, 1.0) for price in side] for side in (bids, asks)]
    return OrderBookSnapshot("BTCUSDT", "binance", moment, *sides)


@pytest.mark.parametrize("symbol", ["BTCUSDT", "BTCUSD", "1INCHUSDT", "ABCDE", "A" * 20])
def test_a_symbol_is_taken(symbol):
    assert validate_symbol(symbol) == symbol


@pytest.mark.parametrize(
    "symbol", ["", "ABCD", "A" * 21, "btcusdt", "BTC-USDT", "BTCUSDT\n", "ВТСUSDT", None, 12345]
)
def test_another_symbol_is_refused(symbol):
    with pytest.raises(ValidationError, match=r"value\.symbol"):
        validate_symbol(symbol)


@pytest.mark.parametrize("price", [1e-8, 1, 50_000.5, 999_999_999_999.0])
def test_a_price_is_taken(price):
    assert validate_price(price) == price


@pytest.mark.parametrize("price", [0, -1.0, math.nan, math.inf, 1e12, "1", None, True])
def test_another_price_is_refused(price):
    with pytest.raises(ValidationError, match=r"value\.price"):
        validate_price(price)


@pytest.mark.parametrize("size", [0, 0.0, 1e-8, 1e21])
def test_a_size_is_taken(size):
    assert validate_size(size) == size


@pytest.mark.parametrize("size", [-1e-8, math.nan, -math.inf, 1e22, "1", None, False])
def test_another_size_is_refused(size):
    with pytest.raises(ValidationError, match=r"value\.size"):
        validate_size(size)


def test_settings_are_validated_without_an_environment():
    values, problems = validate_settings(
        table().values(), {"DB_PORT": "6000", "DB_SSLMODE": "x", "OTHER": "1"}
    )
    assert values == {"DB_PORT": 6000}
    assert [problem.where for problem in problems] == ["DB_SSLMODE"]


def test_a_good_deep_book_has_quality_one():
    score, parts = quality_of(book([100.0 - i for i in range(20)], [101.0 + i for i in range(25)]))
    assert score == 1.0
    assert set(parts.values()) == {1.0}


def test_an_empty_book_has_quality_zero():
    score, parts = quality_of(book([], []))
    assert score == 0.0
    assert set(parts.values()) == {0.0}


@pytest.mark.parametrize(
    ("bids", "asks", "score"),
    [
        # By hand: 0.4 two_sided + 0.3 not_crossed + 0.2 sorted + 0.1 depth
        ([100.0], [], 0.4 * 0.5 + 0 + 0.2 + 0),
        ([100.0], [101.0], 0.4 + 0.3 + 0.2 + 0.1 / 20),
        ([101.0], [100.0], 0.4 + 0 + 0.2 + 0.1 / 20),
        ([100.0], [100.0], 0.4 + 0 + 0.2 + 0.1 / 20),
        ([99.0, 100.0], [101.0, 102.0], 0.4 + 0.3 + 0.2 * 0.5 + 0.1 * 2 / 20),
        ([99.0, 100.0], [102.0, 101.0], 0.4 + 0.3 + 0 + 0.1 * 2 / 20),
        ([100.0, 100.0], [101.0, 101.5, 101.2], 0.4 + 0.3 + 0.2 / 3 + 0.1 * 2 / 20),
        ([99.0, 102.0], [101.0], 0.4 + 0 + 0 + 0.1 / 20),
    ],
)
def test_the_score_follows_its_formula(bids, asks, score):
    assert quality_of(book(bids, asks))[0] == pytest.approx(score, abs=1e-12)


@given(st.lists(st.floats(0.01, 1e6), max_size=30), st.lists(st.floats(0.01, 1e6), max_size=30))
def test_the_score_and_its_parts_stay_between_zero_and_one(bids, asks):
    score, parts = quality_of(book(bids, asks))
    assert 0 <= score <= 1
    assert list(parts) == ["two_sided", "not_crossed", "sorted", "depth"]
    assert all(0 <= part <= 1 for part in parts.values())
