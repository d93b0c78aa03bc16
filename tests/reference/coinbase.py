"""Coinbase Advanced Trade: what a frame says, and one connection's book of one symbol (EXCHANGES.md §2 A).

The messages of a connection are counted together, so every book of it is told every number.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.reference.decimals import not_negative, positive
from tests.reference.exchange import UNREADABLE, AnyBook, Levels, NotListed, Trade, pair_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TAKER_OF_MAKER = {"BUY": "sell", "SELL": "buy"}
MOST_OLD, MOST_BACK = 2, 100


@dataclass(frozen=True)
class Number:
    """A message came that is the connection's `number`th; None: nobody can read it."""

    symbol: str
    number: int | None


@dataclass(frozen=True)
class Message:
    """A change of the book in the message of that number."""

    symbol: str
    number: int
    is_snapshot: bool
    bids: Levels
    asks: Levels


@dataclass(frozen=True)
class Unusable:
    """The message of that number may have held a change of the book."""

    symbol: str
    number: int


@dataclass(frozen=True)
class Subscribed:
    """Whether the whole list of subscriptions has the book."""

    symbol: str
    number: int
    is_listed: bool


def exchange_symbol(symbol: str) -> str:
    """BTCUSDT is BTC-USDT."""
    return "-".join(pair_of(symbol))


def read(record: dict, symbols: dict[str, str]) -> list:
    """What one raw record says. Choice: the trades of a message with an old number count, as their ids tell them."""
    if record["kind"] != "ws":
        return []
    everybody = symbols.values()
    try:
        message = json.loads(record["value"])
        if isinstance(message, list) and message:
            return []
        channel, number = message.get("channel"), message.get("sequence_num")
    except UNREADABLE:
        return [Number(symbol, None) for symbol in everybody]
    if channel is None and number is None:
        return read_refusal(message, symbols)
    if type(number) is not int or not 0 <= number < 2**63 - 1:
        return [Number(symbol, None) for symbol in everybody]
    told = [Number(symbol, number) for symbol in everybody]
    readers = {"l2_data": read_books, "market_trades": read_trades, "subscriptions": read_list}
    if not isinstance(channel, str):
        return told + [Unusable(symbol, number) for symbol in everybody]
    if channel not in readers:
        return told
    try:
        return told + readers[channel](message["events"], number, symbols)
    except UNREADABLE:
        doubted = everybody if channel == "l2_data" else ()
        return told + [Unusable(symbol, number) for symbol in doubted]


def known(product: str, symbols: dict[str, str]) -> str | None:
    """Our symbol of a product; a market that was asked for in USDC answers as the one in USD."""
    return symbols.get(product) or (symbols.get(product + "C") if product.endswith("-USD") else None)


def read_refusal(message: dict, symbols: dict[str, str]) -> list:
    """An error that names a product of ours and calls it one."""
    text = f"{message.get('message')} {message.get('reason')}"
    if message.get("type") != "error" or "product" not in text.lower():
        return []
    named = set(re.findall(r"[\w-]+", text))
    return [NotListed(symbol) for name, symbol in symbols.items() if name in named]


def read_books(events: list, number: int, symbols: dict[str, str]) -> list:
    """Event by event; one that names no product may have been of any."""
    found: list = []
    for event in list(events):
        try:
            symbol = known(event["product_id"], symbols)
        except UNREADABLE:
            found += [Unusable(symbol, number) for symbol in symbols.values()]
            continue
        if symbol is None:
            continue
        try:
            found.append(read_book(event, symbol, number))
        except UNREADABLE:
            found.append(Unusable(symbol, number))
    return found


def read_book(event: dict, symbol: str, number: int) -> Message:
    """{"type", "updates": [{"side": "bid" | "offer", "price_level", "new_quantity", "event_time"}]}."""
    is_snapshot = {"snapshot": True, "update": False}[event["type"]]
    sides: dict[str, Levels] = {"bid": [], "offer": []}
    for row in event["updates"]:
        sides[row["side"]].append((positive(row["price_level"]), not_negative(row["new_quantity"])))
    return Message(symbol, number, is_snapshot, sides["bid"], sides["offer"])


def read_trades(events: list, number: int, symbols: dict[str, str]) -> list:
    """The newest of a list comes first; those of a snapshot are of before the subscription."""
    return [
        read_trade(entry, symbol, event["type"])
        for event in events
        for entry in reversed(event["trades"])
        if (symbol := known(entry["product_id"], symbols)) is not None
    ]


def read_trade(entry: dict, symbol: str, kind: str) -> Trade:
    """`side` is the maker's."""
    history = {"snapshot": True, "update": False}[kind]
    price, size, side = positive(entry["price"]), positive(entry["size"]), TAKER_OF_MAKER[entry["side"]]
    if not isinstance(entry["trade_id"], str) or not entry["trade_id"]:
        raise ValueError(f"not an id: {entry['trade_id']!r}")
    time = datetime.fromisoformat(entry["time"])
    time_us = (time - EPOCH) // timedelta(microseconds=1)  # TypeError for a time without an offset
    return Trade(symbol, entry["trade_id"], price, size, side, time_us, history)


def read_list(events: list, number: int, symbols: dict[str, str]) -> list:
    """A whole list has the heartbeats, which are subscribed before all else; another says only what it has."""
    lists = [event["subscriptions"] for event in events]
    listed = {known(name, symbols) for one in lists for name in one.get("level2", [])}
    is_whole = any("heartbeats" in one for one in lists)
    return [
        Subscribed(symbol, number, symbol in listed)
        for symbol in symbols.values()
        if is_whole or symbol in listed
    ]


class Book(AnyBook):
    """A whole book, proven by the count of all messages of its connection."""

    covered_low = covered_high = None

    def __init__(self) -> None:
        super().__init__()
        self.expected: int | None = None
        self.old = 0
        self.was_listed = False

    def take(self, item: object) -> None:
        """A number, or what is in the message of the last number, unless that was an old one."""
        if isinstance(item, Number):
            self.count(item.number)
        elif isinstance(item, Message | Unusable | Subscribed):
            if item.number + 1 == self.expected and self.old == 0:
                self.read(item)
        else:
            super().take(item)

    def count(self, number: int | None) -> None:
        """Each number is the last + 1. Old ones are ignored; several, or one far back: the count has begun anew."""
        if number is None or self.expected is None:
            self.old = 0
            self.expected = None if number is None else number + 1
            if number is None:
                self.gap()
            return
        back = self.expected - number
        if 1 <= back <= MOST_BACK and self.old < MOST_OLD:
            self.old += 1
            return
        self.old, self.expected = 0, number + 1
        if back != 0:
            self.gap()

    def read(self, item: Message | Unusable | Subscribed) -> None:
        """What is in a message that counts."""
        if isinstance(item, Unusable):
            self.gap()
        elif isinstance(item, Subscribed):
            if self.was_listed and not item.is_listed:
                self.gap()
            self.was_listed = item.is_listed
        elif item.is_snapshot:
            self.replace(item.bids, item.asks)
            self.reason = None
        elif self.takes_updates:
            self.change(item.bids, item.asks)
            self.reason = None

    def gap(self) -> None:
        """Something is missing: only a snapshot proves the book again."""
        if self.takes_updates:
            self.reason = "sequence_gap"
