"""One exchange at work: who is connected, who subscribed to what, and the sending itself."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable

import msgspec
from aiohttp import WSCloseCode, web

from simulator.ledger import ConnectionLog, Ledger
from simulator.wire import Frame

Render = Callable[[Frame], str]


class Limits(msgspec.Struct, frozen=True):
    """What a client may do, and when it is given up. Zero messages or connects: unlimited."""

    ping_seconds: float = 20.0
    pong_seconds: float = 60.0
    messages_per_second: int = 5
    streams_max: int = 1024
    connects_max: int = 300
    connects_window_seconds: float = 300.0
    # A client this far behind a live market is cut off: it may neither stop the market nor fill the memory.
    unsent_bytes_max: int = 64 * 1024 * 1024


def now_ms() -> int:
    """The wall clock, milliseconds UTC."""
    return time.time_ns() // 1_000_000


class Conn:
    """One client's WebSocket. `render` writes a frame as this connection wants it."""

    def __init__(
        self, socket: web.WebSocketResponse, ledger: Ledger, log: ConnectionLog, render: Render
    ) -> None:
        self.socket, self.log, self.render = socket, log, render
        self._ledger = ledger
        self.streams: dict[str, None] = {}
        self.reason = "client"
        self.transport: asyncio.Transport | None = None

    async def reply(self, text: str) -> None:
        """Answer a request; a client that has gone meanwhile gets nothing."""
        try:
            await self.socket.send_str(text)
        except ConnectionError:
            return
        self.log.replies += 1
        self._ledger.replies += 1

    async def send(self, frame: Frame) -> bool:
        """True when it was written to the socket."""
        if self.socket.closed:
            return False
        try:
            await self.socket.send_str(self.render(frame))
        except ConnectionError:
            return False
        self.log.frames += 1
        return True

    async def close(self, reason: str, code: int, message: str) -> None:
        """Close from our side; `reason` is what the ledger will say."""
        self.reason = reason
        await self.socket.close(code=code, message=message.encode())

    def unsent_bytes(self) -> int:
        return self.transport.get_write_buffer_size() if self.transport else 0


class Hub:
    """Connections and subscriptions of one exchange."""

    def __init__(self, ledger: Ledger, limits: Limits, streams: frozenset[str]) -> None:
        """streams: those that will carry frames; subscribing to another is noted, not refused."""
        self.ledger, self.limits = ledger, limits
        self._streams = streams
        # Set whenever something changed that a waiting runner may be waiting for.
        self.changed = asyncio.Event()
        self.last_subscription = time.monotonic()
        self._conns: set[Conn] = set()
        self._subscribers: dict[str, dict[Conn, None]] = {}
        self._attempts: deque[float] = deque()

    def may_connect(self) -> bool:
        """Count an attempt; False when there were too many in the window."""
        now = time.monotonic()
        while self._attempts and self._attempts[0] <= now - self.limits.connects_window_seconds:
            self._attempts.popleft()
        if self.limits.connects_max and len(self._attempts) >= self.limits.connects_max:
            return False
        self._attempts.append(now)
        return True

    def open(self, socket: web.WebSocketResponse, endpoint: str, render: Render) -> Conn:
        conn = Conn(socket, self.ledger, self.ledger.open(endpoint, now_ms()), render)
        self._conns.add(conn)
        return conn

    def close(self, conn: Conn) -> None:
        self.unsubscribe(conn, tuple(conn.streams))
        self._conns.discard(conn)
        self.ledger.close(conn.log, conn.reason, now_ms())

    def subscribe(self, conn: Conn, streams: Iterable[str]) -> None:
        for stream in streams:
            if stream not in self._streams:
                self.ledger.event("silent_stream", now_ms(), stream=stream)
            conn.streams[stream] = None
            self._subscribers.setdefault(stream, {})[conn] = None
        self._touch(conn)

    def unsubscribe(self, conn: Conn, streams: Iterable[str]) -> None:
        for stream in streams:
            conn.streams.pop(stream, None)
            listeners = self._subscribers.get(stream, {})
            listeners.pop(conn, None)
            if not listeners:
                self._subscribers.pop(stream, None)
        self._touch(conn)

    def listened(self, streams: Iterable[str]) -> bool:
        """Someone is subscribed to one of them."""
        return any(stream in self._subscribers for stream in streams)

    async def send(self, frame: Frame) -> None:
        """To every subscriber; counted as often as it was written. May wait for a slow one (see Session)."""
        copies = 0
        for conn in tuple(self._subscribers.get(frame.stream, ())):
            copies += await conn.send(frame)
            if conn.unsent_bytes() > self.limits.unsent_bytes_max and conn.transport is not None:
                conn.reason = "slow"
                conn.transport.abort()
        self.ledger.of(frame.symbol).add(frame, copies)

    async def close_all(self, reason: str, code: int = WSCloseCode.GOING_AWAY, message: str = "") -> int:
        conns = tuple(self._conns)
        await asyncio.gather(*(conn.close(reason, code, message) for conn in conns))
        return len(conns)

    def _touch(self, conn: Conn) -> None:
        self.last_subscription = time.monotonic()
        conn.log.subscriptions = list(conn.streams) or conn.log.subscriptions
        self.changed.set()
