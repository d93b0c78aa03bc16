"""The records of one connection: frames, REST bodies and events share its `conn` and its `seq`."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Protocol

from COBY.topics import MAX_MESSAGE_BYTES
from COBY.utils.timing import WallClock
from producers.publisher import Holed
from producers.raw import Observer, RawRecord, event_value

MAX_FRAME_BYTES = MAX_MESSAGE_BYTES - 1024 * 1024
"""Larger frames become an `oversize` event: the broker counts key, headers and what lz4 may add, too."""


class Outlet(Protocol):
    """Where records go: the `Publisher`, or whoever only looks at them."""

    clock: WallClock

    def has_room(self, size_bytes: int) -> bool:
        """Whether a frame of that size may be put."""

    def put(self, record: RawRecord) -> None:
        """Take a record, room or not."""

    def dropping(self, stream: Holed) -> None:
        """Remember that a stream lost frames: it is told when there is room again."""

    def forget(self, stream: Holed) -> None:
        """The stream has ended."""


class RawStream:
    """What one connection publishes, `seq` 1, 2, 3 …; a hole is always covered by a `dropped` event."""

    def __init__(
        self, publisher: Outlet, slot: str, conn: str, observe: Observer, on_resumed: Callable[[], None]
    ) -> None:
        """``observe`` is told of each record put; ``on_resumed`` that frames were lost and room is back."""
        self.conn = conn
        self.dropped = 0
        self.oversize = 0
        self._publisher = publisher
        self._slot = slot
        self._observe = observe
        self._on_resumed = on_resumed
        self._seq = 0
        self._hole: int | None = None

    def frame(self, value: bytes) -> None:
        """A WebSocket message, untouched."""
        self._data("ws", value, None, None)

    def body(self, value: bytes, url: str, symbol: str) -> None:
        """A REST body, untouched."""
        self._data("http", value, url, symbol)

    def event(self, name: str, **fields: object) -> None:
        """An event; written also while frames are dropped, after the `dropped` for the hole before it."""
        self._cover()
        self._put("event", event_value(name, **fields), None, None)

    def alive(self) -> None:
        """The event of each second; a connection whose frames are dropped does not claim to be well."""
        if self._hole is None and self._publisher.has_room(0):
            self.event("alive")

    def resume(self) -> None:
        """See `Holed.resume`."""
        self._cover()
        self._on_resumed()

    def close(self, reason: str) -> None:
        """The last event of the connection."""
        self.event("disconnected", reason=reason)
        self._publisher.forget(self)

    def _data(self, kind: str, value: bytes, url: str | None, symbol: str | None) -> None:
        if len(value) > MAX_FRAME_BYTES:
            self.oversize += 1
            self.event("oversize", length=len(value), sha256=sha256(value).hexdigest())
        elif self._publisher.has_room(len(value)):
            self._cover()
            self._put(kind, value, url, symbol)
        else:
            self._drop()

    def _drop(self) -> None:
        self.dropped += 1
        self._seq += 1
        if self._hole is None:
            self._hole = self._seq
            self._publisher.dropping(self)

    def _cover(self) -> None:
        if self._hole is not None:
            value = event_value("dropped", from_seq=self._hole, to_seq=self._seq)
            self._hole = None
            self._put("event", value, None, None)

    def _put(self, kind: str, value: bytes, url: str | None, symbol: str | None) -> None:
        self._seq += 1
        received_ns = self._publisher.clock.now_ns()
        record = RawRecord(self._slot, received_ns, self.conn, self._seq, kind, value, url, symbol)
        self._publisher.put(record)
        self._observe(record)
