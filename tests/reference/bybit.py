"""Bybit v5 spot: what a frame says, and one connection's book of one symbol (EXCHANGES.md §4)."""

import json
import re
from dataclasses import dataclass

from tests.reference.decimals import not_negative, positive
from tests.reference.exchange import UNREADABLE, Levels, NotListed, Trade, WindowedBook, whole

BOOK_LEVELS = 1000
BOOK, TRADES = f"orderbook.{BOOK_LEVELS}.", "publicTrade."
RESTARTED = 1
SIDES = {"Buy": "buy", "Sell": "sell"}
REFUSED = re.compile(r"(?i)invalid (?:symbol|topic)|handler not found")


@dataclass(frozen=True)
class Message:
    """A book message; each has the number after the one before it on its topic."""

    symbol: str
    is_snapshot: bool
    bids: Levels
    asks: Levels
    number: int


def exchange_symbol(symbol: str) -> str:
    """BTCUSDT is BTCUSDT."""
    return symbol


def read(record: dict, symbols: dict[str, str]) -> list:
    """What one raw record says: the topic decides, and the data must be of its symbol."""
    if record["kind"] != "ws":
        return []
    try:
        message = json.loads(record["value"])
        if message.get("success") is False:
            return read_refusal(message, symbols)
        topic = message.get("topic", "")
        if topic.startswith(BOOK) and topic.removeprefix(BOOK) in symbols:
            return [read_book(message, topic.removeprefix(BOOK), symbols)]
        if topic.startswith(TRADES) and topic.removeprefix(TRADES) in symbols:
            return [read_trade(entry, topic.removeprefix(TRADES), symbols) for entry in message["data"]]
        return []
    except UNREADABLE:
        return []  # to the pipeline's dead letters: no trade, no change of a book


def read_refusal(message: dict, symbols: dict[str, str]) -> list:
    """A subscription that failed because of a topic that there is not; the text names it."""
    text = message["ret_msg"]
    if message.get("op") != "subscribe" or REFUSED.search(text) is None:
        return []
    named = [
        word.rpartition(".")[2] for word in re.findall(r"[\w.-]+", text) if word.startswith((BOOK, TRADES))
    ]
    return [NotListed(symbols[name]) for name in named if name in symbols]


def read_book(message: dict, name: str, symbols: dict[str, str]) -> Message:
    """{"type", "data": {"s", "b": [[price, size]], "a", "u"}}.

    Number 1 is a snapshot after a restart, whatever its type. Choice: not if it removes a level or lacks a side, which
    no whole book does.
    """
    data, is_snapshot = message["data"], {"snapshot": True, "delta": False}[message["type"]]
    if data["s"] != name or not 0 < whole(data["u"]) < 2**63 or not isinstance(message["ts"], int):
        raise ValueError(f"not a message of {name}")
    bids, asks = read_levels(data["b"]), read_levels(data["a"])
    is_whole = bool(bids and asks) and all(size != 0 for _, size in bids + asks)
    is_restart = data["u"] == RESTARTED and is_whole
    return Message(symbols[name], is_snapshot or is_restart, bids, asks, data["u"])


def read_levels(rows: list) -> Levels:
    """[[price, size], …] in the order sent."""
    return [(positive(price), not_negative(size)) for price, size in rows]


def read_trade(entry: dict, name: str, symbols: dict[str, str]) -> Trade:
    """S is the taker's side; the message's type says snapshot, but it holds what has just been traded."""
    if entry["s"] != name or not isinstance(entry["i"], str):
        raise ValueError(f"not a trade of {name}")
    price, size, time_us = positive(entry["p"]), positive(entry["v"]), whole(entry["T"]) * 1000
    return Trade(symbols[name], entry["i"], price, size, SIDES[entry["S"]], time_us)


class Book(WindowedBook):
    """A book proven by its numbers alone: each is the last one + 1."""

    window = BOOK_LEVELS

    def take(self, item: object) -> None:
        """One book message or refusal."""
        if not isinstance(item, Message):
            super().take(item)
        elif item.is_snapshot:
            self.replace(item.bids, item.asks)
            self.last, self.reason = item.number, None
        elif self.takes_updates:
            if self.last is None or item.number != self.last + 1:
                self.reason = "sequence_gap"
                return
            self.change(item.bids, item.asks)
            self.last, self.reason = item.number, None
