"""Binance spot's REST on localhost: depth, exchangeInfo, time, ping; weights and errors as documented.

Source: the exchange's pages "REST API" and "Errors"; weights of depth 5 / 25 / 50 / 250.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from simulator.exchanges.binance_wire import book_body
from simulator.sources import Source
from simulator.venue import Answer

LIMIT_DEFAULT, LIMIT_MAX = 100, 5000
WEIGHTS = ((100, 5), (500, 25), (1000, 50), (LIMIT_MAX, 250))
WEIGHT_MAX = 6000
MINUTE_US = 60_000_000
SYMBOL = re.compile(r"[A-Z0-9._-]{1,50}")
NUMBER = re.compile(r"[0-9]{1,20}")
QUOTES = ("USDT", "USDC", "USD", "EUR", "BTC", "ETH")

Route = Callable[[Mapping[str, str], int], tuple[str, str | None]]
"""(query, now_us) -> (body, the symbol whose book it is)."""


class RestError(Exception):
    """An answer with a status of 4xx or 5xx and the exchange's own code."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.body = status, compact({"code": code, "msg": message})


class BinanceRest:
    """Every answer carries the weight used in the running minute of the driver's clock."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._minute, self._weight = 0, 0
        self._routes: dict[str, Route] = {
            "/api/v3/depth": self._depth,
            "/api/v3/exchangeInfo": self._info,
            "/api/v3/time": self._time,
            "/api/v3/ping": self._ping,
        }

    def answer(self, path: str, query: Mapping[str, str], now_us: int) -> Answer:
        """A GET of `path` at `now_us`; 404 where nothing is."""
        if path not in self._routes:
            return Answer(404, "Not Found", content_type="text/plain")
        try:
            body, symbol = self._routes[path](query, now_us)
        except RestError as error:
            return Answer(error.status, error.body, self._headers(error.status, now_us))
        return Answer(200, body, self._headers(200, now_us), symbol=symbol)

    def _depth(self, query: Mapping[str, str], now_us: int) -> tuple[str, str]:
        limit = _limit(query.get("limit", str(LIMIT_DEFAULT)))
        self._use(next(weight for most, weight in WEIGHTS if limit <= most), now_us)
        symbol = self._symbol(query.get("symbol", ""))
        book = self._source.snapshot(symbol)
        if book is None:
            raise RestError(503, -1000, "The recording holds no book of this symbol.")
        return book_body(book, limit), symbol

    def _info(self, query: Mapping[str, str], now_us: int) -> tuple[str, None]:
        self._use(20, now_us)
        asked = query.get("symbol")
        symbols = self._source.symbols if asked is None else (self._symbol(asked),)
        return compact(_exchange_info(symbols, now_us)), None

    def _time(self, query: Mapping[str, str], now_us: int) -> tuple[str, None]:
        self._use(1, now_us)
        return compact({"serverTime": now_us // 1000}), None

    def _ping(self, query: Mapping[str, str], now_us: int) -> tuple[str, None]:
        self._use(1, now_us)
        return "{}", None

    def _symbol(self, symbol: str) -> str:
        if not symbol:
            message = "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."
            raise RestError(400, -1102, message)
        if SYMBOL.fullmatch(symbol) is None:
            message = "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,50}$'."
            raise RestError(400, -1100, message)
        if symbol not in self._source.symbols:
            raise RestError(400, -1121, "Invalid symbol.")
        return symbol

    def _use(self, weight: int, now_us: int) -> None:
        minute = now_us // MINUTE_US
        if minute != self._minute:
            self._minute, self._weight = minute, 0
        self._weight += weight
        if self._weight > WEIGHT_MAX:
            message = (
                f"Too much request weight used; current limit is {WEIGHT_MAX} request weight per 1 MINUTE."
            )
            raise RestError(429, -1003, message)

    def _headers(self, status: int, now_us: int) -> dict[str, str]:
        headers = {"X-MBX-USED-WEIGHT": str(self._weight), "X-MBX-USED-WEIGHT-1M": str(self._weight)}
        if status == 429:
            headers["Retry-After"] = str(60 - now_us % MINUTE_US // 1_000_000)
        return headers


def compact(value: Any) -> str:
    """JSON without spaces, as the exchange writes it."""
    return json.dumps(value, separators=(",", ":"))


def _limit(text: str) -> int:
    """1 to 5000; more is cut to 5000, as the exchange does."""
    if NUMBER.fullmatch(text) is None:
        message = "Illegal characters found in parameter 'limit'; legal range is '^[0-9]{1,20}$'."
        raise RestError(400, -1100, message)
    if int(text) == 0:
        raise RestError(400, -1130, "Data sent for parameter 'limit' is not valid.")
    return min(int(text), LIMIT_MAX)


def _exchange_info(symbols: tuple[str, ...], now_us: int) -> dict[str, Any]:
    minute = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": WEIGHT_MAX}
    return {
        "timezone": "UTC",
        "serverTime": now_us // 1000,
        "rateLimits": [minute],
        "exchangeFilters": [],
        "symbols": [_listing(symbol) for symbol in symbols],
    }


def _listing(symbol: str) -> dict[str, Any]:
    quote = next((name for name in QUOTES if symbol.endswith(name) and symbol != name), symbol[-4:])
    price = {"filterType": "PRICE_FILTER", "minPrice": "0.01000000", "maxPrice": "1000000.00000000"}
    size = {"filterType": "LOT_SIZE", "minQty": "0.00001000", "maxQty": "9000.00000000"}
    return {
        "symbol": symbol,
        "status": "TRADING",
        "baseAsset": symbol.removesuffix(quote),
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "isSpotTradingAllowed": True,
        "filters": [{**price, "tickSize": "0.01000000"}, {**size, "stepSize": "0.00001000"}],
        "permissions": [],
        "permissionSets": [["SPOT"]],
    }
