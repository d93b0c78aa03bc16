"""Bybit's public spot WebSocket v5 on localhost, mounted at `/bybit`: `ws://host:port/bybit/v5/public/spot`. Pure.

After EXCHANGES.md §4 and the exchange's pages "Connect", "Orderbook", "Trade". Error replies as clients have logged
them. Never seen on the wire by us: the texts for too many arguments and for a request that is none, what an
unsubscription from nothing is answered (here: success), and the close of an idle socket.
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from simulator.exchanges.bybit_wire import (
    BOOK_TOPIC,
    DEPTHS,
    TRADE_TOPIC,
    BybitWire,
    book_text,
)
from simulator.limits import Limits
from simulator.sources import Source
from simulator.venue import Answer, Close, Peer, Reply, Venue
from simulator.wire import Frame, Wire, base_and_quote

SECOND_US = 1_000_000
IDLE_US = 600 * SECOND_US
REPEAT_US = 3 * SECOND_US
ARGS_MAX = 10
ARGS_LENGTH_MAX = 21_000
TOO_MUCH = ("args size", "params error: length")
OPS = ("subscribe", "unsubscribe")
INSTRUMENTS = "/v5/market/instruments-info"


class RequestError(Exception):
    """A request that fails as a whole; its message is the exchange's."""


class BybitVenue(Venue):
    """All that its connections share."""

    name: ClassVar[str] = "bybit"
    LIMITS: ClassVar[Limits] = Limits(connects_max=500, connects_window_seconds=300.0)

    def __init__(self, source: Source, limits: Limits) -> None:
        super().__init__(source, limits)
        self._opened = 0

    @staticmethod
    def wire() -> Wire:
        return BybitWire()

    def connect(self, path: str, query: Mapping[str, str], now_us: int) -> Peer | Answer:
        if path != "/v5/public/spot":
            return Answer(404, "Not found", content_type="text/plain")
        self._opened += 1
        return BybitPeer(self.source, f"cejreaspqfm9se7usbrg-{self._opened:x}")

    def rest(self, path: str, query: Mapping[str, str], now_us: int) -> Answer:
        """The list of spot instruments; market data needs none of its REST."""
        if path != INSTRUMENTS:
            return Answer(404, "404 page not found", content_type="text/plain")
        if query.get("category") != "spot":
            return Answer(200, _answer(10001, "params error: category invalid", {}, now_us))
        asked = query.get("symbol")
        symbols = [symbol for symbol in self.source.symbols if asked in (None, symbol)]
        listed = {"category": "spot", "list": [_instrument(symbol) for symbol in symbols]}
        return Answer(200, _answer(0, "OK", listed, now_us))

    def restart(self, symbol: str) -> None:
        """The service behind a symbol's books begins anew: the next message of each depth is a snapshot, u = 1."""
        wire = self.source.wire
        assert isinstance(wire, BybitWire)
        wire.restart(symbol)


class BybitPeer(Peer):
    """One connection. A stream is a topic."""

    def __init__(self, source: Source, connection_id: str) -> None:
        super().__init__()
        wire = source.wire
        assert isinstance(wire, BybitWire)
        self._source, self._wire, self._id = source, wire, connection_id
        self._last_us = 0
        # Topics with a frame since the last timer; when the last one of a best level was, as far as timers know.
        self._fresh: set[str] = set()
        self._tops_us: dict[str, int] = {}

    def opened(self, now_us: int) -> list[Reply]:
        self._last_us = now_us
        return []

    def received(self, text: str, now_us: int) -> list[Reply]:
        self._last_us = now_us
        request: dict[str, Any] = {}
        try:
            request = _parsed(text)
            if request["op"] == "ping":
                # The op stays, and of what was sent nothing comes back.
                return [self._said("pong", "ping", "", success=True)]
            topics = _topics(request)
            return self._answered(request, topics, now_us)
        except RequestError as error:
            if error.args[0].startswith(TOO_MUCH):
                self.broken["args"] += 1
            op, number = request.get("op"), request.get("req_id")
            return [self._said(str(error), op if isinstance(op, str) else "", number, success=False)]

    def timer(self, now_us: int) -> list[Reply]:
        """The best levels once more after three quiet seconds; the end after ten minutes without any message."""
        if self._fresh:
            self._last_us = now_us
        replies: list[Reply] = []
        for topic in self._tops_us:
            if topic in self._fresh:
                self._tops_us[topic] = now_us
            elif now_us - self._tops_us[topic] >= REPEAT_US:
                self._tops_us[topic] = self._last_us = now_us
                replies += self._snapshot(topic, now_us)
        self._fresh.clear()
        if now_us - self._last_us >= IDLE_US:
            replies.append(Close(1000, "idle"))
        return replies

    def render(self, frame: Frame) -> str:
        self._fresh.add(frame.stream)
        return frame.as_text

    def resend_snapshot(self, topic: str, now_us: int) -> list[Reply]:
        """A snapshot on a live subscription, as the exchange may send at any time."""
        return self._snapshot(topic, now_us)

    def _answered(self, request: dict[str, Any], topics: list[str], now_us: int) -> list[Reply]:
        """All topics or none; then the snapshots of the books."""
        number = request.get("req_id")
        if request["op"] == "unsubscribe":
            for topic in topics:
                self.streams.pop(topic, None)
                self._tops_us.pop(topic, None)
            return [self._said("", "unsubscribe", number, success=True)]
        for topic in topics:
            self._check(topic)
        if sum(map(len, (*self.streams, *topics))) > ARGS_LENGTH_MAX:
            raise RequestError(f"params error: length of args is over {ARGS_LENGTH_MAX}")
        replies: list[Reply] = [self._said("subscribe", "subscribe", number, success=True)]
        for topic in topics:
            self.streams[topic] = None
            if topic.startswith(f"orderbook.{DEPTHS[0]}."):
                self._tops_us[topic] = now_us
            replies += self._snapshot(topic, now_us)
        return replies

    def _check(self, topic: str) -> None:
        book, trade = BOOK_TOPIC.fullmatch(topic), TRADE_TOPIC.fullmatch(topic)
        if not trade and not (book and book[1] in map(str, DEPTHS)):
            raise RequestError(f"Invalid topic: {topic}")
        if topic.rpartition(".")[2] not in self._source.symbols:
            raise RequestError(f"Invalid symbol :[{topic}]")
        if topic in self.streams:
            raise RequestError(f"error:already subscribed,topic:{topic}")

    def _snapshot(self, topic: str, now_us: int) -> list[Reply]:
        """Nothing of trades, and nothing while a recording has not come to its own snapshot."""
        found = BOOK_TOPIC.fullmatch(topic)
        if found is None:
            return []
        depth, symbol = int(found[1]), found[2]
        book = self._source.book(symbol)
        if book is None:
            return []
        number = self._wire.number(symbol, depth) if self._source.kind == "seeded" else book.sequence
        text = book_text(
            symbol,
            depth,
            book.bids[:depth],
            book.asks[:depth],
            number=number,
            seq=book.sequence,
            cts_ms=now_us // 1000,
            is_snapshot=True,
        )
        return [text]

    def _said(self, message: str, op: str, number: object, *, success: bool) -> str:
        said = {"success": success, "ret_msg": message, "conn_id": self._id}
        if isinstance(number, str):
            said["req_id"] = number
        return _json({**said, "op": op})


def _parsed(text: str) -> dict[str, Any]:
    try:
        request = json.loads(text)
    except ValueError as error:
        raise RequestError("invalid json") from error
    if not isinstance(request, dict) or not isinstance(request.get("op"), str):
        raise RequestError("invalid request")
    if request["op"] not in (*OPS, "ping"):
        raise RequestError(f"error:unknown op {request['op']}")
    return request


def _topics(request: dict[str, Any]) -> list[str]:
    topics = request.get("args")
    if not isinstance(topics, list) or not topics or not all(isinstance(topic, str) for topic in topics):
        raise RequestError("params error: args")
    if len(topics) > ARGS_MAX:
        raise RequestError(f"args size >{ARGS_MAX}")
    return topics


def _instrument(symbol: str) -> dict[str, Any]:
    base, quote = base_and_quote(symbol)
    return {"symbol": symbol, "baseCoin": base, "quoteCoin": quote, "innovation": "0", "status": "Trading"}


def _answer(code: int, message: str, result: dict[str, Any], now_us: int) -> str:
    return _json(
        {"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": now_us // 1000}
    )


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
