"""Bybit's WebSocket v5 for spot as text: `orderbook` and `publicTrade`. Pure.

Source: EXCHANGES.md §4 and the captures described there: texts without trailing zeros, `ts` before `type`, one
update number a message and topic. Choice: a level pushed out of the window is deleted in the same message, as other
exchanges with such numbers do; its pages leave it open.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, ClassVar

from simulator.market import Depth, Listing, Trade
from simulator.recording import Row
from simulator.window import Cut, Told
from simulator.wire import Book, Frame, Levels, SentTrade, Wire, decimal

TOP = 1
DEPTHS = (TOP, 50, 200, 1000)
SIZE_PLACES = 8
# More levels than the widest window holds, so that levels leave and enter it all the time.
LISTINGS = {"BTCUSDT": Listing(price_decimals=2, levels=1_400), "ETHUSDT": Listing(2, 1_200)}
LISTING_ELSE = Listing(price_decimals=4, levels=1_100)
FIRST_UPDATE = 2_876_700
# Trade ids of spot are numbers of nineteen digits.
TRADE_IDS_FROM = 2_290_000_000_000_000_000
BOOK_TOPIC = re.compile(r"orderbook\.(\d+)\.([^.]+)")
TRADE_TOPIC = re.compile(r"publicTrade\.([^.]+)")


class BybitWire(Wire):
    """Each topic of a book counts its own messages; the market's numbers are in none of them."""

    name: ClassVar[str] = "bybit"
    depths: ClassVar[tuple[int, ...]] = DEPTHS
    says_leaving: ClassVar[bool] = True

    def __init__(self) -> None:
        # (symbol, depth) -> the number of its last message
        self._counts: dict[tuple[str, int], int] = {}
        self._restarts: set[str] = set()

    def listing(self, symbol: str) -> Listing:
        return LISTINGS.get(symbol, LISTING_ELSE)

    def restart(self, symbol: str) -> None:
        """The service is started anew: the next message of each depth is a snapshot with the number 1."""
        self._restarts.add(symbol)

    def printed(self, symbol: str, sequence: int) -> int:
        """The number that the widest topic has at present, whatever the market's."""
        return self.number(symbol, DEPTHS[-1])

    def number(self, symbol: str, depth: int) -> int:
        """The number of a topic's last message; a client that subscribes gets it with the snapshot."""
        return self._counts.get((symbol, depth), FIRST_UPDATE)

    def depth_frames(self, event: Depth, cuts: dict[int, Cut], told: Told, offset_us: int) -> list[Frame]:
        symbol, cts_ms = event.symbol, (event.time_us + offset_us) // 1000
        begins_anew = symbol in self._restarts
        self._restarts.discard(symbol)
        frames = []
        for depth, cut in cuts.items():
            is_snapshot = begins_anew or depth == TOP
            bids, asks = cut.bids, cut.asks
            if not (bids or asks or begins_anew):
                continue  # nothing changed within this window
            if is_snapshot:
                best = told.book(depth)
                bids, asks = tuple(best.bids), tuple(best.asks)
            number = 1 if begins_anew else self.number(symbol, depth) + 1
            self._counts[symbol, depth] = number
            sides = self._written(symbol, bids), self._written(symbol, asks)
            text = book_text(
                symbol,
                depth,
                *sides,
                number=number,
                seq=event.last_id,
                cts_ms=cts_ms,
                is_snapshot=is_snapshot,
            )
            ids = event.first_id, event.last_id
            stream = book_topic(depth, symbol)
            frames.append(Frame(symbol, "depth", stream, text, *ids, *sides, is_snapshot=is_snapshot))
        return frames

    def trade(self, event: Trade, offset_us: int) -> Frame:
        symbol, time_ms = event.symbol, (event.time_us + offset_us) // 1000
        price = _text(event.price, self.listing(symbol).price_decimals)
        size, trade_id = _text(event.size, SIZE_PLACES), str(TRADE_IDS_FROM + event.id)
        taker = "Sell" if event.taker_sells else "Buy"
        text = (
            f'{{"topic":"{trade_topic(symbol)}","ts":{time_ms + 2},"type":"snapshot","data":[{{"i":"{trade_id}",'
            f'"T":{time_ms},"p":"{price}","v":"{size}","S":"{taker}","seq":{event.update_id},"s":"{symbol}",'
            f'"BT":false,"RPI":false}}]}}'
        )
        sent = SentTrade(trade_id, price, size, taker.lower(), time_ms)
        return Frame(symbol, "trade", trade_topic(symbol), text, trade=sent)

    def streams(self, symbol: str) -> frozenset[str]:
        return frozenset({trade_topic(symbol), *(book_topic(depth, symbol) for depth in DEPTHS)})

    def levels(self, symbol: str, pairs: list[tuple[int, int]]) -> Levels:
        return self._written(symbol, pairs)

    def stream_of(self, text: str) -> str | None:
        """The topic itself, of a book of any depth or of trades."""
        try:
            whole = json.loads(text)
            topic = whole["topic"]
            is_known = BOOK_TOPIC.fullmatch(topic) or TRADE_TOPIC.fullmatch(topic)
            return topic if is_known and "data" in whole else None
        except (ValueError, KeyError, TypeError):
            return None

    def frame_of(self, text: str) -> Frame:
        topic = self.stream_of(text)
        assert topic is not None, "stream_of comes first"
        whole = json.loads(text)
        channel, symbol = ("trade" if TRADE_TOPIC.fullmatch(topic) else "depth"), topic.rpartition(".")[2]
        try:
            if channel == "depth":
                return _book_frame(symbol, topic, text, whole)
            first, *others = map(_sent, whole["data"])
        except (ValueError, KeyError, TypeError):
            # A recording may hold a frame that was broken when it came; it is played as it was.
            return Frame(symbol, channel, topic, text)
        return Frame(symbol, "trade", topic, text, trade=first, more_trades=tuple(others))

    def book_of(self, row: Row, symbol: str | None) -> Book | None:
        """Books come over the socket."""
        return None

    def _written(self, symbol: str, pairs: Iterable[tuple[int, int]]) -> Levels:
        places = self.listing(symbol).price_decimals
        return tuple([(_text(price, places), _text(size, SIZE_PLACES)) for price, size in pairs])


def book_topic(depth: int, symbol: str) -> str:
    """`orderbook.50.BTCUSDT`."""
    return f"orderbook.{depth}.{symbol}"


def trade_topic(symbol: str) -> str:
    """`publicTrade.BTCUSDT`."""
    return f"publicTrade.{symbol}"


def book_text(
    symbol: str,
    depth: int,
    bids: Levels,
    asks: Levels,
    *,
    number: int,
    seq: int,
    cts_ms: int,
    is_snapshot: bool,
) -> str:
    """number: the topic's; seq: the matching engine's, which all depths share."""
    kind = "snapshot" if is_snapshot else "delta"
    return (
        f'{{"topic":"{book_topic(depth, symbol)}","ts":{cts_ms + 3},"type":"{kind}","data":{{"s":"{symbol}",'
        f'"b":[{_rows(bids)}],"a":[{_rows(asks)}],"u":{number},"seq":{seq}}},"cts":{cts_ms}}}'
    )


def _text(number: int, places: int) -> str:
    return decimal(number, places).rstrip("0").rstrip(".")


def _rows(levels: Levels) -> str:
    return ",".join([f'["{price}","{size}"]' for price, size in levels])


def _book_frame(symbol: str, topic: str, text: str, whole: dict[str, Any]) -> Frame:
    data = whole["data"]
    number, sides = int(data["u"]), (_levels(data["b"]), _levels(data["a"]))
    is_snapshot = whole["type"] == "snapshot" or number == 1
    return Frame(symbol, "depth", topic, text, number, number, *sides, is_snapshot=is_snapshot)


def _levels(rows: list[list[str]]) -> Levels:
    return tuple((price, size) for price, size in rows)


def _sent(trade: dict[str, Any]) -> SentTrade:
    return SentTrade(trade["i"], trade["p"], trade["v"], trade["S"].lower(), int(trade["T"]))
