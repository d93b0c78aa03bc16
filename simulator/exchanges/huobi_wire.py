"""HTX's public WebSockets as gzip of JSON: `mbp.400` and `trade.detail`. Pure.

Source: EXCHANGES.md §6 and the captures described there: numbers as Java prints doubles (9.121E-7, 188358.0), levels of
two, a window of 400 levels a side. Whether `mbp.400` deletes what leaves the window is not known; the captured update
of `mbp.20` that brings a new best ask deletes nothing, so neither does this.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, ClassVar

from simulator.market import Depth, Listing, Trade
from simulator.recording import Row
from simulator.window import Cut, Told
from simulator.wire import Book, Frame, Levels, SentTrade, Wire, base_and_quote, decimal

DEPTH = 400
BOOK, TRADES = f"mbp.{DEPTH}", "trade.detail"
SIZE_PLACES = 8
LISTINGS = {"BTCUSDT": Listing(2, 900), "ETHUSDT": Listing(2, 700)}
LISTING_ELSE = Listing(price_decimals=4, levels=600)
TOPIC = re.compile(r"market\.([a-z0-9]+)\.([a-z0-9.]+)")
ID_TAIL = 10**15
INFLATED_MAX = 16 * 1024 * 1024


class HuobiWire(Wire):
    """Frames are bytes: each is packed once, however many clients get it."""

    name: ClassVar[str] = "huobi"
    depths: ClassVar[tuple[int, ...]] = (DEPTH,)
    takes_bytes: ClassVar[bool] = True

    def listing(self, symbol: str) -> Listing:
        return LISTINGS.get(symbol, LISTING_ELSE)

    def depth_frames(self, event: Depth, cuts: dict[int, Cut], told: Told, offset_us: int) -> list[Frame]:
        symbol, cut = event.symbol, cuts[DEPTH]
        bids, asks = self._written(symbol, cut.bids), self._written(symbol, cut.asks)
        # A side that has not changed is empty, or missing: both have been seen.
        shown = {name: side for name, side in (("bids", bids), ("asks", asks)) if side or event.last_id % 2}
        sides = "".join(f',"{name}":{rows(side)}' for name, side in shown.items())
        stream, time_ms = stream_name(BOOK, symbol), (event.time_us + offset_us) // 1000
        text = (
            f'{{"ch":"{topic(symbol, BOOK)}","ts":{time_ms},"tick":{{"seqNum":{event.last_id},'
            f'"prevSeqNum":{event.first_id - 1}{sides}}}}}'
        )
        return [Frame(symbol, "depth", stream, packed(text), event.first_id, event.last_id, bids, asks)]

    def trade(self, event: Trade, offset_us: int) -> Frame:
        symbol, time_ms = event.symbol, (event.time_us + offset_us) // 1000
        price = plain(decimal(event.price, self.listing(symbol).price_decimals))
        size = plain(decimal(event.size, SIZE_PLACES))
        taker = "sell" if event.taker_sells else "buy"
        # 27 digits: more than 64 bits hold.
        whole_id = event.update_id * ID_TAIL + event.id
        text = (
            f'{{"ch":"{topic(symbol, TRADES)}","ts":{time_ms},"tick":{{"id":{event.update_id},"ts":{time_ms},'
            f'"data":[{{"id":{whole_id},"ts":{time_ms},"tradeId":{event.id},"amount":{number(size)},'
            f'"price":{number(price)},"direction":"{taker}"}}]}}}}'
        )
        sent = SentTrade(str(event.id), price, size, taker, time_ms)
        return Frame(symbol, "trade", stream_name(TRADES, symbol), packed(text), trade=sent)

    def listed(self, symbol: str) -> dict[str, Any]:
        """The symbol in REST's list, as far as it says something of spot."""
        base, quote = base_and_quote(symbol)
        return {
            "base-currency": base.lower(),
            "quote-currency": quote.lower(),
            "price-precision": self.listing(symbol).price_decimals,
            "amount-precision": SIZE_PLACES,
            "symbol-partition": "main",
            "symbol": symbol.lower(),
            "state": "online",
            "value-precision": 8,
            "api-trading": "enabled",
        }

    def streams(self, symbol: str) -> frozenset[str]:
        return frozenset(stream_name(kind, symbol) for kind in (BOOK, TRADES))

    def levels(self, symbol: str, pairs: list[tuple[int, int]]) -> Levels:
        return self._written(symbol, pairs)

    def stream_of(self, text: Any) -> str | None:
        try:
            whole = _read(text)
            symbol, kind = _topic_of(whole)
            has_data = "tick" in whole or isinstance(whole.get("data"), dict)
            return stream_name(kind, symbol) if kind in (BOOK, TRADES) and has_data else None
        except (ValueError, KeyError, TypeError, AttributeError, zlib.error):
            return None

    def frame_of(self, text: Any) -> Frame:
        whole = _read(text)
        symbol, kind = _topic_of(whole)
        stream, kept = stream_name(kind, symbol), text if isinstance(text, bytes) else packed(text)
        channel = "depth" if kind == BOOK else "trade"
        try:
            if kind == BOOK:
                return _book_frame(symbol, stream, kept, whole)
            first, *others = [_sent(trade) for trade in reversed(whole["tick"]["data"])]
        except (ValueError, KeyError, TypeError, ArithmeticError):
            # A recording may hold a frame that was broken when it came; it is played as it was.
            return Frame(symbol, channel, stream, kept)
        return Frame(symbol, channel, stream, kept, trade=first, more_trades=tuple(others))

    def book_of(self, row: Row, symbol: str | None) -> Book | None:
        """Books come over the socket."""
        return None

    def _written(self, symbol: str, pairs: Iterable[tuple[int, int]]) -> Levels:
        places = self.listing(symbol).price_decimals
        return tuple(
            [(plain(decimal(price, places)), plain(decimal(size, SIZE_PLACES))) for price, size in pairs]
        )


def topic(symbol: str, kind: str) -> str:
    """`market.btcusdt.mbp.400`."""
    return f"market.{symbol.lower()}.{kind}"


def stream_name(kind: str, symbol: str) -> str:
    """The simulator's name for a channel of a symbol."""
    return f"{kind}:{symbol.lower()}"


def packed(text: str) -> bytes:
    """A message as it is sent: gzip, the same bytes for the same text."""
    return gzip.compress(text.encode(), compresslevel=1, mtime=0)


def plain(text: str) -> str:
    """Without zeros behind the last digit of the decimals."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def number(text: str) -> str:
    """A decimal as Java prints a double: at least one decimal, an exponent below a thousandth and from ten million."""
    value = Decimal(text)
    if not value:
        return "0.0"
    if Decimal("0.001") <= value < Decimal(10_000_000):
        return text if "." in text else f"{text}.0"
    digits = "".join(map(str, value.normalize().as_tuple().digits))
    return f"{digits[0]}.{digits[1:] or '0'}E{value.adjusted()}"


def rows(levels: Levels) -> str:
    """Levels as JSON."""
    return "[" + ",".join([f"[{number(price)},{number(size)}]" for price, size in levels]) + "]"


def _read(text: str | bytes) -> Any:
    """The JSON of a frame, recorded as it came or as text; its decimals are exact."""
    if isinstance(text, bytes):
        text = zlib.decompressobj(31).decompress(text, INFLATED_MAX).decode()
    return json.loads(text, parse_float=Decimal)


def _topic_of(whole: dict[str, Any]) -> tuple[str, str]:
    """(symbol, kind) of a message of data or of a snapshot asked for."""
    found = TOPIC.fullmatch(whole.get("ch") or whole["rep"])
    if found is None:
        raise ValueError("no channel of the spot market")
    return found[1].upper(), found[2]


def _book_frame(symbol: str, stream: str, text: bytes, whole: dict[str, Any]) -> Frame:
    is_snapshot = "rep" in whole
    data = whole["data" if is_snapshot else "tick"]
    last = int(data["seqNum"])
    # An update that changes nothing repeats the last number.
    first = last if is_snapshot else min(int(data["prevSeqNum"]) + 1, last)
    sides = _levels(data.get("bids") or []), _levels(data.get("asks") or [])
    return Frame(symbol, "depth", stream, text, first, last, *sides, is_snapshot=is_snapshot)


def _levels(levels: list[list[Any]]) -> Levels:
    return tuple((_decimal(price), _decimal(size)) for price, size in levels)


def _decimal(value: Any) -> str:
    return plain(f"{Decimal(value):f}")


def _sent(trade: dict[str, Any]) -> SentTrade:
    price, size = _decimal(trade["price"]), _decimal(trade["amount"])
    return SentTrade(str(trade["tradeId"]), price, size, trade["direction"], int(trade["ts"]))
