"""Which symbols of an exchange are served together, under the settings: the same answer for producers and normalize."""

from __future__ import annotations

from typing import TYPE_CHECKING

from COBY.exchanges import load
from COBY.exchanges.base import Slot, slots
from COBY.utils.exceptions import ConfigurationError

if TYPE_CHECKING:  # settings are passed in: a pure file never reads them by itself
    from COBY.config import Config

NOT_LISTED = "-"
"""The value of ``<EXCHANGE>_SYMBOL_<SYMBOL>`` that says so."""


def slots_of(config: Config, name: str) -> list[Slot]:
    """The slots of the exchange ``name`` for the configured symbols."""
    exchange = load(name)

    def exchange_symbol(symbol: str) -> str | None:
        own = config.exchange_symbol(name, symbol)
        return None if own == NOT_LISTED else own or exchange.exchange_symbol(symbol)

    named = {symbol: exchange_symbol(symbol) for symbol in config.symbols}
    listed = [one for one in named.values() if one is not None]
    for one in listed:
        if listed.count(one) > 1:
            same = ", ".join(symbol for symbol, other in named.items() if other == one)
            raise ConfigurationError(
                "config.same_symbol",
                f"{same} are all {one} there",
                where=name,
                allowed="a name for one symbol",
            )
    found = slots(exchange, named, config.max_connections_per_exchange)
    if any(_size(slot) > exchange.symbols_per_slot for slot in found):
        sockets = -(-len(named) // exchange.symbols_per_slot) * exchange.limits.sockets
        raise ConfigurationError(
            "config.too_many_symbols",
            f"{len(listed)} symbols on {config.max_connections_per_exchange} sockets",
            where=name,
            allowed=f"{exchange.symbols_per_slot} a connection: MAX_CONNECTIONS_PER_EXCHANGE from {sockets} on",
        )
    return found


def _size(slot: Slot) -> int:
    """How many of its symbols are subscribed."""
    return sum(not name.startswith("!") for name in slot.symbols)
