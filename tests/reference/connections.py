"""The connections of one slot, what each knows of every symbol, and which one is shown."""

import json

from tests.reference.exchange import AnyBook, Trade
from tests.reference.exchanges import EXCHANGES

LOST_NS = 2_000_000_000
MOST_CONNECTIONS = 3


class Connection:
    """One socket: a book per symbol, and when it was last heard of (stream time, nanoseconds)."""

    def __init__(self, name: str, exchange: str, symbols: tuple[str, ...], now_ns: int) -> None:
        self.name = name
        self.books = {symbol: EXCHANGES[exchange].Book() for symbol in symbols}
        self.last_record_ns = now_ns
        self.last_frame_ns = now_ns

    def notice_silence(self, now_ns: int, silence_ns: int | None) -> None:
        """Blind the books of a connection without a record for 2 s, or without a frame for too long.

        Choices: 2 s exactly are enough; the silence must be exceeded; a REST body is a frame too (DESIGN.md, Words).
        """
        if now_ns - self.last_record_ns >= LOST_NS:
            self.lose("producer_lost")
        if silence_ns is not None and now_ns - self.last_frame_ns > silence_ns:
            self.lose("stale")

    def lose(self, reason: str) -> None:
        """Every book that was proven is so no more."""
        for book in self.books.values():
            book.lose(reason)

    def close(self) -> None:
        """Choice: `disconnected` replaces whatever reason the books had, for nothing can end that one any more."""
        for book in self.books.values():
            book.reason = "disconnected"


class Slot:
    """The connections of one slot, in the order in which they were connected in the log."""

    def __init__(self, exchange: str, symbols: tuple[str, ...], silence_seconds: float | None) -> None:
        self.exchange = exchange
        self.symbols = symbols
        self.silence_ns = None if silence_seconds is None else int(silence_seconds * 1_000_000_000)
        self.connections: list[Connection] = []
        self.closed = "never_connected"
        self.gone: set[str] = set()

    def notice_silence(self, now_ns: int) -> None:
        """Look at the connections as they are when stream time is now_ns."""
        for connection in self.connections:
            connection.notice_silence(now_ns, self.silence_ns)

    def connection_of(self, record: dict, now_ns: int) -> Connection | None:
        """The record's connection, made where it is new; None for one that gave way to newer ones and has no room."""
        for connection in self.connections:
            if connection.name == record["conn"]:
                return connection
        if record["conn"] in self.gone:
            is_new = record["seq"] == 1
            if not is_new and len(self.connections) >= MOST_CONNECTIONS and not self.drop_silent(now_ns):
                return None
            self.gone.discard(record["conn"])
        connection = Connection(record["conn"], self.exchange, self.symbols, now_ns)
        self.connections.append(connection)
        if len(self.connections) > MOST_CONNECTIONS:
            self.gone.add(self.leaving(now_ns))
        return connection

    def drop_silent(self, now_ns: int) -> bool:
        """Forget the first that has been silent for 2 s; whether there was one."""
        silent = [one for one in self.connections if now_ns - one.last_record_ns >= LOST_NS]
        for one in silent[:1]:
            self.connections.remove(one)
            self.gone.add(one.name)
        return bool(silent)

    def leaving(self, now_ns: int) -> str:
        """Who makes room for the newest: silent for 2 s, else with fewest proven books, else longest unheard."""
        older = self.connections[:-1]
        ranks = [
            (
                now_ns - one.last_record_ns < LOST_NS,
                sum(book.reason is None for book in one.books.values()),
                one.last_record_ns,
                place,
            )
            for place, one in enumerate(older)
        ]
        gone = older[min(ranks)[-1]]
        self.connections.remove(gone)
        return gone.name

    def take(self, record: dict, now_ns: int, symbols: dict[str, str]) -> list:
        """Bring the books up to date with one record; returns the trades in it."""
        connection = self.connection_of(record, now_ns)
        if connection is None:
            return []
        connection.last_record_ns = now_ns
        if record["kind"] == "event":
            self.take_event(connection, record)
            return []
        connection.last_frame_ns = now_ns
        trades = []
        for item in EXCHANGES[self.exchange].read(record, symbols):
            if item.symbol not in connection.books:
                continue
            if isinstance(item, Trade):
                trades.append(connection.books[item.symbol].seen(item))
            else:
                trades += connection.books[item.symbol].take(item) or []
        return trades

    def take_event(self, connection: Connection, record: dict) -> None:
        """What a producer says of a connection.

        Choices: `oversize` and `dropped` are a sequence_gap (unknown frames are missing); `refused` does nothing.
        """
        try:
            event = json.loads(record["value"])["event"]
        except (ValueError, KeyError, TypeError):
            return
        if event == "connected":
            self.connections.remove(connection)
            self.connections.append(connection)
        if event == "disconnected":
            connection.close()
            self.connections.remove(connection)
            self.closed = "disconnected"
        if event in ("oversize", "dropped"):
            connection.lose("sequence_gap")

    def shown(self, symbol: str) -> tuple[Connection | None, str | None]:
        """(connection whose book is shown, None), or (None, reason); a crossed book is found here, at a tick.

        Choice: without a proven book, the reason is that of the newest connection.
        """
        for connection in reversed(self.connections):
            book = connection.books[symbol]
            if book.reason is None and is_crossed(book):
                book.lose("crossed")
            if book.reason is None:
                return connection, None
        return None, self.reason(symbol)

    def proven(self, symbol: str) -> Connection | None:
        """The connection whose book would be shown, unless it is found crossed."""
        for connection in reversed(self.connections):
            if connection.books[symbol].reason is None:
                return connection
        return None

    def reason(self, symbol: str) -> str | None:
        """What the newest connection's book is blind for. Choice: one that has ended is none any more."""
        return self.connections[-1].books[symbol].reason if self.connections else self.closed


def is_crossed(book: AnyBook) -> bool:
    """Choice: equal best prices are crossed too, no exchange leaves those standing."""
    return bool(book.bids and book.asks) and max(book.bids) >= min(book.asks)
