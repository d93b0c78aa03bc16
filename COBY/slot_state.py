"""What a slot keeps of its connections, and the shape in which a slot is saved."""

from __future__ import annotations

import msgspec

from COBY.processing import ConnectionProcessor, ConnectionState
from COBY.symbol_states import SavedSymbol
from COBY.trades import SECOND_US

LOST_US = 2 * SECOND_US
"""No record of a connection for so long of stream time: producer_lost."""
RESYNC_EVENT_US = 1 * SECOND_US
"""A broken sequence asks for a snapshot at most so often."""


class Frame(msgspec.Struct, frozen=True, gc=False):
    """A raw record as a slot takes it; times in microseconds.

    ``received_us``: the producer's, None where exchange times are not to be held against it; ``clamped``: it was too
    far ahead to be stream time.
    """

    offset: int
    conn: str
    seq: int
    kind: str
    value: bytes
    symbol: str | None
    url: str | None
    received_us: int | None = None
    clamped: bool = False


class ConnectionEvent(msgspec.Struct):
    """What a producer writes of a connection; of its fields those that change a book."""

    event: str
    symbol: str | None = None
    reason: str | None = None
    not_listed: bool = False


class Connection:
    """One connection of the slot: the books it builds, and when it was last heard."""

    __slots__ = ("asked_us", "frame_us", "line", "name", "processor", "record_us", "seq")

    def __init__(self, name: str, processor: ConnectionProcessor, stream_us: int, line: int = 0) -> None:
        """Heard for the first time at ``stream_us``; ``line``: a small number that no other open one has."""
        self.name = name
        self.line = line
        self.processor = processor
        self.record_us = self.frame_us = stream_us
        self.seq = 0
        # Its session fetches the first snapshots by itself: reminders wait a while, a broken sequence does not.
        self.asked_us = dict.fromkeys(processor.books, stream_us - RESYNC_EVENT_US)

    def lost(self, time_us: int) -> bool:
        """Whether its producer has been silent for too long."""
        return time_us - self.record_us >= LOST_US

    def check_silence(self, time_us: int, silence_seconds: float) -> None:
        """Its books are blind if its producer has been silent for too long, or the exchange has."""
        reason = None
        if self.lost(time_us):
            reason = "producer_lost"
        elif time_us - self.frame_us > silence_seconds * SECOND_US:
            reason = "stale"
        if reason is not None:
            for book in self.processor.books.values():
                book.reason = book.reason or reason

    def shift(self, shift_us: int) -> None:
        """Stream time was set anew: what was measured in it moves along."""
        self.record_us += shift_us
        self.frame_us += shift_us
        self.asked_us = {symbol: at + shift_us for symbol, at in self.asked_us.items()}

    def save(self) -> SavedConnection:
        """The state."""
        return SavedConnection(
            self.name,
            self.record_us,
            self.frame_us,
            self.seq,
            self.asked_us,
            self.processor.save(),
            self.line,
        )

    def load(self, saved: SavedConnection) -> None:
        """Take up a saved state; symbols no longer served are dropped."""
        self.record_us, self.frame_us, self.seq = saved.record_us, saved.frame_us, saved.seq
        self.line = saved.line
        self.processor.load(saved.state)
        self.asked_us |= {name: at for name, at in saved.asked_us.items() if name in self.asked_us}


class SavedConnection(msgspec.Struct):
    """A connection as saved."""

    name: str
    record_us: int
    frame_us: int
    seq: int
    asked_us: dict[str, int]
    state: ConnectionState
    line: int


class SavedSlot(msgspec.Struct):
    """A slot as saved."""

    connections: list[SavedConnection]
    symbols: dict[str, SavedSymbol]
    closed: str
