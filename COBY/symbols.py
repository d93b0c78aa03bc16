"""Canonical symbols, as BTCUSDT, in their two parts: what an exchange's own name is made of."""

from __future__ import annotations

from COBY.utils.exceptions import ConfigurationError

QUOTES = ("USDT", "USDC", "USD", "EUR", "GBP", "CHF", "CAD", "AUD", "JPY", "DAI", "BTC", "ETH")
"""Quote currencies, of two that fit the longer first."""


def split(symbol: str) -> tuple[str, str]:
    """Base and quote of a canonical symbol. ConfigurationError ``config.unknown_quote``."""
    for quote in QUOTES:
        if symbol.endswith(quote) and len(symbol) > len(quote):
            return symbol[: -len(quote)], quote
    raise ConfigurationError(
        "config.unknown_quote",
        f"no quote currency is known at the end of {symbol!r}",
        allowed=f"… {' '.join(QUOTES)}, or the exchange's own name by <EXCHANGE>_SYMBOL_{symbol}",
    )
