"""HTX: what a frame says, and one connection's book of one symbol (EXCHANGES.md §6)."""

import gzip
import json
import re
from dataclasses import dataclass, replace
from decimal import Decimal

from tests.reference.decimals import not_negative_number, positive_number
from tests.reference.exchange import UNREADABLE, Levels, Trade, WindowedBook, taker_side, whole

BOOK_LEVELS = 400
GZIP = b"\x1f\x8b"
CHANNEL = re.compile(r"market\.([a-z0-9]+)\.(mbp\.400|trade\.detail)")


@dataclass(frozen=True)
class Update:
    """Changes of a book that follow its number `previous` and make it `last`."""

    symbol: str
    previous: int
    last: int
    bids: Levels
    asks: Levels


@dataclass(frozen=True)
class Snapshot:
    """The answer to a request: the whole book at `last`."""

    symbol: str
    last: int
    bids: Levels
    asks: Levels


@dataclass(frozen=True)
class Confirmed:
    """The subscription to a symbol's trades was confirmed at this time of the exchange."""

    symbol: str
    time_us: int


@dataclass(frozen=True)
class FrameEnd:
    """Behind the trades of a frame."""

    symbol: str


def exchange_symbol(symbol: str) -> str:
    """BTCUSDT is btcusdt."""
    return symbol.lower()


def read(record: dict, symbols: dict[str, str]) -> list:
    """What one raw record says; each is gzip of JSON, or that JSON itself."""
    if record["kind"] != "ws":
        return []
    try:
        value = record["value"]
        message = json.loads(gzip.decompress(value) if value.startswith(GZIP) else value, parse_float=Decimal)
        channel = message.get("ch") or message.get("rep") or message.get("subbed")
        name, kind = CHANNEL.fullmatch(channel).groups()
        symbol = symbols[name]
        if "ch" in message:
            if kind == "mbp.400":
                return [read_update(message["tick"], symbol)]
            return [*read_trades(message, symbol), FrameEnd(symbol)]
        if "rep" in message:
            return [read_snapshot(message, symbol)] if kind == "mbp.400" else []
        return [Confirmed(symbol, whole(message["ts"]) * 1000)] if kind == "trade.detail" else []
    except (*UNREADABLE, OSError, EOFError):
        return []  # to the pipeline's dead letters, or about something else


def read_update(tick: dict, symbol: str) -> Update:
    """{"seqNum", "prevSeqNum", "bids", "asks"}; a side without changes may be missing."""
    previous, last = whole(tick["prevSeqNum"]), whole(tick["seqNum"])
    return Update(
        symbol, previous, last, read_levels(tick.get("bids") or []), read_levels(tick.get("asks") or [])
    )


def read_snapshot(message: dict, symbol: str) -> Snapshot:
    """{"status": "ok", "data": {"seqNum", "bids", "asks"}}; the data can be null, which says nothing."""
    if message["status"] != "ok":
        raise ValueError(f"status {message['status']!r}")
    data = message["data"]
    return Snapshot(symbol, whole(data["seqNum"]), read_levels(data["bids"]), read_levels(data["asks"]))


def read_levels(rows: list) -> Levels:
    """[[price, size], …], numbers, in the order sent."""
    return [(positive_number(price), not_negative_number(size)) for price, size in rows]


def read_trades(message: dict, symbol: str) -> list[Trade]:
    """Oldest first. The exchange sends the newest first: in its captures, takers walk the book from there."""
    trades = [read_trade(entry, symbol) for entry in message["tick"]["data"]]
    return sorted(trades, key=lambda trade: int(trade.trade_id))


def read_trade(entry: dict, symbol: str) -> Trade:
    """Its id is `tradeId`; `id` has more digits than other programs keep."""
    price, size = positive_number(entry["price"]), positive_number(entry["amount"])
    side, time_us = taker_side(entry["direction"]), whole(entry["ts"]) * 1000
    return Trade(symbol, str(whole(entry["tradeId"])), price, size, side, time_us)


class Book(WindowedBook):
    """A book proven by the link from each update to the one before it, begun by a snapshot asked for.

    Updates without a gap between them are kept until one joins. A snapshot newer than them waits for the update that
    ends at its number, or follows it. While the book is live, snapshots are not asked for and say nothing.
    """

    window = BOOK_LEVELS

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Update] = []
        self.newer: Snapshot | None = None
        self.confirmed_us: int | None = None

    def take(self, item: object) -> None:
        """One update, snapshot, confirmation or refusal."""
        if isinstance(item, Confirmed | FrameEnd):
            self.confirmed_us = item.time_us if isinstance(item, Confirmed) else None
        elif isinstance(item, Update):
            self.update(item)
        elif isinstance(item, Snapshot):
            if not self.takes_updates:
                self.join(item)
        else:
            super().take(item)

    def seen(self, trade: Trade) -> Trade:
        """Of the first frame after the confirmation, a trade that is not younger is the last one of before it."""
        if self.confirmed_us is None:
            return trade
        return replace(trade, history=trade.time_us <= self.confirmed_us)

    def update(self, update: Update) -> None:
        """Only the link counts."""
        if not self.takes_updates:
            self.keep(update)
            if self.newer is not None:
                self.join(self.newer)
        elif update.previous == self.last:
            self.apply(update)
        else:
            self.reason = "sequence_gap"
            self.kept, self.newer = [update], None

    def keep(self, update: Update) -> None:
        """What is kept has no gap; an update that does not follow begins it anew."""
        if self.kept and update.previous != self.kept[-1].last:
            self.kept = []
        self.kept.append(update)

    def join(self, snapshot: Snapshot) -> None:
        """Begin with the snapshot if the updates kept say how it goes on; else leave the book as it is."""
        before, self.newer = self.newer, None
        if self.kept and snapshot.last > self.kept[-1].last:
            self.newer = snapshot
            return
        if not self.kept and (before is None or before.last != snapshot.last):
            self.newer = snapshot  # it may lack an update: the next one says so, or the same number once more
            return
        follows = [place for place, update in enumerate(self.kept) if update.previous == snapshot.last]
        if self.kept and not follows and snapshot.last != self.kept[-1].last:
            return
        later = self.kept[follows[0] :] if follows else []
        self.replace(snapshot.bids, snapshot.asks)
        self.last, self.reason, self.kept = snapshot.last, None, []
        for update in later:
            self.apply(update)

    def apply(self, update: Update) -> None:
        """The book after this update: its best 400 levels a side."""
        self.change(update.bids, update.asks)
        self.bids, self.asks = dict(self.best_bids(BOOK_LEVELS)), dict(self.best_asks(BOOK_LEVELS))
        self.last, self.reason = update.last, None
