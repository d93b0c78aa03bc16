"""A recording -> events as JSON-ready dicts, by the pipeline's own decoding half: what ``coby decode`` prints.

No marks, slots, staleness or time rules: a gap is written only where a live book goes blind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from COBY.book import Book
from COBY.exchanges.base import (
    AnyEvent,
    Delta,
    Exchange,
    Levels,
    Lost,
    Notice,
    NotListed,
    Rejected,
    Snapshot,
    Trade,
)
from COBY.processing import ConnectionProcessor, one_bucket
from COBY.recordings import RecordedFrame
from COBY.records import TradeEvent
from COBY.side import Side
from COBY.text import PRICES, decimal_text
from COBY.trades import Trades, trade_event
from COBY.utils.intervals import format_us

Row = dict[str, Any]


def only_book(exchange: Exchange, rows: Iterable[RecordedFrame]) -> str | None:
    """The recording's only symbol, to which a REST body without symbol or url belongs; None if there are several."""
    decoder = exchange.decoder({})
    symbols = set()
    for row in rows:
        if row.kind == "ws":
            events = decoder.decode(row.frame, "ws", None, None)
            symbols |= {event.symbol for event in events if isinstance(event, Trade)}
        if row.symbol is not None:
            symbols.add(row.symbol)
    symbols |= decoder.met()
    return symbols.pop() if len(symbols) == 1 else None


MAX_CONNECTIONS = 100
"""Remembered at once; the oldest goes."""


class RecordingDecoder:
    """Rows of one exchange, in order, into events."""

    def __init__(self, exchange: Exchange, symbol: str | None, deltas: bool, books: int | None) -> None:
        """``symbol`` of REST bodies that name none; ``deltas``, ``books`` (levels a side): what to show besides."""
        self._exchange = exchange
        self._symbol = symbol
        self._deltas = deltas
        self._books = books
        self._trades: dict[str, Trades] = {}
        self._names: dict[str, dict[int, str]] = {}
        self._conn: str | None = None
        self._number = 0
        self._processors: dict[str | None, ConnectionProcessor] = {}
        self._connect()

    def take(self, row: RecordedFrame) -> list[Row]:
        """The events of one row."""
        if row.dir == "connect":
            self._conn = row.conn
            self._connect()
        elif row.conn is not None and row.conn != self._conn:
            self._conn = row.conn
            self._resume()
        if row.kind == "event":
            return [
                {
                    "type": "status",
                    "exchange": self._exchange.name,
                    "state": row.frame.decode(errors="replace"),
                }
            ]
        if not row.is_decoded:
            return []
        self._number += 1
        symbol = row.symbol or (self._symbol if row.url is None else None)
        live = {name for name, book in self._processor.books.items() if book.reason is None}
        shown: list[Row] = []
        received_us = None if row.received_ns is None else row.received_ns // 1000
        for place, event in enumerate(self._decoded(row, symbol)):
            proven = self._processor.apply(event)
            if proven is None:
                continue
            shown += self._event(event, received_us, live, f"{self._conn or 'feed-0'}-{self._number}-{place}")
            if proven is not event:
                shown += self._event(proven, received_us, live, "")
        return shown

    def _decoded(self, row: RecordedFrame, symbol: str | None) -> Sequence[AnyEvent]:
        if row.is_null:
            return [Rejected("frame.null", "a row without a frame")]
        return self._processor.decode(
            row.frame, row.kind or "", symbol if row.kind == "http" else None, row.url
        )

    def _connect(self) -> None:
        """A new connection: nothing is carried over."""
        self._processors.pop(self._conn, None)
        self._resume()

    def _resume(self) -> None:
        """The connection of the row: those of our own records lie interleaved, each with books of its own."""
        if self._conn not in self._processors:
            self._processors[self._conn] = ConnectionProcessor(self._exchange, {}, one_bucket)
            if len(self._processors) > MAX_CONNECTIONS:
                del self._processors[next(iter(self._processors))]
        self._processor = self._processors[self._conn]

    def _event(self, event: AnyEvent, received_us: int | None, live: set[str], own_id: str) -> Iterator[Row]:
        if isinstance(event, Trade):
            yield from self._trade(event, received_us, own_id)
        elif isinstance(event, Snapshot | Delta):
            yield from self._book(event, received_us)
        elif isinstance(event, Lost | NotListed):
            if event.symbol in live:
                live.discard(event.symbol)
                reason = event.reason if isinstance(event, Lost) else "not_listed"
                yield self._gap(event.symbol, reason, event.detail, received_us)
        elif isinstance(event, Rejected):
            yield {"type": "rejected", "code": event.code, "frame": self._number, "detail": event.detail}
        elif isinstance(event, Notice):
            yield {
                "type": "status",
                "exchange": self._exchange.name,
                "state": event.state,
                "detail": event.detail,
            }

    def _trade(self, event: Trade, received_us: int | None, own_id: str) -> Iterator[Row]:
        trades = self._trades.setdefault(event.symbol, Trades(event.symbol, self._exchange.name))
        record = trades.accept(event, event.time_us if received_us is None else received_us, 0, own_id)
        if record is None:
            return
        if received_us is None:  # nothing to check the exchange's time against: it stands as it is
            record = trade_event(event, self._exchange.name, record.trade_id, event.time_us, None)
        yield self._trade_row(record, event, received_us)

    def _trade_row(self, record: TradeEvent, event: Trade, received_us: int | None) -> Row:
        return {
            "type": "trade",
            "exchange": record.exchange,
            "symbol": record.symbol,
            "timestamp": format_us(record.timestamp),
            "received_at": _time(received_us),
            "price": event.price,
            "size": event.size,
            "side": record.side,
            "trade_id": record.trade_id,
        }

    def _book(self, event: Snapshot | Delta, received_us: int | None) -> Iterator[Row]:
        book = self._processor.book(event.symbol)
        if self._deltas:
            yield {
                "type": "delta",
                **self._head(event, received_us),
                "snapshot": isinstance(event, Snapshot),
                "bids": [list(level) for level in event.bids],
                "asks": [list(level) for level in event.asks],
            }
        book.flush()
        if book.reason is None and book.crossed():
            self._processor.doubt(event.symbol, "crossed")
            yield self._gap(event.symbol, "crossed", "best bid >= best ask", received_us)
        if self._books is None:
            return
        names = self._names.setdefault(event.symbol, {})
        names |= _named(event.bids) | _named(event.asks)
        yield self._book_row(event, book, names, received_us)

    def _book_row(
        self, event: Snapshot | Delta, book: Book, names: Mapping[int, str], received_us: int | None
    ) -> Row:
        assert self._books is not None
        return {
            "type": "book",
            **self._head(event, received_us),
            "live": book.reason is None,
            "reason": book.reason,
            "bids": _levels(book.bids, self._books, 1, names),
            "asks": _levels(book.asks, self._books, -1, names),
        }

    def _head(self, event: Snapshot | Delta, received_us: int | None) -> Row:
        return {
            "exchange": self._exchange.name,
            "symbol": event.symbol,
            "timestamp": _time(event.time_us),
            "received_at": _time(received_us),
            "sequence_id": event.sequence_id,
        }

    def _gap(self, symbol: str, reason: str, detail: str, received_us: int | None) -> Row:
        at = _time(received_us)
        return {
            "type": "gap",
            "exchange": self._exchange.name,
            "symbol": symbol,
            "reason": reason,
            "received_at": at,
            "detail": detail,
        }


def _time(time_us: int | None) -> str | None:
    return None if time_us is None else format_us(time_us)


def _named(levels: Levels) -> dict[int, str]:
    return {PRICES[price]: price for price, _ in levels}


def _levels(side: Side, count: int, sign: int, names: Mapping[int, str]) -> list[list[str]]:
    """The best levels held, in the exchange's own texts, also those beyond what a cut snapshot covered."""
    if side.names is not None:
        return [list(level) for level in side.best_texts(count)]
    levels = []
    for key in side.best_keys(count):
        name = names.get(sign * key) or decimal_text(sign * key)
        levels.append([name, side.texts.get(name) or decimal_text(side.sizes[key])])
    return levels
