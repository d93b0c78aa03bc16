"""Binance: what a frame says, and one connection's book of one symbol (EXCHANGES.md §1)."""

import json
from collections import deque
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

from tests.reference.decimals import not_negative, positive
from tests.reference.exchange import UNREADABLE, AnyBook, Levels, NotListed, Trade, whole

BUFFERED_UPDATES = 10_000
LIMITED_FROM_LEVELS = 1000
INVALID_SYMBOL = -1121


@dataclass(frozen=True)
class Depth:
    """Changes of a book: update ids first … last (U … u)."""

    symbol: str
    first: int
    last: int
    bids: Levels
    asks: Levels


@dataclass(frozen=True)
class Snapshot:
    """A REST body: the book at update id `last`; `limit` is what its address asked for."""

    symbol: str
    last: int
    bids: Levels
    asks: Levels
    limit: int | None


def exchange_symbol(symbol: str) -> str:
    """BTCUSDT is BTCUSDT."""
    return symbol


def read(record: dict, symbols: dict[str, str]) -> list:
    """What one raw record of kind ws or http says; nothing where it can't be used or is about something else."""
    try:
        message = json.loads(record["value"])
        if record["kind"] == "http":
            return read_body(message, record, symbols)
        return read_frame(message, symbols)
    except UNREADABLE:
        return []  # to the pipeline's dead letters: no trade, no change of a book


def read_frame(message: dict, symbols: dict[str, str]) -> list:
    """A WebSocket message, wrapped (`{"stream", "data"}`) or not."""
    if "stream" in message:
        message = message["data"]
    kind = message.get("e")
    if kind not in ("depthUpdate", "trade") or message["s"] not in symbols:
        return []
    symbol = symbols[message["s"]]
    if kind == "depthUpdate":
        first, last = whole(message["U"]), whole(message["u"])
        return [Depth(symbol, first, last, read_levels(message["b"]), read_levels(message["a"]))]
    side = {True: "sell", False: "buy"}[message["m"]]  # m: the buyer was the maker, so the taker sold
    price, size = positive(message["p"]), positive(message["q"])
    return [Trade(symbol, str(whole(message["t"])), price, size, side, time_us(whole(message["T"])))]


def read_body(message: dict, record: dict, symbols: dict[str, str]) -> list:
    """A REST body. It says nothing of its symbol: that is in the record's headers."""
    query = parse_qs(urlsplit(record.get("url") or "").query)
    named = record.get("symbol") or query.get("symbol", [""])[0]
    symbol = symbols.get(named, named)
    if symbol not in symbols.values():
        return []
    if message.get("code") == INVALID_SYMBOL:
        return [NotListed(symbol)]
    limit = int(query["limit"][0]) if "limit" in query else None
    bids, asks = read_levels(message["bids"]), read_levels(message["asks"])
    return [Snapshot(symbol, whole(message["lastUpdateId"]), bids, asks, limit)]


def read_levels(rows: list) -> Levels:
    """[[price, size], …] in the order sent; all of it is read before any of it is used."""
    return [(positive(row[0]), not_negative(row[1])) for row in rows]


def time_us(value: int) -> int:
    """Milliseconds, or microseconds where the connection asked for those: by size, 10**14 ms is the year 5138."""
    return value if value >= 10**14 else value * 1000


class Book(AnyBook):
    """A book proven by the chain of update ids, begun by a REST snapshot."""

    def __init__(self) -> None:
        super().__init__()
        self.covered_low: Decimal | None = None
        self.covered_high: Decimal | None = None
        self.updates: deque[Depth] = deque(maxlen=BUFFERED_UPDATES)

    def take(self, item: object) -> None:
        """One update, snapshot or refusal."""
        if isinstance(item, Depth):
            self.update(item)
        elif isinstance(item, Snapshot):
            self.restart(item)
        else:
            super().take(item)

    def update(self, depth: Depth) -> None:
        """Apply an update if it continues the book; it is kept in any case, for a snapshot still to come."""
        self.updates.append(depth)
        if not self.takes_updates or depth.last <= self.last:
            return
        if depth.first > self.last + 1:  # one that overlaps repeats absolute sizes: it continues the book
            self.reason = "sequence_gap"
            return
        self.apply(depth)
        self.reason = None

    def apply(self, depth: Depth) -> None:
        """The book after this update."""
        self.change(depth.bids, depth.asks)
        self.last = depth.last

    def restart(self, snapshot: Snapshot) -> None:
        """Take a snapshot if it can be joined to the updates kept, else leave the book as it is (another will come).

        Choice: `lastUpdateId` = first buffered U - 1 joins (the rule U <= lastUpdateId + 1 <= u holds).
        """
        later = [depth for depth in self.updates if depth.last > snapshot.last]
        if later and later[0].first > snapshot.last + 1:
            return
        if any(after.first != before.last + 1 for before, after in pairwise(later)):
            return
        self.replace(snapshot.bids, snapshot.asks)
        self.covered_low = min(dict(snapshot.bids)) if is_limited(snapshot.bids, snapshot.limit) else None
        self.covered_high = max(dict(snapshot.asks)) if is_limited(snapshot.asks, snapshot.limit) else None
        self.last = snapshot.last
        self.reason = None
        for depth in later:
            self.apply(depth)


def is_limited(levels: Levels, limit: int | None) -> bool:
    """Whether the exchange cut this side of a snapshot: it is as long as was asked for (unknown: 1,000)."""
    return len(levels) >= (LIMITED_FROM_LEVELS if limit is None else limit)
