"""Bitfinex's public WebSocket v2 on localhost, mounted at `/bitfinex`: `ws://host:port/bitfinex/ws/2`. Pure.

After EXCHANGES.md §9 and the exchange's pages "General", "Books", "Trades", "Requirements". Simulated are books of
precision P0 and frequency F0. Never seen on the wire by us: the texts of errors but "symbol: invalid", that they
repeat the request (other clients rely on its `subId`), what follows flags that are none, whether the id of a renewed
subscription is a new one (here it is).
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from simulator.exchanges.bitfinex_wire import (
    DEPTHS,
    BitfinexWire,
    book_stream,
    checksum_stream,
    fills_text,
    level_text,
    trade_stream,
)
from simulator.limits import Limits
from simulator.sources import Source
from simulator.venue import Answer, Peer, Reply, Venue
from simulator.wire import Frame, Wire

PAIRS_PATH = "/v2/conf/pub:list:pair:exchange"
CHANNELS_MAX = 30
QUIET_US = 15 * 1_000_000
TRADES_SHOWN = 30
TIMESTAMP, SEQ_ALL, OB_CHECKSUM = 32_768, 65_536, 131_072
SERVER = "083bd8d4-aca7-4690-a573-eabfc8103de8"
FIRST_ID = 200_003
NOTICES = {
    20051: "Stopping. Please try to reconnect",
    20060: "Refreshing data from the Trading Engine. Please pause any activity.",
    20061: "Done Refreshing data from the Trading Engine. Re-subscription advised.",
}


class RequestError(Exception):
    """A request that is answered with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Channel(msgspec.Struct):
    """One subscription: its main stream, and when the client last heard of it."""

    id: int
    key: tuple[str, str]
    stream: str
    heard_us: int
    checksums: str = ""


class BitfinexVenue(Venue):
    """All that its connections share."""

    name: ClassVar[str] = "bitfinex"
    says_farewell: ClassVar[bool] = True
    # Twenty attempts a minute; it sends no pings, every channel is heard of at least each fifteen seconds.
    LIMITS: ClassVar[Limits] = Limits(connects_max=20, connects_window_seconds=60.0)

    def __init__(self, source: Source, limits: Limits) -> None:
        super().__init__(source, limits)
        self._opened = 0

    @staticmethod
    def wire() -> Wire:
        return BitfinexWire()

    def connect(self, path: str, query: Mapping[str, str], now_us: int) -> Peer | Answer:
        if path != "/ws/2":
            return Answer(404, "Not found", content_type="text/plain")
        self._opened += 1
        return BitfinexPeer(self.source, FIRST_ID + 1_009 * self._opened)

    def rest(self, path: str, query: Mapping[str, str], now_us: int) -> Answer:
        if path != PAIRS_PATH:
            return Answer(404, '["error",10020,"path: invalid"]')
        wire = self.source.wire
        assert isinstance(wire, BitfinexWire)
        return Answer(200, _json([[wire.pair(symbol)[1:] for symbol in self.source.symbols]]))


class BitfinexPeer(Peer):
    """One connection."""

    def __init__(self, source: Source, first_id: int) -> None:
        super().__init__()
        wire = source.wire
        assert isinstance(wire, BitfinexWire)
        self._source, self._next_id = source, first_id
        self._symbols = {wire.pair(symbol): symbol for symbol in source.symbols}
        self._channels: dict[int, Channel] = {}
        self._of_stream: dict[str, Channel] = {}
        self._flags = self._sequence = self._now_us = 0
        # Trades that were told once: their channel and text.
        self._executed: list[tuple[Channel, str]] = []

    def opened(self, now_us: int) -> list[Reply]:
        self._now_us = now_us
        return [_json({"event": "info", "version": 2, "serverId": SERVER, "platform": {"status": 1}})]

    def received(self, text: str, now_us: int) -> list[Reply]:
        self._now_us = now_us
        request: dict[str, Any] = {}
        try:
            request = _parsed(text)
            return self._answered(request)
        except RequestError as error:
            told = {"event": "error", "msg": error.message, "code": error.code}
            pair = request.get("symbol")
            return [_json({**request, **told, **({"pair": pair[1:]} if isinstance(pair, str) else {})})]

    def timer(self, now_us: int) -> list[Reply]:
        """The second word on the trades of the last second; a heartbeat for each channel that has been quiet."""
        self._now_us = now_us
        executed, self._executed = self._executed, []
        replies: list[Reply] = [self._data(channel, f'"tu"{text}') for channel, text in executed]
        quiet = [one for one in self._channels.values() if now_us - one.heard_us >= QUIET_US]
        return replies + [self._data(channel, '"hb"') for channel in quiet]

    def render(self, frame: Frame) -> str:
        channel = self._of_stream[frame.stream]
        if frame.trade is not None:
            self._executed.append((channel, frame.as_text.removeprefix('"te"')))
        return self._data(channel, frame.as_text)

    def farewell(self, now_us: int) -> list[Reply]:
        """See `notice`."""
        self._now_us = now_us
        return self.notice(20051)

    def notice(self, code: int) -> list[Reply]:
        """20051: about to stop; 20060 and 20061: the begin and end of a maintenance."""
        return [_json({"event": "info", "code": code, "msg": NOTICES[code]})]

    def _answered(self, request: dict[str, Any]) -> list[Reply]:
        event = request["event"]
        if event == "ping":
            return [_json({"event": "pong", "ts": self._now_us // 1000, "cid": request.get("cid")})]
        if event == "conf":
            return self._configured(request)
        if event == "unsubscribe":
            return self._unsubscribed(request)
        return self._subscribed(request)

    def _configured(self, request: dict[str, Any]) -> list[Reply]:
        flags = request.get("flags")
        if type(flags) is not int or flags < 0:
            return [_json({"event": "conf", "status": "FAILED", "flags": flags})]
        self._flags = flags
        for channel in self._channels.values():
            self._follow(channel)
        return [_json({"event": "conf", "status": "OK", "flags": flags})]

    def _subscribed(self, request: dict[str, Any]) -> list[Reply]:
        name, pair = request.get("channel"), request.get("symbol")
        if name not in ("book", "trades"):
            raise RequestError(10302, "channel: unknown")
        if pair not in self._symbols:
            raise RequestError(10300, "symbol: invalid")
        depth = _depth(request) if name == "book" else 0
        key = (f"{name}{depth}", pair)
        if any(channel.key == key for channel in self._channels.values()):
            raise RequestError(10301, "subscribe: dup")
        if len(self._channels) >= CHANNELS_MAX:
            self.broken["channels"] += 1
            raise RequestError(10305, "subscribe: limit")
        self._next_id += 2
        stream = book_stream(depth, pair) if depth else trade_stream(pair)
        channel = Channel(
            self._next_id, key, stream, self._now_us, checksum_stream(depth, pair) if depth else ""
        )
        self._channels[channel.id] = self._of_stream[stream] = channel
        self._follow(channel)
        told: dict[str, Any] = {"channel": name, "chanId": channel.id, "symbol": pair}
        if depth:
            told |= {"prec": "P0", "freq": "F0", "len": str(depth)}
        told |= {"subId": request["subId"]} if "subId" in request else {}
        snapshot = self._book(channel, depth) if depth else self._trades(channel)
        return [_json({"event": "subscribed", **told, "pair": pair[1:]}), *snapshot]

    def _unsubscribed(self, request: dict[str, Any]) -> list[Reply]:
        number = request.get("chanId")
        channel = self._channels.pop(number, None) if type(number) is int else None
        if channel is None:
            raise RequestError(10401, "unsubscribe: not subscribed")
        for stream in (channel.stream, channel.checksums):
            self.streams.pop(stream, None)
            self._of_stream.pop(stream, None)
        self._executed = [one for one in self._executed if one[0] is not channel]
        return [_json({"event": "unsubscribed", "status": "OK", "chanId": channel.id})]

    def _follow(self, channel: Channel) -> None:
        """It gets its stream, and the checksums if it has asked for them."""
        self.streams[channel.stream] = None
        if not channel.checksums:
            return
        self._of_stream[channel.checksums] = channel
        if self._flags & OB_CHECKSUM:
            self.streams[channel.checksums] = None
        else:
            self.streams.pop(channel.checksums, None)

    def _book(self, channel: Channel, depth: int) -> list[Reply]:
        """Nothing while a recording has not come to its own snapshot."""
        book = self._source.book(self._symbols[channel.key[1]])
        if book is None:
            return []
        rows = [level_text(price, size, is_bid=True) for price, size in book.bids[:depth]]
        rows += [level_text(price, size, is_bid=False) for price, size in book.asks[:depth]]
        return [self._data(channel, f"[{','.join(rows)}]")]

    def _trades(self, channel: Channel) -> list[Reply]:
        frames = self._source.trades(self._symbols[channel.key[1]])
        return [self._data(channel, fills_text(frames[-TRADES_SHOWN:]))]

    def _data(self, channel: Channel, payload: str) -> str:
        channel.heard_us = self._now_us
        tail = ""
        if self._flags & SEQ_ALL:
            self._sequence += 1
            tail = f",{self._sequence}"
        if self._flags & TIMESTAMP:
            tail += f",{self._now_us // 1000}"
        return f"[{channel.id},{payload}{tail}]"


def _parsed(text: str) -> dict[str, Any]:
    """A request with a known event."""
    try:
        request = json.loads(text)
    except ValueError as error:
        raise RequestError(10000, "unknown event") from error
    if not isinstance(request, dict) or request.get("event") not in (
        "ping", "conf", "subscribe", "unsubscribe",
    ):  # fmt: skip
        raise RequestError(10000, "unknown event")
    return request


def _depth(request: dict[str, Any]) -> int:
    """The length of a book, a number or its text."""
    for name, allowed in (("prec", "P0"), ("freq", "F0")):
        if request.get(name, allowed) != allowed:
            raise RequestError(10300, f"{name}: invalid")
    asked = str(request.get("len", 25))
    if asked not in map(str, DEPTHS):
        raise RequestError(10300, "len: invalid")
    return int(asked)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
