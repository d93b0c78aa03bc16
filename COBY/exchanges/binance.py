"""Binance spot: depth@100ms joined to REST depth 5000, @trade. Protocol: EXCHANGES.md §1 (binance-spot-api-docs).

Seen on the wire: depth, trade, bookTicker and REST frames (frames/binance). Never seen: serverShutdown, error replies.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from COBY.channels import by_head
from COBY.continuity import ChainedDecoder, RestChain
from COBY.exchanges.base import (
    UNREADABLE,
    Acknowledged,
    AnyEvent,
    Checksum,
    Command,
    Connect,
    Decoder,
    Delta,
    Endpoints,
    Exchange,
    Farewell,
    Fetch,
    NotListed,
    Refused,
    Rejected,
    Send,
    Session,
    Snapshot,
    Trade,
)
from COBY.first_updates import FirstUpdates
from COBY.limits import Limits, Rate
from COBY.listings import rows
from COBY.text import PRICES, SIZES, check_levels, is_zero
from COBY.utils.intervals import clamp_us

SNAPSHOT_LEVELS = 5000
STREAMS = {"book": "depth@100ms", "trade": "trade"}
HEARD = rb'^\{"stream":"(?P<name>[^@"]+)@(?P<channel>depth|trade)'
AGAIN = 2
"""The number of a request for what was subscribed before; 1 is the first one's."""
UNKNOWN_LIMIT = 1000
"""A REST body without its url counts as cut when a side holds at least so many levels."""
DEFAULT_LIMIT = 100
"""What the exchange takes where a url names no limit."""
INVALID_SYMBOL = -1121
MICROSECONDS_FROM = 10**14
"""Times are milliseconds, or microseconds by ``?timeUnit=MICROSECOND``: so many milliseconds are the year 5138."""

UpdateId = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Depth(msgspec.Struct, gc=False):
    """depthUpdate: ``U`` … ``u`` are its first and last update id, sizes absolute, ``E`` milliseconds."""

    E: int
    s: str
    U: UpdateId
    u: UpdateId
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class TradeMessage(msgspec.Struct, gc=False):
    """trade: ``m`` true means that the buyer was the maker, so the taker sold."""

    s: str
    t: UpdateId
    p: str
    q: str
    T: int
    m: bool


class WrappedDepth(msgspec.Struct, gc=False):
    """A depthUpdate on a combined stream."""

    data: Depth


class WrappedTrade(msgspec.Struct, gc=False):
    """A trade on a combined stream."""

    data: TradeMessage


class Body(msgspec.Struct):
    """The body of GET /api/v3/depth."""

    lastUpdateId: UpdateId  # noqa: N815 - the exchange's own name
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


_wrapped_depth = msgspec.json.Decoder(WrappedDepth)
_wrapped_trade = msgspec.json.Decoder(WrappedTrade)
_body = msgspec.json.Decoder(Body)
_any = msgspec.json.Decoder()
_STREAM = re.compile(rb'\{"stream":"([A-Za-z0-9._-]{1,50})@depth')


class BinanceDecoder(ChainedDecoder[RestChain]):
    """Frames of one connection -> events; a `RestChain` per symbol keeps the continuity rule."""

    def __init__(self, symbols: Mapping[str, str]) -> None:
        """``symbols`` maps exchange symbol -> symbol; empty: any symbol, under its own name."""
        super().__init__(symbols, RestChain)

    def decode(self, frame: bytes, kind: str, symbol: str | None, url: str | None) -> list[AnyEvent]:
        try:
            if kind == "http":
                return self._rest(frame, symbol, url)
            # The name of a combined stream says what the frame is, without parsing it.
            prefix = frame[: max(frame.find(b'"', 11), 0)] if frame.startswith(b'{"stream":"') else b""
            if prefix.endswith(b"@trade"):
                return self._trade(_wrapped_trade.decode(frame).data)
            if prefix.endswith(b"@depth@100ms"):
                return self._depth(_wrapped_depth.decode(frame).data)
            return self._other(frame)
        except (*UNREADABLE, ValueError) as error:
            return [Rejected.of(error), *self._missing(frame)]

    def _missing(self, frame: bytes) -> list[AnyEvent]:
        """Lost, of the books that an unreadable frame may have been an update of."""
        if (stream := _STREAM.match(frame)) is None:
            return self._unusable() if b'"depthUpdate"' in frame else []
        name = self._name(stream[1].decode().upper())
        return [] if name is None else self._unusable([name])

    def _depth(self, data: Depth) -> list[AnyEvent]:
        symbol = self._name(data.s)
        if symbol is None:
            return [Rejected.unknown(data.s)]
        chain = self._chain(symbol)
        try:
            check_levels(data.b)
            check_levels(data.a)
        except ValueError as error:
            rejected = Rejected("frame.number", str(error), symbol)
            return [rejected, *chain.lost("an unusable update", data.u)]
        if data.u < data.U:
            rejected = Rejected("frame.range", f"u {data.u} is before U {data.U}", symbol)
            return [rejected, *chain.lost("an unusable update")]
        return chain.delta(Delta(symbol, data.b, data.a, data.U, data.u, _time_us(data.E)))

    def _trade(self, data: TradeMessage) -> list[AnyEvent]:
        symbol = self._name(data.s)
        if symbol is None:
            return [Rejected.unknown(data.s)]
        PRICES[data.p]
        if not SIZES[data.q] and is_zero(data.q):
            return [Rejected.empty_trade(data.q, symbol)]
        side = "sell" if data.m else "buy"
        return [Trade(symbol, data.p, data.q, side, str(data.t), _time_us(data.T))]

    def _other(self, frame: bytes) -> list[AnyEvent]:
        """Unwrapped frames, other channels, replies."""
        message = _any.decode(frame)
        if isinstance(message, list) and message and not isinstance(message[0], int | float):
            return []  # other channels: those of all symbols come as arrays
        if not isinstance(message, dict):
            return [Rejected("frame.shape", f"a JSON {type(message).__name__} instead of an object")]
        data = message.get("data", message)
        event = data.get("e") if isinstance(data, dict) else None
        if event == "trade":
            return self._trade(msgspec.convert(data, TradeMessage))
        if event == "depthUpdate":
            return self._depth(msgspec.convert(data, Depth))
        return []

    def _rest(self, frame: bytes, symbol: str | None, url: str | None) -> list[AnyEvent]:
        asked, limit = _asked(url)
        # A record's header names our symbol, a url the exchange's; recordings of others may mix them.
        named = symbol if symbol in self._symbols.values() else self._name(symbol or asked or "")
        if not named:
            return [Rejected.unknown(symbol or asked or "")]
        try:
            body = _body.decode(frame)
        except msgspec.ValidationError:
            if isinstance(message := _any.decode(frame), dict) and "code" in message:
                return [_refusal(message, named, known=self._chain(named).state.joined)]
            raise
        check_levels(body.bids)
        check_levels(body.asks)
        cut = (len(body.bids) >= limit, len(body.asks) >= limit)
        return self._chain(named).snapshot(
            Snapshot(named, body.bids, body.asks, body.lastUpdateId, None, *cut)
        )


def _asked(url: str | None) -> tuple[str | None, int]:
    """Exchange symbol and number of levels that a url asks for."""
    if url is None:
        return None, UNKNOWN_LIMIT
    query = dict(parse_qsl(urlsplit(url).query))
    limit = query.get("limit", "")
    return query.get("symbol"), min(int(limit), SNAPSHOT_LEVELS) if limit.isdecimal() else DEFAULT_LIMIT


def _time_us(value: int) -> int:
    """A time of the exchange in microseconds."""
    return value * 1000 if 0 <= value < MICROSECONDS_FROM else clamp_us(value)


def _refusal(message: dict[str, Any], symbol: str, known: bool) -> AnyEvent:
    """``known``: updates of the symbol come, so whatever REST says, it is listed."""
    code, text = message["code"], message.get("msg")
    if code == INVALID_SYMBOL and not known:
        return NotListed(symbol, str(text))
    return Rejected("frame.rest_error", f"code {code}: {text}", symbol)


class BinanceSession:
    """One socket on the combined stream endpoint; every symbol of the slot in one SUBSCRIBE."""

    def __init__(self, symbols: Mapping[str, str], endpoints: Endpoints) -> None:
        """``symbols`` maps exchange symbol -> symbol."""
        self._symbols = symbols
        self._endpoints = endpoints
        self._names = {symbol: name for name, symbol in symbols.items()}
        self.heard = by_head(HEARD, {"depth": "book", "trade": "trade"}, symbols)
        self._firsts = FirstUpdates(self.heard)

    def connect(self, answer: bytes | None = None) -> Connect:
        return Connect(f"{self._endpoints.ws_url}/stream")

    def opened(self, now: float) -> list[Command]:
        streams = [f"{name.lower()}@{kind}" for name in self._symbols for kind in STREAMS.values()]
        return [Send(json.dumps({"method": "SUBSCRIBE", "params": streams, "id": 1}))]

    def received(self, frame: bytes, now: float) -> list[Command]:
        """See `Session.received`. Data frames begin with their stream's name; all else is short."""
        if first := self._firsts.took(frame):
            return [self._fetch(symbol) for symbol in first]
        if len(frame) > 4096 or (frame.startswith(b'{"stream":"') and b'"serverShutdown"' not in frame[:80]):
            return []
        try:
            message = _any.decode(frame)
            return self._reply(message, now) if isinstance(message, dict) else []
        except UNREADABLE:
            return []

    def _reply(self, message: dict[str, Any], now: float) -> list[Command]:
        data = message.get("data", message)
        if isinstance(data, dict) and data.get("e") == "serverShutdown":
            return [Farewell("serverShutdown")]
        if error := message.get("error") or ("code" in message and message):
            return [Refused(None, json.dumps(error))]
        if message.get("id") == 1 and "result" in message:
            self._firsts.await_of(self._symbols.values(), now)
            return [Acknowledged(tuple(self._symbols.values()), ("book", "trade"))]
        return []

    def timer(self, now: float) -> list[Command]:
        # No ping: the server does that, and the socket's library answers.
        return [self._fetch(symbol) for symbol in self._firsts.overdue(now)]

    def resync(self, symbol: str, reason: str, now: float, age_seconds: float = 0.0) -> list[Command]:
        # The connection is kept. REST lags the stream: one that was too old is asked for again a little later.
        delay_seconds = 0.5 if reason.startswith("snapshot_") else 0.0
        return [self._fetch(symbol, delay_seconds)] if symbol in self._names else []

    def again(self, symbol: str, channel: str, now: float) -> list[Command]:
        """See `Session.again`. A stream that is subscribed stays so; updates that were missed show in their numbers."""
        stream = f"{self._names[symbol].lower()}@{STREAMS[channel]}"
        return [Send(json.dumps({"method": "SUBSCRIBE", "params": [stream], "id": AGAIN}))]

    def _fetch(self, symbol: str, delay_seconds: float = 0.0) -> Fetch:
        query = f"symbol={self._names[symbol]}&limit={SNAPSHOT_LEVELS}"
        return Fetch(f"{self._endpoints.rest_url}/api/v3/depth?{query}", symbol, delay_seconds)


class Binance:
    """The exchange."""

    name = "binance"
    endpoints = Endpoints("wss://stream.binance.com:9443", "https://api.binance.com")
    # 1,024 streams are allowed; a snapshot weighs 250 of 6,000 a minute, so that a slot of ten comes up at once.
    symbols_per_slot = 10
    silence_seconds = 60.0
    checksum: Checksum | None = None
    # 300 attempts in 5 min; 6,000 of weight a minute, 250 for a book.
    limits = Limits(connects=Rate(240, 310.0), requests=Rate(22, 62.0))

    def exchange_symbol(self, symbol: str) -> str:
        return symbol

    def listing(self, rest_url: str) -> str:
        return f"{rest_url}/api/v3/exchangeInfo"

    def listed(self, body: bytes) -> dict[str, str]:
        found = [row for row in rows(body, "symbols") if row.text("status") == "TRADING"]
        return {row.text("baseAsset") + row.text("quoteAsset"): row.text("symbol") for row in found}

    def session(self, symbols: Mapping[str, str], endpoints: Endpoints) -> Session:
        return BinanceSession(symbols, endpoints)

    def decoder(self, symbols: Mapping[str, str]) -> Decoder:
        return BinanceDecoder(symbols)


EXCHANGE: Exchange = Binance()
