"""What goes over a wire, whichever the exchange: frames, books, trades, and how an exchange writes them.

Pure: no I/O, no clock. Prices and sizes are the text that is sent.
"""

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Any, ClassVar

import msgspec

from simulator.market import Depth, Listing, Trade
from simulator.recording import Row
from simulator.window import Cut, Told

Levels = tuple[tuple[str, str], ...]
DECIMALS = 65_536
"""Numbers whose text is kept: prices come again and again."""
QUOTES = ("USDT", "USDC", "USD", "EUR", "GBP", "CHF", "JPY", "CAD", "AUD", "BTC", "ETH")


class SentTrade(msgspec.Struct, frozen=True):
    """One trade as text; `taker` is `buy` or `sell`, `time_ms` the exchange's own trade time."""

    id: str
    price: str
    size: str
    taker: str
    time_ms: int


class Frame(msgspec.Struct, frozen=True):
    """One market-data message: `stream` decides who gets it, `text` is its payload without a wrapper (bytes where the
    exchange sends binary messages).

    Depth frames carry the market's update ids, also where the wire has none, and their absolute levels; trade
    frames their trade. Both are for the simulator's own books and ledger and are never sent. `is_snapshot`: the
    levels are a whole book, not changes. `more_trades`: those after the first, in a recorded message with several.
    """

    symbol: str
    channel: str
    stream: str
    text: str | bytes
    first_id: int = 0
    last_id: int = 0
    bids: Levels = ()
    asks: Levels = ()
    trade: SentTrade | None = None
    is_snapshot: bool = False
    more_trades: tuple[SentTrade, ...] = ()

    @property
    def as_text(self) -> str:
        """The payload, of an exchange that sends text alone."""
        assert isinstance(self.text, str), "a binary message"
        return self.text


class Book(msgspec.Struct, frozen=True):
    """A whole book, best level first; `text` is the exact body when it was recorded."""

    symbol: str
    sequence: int
    bids: Levels
    asks: Levels
    text: str = ""


class Wire(ABC):
    """How one exchange writes market events, and how it is read back from a recording."""

    name: ClassVar[str]
    depths: ClassVar[tuple[int, ...]] = ()
    """The windows its clients may have, in levels a side, the widest last; none: the whole book."""
    says_leaving: ClassVar[bool] = False
    """A level pushed out of the window is deleted explicitly."""
    has_checksums: bool = False
    """Its books come with checksums."""
    takes_bytes: ClassVar[bool] = False
    """Its messages are binary, at least some: `stream_of` and `frame_of` are given bytes, too."""

    @abstractmethod
    def listing(self, symbol: str) -> Listing:
        """How the exchange trades a symbol (`BTCUSDT`)."""

    @abstractmethod
    def depth_frames(self, event: Depth, cuts: dict[int, Cut], told: Told, offset_us: int) -> list[Frame]:
        """What a depth update sends: a frame for each window (`cuts` by depth), or one, and what follows from it.

        told: the book after it; `offset_us` is added to the event's market time to get the exchange's clock.
        """

    @abstractmethod
    def trade(self, event: Trade, offset_us: int) -> Frame:
        """A trade."""

    @abstractmethod
    def streams(self, symbol: str) -> frozenset[str]:
        """The streams a seeded market fills for a symbol."""

    @abstractmethod
    def levels(self, symbol: str, pairs: list[tuple[int, int]]) -> Levels:
        """(price in ticks, size in 1e-8) as the exchange writes them."""

    def printed(self, symbol: str, sequence: int) -> int:
        """The market's sequence number, just sent, as the frames of the widest book have it at present."""
        return sequence

    def wrong_checksum(self, text: Any) -> Any:
        """The message with another checksum; None if it has none."""
        return None

    @abstractmethod
    def stream_of(self, text: Any) -> str | None:
        """The stream a recorded frame (text, or bytes if `takes_bytes`) belongs to; None for acknowledgements and
        the like.
        """

    @abstractmethod
    def frame_of(self, text: Any) -> Frame:
        """A recorded frame, its payload kept byte for byte."""

    @abstractmethod
    def book_of(self, row: Row, symbol: str | None) -> Book | None:
        """A recorded REST body, or None when it is not a book; `symbol` is the recording's only one."""


def base_and_quote(symbol: str) -> tuple[str, str]:
    """`BTCUSDT` -> (`BTC`, `USDT`); the last four letters are the quote when it is none of the usual."""
    quote = next((name for name in QUOTES if symbol.endswith(name) and symbol != name), symbol[-4:])
    return symbol.removesuffix(quote), quote


def spaced(symbol: str, mark: str) -> str:
    """`BTCUSDT` with `/` or `-` between base and quote; what has the mark already stays."""
    return symbol if mark in symbol else mark.join(base_and_quote(symbol))


def joined(name: str, mark: str) -> str:
    """The symbol of `BTC/USDT`; a name that could not be made from its symbol again is its own symbol."""
    symbol = name.replace(mark, "")
    return symbol if spaced(symbol, mark) == name else name


@lru_cache(maxsize=DECIMALS)
def decimal(number: int, places: int) -> str:
    """An integer of units of the last of `places` decimals (at least one), with all its decimals."""
    digits = str(number).zfill(places + 1)
    return f"{digits[:-places]}.{digits[-places:]}"


def cut(levels: Levels, limit: int) -> Levels:
    """The best `limit` levels."""
    return levels if len(levels) <= limit else levels[:limit]
