"""MEXC's push messages, protobuf, and the REST book. Pure.

Source: EXCHANGES.md §10: the wrapper (1 channel, 3 symbol, 5 createTime, 6 sendTime, 313 depths, 314 deals), versions
as texts, a side without changes absent; prices and sizes without zeros at their end, as in the values of 2026.
"""

import json
from functools import lru_cache
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

from simulator import protobuf
from simulator.market import Depth, Listing, Trade
from simulator.recording import Row
from simulator.window import Cut, Told
from simulator.wire import Book, Frame, Levels, SentTrade, Wire, decimal

DEPTH, DEALS = "spot@public.aggre.depth.v3.api.pb@100ms", "spot@public.aggre.deals.v3.api.pb@100ms"
CHANNELS = {DEPTH: "depth", DEALS: "trade"}
SIZE_PLACES = 8
BUY, SELL = 1, 2
LISTINGS = {
    "BTCUSDT": Listing(price_decimals=2, levels=5_400),
    "ETHUSDT": Listing(price_decimals=2, levels=1_600),
}
LISTING_ELSE = Listing(price_decimals=4, levels=1_200)


class MexcWire(Wire):
    """ids: give trades an id, as since June 2026."""

    name: ClassVar[str] = "mexc"
    takes_bytes: ClassVar[bool] = True

    def __init__(self, *, ids: bool = True) -> None:
        self._has_ids = ids

    def listing(self, symbol: str) -> Listing:
        return LISTINGS.get(symbol, LISTING_ELSE)

    def depth_frames(self, event: Depth, cuts: dict[int, Cut], told: Told, offset_us: int) -> list[Frame]:
        bids, asks = (self.levels(event.symbol, list(side)) for side in (event.bids, event.asks))
        body = b"".join(
            [
                *[protobuf.text(1, _level(level)) for level in asks],
                *[protobuf.text(2, _level(level)) for level in bids],
                protobuf.text(3, DEPTH),
                protobuf.text(4, str(event.first_id)),
                protobuf.text(5, str(event.last_id)),
            ]
        )
        message = pushed(
            f"{DEPTH}@{event.symbol}", event.symbol, 313, body, (event.time_us + offset_us) // 1000
        )
        stream = f"{DEPTH}@{event.symbol}"
        return [Frame(event.symbol, "depth", stream, message, event.first_id, event.last_id, bids, asks)]

    def trade(self, event: Trade, offset_us: int) -> Frame:
        time_ms = (event.time_us + offset_us) // 1000
        price = _text(event.price, self.listing(event.symbol).price_decimals)
        size = _text(event.size, SIZE_PLACES)
        trade_id = f"{event.id}X0_{event.id + 1}X0" if self._has_ids else ""
        deal = protobuf.text(1, price) + protobuf.text(2, size)
        deal += protobuf.number(3, SELL if event.taker_sells else BUY) + protobuf.number(4, time_ms)
        deal += protobuf.text(5, trade_id) if trade_id else b""
        body = protobuf.text(1, deal) + protobuf.text(2, DEALS)
        stream = f"{DEALS}@{event.symbol}"
        sent = SentTrade(trade_id, price, size, "sell" if event.taker_sells else "buy", time_ms)
        return Frame(
            event.symbol, "trade", stream, pushed(stream, event.symbol, 314, body, time_ms), trade=sent
        )

    def streams(self, symbol: str) -> frozenset[str]:
        return frozenset(f"{channel}@{symbol}" for channel in CHANNELS)

    def levels(self, symbol: str, pairs: list[tuple[int, int]]) -> Levels:
        places = self.listing(symbol).price_decimals
        return tuple([(_text(price, places), _text(size, SIZE_PLACES)) for price, size in pairs])

    def stream_of(self, text: str | bytes) -> str | None:
        """The channel; a recording's @10ms is another one than our @100ms."""
        if isinstance(text, str):
            return None
        try:
            channel = str(_one(text, 1), "utf-8")
        except ValueError:
            return None
        return channel if channel.rpartition("@")[0] in CHANNELS else None

    def frame_of(self, text: str | bytes) -> Frame:
        stream = self.stream_of(text)
        assert stream is not None, "stream_of comes first"
        assert isinstance(text, bytes)
        channel, _, symbol = stream.rpartition("@")
        try:
            return _depth(symbol, stream, text) if channel == DEPTH else _deals(symbol, stream, text)
        except (ValueError, KeyError):
            # A recording may hold a frame that was broken when it came; it is played as it was.
            return Frame(symbol, CHANNELS[channel], stream, text)

    def book_of(self, row: Row, symbol: str | None) -> Book | None:
        try:
            body = json.loads(row.text)
            sequence, sides = int(body["lastUpdateId"]), (_pairs(body["bids"]), _pairs(body["asks"]))
        except (ValueError, KeyError, TypeError):
            return None
        asked = parse_qs(urlsplit(row.url or "").query).get("symbol", [None])[0]
        owner = row.symbol or asked or symbol
        return None if owner is None else Book(owner, sequence, *sides, text=str(row.text))


def pushed(channel: str, symbol: str, field: int, body: bytes, time_ms: int) -> bytes:
    """The wrapper around a body."""
    head = protobuf.text(1, channel) + protobuf.text(3, symbol)
    return head + protobuf.number(5, time_ms) + protobuf.number(6, time_ms + 1) + protobuf.text(field, body)


def book_body(book: Book, limit: int, now_us: int) -> str:
    """The answer of `/api/v3/depth`: the recorded body itself while nothing of it is cut."""
    if book.text and limit >= max(len(book.bids), len(book.asks)):
        return book.text
    body = {"lastUpdateId": book.sequence, "bids": book.bids[:limit], "asks": book.asks[:limit]}
    return json.dumps(body | {"timestamp": now_us // 1000}, separators=(",", ":"))


# Whole books are written again and again: the same prices and sizes, for the most part.
@lru_cache(maxsize=1 << 16)
def _text(number: int, places: int) -> str:
    return decimal(number, places).rstrip("0").rstrip(".")


def _level(level: tuple[str, str]) -> bytes:
    return protobuf.text(1, level[0]) + protobuf.text(2, level[1])


def _one(message: bytes, wanted: int) -> bytes:
    """The bytes of a field. ValueError if it is not there."""
    for field, value in protobuf.fields(message):
        if field == wanted and isinstance(value, bytes):
            return value
    raise ValueError(f"no field {wanted}")


def _levels(body: bytes, wanted: int) -> Levels:
    found = [value for field, value in protobuf.fields(body) if field == wanted and isinstance(value, bytes)]
    return tuple((_one(level, 1).decode(), _one(level, 2).decode()) for level in found)


def _depth(symbol: str, stream: str, message: bytes) -> Frame:
    body = _one(message, 313)
    numbers = int(_one(body, 4)), int(_one(body, 5))
    return Frame(symbol, "depth", stream, message, *numbers, _levels(body, 2), _levels(body, 1))


def _deals(symbol: str, stream: str, message: bytes) -> Frame:
    rows = [value for field, value in protobuf.fields(_one(message, 314)) if field == 1]
    first, *others = [_sent(dict(protobuf.fields(row))) for row in rows if isinstance(row, bytes)]
    return Frame(symbol, "trade", stream, message, trade=first, more_trades=tuple(others))


def _sent(deal: dict[int, int | bytes]) -> SentTrade:
    price, size, trade_id = (str(deal.get(field, b""), "utf-8") for field in (1, 2, 5))  # type: ignore[arg-type]
    return SentTrade(trade_id, price, size, {BUY: "buy", SELL: "sell"}[int(deal[3])], int(deal[4]))


def _pairs(rows: list[list[str]]) -> Levels:
    return tuple((price, size) for price, size in rows)
