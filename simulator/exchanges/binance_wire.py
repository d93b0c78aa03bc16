"""Binance spot as text: depthUpdate, trade, bookTicker, the REST book. Pure.

Source: the exchange's own page "WebSocket Streams"; shapes as seen in its captures (sizes and prices with 8
decimals, no spaces, `b`/`a` order ids gone from trades).
"""

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from simulator.market import Depth, Listing, Trade
from simulator.recording import Row
from simulator.window import Cut, Told
from simulator.wire import Book, Frame, Levels, SentTrade, Wire

STREAMS = {"depthUpdate": "depth@100ms", "trade": "trade"}
# Levels a side of the seeded books. The first has more than a REST answer may hold (5,000), so that a book cut by
# its snapshot is the normal case.
LEVELS = {"BTCUSDT": 5_600, "ETHUSDT": 1_800}
LEVELS_ELSE = 3_000
WRAPPER, SEAM = '{"stream":"', '","data":'


class BinanceWire(Wire):
    """Prices are ticks of 0.01; a seeded market fills `@depth@100ms`, `@trade` and `@bookTicker`."""

    name: ClassVar[str] = "binance"

    def listing(self, symbol: str) -> Listing:
        return Listing(price_decimals=2, levels=LEVELS.get(symbol, LEVELS_ELSE))

    def depth_frames(self, event: Depth, cuts: dict[int, Cut], told: Told, offset_us: int) -> list[Frame]:
        return [self.depth(event, offset_us), self.ticker(event.symbol, told)]

    def depth(self, event: Depth, offset_us: int) -> Frame:
        """`@depth@100ms`."""
        bids, asks = _written(event.bids), _written(event.asks)
        text = (
            f'{{"e":"depthUpdate","E":{_ms(event.time_us, offset_us)},"s":"{event.symbol}",'
            f'"U":{event.first_id},"u":{event.last_id},"b":{_json(bids)},"a":{_json(asks)}}}'
        )
        stream = f"{event.symbol.lower()}@depth@100ms"
        return Frame(event.symbol, "depth", stream, text, event.first_id, event.last_id, bids, asks)

    def trade(self, event: Trade, offset_us: int) -> Frame:
        time_ms = _ms(event.time_us, offset_us)
        price, size = _price(event.price), _size(event.size)
        text = (
            f'{{"e":"trade","E":{time_ms},"s":"{event.symbol}","t":{event.id},"p":"{price}","q":"{size}",'
            f'"T":{time_ms},"m":{"true" if event.taker_sells else "false"},"M":true}}'
        )
        sent = SentTrade(str(event.id), price, size, "sell" if event.taker_sells else "buy", time_ms)
        return Frame(event.symbol, "trade", f"{event.symbol.lower()}@trade", text, trade=sent)

    def ticker(self, symbol: str, told: Told) -> Frame:
        """`@bookTicker`: the best prices and sizes after an update."""
        bid, ask = told.bids.best(), told.asks.best()
        text = (
            f'{{"u":{told.sequence},"s":"{symbol}","b":"{_price(bid)}","B":"{_size(told.bids.sizes[bid])}",'
            f'"a":"{_price(ask)}","A":"{_size(told.asks.sizes[ask])}"}}'
        )
        return Frame(symbol, "bookTicker", f"{symbol.lower()}@bookTicker", text)

    def streams(self, symbol: str) -> frozenset[str]:
        return frozenset(f"{symbol.lower()}@{kind}" for kind in ("depth@100ms", "trade", "bookTicker"))

    def levels(self, symbol: str, pairs: list[tuple[int, int]]) -> Levels:
        return _written(pairs)

    def stream_of(self, text: str) -> str | None:
        if text.startswith(WRAPPER):
            return text[len(WRAPPER) : text.index(SEAM)] if SEAM in text else None
        try:
            return _unwrapped(json.loads(text))[0]
        except ValueError:
            return None

    def frame_of(self, text: str) -> Frame:
        stream = self.stream_of(text)
        assert stream is not None, "stream_of comes first"
        if text.startswith(WRAPPER):
            inner = text[text.index(SEAM) + len(SEAM) : -1]
            return _frame(stream, inner)
        whole = json.loads(text)
        data = _unwrapped(whole)[1]
        return _frame(stream, text if data is whole else _json(data))

    def book_of(self, row: Row, symbol: str | None) -> Book | None:
        try:
            body = json.loads(row.as_text)
            sequence, sides = int(body["lastUpdateId"]), (_levels(body["bids"]), _levels(body["asks"]))
        except (ValueError, KeyError, TypeError):
            return None
        asked = parse_qs(urlsplit(row.url or "").query).get("symbol", [None])[0]
        owner = row.symbol or asked or symbol
        return None if owner is None else Book(owner, sequence, *sides, text=row.as_text)


def book_body(book: Book, limit: int) -> str:
    """The answer of `/api/v3/depth`: the recorded body itself while nothing of it is cut."""
    if book.text and limit >= max(len(book.bids), len(book.asks)):
        return book.text
    bids, asks = _json(book.bids[:limit]), _json(book.asks[:limit])
    return f'{{"lastUpdateId":{book.sequence},"bids":{bids},"asks":{asks}}}'


def wrapped(frame: Frame) -> str:
    """As on `/stream`."""
    return f"{WRAPPER}{frame.stream}{SEAM}{frame.as_text}}}"


def _unwrapped(data: Any) -> tuple[str | None, Any]:
    if not isinstance(data, dict):
        return None, data
    if isinstance(data.get("stream"), str) and "data" in data:
        return data["stream"], data["data"]
    symbol, kind = str(data.get("s", "")).lower(), str(data.get("e", ""))
    if kind in STREAMS:
        return f"{symbol}@{STREAMS[kind]}", data
    is_ticker = {"u", "s", "b", "B", "a", "A"} <= data.keys()
    return (f"{symbol}@bookTicker" if is_ticker else None), data


def _frame(stream: str, inner: str) -> Frame:
    symbol, _, kind = stream.partition("@")
    try:
        return _known(stream, inner, json.loads(inner)) or Frame(symbol.upper(), kind, stream, inner)
    except (ValueError, KeyError, TypeError):
        # A recording may hold a frame that was broken when it came; it is played as it was.
        return Frame(symbol.upper(), kind, stream, inner)


def _known(stream: str, inner: str, data: dict[str, Any]) -> Frame | None:
    event = data.get("e")
    if event == "depthUpdate":
        sides = _levels(data["b"]), _levels(data["a"])
        return Frame(data["s"], "depth", stream, inner, data["U"], data["u"], *sides)
    if event == "trade":
        taker = "sell" if data["m"] else "buy"
        trade = SentTrade(str(data["t"]), data["p"], data["q"], taker, data["T"])
        return Frame(data["s"], "trade", stream, inner, trade=trade)
    return None


def _written(pairs: Iterable[tuple[int, int]]) -> Levels:
    return tuple((_price(price), _size(size)) for price, size in pairs)


def _levels(pairs: list[list[str]]) -> Levels:
    return tuple((price, size) for price, size, *_ in pairs)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _ms(time_us: int, offset_us: int) -> int:
    return (time_us + offset_us) // 1000


# Whole books are written again and again: the same prices and sizes, for the most part.
@lru_cache(maxsize=1 << 16)
def _price(ticks: int) -> str:
    return f"{ticks // 100}.{ticks % 100:02d}000000"


@lru_cache(maxsize=1 << 16)
def _size(size: int) -> str:
    return f"{size // 100_000_000}.{size % 100_000_000:08d}"
