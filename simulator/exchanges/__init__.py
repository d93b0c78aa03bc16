"""The exchanges that are simulated, by name."""

from simulator.exchange import Exchange
from simulator.exchanges.binance import BinanceExchange

EXCHANGES: dict[str, type[Exchange]] = {BinanceExchange.name: BinanceExchange}
