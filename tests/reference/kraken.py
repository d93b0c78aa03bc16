"""Kraken, WebSocket v2: what a frame says, and one connection's book of one symbol (EXCHANGES.md §3)."""

import json
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tests.reference.decimals import not_negative_number, positive_number
from tests.reference.exchange import (
    UNREADABLE,
    Levels,
    NotListed,
    Trade,
    WindowedBook,
    pair_of,
    taker_side,
    whole,
)

BOOK_LEVELS = 1000
CHECKED_LEVELS = 10
MOST_DECIMALS = 30
REFUSED = "Currency pair not supported "
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Precision:
    """The decimals that the exchange writes the numbers of a pair with."""

    symbol: str
    price: int
    size: int


@dataclass(frozen=True)
class Message:
    """One entry of a book message; `checksum` is that of the book after it."""

    symbol: str
    is_snapshot: bool
    bids: Levels
    asks: Levels
    checksum: int


def exchange_symbol(symbol: str) -> str:
    """BTCUSDT is BTC/USDT."""
    return "/".join(pair_of(symbol))


def read(record: dict, symbols: dict[str, str]) -> list:
    """What one raw record says. Choice: an entry that can't be read spoils its whole frame, an unknown symbol only
    its own entry.
    """
    if record["kind"] != "ws":
        return []
    try:
        message = json.loads(record["value"], parse_float=Decimal)
        if message.get("success") is False:
            return read_refusal(message, symbols)
        readers = {"book": read_book, "trade": read_trade, "instrument": read_pair}
        reader = readers.get(message.get("channel"))
        if reader is None:
            return []
        is_snapshot = {"snapshot": True, "update": False}[message["type"]]
        entries = message["data"]["pairs"] if reader is read_pair else message["data"]
        return [
            reader(entry, symbols[entry["symbol"]], is_snapshot)
            for entry in entries
            if entry["symbol"] in symbols
        ]
    except UNREADABLE:
        return []  # to the pipeline's dead letters: no trade, no change of a book


def read_refusal(message: dict, symbols: dict[str, str]) -> list:
    """A subscription that failed: for the symbol, or for another reason that says nothing of it."""
    error = message["error"]
    named = error.removeprefix(REFUSED)
    if message.get("method") != "subscribe" or named == error or named not in symbols:
        return []
    return [NotListed(symbols[named])]


def read_book(entry: dict, symbol: str, is_snapshot: bool) -> Message:
    """{"symbol", "bids": [{"price", "qty"}], "asks", "checksum"}, snapshot and update alike."""
    bids, asks = read_levels(entry["bids"]), read_levels(entry["asks"])
    return Message(symbol, is_snapshot, bids, asks, whole(entry["checksum"]))


def read_levels(rows: list) -> Levels:
    """[{"price", "qty"}, …] in the order sent."""
    return [(positive_number(row["price"]), not_negative_number(row["qty"])) for row in rows]


def read_trade(entry: dict, symbol: str, is_snapshot: bool) -> Trade:
    """A trade; those of a snapshot are the last ones before the subscription."""
    price, size = positive_number(entry["price"]), positive_number(entry["qty"])
    trade_id, side = str(whole(entry["trade_id"])), taker_side(entry["side"])
    return Trade(symbol, trade_id, price, size, side, time_us(entry["timestamp"]), history=is_snapshot)


def read_pair(entry: dict, symbol: str, is_snapshot: bool) -> Precision:
    """A pair of the instrument channel; a later one replaces an earlier one, whichever the type."""
    return Precision(symbol, decimal_places(entry["price_precision"]), decimal_places(entry["qty_precision"]))


def decimal_places(value: object) -> int:
    """A number of decimals."""
    if not 0 <= whole(value) <= MOST_DECIMALS:
        raise ValueError(f"no number of decimals: {value!r}")
    return value


def time_us(text: str) -> int:
    """RFC 3339 with an offset. Choice: digits beyond the microsecond are cut off."""
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


class Book(WindowedBook):
    """A book proven by the checksum alone: the exchange numbers nothing."""

    window = BOOK_LEVELS

    def __init__(self) -> None:
        super().__init__()
        self.precision: Precision | None = None
        self.most_price_decimals = 0
        self.most_size_decimals = 0

    def take(self, item: object) -> None:
        """One book message, precision or refusal."""
        if isinstance(item, Precision):
            self.precision = item
        elif isinstance(item, Message):
            self.notice_decimals(item)
            if item.is_snapshot:
                self.replace(item.bids, item.asks)
                self.check(item.checksum)
            elif self.takes_updates:
                self.change(item.bids, item.asks)
                self.check(item.checksum)
        else:
            super().take(item)

    def notice_decimals(self, message: Message) -> None:
        """Choice: the numbers of updates that the book can't use are numbers of the pair, too."""
        for price, size in message.bids + message.asks:
            self.most_price_decimals = max(self.most_price_decimals, decimals_of(price))
            self.most_size_decimals = max(self.most_size_decimals, decimals_of(size))

    def check(self, expected: int) -> None:
        """Cut to the window (levels that fall out of it are never deleted by the exchange), then hold the checksum
        against the exchange's.
        """
        self.bids = dict(self.best_bids(self.window))
        self.asks = dict(self.best_asks(self.window))
        decimals = (self.most_price_decimals, self.most_size_decimals)
        if self.precision is not None:
            decimals = (self.precision.price, self.precision.size)
        found = checksum(self.best_bids(CHECKED_LEVELS), self.best_asks(CHECKED_LEVELS), *decimals)
        self.reason = None if found == expected else "checksum"


def checksum(bids: Levels, asks: Levels, price_decimals: int, size_decimals: int) -> int:
    """CRC32 of the ten best asks, then the ten best bids, best first; unsigned."""
    parts = []
    for price, size in asks[:CHECKED_LEVELS] + bids[:CHECKED_LEVELS]:
        parts += [digits(price, price_decimals), digits(size, size_decimals)]
    return zlib.crc32("".join(parts).encode())


def digits(value: Decimal, decimals: int) -> str:
    """The number written with so many decimals, without point and leading zeros.

    Choice: digits beyond those decimals stay unless they are zeros: without them it would be another number.
    """
    places = max(decimals, decimals_of(value.normalize()))
    return str(int(value.scaleb(places)))


def decimals_of(value: Decimal) -> int:
    """The digits behind the point, trailing zeros included."""
    return max(0, -value.as_tuple().exponent)
