"""Requests for snapshots of one slot: what is asked for, and how often at most. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from COBY.exchanges.base import AnyEvent, Rejected
from COBY.records import Resync
from COBY.slot_state import RESYNC_EVENT_US, Connection
from COBY.symbol_states import Emit, SymbolState
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

    def remind(
        self, connection: Connection, symbols: Mapping[str, SymbolState], time_us: int, emit: Emit
    ) -> None:
        """A book that has waited for its snapshot for too long asks again, while there is anybody to ask.

        Sooner, if it was lost after it had asked: that was too soon to ask once more.
        """
        if connection.lost(time_us):
            return
        for symbol, book in connection.processor.books.items():
            if book.reason is not None and book.reason not in HEALABLE:
                gap = symbols[symbol].gap
                asked_us = connection.asked_us[symbol]
                is_new = gap is not None and gap.conn == connection.name and gap.timestamp > asked_us
                wait_us = RESYNC_EVENT_US if is_new else REPEAT_US
                self.ask(connection, symbol, book.reason, wait_us, time_us, emit)

    def answered(
        self,
        connection: Connection,
        symbol: str | None,
        events: Iterable[AnyEvent],
        stream_us: int,
        emit: Emit,
    ) -> None:
        """A REST answer that can't be used is asked for once more; its session waits, as for one too old."""
        book = connection.processor.books.get(symbol or "")
        if book is not None and book.reason is not None and any(type(event) is Rejected for event in events):
            self.ask(connection, symbol or "", "snapshot_unusable", 0, stream_us, emit)
