"""The exchanges that the reference can read, by name (exchange.py says what a file offers)."""

from types import ModuleType

from tests.reference import binance, kraken, okx

EXCHANGES: dict[str, ModuleType] = {"binance": binance, "kraken": kraken, "okx": okx}
