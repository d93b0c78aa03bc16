"""Coinbase Advanced Trade as text: `l2_data` and `market_trades`. Pure.

Source: EXCHANGES.md §2 A and the exchange's page "WebSocket Channels". The envelope's `sequence_num` belongs to the
connection: payloads carry 0 there and `renumbered` puts the connection's own in. Numbers have no zeros at their end, as
in its trades of 2024. Not as on its wire: it batches trades over 250 ms, here each has a message of its own.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, ClassVar

from simulator.market import Depth, Listing, Trade
from simulator.recording import Row
from simulator.stamps import Stamps, ms_of
from simulator.window import Cut, Told
from simulator.wire import Book, Frame, Levels, SentTrade, Wire, decimal, joined, spaced

SIZE_PLACES = 8
# The whole book is sent, so it may be long.
LISTINGS = {"BTCUSDT": Listing(price_decimals=2, levels=2_600), "ETHUSDT": Listing(2, 1_400)}
LISTING_ELSE = Listing(price_decimals=4, levels=900)
SIDES = {"bid": "bids", "offer": "asks"}
# What its documentation shows as the time of a snapshot's levels.
NO_TIME = "1970-01-01T00:00:00Z"
NUMBER = re.compile(r'("sequence_num"\s*:\s*)\d+')


class CoinbaseWire(Wire):
    """A seeded market fills the book and the trades of each product; nothing of the book is cut."""

    name: ClassVar[str] = "coinbase"

    def __init__(self) -> None:
        self._stamp = Stamps()
        self._names: dict[str, str] = {}

    def listing(self, symbol: str) -> Listing:
        return LISTINGS.get(symbol, LISTING_ELSE)

    def depth_frames(self, event: Depth, cuts: dict[int, Cut], told: Told, offset_us: int) -> list[Frame]:
        symbol, name = event.symbol, self.product(event.symbol)
        sides = self._written(symbol, event.bids), self._written(symbol, event.asks)
        time = self._stamp(event.time_us + offset_us)
        text = message("l2_data", time, book_event("update", name, *sides, time))
        return [Frame(symbol, "depth", book_stream(name), text, event.first_id, event.last_id, *sides)]

    def trade(self, event: Trade, offset_us: int) -> Frame:
        name, time_us = self.product(event.symbol), event.time_us + offset_us
        price = _text(event.price, self.listing(event.symbol).price_decimals)
        size, time = _text(event.size, SIZE_PLACES), self._stamp(time_us)
        # The side on the wire is the maker's.
        maker = "BUY" if event.taker_sells else "SELL"
        deal = (
            f'{{"product_id":"{name}","trade_id":"{event.id}","price":"{price}","size":"{size}",'
            f'"time":"{time}","side":"{maker}"}}'
        )
        text = message("market_trades", time, f'{{"type":"update","trades":[{deal}]}}')
        sent = SentTrade(str(event.id), price, size, "sell" if event.taker_sells else "buy", time_us // 1000)
        return Frame(event.symbol, "trade", trade_stream(name), text, trade=sent)

    def streams(self, symbol: str) -> frozenset[str]:
        name = self.product(symbol)
        return frozenset({book_stream(name), trade_stream(name)})

    def levels(self, symbol: str, pairs: list[tuple[int, int]]) -> Levels:
        return self._written(symbol, pairs)

    def product(self, symbol: str) -> str:
        """`BTC-USDT`."""
        if symbol not in self._names:
            self._names[symbol] = spaced(symbol, "-")
        return self._names[symbol]

    def stream_of(self, text: str) -> str | None:
        """Of several products in a message, the first one's."""
        try:
            whole = json.loads(text)
            event = whole["events"][0]
            if whole["channel"] == "l2_data":
                return book_stream(event["product_id"])
            if whole["channel"] == "market_trades":
                return trade_stream(event["trades"][0]["product_id"])
        except (ValueError, KeyError, TypeError, IndexError):
            pass
        return None

    def frame_of(self, text: str) -> Frame:
        stream = self.stream_of(text)
        assert stream is not None, "stream_of comes first"
        channel, _, name = stream.partition(":")
        symbol, (event, *_) = joined(name, "-"), json.loads(text)["events"]
        try:
            if channel == "level2":
                bids, asks = (_levels(event["updates"], side) for side in SIDES)
                is_snapshot = event["type"] == "snapshot"
                return Frame(symbol, "depth", stream, text, 0, 0, bids, asks, is_snapshot=is_snapshot)
            # The newest comes first.
            first, *others = [_sent(deal) for deal in reversed(event["trades"])]
        except (ValueError, KeyError, TypeError):
            # A recording may hold a frame that was broken when it came; it is played as it was.
            return Frame(symbol, "depth" if channel == "level2" else "trade", stream, text)
        return Frame(symbol, "trade", stream, text, trade=first, more_trades=tuple(others))

    def book_of(self, row: Row, symbol: str | None) -> Book | None:
        """Books come over the socket."""
        return None

    def _written(self, symbol: str, pairs: Iterable[tuple[int, int]]) -> Levels:
        places = self.listing(symbol).price_decimals
        return tuple([(_text(price, places), _text(size, SIZE_PLACES)) for price, size in pairs])


def book_stream(name: str) -> str:
    """The simulator's name for a product's book."""
    return f"level2:{name}"


def trade_stream(name: str) -> str:
    """The simulator's name for a product's trades."""
    return f"market_trades:{name}"


def message(channel: str, time: str, event: str) -> str:
    """A message with one event, not numbered yet."""
    return f'{{"channel":"{channel}","timestamp":"{time}","sequence_num":0,"events":[{event}]}}'


def renumbered(text: str, number: int) -> str:
    """The message as the connection's `number`th, its other bytes as they are."""
    return NUMBER.sub(rf"\g<1>{number}", text, count=1)


def book_event(kind: str, name: str, bids: Levels, asks: Levels, time: str) -> str:
    """kind: `snapshot` or `update`; time: that of its levels."""
    sides = (("bid", bids), ("offer", asks))
    rows = [
        f'{{"side":"{side}","event_time":"{time}","price_level":"{price}","new_quantity":"{size}"}}'
        for side, levels in sides
        for price, size in levels
    ]
    return f'{{"type":"{kind}","product_id":"{name}","updates":[{",".join(rows)}]}}'


def trades_of(text: str) -> str:
    """The trades in a message of `trade`, as they stand between the brackets."""
    return text[text.index('"trades":[') + len('"trades":[') : -len("]}]}")]


def _text(number: int, places: int) -> str:
    return decimal(number, places).rstrip("0").rstrip(".")


def _levels(updates: list[dict[str, str]], side: str) -> Levels:
    return tuple((row["price_level"], row["new_quantity"]) for row in updates if row["side"] == side)


def _sent(deal: dict[str, Any]) -> SentTrade:
    taker = {"BUY": "sell", "SELL": "buy"}[deal["side"]]
    return SentTrade(deal["trade_id"], deal["price"], deal["size"], taker, ms_of(deal["time"]))
