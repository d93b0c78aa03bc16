"""The exchanges that the reference can read, by name (exchange.py says what a file offers)."""

from types import ModuleType

from tests.reference import binance, bitfinex, bybit, coinbase, gateio, huobi, kraken, kucoin, mexc, okx

EXCHANGES: dict[str, ModuleType] = {
    "binance": binance,
    "bitfinex": bitfinex,
    "bybit": bybit,
    "coinbase": coinbase,
    "gateio": gateio,
    "huobi": huobi,
    "kraken": kraken,
    "kucoin": kucoin,
    "mexc": mexc,
    "okx": okx,
}
