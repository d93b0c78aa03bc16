"""The connections of one slot: at most three, in the order in which they were opened in the log.

They may be those of several producers: whose a connection is makes no difference here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from COBY.processing import ConnectionProcessor
from COBY.slot_state import Connection, SavedConnection

MAX_CONNECTIONS = 3
"""One goes when a further one is opened: see `Connections.begin`."""


class Connections:
    """Which connections there are, and which of them is shown."""

    def __init__(self, make: Callable[[], ConnectionProcessor]) -> None:
        """``make`` gives the processor of a new connection."""
        self._make = make
        self._open: dict[str, Connection] = {}
        self._closed = "never_connected"

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._open.values())

    def find(self, name: str) -> Connection | None:
        """The connection of that name, if it is known."""
        return self._open.get(name)

    def begin(self, name: str, seq: int, stream_us: int) -> Connection | None:
        """A connection met for the first time; None for one that had to give way to newer ones and still writes.

        A connection begins with seq 1. Others are unknown after a hole, and then there is room for them. Where there
        are too many, one goes whose producer is silent, else the one with the fewest proven books, of several the one
        not heard for longest: a producer that starts over and over takes no other's book away.
        """
        if seq > 1 and len(self._open) >= MAX_CONNECTIONS and not self._drop_lost(stream_us):
            return None
        return self._add(name, stream_us)

    def close(self, name: str, reason: str) -> None:
        """A connection has ended."""
        del self._open[name]
        self._closed = reason

    def clear(self, reason: str) -> None:
        """None of them can be continued."""
        self._open.clear()
        self._closed = reason

    def shown(self, symbol: str) -> Connection | None:
        """The proven one whose ``connected`` is last in the log."""
        for connection in reversed(self._open.values()):
            book = connection.processor.books.get(symbol)
            if book is not None and book.reason is None:
                return connection
        return None

    def reason(self, symbol: str) -> str:
        """Why the symbol is blind: what the newest connection says."""
        for connection in reversed(self._open.values()):
            return connection.processor.books[symbol].reason or ""
        return self._closed

    def save(self) -> tuple[list[SavedConnection], str]:
        """The state: connections in their order, and why there is none if there is none."""
        return [connection.save() for connection in self], self._closed

    def load(self, saved: Iterable[SavedConnection], closed: str) -> None:
        """Take up a saved state."""
        self.clear(closed)
        for one in saved:
            self._add(one.name, one.record_us).load(one)

    def _add(self, name: str, stream_us: int) -> Connection:
        if len(self._open) >= MAX_CONNECTIONS:
            leaving = min(self, key=lambda one: (not one.lost(stream_us), _proven(one), one.record_us))
            del self._open[leaving.name]
        used = {connection.line for connection in self}
        line = next(number for number in range(MAX_CONNECTIONS) if number not in used)
        connection = self._open[name] = Connection(name, self._make(), stream_us, line)
        return connection

    def _drop_lost(self, stream_us: int) -> bool:
        """Make room by forgetting one whose producer is silent."""
        for connection in self:
            if connection.lost(stream_us):
                del self._open[connection.name]
                return True
        return False


def _proven(connection: Connection) -> int:
    """How many of its books are."""
    return sum(book.reason is None for book in connection.processor.books.values())
