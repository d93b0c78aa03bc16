"""Bitfinex v2: what a frame says, and one connection's book of one symbol (EXCHANGES.md §9).

What a frame is about, only its connection knows: ids are told by events, and one counter runs over all channels. So
`read` hands every message to the book of every symbol, and the book says which trades are in it.
"""

import json
import zlib
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal

from tests.reference.decimals import not_negative_number, positive_number
from tests.reference.exchange import UNREADABLE, Levels, NotListed, Trade, WindowedBook, pair_of

CHECKED_LEVELS = 25
NUMBERED, TIMED = 65536, 32768
NOT_A_SYMBOL, PAUSE = (10001, 10300), 20060
NAMES = {"USDT": "UST", "USDC": "UDC"}


@dataclass(frozen=True)
class Message:
    """One message; `content` is None where it can't be read. `name`: the exchange's name of the symbol."""

    symbol: str
    name: str
    content: object


class Number(Decimal):
    """A number that keeps the text it was written with: 5.6e-7 stays 5.6e-7."""

    text: str

    @classmethod
    def of(cls, text: str) -> "Number":
        """From the text of a JSON number."""
        number = cls(text)
        number.text = text
        return number


def exchange_symbol(symbol: str) -> str:
    """BTCUSDT is tBTCUST, DOGEUSD is tDOGE:USD."""
    base, quote = (NAMES.get(part, part) for part in pair_of(symbol))
    return f"t{base}{quote}" if len(base) == len(quote) == 3 else f"t{base}:{quote}"


def read(record: dict, symbols: dict[str, str]) -> list:
    """The message, once for each symbol."""
    if record["kind"] != "ws":
        return []
    content = None
    with suppress(*UNREADABLE):
        content = json.loads(record["value"], parse_float=Number.of, parse_int=Number.of)
    if isinstance(content, dict) and content.get("event") == "error":
        return read_refusal(content, symbols)
    return [Message(symbol, name, content) for name, symbol in symbols.items()]


def read_refusal(content: dict, symbols: dict[str, str]) -> list:
    """A subscription that failed because of its symbol; the request is repeated in it."""
    code, name = content.get("code"), content.get("symbol")
    is_symbol = code in NOT_A_SYMBOL and (code != 10300 or str(content.get("msg")).startswith("symbol"))
    return [NotListed(symbols[name])] if is_symbol and isinstance(name, str) and name in symbols else []


class Book(WindowedBook):
    """A book proven by the connection's counter, and by the checksum in frames of its own."""

    window = 25

    def __init__(self) -> None:
        super().__init__()
        self.flags: int | None = None
        self.count: Number | None = None
        self.book_id: object = None
        self.trades_id: object = None

    def take(self, item: object) -> list[Trade]:
        """One message: the trades of it."""
        if not isinstance(item, Message):
            super().take(item)
            return []
        try:
            if isinstance(item.content, dict):
                self.event(item)
                return []
            return self.data(item)
        except UNREADABLE:
            # Choice: what can't be read may have been anything, so that nothing is certain and the counter begins anew.
            self.lose("sequence_gap")
            self.count = None
            return []

    def event(self, item: Message) -> None:
        """What is no data."""
        content = item.content
        kind, number = content.get("event"), content.get("chanId")
        if kind in ("subscribed", "unsubscribed"):
            if "chanId" in content and number == self.book_id:
                self.book_id = None
                self.lose("sequence_gap")
            self.trades_id = None if number == self.trades_id else self.trades_id
        if kind == "subscribed" and content.get("symbol") == item.name:
            if content["channel"] == "trades":
                self.trades_id = number
            elif content["channel"] == "book" and is_ours(content):
                self.book_id, self.window = number, int(content.get("len", 25))
                self.lose("sequence_gap")
        if kind == "conf" and content["status"] == "OK" and content["flags"] != self.flags:
            self.flags, self.count = int(content["flags"]), None
            self.lose("sequence_gap")
        if kind == "info" and content.get("code") == PAUSE:
            self.lose("sequence_gap")

    def data(self, item: Message) -> list[Trade]:
        """[id, payload, number] or [id, word, payload, number]; a heartbeat is a word alone."""
        number, *rest = item.content
        word = rest.pop(0) if isinstance(rest[0], str) else None
        payload = rest.pop(0) if word != "hb" else None
        self.turn(rest)
        if word == "hb":
            return []
        if number == self.book_id:
            try:
                self.book(word, payload)
            except UNREADABLE:
                self.lose("sequence_gap")
        if number == self.trades_id:
            try:
                return self.deals(item.symbol, word, payload)
            except UNREADABLE:
                return []  # to the pipeline's dead letters
        return []

    def turn(self, rest: list) -> None:
        """Whether it is the next message of the connection. Choice: without flags a number counts if it is there."""
        if self.flags is None and not rest and self.count is None:
            return
        if self.flags is not None and not self.flags & NUMBERED:
            return
        if not isinstance(rest[0], Number) or not rest[0].text.isdigit():
            raise ValueError(f"not a number of a message: {rest[0]!r}")
        if self.flags is not None and self.flags & TIMED and not rest[1].text.isdigit():
            raise ValueError("not a time")
        if self.count is not None and rest[0] != self.count + 1:
            self.lose("sequence_gap")
        self.count = rest[0]

    def book(self, word: str | None, payload: object) -> None:
        """A snapshot, one level, or the checksum of what was told so far."""
        if word is None and isinstance(payload, list) and (not payload or isinstance(payload[0], list)):
            bids, asks = sides(payload)
            if any(size == 0 for _, size in bids + asks):
                raise ValueError("a removal in a snapshot")
            self.replace(bids, asks)
            self.cut()
            self.reason = None
        elif word not in (None, "cs"):
            raise ValueError(f"not of a book: {word!r}")
        elif self.takes_updates:
            if word is None:
                self.change(*sides([payload]))
                self.cut()
            self.reason = None
            if word == "cs" and payload != checksum(
                self.best_bids(CHECKED_LEVELS), self.best_asks(CHECKED_LEVELS)
            ):
                self.reason = "checksum"
        elif word is None:
            sides([payload])

    def cut(self) -> None:
        """Hold the window alone."""
        self.bids, self.asks = dict(self.best_bids(self.window)), dict(self.best_asks(self.window))

    def deals(self, symbol: str, word: str | None, payload: list) -> list[Trade]:
        """[id, time, amount, price]: te of a new trade, tu of the same again, a list of those before, newest first."""
        if word == "te":
            return [deal(symbol, payload, history=False)]
        return [deal(symbol, row, history=True) for row in reversed(payload)] if word is None else []


def is_ours(content: dict) -> bool:
    """Other precisions and frequencies are other books."""
    return (content.get("prec", "P0"), content.get("freq", "F0")) == ("P0", "F0")


def sides(rows: list) -> tuple[Levels, Levels]:
    """[[price, orders, amount], …]: amounts above zero are bids; without orders the level is gone."""
    bids: Levels = []
    asks: Levels = []
    for price, orders, amount, *_ in rows:
        size = amount if amount > 0 else Number.of(amount.text.removeprefix("-"))
        if not orders.text.isdigit() or not_negative_number(size) == 0 or (orders == 0 and size != 1):
            raise ValueError(f"not a level: {price} {orders} {amount}")
        positive_number(price)
        (bids if amount > 0 else asks).append((price, size if orders else Decimal(0)))
    return bids, asks


def deal(symbol: str, row: list, *, history: bool) -> Trade:
    """One trade; a taker that sold has a negative amount."""
    trade_id, time_ms, amount, price = row[:4]
    if not trade_id.text.isdigit():
        raise ValueError(f"not an id: {trade_id!r}")
    size = positive_number(abs(amount))
    side = "buy" if amount > 0 else "sell"
    return Trade(symbol, trade_id.text, positive_number(price), size, side, int(time_ms) * 1000, history)


def checksum(bids: Levels, asks: Levels) -> int:
    """CRC32 of the 25 best of both sides, bid and ask in turn, price and amount as written; signed."""
    parts = []
    for place in range(CHECKED_LEVELS):
        for side, sign in ((bids, ""), (asks, "-")):
            if place < len(side):
                price, size = side[place]
                parts += [price.text, f"{sign}{size.text}"]
    found = zlib.crc32(":".join(parts).encode())
    return found - 2**32 if found >= 2**31 else found
