"""Kraken's WebSocket v2 as text: book and trade. Pure.

Source: EXCHANGES.md §3 and the exchange's pages "book", "trade", "book-checksum-v2". Prices and quantities are JSON
numbers with all their decimals, as on its wire: the checksum is made of these digits.
"""

import json
import re
import zlib
from collections.abc import Iterable
from typing import Any, ClassVar

from simulator.market import Depth, Listing, Trade
from simulator.recording import Row
from simulator.stamps import Stamps, ms_of
from simulator.window import Cut, Told
from simulator.wire import Book, Frame, Levels, SentTrade, Wire, decimal, joined, spaced

DEPTHS = (10, 25, 100, 500, 1000)
CHECKED = 10
SIZE_PLACES = 8
# More levels than the widest window holds, so that levels leave and enter it all the time.
LISTINGS = {"BTCUSDT": Listing(price_decimals=1, levels=1_500), "ETHUSDT": Listing(2, 1_300)}
LISTING_ELSE = Listing(price_decimals=3, levels=1_200)
TRADE_HEAD = '{"channel":"trade","type":"update","data":['
TRADE_TAIL = "]}"
CHECKSUM = re.compile(r'"checksum":(\d+)')


class KrakenWire(Wire):
    """A seeded market fills a book stream for each depth, and the trades."""

    name: ClassVar[str] = "kraken"
    depths: ClassVar[tuple[int, ...]] = DEPTHS
    has_checksums = True

    def __init__(self) -> None:
        self._stamp = Stamps()
        # Decimals that prices are written with beside those of the market's ticks.
        self.finer: dict[str, int] = {}
        self._names: dict[str, str] = {}

    def listing(self, symbol: str) -> Listing:
        return LISTINGS.get(symbol, LISTING_ELSE)

    def depth_frames(self, event: Depth, cuts: dict[int, Cut], told: Told, offset_us: int) -> list[Frame]:
        symbol, time = event.symbol, self._stamp(event.time_us + offset_us)
        best = told.book(CHECKED)
        crc = checksum(self.levels(symbol, best.bids), self.levels(symbol, best.asks))
        frames = []
        for depth, cut in cuts.items():
            sides = self._written(symbol, cut.bids), self._written(symbol, cut.asks)
            text = book_text(self.pair(symbol), "update", *sides, crc, time)
            stream = book_stream(depth, self.pair(symbol))
            frames.append(Frame(symbol, "depth", stream, text, event.first_id, event.last_id, *sides))
        return frames

    def trade(self, event: Trade, offset_us: int) -> Frame:
        pair, time_us = self.pair(event.symbol), event.time_us + offset_us
        price = self._price(event.symbol, event.price)
        size = decimal(event.size, SIZE_PLACES)
        taker = "sell" if event.taker_sells else "buy"
        text = (
            f'{TRADE_HEAD}{{"symbol":"{pair}","side":"{taker}","price":{price},"qty":{size},'
            f'"ord_type":"{"limit" if event.id % 3 else "market"}","trade_id":{event.id},'
            f'"timestamp":"{self._stamp(time_us)}"}}{TRADE_TAIL}'
        )
        sent = SentTrade(str(event.id), price, size, taker, time_us // 1000)
        return Frame(event.symbol, "trade", trade_stream(pair), text, trade=sent)

    def streams(self, symbol: str) -> frozenset[str]:
        pair = self.pair(symbol)
        return frozenset({trade_stream(pair), *(book_stream(depth, pair) for depth in DEPTHS)})

    def levels(self, symbol: str, pairs: list[tuple[int, int]]) -> Levels:
        return self._written(symbol, pairs)

    def pair(self, symbol: str) -> str:
        """`BTC/USDT`."""
        if symbol not in self._names:
            self._names[symbol] = spaced(symbol, "/")
        return self._names[symbol]

    def wrong_checksum(self, text: str) -> str | None:
        """Another number where one is told."""
        found = CHECKSUM.search(text)
        if found is None:
            return None
        return f"{text[: found.start(1)]}{int(found[1]) ^ 1}{text[found.end(1) :]}"

    def stream_of(self, text: str) -> str | None:
        """A recording does not say which depth was asked for: it plays on the widest."""
        try:
            data = json.loads(text)
            pair = data["data"][0]["symbol"]
            return {"book": book_stream(DEPTHS[-1], pair), "trade": trade_stream(pair)}.get(data["channel"])
        except (ValueError, KeyError, TypeError, IndexError):
            return None

    def frame_of(self, text: str) -> Frame:
        stream = self.stream_of(text)
        assert stream is not None, "stream_of comes first"
        # Numbers stay the text they are: as floats they would lose digits.
        whole = json.loads(text, parse_float=str, parse_int=str)
        symbol = joined(stream.partition(":")[2], "/")
        try:
            if whole["channel"] == "book":
                sides = _levels(whole["data"][0]["bids"]), _levels(whole["data"][0]["asks"])
                return Frame(
                    symbol, "depth", stream, text, 0, 0, *sides, is_snapshot=whole["type"] == "snapshot"
                )
            first, *others = map(_sent, whole["data"])
        except (ValueError, KeyError, TypeError):
            # A recording may hold a frame that was broken when it came; it is played as it was.
            return Frame(symbol, whole["channel"], stream, text)
        return Frame(symbol, "trade", stream, text, trade=first, more_trades=tuple(others))

    def book_of(self, row: Row, symbol: str | None) -> Book | None:
        """Books come over the socket."""
        return None

    def _written(self, symbol: str, pairs: Iterable[tuple[int, int]]) -> Levels:
        places, factor = self.places(symbol), 10 ** self.finer.get(symbol, 0)
        return tuple([(decimal(price * factor, places), decimal(size, SIZE_PLACES)) for price, size in pairs])

    def places(self, symbol: str) -> int:
        """Decimals of its prices at present."""
        return self.listing(symbol).price_decimals + self.finer.get(symbol, 0)

    def _price(self, symbol: str, ticks: int) -> str:
        return decimal(ticks * 10 ** self.finer.get(symbol, 0), self.places(symbol))


def book_stream(depth: int, pair: str) -> str:
    """The simulator's name for a pair's book of one depth."""
    return f"book@{depth}:{pair}"


def trade_stream(pair: str) -> str:
    """The simulator's name for a pair's trades."""
    return f"trade:{pair}"


def checksum(bids: Levels, asks: Levels) -> int:
    """CRC32 over the digits of the ten best asks, then bids: price then quantity, no point, no leading zeros."""
    rows = (*asks[:CHECKED], *bids[:CHECKED])
    digits = "".join(number.replace(".", "").lstrip("0") for row in rows for number in row)
    return zlib.crc32(digits.encode())


def book_text(pair: str, kind: str, bids: Levels, asks: Levels, crc: int, time: str) -> str:
    """kind: `snapshot` or `update`."""
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{pair}","bids":[{_rows(bids)}],'
        f'"asks":[{_rows(asks)}],"checksum":{crc},"timestamp":"{time}"}}]}}'
    )


def _rows(levels: Levels) -> str:
    return ",".join([f'{{"price":{price},"qty":{size}}}' for price, size in levels])


def _levels(rows: list[dict[str, str]]) -> Levels:
    return tuple((row["price"], row["qty"]) for row in rows)


def _sent(trade: dict[str, Any]) -> SentTrade:
    time_ms = ms_of(trade["timestamp"])
    return SentTrade(trade["trade_id"], trade["price"], trade["qty"], trade["side"], time_ms)
