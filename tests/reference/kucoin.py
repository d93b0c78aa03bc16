"""KuCoin: what a frame or body says, and one connection's book of one symbol (EXCHANGES.md §7)."""

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

from tests.reference.decimals import not_negative, positive
from tests.reference.exchange import UNREADABLE, NotListed, Trade, pair_of, taker_side, whole
from tests.reference.rest_book import RestBook, Snapshot

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


class Book(RestBook):
    """A book proven by numbers without a gap, begun by a REST snapshot that may fall amid a message."""

    update_type = Update

    def apply(self, update: Update) -> None:
        """The book after this message: only changes beyond the book's number count."""
        new = [change for change in update.changes if change.number > self.last]
        self.change(
            [(change.price, change.size) for change in new if change.is_bid],
            [(change.price, change.size) for change in new if not change.is_bid],
        )
        self.last = update.last

    def joins(self, last: int, later: list[Update]) -> bool:
        for update in later:
            if update.first > last + 1:
                return False
            last = max(last, update.last)
        return True
