"""Bybit v5 spot: orderbook.1000, publicTrade. Protocol: EXCHANGES.md §4.

Continuity: `SocketChain`, u is the last u + 1; a snapshot, or a whole book with u = 1 (the service has begun anew),
replaces the book. The window is the depth of the topic; of several topics of one symbol the deepest is the book.
Seen on the wire: spot orderbook.50 and publicTrade, acknowledgements, pongs. Never seen: depth 1000, u = 1, replies
to unsubscriptions, the texts of refusals other than ``Invalid topic`` (``Invalid symbol``, ``handler not found`` and
``already subscribed`` are from clients' logs).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec

from COBY.channels import by_head
from COBY.depths import DeepestDecoder
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
    Refused,
    Rejected,
    Send,
    Session,
    Snapshot,
    Trade,
    not_ours,
)
from COBY.limits import Limits, Rate
from COBY.renewals import Awaited, Renewals
from COBY.text import PLAIN_PRICES, SIZES, is_zero
from COBY.utils.intervals import clamp_us

DEPTH = 1000
TOPICS = {"book": f"orderbook.{DEPTH}.", "trade": "publicTrade."}
SIDES = {"Buy": "buy", "Sell": "sell"}
PING_SECONDS = 20.0
HEARD = rb'^\{"topic":"(?P<channel>orderbook|publicTrade)\.(?:[0-9]+\.)?(?P<name>[^".]+)"'
BEGUN_ANEW = 1
BOTH = "all"
"""Begins the ``req_id`` of a request for both topics of a symbol; of one alone, the channel does: ``book.BTCUSDT``."""
NOT_LISTED = ("invalid symbol", "invalid topic", "handler not found")
SUBSCRIBED = "already subscribed"

UpdateId = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


class BookData(msgspec.Struct, gc=False):
    """One snapshot or delta; ``u`` counts the messages of the topic."""

    s: str
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]
    u: UpdateId


class Book(msgspec.Struct, gc=False):
    """A frame of ``orderbook``: ``ts`` of sending, ``cts`` of the matching engine, milliseconds."""

    topic: str
    type: str
    ts: int
    data: BookData
    cts: int | None = None


class TradeData(msgspec.Struct, gc=False):
    """One trade; ``S`` is the taker's side, ``T`` milliseconds."""

    T: int
    s: str
    S: str
    v: str
    p: str
    i: str


class Trades(msgspec.Struct, gc=False):
    """A frame of ``publicTrade``: its type is always snapshot, and it is no history."""

    topic: str
    data: list[TradeData]


class Other(msgspec.Struct):
    """What else comes: other channels, answers. ``data`` is looked at only for its presence."""

    topic: str | None = None
    op: str | None = None
    success: bool | None = None
    ret_msg: str | None = None
    req_id: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"")


class Listed(msgspec.Struct):
    """A symbol in the list of instruments."""

    symbol: str
    baseCoin: str  # noqa: N815 - the exchange's own name
    quoteCoin: str  # noqa: N815
    status: str


class Listing(msgspec.Struct):
    """The list of instruments."""

    instruments: list[Listed] = msgspec.field(name="list")


class ListingBody(msgspec.Struct):
    """The body of GET /v5/market/instruments-info; ``retCode`` 0 means success."""

    retCode: int  # noqa: N815
    result: Listing


_book = msgspec.json.Decoder(Book)
_trades = msgspec.json.Decoder(Trades)
_other = msgspec.json.Decoder(Other)
_listing = msgspec.json.Decoder(ListingBody)
_HEAD = re.compile(rb'\{"topic":"(?:(orderbook)\.[0-9]{1,5}|publicTrade)\.[^".]+"')
_BOOK_TOPIC = re.compile(r"orderbook\.([0-9]{1,5})\.([^.]+)", re.ASCII)
_TRADE_TOPIC = re.compile(r"publicTrade\.([^.]+)")
_ANY_TOPIC = re.compile(rb'"topic"\s*:\s*"([^"]*)"')


class BybitDecoder(DeepestDecoder):
    """Frames of one connection -> events."""

    def decode(self, frame: bytes, kind: str, symbol: str | None, url: str | None) -> list[AnyEvent]:
        if kind != "ws":
            return []
        try:
            if (head := _HEAD.match(frame)) is None:
                return self._other(frame)
            if head[1]:
                return self._book(_book.decode(frame))
            return self._trades(_trades.decode(frame))
        except (*UNREADABLE, ValueError) as error:
            return [Rejected.of(error), *self._missing(frame)]

    def _book(self, message: Book) -> list[AnyEvent]:
        topic = _BOOK_TOPIC.fullmatch(message.topic)
        if topic is None or int(topic[1]) > DEPTH:
            return []  # a book of another kind
        depth, symbol, data = int(topic[1]), self._name(topic[2]), message.data
        if symbol is None:
            return [Rejected.unknown(topic[2])]
        if data.s != topic[2]:
            rejected = Rejected(
                "frame.shape", f"topic {message.topic!r} with a book of {data.s[:40]!r}", symbol
            )
            return [rejected, *self._unusable()]
        chain = self._chain(symbol)
        if not self._counts(symbol, depth, message.type != "delta" or data.u == BEGUN_ANEW):
            return []
        try:
            bids, asks = _levels(data.b), _levels(data.a)
        except ValueError as error:
            return [Rejected("frame.number", str(error), symbol), *chain.lost("an unusable update")]
        time_us = clamp_us((message.ts if message.cts is None else message.cts) * 1000)
        if message.type == "snapshot" or (message.type == "delta" and _is_whole(data)):
            self._depths[symbol] = depth
            return chain.snapshot(Snapshot(symbol, bids, asks, data.u, time_us, depth=depth))
        if message.type != "delta":
            rejected = Rejected("frame.shape", f"type {message.type[:40]!r}", symbol)
            return [rejected, *chain.lost("an unusable update")]
        return chain.delta(Delta(symbol, bids, asks, data.u, data.u, time_us), follows=data.u - 1)

    def _trades(self, message: Trades) -> list[AnyEvent]:
        topic = _TRADE_TOPIC.fullmatch(message.topic)
        return [] if topic is None else [self._trade(topic[1], data) for data in message.data]

    def _trade(self, name: str, data: TradeData) -> AnyEvent:
        symbol = self._name(data.s)
        if symbol is None:
            return Rejected.unknown(data.s)
        if data.s != name or data.S not in SIDES:
            return Rejected("frame.shape", f"side {data.S[:40]!r}, topic of {name[:40]!r}", symbol)
        try:
            price, size = PLAIN_PRICES[data.p], data.v
            empty = not SIZES[size] and is_zero(size)
        except ValueError as error:
            return Rejected("frame.number", str(error), symbol)
        if empty:
            return Rejected.empty_trade(size, symbol)
        return Trade(symbol, price, size, SIDES[data.S], data.i, clamp_us(data.T * 1000))

    def _other(self, frame: bytes) -> list[AnyEvent]:
        """Other spellings of our topics, answers, channels that are not ours."""
        if not_ours(frame):
            return []
        message = _other.decode(frame)
        if message.topic is None:
            if message.data:
                raise msgspec.ValidationError("Object missing required field `topic`")
            return self._unsubscribed(message)
        if _BOOK_TOPIC.fullmatch(message.topic):
            return self._book(_book.decode(frame))
        return self._trades(_trades.decode(frame)) if _TRADE_TOPIC.fullmatch(message.topic) else []

    def _unsubscribed(self, message: Other) -> list[AnyEvent]:
        """The answer names no topic: the number of our request does."""
        channel, _, name = (message.req_id or "").partition(".")
        symbol = self._name(name) if name else None
        if message.op != "unsubscribe" or not message.success or channel != "book" or symbol is None:
            return []
        return self._chain(symbol).lost("unsubscribed", renewing=True)

    def _missing(self, frame: bytes) -> list[AnyEvent]:
        """Lost, of the books that an unreadable frame may have been an update of.

        The next number would tell as well, but a quiet book may have none for long.
        """
        head = frame[:200]
        if (found := _ANY_TOPIC.search(head)) is None:
            return [] if b'"op"' in head or b'"success"' in head else self._unusable()
        topic = found[1].decode("ascii", "replace")
        if (book := _BOOK_TOPIC.fullmatch(topic)) is None:
            return []
        name = self._name(book[2])
        return [] if name is None else self._unusable([name])


def _is_whole(data: BookData) -> bool:
    """Whether it begins the book anew: u = 1, and nothing is removed, as there is nothing before it."""
    return data.u == BEGUN_ANEW and bool(data.b) and bool(data.a) and all(map(_is_held, (*data.b, *data.a)))


def _is_held(level: tuple[str, str]) -> bool:
    return not is_zero(level[1])


def _levels(rows: list[tuple[str, str]]) -> Levels:
    for _, size in rows:
        SIZES[size]
    return [(PLAIN_PRICES[price], size) for price, size in rows]


class BybitSession:
    """One socket; a request for each symbol: a wrong topic fails the whole request, and ten topics are its most."""

    def __init__(self, symbols: Mapping[str, str], endpoints: Endpoints) -> None:
        """``symbols`` maps exchange symbol -> symbol."""
        self._symbols = symbols
        self._names = {symbol: name for name, symbol in symbols.items()}
        self._url = endpoints.ws_url
        self._ping_due = 0.0
        self._renewals = Renewals()
        self._awaited = Awaited()
        self.heard = by_head(HEARD, {"orderbook": "book", "publicTrade": "trade"}, symbols)

    def connect(self, answer: bytes | None = None) -> Connect:
        return Connect(f"{self._url}/v5/public/spot")

    def opened(self, now: float) -> list[Command]:
        self._ping_due = now + PING_SECONDS
        return [self._subscribe(BOTH, name, now) for name in self._symbols]

    def received(self, frame: bytes, now: float) -> list[Command]:
        """See `Session.received`. Data frames begin with their topic; answers are short."""
        if frame.startswith(b'{"topic"') or len(frame) > 4096:
            return []
        try:
            return self._reply(_other.decode(frame), now)
        except UNREADABLE:
            return []

    def timer(self, now: float) -> list[Command]:
        commands: list[Command] = [self._subscribe("book", name, now) for name in self._renewals.overdue(now)]
        commands += [self._subscribe(channel, name, now) for channel, name in self._awaited.overdue(now)]
        if now >= self._ping_due:
            self._ping_due = now + PING_SECONDS
            commands.append(_request("ping", "ping"))
        return commands

    def resync(self, symbol: str, reason: str, now: float, age_seconds: float = 0.0) -> list[Command]:
        """See `Session.resync`: only a new subscription brings a snapshot."""
        name = self._names.get(symbol)
        if name is None or not self._renewals.begin(name, now, age_seconds):
            return []
        return [_request("unsubscribe", f"book.{name}", [f"{TOPICS['book']}{name}"])]

    def again(self, symbol: str, channel: str, now: float) -> list[Command]:
        if channel == "book":
            return self.resync(symbol, "stale", now)
        name = self._names[symbol]
        # Its topic names neither, so that its answer is none.
        gone = _request("unsubscribe", "again", [f"{TOPICS[channel]}{name}"])
        return [gone, self._subscribe(channel, name, now)]

    def _reply(self, message: Other, now: float) -> list[Command]:
        """An answer to a request. That to a ping has the op ``ping`` or ``pong``, and is none."""
        if (
            message.topic is not None
            or message.success is None
            or message.op not in ("subscribe", "unsubscribe", "")
        ):
            return []
        channel, _, name = (message.req_id or "").partition(".")
        if not message.success:
            return self._refused(message, channel, name, now)
        if name not in self._symbols or channel not in (BOTH, *TOPICS):
            return []
        if message.op == "subscribe":
            return self._acknowledged(channel, name)
        return self._unsubscribed(name, now)

    def _acknowledged(self, channel: str, name: str) -> list[Command]:
        channels = tuple(TOPICS) if channel == BOTH else (channel,)
        for one in channels:
            self._awaited.answered(one, name)
        return [Acknowledged((self._symbols[name],), channels)]

    def _unsubscribed(self, name: str, now: float) -> list[Command]:
        return [self._subscribe("book", name, now)] if self._renewals.confirmed(name) else []

    def _refused(self, message: Other, channel: str, name: str, now: float) -> list[Command]:
        """The number of the request names the symbol, or the text does; else all of the connection is refused."""
        text = message.ret_msg or "refused without a reason"
        if name not in self._symbols:
            channel, name = BOTH, _named(text, self._symbols)
        if message.op == "unsubscribe":  # it was not subscribed: then it can be now
            return self._unsubscribed(name, now)
        if name not in self._symbols:
            return [Refused(None, text)]
        if SUBSCRIBED in text.lower():
            if channel != BOTH:
                return self._acknowledged(channel, name)
            return [self._subscribe(one, name, now) for one in TOPICS]  # one of them is, the other may not be
        if any(words in text.lower() for words in NOT_LISTED):
            self._awaited.answered(None, name)
            return [Refused(self._symbols[name], text, not_listed=True)]
        return [Refused(self._symbols[name], text)]  # for a passing reason: it is asked for again

    def _subscribe(self, channel: str, name: str, now: float) -> Command:
        channels = tuple(TOPICS) if channel == BOTH else (channel,)
        for one in channels:
            self._awaited.asked(one, [name], now)
        if "book" in channels:
            self._renewals.subscribed([name], now)
        return _request("subscribe", f"{channel}.{name}", [f"{TOPICS[one]}{name}" for one in channels])


def _named(text: str, names: Iterable[str]) -> str:
    """The symbol one of whose topics a refusal's text names, as a word; empty if none."""
    words = set(re.split(r"[^\w.-]+", text))
    return next((name for name in names if {f"{topic}{name}" for topic in TOPICS.values()} & words), "")


def _request(operation: str, number: str, topics: list[str] | None = None) -> Command:
    request: dict[str, object] = {"req_id": number, "op": operation}
    if topics is not None:
        request["args"] = topics
    return Send(json.dumps(request, separators=(",", ":")))


class Bybit:
    """The exchange."""

    name = "bybit"
    endpoints = Endpoints("wss://stream.bybit.com", "https://api.bybit.com")
    symbols_per_slot = 20
    silence_seconds = 45.0  # it says nothing by itself, but answers our ping every 20 s
    checksum: Checksum | None = None
    limits = Limits(connects=Rate(400, 310.0))  # 500 in 5 min

    def exchange_symbol(self, symbol: str) -> str:
        return symbol

    def listing(self, rest_url: str) -> str:
        return f"{rest_url}/v5/market/instruments-info?category=spot"

    def listed(self, body: bytes) -> dict[str, str]:
        try:
            answer = _listing.decode(body)
        except UNREADABLE as error:
            raise ValueError(str(error)) from error
        if answer.retCode != 0:
            raise ValueError(f"retCode {answer.retCode}")
        trading = (one for one in answer.result.instruments if one.status == "Trading")
        return {f"{one.baseCoin}{one.quoteCoin}": one.symbol for one in trading}

    def session(self, symbols: Mapping[str, str], endpoints: Endpoints) -> Session:
        return BybitSession(symbols, endpoints)

    def decoder(self, symbols: Mapping[str, str]) -> Decoder:
        return BybitDecoder(symbols)


EXCHANGE: Exchange = Bybit()
