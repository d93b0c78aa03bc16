"""What goes over a wire, whichever the exchange: frames, books, trades, and how an exchange writes them.

Pure: no I/O, no clock. Prices and sizes are the text that is sent.
"""

from abc import ABC, abstractmethod

import msgspec

from simulator.market import Depth, Ticker, Trade
from simulator.recording import Row

Levels = tuple[tuple[str, str], ...]


class SentTrade(msgspec.Struct, frozen=True):
    """One trade as text; `taker` is `buy` or `sell`, `time_ms` the exchange's own trade time."""

    id: str
    price: str
    size: str
    taker: str
    time_ms: int


class Frame(msgspec.Struct, frozen=True):
    """One market-data message: `stream` decides who gets it, `text` is its payload without a wrapper.

    Depth frames carry their update ids and absolute levels, trade frames their trade; both are for the
    simulator's own books and ledger and are never sent.
    """

    symbol: str
    channel: str
    stream: str
    text: str
    first_id: int = 0
    last_id: int = 0
    bids: Levels = ()
    asks: Levels = ()
    trade: SentTrade | None = None


class Book(msgspec.Struct, frozen=True):
    """A whole book, best level first; `text` is the exact body when it was recorded."""

    symbol: str
    sequence: int
    bids: Levels
    asks: Levels
    text: str = ""


class Wire(ABC):
    """How one exchange writes market events, and how it is read back from a recording."""

    name: str

    @abstractmethod
    def depth(self, event: Depth, offset_us: int) -> Frame:
        """A depth update; `offset_us` is added to the event's virtual time to get the exchange's clock."""

    @abstractmethod
    def trade(self, event: Trade, offset_us: int) -> Frame:
        """A trade."""

    @abstractmethod
    def ticker(self, event: Ticker, offset_us: int) -> Frame | None:
        """The best prices after a depth update, or None where the exchange has no such stream."""

    @abstractmethod
    def streams(self, symbol: str) -> frozenset[str]:
        """The streams a seeded market fills for a symbol."""

    @abstractmethod
    def levels(self, pairs: list[tuple[int, int]]) -> Levels:
        """(price in ticks, size in 1e-8) as the exchange writes them."""

    @abstractmethod
    def stream_of(self, text: str) -> str | None:
        """The stream a recorded frame belongs to; None for acknowledgements and the like."""

    @abstractmethod
    def frame_of(self, text: str) -> Frame:
        """A recorded frame, its payload kept byte for byte."""

    @abstractmethod
    def book_of(self, row: Row, symbol: str | None) -> Book | None:
        """A recorded REST body, or None when it is not a book; `symbol` is the recording's only one."""


def cut(levels: Levels, limit: int) -> Levels:
    """The best `limit` levels."""
    return levels if len(levels) <= limit else levels[:limit]
