"""OKX's public WebSocket v5 on localhost, mounted at `/okx`: `ws://host:port/okx/ws/v5/public`. Pure.

After EXCHANGES.md §5 and the exchange's pages "Subscribe", "Order book channel", "Trades channel", "Notification"
and "Error Code"; error replies as clients have logged them. Never seen on the wire by us: what follows a second
subscription to the same (here: an acknowledgement, no second snapshot), and an unsubscription from what was not
subscribed (here: an acknowledgement).
"""

import json
import re
from collections import deque
from collections.abc import Mapping
from typing import Any, ClassVar

from simulator.exchanges.okx_wire import DEPTH, OkxWire, stream_name
from simulator.limits import Limits
from simulator.sources import Source
from simulator.venue import Answer, Close, Peer, Reply, Venue
from simulator.wire import Frame, Wire

SECOND_US = 1_000_000
IDLE_US = 30 * SECOND_US
KEEP_ALIVE_US = 60 * SECOND_US
HOUR_US = 3_600 * SECOND_US
REQUESTS_PER_HOUR = 480
REQUEST_BYTES_MAX = 64 * 1024
OPS = ("subscribe", "unsubscribe")
CHANNELS = ("books", "trades")
REQUEST_ID = re.compile(r"[A-Za-z0-9]{1,32}")
FIRST_CONNECTION = 0xA4D3AE55
UPGRADE = "The connection will soon be closed for a service upgrade. Please reconnect."


class OkxVenue(Venue):
    """All that its connections share."""

    name: ClassVar[str] = "okx"
    says_farewell: ClassVar[bool] = True
    # Three connection attempts a second; who says nothing is not pinged but closed.
    LIMITS: ClassVar[Limits] = Limits(connects_max=3, connects_window_seconds=1.0)

    def __init__(self, source: Source, limits: Limits) -> None:
        """The source's wire decides whether checksums are real (`OkxWire(checksums=True)`)."""
        super().__init__(source, limits)
        self._opened = 0

    @staticmethod
    def wire() -> Wire:
        return OkxWire()

    def connect(self, path: str, query: Mapping[str, str], now_us: int) -> Peer | Answer:
        if path != "/ws/v5/public":
            return Answer(404, "Not found", content_type="text/plain")
        self._opened += 1
        return OkxPeer(self.source, f"{(FIRST_CONNECTION + self._opened * 7_919) % (1 << 32):08x}")

    def rest(self, path: str, query: Mapping[str, str], now_us: int) -> Answer:
        """The list of instruments; market data needs none of its REST."""
        if path != "/api/v5/public/instruments":
            return Answer(404, '{"msg":"Not Found","code":"404","data":[]}')
        if query.get("instType") != "SPOT":
            return Answer(400, '{"msg":"Parameter instType error","code":"51000","data":[]}')
        wire = self.source.wire
        assert isinstance(wire, OkxWire)
        data = [wire.listed(symbol) for symbol in self.source.symbols]
        return Answer(200, json.dumps({"code": "0", "data": data, "msg": ""}, separators=(",", ":")))

    def reset_sequence(self, symbol: str) -> None:
        """A maintenance: the next update of `symbol` (`BTCUSDT`) continues with a smaller seqId."""
        wire = self.source.wire
        assert isinstance(wire, OkxWire)
        wire.reset_sequence(symbol)


class OkxPeer(Peer):
    """One connection."""

    def __init__(self, source: Source, connection_id: str) -> None:
        super().__init__()
        wire = source.wire
        assert isinstance(wire, OkxWire)
        self._source, self._wire, self._id = source, wire, connection_id
        self._symbols = {wire.instrument(symbol): symbol for symbol in source.symbols}
        self._requests_us: deque[int] = deque()
        # Streams with a frame since the last timer; when the last one of a book was, as far as timers know.
        self._fresh: set[str] = set()
        self._pushed_us: dict[str, int] = {}
        self._last_us = 0

    def opened(self, now_us: int) -> list[Reply]:
        self._last_us = now_us
        return []

    def received(self, text: str, now_us: int) -> list[Reply]:
        self._last_us = now_us
        if text == "ping":
            return ["pong"]
        if len(text.encode()) > REQUEST_BYTES_MAX:
            self.broken["request_bytes"] += 1
            return [Close(1009, "too_long", "Request message exceeds the maximum frame length")]
        request = _parsed(text)
        if request is None:
            return [self._error("60012", f"Invalid request: {text}", _id_of(text))]
        if self._too_many(now_us):
            self.broken["requests"] += 1
            return [self._error("60014", "Requests too frequent", request.get("id"))]
        return self._answered(request, now_us)

    def timer(self, now_us: int) -> list[Reply]:
        """The keep-alives of books that have not moved for 60 s; the end after 30 s without any message."""
        if self._fresh:
            self._last_us = now_us
        replies: list[Reply] = []
        for stream in self._pushed_us:
            if stream in self._fresh:
                self._pushed_us[stream] = now_us
            elif now_us - self._pushed_us[stream] >= KEEP_ALIVE_US:
                self._pushed_us[stream] = self._last_us = now_us
                replies += self._still(stream.partition(":")[2], now_us)
        self._fresh.clear()
        if now_us - self._last_us >= IDLE_US:
            replies.append(Close(4004, "idle", "No data received in 30s"))
        return replies

    def render(self, frame: Frame) -> str:
        self._fresh.add(frame.stream)
        return frame.as_text

    def farewell(self, now_us: int) -> list[Reply]:
        """See `notice`."""
        return self.notice()

    def notice(self) -> list[Reply]:
        """The announcement of a service upgrade, 30 to 60 s before the exchange closes the connection."""
        return [_json({"event": "notice", "code": "64008", "msg": UPGRADE, "connId": self._id})]

    def _answered(self, request: dict[str, Any], now_us: int) -> list[Reply]:
        """Acknowledgements in the order of the arguments, then the snapshots."""
        replies: list[Reply] = []
        snapshots: list[Reply] = []
        head = {"id": request["id"]} if "id" in request else {}
        for arg in request["args"]:
            channel, name = arg["channel"], arg.get("instId")
            if channel not in CHANNELS or name not in self._symbols:
                replies.append(self._error("60018", _unknown(channel, name), request.get("id")))
                continue
            stream = stream_name(channel, name)
            is_new = stream not in self.streams
            replies.append(_json({**head, "event": request["op"], "arg": arg, "connId": self._id}))
            if request["op"] == "unsubscribe":
                self.streams.pop(stream, None)
                self._pushed_us.pop(stream, None)
                continue
            replies.append(self._count(channel))
            self.streams[stream] = None
            if channel == "books" and is_new:
                self._pushed_us[stream] = now_us
                snapshots += self._snapshot(name, now_us)
        return replies + snapshots

    def _snapshot(self, name: str, now_us: int) -> list[Reply]:
        """Nothing while a recording has not come to its own snapshot."""
        symbol = self._symbols[name]
        book = self._source.book(symbol)
        if book is None:
            return []
        bids, asks = book.bids[:DEPTH], book.asks[:DEPTH]
        ids = -1, self._wire.printed(symbol, book.sequence)
        text = self._wire.book_text(
            symbol, "snapshot", bids, asks, ts_ms=now_us // 1000, checked=book, ids=ids
        )
        return [text]

    def _still(self, name: str, now_us: int) -> list[Reply]:
        """An update without levels whose two sequence numbers are the last one."""
        symbol = self._symbols[name]
        book = self._source.book(symbol)
        if book is None:
            return []
        last = self._wire.printed(symbol, book.sequence)
        return [
            self._wire.book_text(
                symbol, "update", (), (), ts_ms=now_us // 1000, checked=book, ids=(last, last)
            )
        ]

    def _count(self, channel: str) -> str:
        # How many connections of this client have the channel: each is its own client here.
        return _json(
            {"event": "channel-conn-count", "channel": channel, "connCount": "1", "connId": self._id}
        )

    def _error(self, code: str, message: str, request_id: str | None) -> str:
        head = {} if request_id is None else {"id": request_id}
        return _json({**head, "event": "error", "code": code, "msg": message, "connId": self._id})

    def _too_many(self, now_us: int) -> bool:
        """More than 480 requests within an hour, this one included."""
        self._requests_us.append(now_us)
        while self._requests_us[0] <= now_us - HOUR_US:
            self._requests_us.popleft()
        return len(self._requests_us) > REQUESTS_PER_HOUR


def _parsed(text: str) -> dict[str, Any] | None:
    """A request with a known op, arguments that name a channel, and a text `id` if any; else None."""
    try:
        request = json.loads(text)
    except ValueError:
        return None
    if not isinstance(request, dict) or request.get("op") not in OPS or not _is_id(request.get("id", "0")):
        return None
    args = request.get("args")
    if not isinstance(args, list) or not args:
        return None
    is_whole = all(isinstance(arg, dict) and isinstance(arg.get("channel"), str) for arg in args)
    return request if is_whole else None


def _is_id(value: object) -> bool:
    return isinstance(value, str) and REQUEST_ID.fullmatch(value) is not None


def _id_of(text: str) -> str | None:
    """The id of a request that is wrong otherwise; one that can't be read is not echoed."""
    try:
        request_id = json.loads(text).get("id")
    except (ValueError, AttributeError):
        return None
    return request_id if _is_id(request_id) else None


def _unknown(channel: str, name: object) -> str:
    where = f"{channel},instId:{name}" if name is not None else channel
    return (
        f"Wrong URL or channel:{where} doesn't exist. "
        "Please use the correct URL, channel and parameters referring to API document."
    )


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
