"""What there is to send, in order, and the book at the position sent: a seeded market or a recording.

Both are driven from outside: no clock, no sockets, no waiting.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from functools import partial

import msgspec

from simulator.errors import SimulatorError
from simulator.journal import Journal
from simulator.market import Depth, Market, MarketBook
from simulator.rebuilt import RebuiltBook
from simulator.recording import Row
from simulator.window import Told
from simulator.wire import Book, Frame, Wire

TRADES_KEPT = 50
SNAPSHOTS_KEPT = 64


class Source(ABC):
    """A sequence of frames with the time each is due, counted from the start."""

    kind: str
    wire: Wire
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
        """The book that a client in sync with the depth frames taken so far holds, cut to the exchange's widest
        window, its texts as on the wire; None before anything is known of it.
        """

    @abstractmethod
    def book_at(self, symbol: str, sequence: int) -> Book | None:
        """`book` as of an earlier sequence number: after the last update up to it. None before the first and
        after the present one. May take seconds; safe to call from another thread.
        """

    @abstractmethod
    def snapshot(self, symbol: str) -> Book | None:
        """The book as REST answers it now."""

    @abstractmethod
    def trades(self, symbol: str) -> tuple[Frame, ...]:
        """The last trades taken, at most 50, oldest first."""

    @abstractmethod
    def unread_snapshot(self) -> Frame | None:
        """The next frame, if it would make a recorded REST body useless that nobody has fetched yet."""

    @abstractmethod
    def skip_snapshot(self, symbol: str) -> None:
        """Nobody came for it: go on."""

    def twist(self, act: Callable[[Market], None]) -> None:
        """Change the market from its next event on. A recording is what it is: SimulatorError `fault_invalid`."""
        raise SimulatorError("fault_invalid", "a recording has no market to change")

    def delist(self, symbol: str) -> None:
        """The exchange has it no longer: nothing is sent of it, and new clients are refused. As `twist`."""
        raise SimulatorError("fault_invalid", "a recording has no market to change")


def seeded(
    name: str, wire: Wire, seed: int, symbols: tuple[str, ...], rate: int, seconds: int | None = None
) -> "SeededSource":
    """A seeded market of one exchange.

    name: the exchange, a part of the seed; rate: frames a second over all symbols (a depth update with all that
    it sends counts as one); seconds: how long (market time), None without end. The price paths and bursts are
    those of every other exchange with this seed.
    """
    assert len(set(symbols)) == len(symbols)
    listings = {symbol: wire.listing(symbol) for symbol in symbols}
    return SeededSource(partial(Market, seed, name, listings, rate, seconds), wire)


class SeededSource(Source):
    """A market in an exchange's words. `make` makes it from its start, again and again the same."""

    kind = "seeded"
    needs_listener = False

    def __init__(self, make: Callable[[], Market], wire: Wire) -> None:
        self.wire, self._make, self._market = wire, make, make()
        self.symbols = self._market.symbols
        self.streams = frozenset().union(*(wire.streams(symbol) for symbol in self.symbols))
        self._depth = wire.depths[-1] if wire.depths else None
        # Nothing is untold before the first event.
        starts = {symbol: self._market.live(symbol) for symbol in self.symbols}
        self._first = {symbol: start.sequence for symbol, start in starts.items()}
        self._told = {symbol: self._from(start) for symbol, start in starts.items()}
        self._journals = {symbol: Journal(start) for symbol, start in starts.items()}
        self._trades: dict[str, deque[Frame]] = {symbol: deque(maxlen=TRADES_KEPT) for symbol in self.symbols}
        self._snapshots: dict[tuple[str, int], Book] = {}
        self._taken = 0
        self._twists: list[tuple[int, Callable[[Market], None]]] = []
        self._delisted: set[str] = set()

    def peek_us(self) -> int | None:
        return self._market.peek_us()

    def take(self, offset_us: int) -> list[Frame]:
        event = self._market.take()
        self._taken += 1
        if event.symbol in self._delisted:
            return []
        if not isinstance(event, Depth):
            frame = self.wire.trade(event, offset_us)
            self._trades[event.symbol].append(frame)
            return [frame]
        told, journal = self._told[event.symbol], self._journals[event.symbol]
        cuts = told.apply(event)
        if journal.add(event):
            journal.turn(told.book())
        return self.wire.depth_frames(event, cuts, told, offset_us)

    def twist(self, act: Callable[[Market], None]) -> None:
        self._twists.append((self._taken, act))
        act(self._market)

    def delist(self, symbol: str) -> None:
        self._delisted.add(symbol)
        self.symbols = tuple(name for name in self.symbols if name != symbol)

    def told(self, symbol: str) -> Told:
        """The book as of the last update, in ticks."""
        return self._told[symbol]

    def book(self, symbol: str) -> Book | None:
        told = self._told.get(symbol)
        return None if told is None else self._written(symbol, told.book(self._depth))

    def book_at(self, symbol: str, sequence: int) -> Book | None:
        kept = self._snapshots.get((symbol, sequence))
        if kept is not None or symbol not in self._told:
            return kept
        if not self._first[symbol] <= sequence <= self._told[symbol].sequence:
            return None
        book = self._journals[symbol].at(sequence) or self._run_again(symbol, sequence)
        return self._written(symbol, book)

    def snapshot(self, symbol: str) -> Book | None:
        if symbol not in self._told:
            return None
        book = self._written(symbol, self._market.live(symbol))
        # It may lie amid an update, where no journal has a book.
        self._snapshots[symbol, book.sequence] = book
        if len(self._snapshots) > SNAPSHOTS_KEPT:
            del self._snapshots[next(iter(self._snapshots))]
        return book

    def trades(self, symbol: str) -> tuple[Frame, ...]:
        return tuple(self._trades.get(symbol, ()))

    def unread_snapshot(self) -> Frame | None:
        return None

    def skip_snapshot(self, symbol: str) -> None:
        """There is nothing to skip: a market's snapshot is always that of now."""

    def _from(self, start: MarketBook) -> Told:
        return Told(start, self.wire.depths, says_leaving=self.wire.says_leaving)

    def _run_again(self, symbol: str, sequence: int) -> MarketBook:
        """Older than the journal: the same market from its start, up to there."""
        market = self._make()
        told = Told(market.live(symbol), (), says_leaving=False)
        twists, taken = list(self._twists), 0
        while market.peek_us() is not None:
            while twists and twists[0][0] == taken:
                twists.pop(0)[1](market)
            event, taken = market.take(), taken + 1
            if isinstance(event, Depth) and event.symbol == symbol:
                if event.last_id > sequence:
                    break
                told.apply(event)
        return told.book()

    def _written(self, symbol: str, book: MarketBook) -> Book:
        bids, asks = book.bids[: self._depth], book.asks[: self._depth]
        return Book(symbol, book.sequence, self.wire.levels(symbol, bids), self.wire.levels(symbol, asks))


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
