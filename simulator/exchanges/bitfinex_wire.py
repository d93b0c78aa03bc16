"""Bitfinex's WebSocket v2 as text: `book` (P0, F0) and `trades`. Pure.

Source: EXCHANGES.md §9 and the exchange's pages "Books", "Trades", "Checksum". A payload is what stands between the
channel's id and the sequence number; both are the connection's. One message tells one level; of an update the
removals come first, as in the capture of 2021, then its checksum, in a stream of its own as it has to be asked for.
"""

import json
import re
import zlib
from collections.abc import Iterable
from typing import Any, ClassVar

from simulator.market import Depth, Listing, Trade
from simulator.recording import Row
from simulator.window import Cut, Told
from simulator.wire import Book, Frame, Levels, SentTrade, Wire, base_and_quote, decimal

DEPTHS = (1, 25, 100, 250)
CHECKED = 25
SIZE_PLACES = 8
# P0 has five significant digits; more levels than the widest window holds, so that levels leave and enter it.
LISTINGS = {"BTCUSDT": Listing(price_decimals=0, levels=500), "ETHUSDT": Listing(1, 290)}
LISTING_ELSE = Listing(price_decimals=3, levels=700)
NAMES = {"USDT": "UST", "USDC": "UDC"}
SYMBOLS = {name: ours for ours, name in NAMES.items()}
CHECKSUM = re.compile(r'"cs",(-?\d+)')


class BitfinexWire(Wire):
    """A seeded market fills a book stream and its checksums for each length, and the trades."""

    name: ClassVar[str] = "bitfinex"
    depths: ClassVar[tuple[int, ...]] = DEPTHS
    has_checksums = True
    says_leaving: ClassVar[bool] = True

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        # What the ids of a recording stand for: (channel, pair). Of several connections the last one's.
        self._recorded: dict[int, tuple[str, str]] = {}

    def listing(self, symbol: str) -> Listing:
        return LISTINGS.get(symbol, LISTING_ELSE)

    def depth_frames(self, event: Depth, cuts: dict[int, Cut], told: Told, offset_us: int) -> list[Frame]:
        symbol, pair = event.symbol, self.pair(event.symbol)
        best = told.book(CHECKED)
        sides = self.levels(symbol, best.bids), self.levels(symbol, best.asks)
        crcs = {depth: checksum(*(side[:depth] for side in sides)) for depth in cuts}
        frames: list[Frame] = []
        for depth, cut in cuts.items():
            rows = [
                self._level(symbol, book_stream(depth, pair), price, size, is_bid=is_bid)
                for is_removal in (True, False)
                for is_bid, changes in ((True, cut.bids), (False, cut.asks))
                for price, size in dict(changes).items()
                if (size == 0) is is_removal
            ]
            crc = Frame(symbol, "checksum", checksum_stream(depth, pair), f'"cs",{crcs[depth]}')
            # The book is that of the market after its last level alone.
            told_by = rows.pop() if rows else crc
            rows.append(_numbered(told_by, event))
            frames += rows if told_by is crc else [*rows, crc]
        return frames

    def trade(self, event: Trade, offset_us: int) -> Frame:
        price = number(event.price, self.listing(event.symbol).price_decimals)
        size, time_ms = number(event.size, SIZE_PLACES), (event.time_us + offset_us) // 1000
        text = f'"te",[{event.id},{time_ms},{"-" if event.taker_sells else ""}{size},{price}]'
        sent = SentTrade(str(event.id), price, size, "sell" if event.taker_sells else "buy", time_ms)
        return Frame(event.symbol, "trade", trade_stream(self.pair(event.symbol)), text, trade=sent)

    def streams(self, symbol: str) -> frozenset[str]:
        pair = self.pair(symbol)
        books = [stream(depth, pair) for depth in DEPTHS for stream in (book_stream, checksum_stream)]
        return frozenset({trade_stream(pair), *books})

    def levels(self, symbol: str, pairs: list[tuple[int, int]]) -> Levels:
        places = self.listing(symbol).price_decimals
        return tuple([(number(price, places), number(size, SIZE_PLACES)) for price, size in pairs])

    def pair(self, symbol: str) -> str:
        """`tBTCUST`; a colon where a name is longer than three letters, and what has one already stays."""
        if symbol not in self._names:
            base, quote = (NAMES.get(name, name) for name in base_and_quote(symbol))
            mark = "" if len(base) == len(quote) == 3 else ":"
            self._names[symbol] = f"t{symbol if ':' in symbol else f'{base}{mark}{quote}'}"
        return self._names[symbol]

    def wrong_checksum(self, text: str) -> str | None:
        """Another number where one is told."""
        found = CHECKSUM.search(text)
        if found is None:
            return None
        return f"{text[: found.start(1)]}{int(found[1]) ^ 1}{text[found.end(1) :]}"

    def stream_of(self, text: str) -> str | None:
        """A recording's events tell its ids. It plays on the widest window; what the peer says by itself (heartbeats,
        the second word on a trade, the last trades) is left out.
        """
        try:
            message = json.loads(text)
            if isinstance(message, dict):
                if message.get("event") == "subscribed":
                    self._recorded[message["chanId"]] = message["channel"], message["symbol"]
                return None
            channel, pair = self._recorded[message[0]]
            if channel == "trades":
                return trade_stream(pair) if message[1] == "te" else None
            if channel != "book" or message[1] == "hb":
                return None
            return (checksum_stream if message[1] == "cs" else book_stream)(DEPTHS[-1], pair)
        except (ValueError, KeyError, TypeError, IndexError):
            return None

    def frame_of(self, text: str) -> Frame:
        stream = self.stream_of(text)
        assert stream is not None, "stream_of comes first"
        kind, symbol, payload = (
            stream.partition("@")[0],
            self._symbol(stream.rpartition("/")[2]),
            _payload(text),
        )
        if kind == "cs":
            return Frame(symbol, "checksum", stream, payload)
        try:
            # Numbers stay the text they are: as floats they would lose digits.
            told = json.loads(text, parse_float=str, parse_int=str)
            if kind == "book":
                is_snapshot = not told[1] or isinstance(told[1][0], list)
                sides = _sides(told[1] if is_snapshot else [told[1]])
                return Frame(symbol, "depth", stream, payload, 0, 0, *sides, is_snapshot=is_snapshot)
            trade_id, time_ms, amount, price = told[2][:4]
        except (ValueError, KeyError, TypeError, IndexError):
            # A recording may hold a frame that was broken when it came; it is played as it was.
            return Frame(symbol, kind, stream, payload)
        sent = SentTrade(trade_id, price, amount.lstrip("-"), _taker(amount), int(time_ms))
        return Frame(symbol, "trade", stream, payload, trade=sent)

    def book_of(self, row: Row, symbol: str | None) -> Book | None:
        """Books come over the socket."""
        return None

    def _symbol(self, pair: str) -> str:
        """The symbol of `tBTCUST` or `tDOGE:USD`; a name that could not be made of its symbol again is its own."""
        base, mark, quote = pair[1:].partition(":")
        if not mark:
            base, quote = base[:3], base[3:]
        symbol = SYMBOLS.get(base, base) + SYMBOLS.get(quote, quote)
        return symbol if self.pair(symbol) == pair else pair[1:]

    def _level(self, symbol: str, stream: str, price: int, size: int, *, is_bid: bool) -> Frame:
        ((price_text, size_text),) = self.levels(symbol, [(price, size)])
        text = level_text(price_text, size_text, is_bid=is_bid)
        levels = ((price_text, size_text),)
        bids, asks = (levels, ()) if is_bid else ((), levels)
        return Frame(symbol, "depth", stream, text, 0, 0, bids, asks)


def book_stream(depth: int, pair: str) -> str:
    """The simulator's name for a pair's book of one length."""
    return f"book@{depth}/{pair}"


def checksum_stream(depth: int, pair: str) -> str:
    """The simulator's name for that book's checksums."""
    return f"cs@{depth}/{pair}"


def trade_stream(pair: str) -> str:
    """The simulator's name for a pair's trades."""
    return f"trade@/{pair}"


def level_text(price: str, size: str, *, is_bid: bool) -> str:
    """Price, number of orders, amount: below zero for asks. No orders: a removal, whose amount is 1 of its side."""
    sign = "" if is_bid else "-"
    # The number of orders is the size's own affair: the same size has the same.
    return f"[{price},0,{sign}1]" if size == "0" else f"[{price},{1 + ord(size[-1]) % 7},{sign}{size}]"


def number(units: int, places: int) -> str:
    """Units of the last of `places` decimals, as JavaScript prints the number (ECMAScript, Number::toString)."""
    if not places or not units:
        return str(units)
    plain = decimal(units, places).rstrip("0").rstrip(".")
    if not plain.startswith("0.000000"):
        return plain
    digits = str(units).rstrip("0")
    fraction = f".{digits[1:]}" if digits[1:] else ""
    return f"{digits[0]}{fraction}e-{places + 1 - len(str(units))}"


def checksum(bids: Levels, asks: Levels) -> int:
    """Signed CRC32 of the best 25 levels, bid and ask in turn, price and amount; the amounts of asks are negative."""
    parts: list[str] = []
    for rank in range(CHECKED):
        parts += [f"{price}:{size}" for price, size in bids[rank : rank + 1]]
        parts += [f"{price}:-{size}" for price, size in asks[rank : rank + 1]]
    crc = zlib.crc32(":".join(parts).encode())
    return crc - (1 << 32) if crc >= 1 << 31 else crc


def _numbered(frame: Frame, event: Depth) -> Frame:
    return Frame(
        frame.symbol, frame.channel, frame.stream, frame.text,
        event.first_id, event.last_id, frame.bids, frame.asks,
    )  # fmt: skip


def _payload(text: str) -> str:
    """What stands between id and sequence number, byte for byte."""
    read = json.JSONDecoder().raw_decode
    begin = text.index(",") + 1
    begin += len(text[begin:]) - len(text[begin:].lstrip())
    value, end = read(text, begin)
    if isinstance(value, str):
        end = read(text, text.index(text[end:].lstrip(", \t\r\n")[0], end))[1]
    return text[begin:end]


def _sides(rows: list[list[Any]]) -> tuple[Levels, Levels]:
    sides: dict[str, list[tuple[str, str]]] = {"buy": [], "sell": []}
    for price, count, amount, *_ in rows:
        sides[_taker(amount)].append((price, amount.lstrip("-") if count != "0" else "0"))
    return tuple(sides["buy"]), tuple(sides["sell"])


def _taker(amount: str) -> str:
    return "sell" if amount.startswith("-") else "buy"


def fills_text(frames: Iterable[Frame]) -> str:
    """The last trades, as a subscription begins with them: newest first."""
    return f"[{','.join(frame.as_text.partition(',')[2] for frame in reversed(list(frames)))}]"
