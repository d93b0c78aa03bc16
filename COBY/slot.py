"""One slot of one exchange: its connections, whose book is shown, its trades, gaps, resyncs and quality."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from COBY.book import Book
from COBY.connections import Connections
from COBY.exchanges.base import (
    AnyEvent,
    Delta,
    Exchange,
    Lost,
    NotListed,
    Rejected,
    Repeated,
    Slot,
    Snapshot,
    Stale,
    Trade,
)
from COBY.processing import ConnectionProcessor
from COBY.records import Bar
from COBY.resyncs import REPEAT_US, Resyncs
from COBY.slot_state import (
    RESYNC_EVENT_US,
    Connection,
    ConnectionEvent,
    Frame,
    SavedSlot,
)
from COBY.symbol_states import DeadLetter, Emit, Symbols
from COBY.ticks import blind_tick, book_tick
from COBY.trades import SECOND_US

GRID_US = SECOND_US // 2
"""Between two ticks, where nobody says otherwise."""


class SlotState:
    """The slot's deterministic state. Times are stream time, given with each call."""

    def __init__(
        self,
        exchange: Exchange,
        slot: Slot,
        bucket_size: Callable[[str], int],
        depth: int,
        grid_us: int = GRID_US,
    ) -> None:
        """``bucket_size`` in units by symbol, ``depth`` buckets a side, ``grid_us`` between two ticks."""
        self._exchange = exchange
        self._bucket_size = bucket_size
        self._depth = depth
        self._resyncs = Resyncs(exchange.name, slot.name)
        # Without self in the closure: a state that is given up goes at once, not when cycles are looked for.
        listed = {name: one for name, one in slot.symbols.items() if not name.startswith("!")}
        self._listed = listed
        self._connections = Connections(lambda: ConnectionProcessor(exchange, listed, bucket_size))
        self.symbols = Symbols(slot.symbols.values(), exchange.name, grid_us)

    def take(self, frame: Frame, stream_us: int, emit: Emit) -> None:
        """One record of this slot that is no mark."""
        if frame.clamped:
            self.symbols.clamped()
        connection = self._connections.find(frame.conn)
        if connection is None or (frame.seq == 1 and connection.seq > 1):
            if connection is not None:  # the name is used anew, by another socket
                self._close(frame.conn, stream_us, emit)
            connection = self._begin(frame, stream_us, emit)
            if connection is None:
                return
        if frame.seq <= connection.seq:
            # seq rises by one per record of a connection; what is not newer was taken, or missing and given up.
            emit(DeadLetter("record.repeated", f"seq {frame.seq} comes after {connection.seq}"))
            self.symbols.repeated(None)
            return
        connection.record_us = stream_us
        if frame.seq != connection.seq + 1 and connection.seq:
            self._missing(connection, f"seq {connection.seq} is followed by {frame.seq}", stream_us, emit)
        connection.seq = frame.seq
        if frame.kind == "event":
            self._event(connection, frame, stream_us, emit)
        else:
            connection.frame_us = stream_us
            self._frame(connection, frame, stream_us, emit)

    def tick(self, time_us: int, stream_us: int, emit: Emit) -> None:
        """Emit the records of the tick ``time_us`` as the books stand now, before a record brings ``stream_us``."""
        for connection in self._connections:
            connection.check_silence(time_us, self._exchange.silence_seconds)
            self._resyncs.remind(connection, self.symbols, time_us, emit)
        for symbol, state in self.symbols.items():
            state.close_minute(time_us, emit)
            bars = state.trades.take_bars()
            shown = self._proven(symbol, time_us, emit)
            self._judge(symbol, time_us, emit)
            if shown is None:
                self._blind(symbol, time_us, bars, emit)
            else:
                self._live(symbol, shown, time_us, bars, emit)

    def shown(self, symbol: str) -> Book | None:
        """The book that is shown, None while the symbol is blind."""
        connection = self._connections.shown(symbol)
        return None if connection is None else connection.processor.books[symbol]

    def forget_connections(self, stream_us: int, emit: Emit) -> None:
        """Records of the partition are missing: nothing that was built from them can be continued."""
        self._connections.clear("sequence_gap")
        for symbol in self.symbols:
            self._judge(symbol, stream_us, emit, ended="sequence_gap")

    def shift(self, shift_us: int, emit: Emit) -> None:
        """Stream time was set anew, by so much."""
        for connection in self._connections:
            connection.shift(shift_us)
        self.symbols.shift(shift_us, emit)

    def save(self) -> SavedSlot:
        """The state."""
        connections, closed = self._connections.save()
        return SavedSlot(connections, self.symbols.save(), closed)

    def load(self, saved: SavedSlot) -> None:
        """Take up a saved state; symbols no longer configured are dropped, new ones start blind."""
        self._connections.load(saved.connections, saved.closed)
        self.symbols.load(saved.symbols)

    # --- records ---------------------------------------------------------------------------------------------------

    def _begin(self, frame: Frame, stream_us: int, emit: Emit) -> Connection | None:
        silent = [one.name for one in self._connections if one.lost(stream_us)]
        connection = self._connections.begin(frame.conn, frame.seq, stream_us)
        if connection is not None:
            for symbol, state in self.symbols.items():
                state.trades.forget_line(connection.line)
                was_silent = state.interval is not None and state.interval.conn in silent
                self._judge(symbol, stream_us, emit, ended="producer_lost" if was_silent else None)
        return connection

    def _close(self, name: str, stream_us: int, emit: Emit) -> None:
        self._connections.close(name, "disconnected")
        for symbol in self.symbols:
            self._judge(symbol, stream_us, emit, ended="disconnected")

    def _frame(self, connection: Connection, frame: Frame, stream_us: int, emit: Emit) -> None:
        if not self._listed:
            self.symbols.rejected(Rejected("frame.unknown_symbol", "no symbol of this slot is listed"), emit)
            return
        events = connection.processor.take(frame.value, frame.kind, frame.symbol, frame.url)
        if frame.kind == "http":
            self._resyncs.answered(connection, frame.symbol, events, stream_us, emit)
        index, received_us = 0, frame.received_us
        for event in events:
            if type(event) is Trade:
                self._trade(connection, event, frame, index, stream_us, emit)
                index += 1
                continue
            if isinstance(event, Snapshot):
                received_us = None  # what follows was held for it: older than its receipt
            self._book_event(connection, event, received_us, stream_us, emit)

    def _event(self, connection: Connection, frame: Frame, stream_us: int, emit: Emit) -> None:
        try:
            event = msgspec.json.decode(frame.value, type=ConnectionEvent)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self.symbols.rejected(Rejected("event.format", str(error)), emit)
            return
        name = event.event
        if name == "disconnected":
            self._close(connection.name, stream_us, emit)
        elif name in ("dropped", "oversize"):
            self._missing(connection, frame.value.decode(errors="replace"), stream_us, emit)
        elif name == "refused" and event.not_listed:
            self._not_listed(connection, event, stream_us, emit)

    def _not_listed(self, connection: Connection, event: ConnectionEvent, stream_us: int, emit: Emit) -> None:
        if event.symbol in connection.processor.books:
            connection.processor.books[event.symbol].reason = "not_listed"
            self._judge(event.symbol, stream_us, emit, event.reason or "")

    def _trade(
        self, connection: Connection, trade: Trade, frame: Frame, index: int, stream_us: int, emit: Emit
    ) -> None:
        state = self.symbols[trade.symbol]
        own_id = None
        if trade.trade_id is None:
            if self._connections.shown(trade.symbol) is not connection:
                return  # without an id only the connection shown counts, or a second collector would double it
            own_id = f"{frame.conn}-{frame.seq}-{index}"
        record = state.trades.accept(trade, stream_us, frame.offset, own_id, connection.line)
        if record is None:
            state.minute.duplicates += state.trades.is_repeat(trade, connection.line)
            return
        state.minute.met(None if trade.history else trade.time_us, frame.received_us)
        state.minute.anomalies += record.anomaly
        emit(record)

    def _book_event(
        self, connection: Connection, event: AnyEvent, received_us: int | None, stream_us: int, emit: Emit
    ) -> None:
        if isinstance(event, Delta):
            state = self.symbols[event.symbol]
            state.minute.met(event.time_us, received_us)
            state.proven_us = stream_us
            if state.interval is None:
                self._judge(event.symbol, stream_us, emit)
            state.proved(event, connection.name)
        elif isinstance(event, Snapshot):
            state = self.symbols[event.symbol]
            state.proven_us = stream_us
            self._judge(event.symbol, stream_us, emit)
            state.proved(event, connection.name)
        elif isinstance(event, Lost):
            self._lost(connection, event, stream_us, emit)
        elif isinstance(event, Rejected):
            self.symbols.rejected(event, emit)
        elif isinstance(event, Stale):
            # Its session waits by itself before it fetches again.
            self._resyncs.ask(connection, event.symbol, event.reason, 0, stream_us, emit)
        elif isinstance(event, NotListed):
            self._judge(event.symbol, stream_us, emit, event.detail)
        elif isinstance(event, Repeated):
            self.symbols.repeated(event.symbol)

    def _lost(self, connection: Connection, event: Lost, stream_us: int, emit: Emit) -> None:
        self.symbols[event.symbol].minute.checksum_failures += event.reason == "checksum"
        self._judge(event.symbol, stream_us, emit, event.detail)
        if event.renewing:
            self._resyncs.renewing(connection, event.symbol, stream_us)
        else:
            self._resyncs.ask(connection, event.symbol, event.reason, RESYNC_EVENT_US, stream_us, emit)

    # --- liveness --------------------------------------------------------------------------------------------------

    def _proven(self, symbol: str, time_us: int, emit: Emit) -> Connection | None:
        """The connection shown, after its book was looked at: a crossed one is proven wrong and gives way."""
        while (connection := self._connections.shown(symbol)) is not None:
            book = connection.processor.books[symbol]
            book.flush()
            if not book.crossed():
                return connection
            self.symbols[symbol].minute.crossed_ticks += 1
            self._doubt(connection, symbol, "crossed", "best bid >= best ask", time_us, emit)
        return None

    def _missing(self, connection: Connection, detail: str, stream_us: int, emit: Emit) -> None:
        for symbol in connection.processor.books:
            self._doubt(connection, symbol, "sequence_gap", detail, stream_us, emit)

    def _doubt(
        self, connection: Connection, symbol: str, reason: str, detail: str, stream_us: int, emit: Emit
    ) -> None:
        connection.processor.doubt(symbol, reason)
        self._judge(symbol, stream_us, emit, detail)
        if connection.processor.books[symbol].reason != "not_listed":
            self._resyncs.ask(connection, symbol, reason, RESYNC_EVENT_US, stream_us, emit)

    def _judge(
        self, symbol: str, stream_us: int, emit: Emit, detail: str = "", ended: str | None = None
    ) -> None:
        """Open or close the symbol's gap when it goes blind or comes back.

        ``ended``: why the connection that was shown is no more, if it is not.
        """
        state = self.symbols[symbol]
        shown = self._connections.shown(symbol)
        if shown is not None:
            if state.interval is None:
                state.came_back(stream_us, shown.name, emit)
            else:
                state.interval.shown(shown.name)
        elif state.interval is not None:
            # Of the book that was shown: another connection may be newer, and have a reason of its own.
            last = self._connections.find(state.interval.conn)
            reason = ended if last is None else last.processor.books[symbol].reason
            state.went_blind(stream_us, reason or self._reason(symbol), detail, emit)

    def _reason(self, symbol: str) -> str:
        return self._connections.reason(symbol) if symbol in self._listed.values() else "not_listed"

    # --- ticks -----------------------------------------------------------------------------------------------------

    def _blind(self, symbol: str, time_us: int, bars: list[Bar], emit: Emit) -> None:
        reason = self._reason(symbol)
        self.symbols[symbol].minute.tick(reason)
        emit(blind_tick(symbol, self._exchange.name, time_us, self._bucket_size(symbol), reason, bars))

    def _live(self, symbol: str, shown: Connection, time_us: int, bars: list[Bar], emit: Emit) -> None:
        self.symbols[symbol].minute.tick(None)
        book = shown.processor.books[symbol]
        if book.near_edge() and time_us - shown.asked_us[symbol] >= REPEAT_US:
            shown.processor.decoder.expect_snapshot(symbol, proven=True)
            self._resyncs.ask(shown, symbol, "coverage", REPEAT_US, time_us, emit)
        size = self._bucket_size(symbol)
        emit(book_tick(symbol, self._exchange.name, time_us, self._depth, size, book, shown.name, bars))
