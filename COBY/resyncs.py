"""Requests for snapshots of one slot: what is asked for, and how often at most. Pure."""

from __future__ import annotations

from COBY.records import Resync
from COBY.slot_state import Connection, Emit
from COBY.trades import SECOND_US

REPEAT_US = 5 * SECOND_US
RENEWING_US = 10 * SECOND_US
"""A snapshot that is on its way anyway is waited for so much longer."""
HEALABLE = ("producer_lost", "stale", "not_listed")
"""Blindness that no new snapshot would end."""


class Resyncs:
    """When each book was last asked for is its connection's to know: it is part of the state."""

    def __init__(self, exchange: str, slot: str) -> None:
        """The names that requests carry."""
        self._exchange = exchange
        self._slot = slot

    def ask(
        self, connection: Connection, symbol: str, reason: str, wait_us: int, stream_us: int, emit: Emit
    ) -> None:
        """Ask for a snapshot, unless that was done less than ``wait_us`` ago."""
        if stream_us - connection.asked_us[symbol] >= wait_us:
            connection.asked_us[symbol] = stream_us
            emit(Resync(self._exchange, self._slot, connection.name, symbol, reason, stream_us))

    def renewing(self, connection: Connection, symbol: str, stream_us: int) -> None:
        """A snapshot comes by itself: asking would have a book that has just come back subscribed anew, for ever."""
        connection.asked_us[symbol] = stream_us + RENEWING_US

    def remind(self, connection: Connection, time_us: int, emit: Emit) -> None:
        """A book that has waited for its snapshot for too long asks again, while there is anybody to ask."""
        if connection.lost(time_us):
            return
        for symbol, book in connection.processor.books.items():
            if book.reason is not None and book.reason not in HEALABLE:
                self.ask(connection, symbol, book.reason, REPEAT_US, time_us, emit)
