"""KuCoin, the classic API: level2 joined to REST level2_100, match. Protocol: EXCHANGES.md §7.

Continuity: `RestChain`; each change has a number of its own, so that a message is cut into one update per number
wherever a part of it may lie before the snapshot or the book.
Seen on the wire: level2 (2021, each message with one change; later ones in documents only), match, REST level2 of that
time, welcome, acknowledgements. Never seen: the answer to bullet-public in full, REST level2_100, messages with
several changes, pongs, errors (codes and texts from the exchange's pages and clients' logs), how 24 hours end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import parse_qs, urlencode, urlsplit
from zlib import crc32

import msgspec

from COBY.channels import by_head
from COBY.continuity import ChainedDecoder, RestChain
from COBY.exchanges.base import (
    UNREADABLE,
    Acknowledged,
    AnyEvent,
    Ask,
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
    not_ours,
)
from COBY.first_updates import FirstUpdates
from COBY.limits import Limits, Rate
from COBY.renewals import Awaited
from COBY.symbols import split
from COBY.text import PLAIN_PRICES, SIZES, check_levels, is_zero
from COBY.utils.intervals import clamp_us

SNAPSHOT_LEVELS = 100
HEARD = rb'"topic":"/market/(?P<channel>level2|match):(?P<name>[^",]+)"'
TOPICS = {"/market/level2": "book", "/market/match": "trade"}
OK, UNKNOWN_SYMBOL = "200000", "900001"
UNKNOWN_TOPIC = (400, 404)
"""A topic that is invalid or does not exist: nothing but its symbol can be wrong with ours."""
PASSING = (500, 509)
"""Errors of a request that may go through later: a system error, too many in a second."""
LIFETIME_SECONDS = 24 * 3600.0 - 300.0
"""Token and connection end after 24 hours; another one is made before."""
PING_SECONDS = 50.0
"""At the latest, whatever the answer says: 60 s without a ping end the connection."""

T = TypeVar("T")
Sequence = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""Written as a number or as its text."""


class Changes(msgspec.Struct, gc=False):
    """Of each change: price, new size, number."""

    asks: list[tuple[str, str, Sequence]]
    bids: list[tuple[str, str, Sequence]]


class UpdateData(msgspec.Struct, gc=False):
    """Changes ``sequenceStart`` … ``sequenceEnd``; ``time`` milliseconds, absent before 2022."""

    symbol: str
    sequenceStart: Sequence  # noqa: N815 - the exchange's own names
    sequenceEnd: Sequence  # noqa: N815
    changes: Changes
    time: int | None = None


class Update(msgspec.Struct, gc=False, tag_field="subject", tag="trade.l2update"):
    """A message of level2."""

    data: UpdateData


class TradeData(msgspec.Struct, gc=False):
    """A trade; ``side`` is the taker's, ``time`` nanoseconds."""

    symbol: str
    side: str
    price: str
    size: str
    tradeId: Annotated[str, msgspec.Meta(min_length=1)]  # noqa: N815
    time: int


class Match(msgspec.Struct, gc=False, tag_field="subject", tag="trade.l3match"):
    """A message of match."""

    data: TradeData


class BookData(msgspec.Struct):
    """A REST book; ``time`` is the moment of the answer, not of the book."""

    sequence: Sequence
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class Answer(msgspec.Struct, Generic[T]):
    """A REST body."""

    code: str
    data: T


class Other(msgspec.Struct):
    """What else comes over the socket, and REST bodies that hold no book."""

    id: str | int | None = None
    type: str | None = None
    code: str | int | None = None
    data: Any = None
    msg: str | None = None


class Server(msgspec.Struct):
    """Where to connect; ``pingInterval`` milliseconds."""

    endpoint: str
    pingInterval: Annotated[int, msgspec.Meta(ge=1000)]  # noqa: N815
    protocol: str = "websocket"


class Servers(msgspec.Struct):
    """What bullet-public gives."""

    token: Annotated[str, msgspec.Meta(min_length=1)]
    instanceServers: list[Server]  # noqa: N815


class Pair(msgspec.Struct):
    """What the exchange lists."""

    symbol: str
    baseCurrency: str  # noqa: N815
    quoteCurrency: str  # noqa: N815
    enableTrading: bool  # noqa: N815


_data = msgspec.json.Decoder(Update | Match, strict=False)
_other = msgspec.json.Decoder(Other)
_body = msgspec.json.Decoder(Answer[BookData], strict=False)
_TOPIC = re.compile(rb'"/market/level2:([A-Za-z0-9._-]{1,50})"')
Change = tuple[int, bool, int, str, str]
"""Number, whether it is a bid, place among its side's, price, size."""


def _take(chain: RestChain, whole: Delta, changes: list[Change]) -> list[AnyEvent]:
    """A message and its changes, by number: cut into one update per number unless it simply goes on."""
    state, first, last = chain.state, whole.first_id or 0, whole.sequence_id or 0
    if state.last is not None and not state.holding and (first == state.last + 1 or last <= state.last):
        return chain.delta(whole)
    pieces: list[Delta] = []
    for number in sorted({change[0] for change in changes} | {last}):
        own = [change for change in changes if change[0] == number]
        pieces.append(_delta(whole.symbol, own, first, number, whole.time_us))
        first = number + 1
    if state.last is None:
        state.held += pieces[:-1]
        return chain.delta(pieces[-1])
    # Old pieces in a row would look like an exchange whose numbers have begun anew.
    new = [piece for piece in pieces if (piece.sequence_id or 0) > state.last] or pieces[-1:]
    return [event for piece in new for event in chain.delta(piece)]


class KucoinDecoder(ChainedDecoder[RestChain]):
    """Frames of one connection -> events."""

    separator = "-"

    def __init__(self, symbols: Mapping[str, str]) -> None:
        """``symbols`` maps exchange symbol -> symbol; empty: any symbol, under its canonical name."""
        super().__init__(symbols, RestChain)

    def decode(self, frame: bytes, kind: str, symbol: str | None, url: str | None) -> list[AnyEvent]:
        try:
            if kind == "http":
                return self._rest(frame, symbol, url)
            if b'"trade.l2update"' in frame or b'"trade.l3match"' in frame:
                data = _data.decode(frame).data
                return self._book(data) if isinstance(data, UpdateData) else self._trade(data)
            if not not_ours(frame):
                _other.decode(frame)
            return []
        except (*UNREADABLE, ValueError) as error:
            return [Rejected.of(error), *self._missing(frame)]

    def _missing(self, frame: bytes) -> list[AnyEvent]:
        """Lost, of the books that an unreadable frame may have been an update of."""
        if b"trade.l2update" not in frame and b"/market/level2:" not in frame:
            return []
        topics = sorted(set(_TOPIC.findall(frame)))
        named = [self._name(name.decode()) for name in topics]
        return self._unusable([name for name in named if name is not None] if topics else None)

    def _book(self, data: UpdateData) -> list[AnyEvent]:
        symbol = self._name(data.symbol)
        if symbol is None:
            return [Rejected.unknown(data.symbol)]
        chain, first, last = self._chain(symbol), data.sequenceStart, data.sequenceEnd
        try:
            changes = sorted([*_numbered(data.changes.bids, True), *_numbered(data.changes.asks, False)])
        except ValueError as error:
            rejected = Rejected("frame.number", str(error), symbol)
            return [rejected, *chain.lost("an unusable update", last)]
        if last < first or any(not first <= change[0] <= last for change in changes):
            rejected = Rejected("frame.range", f"a change that is not of {first} to {last}", symbol)
            return [rejected, *chain.lost("an unusable update")]
        time_us = None if data.time is None else clamp_us(data.time * 1000)
        return _take(chain, _delta(symbol, changes, first, last, time_us), changes)

    def _trade(self, data: TradeData) -> list[AnyEvent]:
        symbol = self._name(data.symbol)
        if symbol is None:
            return [Rejected.unknown(data.symbol)]
        if data.side not in ("buy", "sell"):
            return [Rejected("frame.shape", f"side {data.side!r}", symbol)]
        if not SIZES[data.size] and is_zero(data.size):
            return [Rejected.empty_trade(data.size, symbol)]
        time_us = clamp_us(data.time // 1000)
        return [Trade(symbol, PLAIN_PRICES[data.price], data.size, data.side, data.tradeId, time_us)]

    def _rest(self, frame: bytes, symbol: str | None, url: str | None) -> list[AnyEvent]:
        asked, limit = _asked(url)
        # A record's header names our symbol, a url the exchange's; recordings of others may mix them.
        named = symbol if symbol in self._symbols.values() else self._name(symbol or asked or "")
        if not named:
            return [Rejected.unknown(symbol or asked or "")]
        try:
            body = _body.decode(frame)
        except msgspec.ValidationError:
            other = _other.decode(frame)
            if other.code in (None, OK):
                raise
            if other.code == UNKNOWN_SYMBOL and not self._chain(named).state.joined:
                return [NotListed(named, str(other.msg))]
            return [Rejected("frame.rest_error", f"code {other.code}: {other.msg}", named)]
        sides = body.data.bids, body.data.asks
        check_levels([*sides[0], *sides[1]])
        bids, asks = ([(PLAIN_PRICES[price], size) for price, size in side] for side in sides)
        cut = limit is not None and len(bids) >= limit, limit is not None and len(asks) >= limit
        return self._chain(named).snapshot(Snapshot(named, bids, asks, body.data.sequence, None, *cut))


def _numbered(changes: Iterable[tuple[str, str, int]], is_bid: bool) -> Iterator[Change]:
    """ValueError for what is no price, size or number. A price of zero says nothing, and its size neither."""
    for place, (price, size, number) in enumerate(changes):
        if is_zero(price) and not SIZES[price]:
            continue
        SIZES[size]
        yield number, is_bid, place, PLAIN_PRICES[price], size


def _delta(symbol: str, changes: list[Change], first: int, last: int, time_us: int | None) -> Delta:
    bids = [(price, size) for _, is_bid, _, price, size in changes if is_bid]
    asks = [(price, size) for _, is_bid, _, price, size in changes if not is_bid]
    return Delta(symbol, bids, asks, first, last, time_us)


def _asked(url: str | None) -> tuple[str | None, int | None]:
    """Exchange symbol and number of levels that a url asks for; None levels: all there are."""
    if url is None:
        return None, SNAPSHOT_LEVELS
    parts = urlsplit(url)
    name = parts.path.rpartition("/")[2]
    levels = name.removeprefix("level2_")
    symbol = parse_qs(parts.query).get("symbol", [None])[0]
    return symbol, None if name == "level2" else int(levels) if levels.isdecimal() else SNAPSHOT_LEVELS


class KucoinSession:
    """One socket; a request per symbol and channel, whose id says what its answer is about."""

    def __init__(self, symbols: Mapping[str, str], endpoints: Endpoints) -> None:
        """``symbols`` maps exchange symbol -> symbol."""
        self._symbols = symbols
        self._names = {symbol: name for name, symbol in symbols.items()}
        self._endpoints = endpoints
        self._requests: dict[str, tuple[str, str]] = {}
        self._count = 0
        self._ping_seconds = PING_SECONDS
        self._pinged = self._began = 0.0
        self._awaited = Awaited()
        self.heard = by_head(HEARD, {"level2": "book", "match": "trade"}, symbols)
        self._firsts = FirstUpdates(self.heard)

    def connect(self, answer: bytes | None = None) -> Connect | Ask:
        """See `Session.connect`: a token of its own for each connection."""
        if answer is None:
            return Ask(f"{self._endpoints.rest_url}/api/v1/bullet-public", "POST")
        try:
            bullet = msgspec.json.decode(answer, type=Answer[Servers])
        except UNREADABLE as error:
            raise ValueError(f"bullet-public: {error}") from error
        servers = [one for one in bullet.data.instanceServers if one.protocol == "websocket"]
        if bullet.code != OK or not servers:
            raise ValueError(f"bullet-public: code {bullet.code[:40]}, {len(servers)} servers")
        self._ping_seconds = min(servers[0].pingInterval / 1000, PING_SECONDS)
        # The exchange says where; a setting that leads elsewhere means it.
        own, default = self._endpoints.ws_url, EXCHANGE.endpoints.ws_url
        base = servers[0].endpoint if own == default else own
        token = bullet.data.token
        query = urlencode({"token": token, "connectId": f"{crc32(token.encode()):08x}"})
        return Connect(f"{base.rstrip('/')}/?{query}")

    def opened(self, now: float) -> list[Command]:
        self._began = self._pinged = now
        return []  # the welcome comes first

    def received(self, frame: bytes, now: float) -> list[Command]:
        """See `Session.received`. Data frames are ``message``; all else is short."""
        if b'"message"' in frame or len(frame) > 4096:
            return [self._fetch(symbol) for symbol in self._firsts.took(frame)]
        try:
            return self._reply(_other.decode(frame), now)
        except UNREADABLE:
            return []

    def timer(self, now: float) -> list[Command]:
        commands: list[Command] = [self._fetch(symbol) for symbol in self._firsts.overdue(now)]
        commands += [self._subscribe(topic, name, now) for topic, name in self._awaited.overdue(now)]
        if now - self._began >= LIFETIME_SECONDS:
            commands.append(Farewell("the connection's 24 hours end"))
        if now - self._pinged >= self._ping_seconds:
            self._pinged = now
            commands.append(self._send({"type": "ping"}))
        return commands

    def resync(self, symbol: str, reason: str, now: float, age_seconds: float = 0.0) -> list[Command]:
        # The connection is kept. REST lags the stream: one that was too old is asked for again a little later.
        delay_seconds = 0.5 if reason.startswith("snapshot_") else 0.0
        return [self._fetch(symbol, delay_seconds)] if symbol in self._names else []

    def again(self, symbol: str, channel: str, now: float) -> list[Command]:
        """See `Session.again`. A topic that is subscribed stays so; the answer brings the snapshot."""
        topic = next(topic for topic, ours in TOPICS.items() if ours == channel)
        return [self._subscribe(topic, self._names[symbol], now)]

    def _reply(self, message: Other, now: float) -> list[Command]:
        if message.type == "welcome":
            return [self._subscribe(topic, name, now) for name in self._symbols for topic in TOPICS]
        asked = self._requests.get(str(message.id))
        if message.type == "error":
            return self._refusal(message, asked)
        if message.type != "ack" or asked is None:
            return []
        topic, name = asked
        self._awaited.answered(topic, name)
        symbol, channel = self._symbols[name], TOPICS[topic]
        if channel == "book":
            self._firsts.await_of([symbol], now)
        return [Acknowledged((symbol,), (channel,))]

    def _refusal(self, message: Other, asked: tuple[str, str] | None) -> list[Command]:
        reason = f"{message.code}: {message.data}"
        if asked is None or message.code not in (*UNKNOWN_TOPIC, *PASSING):
            return [Refused(None, reason)]
        symbol = self._symbols[asked[1]]
        if message.code in PASSING:
            return [Refused(symbol, reason)]  # asked for again when it is overdue
        self._awaited.answered(None, asked[1])
        return [Refused(symbol, reason, not_listed=True)]

    def _subscribe(self, topic: str, name: str, now: float) -> Command:
        self._awaited.asked(topic, [name], now)
        self._requests[str(self._count + 1)] = (topic, name)
        wanted = {"topic": f"{topic}:{name}", "privateChannel": False, "response": True}
        return self._send({"type": "subscribe"} | wanted)

    def _send(self, message: dict[str, Any]) -> Send:
        self._count += 1
        return Send(json.dumps({"id": str(self._count)} | message, separators=(",", ":")))

    def _fetch(self, symbol: str, delay_seconds: float = 0.0) -> Fetch:
        path = f"/api/v1/market/orderbook/level2_{SNAPSHOT_LEVELS}?symbol={self._names[symbol]}"
        return Fetch(f"{self._endpoints.rest_url}{path}", symbol, delay_seconds)


class Kucoin:
    """The exchange."""

    name = "kucoin"
    endpoints = Endpoints("wss://ws-api-spot.kucoin.com", "https://api.kucoin.com")
    # 400 topics are allowed, and 100 messages in 10 s: a slot of 20 sends 40 at once.
    symbols_per_slot = 20
    silence_seconds = 60.0  # the pong comes every 18 s
    checksum: Checksum | None = None
    limits = Limits(connects=Rate(24, 62.0))  # 30 a minute

    def exchange_symbol(self, symbol: str) -> str:
        return "-".join(split(symbol))

    def listing(self, rest_url: str) -> str:
        return f"{rest_url}/api/v2/symbols"

    def listed(self, body: bytes) -> dict[str, str]:
        try:
            pairs = msgspec.json.decode(body, type=Answer[list[Pair]]).data
        except UNREADABLE as error:
            raise ValueError(f"the list of symbols: {error}") from error
        return {f"{one.baseCurrency}{one.quoteCurrency}": one.symbol for one in pairs if one.enableTrading}

    def session(self, symbols: Mapping[str, str], endpoints: Endpoints) -> Session:
        return KucoinSession(symbols, endpoints)

    def decoder(self, symbols: Mapping[str, str]) -> Decoder:
        return KucoinDecoder(symbols)


EXCHANGE: Exchange = Kucoin()
