"""Binance spot on localhost: `/ws`, `/ws/<streams>`, `/stream?streams=…`, and the REST it needs.

Requests, replies and limits after the exchange's own page "WebSocket Streams" and EXCHANGES.md §1; error
replies as clients have logged them: `{"error":{"code","msg"},"id"}`, without `id` when it could not be read.
Never seen on the wire by us: what a URL with an invalid stream is answered, and the texts of the closes.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from aiohttp import web

from simulator.exchange import Exchange
from simulator.exchanges.binance_rest import BinanceRest
from simulator.exchanges.binance_wire import BinanceWire, wrapped
from simulator.hub import Conn, Hub
from simulator.session import Session
from simulator.sources import Source
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


class RequestError(Exception):
    """A request that is answered with an error; `has_id` when its id could be read."""

    def __init__(self, code: int, message: str, *, has_id: bool = True) -> None:
        super().__init__(message)
        self.code, self.message, self.has_id = code, message, has_id


class View:
    """How one connection wants its frames: wrapped (`combined`) or not, times in ms or µs."""

    def __init__(self, *, combined: bool, in_us: bool) -> None:
        self.combined, self.in_us = combined, in_us

    def __call__(self, frame: Frame) -> str:
        text = wrapped(frame) if self.combined else frame.text
        return MILLISECONDS.sub(r'"\1":\g<2>000', text) if self.in_us else text


class BinanceExchange(Exchange):
    """Mounted at `/binance`: base addresses `ws://host:port/binance` and `http://host:port/binance`."""

    name = "binance"

    def __init__(self, hub: Hub, source: Source) -> None:
        super().__init__(hub, source)
        self._session = Session(hub, live=not source.needs_listener)
        self._rest = BinanceRest(hub, source)
        self._actions: dict[str, Callable[[Conn, View, list[Any]], Any]] = {
            "SUBSCRIBE": self._subscribe,
            "UNSUBSCRIBE": self._unsubscribe,
            "LIST_SUBSCRIPTIONS": self._list,
            "SET_PROPERTY": self._set_property,
            "GET_PROPERTY": self._get_property,
        }

    @staticmethod
    def wire() -> Wire:
        return BinanceWire()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/ws", self._raw),
            web.get("/ws/{streams:.*}", self._raw),
            web.get("/stream", self._combined),
            *self._rest.routes(),
        ]

    async def _raw(self, request: web.Request) -> web.StreamResponse:
        return await self._connect(request, request.match_info.get("streams", ""), combined=False)

    async def _combined(self, request: web.Request) -> web.StreamResponse:
        return await self._connect(request, request.query.get("streams", ""), combined=True)

    async def _connect(self, request: web.Request, names: str, *, combined: bool) -> web.StreamResponse:
        if not self.hub.may_connect():
            return web.Response(status=429, text="Too many connection attempts")
        streams = [name for name in names.split("/") if name]
        unit = request.query.get(UNIT, "MILLISECOND").upper()
        limit = self.hub.limits.streams_max
        if not all(map(STREAM.fullmatch, streams)) or unit not in ("MILLISECOND", "MICROSECOND"):
            return web.Response(status=400, text="Invalid stream or time unit")
        if len(set(streams)) > limit:
            return web.Response(status=400, text="Too many subscriptions")
        view = View(combined=combined, in_us=unit == "MICROSECOND")

        async def on_text(conn: Conn, text: str) -> None:
            await self._answer(conn, view, text)

        return await self._session.serve(request, request.path, view, streams, on_text)

    async def _answer(self, conn: Conn, view: View, text: str) -> None:
        """Reply, then act: the first frames of a subscription come after its acknowledgement."""
        request_id: Any = None
        try:
            request = _parse(text)
            request_id = request["id"]
            result, act = self._actions[request["method"]](conn, view, request.get("params") or [])
        except RequestError as error:
            reply: dict[str, Any] = {"error": {"code": error.code, "msg": error.message}}
            if error.has_id:
                reply["id"] = request_id
            await conn.reply(_json(reply))
            return
        await conn.reply(_json({"result": result, "id": request_id}))
        if act is not None:
            act()

    def _subscribe(self, conn: Conn, view: View, params: list[Any]) -> tuple[None, Callable[[], None]]:
        streams = _streams(params)
        if len(conn.streams.keys() | set(streams)) > self.hub.limits.streams_max:
            raise RequestError(4, "Too many subscriptions")
        return None, lambda: self.hub.subscribe(conn, streams)

    def _unsubscribe(self, conn: Conn, view: View, params: list[Any]) -> tuple[None, None]:
        # At once: no frame of it may follow the acknowledgement.
        self.hub.unsubscribe(conn, _streams(params))
        return None, None

    def _list(self, conn: Conn, view: View, params: list[Any]) -> tuple[list[str], None]:
        if params:
            raise RequestError(2, "Invalid request: too many parameters")
        return list(conn.streams), None

    def _set_property(self, conn: Conn, view: View, params: list[Any]) -> tuple[None, Callable[[], None]]:
        _property(params)
        if len(params) != 2 or not isinstance(params[1], bool):
            raise RequestError(1, "Invalid value type: expected Boolean")
        return None, lambda: setattr(view, "combined", params[1])

    def _get_property(self, conn: Conn, view: View, params: list[Any]) -> tuple[bool, None]:
        _property(params)
        return view.combined, None


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


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
