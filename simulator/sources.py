"""What there is to send, in order, and the book at the position sent: a seeded market or a recording.

Both are driven from outside: no clock, no sockets, no waiting.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count

from simulator.errors import SimulatorError
from simulator.journal import Journal
from simulator.market import Depth, Market, MarketBook
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
    # A market goes on without listeners; a recording waits, so that a reconnect loses nothing of it.
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
        """Change the market from its next event on. A recording has none: SimulatorError `fault_invalid`."""
        raise SimulatorError("fault_invalid", "a recording has no market to change")

    def delist(self, symbol: str) -> None:
        """Have the symbol no longer: nothing is sent of it, and new clients are refused. As `twist`."""
        self.twist(lambda _market: None)


def seeded(
    name: str,
    wire: Wire,
    seed: int,
    symbols: tuple[str, ...],
    rate: int,
    seconds: int | None = None,
    depths: tuple[int, ...] | None = None,
) -> "SeededSource":
    """A seeded market of one exchange.

    name: the exchange, a part of the seed; rate: frames a second over all symbols (a depth update with all that
    it sends counts as one); seconds: how long (market time), None without end. The price paths and bursts are
    those of every other exchange with this seed. depths: only these windows are filled; None: all.
    """
    assert len(set(symbols)) == len(symbols)
    listings = {symbol: wire.listing(symbol) for symbol in symbols}
    return SeededSource(partial(Market, seed, name, listings, rate, seconds), wire, depths)


class SeededSource(Source):
    """A market in an exchange's words. `make` makes it from its start, again and again the same."""

    kind = "seeded"
    needs_listener = False

    def __init__(self, make: Callable[[], Market], wire: Wire, depths: tuple[int, ...] | None = None) -> None:
        self.wire, self._make, self._market = wire, make, make()
        self.symbols = self._market.symbols
        self.streams = frozenset().union(*(wire.streams(symbol) for symbol in self.symbols))
        self._depths = wire.depths if depths is None else depths
        self._depth = self._depths[-1] if self._depths else None
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
        """Nothing to skip: a market's snapshot is always that of now."""

    def _from(self, start: MarketBook) -> Told:
        return Told(start, self._depths, says_leaving=self.wire.says_leaving)

    def _run_again(self, symbol: str, sequence: int) -> MarketBook:
        """Older than the journal: the same market from its start, up to there."""
        market = self._make()
        told = Told(market.live(symbol), (), says_leaving=False)
        for taken in count():
            for _, act in (one for one in self._twists if one[0] == taken):
                act(market)
            if market.peek_us() is None:
                break
            event = market.take()
            if isinstance(event, Depth) and event.symbol == symbol:
                if event.last_id > sequence:
                    break
                told.apply(event)
        return told.book()

    def _written(self, symbol: str, book: MarketBook) -> Book:
        bids, asks = book.bids[: self._depth], book.asks[: self._depth]
        return Book(symbol, book.sequence, self.wire.levels(symbol, bids), self.wire.levels(symbol, asks))
