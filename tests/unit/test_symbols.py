"""Canonical symbols in their two parts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from COBY.symbols import QUOTES, split
from COBY.utils.exceptions import ConfigurationError

BASES = ["BTC", "ETH", "DOGE", "1INCH", "A", "USDT", "USDC", "USD", "EUR", "WBTC", "STETH", "BUSD"]


@pytest.mark.parametrize(
    ("symbol", "parts"),
    [("BTCUSDT", ("BTC", "USDT")), ("BTCUSD", ("BTC", "USD")), ("ETHBTC", ("ETH", "BTC")),
     ("USDTUSD", ("USDT", "USD")), ("USDCUSDT", ("USDC", "USDT")), ("EURUSD", ("EUR", "USD")),
     ("BUSDUSDT", ("BUSD", "USDT")), ("1INCHEUR", ("1INCH", "EUR")), ("AUSDC", ("A", "USDC"))],
)  # fmt: skip
def test_a_symbol_is_base_and_quote(symbol, parts):
    assert split(symbol) == parts


@given(st.sampled_from(BASES), st.sampled_from(QUOTES))
def test_what_was_joined_is_split_again(base, quote):
    assert split(base + quote) == (base, quote)


def test_no_quote_is_the_end_of_another_so_that_their_order_decides_nothing():
    assert [(one, two) for one in QUOTES for two in QUOTES if one != two and one.endswith(two)] == []


@pytest.mark.parametrize("symbol", ["", "BTC", "USDT", "BTCXYZ", "btcusdt", "BTC-USDT ", "USDTBTCX"])
def test_another_symbol_needs_the_exchanges_own_name_by_a_setting(symbol):
    with pytest.raises(ConfigurationError) as raised:
        split(symbol)
    assert raised.value.code == "config.unknown_quote"
    assert f"<EXCHANGE>_SYMBOL_{symbol}" in str(raised.value)
