"""MEXC spot v3 on localhost, mounted at `/mexc`: the socket `/ws`, REST depth and exchangeInfo. Pure.

After EXCHANGES.md §10. The refusal of a topic has the text that clients have logged; code 0 comes with it. Never seen
on the wire by us: what a request that can't be read is told, and the words of REST errors (here: as another exchange
with the same API has them).
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from simulator.exchanges.mexc_wire import CHANNELS, MexcWire, book_body
from simulator.limits import Limits
from simulator.sources import Source
from simulator.venue import Answer, Close, Peer, Reply, Venue
from simulator.wire import Frame, Wire, base_and_quote

SECOND_US = 1_000_000
UNSUBSCRIBED_US, SILENT_US, DAY_US = 30 * SECOND_US, 60 * SECOND_US, 86_400 * SECOND_US
STREAMS_MAX = 30
LIMIT_DEFAULT, LIMIT_MAX = 100, 5000
METHODS = ("SUBSCRIPTION", "UNSUBSCRIPTION")


class MexcVenue(Venue):
    """All that its connections share."""

    name: ClassVar[str] = "mexc"
    books_by_rest: ClassVar[bool] = True
    has_copies: ClassVar[bool] = True
    LIMITS: ClassVar[Limits] = Limits(streams_max=STREAMS_MAX)

    @staticmethod
    def wire() -> Wire:
        return MexcWire()

    def connect(self, path: str, query: Mapping[str, str], now_us: int) -> Peer | Answer:
        if path != "/ws":
            return Answer(404, "Not Found", content_type="text/plain")
        return MexcPeer(self.source, self.limits.streams_max)

    def rest(self, path: str, query: Mapping[str, str], now_us: int) -> Answer:
        if path == "/api/v3/depth":
            return self._depth(query, now_us)
        if path == "/api/v3/exchangeInfo":
            wanted = [symbol for symbol in self.source.symbols if query.get("symbol", symbol) == symbol]
            listed = [_listing(symbol) for symbol in wanted]
            return _answered({"timezone": "CST", "serverTime": now_us // 1000, "symbols": listed})
        if path == "/api/v3/time":
            return _answered({"serverTime": now_us // 1000})
        if path == "/api/v3/ping":
            return _answered({})
        return Answer(404, "Not Found", content_type="text/plain")

    def _depth(self, query: Mapping[str, str], now_us: int) -> Answer:
        symbol, limit = query.get("symbol", ""), query.get("limit", str(LIMIT_DEFAULT))
        if symbol not in self.source.symbols:
            return _failed(400, -1121, "Invalid symbol.")
        if not (limit.isdecimal() and limit.isascii() and len(limit) <= 9 and int(limit)):
            return _failed(400, -1100, "Illegal characters found in parameter 'limit'.")
        book = self.source.snapshot(symbol)
        if book is None:
            return _failed(503, 500, "The recording holds no book of this symbol.")
        return Answer(200, book_body(book, min(int(limit), LIMIT_MAX), now_us), symbol=symbol)


class MexcPeer(Peer):
    """One connection."""

    def __init__(self, source: Source, streams_max: int) -> None:
        super().__init__()
        self._source, self._streams_max = source, streams_max
        self._opened_us = self._heard_us = 0
        self._fresh = False

    def opened(self, now_us: int) -> list[Reply]:
        self._opened_us = self._heard_us = now_us
        return []

    def received(self, text: str, now_us: int) -> list[Reply]:
        """Whatever a request asks for, the code is 0."""
        request = _parsed(text)
        if request is None:
            return [_said(0, "msg format invalid")]
        if request.get("method") == "PING":
            self._heard_us = now_us
            return [_said(0, "PONG")]
        request_id, params = request.get("id", 0), _topics(request.get("params"))
        if request.get("method") not in METHODS or not params:
            return [_said(request_id, "Invalid request")]
        self._heard_us = now_us
        if request["method"] == "UNSUBSCRIPTION":
            for topic in params:
                self.streams.pop(topic, None)
            return [_said(request_id, ",".join(params))]
        refused = [topic for topic in params if not self._subscribed(topic)]
        done = [topic for topic in params if topic not in refused]
        parts = [",".join(done)] if done else []
        if refused:
            parts.append(f"Not Subscribed successfully! [{','.join(refused)}].  Reason： Blocked! ")
        return [_said(request_id, " ".join(parts))]

    def timer(self, now_us: int) -> list[Reply]:
        if self._fresh:
            self._fresh, self._heard_us = False, now_us
        if not self.streams and now_us - self._opened_us >= UNSUBSCRIBED_US:
            return [Close(1001, "no_subscription")]
        if now_us - self._heard_us >= SILENT_US:
            return [Close(1001, "idle")]
        if now_us - self._opened_us >= DAY_US:
            return [Close(1000, "lifetime", "24 hours")]
        return []

    def render(self, frame: Frame) -> str | bytes:
        self._fresh = True
        return frame.text

    def _subscribed(self, topic: str) -> bool:
        """Whether it holds: a topic of a channel that lives, of a symbol there is, within the connection's number."""
        channel, _, symbol = topic.rpartition("@")
        is_known = channel in CHANNELS and symbol in self._source.symbols
        if is_known and topic not in self.streams and len(self.streams) >= self._streams_max:
            self.broken["topics"] += 1
            return False
        if not is_known:
            return False
        self.streams[topic] = None
        return True


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        request = json.loads(text)
    except ValueError:
        return None
    return request if isinstance(request, dict) else None


def _topics(params: object) -> list[str]:
    """Those asked for; none for what is no list of texts."""
    is_whole = isinstance(params, list) and all(isinstance(topic, str) for topic in params)
    return params if isinstance(params, list) and is_whole else []


def _listing(symbol: str) -> dict[str, Any]:
    base, quote = base_and_quote(symbol)
    names = {"symbol": symbol, "baseAsset": base, "quoteAsset": quote}
    return {**names, "status": "1", "isSpotTradingAllowed": True, "permissions": ["SPOT"]}


def _answered(value: Any) -> Answer:
    return Answer(200, json.dumps(value, separators=(",", ":")))


def _failed(status: int, code: int, message: str) -> Answer:
    return Answer(status, json.dumps({"msg": message, "code": code}, separators=(",", ":")))


def _said(request_id: Any, text: str) -> str:
    return json.dumps({"id": request_id, "code": 0, "msg": text}, separators=(",", ":"), ensure_ascii=False)
