"""Frames into books and trades: the wide form the pipeline calls, and the user's DataProcessor over it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from COBY import metrics
from COBY.book import Book, BookState
from COBY.conversion import float_of, float_text, level_texts, snapshot_model, units_levels
from COBY.exchanges import load
from COBY.exchanges.base import AnyEvent, Delta, Exchange, Lost, NotListed, Rejected, Snapshot, Stale, Trade
from COBY.interfaces import DataProcessor
from COBY.models import OrderBookMetrics, OrderBookSnapshot, TradeEvent
from COBY.records import UNITS
from COBY.text import PRICES, SIZES, NumberError, check_levels, is_zero
from COBY.trades import trade_event
from COBY.utils.exceptions import ConfigurationError, ProcessingError
from COBY.utils.intervals import from_us

if TYPE_CHECKING:  # settings are passed in: a pure file never reads them by itself
    from COBY.config import Config


class ConnectionState(msgspec.Struct):
    """What of a connection's decoder and books is saved."""

    decoder: Any
    books: dict[str, BookState]


class ConnectionProcessor:
    """The books of one connection: frames in, events out, books kept as the proven events say."""

    def __init__(
        self, exchange: Exchange, symbols: Mapping[str, str], bucket_size: Callable[[str], int]
    ) -> None:
        """``symbols`` maps exchange symbol -> symbol (empty: any); ``bucket_size`` gives units by symbol."""
        self._exchange = exchange
        self._bucket_size = bucket_size
        self._symbols = symbols
        self.decoder = exchange.decoder(symbols)
        self.books: dict[str, Book] = {}
        self._doubted: set[str] = set()
        for symbol in symbols.values():
            self.book(symbol)

    def book(self, symbol: str) -> Book:
        """The book of a symbol, made when first asked for."""
        book = self.books.get(symbol)
        if book is None:
            book = self.books[symbol] = Book(self._bucket_size(symbol))
        return book

    def take(self, frame: bytes, kind: str, symbol: str | None, url: str | None) -> list[AnyEvent]:
        """Decode one frame and bring the books up to it; the events are returned for whoever counts and publishes."""
        events = self.decode(frame, kind, symbol, url)
        if len(events) == 1 and type(events[0]) is Trade:
            return events  # what comes most
        return [event for event in map(self.apply, events) if event is not None]

    def decode(self, frame: bytes, kind: str, symbol: str | None, url: str | None) -> list[AnyEvent]:
        """The events of one frame, each for `apply` before another frame is decoded."""
        if self._doubted:
            self._doubted.clear()
        return self.decoder.decode(frame, kind, symbol, url)

    def apply(self, event: AnyEvent) -> AnyEvent | None:
        """Bring a book up to one event; the event itself, or Lost where the exchange's checksum says otherwise.

        None for what a frame goes on to say of a book that was doubted within it: the decoder waits for a snapshot in
        a later frame, so the book has to wait as well.
        """
        if type(event) is Trade:
            return event
        if isinstance(event, Delta | Snapshot) and event.symbol in self._doubted:
            return None
        if isinstance(event, Delta):
            book = self.book(event.symbol)
            book.delta(event)
            return event if event.checksum is None else self._checked(event, event.checksum, book)
        if isinstance(event, Snapshot):
            book = self.book(event.symbol)
            book.snapshot(event)
            return event if event.checksum is None else self._checked(event, event.checksum, book)
        if isinstance(event, Lost):
            self.book(event.symbol).reason = event.reason
        elif isinstance(event, NotListed):
            self.book(event.symbol).reason = "not_listed"
        return event

    def _checked(self, event: Snapshot | Delta, told: int, book: Book) -> AnyEvent:
        check = self._exchange.checksum
        assert check is not None
        book.flush()
        found = check.of(book.bids.best_texts(check.levels), book.asks.best_texts(check.levels))
        if found == told:
            return event
        self.doubt(event.symbol, "checksum")
        return Lost(event.symbol, "checksum", f"told {told}, found {found}")

    def doubt(self, symbol: str, reason: str) -> None:
        """Something outside the exchange's own rule is wrong with a book: blind until its next snapshot."""
        self._doubted.add(symbol)
        self.decoder.expect_snapshot(symbol, proven=False)
        book = self.book(symbol)
        if book.reason in (None, "producer_lost", "stale"):
            book.reason = reason

    def save(self) -> ConnectionState:
        """The state."""
        return ConnectionState(
            self.decoder.save(), {name: book.save() for name, book in sorted(self.books.items())}
        )

    def load(self, state: ConnectionState) -> None:
        """Take up a saved state; symbols no longer served are dropped."""
        self.decoder.load(state.decoder)
        served = set(self._symbols.values())
        for symbol, book in state.books.items():
            if not served or symbol in served:
                self.book(symbol).load(book)


class Processor(DataProcessor):
    """The user's DataProcessor: one item at a time, by the functions the pipeline calls."""

    def __init__(self, config: Config) -> None:
        """Any exchange of COBY.exchanges and any of its symbols."""
        self._config = config
        self._connections: dict[str, ConnectionProcessor] = {}

    def normalize_orderbook(
        self,
        raw_data: dict[str, Any],
        exchange: str,
        *,
        symbol: str | None = None,
        at: datetime | None = None,
    ) -> OrderBookSnapshot:
        """The whole book after this frame. ``symbol``: raw_data is the REST body of that symbol.

        ``at``: the book's time where the frame has none, else the epoch. ProcessingError: the frame's own code,
        ``book.unproven`` before a snapshot and after a gap, ``frame.no_book`` for a frame of something else.
        """
        kind = "ws" if symbol is None else "http"
        connection = self._connection(exchange)
        events = connection.take(_frame(raw_data), kind, symbol, None)
        _raise_rejected(events)
        if any(isinstance(event, Trade) for event in events):
            raise ProcessingError(
                "frame.no_book", "a frame of trades", allowed="a snapshot or delta of a book"
            )
        for event in events:
            if isinstance(event, Lost | Stale | NotListed):
                raise ProcessingError("book.unproven", event.detail, where=event.symbol)
        named = [event.symbol for event in events if isinstance(event, Snapshot | Delta)]
        if not named:
            raise ProcessingError(
                "book.unproven", "no book yet from this frame", allowed="a snapshot first, then its deltas"
            )
        book = connection.book(named[-1])
        book.flush()
        if book.crossed():
            connection.doubt(named[-1], "crossed")
        return snapshot_model(named[-1], exchange, book, at)

    def normalize_trade(self, raw_data: dict[str, Any], exchange: str) -> TradeEvent:
        """The one trade of a frame. ProcessingError: ``multiple_events`` for several, ``frame.no_trade`` for none."""
        events = self._connection(exchange).take(_frame(raw_data), "ws", None, None)
        _raise_rejected(events)
        trades = [event for event in events if isinstance(event, Trade)]
        if len(trades) > 1:
            message = f"{len(trades)} trades in one frame: ConnectionProcessor.take returns them all"
            raise ProcessingError("multiple_events", message, allowed="one trade")
        if not trades:
            raise ProcessingError("frame.no_trade", "the frame holds no trade")
        record = trade_event(trades[0], exchange, trades[0].trade_id or "", trades[0].time_us, None)
        return TradeEvent(
            record.symbol,
            exchange,
            from_us(record.timestamp),
            record.price / UNITS,
            record.size / UNITS,
            record.side,
            record.trade_id,
        )

    def validate_data(self, data: OrderBookSnapshot | TradeEvent) -> bool:
        """Whether the pipeline would take it: numbers in range, levels in order, book not crossed."""
        try:
            if isinstance(data, TradeEvent):
                size = float_text(data.size)
                return SIZES[size] >= 0 and not is_zero(size) and PRICES[float_text(data.price)] > 0
            check_levels(level_texts(data.bids))
            check_levels(level_texts(data.asks))
        except NumberError:
            return False
        bids, asks = [level.price for level in data.bids], [level.price for level in data.asks]
        ordered = bids == sorted(set(bids), reverse=True) and asks == sorted(set(asks))
        return ordered and not (bids and asks and bids[0] >= asks[0])

    def calculate_metrics(self, orderbook: OrderBookSnapshot) -> OrderBookMetrics:
        """Metrics over all levels of the book given (the pipeline's ticks give the best 50)."""
        figures = metrics.metrics(units_levels(orderbook.bids), units_levels(orderbook.asks))
        return OrderBookMetrics(
            float_of(figures.mid_price),
            float_of(figures.spread),
            float_of(figures.bid_volume) if orderbook.bids else None,
            float_of(figures.ask_volume) if orderbook.asks else None,
            float_of(figures.imbalance),
            figures.quality / UNITS,
        )

    def _connection(self, exchange: str) -> ConnectionProcessor:
        if exchange not in self._connections:
            try:
                loaded = load(exchange)
            except KeyError:
                raise ConfigurationError("config.unknown_exchange", f"no exchange {exchange!r}") from None
            self._connections[exchange] = ConnectionProcessor(loaded, {}, one_bucket)
        return self._connections[exchange]


def one_bucket(_symbol: str) -> int:
    """A bucket size for books whose buckets nobody asks for."""
    return UNITS


def _frame(raw_data: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(raw_data)
    except (TypeError, ValueError, RecursionError) as error:
        raise ProcessingError("frame.json", str(error), allowed="a decoded JSON object") from error


def _raise_rejected(events: list[AnyEvent]) -> None:
    for event in events:
        if isinstance(event, Rejected):
            raise ProcessingError(event.code, event.detail, where=event.symbol)
