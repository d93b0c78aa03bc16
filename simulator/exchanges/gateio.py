"""Gate.io's spot WebSocket v4 on localhost, mounted at `/gateio`: `ws://host:port/gateio/ws/v4/`. Pure.

After EXCHANGES.md §8 and the exchange's pages "Spot WebSocket v4" and the announcement of `spot.obu`. Errors are
`{"code":2,"message"}`, as clients have logged them. Never seen on the wire by us: the full text behind `Alert sub`,
what an unsubscription from nothing is answered (here: success), the answer to a request that is none, and the close
of a socket on which nothing is said (here: after a minute).
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from simulator.exchanges.gateio_wire import (
    BOOKS,
    DEPTHS,
    TOPIC,
    TRADES,
    GateioWire,
    full_text,
    trade_stream,
)
from simulator.limits import Limits
from simulator.sources import Source
from simulator.venue import Answer, Close, Peer, Reply, Venue
from simulator.wire import Frame, Wire, base_and_quote

SECOND_US = 1_000_000
IDLE_US = 60 * SECOND_US
EVENTS = ("subscribe", "unsubscribe")
INVALID = 2
PAIRS = "/api/v4/spot/currency_pairs"


class RequestError(Exception):
    """A request that is answered with an error."""


class GateioVenue(Venue):
    """All that its connections share."""

    name: ClassVar[str] = "gateio"
    # It says nothing of attempts or messages, and answers pings instead of sending them.
    LIMITS: ClassVar[Limits] = Limits()

    def __init__(self, source: Source, limits: Limits) -> None:
        super().__init__(source, limits)
        self._opened = 0

    @staticmethod
    def wire() -> Wire:
        return GateioWire()

    def connect(self, path: str, query: Mapping[str, str], now_us: int) -> Peer | Answer:
        if path != "/ws/v4/":
            return Answer(404, "404 page not found", content_type="text/plain")
        self._opened += 1
        return GateioPeer(self.source, f"{0x86F3E47EBAC290B8 + self._opened:016x}")

    def rest(self, path: str, query: Mapping[str, str], now_us: int) -> Answer:
        """The list of pairs; market data needs none of its REST."""
        if path != PAIRS:
            return Answer(404, '{"label":"NOT_FOUND","message":"Not found"}')
        return Answer(200, _json([_pair(symbol, self.source.wire) for symbol in self.source.symbols]))


class GateioPeer(Peer):
    """One connection."""

    def __init__(self, source: Source, connection_id: str) -> None:
        super().__init__()
        wire = source.wire
        assert isinstance(wire, GateioWire)
        self._source, self._id = source, connection_id
        self._symbols = {wire.pair(symbol): symbol for symbol in source.symbols}
        self._requests = 0
        self._last_us = 0
        self._was_traffic = False

    def opened(self, now_us: int) -> list[Reply]:
        self._last_us = now_us
        return []

    def received(self, text: str, now_us: int) -> list[Reply]:
        self._last_us = now_us
        self._requests += 1
        request: dict[str, Any] = {}
        try:
            request = _parsed(text)
            _check(request)
            if request["channel"] == "spot.ping":
                head = self._head({}, now_us) | {"channel": "spot.pong", "event": "", "result": None}
                return [_json(head)]
            replies = self._answered(request, now_us)
        except RequestError as error:
            failed = {"error": {"code": INVALID, "message": str(error)}, "result": {"status": "fail"}}
            return [_json(self._head(request, now_us) | failed)]
        done = {"result": {"status": "success"}, "requestId": self._trace()}
        return [_json(self._head(request, now_us) | done), *replies]

    def timer(self, now_us: int) -> list[Reply]:
        """The end after a minute in which neither side said anything."""
        if self._was_traffic:
            self._last_us = now_us
        self._was_traffic = False
        return [Close(1000, "idle")] if now_us - self._last_us >= IDLE_US else []

    def render(self, frame: Frame) -> str:
        self._was_traffic = True
        return frame.as_text

    def resend_full(self, topic: str, now_us: int) -> list[Reply]:
        """The whole window on a live subscription, as the exchange may send at any time."""
        return self._full(topic, now_us)

    def _answered(self, request: dict[str, Any], now_us: int) -> list[Reply]:
        """All of the payload or nothing; then the whole books."""
        streams = [self._stream(request["channel"], item) for item in request["payload"]]
        if request["event"] == "unsubscribe":
            for stream in streams:
                self.streams.pop(stream, None)
            return []
        for stream in streams:
            if stream in self.streams and TOPIC.fullmatch(stream):
                raise RequestError(f"Alert sub {stream}")
        replies: list[Reply] = []
        for stream in streams:
            self.streams[stream] = None
            replies += self._full(stream, now_us)
        return replies

    def _stream(self, channel: str, item: str) -> str:
        topic = TOPIC.fullmatch(item) if channel == BOOKS else None
        if channel == BOOKS and (topic is None or int(topic[2]) not in DEPTHS):
            raise RequestError(f"invalid argument {item}")
        pair = topic[1] if topic else item
        if pair not in self._symbols:
            raise RequestError(f"unknown currency pair {pair}")
        return item if topic else trade_stream(pair)

    def _full(self, stream: str, now_us: int) -> list[Reply]:
        """Nothing of trades, and nothing while a recording has not come to its own full push."""
        topic = TOPIC.fullmatch(stream)
        book = self._source.book(self._symbols[topic[1]]) if topic else None
        if topic is None or book is None:
            return []
        depth = int(topic[2])
        sides = book.bids[:depth], book.asks[:depth]
        return [full_text(stream, *sides, last_id=book.sequence, time_ms=now_us // 1000)]

    def _head(self, request: dict[str, Any], now_us: int) -> dict[str, Any]:
        """What each answer begins with: the request's own number, channel, event and payload among it."""
        head: dict[str, Any] = {"time": now_us // SECOND_US, "time_ms": now_us // 1000}
        if "id" in request:
            head["id"] = request["id"]
        head |= {"conn_id": self._id, "trace_id": self._trace()}
        return head | {name: request[name] for name in ("channel", "event", "payload") if name in request}

    def _trace(self) -> str:
        return f"{self._id}{self._requests:016x}"


def _parsed(text: str) -> dict[str, Any]:
    """An object with a number, if any."""
    try:
        request = json.loads(text)
    except ValueError as error:
        raise RequestError("invalid request: not JSON") from error
    if not isinstance(request, dict):
        raise RequestError("invalid request: no object")
    if "id" in request and type(request["id"]) is not int:
        raise RequestError("invalid request: id")
    return request


def _check(request: dict[str, Any]) -> None:
    """A time, a known channel, an event and a payload; a ping needs neither of the last two."""
    if type(request.get("time")) is not int:
        raise RequestError("invalid request: time")
    channel, payload = request.get("channel"), request.get("payload")
    if channel == "spot.ping":
        return
    if channel not in (BOOKS, TRADES):
        raise RequestError(f"unknown channel {channel}")
    if request.get("event") not in EVENTS:
        raise RequestError(f"unknown event {request.get('event')}")
    if not isinstance(payload, list) or not payload or not all(isinstance(item, str) for item in payload):
        raise RequestError("invalid argument")


def _pair(symbol: str, wire: Wire) -> dict[str, Any]:
    assert isinstance(wire, GateioWire)
    base, quote = base_and_quote(symbol)
    decimals = wire.listing(symbol).price_decimals
    return {
        "id": wire.pair(symbol),
        "base": base,
        "quote": quote,
        "fee": "0.2",
        "amount_precision": 8,
        "precision": decimals,
        "trade_status": "tradable",
    }


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
