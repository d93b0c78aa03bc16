"""KuCoin: what a frame or body says, and one connection's book of one symbol (EXCHANGES.md §7)."""

import json
import re
from collections import deque
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

from tests.reference.decimals import not_negative, positive
from tests.reference.exchange import UNREADABLE, AnyBook, Levels, NotListed, Trade, pair_of, taker_side, whole

BUFFERED_UPDATES = 10_000
LEVELS_UNKNOWN = 100
DONE, UNKNOWN_SYMBOL = "200000", "900001"


@dataclass(frozen=True)
class Change:
    """One price's new size, under a number of its own."""

    number: int
    is_bid: bool
    price: Decimal
    size: Decimal


@dataclass(frozen=True)
class Update:
    """Changes `first` … `last`; numbers without a change are legal."""

    symbol: str
    first: int
    last: int
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Snapshot:
    """A REST body: the book at number `last`, at most `limit` levels a side (None: all)."""

    symbol: str
    last: int
    bids: Levels
    asks: Levels
    limit: int | None


def exchange_symbol(symbol: str) -> str:
    """BTCUSDT is BTC-USDT."""
    return "-".join(pair_of(symbol))


def read(record: dict, symbols: dict[str, str]) -> list:
    """What one raw record of kind ws or http says; nothing where it can't be used or is about something else."""
    try:
        message = json.loads(record["value"])
        if record["kind"] == "http":
            return read_body(message, record, symbols)
        subject = message.get("subject")
        if subject not in ("trade.l2update", "trade.l3match") or message["data"]["symbol"] not in symbols:
            return []
        symbol = symbols[message["data"]["symbol"]]
        reader = read_update if subject == "trade.l2update" else read_trade
        return [reader(message["data"], symbol)]
    except UNREADABLE:
        return []  # to the pipeline's dead letters: no trade, no change of a book


def read_update(data: dict, symbol: str) -> Update:
    """{"changes": {"asks": [[price, size, number]], "bids"}, "sequenceStart", "sequenceEnd"}; price 0 says nothing."""
    first, last = whole(data["sequenceStart"]), whole(data["sequenceEnd"])
    changes = []
    for name, is_bid in (("bids", True), ("asks", False)):
        for price, size, number in data["changes"][name]:
            if not_negative(price) != 0:
                changes.append(Change(int(number), is_bid, positive(price), not_negative(size)))
    changes.sort(key=lambda change: change.number)
    if last < first or any(not first <= change.number <= last for change in changes):
        raise ValueError(f"changes outside {first} to {last}")
    return Update(symbol, first, last, tuple(changes))


def read_trade(data: dict, symbol: str) -> Trade:
    """`time` is in nanoseconds, as text; the id is text, of letters in old times."""
    price, size, side = positive(data["price"]), positive(data["size"]), taker_side(data["side"])
    if not isinstance(data["tradeId"], str) or not data["tradeId"]:
        raise ValueError(f"not an id: {data['tradeId']!r}")
    return Trade(symbol, data["tradeId"], price, size, side, int(data["time"]) // 1000)


def read_body(message: dict, record: dict, symbols: dict[str, str]) -> list:
    """A REST body. It says nothing of its symbol: that is in the record's headers."""
    address = urlsplit(record.get("url") or "")
    named = record.get("symbol") or parse_qs(address.query).get("symbol", [""])[0]
    symbol = symbols.get(named, named)
    if symbol not in symbols.values():
        return []
    if message["code"] == UNKNOWN_SYMBOL:
        return [NotListed(symbol)]
    if message["code"] != DONE:
        return []
    data = message["data"]
    sides = [
        [(positive(price), not_negative(size)) for price, size in data[name]] for name in ("bids", "asks")
    ]
    asked = re.search(r"/level2(?:_([0-9]+))?$", address.path)
    limit = LEVELS_UNKNOWN if asked is None else None if asked[1] is None else int(asked[1])
    return [Snapshot(symbol, int(data["sequence"]), *sides, limit)]


class Book(AnyBook):
    """A book proven by numbers without a gap, begun by a REST snapshot that may fall amid a message."""

    def __init__(self) -> None:
        super().__init__()
        self.covered_low: Decimal | None = None
        self.covered_high: Decimal | None = None
        self.updates: deque[Update] = deque(maxlen=BUFFERED_UPDATES)

    def take(self, item: object) -> None:
        """One message, snapshot or refusal."""
        if isinstance(item, Update):
            self.update(item)
        elif isinstance(item, Snapshot):
            self.restart(item)
        else:
            super().take(item)

    def update(self, update: Update) -> None:
        """Apply a message if it continues the book; it is kept in any case, for a snapshot still to come."""
        self.updates.append(update)
        if not self.takes_updates or update.last <= self.last:
            return
        if update.first > self.last + 1:
            self.reason = "sequence_gap"
            return
        self.apply(update)
        self.reason = None

    def apply(self, update: Update) -> None:
        """The book after this message: only changes beyond the book's number count."""
        new = [change for change in update.changes if change.number > self.last]
        self.change(
            [(change.price, change.size) for change in new if change.is_bid],
            [(change.price, change.size) for change in new if not change.is_bid],
        )
        self.last = update.last

    def restart(self, snapshot: Snapshot) -> None:
        """Take a snapshot if it can be joined to the messages kept, else leave the book as it is (another comes)."""
        later = [update for update in self.updates if update.last > snapshot.last]
        reached = snapshot.last
        for update in later:
            if update.first > reached + 1:
                return
            reached = max(reached, update.last)
        self.replace(snapshot.bids, snapshot.asks)
        self.covered_low = min(dict(snapshot.bids)) if is_limited(snapshot.bids, snapshot.limit) else None
        self.covered_high = max(dict(snapshot.asks)) if is_limited(snapshot.asks, snapshot.limit) else None
        self.last = snapshot.last
        self.reason = None
        for update in later:
            self.apply(update)


def is_limited(levels: Levels, limit: int | None) -> bool:
    """Whether the exchange cut this side of a snapshot: it is as long as was asked for."""
    return limit is not None and len(levels) >= limit
