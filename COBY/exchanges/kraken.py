"""Kraken v2: book (1,000 levels a side), trade, instrument. Protocol: EXCHANGES.md §3.

Continuity: the checksum alone (`SocketChain` without numbers). The exchange never says what falls out of the window.
Numbers are JSON numbers; the checksum wants them with the pair's full precision, which ``instrument`` tells. Without
it (recordings), the most decimals that were seen count.
Seen on the wire: acknowledgements, books (depth 10), trades. Never seen: instrument, a window of 1,000, refusals.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from zlib import crc32

import msgspec

from COBY.channels import by_head
from COBY.continuity import ChainedDecoder, SocketChain
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
    Levels,
    Notice,
    Refused,
    Rejected,
    Send,
    Session,
    Snapshot,
    Trade,
    not_ours,
)
from COBY.limits import Limits, Rate
from COBY.listings import rows
from COBY.renewals import Awaited, Renewals
from COBY.symbols import split
from COBY.text import fixed_prices, fixed_sizes, is_zero, places_of
from COBY.utils.intervals import clamp_us, to_us

DEPTH = 1000
DEPTHS = (10, 25, 100, 500, 1000)
CHECKSUM_LEVELS = 10
CHANNELS = ("book", "trade")
HEARD = rb'^\{"channel":"(?P<channel>book|trade)".*?"symbol":"(?P<name>[^"]+)"'
REQUESTS = {1: "instrument", 2: "book", 3: "trade"}  # request numbers, by what they are about
INSTRUMENT_SECONDS = 5.0  # so long the books wait for the precisions
REST_NAMES = {"XBT": "BTC", "XDG": "DOGE"}  # its REST lists pairs under the names of v1
UNSUPPORTED = "Currency pair not supported"
SUBSCRIBED = "Already subscribed"

Data = TypeVar("Data")
Time = Annotated[datetime, msgspec.Meta(tz=True)]
MAX_PLACES = 30
Places = Annotated[int, msgspec.Meta(ge=0, le=MAX_PLACES)]


class Level(msgspec.Struct, gc=False):
    """A level with its numbers as they stand in the frame."""

    price: msgspec.Raw
    qty: msgspec.Raw


class BookData(msgspec.Struct, gc=False):
    """One snapshot or update of one pair."""

    symbol: str
    bids: list[Level]
    asks: list[Level]
    checksum: int
    timestamp: Time | None = None


class TradeData(msgspec.Struct, gc=False):
    """One trade; ``side`` is the taker's."""

    symbol: str
    side: str
    price: msgspec.Raw
    qty: msgspec.Raw
    trade_id: int
    timestamp: Time


class Pair(msgspec.Struct, gc=False):
    """What ``instrument`` says of a pair."""

    symbol: str
    price_precision: Places
    qty_precision: Places


class Pairs(msgspec.Struct):
    """The data of ``instrument``."""

    pairs: list[msgspec.Raw] = []


class Status(msgspec.Struct):
    """The exchange's own state."""

    system: str


class Frame(msgspec.Struct, Generic[Data]):
    """A frame of one of the channels read here."""

    data: Data
    type: str = ""


class Reply(msgspec.Struct):
    """The head of any frame, and the whole of a reply. Its fields may be anything."""

    channel: object = None
    method: object = None
    req_id: object = None
    success: object = None
    result: object = None
    symbol: object = None
    error: object = None

    def of_result(self, field: str) -> object:
        """A field of the result, None where there is none."""
        return self.result.get(field) if isinstance(self.result, dict) else None


class Precision(msgspec.Struct):
    """Decimals of a pair's numbers; ``told`` by the exchange, or only seen. ``depth`` as subscribed."""

    price: int = 0
    size: int = 0
    told: bool = False
    depth: int = DEPTH


_books = msgspec.json.Decoder(Frame[list[BookData]])
_trades = msgspec.json.Decoder(Frame[list[TradeData]])
_instruments = msgspec.json.Decoder(Frame[Pairs])
_pair = msgspec.json.Decoder(Pair)
_statuses = msgspec.json.Decoder(Frame[list[Status]])
_reply = msgspec.json.Decoder(Reply)
READ = ("book", "trade", "instrument", "status")
_CHANNEL = re.compile(rb'"channel"\s*:\s*"(\w+)"')
_heads = {f'{{"channel":"{channel}",'.encode(): channel for channel in READ}


class KrakenDecoder(ChainedDecoder[SocketChain]):
    """Frames of one connection -> events."""

    separator = "/"

    def __init__(self, symbols: Mapping[str, str]) -> None:
        """``symbols`` maps exchange symbol -> symbol; empty: any symbol, under its canonical name."""
        super().__init__(symbols, SocketChain)
        self._precisions: dict[str, Precision] = {}

    def decode(self, frame: bytes, kind: str, symbol: str | None, url: str | None) -> list[AnyEvent]:
        if kind != "ws":
            return []
        try:
            channel = _heads.get(frame[: frame.find(b",") + 1])
            return self._read(channel, frame) if channel else self._other(frame)
        except (*UNREADABLE, ValueError) as error:
            return [Rejected.of(error), *self._missing(frame)]

    def save(self) -> object:
        precisions = {name: msgspec.to_builtins(one) for name, one in sorted(self._precisions.items())}
        return {"chains": super().save(), "precisions": precisions}

    def load(self, state: object) -> None:
        saved = msgspec.convert(state, dict[str, dict[str, Any]])
        super().load(saved["chains"])
        self._precisions = msgspec.convert(saved["precisions"], dict[str, Precision])

    def _precision(self, symbol: str) -> Precision:
        return self._precisions.setdefault(symbol, Precision())

    def _read(self, channel: str, frame: bytes) -> list[AnyEvent]:
        if channel == "book":
            books = _books.decode(frame)
            return [event for data in books.data for event in self._book(books.type, data)]
        if channel == "trade":
            trades = _trades.decode(frame)
            return [self._trade(trades.type == "snapshot", data) for data in trades.data]
        if channel == "instrument":
            return [event for pair in _instruments.decode(frame).data.pairs for event in self._pair(pair)]
        return [Notice(status.system, "") for status in _statuses.decode(frame).data]

    def _other(self, frame: bytes) -> list[AnyEvent]:
        """Other spellings of our channels, replies, channels that are not ours, and the arrays of v1."""
        if not_ours(frame):
            return []
        reply = _reply.decode(frame)
        if reply.channel in READ:
            return self._read(str(reply.channel), frame)
        pair = reply.of_result("symbol")
        symbol = self._name(pair) if isinstance(pair, str) else None
        if reply.success is not True or reply.of_result("channel") != "book" or symbol is None:
            return []
        if reply.method == "unsubscribe":
            return self._chain(symbol).lost("unsubscribed", renewing=True)
        depth = reply.of_result("depth")
        if reply.method == "subscribe" and isinstance(depth, int) and depth in DEPTHS:
            self._precision(symbol).depth = depth
        return []

    def _pair(self, raw: msgspec.Raw) -> list[AnyEvent]:
        """One pair of many, so that a broken one of somebody else's spoils nothing."""
        try:
            return self._instrument(_pair.decode(raw))
        except UNREADABLE as error:
            return [Rejected.of(error)] if any(name.encode() in bytes(raw) for name in self._symbols) else []

    def _instrument(self, pair: Pair) -> list[AnyEvent]:
        symbol = self._name(pair.symbol)
        if symbol is None:
            return []
        before = self._precision(symbol)
        now = Precision(pair.price_precision, pair.qty_precision, told=True, depth=before.depth)
        self._precisions[symbol] = now
        same = (before.price, before.size) == (now.price, now.size)
        # The book's texts were made with other precisions: one price could stand in it twice.
        return [] if same or symbol not in self.met() else self._chain(symbol).lost("other precisions")

    def _missing(self, frame: bytes) -> list[AnyEvent]:
        """Lost, of all books that an unreadable frame may have been an update of: no number would tell it later."""
        head = _CHANNEL.search(frame[:100])
        if (head is not None and head[1] != b"book") or b'"method"' in frame[:100]:
            return []
        return self._unusable()

    def _book(self, kind: str, data: BookData) -> list[AnyEvent]:
        symbol = self._name(data.symbol)
        if symbol is None:
            return [Rejected.unknown(data.symbol)]
        try:
            if kind in ("snapshot", "update"):
                return self._proven(symbol, kind, data)
            rejected = Rejected("frame.shape", f"type {kind!r}", symbol)
        except ValueError as error:
            rejected = Rejected("frame.number", str(error), symbol)
        return [rejected, *self._chain(symbol).lost("an unusable update")]

    def _proven(self, symbol: str, kind: str, data: BookData) -> list[AnyEvent]:
        precision = self._precision(symbol)
        if not precision.told:
            self._look(precision, data)
        bids, asks = _levels(data.bids, precision), _levels(data.asks, precision)
        time_us = None if data.timestamp is None else clamp_us(to_us(data.timestamp))
        chain = self._chain(symbol)
        if kind == "snapshot":
            snapshot = Snapshot(
                symbol, bids, asks, None, time_us, depth=precision.depth, checksum=data.checksum
            )
            return chain.snapshot(snapshot)
        return chain.delta(Delta(symbol, bids, asks, None, None, time_us, data.checksum), None)

    @staticmethod
    def _look(precision: Precision, data: BookData) -> None:
        """The most decimals seen so far. If they rise within a book, its checksum fails and the next one is right."""
        for levels in (data.bids, data.asks):
            for level in levels:
                precision.price = max(precision.price, min(places_of(bytes(level.price)), MAX_PLACES))
                precision.size = max(precision.size, min(places_of(bytes(level.qty)), MAX_PLACES))

    def _trade(self, history: bool, data: TradeData) -> AnyEvent:
        symbol = self._name(data.symbol)
        if symbol is None:
            return Rejected.unknown(data.symbol)
        if data.side not in ("buy", "sell"):
            return Rejected("frame.shape", f"side {data.side!r}", symbol)
        try:
            price = fixed_prices(self._precision(symbol).price)[bytes(data.price)]
            size = fixed_sizes(0)[bytes(data.qty)]
        except ValueError as error:
            return Rejected("frame.number", str(error), symbol)
        if is_zero(size):
            return Rejected.empty_trade(size, symbol)
        time_us = clamp_us(to_us(data.timestamp))
        return Trade(symbol, price, size, data.side, str(data.trade_id), time_us, history)


def _levels(levels: list[Level], precision: Precision) -> Levels:
    prices, sizes = fixed_prices(precision.price), fixed_sizes(precision.size)
    return [(prices[bytes(level.price)], sizes[bytes(level.qty)]) for level in levels]


def checksum(bids: Levels, asks: Levels) -> int:
    """CRC32 of the best 10 asks, then bids: the digits of price and size of each, without leading zeros."""
    levels = [text for level in (*asks, *bids) for text in level]
    return crc32("".join(text.replace(".", "").lstrip("0") for text in levels).encode())


class KrakenSession:
    """One socket: the precisions first, then all books and trades of the slot."""

    def __init__(self, symbols: Mapping[str, str], endpoints: Endpoints) -> None:
        """``symbols`` maps exchange symbol -> symbol."""
        self._symbols = symbols
        self._names = {symbol: name for name, symbol in symbols.items()}
        self._url = endpoints.ws_url
        self._renewals = Renewals()
        self._awaited = Awaited()
        self._waiting_until: float | None = None
        self.heard = by_head(HEARD, {channel: channel for channel in CHANNELS}, symbols)

    def connect(self, answer: bytes | None = None) -> Connect:
        return Connect(f"{self._url}/v2")

    def opened(self, now: float) -> list[Command]:
        self._waiting_until = now + INSTRUMENT_SECONDS
        return [_ask("subscribe", "instrument", snapshot=True)]

    def received(self, frame: bytes, now: float) -> list[Command]:
        """See `Session.received`. Data frames begin with their channel; replies are short."""
        if frame.startswith(b'{"channel":"instrument"') and self._waiting_until is not None:
            return self._subscribe_all(now)
        if frame.startswith(b'{"channel"') or len(frame) > 4096:
            return []
        try:
            return self._reply(_reply.decode(frame), now)
        except UNREADABLE:
            return []

    def timer(self, now: float) -> list[Command]:
        commands: list[Command] = []
        if self._waiting_until is not None and now >= self._waiting_until:
            commands += self._subscribe_all(now)
        late = [("book", name) for name in self._renewals.overdue(now)] + self._awaited.overdue(now)
        return commands + [self._subscribe(now, *one) for one in late]

    def resync(self, symbol: str, reason: str, now: float, age_seconds: float = 0.0) -> list[Command]:
        """See `Session.resync`: only a new subscription brings a snapshot."""
        name = self._names.get(symbol)
        if name is None or self._waiting_until is not None:
            return []
        renewed = self._renewals.begin(name, now, age_seconds)
        return [_ask("unsubscribe", "book", symbol=[name], depth=DEPTH)] if renewed else []

    def again(self, symbol: str, channel: str, now: float) -> list[Command]:
        if channel == "book":
            return self.resync(symbol, "stale", now)
        name = self._names[symbol]
        return [_ask("unsubscribe", channel, symbol=[name]), self._subscribe(now, channel, name)]

    def _subscribe_all(self, now: float) -> list[Command]:
        self._waiting_until = None
        return [self._subscribe(now, channel, *self._symbols) for channel in CHANNELS]

    def _subscribe(self, now: float, channel: str, *names: str) -> Command:
        self._awaited.asked(channel, names, now)
        if channel == "book":
            self._renewals.subscribed(names, now)
            return _ask("subscribe", channel, symbol=list(names), depth=DEPTH, snapshot=True)
        return _ask("subscribe", channel, symbol=list(names), snapshot=False)

    def _reply(self, reply: Reply, now: float) -> list[Command]:
        name, channel = str(reply.symbol or reply.of_result("symbol")), str(reply.of_result("channel"))
        if reply.success is False:
            return self._refused(reply, name, now)
        if name not in self._symbols or channel not in CHANNELS:
            return []
        if reply.method == "subscribe":
            return self._acknowledged(channel, name)
        return [self._subscribe(now, "book", name)] if self._renewals.confirmed(name) else []

    def _acknowledged(self, channel: str, name: str) -> list[Command]:
        self._awaited.answered(channel, name)
        return [Acknowledged((self._symbols[name],), (channel,))]

    def _refused(self, reply: Reply, name: str, now: float) -> list[Command]:
        """Refusals name their pair; without one the request as a whole is meant."""
        error = str(reply.error)
        channel = REQUESTS.get(reply.req_id) if isinstance(reply.req_id, int) else None
        if name not in self._symbols:
            return [Refused(None, error)] if reply.symbol is None and channel != "instrument" else []
        if reply.method == "unsubscribe":  # it was not subscribed: then it can be now
            return [self._subscribe(now, "book", name)] if self._renewals.confirmed(name) else []
        if error.startswith(UNSUPPORTED):
            self._awaited.answered(channel, name)
            return [Refused(self._symbols[name], error, not_listed=True)]
        if error.startswith(SUBSCRIBED) and channel in CHANNELS:
            return self._acknowledged(channel, name)
        return [Refused(self._symbols[name], error)]  # for a passing reason: it is asked for again


def _ask(method: str, channel: str, **params: object) -> Command:
    """A request; its number tells the channel in a refusal, which does not name it."""
    number = next(number for number, name in REQUESTS.items() if name == channel)
    request = {"method": method, "params": {"channel": channel, **params}, "req_id": number}
    return Send(json.dumps(request, separators=(",", ":")))


class Kraken:
    """The exchange."""

    name = "kraken"
    endpoints = Endpoints("wss://ws.kraken.com", "https://api.kraken.com")
    symbols_per_slot = 20
    silence_seconds = 10.0  # it sends a heartbeat each second
    checksum: Checksum | None = Checksum(CHECKSUM_LEVELS, checksum)
    limits = Limits(connects=Rate(120, 610.0))  # about 150 in 10 min, then it bans

    def exchange_symbol(self, symbol: str) -> str:
        return "/".join(split(symbol))

    def listing(self, rest_url: str) -> str:
        return f"{rest_url}/0/public/AssetPairs"

    def listed(self, body: bytes) -> dict[str, str]:
        found = [row.text("wsname") for row in rows(body, "result") if row.text("status") == "online"]
        names = ["/".join(REST_NAMES.get(part, part) for part in name.split("/")) for name in found]
        return {name.replace("/", ""): name for name in names}

    def session(self, symbols: Mapping[str, str], endpoints: Endpoints) -> Session:
        return KrakenSession(symbols, endpoints)

    def decoder(self, symbols: Mapping[str, str]) -> Decoder:
        return KrakenDecoder(symbols)


EXCHANGE: Exchange = Kraken()
