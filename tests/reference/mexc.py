"""MEXC: what a frame or body says, and one connection's book of one symbol (EXCHANGES.md §10).

Push messages are Protocol Buffers: a field is a key (number * 8 + wire type) and a value, of wire type 0 a number in
groups of seven bits, of 2 a length and bytes, of 1 and 5 eight and four bytes.
"""

import json
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

from tests.reference.decimals import not_negative, positive
from tests.reference.exchange import UNREADABLE, Levels, NotListed, Trade, whole
from tests.reference.rest_book import Depth, RestBook, Snapshot

LIMIT_UNKNOWN = 5000
INVALID_SYMBOL = -1121
DEPTH, DEALS = "spot@public.aggre.depth.v3.api.pb@", "spot@public.aggre.deals.v3.api.pb@"
TAKER = {1: "buy", 2: "sell"}

Fields = dict[int, list]
"""Field number -> its values in order: numbers, or bytes."""


def exchange_symbol(symbol: str) -> str:
    """BTCUSDT is BTCUSDT."""
    return symbol


def read(record: dict, symbols: dict[str, str]) -> list:
    """What one raw record of kind ws or http says; nothing where it can't be used or is about something else."""
    try:
        if record["kind"] == "http":
            return read_body(json.loads(record["value"]), record, symbols)
        if record["value"][:1] in (b"{", b"["):
            return []  # answers to requests
        return read_push(fields(record["value"]), symbols, f"{record.get('conn')}-{record.get('seq')}")
    except UNREADABLE:
        return []  # to the pipeline's dead letters: no trade, no change of a book


def read_push(push: Fields, symbols: dict[str, str], place: str) -> list:
    """The wrapper: 1 channel, 3 symbol, 6 sendTime, 313 depths, 314 deals."""
    channel = text(push, 1)
    name = channel.rpartition("@")[2]
    if name not in symbols or text(push, 3) not in ("", name):
        return []
    if channel.startswith(DEPTH) and 313 in push:
        return [read_depth(fields(push[313][-1]), symbols[name])]
    if channel.startswith(DEALS) and 314 in push:
        return read_deals(fields(push[314][-1]), symbols[name], place)
    return []


def read_depth(body: Fields, symbol: str) -> Depth:
    """1 asks, 2 bids, 4 fromVersion, 5 toVersion; an absent side has no changes."""
    first, last = version(text(body, 4)), version(text(body, 5))
    if last < first:
        raise ValueError(f"{last} before {first}")
    return Depth(symbol, first, last, read_levels(body.get(2, [])), read_levels(body.get(1, [])))


def read_levels(messages: list[bytes]) -> Levels:
    """1 price, 2 quantity, in the order sent."""
    rows = [fields(message) for message in messages]
    return [(positive(text(row, 1)), not_negative(text(row, 2))) for row in rows]


def read_deals(body: Fields, symbol: str, place: str) -> list[Trade]:
    """1 price, 2 quantity, 3 tradeType, 4 time in ms, 5 tradeId. One that can't be used takes no other with it.

    Without an id a trade is known by the place where it was received: connection, number of the record, place in it.
    """
    trades = []
    for index, deal in enumerate(map(fields, body.get(1, []))):
        try:
            price, size, side = positive(text(deal, 1)), positive(text(deal, 2)), TAKER[deal[3][-1]]
            trade_id = text(deal, 5) or f"{place}-{index}"
            trades.append(Trade(symbol, trade_id, price, size, side, deal[4][-1] * 1000))
        except UNREADABLE:
            continue
    return trades


def read_body(message: dict, record: dict, symbols: dict[str, str]) -> list:
    """A REST body. It says nothing of its symbol: that is in the record's headers."""
    query = parse_qs(urlsplit(record.get("url") or "").query)
    named = record.get("symbol") or query.get("symbol", [""])[0]
    symbol = symbols.get(named, named)
    if symbol not in symbols.values():
        return []
    if message.get("code") == INVALID_SYMBOL or message.get("symbols") == []:
        return [NotListed(symbol)]
    sides = [
        [(positive(price), not_negative(size)) for price, size in message[name]] for name in ("bids", "asks")
    ]
    limit = int(query["limit"][0]) if "limit" in query else LIMIT_UNKNOWN
    return [Snapshot(symbol, whole(message["lastUpdateId"]), *sides, limit)]


def fields(message: bytes) -> Fields:
    """All fields of a message. ValueError for one that is cut short."""
    found: Fields = {}
    place = 0
    while place < len(message):
        key, place = varint(message, place)
        if key % 8 == 0:
            value, place = varint(message, place)
        else:
            size = {1: 8, 5: 4}.get(key % 8)
            if key % 8 == 2:
                size, place = varint(message, place)
            if size is None or place + size > len(message):
                raise ValueError(f"cut short at {place}")
            value, place = message[place : place + size], place + size
        found.setdefault(key // 8, []).append(value)
    return found


def varint(message: bytes, place: int) -> tuple[int, int]:
    """A number, and where it ends."""
    value = 0
    for count in range(10):
        byte = message[place + count]  # IndexError: cut short
        value += (byte & 127) << 7 * count
        if byte < 128:
            return value, place + count + 1
    raise ValueError("a number without end")


def text(message: Fields, number: int) -> str:
    """A text field; absent is the same as empty."""
    return message.get(number, [b""])[-1].decode()


def version(value: str) -> int:
    """Versions are texts of digits."""
    if not (value.isascii() and value.isdigit()):
        raise ValueError(f"not a version: {value!r}")
    return int(value)


class Book(RestBook):
    """A book proven by the chain of versions, begun by a REST snapshot."""

    def joins(self, last: int, later: list[Depth]) -> bool:
        if later and later[0].first > last + 1:
            return False
        return all(after.first <= before.last + 1 for before, after in pairwise(later))
