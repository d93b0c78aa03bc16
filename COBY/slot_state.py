"""What a slot keeps of its connections and symbols, and the shape in which it is saved."""

from __future__ import annotations

import msgspec

from COBY.processing import ConnectionProcessor, ConnectionState
from COBY.quality import Minute
from COBY.records import Gap
from COBY.trades import SECOND_US, Trades, TradeState

RESYNC_EVENT_US = 1 * SECOND_US
"""A broken sequence asks for a snapshot at most so often."""


class Connection:
    """One connection of the slot: the books it builds, and when it was last heard."""

    __slots__ = ("asked_us", "frame_us", "name", "processor", "record_us", "seq")

    def __init__(self, name: str, processor: ConnectionProcessor, stream_us: int) -> None:
        """Heard for the first time at ``stream_us``."""
        self.name = name
        self.processor = processor
        self.record_us = self.frame_us = stream_us
        self.seq = 0
        # Its session fetches the first snapshots by itself: reminders wait a while, a broken sequence does not.
        self.asked_us = dict.fromkeys(processor.books, stream_us - RESYNC_EVENT_US)


class SymbolState:
    """What is known of a symbol over all connections of the slot."""

    __slots__ = ("gap", "minute", "proven_us", "shown", "trades")

    def __init__(self, symbol: str, exchange: str) -> None:
        """Never live."""
        self.trades = Trades(symbol, exchange)
        self.minute = Minute()
        self.shown = False
        self.proven_us = 0
        self.gap: Gap | None = None


class SavedConnection(msgspec.Struct):
    """A connection as saved."""

    name: str
    record_us: int
    frame_us: int
    seq: int
    asked_us: dict[str, int]
    state: ConnectionState


class SavedSymbol(msgspec.Struct):
    """A symbol as saved."""

    trades: TradeState
    minute: Minute
    shown: bool
    proven_us: int
    gap: Gap | None


class SavedSlot(msgspec.Struct):
    """A slot as saved."""

    connections: list[SavedConnection]
    symbols: dict[str, SavedSymbol]
    closed: str
