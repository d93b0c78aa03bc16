"""OKX's WebSocket v5 as text: `books` and `trades`. Pure.

Source: EXCHANGES.md §5 and the captures described there: texts without trailing zeros, levels of four texts, a
window of 400 levels a side that says explicitly which levels leave it.
"""

import json
import re
import zlib
from collections.abc import Iterable
from typing import Any, ClassVar

from simulator.market import Depth, Listing, Trade
from simulator.recording import Row
from simulator.window import Cut, Told
from simulator.wire import Book, Frame, Levels, SentTrade, Wire, base_and_quote, decimal, joined, spaced

DEPTH = 400
CHECKED = 25
SIZE_PLACES = 8
FILLS_MAX = 4
# More levels than the window holds, so that levels leave and enter it all the time.
LISTINGS = {"BTCUSDT": Listing(1, 1_500, FILLS_MAX), "ETHUSDT": Listing(2, 900, FILLS_MAX)}
LISTING_ELSE = Listing(price_decimals=3, levels=700, fills_max=FILLS_MAX)
# What a maintenance takes off the sequence: far more than one update adds.
RESET_BY = 1_000_000
CHECKSUM = re.compile(r'"checksum":(-?\d+)')


class OkxWire(Wire):
    """checksums: write the real checksum; else 0, as the exchange does since 2026."""

    name: ClassVar[str] = "okx"
    depths: ClassVar[tuple[int, ...]] = (DEPTH,)
    says_leaving: ClassVar[bool] = True

    def __init__(self, *, checksums: bool = False) -> None:
        self.has_checksums = checksums
        self._names: dict[str, str] = {}
        # symbol -> what the sequence on the wire lacks of the market's, now and from the next update on
        self._behind: dict[str, int] = {}
        self._behind_next: dict[str, int] = {}

    def listing(self, symbol: str) -> Listing:
        return LISTINGS.get(symbol, LISTING_ELSE)

    def reset_sequence(self, symbol: str, by: int = RESET_BY) -> None:
        """A maintenance: the next update has a seqId that is smaller by `by` but links to the one before."""
        self._behind_next[symbol] = self._behind_next.get(symbol, 0) + by

    def printed(self, symbol: str, sequence: int) -> int:
        """The market's sequence as the wire has it at present."""
        return sequence - self._behind.get(symbol, 0)

    def depth_frames(self, event: Depth, cuts: dict[int, Cut], told: Told, offset_us: int) -> list[Frame]:
        symbol, cut = event.symbol, cuts[DEPTH]
        sides = self._written(symbol, cut.bids), self._written(symbol, cut.asks)
        previous = self.printed(symbol, event.first_id - 1)
        self._behind[symbol] = self._behind_next.get(symbol, 0)
        best = told.book(CHECKED)
        text = self.book_text(
            symbol,
            "update",
            *sides,
            ts_ms=(event.time_us + offset_us) // 1000,
            checked=Book(symbol, 0, self._written(symbol, best.bids), self._written(symbol, best.asks)),
            ids=(previous, self.printed(symbol, event.last_id)),
        )
        stream = stream_name("books", self.instrument(symbol))
        return [Frame(symbol, "depth", stream, text, event.first_id, event.last_id, *sides)]

    def trade(self, event: Trade, offset_us: int) -> Frame:
        name, time_ms = self.instrument(event.symbol), (event.time_us + offset_us) // 1000
        price = _text(event.price, self.listing(event.symbol).price_decimals)
        size = _text(event.size, SIZE_PLACES)
        taker = "sell" if event.taker_sells else "buy"
        text = (
            f'{{"arg":{{"channel":"trades","instId":"{name}"}},"data":[{{"instId":"{name}",'
            f'"tradeId":"{event.id}","px":"{price}","sz":"{size}","side":"{taker}","ts":"{time_ms}",'
            f'"count":"{event.fills}","source":"0","seqId":{self.printed(event.symbol, event.update_id)}}}]}}'
        )
        sent = SentTrade(str(event.id), price, size, taker, time_ms)
        return Frame(event.symbol, "trade", stream_name("trades", name), text, trade=sent)

    def book_text(
        self,
        symbol: str,
        action: str,
        bids: Levels,
        asks: Levels,
        *,
        ts_ms: int,
        checked: Book,
        ids: tuple[int, int],
    ) -> str:
        """action: `snapshot` or `update`; checked: the book after it; ids: prevSeqId and seqId."""
        crc = checksum(checked.bids, checked.asks) if self.has_checksums else 0
        return (
            f'{{"arg":{{"channel":"books","instId":"{self.instrument(symbol)}"}},"action":"{action}",'
            f'"data":[{{"asks":[{_rows(asks)}],"bids":[{_rows(bids)}],"ts":"{ts_ms}","checksum":{crc},'
            f'"prevSeqId":{ids[0]},"seqId":{ids[1]}}}]}}'
        )

    def streams(self, symbol: str) -> frozenset[str]:
        return frozenset(stream_name(channel, self.instrument(symbol)) for channel in ("books", "trades"))

    def levels(self, symbol: str, pairs: list[tuple[int, int]]) -> Levels:
        return self._written(symbol, pairs)

    def instrument(self, symbol: str) -> str:
        """`BTC-USDT`."""
        if symbol not in self._names:
            self._names[symbol] = spaced(symbol, "-")
        return self._names[symbol]

    def listed(self, symbol: str) -> dict[str, str]:
        """The symbol in REST's list of spot instruments, as far as it says something of spot."""
        base, quote = base_and_quote(symbol)
        return {
            "baseCcy": base,
            "instId": self.instrument(symbol),
            "instType": "SPOT",
            "listTime": "1611907686000",
            "lotSz": "0.00000001",
            "minSz": "0.00001",
            "quoteCcy": quote,
            "state": "live",
            "tickSz": f"0.{1:0{self.listing(symbol).price_decimals}d}",
        }

    def wrong_checksum(self, text: str) -> str | None:
        """Another number where one is told."""
        found = CHECKSUM.search(text)
        if found is None or found[1] == "0":
            return None
        return f"{text[: found.start(1)]}{int(found[1]) ^ 1}{text[found.end(1) :]}"

    def stream_of(self, text: str) -> str | None:
        try:
            whole = json.loads(text)
            arg = whole["arg"]
            is_known = arg["channel"] in ("books", "trades") and "data" in whole
            return stream_name(arg["channel"], arg["instId"]) if is_known else None
        except (ValueError, KeyError, TypeError):
            return None

    def frame_of(self, text: str) -> Frame:
        stream = self.stream_of(text)
        assert stream is not None, "stream_of comes first"
        channel, _, name = stream.partition(":")
        symbol, whole = joined(name, "-"), json.loads(text)
        try:
            if channel == "books":
                return _book_frame(symbol, stream, text, whole)
            first, *others = map(_sent, whole["data"])
        except (ValueError, KeyError, TypeError, IndexError):
            # A recording may hold a frame that was broken when it came; it is played as it was.
            return Frame(symbol, channel, stream, text)
        return Frame(symbol, "trade", stream, text, trade=first, more_trades=tuple(others))

    def book_of(self, row: Row, symbol: str | None) -> Book | None:
        """Books come over the socket."""
        return None

    def _written(self, symbol: str, pairs: Iterable[tuple[int, int]]) -> Levels:
        places = self.listing(symbol).price_decimals
        return tuple([(_text(price, places), _text(size, SIZE_PLACES)) for price, size in pairs])


def stream_name(channel: str, name: str) -> str:
    """The simulator's name for an instrument's stream."""
    return f"{channel}:{name}"


def checksum(bids: Levels, asks: Levels) -> int:
    """Signed CRC32 of the best 25 levels, bid and ask in turn as `price:size`; a side that has ended is left out."""
    parts: list[str] = []
    for rank in range(CHECKED):
        parts += [text for side in (bids, asks) for text in (side[rank][:2] if rank < len(side) else ())]
    crc = zlib.crc32(":".join(parts).encode())
    return crc - (1 << 32) if crc >= 1 << 31 else crc


def _text(number: int, places: int) -> str:
    return decimal(number, places).rstrip("0").rstrip(".")


def _rows(levels: Levels) -> str:
    # The number of orders is the size's own affair: the same size has the same.
    return ",".join([f'["{price}","{size}","0","{_orders(size)}"]' for price, size in levels])


def _orders(size: str) -> int:
    return 0 if size == "0" else 1 + ord(size[-1]) % 7


def _book_frame(symbol: str, stream: str, text: str, whole: dict[str, Any]) -> Frame:
    (data,) = whole["data"]
    last = int(data.get("seqId", 0))
    # An idle message repeats the last sequence number.
    first = min(int(data.get("prevSeqId", last)) + 1, last)
    sides = _levels(data["bids"]), _levels(data["asks"])
    is_snapshot = whole["action"] == "snapshot"
    first = last if is_snapshot else first
    return Frame(symbol, "depth", stream, text, first, last, *sides, is_snapshot=is_snapshot)


def _levels(rows: list[list[str]]) -> Levels:
    return tuple((price, size) for price, size, *_ in rows)


def _sent(trade: dict[str, str]) -> SentTrade:
    return SentTrade(trade["tradeId"], trade["px"], trade["sz"], trade["side"], int(trade["ts"]))
