"""A recording as a source: its frames in order, and the book at the position sent."""

from collections import deque

import msgspec

from simulator.errors import SimulatorError
from simulator.rebuilt import RebuiltBook
from simulator.recording import Row
from simulator.sources import TRADES_KEPT, Source
from simulator.wire import Book, Frame, Wire


class PlayedSource(Source):
    """A recording: its frames in order. The book of a symbol is its first REST body, or the last snapshot among
    its frames, and what followed.
    """

    kind = "recording"
    needs_listener = True

    def __init__(self, rows: list[Row], wire: Wire) -> None:
        self.wire, self._given = wire, rows
        if not wire.takes_bytes and (binary := [row for row in rows if isinstance(row.text, bytes)]):
            message = f"line {binary[0].number}: {wire.name} sends text alone, this is binary"
            raise SimulatorError("recording_invalid", message)
        found = {row.number: wire.stream_of(row.text) for row in rows if not row.is_body}
        self._rows = [row for row in rows if found.get(row.number)]
        if not self._rows:
            raise SimulatorError("recording_invalid", f"no market data of {wire.name} in the recording")
        self.streams = frozenset(stream for stream in found.values() if stream)
        # One frame of each stream tells its symbol.
        sample = {found[row.number]: row for row in reversed(self._rows)}
        self.symbols = tuple(sorted({wire.frame_of(row.text).symbol for row in sample.values()}))
        self._books = self._bodies([row for row in rows if row.is_body])
        self._trades: dict[str, deque[Frame]] = {}
        self._counts: dict[str, int] = {}
        self._next = 0
        self._ahead: Frame | None = None

    def peek_us(self) -> int | None:
        return self._rows[self._next].at_us if self._next < len(self._rows) else None

    def take(self, offset_us: int) -> list[Frame]:
        frame = self._look_ahead()
        self._ahead = None
        self._next += 1
        if frame.is_snapshot:
            self._books[frame.symbol] = RebuiltBook.of_frame(frame, self._keeps())
        elif frame.last_id and frame.symbol in self._books:
            self._books[frame.symbol].apply(frame)
        if frame.trade is not None:
            self._trades.setdefault(frame.symbol, deque(maxlen=TRADES_KEPT)).append(frame)
        return [frame]

    def book(self, symbol: str) -> Book | None:
        return self._books[symbol].written() if symbol in self._books else None

    def book_at(self, symbol: str, sequence: int) -> Book | None:
        present = self._books.get(symbol)
        if present is None or sequence > present.sequence:
            return None
        again = PlayedSource(self._given, self.wire)
        while again.peek_us() is not None:
            ahead = again._look_ahead()
            if ahead.symbol == symbol and ahead.last_id > sequence:
                break
            again.take(0)
        book = again._books.get(symbol)
        return book.written() if book is not None and book.sequence <= sequence else None

    def snapshot(self, symbol: str) -> Book | None:
        book = self._books.get(symbol)
        if book is None:
            return None
        book.fetched = True
        return book.body if book.body_fits() else book.written()

    def trades(self, symbol: str) -> tuple[Frame, ...]:
        return tuple(self._trades.get(symbol, ()))

    def unread_snapshot(self) -> Frame | None:
        if self._next >= len(self._rows):
            return None
        frame = self._look_ahead()
        book = self._books.get(frame.symbol) if frame.last_id else None
        if book is None or book.is_framed or book.fetched or frame.is_snapshot:
            return None
        return None if book.body_fits(frame.first_id) or not book.body_fits() else frame

    def skip_snapshot(self, symbol: str) -> None:
        self._books[symbol].fetched = True

    def _keeps(self) -> int | None:
        return self.wire.depths[-1] if self.wire.depths and not self.wire.says_leaving else None

    def _look_ahead(self) -> Frame:
        if self._ahead is None:
            self._ahead = self._numbered(self.wire.frame_of(self._rows[self._next].text))
        return self._ahead

    def _numbered(self, frame: Frame) -> Frame:
        """Where the wire has no sequence, a symbol's depth frames count from 1."""
        if frame.channel != "depth" or frame.last_id:
            return frame
        number = self._counts[frame.symbol] = self._counts.get(frame.symbol, 0) + 1
        return msgspec.structs.replace(frame, first_id=number, last_id=number)

    def _bodies(self, rows: list[Row]) -> dict[str, RebuiltBook]:
        only = self.symbols[0] if len(self.symbols) == 1 else None
        books: dict[str, RebuiltBook] = {}
        for row in rows:
            body = self.wire.book_of(row, only)
            if body is not None and body.symbol not in books:
                books[body.symbol] = RebuiltBook(body)
        return books
