"""MEXC spot v3: aggre.depth@100ms joined to REST depth 5000, aggre.deals@100ms; protobuf. Protocol: EXCHANGES.md §10.

Continuity: `RestChain`. Push messages are protobuf (`_protobuf/mexc.proto`), answers JSON text.
Seen on the wire: nothing as it comes. The frames there are (frames/mexc) were encoded again from decoded values of
2026, or made from another exchange's. Never seen: answers to subscriptions but the refusal of a dead topic, what is
said of an unknown symbol, REST errors, trades with an id, how 24 hours end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from COBY.channels import by_head
from COBY.continuity import ChainedDecoder, RestChain
from COBY.exchanges._protobuf.mexc_pb2 import Deal, Depths, Level, Push
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
    Levels,
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
from COBY.limits import Limits
from COBY.listings import rows
from COBY.renewals import Awaited
from COBY.text import PLAIN_PRICES, SIZES, check_levels, is_zero
from COBY.utils.intervals import clamp_us

SNAPSHOT_LEVELS = 5000
HEARD = rb"^\n.spot@public\.aggre\.(?P<channel>depth|deals)\.v3\.api\.pb@[0-9]+ms@(?P<name>[A-Z0-9_.]+)"
DEFAULT_LIMIT = 100
"""What the exchange takes where a url names no limit."""
DEPTH, DEALS = "spot@public.aggre.depth.v3.api.pb@", "spot@public.aggre.deals.v3.api.pb@"
TOPICS = {f"{DEPTH}100ms": "book", f"{DEALS}100ms": "trade"}
SIDES = {1: "buy", 2: "sell"}
INVALID_SYMBOL = -1121
INFO = "/api/v3/exchangeInfo"
TRADED = ("1", "ENABLED")
BODIES_AFTER = 300
"""Fields of higher numbers are bodies, known to us or not."""
PING_SECONDS = 20.0
"""After 60 s of silence the exchange closes."""
LIFETIME_SECONDS = 24 * 3600.0 - 300.0
"""A connection ends after 24 hours; another one is made before."""
LONGEST_DELAY_SECONDS = 8.0
"""REST may lag the stream for seconds: one snapshot after another that is too old is asked for later and later."""

_VERSION = re.compile(r"[0-9]{1,18}", re.ASCII)
_TOPIC = re.compile(rb"spot@public\.aggre\.depth\.v3\.api\.pb@[0-9]+ms@([A-Z0-9_.]{1,50})")

_TOLD = re.compile(r"spot@[A-Za-z0-9.@_]+")


class Body(msgspec.Struct):
    """The body of GET /api/v3/depth."""

    lastUpdateId: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]  # noqa: N815 - the exchange's own name
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class Other(msgspec.Struct):
    """Answers over the socket, and REST bodies that hold no book."""

    id: int | str | None = None
    code: int | str | None = None
    msg: str | None = None
    symbols: list[Any] | None = None


_body = msgspec.json.Decoder(Body)
_other = msgspec.json.Decoder(Other)


class MexcDecoder(ChainedDecoder[RestChain]):
    """Frames of one connection -> events."""

    def __init__(self, symbols: Mapping[str, str]) -> None:
        """``symbols`` maps exchange symbol -> symbol; empty: any symbol, under its own name."""
        super().__init__(symbols, RestChain)

    def decode(self, frame: bytes, kind: str, symbol: str | None, url: str | None) -> list[AnyEvent]:
        try:
            if kind == "http":
                return self._rest(frame, symbol, url)
            if frame[:1] in (b"{", b"["):
                if not not_ours(frame):
                    _other.decode(frame)
                return []
            return self._push(Push.FromString(frame))
        except DecodeError as error:
            return [Rejected("frame.protobuf", str(error)), *self._missing(frame)]
        except (*UNREADABLE, ValueError) as error:
            return [Rejected.of(error), *self._missing(frame)]

    def _missing(self, frame: bytes) -> list[AnyEvent]:
        """Lost, of the books that an unreadable frame may have been an update of. Any other is missed by the next."""
        if (topic := _TOPIC.search(frame)) is None:
            return self._unusable() if DEPTH.encode() in frame else []
        name = self._name(topic[1].decode())
        return [] if name is None else self._unusable([name])

    def _push(self, push: Push) -> list[AnyEvent]:
        """Channels that are not ours pass; one of ours must hold what it is there for."""
        body = push.WhichOneof("body")
        bodies = {DEPTH: "depths", DEALS: "deals"}
        wanted = next((one for begin, one in bodies.items() if push.channel.startswith(begin)), None)
        if wanted is None:
            return [] if push.channel else [Rejected("frame.shape", "a message without channel")]
        named = push.channel.rpartition("@")[2]
        symbol = self._name(named)
        if symbol is None:
            return [Rejected.unknown(named)]
        unknown = UnknownFieldSet(push)
        numbers = [unknown[place].field_number for place in range(len(unknown))]
        if body is None and not any(number > BODIES_AFTER for number in numbers):
            return []  # a message without any body comes now and then, and says nothing
        if body != wanted or push.symbol not in ("", named):
            detail = (
                f"{push.channel[:80]} holds {body} of {push.symbol[:40]!r}, allowed: {wanted} of {named!r}"
            )
            lost = self._chain(symbol).lost("an unusable update") if wanted == "depths" else []
            return [Rejected("frame.shape", detail, symbol), *lost]
        if wanted == "deals":
            return [_trade(symbol, deal) for deal in push.deals.deals]
        return self._depths(symbol, push.depths, push.send_time or push.create_time)

    def _depths(self, symbol: str, depths: Depths, time_ms: int) -> list[AnyEvent]:
        chain = self._chain(symbol)
        try:
            first, last = (
                _version("fromVersion", depths.from_version),
                _version("toVersion", depths.to_version),
            )
        except ValueError as error:
            return [Rejected("frame.shape", str(error), symbol), *chain.lost("an unusable update")]
        if last < first:
            rejected = Rejected("frame.range", f"toVersion {last} is before fromVersion {first}", symbol)
            return [rejected, *chain.lost("an unusable update")]
        try:
            bids, asks = _levels(depths.bids), _levels(depths.asks)
        except ValueError as error:
            return [Rejected("frame.number", str(error), symbol), *chain.lost("an unusable update", last)]
        time_us = clamp_us(time_ms * 1000) if time_ms else None
        return chain.delta(Delta(symbol, bids, asks, first, last, time_us))

    def _rest(self, frame: bytes, symbol: str | None, url: str | None) -> list[AnyEvent]:
        path, asked, limit = _asked(url)
        # A record's header names our symbol, a url the exchange's; recordings of others may mix them.
        named = symbol if symbol in self._symbols.values() else self._name(symbol or asked or "")
        if not named:
            return [Rejected.unknown(symbol or asked or "")]
        other = _other.decode(frame)
        if path.endswith(INFO) and other.symbols is not None:
            return [] if other.symbols else [NotListed(named, f"{INFO} does not list it")]
        if other.code == INVALID_SYMBOL and not self._chain(named).state.joined:
            return [NotListed(named, str(other.msg))]
        if other.code is not None:
            return [Rejected("frame.rest_error", f"code {other.code}: {other.msg}", named)]
        body = _body.decode(frame)
        sides = body.bids, body.asks
        check_levels([*sides[0], *sides[1]])
        bids, asks = ([(PLAIN_PRICES[price], size) for price, size in side] for side in sides)
        cut = len(bids) >= limit, len(asks) >= limit
        return self._chain(named).snapshot(Snapshot(named, bids, asks, body.lastUpdateId, None, *cut))


def _version(field: str, text: str) -> int:
    if not _VERSION.fullmatch(text):
        raise ValueError(f"{field} {text[:40]!r}, allowed: 1 to 18 digits")
    return int(text)


def _levels(levels: Iterable[Level]) -> Levels:
    pairs = [(level.price, level.quantity) for level in levels]
    for _, size in pairs:
        SIZES[size]
    return [(PLAIN_PRICES[price], size) for price, size in pairs]


def _trade(symbol: str, deal: Deal) -> AnyEvent:
    """Since June 2026 a trade may have an id; without one it stands for itself."""
    if deal.trade_type not in SIDES or not deal.time:
        return Rejected("frame.shape", f"tradeType {deal.trade_type}, time {deal.time}", symbol)
    try:
        price, size = PLAIN_PRICES[deal.price], deal.quantity
        SIZES[size]
    except ValueError as error:
        return Rejected("frame.number", str(error), symbol)
    if is_zero(size):
        return Rejected.empty_trade(size, symbol)
    side, time_us = SIDES[deal.trade_type], clamp_us(deal.time * 1000)
    return Trade(symbol, price, size, side, deal.trade_id or None, time_us)


def _asked(url: str | None) -> tuple[str, str | None, int]:
    """Path, exchange symbol and number of levels that a url asks for; an unknown url asked for all there are."""
    if url is None:
        return "", None, SNAPSHOT_LEVELS
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    limit = query.get("limit", [""])[0]
    levels = min(int(limit), SNAPSHOT_LEVELS) if limit.isdecimal() else DEFAULT_LIMIT
    return parts.path, query.get("symbol", [None])[0], levels


class MexcSession:
    """One socket; a request per symbol and channel, whose answer names its topic."""

    def __init__(self, symbols: Mapping[str, str], endpoints: Endpoints) -> None:
        """``symbols`` maps exchange symbol -> symbol."""
        self._symbols = symbols
        self._names = {symbol: name for name, symbol in symbols.items()}
        self._endpoints = endpoints
        self._topics = {f"{topic}@{name}": (topic, name) for name in symbols for topic in TOPICS}
        self._requests: dict[int | str | None, tuple[str, str]] = {}
        self._looked_up: set[str] = set()
        self._too_old: dict[str, int] = {}
        self._began = self._pinged = 0.0
        self._awaited = Awaited()
        self.heard = by_head(HEARD, {"depth": "book", "deals": "trade"}, symbols)
        self._firsts = FirstUpdates(self.heard)

    def connect(self, answer: bytes | None = None) -> Connect:
        return Connect(f"{self._endpoints.ws_url}/ws")

    def opened(self, now: float) -> list[Command]:
        self._began = self._pinged = now
        return [self._subscribe(topic, name, now) for name in self._symbols for topic in TOPICS]

    def received(self, frame: bytes, now: float) -> list[Command]:
        """See `Session.received`. Answers are JSON text, and short."""
        if frame[:1] != b"{" or len(frame) > 4096:
            return [self._fetch(symbol) for symbol in self._firsts.took(frame)]
        try:
            message = _other.decode(frame)
        except UNREADABLE:
            return []
        if message.msg == "PONG":
            return []
        # The topic in the text says what it is about; only where there is none, the id.
        told = _TOLD.findall(message.msg or "")
        asked = self._requests.get(message.id) if not told else self._topics.get(told[0])
        if asked is None:
            return [Refused(None, f"{message.code}: {message.msg}")] if message.code else []
        return self._answer(message, *asked, now)

    def timer(self, now: float) -> list[Command]:
        commands: list[Command] = [self._fetch(symbol) for symbol in self._firsts.overdue(now)]
        commands += [self._subscribe(topic, name, now) for topic, name in self._awaited.overdue(now)]
        if now - self._began >= LIFETIME_SECONDS:
            commands.append(Farewell("the connection's 24 hours end"))
        if now - self._pinged >= PING_SECONDS:
            self._pinged = now
            commands.append(Send('{"method":"PING"}'))
        return commands

    def resync(self, symbol: str, reason: str, now: float, age_seconds: float = 0.0) -> list[Command]:
        # The connection is kept.
        if symbol not in self._names:
            return []
        count = self._too_old.get(symbol, 0) if reason.startswith("snapshot_") else -1
        self._too_old[symbol] = count + 1
        delay_seconds = min(0.5 * 2.0 ** min(count, 10), LONGEST_DELAY_SECONDS) if count >= 0 else 0.0
        return [self._fetch(symbol, delay_seconds)]

    def again(self, symbol: str, channel: str, now: float) -> list[Command]:
        """See `Session.again`. A topic that is subscribed stays so; the answer brings the snapshot."""
        topic = next(topic for topic, ours in TOPICS.items() if ours == channel)
        return [self._subscribe(topic, self._names[symbol], now)]

    def _answer(self, message: Other, topic: str, name: str, now: float) -> list[Command]:
        """Code 0 is no proof: the text of a confirmation is the topic, that of a refusal says so."""
        symbol, said = self._symbols[name], message.msg or ""
        if message.code == 0 and said.strip() == f"{topic}@{name}":
            self._awaited.answered(topic, name)
            if TOPICS[topic] == "book":
                self._firsts.await_of([symbol], now)
            return [Acknowledged((symbol,), (TOPICS[topic],))]
        # It is asked for again when it is overdue. The text does not say whether there is such a symbol: REST does.
        refused = Refused(symbol, f"{message.code}: {said}")
        if name in self._looked_up:
            return [refused]
        self._looked_up.add(name)
        return [refused, Fetch(f"{self._endpoints.rest_url}{INFO}?symbol={name}", symbol)]

    def _subscribe(self, topic: str, name: str, now: float) -> Command:
        self._awaited.asked(topic, [name], now)
        number = len(self._requests) + 1
        self._requests[number] = (topic, name)
        wanted = {"method": "SUBSCRIPTION", "params": [f"{topic}@{name}"], "id": number}
        return Send(json.dumps(wanted, separators=(",", ":")))

    def _fetch(self, symbol: str, delay_seconds: float = 0.0) -> Fetch:
        query = f"symbol={self._names[symbol]}&limit={SNAPSHOT_LEVELS}"
        return Fetch(f"{self._endpoints.rest_url}/api/v3/depth?{query}", symbol, delay_seconds)


class Mexc:
    """The exchange."""

    name = "mexc"
    endpoints = Endpoints("wss://wbs-api.mexc.com", "https://api.mexc.com")
    symbols_per_slot = 15  # 30 subscriptions a connection, two for each
    silence_seconds = 60.0  # the pong comes every 20 s
    checksum: Checksum | None = None
    limits = Limits()  # by connection only: symbols_per_slot

    def exchange_symbol(self, symbol: str) -> str:
        return symbol

    def listing(self, rest_url: str) -> str:
        return f"{rest_url}{INFO}"

    def listed(self, body: bytes) -> dict[str, str]:
        found = [row for row in rows(body, "symbols") if row.text("status") in TRADED]
        return {row.text("baseAsset") + row.text("quoteAsset"): row.text("symbol") for row in found}

    def session(self, symbols: Mapping[str, str], endpoints: Endpoints) -> Session:
        return MexcSession(symbols, endpoints)

    def decoder(self, symbols: Mapping[str, str]) -> Decoder:
        return MexcDecoder(symbols)


EXCHANGE: Exchange = Mexc()
