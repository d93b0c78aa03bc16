"""Binance spot's REST on localhost: depth, exchangeInfo, time, ping; weights and errors as documented.

Source: the exchange's pages "REST API" and "Errors"; weights of depth 5 / 25 / 50 / 250.
"""

import re
import time
from typing import Any

from aiohttp import web

from simulator.exchanges.binance_wire import book_body
from simulator.hub import Hub, now_ms
from simulator.sources import Source

LIMIT_DEFAULT, LIMIT_MAX = 100, 5000
WEIGHTS = ((100, 5), (500, 25), (1000, 50), (LIMIT_MAX, 250))
WEIGHT_MAX = 6000
SYMBOL = re.compile(r"[A-Z0-9._-]{1,50}")
NUMBER = re.compile(r"[0-9]{1,20}")
QUOTES = ("USDT", "USDC", "USD", "EUR", "BTC", "ETH")


class RestError(Exception):
    """An answer with a status of 4xx or 5xx and the exchange's own code."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.body = status, {"code": code, "msg": message}


class BinanceRest:
    """Every answer carries the weight used in the running minute."""

    def __init__(self, hub: Hub, source: Source) -> None:
        self._hub, self._source = hub, source
        self._minute, self._weight = 0, 0

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/v3/depth", self._depth),
            web.get("/api/v3/exchangeInfo", self._info),
            web.get("/api/v3/time", self._time),
            web.get("/api/v3/ping", self._ping),
        ]

    async def _depth(self, request: web.Request) -> web.Response:
        symbol = None
        try:
            limit = _limit(request.query.get("limit", str(LIMIT_DEFAULT)))
            self._use(next(weight for most, weight in WEIGHTS if limit <= most))
            symbol = self._symbol(request.query.get("symbol", ""))
            book = self._source.snapshot(symbol)
            if book is None:
                raise RestError(503, -1000, "The recording holds no book of this symbol.")
            text = book_body(book, limit)
        except RestError as error:
            return self._answer("depth", error.body, status=error.status)
        # A recording may be waiting for someone to fetch this.
        self._hub.changed.set()
        return self._answer("depth", text, symbol=symbol)

    async def _info(self, request: web.Request) -> web.Response:
        try:
            self._use(20)
            asked = request.query.get("symbol")
            symbols = self._source.symbols if asked is None else (self._symbol(asked),)
        except RestError as error:
            return self._answer("exchangeInfo", error.body, status=error.status)
        return self._answer("exchangeInfo", _exchange_info(symbols))

    async def _time(self, request: web.Request) -> web.Response:
        return self._plain("time", {"serverTime": now_ms()})

    async def _ping(self, request: web.Request) -> web.Response:
        return self._plain("ping", {})

    def _plain(self, name: str, body: dict[str, Any]) -> web.Response:
        try:
            self._use(1)
        except RestError as error:
            return self._answer(name, error.body, status=error.status)
        return self._answer(name, body)

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

    def _use(self, weight: int) -> None:
        minute = int(time.time() // 60)
        if minute != self._minute:
            self._minute, self._weight = minute, 0
        self._weight += weight
        if self._weight > WEIGHT_MAX:
            message = (
                f"Too much request weight used; current limit is {WEIGHT_MAX} request weight per 1 MINUTE."
            )
            raise RestError(429, -1003, message)

    def _answer(
        self, name: str, body: str | dict[str, Any], *, status: int = 200, symbol: str | None = None
    ) -> web.Response:
        self._hub.ledger.answer(name, status, symbol)
        headers = {"X-MBX-USED-WEIGHT": str(self._weight), "X-MBX-USED-WEIGHT-1M": str(self._weight)}
        if status == 429:
            headers["Retry-After"] = str(60 - int(time.time()) % 60)
        if isinstance(body, str):
            return web.Response(text=body, status=status, headers=headers, content_type="application/json")
        return web.json_response(body, status=status, headers=headers)


def _limit(text: str) -> int:
    """1 to 5000; more is cut to 5000, as the exchange does."""
    if NUMBER.fullmatch(text) is None:
        message = "Illegal characters found in parameter 'limit'; legal range is '^[0-9]{1,20}$'."
        raise RestError(400, -1100, message)
    if int(text) == 0:
        raise RestError(400, -1130, "Data sent for parameter 'limit' is not valid.")
    return min(int(text), LIMIT_MAX)


def _exchange_info(symbols: tuple[str, ...]) -> dict[str, Any]:
    minute = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": WEIGHT_MAX}
    return {
        "timezone": "UTC",
        "serverTime": now_ms(),
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
