"""One slot of one exchange: its connections, whose book is shown, its trades, gaps, resyncs and quality."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from COBY.exchanges.base import AnyEvent, Delta, Exchange, Lost, Rejected, Slot, Snapshot, Stale, Trade
from COBY.processing import ConnectionProcessor, blind_tick, book_tick
from COBY.records import Bar, Gap, Record, Resync
from COBY.slot_state import RESYNC_EVENT_US, Connection, SavedConnection, SavedSlot, SavedSymbol, SymbolState
from COBY.trades import SECOND_US

MAX_CONNECTIONS = 3
LOST_US = 2 * SECOND_US
"""No record of a connection for so long of stream time: producer_lost."""
RESYNC_REPEAT_US = 5 * SECOND_US
HEALABLE = ("producer_lost", "stale", "not_listed")
"""Blindness that no new snapshot would end."""


class DeadLetter(NamedTuple):
    """A record, or a part of it, that could not be used: the shell's record goes to the dead letters with this."""

    code: str
    detail: str


Emit = Callable[[Record | DeadLetter], None]


class Frame(NamedTuple):
    """A raw record as a slot takes it; times in microseconds."""

    offset: int
    conn: str
    seq: int
    kind: str
    value: bytes
    symbol: str | None
    url: str | None


class SlotState:
    """The slot's deterministic state. Times are stream time, given with each call."""

    def __init__(self, exchange: Exchange, slot: Slot, bucket_size: Callable[[str], int], depth: int) -> None:
        """``bucket_size`` in units by symbol, ``depth`` buckets a side."""
        self._exchange = exchange
        self._slot = slot
        self._bucket_size = bucket_size
        self._depth = depth
        self._listed = {name: symbol for name, symbol in slot.symbols.items() if not name.startswith("!")}
        self._connections: dict[str, Connection] = {}
        self._closed = "never_connected"
        self.symbols = {
            symbol: SymbolState(symbol, exchange.name) for symbol in sorted(slot.symbols.values())
        }

    def take(self, frame: Frame, stream_us: int, emit: Emit) -> None:
        """One record of this slot that is no mark."""
        connection = self._connection(frame.conn, stream_us)
        if frame.seq <= connection.seq:
            return  # a repeat: seq rises by one per record of a connection
        connection.record_us = stream_us
        if frame.seq != connection.seq + 1 and connection.seq:
            self._doubt_all(connection, f"seq {connection.seq} is followed by {frame.seq}", stream_us, emit)
        connection.seq = frame.seq
        if frame.kind == "event":
            self._event(connection, frame, stream_us, emit)
            return
        if frame.kind == "ws":
            connection.frame_us = stream_us
        events = connection.processor.take(frame.value, frame.kind, frame.symbol, frame.url)
        index = 0
        for event in events:
            if type(event) is Trade:
                self._trade(connection, event, frame, index, stream_us, emit)
                index += 1
            else:
                self._book_event(connection, event, stream_us, emit)

    def tick(self, time_us: int, stream_us: int, emit: Emit) -> None:
        """Emit the records of the tick ``time_us`` as the books stand now, before a record brings ``stream_us``."""
        for connection in self._connections.values():
            self._check_silence(connection, time_us)
            self._remind(connection, time_us, emit)
        for symbol, state in self.symbols.items():
            state.minute.close_until(symbol, self._exchange.name, time_us, emit)
            bars = state.trades.take_bars()
            shown = self._proven(symbol, time_us, emit)
            self._judge(symbol, time_us, emit)
            if shown is None:
                self._blind(symbol, time_us, bars, emit)
            else:
                self._live(symbol, shown, time_us, bars, emit)

    def lost(self, reason: str, detail: str, from_us: int, until_us: int, emit: Emit) -> None:
        """Stream time jumped, or records are gone: say it for every symbol."""
        for symbol in self.symbols:
            emit(Gap(symbol, self._exchange.name, until_us, from_us, until_us, reason, None, detail))

    def forget_connections(self, stream_us: int, emit: Emit) -> None:
        """Records of the partition are missing: nothing that was built from them can be continued."""
        self._connections.clear()
        self._closed = "sequence_gap"
        for symbol in self.symbols:
            self._judge(symbol, stream_us, emit)

    def save(self) -> SavedSlot:
        """The state."""
        connections = [
            SavedConnection(
                one.name, one.record_us, one.frame_us, one.seq, one.asked_us, one.processor.save()
            )
            for one in self._connections.values()
        ]
        symbols = {
            name: SavedSymbol(one.trades.save(), one.minute, one.shown, one.proven_us, one.gap)
            for name, one in self.symbols.items()
        }
        return SavedSlot(connections, symbols, self._closed)

    def load(self, saved: SavedSlot) -> None:
        """Take up a saved state; symbols no longer configured are dropped, new ones start blind."""
        self._closed = saved.closed
        for one in saved.connections:
            connection = self._connection(one.name, one.record_us)
            connection.frame_us, connection.seq = one.frame_us, one.seq
            connection.processor.load(one.state)
            asked = {name: at for name, at in one.asked_us.items() if name in connection.processor.books}
            connection.asked_us |= asked
        for name, state in self.symbols.items():
            if (old := saved.symbols.get(name)) is not None:
                state.trades.load(old.trades)
                state.minute, state.shown, state.proven_us, state.gap = (
                    old.minute,
                    old.shown,
                    old.proven_us,
                    old.gap,
                )

    # --- records ---------------------------------------------------------------------------------------------------

    def _connection(self, name: str, stream_us: int) -> Connection:
        connection = self._connections.get(name)
        if connection is None:
            processor = ConnectionProcessor(self._exchange, self._listed, self._bucket_size)
            connection = self._connections[name] = Connection(name, processor, stream_us)
            if len(self._connections) > MAX_CONNECTIONS:
                del self._connections[next(iter(self._connections))]
        return connection

    def _event(self, connection: Connection, frame: Frame, stream_us: int, emit: Emit) -> None:
        try:
            event = msgspec.json.decode(frame.value, type=dict[str, object])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            emit(DeadLetter("event.format", str(error)))
            return
        name = event.get("event")
        if name == "disconnected":
            del self._connections[connection.name]
            self._closed = "disconnected"
            for symbol in self.symbols:
                self._judge(symbol, stream_us, emit)
        elif name in ("dropped", "oversize"):
            self._doubt_all(connection, frame.value.decode(), stream_us, emit)
        elif name == "refused":
            self._refused(connection, event.get("symbol"), stream_us, emit)

    def _refused(self, connection: Connection, symbol: object, stream_us: int, emit: Emit) -> None:
        if symbol in connection.processor.books:
            connection.processor.books[str(symbol)].reason = "not_listed"
            self._judge(str(symbol), stream_us, emit)

    def _trade(
        self, connection: Connection, trade: Trade, frame: Frame, index: int, stream_us: int, emit: Emit
    ) -> None:
        state = self.symbols[trade.symbol]
        own_id = None
        if trade.trade_id is None:
            if self._shown(trade.symbol) is not connection:
                return  # without an id only the connection shown counts, or a second collector would double it
            own_id = f"{frame.conn}-{frame.seq}-{index}"
        record = state.trades.accept(trade, stream_us, frame.offset, own_id)
        if record is None:
            state.minute.duplicates += 1
            return
        state.minute.events += 1
        state.minute.anomalies += record.anomaly
        emit(record)

    def _book_event(self, connection: Connection, event: AnyEvent, stream_us: int, emit: Emit) -> None:
        if isinstance(event, Delta):
            state = self.symbols[event.symbol]
            state.minute.events += 1
            state.proven_us = stream_us
            if not state.shown:
                self._judge(event.symbol, stream_us, emit)
        elif isinstance(event, Rejected):
            self._rejected(event, emit)
        elif isinstance(event, Snapshot):
            self.symbols[event.symbol].proven_us = stream_us
            self._judge(event.symbol, stream_us, emit)
        elif isinstance(event, Lost):
            self._judge(event.symbol, stream_us, emit, event.detail)
            self._resync(connection, event.symbol, event.reason, RESYNC_EVENT_US, stream_us, emit)
        elif isinstance(event, Stale):
            # Its session waits by itself before it fetches again.
            self._resync(connection, event.symbol, event.reason, 0, stream_us, emit)
        else:
            for symbol in self.symbols:
                self._judge(symbol, stream_us, emit)

    def _rejected(self, event: Rejected, emit: Emit) -> None:
        emit(DeadLetter(event.code, event.detail))
        for symbol in self.symbols if event.symbol is None else (event.symbol,):
            if symbol in self.symbols:
                self.symbols[symbol].minute.rejected += 1

    # --- liveness --------------------------------------------------------------------------------------------------

    def _shown(self, symbol: str) -> Connection | None:
        """The proven one whose ``connected`` is last in the log."""
        for connection in reversed(self._connections.values()):
            book = connection.processor.books.get(symbol)
            if book is not None and book.reason is None:
                return connection
        return None

    def _proven(self, symbol: str, time_us: int, emit: Emit) -> Connection | None:
        """The connection shown, after its book was looked at: a crossed one is proven wrong and gives way."""
        while (connection := self._shown(symbol)) is not None:
            book = connection.processor.books[symbol]
            book.flush()
            if not book.crossed():
                return connection
            self.symbols[symbol].minute.crossed_ticks += 1
            self._doubt(connection, symbol, "crossed", "best bid >= best ask", time_us, emit)
        return None

    def _check_silence(self, connection: Connection, time_us: int) -> None:
        reason = None
        if time_us - connection.record_us >= LOST_US:
            reason = "producer_lost"
        elif time_us - connection.frame_us > self._exchange.silence_seconds * SECOND_US:
            reason = "stale"
        if reason is not None:
            for book in connection.processor.books.values():
                book.reason = book.reason or reason

    def _doubt_all(self, connection: Connection, detail: str, stream_us: int, emit: Emit) -> None:
        for symbol in connection.processor.books:
            self._doubt(connection, symbol, "sequence_gap", detail, stream_us, emit)

    def _doubt(
        self, connection: Connection, symbol: str, reason: str, detail: str, stream_us: int, emit: Emit
    ) -> None:
        connection.processor.doubt(symbol, reason)
        self._judge(symbol, stream_us, emit, detail)
        self._resync(connection, symbol, reason, RESYNC_EVENT_US, stream_us, emit)

    def _judge(self, symbol: str, stream_us: int, emit: Emit, detail: str = "") -> None:
        """Open or close the symbol's gap when it goes blind or comes back."""
        state = self.symbols[symbol]
        shown = self._shown(symbol)
        if shown is None and state.shown:
            state.shown = False
            reason, conn = self._reason(symbol)
            state.gap = Gap(
                symbol, self._exchange.name, stream_us, state.proven_us, None, reason, conn, detail
            )
            state.minute.gaps += 1
            emit(state.gap)
        elif shown is not None and not state.shown:
            state.shown = True
            if state.gap is not None:
                emit(msgspec.structs.replace(state.gap, timestamp=stream_us, until_time=stream_us))
                state.gap = None

    def _reason(self, symbol: str) -> tuple[str, str | None]:
        """Why the symbol is blind: what the newest connection says."""
        if symbol not in self._listed.values():
            return "not_listed", None
        for connection in reversed(self._connections.values()):
            return connection.processor.books[symbol].reason or "", connection.name
        return self._closed, None

    def _resync(
        self, connection: Connection, symbol: str, reason: str, wait_us: int, stream_us: int, emit: Emit
    ) -> None:
        """Ask for a snapshot, unless that was done less than ``wait_us`` ago."""
        if stream_us - connection.asked_us[symbol] >= wait_us:
            connection.asked_us[symbol] = stream_us
            emit(Resync(self._exchange.name, self._slot.name, connection.name, symbol, reason, stream_us))

    def _remind(self, connection: Connection, time_us: int, emit: Emit) -> None:
        """A book that has waited for its snapshot for too long asks again."""
        for symbol, book in connection.processor.books.items():
            if book.reason is not None and book.reason not in HEALABLE:
                self._resync(connection, symbol, book.reason, RESYNC_REPEAT_US, time_us, emit)

    # --- ticks -----------------------------------------------------------------------------------------------------

    def _blind(self, symbol: str, time_us: int, bars: list[Bar], emit: Emit) -> None:
        self.symbols[symbol].minute.ticks += 1
        reason, _ = self._reason(symbol)
        emit(blind_tick(symbol, self._exchange.name, time_us, self._bucket_size(symbol), reason, bars))

    def _live(self, symbol: str, shown: Connection, time_us: int, bars: list[Bar], emit: Emit) -> None:
        minute = self.symbols[symbol].minute
        minute.ticks += 1
        minute.live_ticks += 1
        book = shown.processor.books[symbol]
        if book.near_edge() and time_us - shown.asked_us[symbol] >= RESYNC_REPEAT_US:
            shown.processor.decoder.expect_snapshot(symbol, proven=True)
            self._resync(shown, symbol, "coverage", RESYNC_REPEAT_US, time_us, emit)
        size = self._bucket_size(symbol)
        emit(book_tick(symbol, self._exchange.name, time_us, self._depth, size, book, shown.name, bars))
