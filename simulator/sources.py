"""What there is to send, in order, and the book at the position sent: a seeded market or a recording.

Both are driven from outside: no clock, no sockets, no waiting.
"""

from abc import ABC, abstractmethod
from decimal import Decimal

from simulator.errors import SimulatorError
from simulator.market import Depth, Market, MarketBook
from simulator.recording import Row
from simulator.wire import Book, Frame, Wire


class Source(ABC):
    """A sequence of frames with the time each is due, counted from the start."""

    kind: str
    symbols: tuple[str, ...]
    streams: frozenset[str]
    # A market goes on without anyone listening; a recording waits, so that a reconnect loses nothing of it.
    needs_listener: bool

    @abstractmethod
    def peek_us(self) -> int | None:
        """When the next frame is due, microseconds from the start; None after the last."""

    @abstractmethod
    def take(self, offset_us: int) -> list[Frame]:
        """The next frames, now in the books; `offset_us` makes market time the exchange's clock."""

    @abstractmethod
    def book(self, symbol: str) -> Book | None:
        """The book as told by the depth frames taken so far; None before anything is known of it."""

    @abstractmethod
    def snapshot(self, symbol: str) -> Book | None:
        """The book as REST answers it now."""

    @abstractmethod
    def unread_snapshot(self) -> Frame | None:
        """The next frame, if it would make a recorded REST body useless that nobody has fetched yet."""

    @abstractmethod
    def skip_snapshot(self, symbol: str) -> None:
        """Nobody came for it: go on."""


class SeededSource(Source):
    """A market in an exchange's words."""

    kind = "seeded"
    needs_listener = False

    def __init__(self, market: Market, wire: Wire) -> None:
        self._market, self._wire = market, wire
        self.symbols = market.symbols
        self.streams = frozenset().union(*(wire.streams(symbol) for symbol in market.symbols))

    def peek_us(self) -> int | None:
        return self._market.peek_us()

    def take(self, offset_us: int) -> list[Frame]:
        event = self._market.take()
        if not isinstance(event, Depth):
            return [self._wire.trade(event, offset_us)]
        ticker = self._wire.ticker(self._market.ticker(event.symbol), offset_us)
        return [self._wire.depth(event, offset_us)] + ([ticker] if ticker else [])

    def book(self, symbol: str) -> Book | None:
        return self._written(symbol, self._market.told(symbol)) if symbol in self.symbols else None

    def snapshot(self, symbol: str) -> Book | None:
        return self._written(symbol, self._market.live(symbol)) if symbol in self.symbols else None

    def unread_snapshot(self) -> Frame | None:
        return None

    def skip_snapshot(self, symbol: str) -> None:
        """There is nothing to skip: a market's snapshot is always that of now."""

    def _written(self, symbol: str, book: MarketBook) -> Book:
        return Book(symbol, book.sequence, self._wire.levels(book.bids), self._wire.levels(book.asks))


class RebuiltBook:
    """A recorded REST body and the depth frames after it, levels as the recorded text."""

    def __init__(self, body: Book) -> None:
        self.body = body
        self.sequence = body.sequence
        # First id of the last depth frame sent, whether it was older than the body or not.
        self.sent_first_id = 0
        self.fetched = False
        self._bids, self._asks = dict(body.bids), dict(body.asks)

    def body_fits(self, next_first_id: int | None = None) -> bool:
        """A client that buffered the last frame sent (or the one about to be) can join the body to it."""
        first_id = self.sent_first_id if next_first_id is None else next_first_id
        return first_id <= self.body.sequence + 1

    def apply(self, frame: Frame) -> None:
        self.sent_first_id = frame.first_id
        if frame.last_id <= self.sequence:
            return
        for side, changes in ((self._bids, frame.bids), (self._asks, frame.asks)):
            for price, size in changes:
                if size.strip("0."):
                    side[price] = size
                else:
                    side.pop(price, None)
        self.sequence = frame.last_id

    def written(self) -> Book:
        bids = sorted(self._bids.items(), key=_price, reverse=True)
        return Book(
            self.body.symbol, self.sequence, tuple(bids), tuple(sorted(self._asks.items(), key=_price))
        )


def _price(level: tuple[str, str]) -> Decimal:
    return Decimal(level[0])


class PlayedSource(Source):
    """A recording: its frames in order, its first REST body of each symbol as that symbol's book."""

    kind = "recording"
    needs_listener = True

    def __init__(self, rows: list[Row], wire: Wire) -> None:
        self._wire = wire
        found = {row.number: wire.stream_of(row.text) for row in rows if not row.is_body}
        self._rows = [row for row in rows if found.get(row.number)]
        if not self._rows:
            raise SimulatorError("recording_invalid", f"no market data of {wire.name} in the recording")
        self.streams = frozenset(stream for stream in found.values() if stream)
        # One frame of each stream tells its symbol.
        sample = {found[row.number]: row for row in reversed(self._rows)}
        self.symbols = tuple(sorted({wire.frame_of(row.text).symbol for row in sample.values()}))
        self._books = self._bodies([row for row in rows if row.is_body])
        self._next = 0
        self._ahead: Frame | None = None

    def peek_us(self) -> int | None:
        return self._rows[self._next].at_us if self._next < len(self._rows) else None

    def take(self, offset_us: int) -> list[Frame]:
        frame = self._look_ahead()
        self._ahead = None
        self._next += 1
        if frame.last_id and frame.symbol in self._books:
            self._books[frame.symbol].apply(frame)
        return [frame]

    def book(self, symbol: str) -> Book | None:
        return self._books[symbol].written() if symbol in self._books else None

    def snapshot(self, symbol: str) -> Book | None:
        book = self._books.get(symbol)
        if book is None:
            return None
        book.fetched = True
        return book.body if book.body_fits() else book.written()

    def unread_snapshot(self) -> Frame | None:
        if self._next >= len(self._rows):
            return None
        frame = self._look_ahead()
        book = self._books.get(frame.symbol) if frame.last_id else None
        if book is None or book.fetched or book.body_fits(frame.first_id) or not book.body_fits():
            return None
        return frame

    def skip_snapshot(self, symbol: str) -> None:
        self._books[symbol].fetched = True

    def _look_ahead(self) -> Frame:
        if self._ahead is None:
            self._ahead = self._wire.frame_of(self._rows[self._next].text)
        return self._ahead

    def _bodies(self, rows: list[Row]) -> dict[str, RebuiltBook]:
        only = self.symbols[0] if len(self.symbols) == 1 else None
        books: dict[str, RebuiltBook] = {}
        for row in rows:
            body = self._wire.book_of(row, only)
            if body is not None and body.symbol not in books:
                books[body.symbol] = RebuiltBook(body)
        return books
