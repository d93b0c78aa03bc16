"""MEXC's push messages for tests, written by the encoding's description: fields of texts and of small numbers."""

from __future__ import annotations

from collections.abc import Iterable

DEPTH, DEALS = "spot@public.aggre.depth.v3.api.pb@100ms", "spot@public.aggre.deals.v3.api.pb@100ms"
TIME = 1_700_000_000_123
Texts = Iterable[tuple[str, str]]


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    return bytes([value]) if value < 128 else bytes([value % 128 + 128]) + varint(value // 128)


def field(number: int, value: str | bytes | int) -> bytes:
    """A number, or a text or message with its length."""
    if isinstance(value, int):
        return varint(number * 8) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number * 8 + 2) + varint(len(raw)) + raw


def push(channel: str, body: bytes = b"", symbol: str = "BTCUSDT", named: str | None = None) -> bytes:
    """The wrapper; ``named``: another symbol in it than in its channel."""
    head = field(1, f"{channel}@{symbol}") + field(3, symbol if named is None else named)
    return head + field(6, TIME) + body


def depth(
    first: int | str, last: int | str, bids: Texts = (), asks: Texts = (), symbol: str = "BTCUSDT"
) -> bytes:
    """Changes from version ``first`` to ``last``."""
    sides = [(1, asks), (2, bids)]
    levels = [
        field(number, field(1, price) + field(2, size)) for number, side in sides for price, size in side
    ]
    body = b"".join(levels) + field(3, DEPTH) + field(4, str(first)) + field(5, str(last))
    return push(DEPTH, field(313, body), symbol)


def deal(
    price: str = "100.5", size: str = "0.25", kind: int = 1, time: int = TIME, trade_id: str = ""
) -> bytes:
    """One trade; without an id as most are."""
    row = field(1, price) + field(2, size) + field(3, kind) + field(4, time)
    return row + (field(5, trade_id) if trade_id else b"")


def deals(*rows: bytes, symbol: str = "BTCUSDT") -> bytes:
    """Trades."""
    return push(DEALS, field(314, b"".join(field(1, row) for row in rows) + field(2, DEALS)), symbol)
