"""Gate.io's WebSocket v4 for spot as text: `spot.obu` and `spot.trades`. Pure.

Source: EXCHANGES.md §8 and the captures described there: the first push has `full` and no `U`, the others the reverse;
a side without rows may be absent; times of trades with a fraction. Choice: a level pushed out of the window is deleted
in the same message; its pages leave it open.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, ClassVar

from simulator.market import Depth, Listing, Trade
from simulator.recording import Row
from simulator.window import Cut, Told
from simulator.wire import Book, Frame, Levels, SentTrade, Wire, decimal, joined, spaced

DEPTHS = (50, 400)
BOOKS, TRADES = "spot.obu", "spot.trades"
SIZE_PLACES = 8
# More levels than the widest window holds, so that levels leave and enter it all the time.
LISTINGS = {"BTCUSDT": Listing(price_decimals=1, levels=900), "ETHUSDT": Listing(2, 700)}
LISTING_ELSE = Listing(price_decimals=4, levels=600)
TOPIC = re.compile(r"ob\.([^.]+)\.(\d+)")
# A pair's count of trades, beside the ids of all.
RANGE_FROM = 2_390_902


class GateioWire(Wire):
    """A stream is a topic of obu, or `spot.trades:BTC_USDT`."""

    name: ClassVar[str] = "gateio"
    depths: ClassVar[tuple[int, ...]] = DEPTHS
    says_leaving: ClassVar[bool] = True

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def listing(self, symbol: str) -> Listing:
        return LISTINGS.get(symbol, LISTING_ELSE)

    def depth_frames(self, event: Depth, cuts: dict[int, Cut], told: Told, offset_us: int) -> list[Frame]:
        symbol, time_ms, ids = (
            event.symbol,
            (event.time_us + offset_us) // 1000,
            (event.first_id, event.last_id),
        )
        frames = []
        for depth, cut in cuts.items():
            sides = self._written(symbol, cut.bids), self._written(symbol, cut.asks)
            topic = book_topic(self.pair(symbol), depth)
            text = update_text(topic, *sides, ids=ids, time_ms=time_ms)
            frames.append(Frame(symbol, "depth", topic, text, *ids, *sides))
        return frames

    def trade(self, event: Trade, offset_us: int) -> Frame:
        pair, (time_ms, micros) = self.pair(event.symbol), divmod(event.time_us + offset_us, 1000)
        price = _text(event.price, self.listing(event.symbol).price_decimals)
        size, fraction = _text(event.size, SIZE_PLACES), f"{micros:03d}".rstrip("0") or "0"
        taker, count = "sell" if event.taker_sells else "buy", RANGE_FROM + event.id % 1_000_000
        text = (
            f'{{"time":{time_ms // 1000},"time_ms":{time_ms + 2},"channel":"{TRADES}","event":"update","result":'
            f'{{"id":{event.id},"id_market":{count},"create_time":{time_ms // 1000},'
            f'"create_time_ms":"{time_ms}.{fraction}","side":"{taker}","currency_pair":"{pair}","amount":"{size}",'
            f'"price":"{price}","range":"{count}-{count}"}}}}'
        )
        sent = SentTrade(str(event.id), price, size, taker, time_ms)
        return Frame(event.symbol, "trade", trade_stream(pair), text, trade=sent)

    def streams(self, symbol: str) -> frozenset[str]:
        pair = self.pair(symbol)
        return frozenset({trade_stream(pair), *(book_topic(pair, depth) for depth in DEPTHS)})

    def levels(self, symbol: str, pairs: list[tuple[int, int]]) -> Levels:
        return self._written(symbol, pairs)

    def pair(self, symbol: str) -> str:
        """`BTC_USDT`."""
        if symbol not in self._names:
            self._names[symbol] = spaced(symbol, "_")
        return self._names[symbol]

    def stream_of(self, text: str) -> str | None:
        try:
            whole = json.loads(text)
            if whole["event"] != "update":
                return None
            channel, result = whole["channel"], whole["result"]
            if channel == BOOKS and TOPIC.fullmatch(result["s"]):
                return str(result["s"])
            return trade_stream(_trades(result)[0]["currency_pair"]) if channel == TRADES else None
        except (ValueError, KeyError, TypeError, IndexError):
            return None

    def frame_of(self, text: str) -> Frame:
        stream = self.stream_of(text)
        assert stream is not None, "stream_of comes first"
        result = json.loads(text)["result"]
        topic = TOPIC.fullmatch(stream)
        symbol = joined(topic[1] if topic else stream.partition(":")[2], "_")
        try:
            if topic:
                return _book_frame(symbol, stream, text, result)
            first, *others = map(_sent, _trades(result))
        except (ValueError, KeyError, TypeError):
            # A recording may hold a frame that was broken when it came; it is played as it was.
            return Frame(symbol, "depth" if topic else "trade", stream, text)
        return Frame(symbol, "trade", stream, text, trade=first, more_trades=tuple(others))

    def book_of(self, row: Row, symbol: str | None) -> Book | None:
        """Books come over the socket; the REST bodies of recordings belong to another channel."""
        return None

    def _written(self, symbol: str, pairs: Iterable[tuple[int, int]]) -> Levels:
        places = self.listing(symbol).price_decimals
        return tuple([(_text(price, places), _text(size, SIZE_PLACES)) for price, size in pairs])


def book_topic(pair: str, depth: int) -> str:
    """`ob.BTC_USDT.400`."""
    return f"ob.{pair}.{depth}"


def trade_stream(pair: str) -> str:
    """The simulator's name for a pair's trades."""
    return f"{TRADES}:{pair}"


def full_text(topic: str, bids: Levels, asks: Levels, *, last_id: int, time_ms: int) -> str:
    """The whole window."""
    return _push(f'"t":{time_ms},"full":true,"s":"{topic}","u":{last_id}{_sides(bids, asks)}', time_ms)


def update_text(topic: str, bids: Levels, asks: Levels, *, ids: tuple[int, int], time_ms: int) -> str:
    """The changes of the updates ids[0] to ids[1]."""
    return _push(f'"t":{time_ms},"s":"{topic}","u":{ids[1]},"U":{ids[0]}{_sides(bids, asks)}', time_ms)


def _push(result: str, time_ms: int) -> str:
    return f'{{"channel":"{BOOKS}","result":{{{result}}},"time_ms":{time_ms + 1},"event":"update"}}'


def _sides(bids: Levels, asks: Levels) -> str:
    return "".join([f',"{name}":[{_rows(side)}]' for name, side in (("b", bids), ("a", asks)) if side])


def _text(number: int, places: int) -> str:
    return decimal(number, places).rstrip("0").rstrip(".")


def _rows(levels: Levels) -> str:
    return ",".join([f'["{price}","{size}"]' for price, size in levels])


def _book_frame(symbol: str, topic: str, text: str, result: dict[str, Any]) -> Frame:
    last, is_full = int(result["u"]), result.get("full") is True
    first = last if is_full else int(result["U"])
    sides = _levels(result.get("b")), _levels(result.get("a"))
    return Frame(symbol, "depth", topic, text, first, last, *sides, is_snapshot=is_full)


def _levels(rows: list[list[str]] | None) -> Levels:
    return tuple((price, size) for price, size in rows or ())


def _trades(result: Any) -> list[dict[str, Any]]:
    return result if isinstance(result, list) else [result]


def _sent(trade: dict[str, Any]) -> SentTrade:
    time_ms = int(str(trade["create_time_ms"]).partition(".")[0])
    return SentTrade(str(trade["id"]), trade["price"], trade["amount"], trade["side"], time_ms)
