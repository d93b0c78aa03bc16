"""Gate.io v4 spot: what a frame says, and one connection's book of one symbol (EXCHANGES.md §8)."""

import json
import re
from dataclasses import dataclass

from tests.reference.decimals import not_negative, positive
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

BOOK_LEVELS = 400
BOOK = re.compile(rf"ob\.(\w+)\.{BOOK_LEVELS}")
UNKNOWN = re.compile(r"(?i)unknown currency pair\W+(\w+)")


@dataclass(frozen=True)
class Push:
    """The changes first … last of a book, or all of it as of last (then first is None)."""

    symbol: str
    bids: Levels
    asks: Levels
    first: int | None
    last: int


def exchange_symbol(symbol: str) -> str:
    """BTCUSDT is BTC_USDT."""
    return "_".join(pair_of(symbol))


def read(record: dict, symbols: dict[str, str]) -> list:
    """What one raw record says. Choice: of a list of trades one that can't be read spoils none of the others."""
    if record["kind"] != "ws":
        return []
    try:
        message = json.loads(record["value"])
        if message.get("error"):
            return read_refusal(message, symbols)
        if message.get("event") != "update":
            return []
        result = message["result"]
        if message["channel"] == "spot.obu":
            topic = BOOK.fullmatch(result["s"])
            return [read_push(result, symbols[topic[1]])] if topic and topic[1] in symbols else []
        if message["channel"] == "spot.trades":
            return read_trades(result if isinstance(result, list) else [result], symbols)
        return []
    except UNREADABLE:
        return []  # to the pipeline's dead letters: no trade, no change of a book


def read_refusal(message: dict, symbols: dict[str, str]) -> list:
    """A subscription of a pair that there is not; the text names it."""
    found = UNKNOWN.search(message["error"]["message"])
    if message.get("event") != "subscribe" or found is None or found[1] not in symbols:
        return []
    return [NotListed(symbols[found[1]])]


def read_push(result: dict, symbol: str) -> Push:
    """{"t", "s", "u", "b"?, "a"?} with either "full": true or "U"; a side that is absent has no change."""
    last, bids, asks = whole(result["u"]), read_levels(result.get("b")), read_levels(result.get("a"))
    whole(result["t"])
    if result.get("full") is True:
        return Push(symbol, bids, asks, None, last)
    if whole(result["U"]) > last or last >= 2**63:
        raise ValueError(f"from {result['U']} to {last}")
    return Push(symbol, bids, asks, result["U"], last)


def read_levels(rows: list | None) -> Levels:
    """[[price, size], …] in the order sent."""
    return [(positive(price), not_negative(size)) for price, size in rows or []]


def read_trades(entries: list, symbols: dict[str, str]) -> list[Trade]:
    """Those that can be read."""
    found = []
    for entry in entries:
        try:
            found.append(read_trade(entry, symbols[entry["currency_pair"]]))
        except UNREADABLE:
            continue
    return found


def read_trade(entry: dict, symbol: str) -> Trade:
    """The side is the taker's; the time is milliseconds with a fraction, of which whole microseconds count."""
    told = re.fullmatch(r"([0-9]+)(?:\.([0-9]+))?", str(entry["create_time_ms"]))
    if told is None or not isinstance(entry["id"], int | str):
        raise ValueError(f"not a trade: {entry!r}")
    time_us = int(told[1]) * 1000 + int(f"{told[2] or ''}000"[:3])
    price, size = positive(entry["price"]), positive(entry["amount"])
    return Trade(symbol, str(entry["id"]), price, size, taker_side(entry["side"]), time_us)


class Book(WindowedBook):
    """A book proven by its numbers: each update begins after the last one's end."""

    window = BOOK_LEVELS

    def take(self, item: object) -> None:
        """One push or refusal."""
        if not isinstance(item, Push):
            super().take(item)
        elif item.first is None:
            self.replace(item.bids, item.asks)
            self.last, self.reason = item.last, None
        elif self.takes_updates:
            if self.last is None or item.first != self.last + 1:
                self.reason = "sequence_gap"
                return
            self.change(item.bids, item.asks)
            self.last, self.reason = item.last, None
