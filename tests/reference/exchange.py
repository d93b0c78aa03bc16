"""What an exchange's file offers, and what those files share.

An exchange is one file here (binance.py, kraken.py, okx.py; listed in exchanges.py) with

    exchange_symbol(symbol)   the exchange's own name of a symbol
    read(record, symbols)     what one raw record of kind ws or http says: a list of Trade, NotListed and whatever else
                              its Book takes, each with `symbol`; [] where it can't be used or is about something else.
                              symbols: the exchange's name -> ours, of the symbols wanted
    Book                      one connection's book of one symbol: take(item) brings it up to date; it returns the
                              trades in it where the connection alone knows whose they are

A Decimal keeps the digits it was written with (1.50 stays 1.50), so a book of Decimals is also one of the exchange's
texts: that is what checksums are made of.
"""

from dataclasses import dataclass
from decimal import Decimal

Levels = list[tuple[Decimal, Decimal]]

# What reading a frame that is not what it should be can raise.
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, IndexError, ArithmeticError, RecursionError)
# Reasons that the next update ends if it continues the book; all others wait for a snapshot.
ENDED_BY_UPDATE = ("producer_lost", "stale")


@dataclass(frozen=True)
class Trade:
    """A trade; `side` is the taker's; `history`: it was sent on subscribing, as one of the past."""

    symbol: str
    trade_id: str
    price: Decimal
    size: Decimal
    side: str
    time_us: int
    history: bool = False


@dataclass(frozen=True)
class NotListed:
    """The exchange does not have the symbol."""

    symbol: str


class AnyBook:
    """One connection's book of one symbol; `reason` is None while it is proven.

    last: the exchange's number of the last update in it, None where there is none.
    """

    def __init__(self) -> None:
        self.bids: dict[Decimal, Decimal] = {}
        self.asks: dict[Decimal, Decimal] = {}
        self.last: int | None = None
        self.reason: str | None = "never_connected"

    def take(self, item: object) -> None:
        """What is common to all exchanges; an exchange's own items are its own book's."""
        if isinstance(item, NotListed):
            self.reason = "not_listed"

    def seen(self, trade: Trade) -> Trade:
        """A trade of the book's symbol on the same connection; where only that tells whether it is history, it does."""
        return trade

    @property
    def takes_updates(self) -> bool:
        """Whether an update that continues the book is of use to it."""
        return self.reason is None or self.reason in ENDED_BY_UPDATE

    def replace(self, bids: Levels, asks: Levels) -> None:
        """Begin again with these levels."""
        self.bids, self.asks = {}, {}
        self.change(bids, asks)

    def change(self, bids: Levels, asks: Levels) -> None:
        """Sizes are absolute, 0 removes; several changes of one price apply in the order sent."""
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            for price, size in levels:
                side.pop(price, None)  # else the key would keep the digits of an older text
                if size != 0:
                    side[price] = size

    def lose(self, reason: str) -> None:
        """The book can't be proven any more; the first reason stays until it is proven again."""
        if self.reason is None:
            self.reason = reason

    def best_bids(self, count: int) -> Levels:
        """The best bids, best first."""
        return sorted(self.bids.items(), reverse=True)[:count]

    def best_asks(self, count: int) -> Levels:
        """The best asks, best first."""
        return sorted(self.asks.items())[:count]


class WindowedBook(AnyBook):
    """A book of which the exchange shows the best `window` levels a side.

    A side that has held so many since its snapshot is known down to its worst level only, wherever that is just now:
    where it holds fewer later, one has left and what came into the window instead has not been told yet. Choice: a side
    with more than `window` levels (where nobody truncates) is known down to its worst level, too.
    """

    window: int
    filled_bids = False
    filled_asks = False

    def replace(self, bids: Levels, asks: Levels) -> None:
        self.filled_bids = self.filled_asks = False
        super().replace(bids, asks)

    def change(self, bids: Levels, asks: Levels) -> None:
        super().change(bids, asks)
        self.filled_bids = self.filled_bids or len(self.bids) >= self.window
        self.filled_asks = self.filled_asks or len(self.asks) >= self.window

    @property
    def covered_low(self) -> Decimal | None:
        """The lowest price known, None: no limit."""
        return min(self.bids, default=None) if self.filled_bids else None

    @property
    def covered_high(self) -> Decimal | None:
        """The highest price known, None: no limit."""
        return max(self.asks, default=None) if self.filled_asks else None


def whole(value: object) -> int:
    """An integer of the wire."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"not an integer: {value!r}")
    return value


def taker_side(value: object) -> str:
    """`buy` or `sell`, where the wire says it so."""
    if value not in ("buy", "sell"):
        raise ValueError(f"not a side: {value!r}")
    return value


# Longest first: BTCUSDT is BTC in USDT, not BTCU in SDT or BTCUS in DT.
QUOTES = ("USDT", "USDC", "USD", "EUR", "GBP", "CHF", "BTC", "ETH")


def pair_of(symbol: str) -> tuple[str, str]:
    """BTCUSDT -> (BTC, USDT)."""
    for quote in QUOTES:
        if symbol.endswith(quote) and symbol != quote:
            return symbol.removesuffix(quote), quote
    raise ValueError(f"no known quote in {symbol}: name it in Settings.exchange_symbols")
