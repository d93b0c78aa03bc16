"""What a slot keeps of its connections and symbols, and the shape in which it is saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from COBY.processing import ConnectionProcessor, ConnectionState
from COBY.quality import Minute
from COBY.records import Gap, Record
from COBY.stage import MAX_DETAIL
from COBY.trades import SECOND_US, Trades, TradeState

LOST_US = 2 * SECOND_US
"""No record of a connection for so long of stream time: producer_lost."""
RESYNC_EVENT_US = 1 * SECOND_US
"""A broken sequence asks for a snapshot at most so often."""


class DeadLetter(NamedTuple):
    """A record, or a part of it, that could not be used: the shell's record goes to the dead letters with this."""

    code: str
    detail: str


Emit = Callable[[Record | DeadLetter], None]


class Frame(msgspec.Struct, frozen=True, gc=False):
    """A raw record as a slot takes it; times in microseconds."""

    offset: int
    conn: str
    seq: int
    kind: str
    value: bytes
    symbol: str | None
    url: str | None


class ConnectionEvent(msgspec.Struct):
    """What a producer writes of a connection; of its fields those that change a book."""

    event: str
    symbol: str | None = None
    reason: str | None = None
    not_listed: bool = False


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

    def lost(self, time_us: int) -> bool:
        """Whether its producer has been silent for too long."""
        return time_us - self.record_us >= LOST_US

    def shift(self, shift_us: int) -> None:
        """Stream time was set anew: what was measured in it moves along."""
        self.record_us += shift_us
        self.frame_us += shift_us
        self.asked_us = {symbol: at + shift_us for symbol, at in self.asked_us.items()}

    def save(self) -> SavedConnection:
        """The state."""
        return SavedConnection(
            self.name, self.record_us, self.frame_us, self.seq, self.asked_us, self.processor.save()
        )

    def load(self, saved: SavedConnection) -> None:
        """Take up a saved state; symbols no longer served are dropped."""
        self.record_us, self.frame_us, self.seq = saved.record_us, saved.frame_us, saved.seq
        self.processor.load(saved.state)
        self.asked_us |= {name: at for name, at in saved.asked_us.items() if name in self.asked_us}


class SymbolState:
    """What is known of a symbol over all connections of the slot."""

    __slots__ = ("exchange", "gap", "minute", "proven_us", "shown", "symbol", "trades")

    def __init__(self, symbol: str, exchange: str) -> None:
        """Never live."""
        self.symbol = symbol
        self.exchange = exchange
        self.trades = Trades(symbol, exchange)
        self.minute = Minute()
        self.shown = False
        self.proven_us = 0
        self.gap: Gap | None = None

    def went_blind(self, stream_us: int, reason: str, conn: str | None, detail: str, emit: Emit) -> None:
        """Open a gap, from what was last proven on."""
        self.shown = False
        self.minute.gaps += 1
        self.gap = Gap(
            self.symbol, self.exchange, stream_us, self.proven_us, None, reason, conn, detail[:MAX_DETAIL]
        )
        emit(self.gap)

    def came_back(self, stream_us: int, emit: Emit) -> None:
        """Close the gap, if there was one."""
        self.shown = True
        if self.gap is not None:
            emit(msgspec.structs.replace(self.gap, timestamp=stream_us, until_time=stream_us))
            self.gap = None

    def shift(self, shift_us: int) -> None:
        """Stream time was set anew: what was measured in it moves along."""
        self.proven_us += shift_us
        if self.gap is not None:
            self.gap = msgspec.structs.replace(self.gap, from_time=self.gap.from_time + shift_us)

    def save(self) -> SavedSymbol:
        """The state."""
        return SavedSymbol(self.trades.save(), self.minute, self.shown, self.proven_us, self.gap)

    def load(self, saved: SavedSymbol) -> None:
        """Take up a saved state."""
        self.trades.load(saved.trades)
        self.minute, self.shown, self.proven_us, self.gap = (
            saved.minute,
            saved.shown,
            saved.proven_us,
            saved.gap,
        )


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
