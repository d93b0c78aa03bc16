"""HTX's public WebSockets on localhost, mounted at `/huobi`: `ws://host:port/huobi/feed` and `/huobi/ws`. Pure.

After EXCHANGES.md §6. `/feed` has `mbp.400` and answers requests for a snapshot, `/ws` has `trade.detail`; anything
else is refused on both. A snapshot is a copy that may be some 300 ms old: a client who has just subscribed can find it
older than its first update. Never seen on the wire by us: error replies (their codes and texts are from clients), what
follows a second subscription to the same (here: another acknowledgement), what is refused how when it is too much, and
the close of a client that owes two pongs.
"""

import json
from collections import deque
from collections.abc import Mapping
from typing import Any, ClassVar

from simulator.exchanges.huobi_wire import BOOK, TOPIC, TRADES, HuobiWire, packed, rows, stream_name, topic
from simulator.limits import Limits
from simulator.sources import Source
from simulator.venue import Answer, Close, Peer, Reply, Venue
from simulator.wire import Book, Frame, Wire

SECOND_US = 1_000_000
PING_US = 5 * SECOND_US
COPY_US = 300_000
SUBSCRIPTIONS_PER_SECOND = 10
SNAPSHOTS_PER_SECOND = 5
TOPICS_MAX = 100
MISSED_MAX = 2
KINDS = {"/feed": BOOK, "/ws": TRADES}
VERBS = ("sub", "unsub", "req")


class HuobiVenue(Venue):
    """All that its connections share."""

    name: ClassVar[str] = "huobi"
    has_copies: ClassVar[bool] = True
    says_farewell: ClassVar[bool] = True
    LIMITS: ClassVar[Limits] = Limits()

    def __init__(self, source: Source, limits: Limits) -> None:
        super().__init__(source, limits)
        self._copies: dict[str, tuple[int, Book]] = {}

    @staticmethod
    def wire() -> Wire:
        return HuobiWire()

    def connect(self, path: str, query: Mapping[str, str], now_us: int) -> Peer | Answer:
        if path not in KINDS:
            return Answer(404, "Not Found", content_type="text/plain")
        return HuobiPeer(self, KINDS[path], now_us)

    def rest(self, path: str, query: Mapping[str, str], now_us: int) -> Answer:
        """The list of symbols; market data needs none of its REST."""
        if path != "/v1/common/symbols":
            return Answer(404, "Not Found", content_type="text/plain")
        wire = self.source.wire
        assert isinstance(wire, HuobiWire)
        data = [wire.listed(symbol) for symbol in self.source.symbols]
        return Answer(200, _json({"status": "ok", "data": data}))

    def copy(self, symbol: str, now_us: int) -> Book | None:
        """The book as clients are told it, at most COPY_US old. None before anything is known of it.

        A recording's own replies are played where they lie: it has no copies besides.
        """
        made_us, book = self._copies.get(symbol, (0, None))
        is_old = now_us - made_us >= COPY_US and now_us >= self.copies_held_until_us
        if book is None or is_old:
            book = None if self.source.kind == "recording" else self.source.book(symbol)
            if book is not None:
                self._copies[symbol] = (now_us, book)
        return book


class HuobiPeer(Peer):
    """One connection, for channels of one kind."""

    def __init__(self, venue: HuobiVenue, kind: str, now_us: int) -> None:
        super().__init__()
        self._venue, self._kind = venue, kind
        self._symbols = {symbol.lower(): symbol for symbol in venue.source.symbols}
        self._pinged_us = now_us
        self._owed: list[int] = []
        self._asked_us: dict[bool, deque[int]] = {True: deque(), False: deque()}

    def opened(self, now_us: int) -> list[Reply]:
        self._pinged_us = now_us
        return []

    def received(self, text: str, now_us: int) -> list[Reply]:
        request = _parsed(text)
        if request is None:
            return [_error(None, "bad-request", "invalid request", now_us)]
        if "pong" in request:
            # A pong answers its own ping and all before it.
            if request["pong"] in self._owed:
                del self._owed[: self._owed.index(request["pong"]) + 1]
            return []
        verb = next(verb for verb in VERBS if verb in request)
        return self._asked(verb, request[verb], request.get("id"), now_us)

    def timer(self, now_us: int) -> list[Reply]:
        """A ping every five seconds; the end when two were not answered."""
        if now_us - self._pinged_us < PING_US:
            return []
        if len(self._owed) >= MISSED_MAX:
            return [Close(1000, "pong_missing", "ping timeout")]
        self._pinged_us = now_us
        self._owed.append(now_us // 1000)
        return [packed(_json({"ping": self._owed[-1]}))]

    def render(self, frame: Frame) -> str | bytes:
        return frame.text

    def farewell(self, now_us: int) -> list[Reply]:
        """See `leaving`."""
        return self.leaving()

    def leaving(self) -> list[Reply]:
        """What may come before a close that the exchange has planned."""
        return [packed('{"action":"close"}')]

    def _asked(self, verb: str, channel: str, request_id: Any, now_us: int) -> list[Reply]:
        found = TOPIC.fullmatch(channel)
        name, kind = (found[1], found[2]) if found else ("", "")
        is_request = verb == "req"
        if self._too_many(now_us, is_request=is_request):
            self.broken["snapshots" if is_request else "subscriptions"] += 1
            return [_error(request_id, "too-many-request", "too many request", now_us)]
        if kind != self._kind or (is_request and kind != BOOK):
            return [_error(request_id, "bad-request", f"invalid topic {channel}", now_us)]
        if name not in self._symbols:
            return [_error(request_id, "bad-request", f"invalid symbol {name}", now_us)]
        if is_request:
            return [self._snapshot(name, request_id, now_us)]
        stream = stream_name(kind, name)
        if verb == "unsub":
            self.streams.pop(stream, None)
            return [_answer(request_id, {"status": "ok", "unsubbed": channel, "ts": now_us // 1000})]
        if len(self.streams) >= TOPICS_MAX:
            self.broken["topics"] += 1
            return [_error(request_id, "too-many-request", "too many topics", now_us)]
        self.streams[stream] = None
        done: list[Reply] = [_answer(request_id, {"status": "ok", "subbed": channel, "ts": now_us // 1000})]
        return done + (self._last(name) if kind == TRADES else [])

    def _last(self, name: str) -> list[Reply]:
        """The last tick of trades once more, to whoever subscribes."""
        return [frame.text for frame in self._venue.source.trades(self._symbols[name])[-1:]]

    def _snapshot(self, name: str, request_id: Any, now_us: int) -> Reply:
        symbol = self._symbols[name]
        book = self._venue.copy(symbol, now_us)
        head = _json(_headed(request_id, {"status": "ok", "ts": now_us // 1000, "rep": topic(symbol, BOOK)}))
        data = "null"
        if book is not None:
            data = f'{{"seqNum":{book.sequence},"bids":{rows(book.bids)},"asks":{rows(book.asks)}}}'
        return packed(f'{head[:-1]},"data":{data}}}')

    def _too_many(self, now_us: int, *, is_request: bool) -> bool:
        """More than allowed within a second, this one included; snapshots have a limit of their own."""
        times = self._asked_us[is_request]
        times.append(now_us)
        while times[0] <= now_us - SECOND_US:
            times.popleft()
        return len(times) > (SNAPSHOTS_PER_SECOND if is_request else SUBSCRIPTIONS_PER_SECOND)


def _parsed(text: str) -> dict[str, Any] | None:
    """A pong, or a request with one verb and the name of a channel; else None."""
    try:
        request = json.loads(text)
    except ValueError:
        return None
    if not isinstance(request, dict):
        return None
    if "pong" in request:
        return request
    verbs = [verb for verb in VERBS if verb in request]
    return request if len(verbs) == 1 and isinstance(request[verbs[0]], str) else None


def _headed(request_id: Any, message: dict[str, Any]) -> dict[str, Any]:
    return message if request_id is None else {"id": request_id, **message}


def _answer(request_id: Any, message: dict[str, Any]) -> bytes:
    return packed(_json(_headed(request_id, message)))


def _error(request_id: Any, code: str, text: str, now_us: int) -> bytes:
    error = {"status": "error", "ts": now_us // 1000}
    return packed(_json({**error, **_headed(request_id, {"err-code": code, "err-msg": text})}))


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
