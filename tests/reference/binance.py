"""Binance: what a frame says, and one connection's book of one symbol (EXCHANGES.md §1)."""

import json
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

from tests.reference.decimals import not_negative, positive
from tests.reference.exchange import UNREADABLE, Levels, NotListed, Trade, whole
from tests.reference.rest_book import Depth, RestBook, Snapshot

LIMITED_FROM_LEVELS = 1000
INVALID_SYMBOL = -1121


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
    limit = int(query["limit"][0]) if "limit" in query else LIMITED_FROM_LEVELS
    bids, asks = read_levels(message["bids"]), read_levels(message["asks"])
    return [Snapshot(symbol, whole(message["lastUpdateId"]), bids, asks, limit)]


def read_levels(rows: list) -> Levels:
    """[[price, size], …] in the order sent; all of it is read before any of it is used."""
    return [(positive(row[0]), not_negative(row[1])) for row in rows]


def time_us(value: int) -> int:
    """Milliseconds, or microseconds where the connection asked for those: by size, 10**14 ms is the year 5138."""
    return value if value >= 10**14 else value * 1000


class Book(RestBook):
    """A book proven by the chain of update ids, begun by a REST snapshot."""

    def joins(self, last: int, later: list[Depth]) -> bool:
        """Choice: `lastUpdateId` = first buffered U - 1 joins (the rule U <= lastUpdateId + 1 <= u holds)."""
        if later and later[0].first > last + 1:
            return False
        return all(after.first == before.last + 1 for before, after in pairwise(later))
