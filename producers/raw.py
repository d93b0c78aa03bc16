"""What a raw record is, and the events among them. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable

import msgspec

from COBY.exchanges.base import Slot


class RawRecord(msgspec.Struct, frozen=True, gc=False):
    """One record of a raw topic as it is published; ``received_ns`` nanoseconds UTC, ``seq`` from 1."""

    slot: str
    received_ns: int
    conn: str
    seq: int
    kind: str
    value: bytes | None
    url: str | None = None
    symbol: str | None = None

    def headers(self) -> list[tuple[str, str]]:
        """received_ns, conn, seq, kind, then url and symbol on REST bodies; all UTF-8 text."""
        headers = [
            ("received_ns", str(self.received_ns)),
            ("conn", self.conn),
            ("seq", str(self.seq)),
            ("kind", self.kind),
        ]
        if self.url is not None:
            headers.append(("url", self.url))
        if self.symbol is not None:
            headers.append(("symbol", self.symbol))
        return headers


Observer = Callable[[RawRecord], None]
"""Told of each record that was put, in order."""


def event_value(name: str, **fields: object) -> bytes:
    """The value of an event: `connected` (exchange, slot, symbols, url), `subscribed` (symbols, channels),
    `refused` (symbol, reason, not_listed), `disconnected` (reason), `dropped` (from_seq, to_seq), `alive`, `oversize`
    (length, sha256).
    """
    return json.dumps({"event": name, **fields}, separators=(",", ":")).encode()


def listed(slot: Slot) -> tuple[str, ...]:
    """The symbols of a slot that its exchange has."""
    return tuple(symbol for name, symbol in slot.symbols.items() if not name.startswith("!"))
