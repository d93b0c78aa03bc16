"""One exchange at work: who is connected, who subscribed to what, and the sending itself."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

from aiohttp import WSCloseCode, web

from simulator.conn import Conn, framed, packed
from simulator.ledger import Ledger
from simulator.limits import Limits, Window
from simulator.mischief import Sent
from simulator.venue import Close, Peer, Reply
from simulator.wire import Frame

DROPPED = "drop_frames"


def now_us() -> int:
    """The wall clock, microseconds UTC."""
    return time.time_ns() // 1000


def now_ms() -> int:
    """The wall clock, milliseconds UTC."""
    return time.time_ns() // 1_000_000


class Quiet:
    """When a subscription of any exchange last changed (monotonic seconds): markets that wait start together."""

    def __init__(self) -> None:
        self.since = time.monotonic()


class Hub:
    """Connections and subscriptions of one exchange."""

    def __init__(
        self, ledger: Ledger, limits: Limits, streams: frozenset[str], quiet: Quiet, *, live: bool
    ) -> None:
        """streams: those that will carry frames; subscribing to another is noted, not refused.

        live: the market does not wait for a slow client, who is cut off at last; a recording waits.
        """
        self.ledger, self.limits, self.quiet = ledger, limits, quiet
        self._streams, self._live = streams, live
        # Set whenever something changed that a waiting runner may be waiting for.
        self.changed = asyncio.Event()
        self._conns: set[Conn] = set()
        self._subscribers: dict[str, dict[Conn, None]] = {}
        self._unwritten: dict[Conn, None] = {}
        self._attempts = Window(limits.connects_max, limits.connects_window_seconds)
        self._messages = Window(limits.address_messages_per_second, 1.0)
        self._rest = Window(limits.rest_weight_max, limits.rest_weight_window_seconds)
        # What is sent besides to who has just subscribed to a stream.
        self.on_subscribed: Callable[[str], list[Frame]] = lambda _stream: []

    def may_connect(self) -> bool:
        """Count an attempt; False when there were too many in the window."""
        return self._counted("connects", self._attempts)

    def may_say(self) -> bool:
        """Count a text message of the address; False when there were too many within a second."""
        return self._counted("address_messages", self._messages)

    def asked(self, weight: int) -> None:
        """Count a REST question; to refuse one is the venue's, in the exchange's own words."""
        self._counted("rest_weight", self._rest, weight)

    def _counted(self, name: str, window: Window, weight: int = 1) -> bool:
        kept = window.add(time.monotonic(), weight)
        return self.ledger.limit(name, window.peak, kept=kept)

    def open(self, request: web.Request, socket: web.WebSocketResponse, peer: Peer) -> Conn:
        """A connection whose handshake is done. Errors: ConnectionError when it has gone meanwhile."""
        if request.transport is None:
            raise ConnectionResetError("the client left during the handshake")
        log = self.ledger.open(request.path, now_ms())
        conn = Conn(socket, request.transport, request.writer, peer, log)
        self._conns.add(conn)
        return conn

    def close(self, conn: Conn) -> None:
        conn.peer.streams.clear()
        self._follow(conn)
        self._conns.discard(conn)
        self._unwritten.pop(conn, None)
        self.ledger.close(conn.log, conn.reason, now_ms())

    async def answer(self, conn: Conn, replies: Sequence[Reply]) -> None:
        """What the peer says, in order, before any frame that is sent from now on."""
        for reply in replies:
            if conn.pipe.is_dead:
                break  # not even a close would arrive
            if isinstance(reply, Close):
                conn.flush(self.limits.unsent_bytes_max)
                await conn.close(reply.reason, reply.code, reply.message)
                break
            if conn.pipe.is_clear:
                sent = int(conn.put(packed(reply)))
            else:
                sent = self.put(conn, conn.pipe.replies([Sent.of(reply)], now_us()))
            conn.log.replies += sent
            self.ledger.replies += sent
        if conn.peer.broken:
            self.ledger.broken.update(conn.peer.broken)
            conn.peer.broken.clear()
        self._follow(conn)
        conn.flush(self.limits.unsent_bytes_max)

    def listened(self, streams: Iterable[str]) -> bool:
        """Someone is subscribed to one of them."""
        return any(stream in self._subscribers for stream in streams)

    def conns(self) -> tuple[Conn, ...]:
        """Those open now."""
        return tuple(self._conns)

    def put(self, conn: Conn, sent: Iterable[Sent]) -> int:
        """Queue what has come through a client's pipe; how many messages."""
        return sum(conn.put(framed(one.payload, is_text=one.is_text)) for one in sent)

    def send(self, frame: Frame, fate: str = "", spoil: Callable[[Sent], Sent] = lambda sent: sent) -> None:
        """To every subscriber, packed once for those who get the same text; written at the next `flush`.

        fate, spoil: what becomes of it on the way (see Mischief).
        """
        copies = 0
        messages: dict[str | bytes, bytes] = {}
        for conn in self._subscribers.get(frame.stream, ()):
            text = conn.peer.render(frame)
            if fate or not conn.pipe.is_clear:
                count = self.put(conn, conn.pipe.frame(Sent.of(text, frame), fate, now_us(), spoil))
            else:
                if text not in messages:
                    messages[text] = packed(text)
                count = int(conn.put(messages[text]))
            if count:
                conn.log.frames += count
                self._unwritten[conn] = None
                copies += count
        if fate == DROPPED:
            self.ledger.drop(frame)
        else:
            self.ledger.of(frame.symbol).add(frame, copies)

    async def flush(self) -> None:
        """Write what was sent; a recording waits for slow clients here."""
        conns = tuple(self._unwritten)
        self._unwritten.clear()
        for conn in conns:
            conn.flush(self.limits.unsent_bytes_max)
        if not self._live:
            for conn in conns:
                await conn.drain()

    async def close_all(self, reason: str, code: int = WSCloseCode.GOING_AWAY, message: str = "") -> int:
        conns = tuple(self._conns)
        await asyncio.gather(*(conn.close(reason, code, message) for conn in conns))
        return len(conns)

    def _follow(self, conn: Conn) -> None:
        """Bring our index of subscribers in line with what the peer says it is subscribed to."""
        wanted = conn.peer.streams
        if wanted.keys() == conn.followed.keys():
            return
        for stream in conn.followed.keys() - wanted.keys():
            listeners = self._subscribers[stream]
            del listeners[conn]
            if not listeners:
                del self._subscribers[stream]
        new = [stream for stream in wanted if stream not in conn.followed]
        for stream in wanted:
            if stream not in conn.followed:
                if stream not in self._streams:
                    self.ledger.event("silent_stream", now_ms(), stream=stream)
                self._subscribers.setdefault(stream, {})[conn] = None
        conn.followed = dict(wanted)
        conn.log.subscriptions = list(wanted) or conn.log.subscriptions
        for frame in [frame for stream in new for frame in self.on_subscribed(stream)]:
            self.put(
                conn, conn.pipe.frame(Sent.of(conn.peer.render(frame), frame), "", now_us(), lambda one: one)
            )
        self.quiet.since = time.monotonic()
        self.changed.set()
