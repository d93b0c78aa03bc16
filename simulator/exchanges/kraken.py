"""Kraken's WebSocket v2 on localhost, mounted at `/kraken`: `ws://host:port/kraken/v2`. Pure.

After EXCHANGES.md §3 and the exchange's pages "book", "trade", "instrument", "ping", "status". Error replies as
clients have logged them, their keys in alphabetical order. Never seen on the wire by us: what follows a request
with an unknown method, channel or depth, the text for an unsubscription of nothing, and the close of an idle
socket. Where its pages differ over the default of `snapshot` of trades, the newer one is followed: false.
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from simulator.exchanges.kraken_instruments import instruments_text, pairs_body
from simulator.exchanges.kraken_wire import (
    DEPTHS,
    TRADE_HEAD,
    TRADE_TAIL,
    KrakenWire,
    book_stream,
    book_text,
    checksum,
    trade_stream,
)
from simulator.limits import Limits
from simulator.sources import Source
from simulator.stamps import Stamps
from simulator.venue import Answer, Close, Peer, Reply, Venue
from simulator.wire import Frame, Wire

DEPTH_DEFAULT = 10
IDLE_SECONDS = 60
HEARTBEAT = '{"channel":"heartbeat"}'
# The exchange's connection ids have twenty digits: more than a signed 64-bit integer holds.
FIRST_CONNECTION = 17_800_000_000_000_000_000
CHANNELS = ("book", "trade", "instrument")
SNAPSHOT_DEFAULT = {"book": True, "trade": False, "instrument": True}


class RequestError(Exception):
    """A request that is answered with an error; `symbol` when it is one symbol's."""

    def __init__(self, message: str, symbol: str | None = None) -> None:
        super().__init__(message)
        self.message, self.symbol = message, symbol


class KrakenVenue(Venue):
    """All that its connections share."""

    name: ClassVar[str] = "kraken"
    # Cloudflare in front of it: some 150 attempts in ten minutes. No pings of its own, no message rate.
    LIMITS: ClassVar[Limits] = Limits(connects_max=150, connects_window_seconds=600.0)

    def __init__(self, source: Source, limits: Limits) -> None:
        super().__init__(source, limits)
        self._opened = 0

    @staticmethod
    def wire() -> Wire:
        return KrakenWire()

    def connect(self, path: str, query: Mapping[str, str], now_us: int) -> Peer | Answer:
        if path != "/v2":
            return Answer(404, "Not found", content_type="text/plain")
        self._opened += 1
        return KrakenPeer(self.source, FIRST_CONNECTION + self._opened * 7_919)

    def rest(self, path: str, query: Mapping[str, str], now_us: int) -> Answer:
        """The list of pairs; market data needs none of its REST."""
        if path != "/0/public/AssetPairs":
            return Answer(404, '{"error":["EGeneral:Unknown method"]}')
        return Answer(200, pairs_body(self.source.wire, self.source.symbols))


class KrakenPeer(Peer):
    """One connection. A book is subscribed once for a symbol, whatever the depth."""

    def __init__(self, source: Source, connection_id: int) -> None:
        super().__init__()
        self._source, self._id, self._stamp = source, connection_id, Stamps()
        wire = source.wire
        assert isinstance(wire, KrakenWire)
        self._wire = wire
        self._symbols = {wire.pair(symbol): symbol for symbol in source.symbols}
        self._pairs = {symbol: pair for pair, symbol in self._symbols.items()}
        # (channel, pair) -> stream
        self._held: dict[tuple[str, str], str] = {}
        self._has_instruments = False
        self._was_traffic = False
        self._idle_since_us = 0

    def opened(self, now_us: int) -> list[Reply]:
        self._idle_since_us = now_us
        status = {
            "version": "2.0.10",
            "system": "online",
            "api_version": "v2",
            "connection_id": self._id,
        }
        return [_json({"channel": "status", "type": "update", "data": [status]})]

    def received(self, text: str, now_us: int) -> list[Reply]:
        self._idle_since_us = now_us
        try:
            request = _parsed(text)
        except RequestError as error:
            return self._said([self._failure({"method": "error"}, error, now_us)])
        return self._said(self._answered(request, now_us))

    def timer(self, now_us: int) -> list[Reply]:
        """A heartbeat when nothing was sent since the last call; without a subscription the end after 60 s."""
        is_subscribed = bool(self._held) or self._has_instruments
        was_traffic, self._was_traffic = self._was_traffic, False
        if is_subscribed:
            self._idle_since_us = now_us
            return [] if was_traffic else [HEARTBEAT]
        if now_us - self._idle_since_us >= IDLE_SECONDS * 1_000_000:
            return [Close(1000, "idle")]
        return []

    def render(self, frame: Frame) -> str:
        self._was_traffic = True
        return frame.as_text

    def resend_snapshot(self, symbol: str, now_us: int) -> list[Reply]:
        """A snapshot on a live subscription, as the exchange may send at any time; `symbol` as `BTCUSDT`."""
        pair = self._pairs[symbol]
        return self._said(self._book(pair, _depth_of(self._held["book", pair]), now_us))

    def tick_changed(self, symbol: str, now_us: int) -> list[Reply]:
        """The pair once more on `instrument`. That books go on in the new decimals at once is our guess."""
        if not self._has_instruments:
            return []
        return self._said([instruments_text(self._places(), {symbol: self._pairs[symbol]}, "update")])

    def _places(self) -> dict[str, int]:
        return {symbol: self._wire.places(symbol) for symbol in self._pairs}

    def _answered(self, request: dict[str, Any], now_us: int) -> list[Reply]:
        method = request["method"]
        if method == "ping":
            return [
                _json(
                    _without_none({"method": "pong", "req_id": request.get("req_id")}) | self._times(now_us)
                )
            ]
        try:
            params = _params(request)
        except RequestError as error:
            return [self._failure(request, error, now_us)]
        if params["channel"] == "instrument":
            return self._instruments(request, params, now_us)
        act = self._subscribe if method == "subscribe" else self._unsubscribe
        replies: list[Reply] = []
        for pair in params["symbol"]:
            try:
                replies += act(request, params, pair, now_us)
            except RequestError as error:
                replies.append(self._failure(request, error, now_us))
        return replies

    def _subscribe(
        self, request: dict[str, Any], params: dict[str, Any], pair: str, now_us: int
    ) -> list[Reply]:
        channel = params["channel"]
        if pair not in self._symbols:
            raise RequestError(f"Currency pair not supported {pair}", pair)
        if (channel, pair) in self._held:
            raise RequestError("Already subscribed", pair)
        depth, snapshot = params["depth"] or DEPTH_DEFAULT, params["snapshot"]
        stream = book_stream(depth, pair) if channel == "book" else trade_stream(pair)
        self._held[channel, pair] = stream
        self.streams[stream] = None
        result = {"channel": channel, "depth": depth, "snapshot": snapshot, "symbol": pair}
        if channel != "book":
            del result["depth"]
        replies = [self._ack(request, result, now_us)]
        if snapshot:
            replies += self._book(pair, depth, now_us) if channel == "book" else self._trades(pair)
        return replies

    def _unsubscribe(
        self, request: dict[str, Any], params: dict[str, Any], pair: str, now_us: int
    ) -> list[Reply]:
        channel, depth = params["channel"], params["depth"]
        stream = self._held.get((channel, pair))
        if stream is None or (channel == "book" and depth not in (None, _depth_of(stream))):
            raise RequestError("Subscription Not Found", pair)
        del self._held[channel, pair], self.streams[stream]
        result: dict[str, Any] = {"channel": channel, "symbol": pair}
        if channel == "book":
            result = {"channel": channel, "depth": _depth_of(stream), "symbol": pair}
        return [self._ack(request, result, now_us)]

    def _instruments(self, request: dict[str, Any], params: dict[str, Any], now_us: int) -> list[Reply]:
        is_wanted = request["method"] == "subscribe"
        if is_wanted == self._has_instruments:
            error = RequestError("Already subscribed" if is_wanted else "Subscription Not Found")
            return [self._failure(request, error, now_us)]
        self._has_instruments = is_wanted
        if not is_wanted:
            return [self._ack(request, {"channel": "instrument"}, now_us)]
        warnings = ["tick_size is deprecated, use price_increment"]
        result = {"channel": "instrument", "snapshot": params["snapshot"], "warnings": warnings}
        replies = [self._ack(request, result, now_us)]
        if params["snapshot"]:
            replies.append(instruments_text(self._places(), self._pairs))
        return replies

    def _book(self, pair: str, depth: int, now_us: int) -> list[Reply]:
        """Nothing while a recording has not come to its own snapshot."""
        book = self._source.book(self._symbols[pair])
        if book is None:
            return []
        bids, asks = book.bids[:depth], book.asks[:depth]
        return [book_text(pair, "snapshot", bids, asks, checksum(bids, asks), self._stamp(now_us))]

    def _trades(self, pair: str) -> list[Reply]:
        """The last fifty, oldest first; nothing when there was none."""
        texts = [frame.as_text for frame in self._source.trades(self._symbols[pair])]
        inner = [text[len(TRADE_HEAD) : -len(TRADE_TAIL)] for text in texts if text.startswith(TRADE_HEAD)]
        head = TRADE_HEAD.replace("update", "snapshot")
        return [f"{head}{','.join(inner)}{TRADE_TAIL}"] if inner else []

    def _ack(self, request: dict[str, Any], result: dict[str, Any], now_us: int) -> Reply:
        ack = {
            "method": request["method"],
            "req_id": request.get("req_id"),
            "result": result,
            "success": True,
        }
        return _json(_without_none(ack) | self._times(now_us))

    def _failure(self, request: dict[str, Any], error: RequestError, now_us: int) -> Reply:
        failure = {
            "error": error.message,
            "method": request["method"],
            "req_id": request.get("req_id"),
            "success": False,
            "symbol": error.symbol,
        }
        return _json(_without_none(failure) | self._times(now_us))

    def _times(self, now_us: int) -> dict[str, str]:
        return {"time_in": self._stamp(now_us), "time_out": self._stamp(now_us)}

    def _said(self, replies: list[Reply]) -> list[Reply]:
        self._was_traffic = self._was_traffic or bool(replies)
        return replies


def _parsed(text: str) -> dict[str, Any]:
    """A request with a method, and an integer `req_id` if any."""
    try:
        request = json.loads(text)
    except ValueError as error:
        raise RequestError("Malformed request") from error
    if not isinstance(request, dict) or not isinstance(request.get("method"), str):
        raise RequestError("Malformed request")
    if "req_id" in request and type(request["req_id"]) is not int:
        raise RequestError("Malformed request")
    return request


def _params(request: dict[str, Any]) -> dict[str, Any]:
    """The parameters with their defaults, each of its type."""
    params = request.get("params")
    if request["method"] not in ("subscribe", "unsubscribe"):
        raise RequestError("Unsupported method")
    if not isinstance(params, dict) or not isinstance(params.get("channel"), str):
        raise RequestError("Malformed request")
    channel = params["channel"]
    if channel not in CHANNELS:
        raise RequestError("Unsupported channel")
    symbols, depth = params.get("symbol", []), params.get("depth")
    snapshot = params.get("snapshot", SNAPSHOT_DEFAULT[channel])
    if not isinstance(symbols, list) or not all(isinstance(name, str) for name in symbols):
        raise RequestError("Malformed request")
    if not isinstance(snapshot, bool) or (channel != "instrument" and not symbols):
        raise RequestError("Malformed request")
    if depth is not None and (type(depth) is not int or depth not in DEPTHS):
        raise RequestError("Subscription depth not supported")
    return {"channel": channel, "symbol": symbols, "depth": depth, "snapshot": snapshot}


def _depth_of(stream: str) -> int:
    return int(stream.partition("@")[2].partition(":")[0])


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
