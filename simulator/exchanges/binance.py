"""Binance spot on localhost: `/ws`, `/ws/<streams>`, `/stream?streams=…`, and the REST it needs.

Requests, replies and limits after the exchange's own page "WebSocket Streams" and EXCHANGES.md §1; error
replies as clients have logged them: `{"error":{"code","msg"},"id"}`, without `id` when it could not be read.
Never seen on the wire by us: what a URL with an invalid stream is answered, and the texts of the closes.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from simulator.exchanges.binance_rest import WEIGHT_MAX, WEIGHTS, BinanceRest, compact
from simulator.exchanges.binance_wire import BinanceWire, wrapped
from simulator.limits import Limits
from simulator.sources import Source
from simulator.venue import Answer, Peer, Reply, Venue
from simulator.wire import Frame, Wire

METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
INTERVALS = "1s|1m|3m|5m|15m|30m|1h|2h|4h|6h|8h|12h|1d|3d|1w|1M"
STREAM = re.compile(
    r"(?:[A-Za-z0-9._-]{1,50}@(?:trade|aggTrade|bookTicker|miniTicker|ticker|avgPrice|ticker_(?:1h|4h|1d)"
    rf"|depth(?:5|10|20)?(?:@100ms|@1000ms)?|kline_(?:{INTERVALS})(?:@\+08:00)?)"
    r"|!(?:miniTicker|ticker|ticker_(?:1h|4h|1d))@arr)"
)
TEXT_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")
MILLISECONDS = re.compile(r'"([ET])":(\d{13})(?=[,}])')
UNIT = "timeUnit"
INFO_WEIGHT = 20


class RequestError(Exception):
    """A request that is answered with an error; `has_id` when its id could be read."""

    def __init__(self, code: int, message: str, *, has_id: bool = True) -> None:
        super().__init__(message)
        self.code, self.message, self.has_id = code, message, has_id


class BinancePeer(Peer):
    """`combined`: frames come wrapped with their stream's name; `in_us`: their times in µs instead of ms."""

    def __init__(self, streams: list[str], streams_max: int, *, combined: bool, in_us: bool) -> None:
        super().__init__()
        self.streams.update(dict.fromkeys(streams))
        self._streams_max, self._combined, self._in_us = streams_max, combined, in_us
        self._actions: dict[str, Callable[[list[Any]], Any]] = {
            "SUBSCRIBE": self._subscribe,
            "UNSUBSCRIBE": self._unsubscribe,
            "LIST_SUBSCRIPTIONS": self._list,
            "SET_PROPERTY": self._set_property,
            "GET_PROPERTY": self._get_property,
        }

    def opened(self, now_us: int) -> list[Reply]:
        """Binance says nothing before it is asked."""
        return []

    def received(self, text: str, now_us: int) -> list[Reply]:
        request_id: Any = None
        try:
            request = _parse(text)
            request_id = request["id"]
            result = self._actions[request["method"]](request.get("params") or [])
        except RequestError as error:
            reply: dict[str, Any] = {"error": {"code": error.code, "msg": error.message}}
            if error.has_id:
                reply["id"] = request_id
            return [compact(reply)]
        return [compact({"result": result, "id": request_id})]

    def timer(self, now_us: int) -> list[Reply]:
        """No heartbeat of its own: it pings."""
        return []

    def farewell(self, now_us: int) -> list[Reply]:
        """`serverShutdown`, new in 2026; never seen on the wire by us, nor the stream that it names when wrapped."""
        event = {"e": "serverShutdown", "E": now_us // 1000}
        return [compact({"stream": "!serverShutdown", "data": event} if self._combined else event)]

    def render(self, frame: Frame) -> str:
        text = wrapped(frame) if self._combined else frame.as_text
        return MILLISECONDS.sub(r'"\1":\g<2>000', text) if self._in_us else text

    def _subscribe(self, params: list[Any]) -> None:
        streams = _streams(params)
        if _too_many(self.streams.keys() | set(streams), self._streams_max):
            self.broken["streams"] += 1
            raise RequestError(4, "Too many subscriptions")
        self.streams.update(dict.fromkeys(streams))

    def _unsubscribe(self, params: list[Any]) -> None:
        for stream in _streams(params):
            self.streams.pop(stream, None)

    def _list(self, params: list[Any]) -> list[str]:
        if params:
            raise RequestError(2, "Invalid request: too many parameters")
        return list(self.streams)

    def _set_property(self, params: list[Any]) -> None:
        _property(params)
        if len(params) != 2 or not isinstance(params[1], bool):
            raise RequestError(1, "Invalid value type: expected Boolean")
        self._combined = params[1]

    def _get_property(self, params: list[Any]) -> bool:
        _property(params)
        return self._combined


class BinanceVenue(Venue):
    """Mounted at `/binance`: base addresses `ws://host:port/binance` and `http://host:port/binance`."""

    name = "binance"
    books_by_rest: ClassVar[bool] = True
    has_copies: ClassVar[bool] = True
    says_farewell: ClassVar[bool] = True
    # The page "WebSocket Streams": 5 messages a second with pings and pongs, 300 attempts in five minutes.
    LIMITS = Limits(
        ping_seconds=20.0,
        pong_seconds=60.0,
        messages_per_second=5,
        streams_max=1024,
        connects_max=300,
        connects_window_seconds=300.0,
        rest_weight_max=WEIGHT_MAX,
    )

    def __init__(self, source: Source, limits: Limits) -> None:
        super().__init__(source, limits)
        self._rest = BinanceRest(source)

    @staticmethod
    def wire() -> Wire:
        return BinanceWire()

    def connect(self, path: str, query: Mapping[str, str], now_us: int) -> Peer | Answer:
        combined = path == "/stream"
        if not combined and path != "/ws" and not path.startswith("/ws/"):
            return _refused(404, "Not Found")
        names = query.get("streams", "") if combined else path.removeprefix("/ws")
        streams = [name for name in names.split("/") if name]
        unit = query.get(UNIT, "MILLISECOND").upper()
        if not all(map(STREAM.fullmatch, streams)) or unit not in ("MILLISECOND", "MICROSECOND"):
            return _refused(400, "Invalid stream or time unit")
        if _too_many(set(streams), self.limits.streams_max):
            return _refused(400, "Too many subscriptions")
        return BinancePeer(streams, self.limits.streams_max, combined=combined, in_us=unit == "MICROSECOND")

    def rest(self, path: str, query: Mapping[str, str], now_us: int) -> Answer:
        return self._rest.answer(path, query, now_us)

    def weight(self, path: str, query: Mapping[str, str]) -> int:
        """The page "General endpoints" and "Market Data endpoints": a book by its levels."""
        if not path.endswith("/depth"):
            return INFO_WEIGHT
        levels = query.get("limit", "")
        wanted = int(levels) if levels.isascii() and levels.isdecimal() and len(levels) < 9 else 0
        return next(weight for most, weight in WEIGHTS if min(wanted, WEIGHTS[-1][0]) <= most)


def _refused(status: int, message: str) -> Answer:
    return Answer(status, message, content_type="text/plain")


def _too_many(streams: set[str], streams_max: int) -> bool:
    return 0 < streams_max < len(streams)


def _parse(text: str) -> dict[str, Any]:
    """A request with a known method, an id and a list of params; else the exchange's own error."""
    try:
        request = json.loads(text)
    except ValueError as error:
        line, column = getattr(error, "lineno", 1), getattr(error, "colno", 1)
        message = f"Invalid JSON: expected value at line {line} column {column}"
        raise RequestError(3, message, has_id=False) from error
    if not isinstance(request, dict):
        raise RequestError(2, "Invalid request: expected an object at line 1 column 0", has_id=False)
    if "method" not in request:
        raise _invalid(f"missing field `method` at line 1 column {len(text)}")
    method = request["method"]
    if method not in METHODS:
        known = ", ".join(f"`{name}`" for name in METHODS)
        column = text.find(json.dumps(method)) + len(json.dumps(method))
        raise _invalid(f"unknown variant `{method}`, expected one of {known} at line 1 column {column}")
    if not _is_id(request.get("id", False)):
        raise RequestError(2, "Invalid request: request ID must be an unsigned integer", has_id=False)
    if not isinstance(request.get("params", []), list | None):
        raise _invalid("params must be an array")
    return request


def _invalid(message: str) -> RequestError:
    # The id is not read before the shape is right, so it is not echoed either.
    return RequestError(2, f"Invalid request: {message}", has_id=False)


def _is_id(value: object) -> bool:
    if isinstance(value, bool | float):
        return False
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return value is None or (isinstance(value, str) and TEXT_ID.fullmatch(value) is not None)


def _streams(params: list[Any]) -> list[str]:
    if not params or not all(isinstance(name, str) and STREAM.fullmatch(name) for name in params):
        raise RequestError(2, "Invalid request: invalid stream")
    return params


def _property(params: list[Any]) -> None:
    if not params or not isinstance(params[0], str):
        raise RequestError(2, "Invalid request: property name must be a string")
    if params[0] != "combined":
        raise RequestError(0, "Unknown property")
