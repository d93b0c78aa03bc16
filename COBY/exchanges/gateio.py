"""Gate.io v4 spot: spot.obu (400 levels a side), spot.trades. Protocol: EXCHANGES.md §8.

Continuity: `SocketChain`, U is the last u + 1; a ``full`` push replaces the book whenever it comes. Of several depths
of one symbol the deepest is the book. Not read: spot.order_book_update (with REST), whose captures are older.
Seen on the wire: one obu update and acknowledgement, trades. Never seen: a full push, one that is sent again, the
errors ``Alert sub`` and ``unknown currency pair`` (from the exchange's pages and clients' logs), whether ``time`` of
a public request is checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

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
from COBY.limits import Limits
from COBY.renewals import Awaited, Renewals
from COBY.symbols import split
from COBY.text import PLAIN_PRICES, SIZES, is_zero
from COBY.utils.intervals import clamp_us

DEPTH = 400
BOOKS, TRADES = "spot.obu", "spot.trades"
CHANNELS = {BOOKS: "book", TRADES: "trade"}
ANSWERS = ("subscribe", "unsubscribe")
PING_SECONDS = 15.0
"""The exchange wants one every 10 to 20 s."""
HEARD = rb'"channel":"spot\.(?P<channel>obu|trades)".*?"(?:s|currency_pair)":"(?:ob\.)?(?P<name>[^".]+)'
ANSWER_BYTES = 2048
SUBSCRIBED = "alert sub"
NOT_LISTED = ("unknown currency pair", "invalid currency pair")

UpdateId = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Rows = list[tuple[str, str]]


class Message(msgspec.Struct, gc=False):
    """Any message: its keys come in any order, so ``result`` is read when the channel is known."""

    channel: str | None = None
    event: str | None = None
    result: msgspec.Raw = msgspec.Raw(b"")
    method: str | None = None
    """Of v3, which is dead."""


class Book(msgspec.Struct, gc=False):
    """A push of obu: changes ``U`` … ``u``, or with ``full`` the whole book at ``u``; a side without rows may lack."""

    t: int
    s: str
    u: UpdateId
    U: UpdateId | None = None
    full: bool = False
    b: Rows | None = None
    a: Rows | None = None


class TradeData(msgspec.Struct, gc=False):
    """One trade; ``side`` is the taker's, ``create_time_ms`` milliseconds with a fraction, as text."""

    id: int | str
    side: str
    currency_pair: str
    amount: str
    price: str
    create_time_ms: str | int


class Error(msgspec.Struct):
    """Why a request failed."""

    code: int | None = None
    message: str = ""


class Answer(msgspec.Struct):
    """An answer to a request; in 2021 it named no more than channel and event."""

    channel: str | None = None
    event: str | None = None
    id: int | str | None = None
    payload: list[str] | None = None
    result: dict[str, Any] | None = None
    error: Error | None = None

    def failure(self) -> str | None:
        """The text of an error, None for success."""
        if self.error is not None:
            return f"{self.error.code}: {self.error.message}"
        status = (self.result or {}).get("status")
        return None if status == "success" else f"status {status!r}"


class Listed(msgspec.Struct):
    """A pair in the list of all."""

    id: str
    base: str
    quote: str
    trade_status: str


_message = msgspec.json.Decoder(Message)
_book = msgspec.json.Decoder(Book)
_trades = msgspec.json.Decoder(TradeData | list[TradeData])
_answer = msgspec.json.Decoder(Answer)
_listed = msgspec.json.Decoder(list[Listed])
_TOPIC = re.compile(r"ob\.([^.]+)\.([0-9]{1,5})", re.ASCII)
_ANY_CHANNEL = re.compile(rb'"channel"\s*:\s*"([^"]*)"')
_ANY_TOPIC = re.compile(rb'"s"\s*:\s*"ob\.([^".]+)\.[0-9]{1,5}"')
_MILLISECONDS = re.compile(r"([0-9]{1,17})(?:\.([0-9]{1,30}))?", re.ASCII)


class GateioDecoder(DeepestDecoder):
    """Frames of one connection -> events."""

    separator = "_"

    def decode(self, frame: bytes, kind: str, symbol: str | None, url: str | None) -> list[AnyEvent]:
        if kind != "ws":
            return []
        try:
            if not_ours(frame):
                return []
            return self._read(_message.decode(frame), frame)
        except (*UNREADABLE, ValueError) as error:
            return [Rejected.of(error), *self._missing(frame)]

    def _read(self, message: Message, frame: bytes) -> list[AnyEvent]:
        if message.channel is None and message.method is None and message.result:
            raise msgspec.ValidationError("Object missing required field `channel`")
        if message.channel == BOOKS:
            if message.event in ANSWERS:
                return self._unsubscribed(_answer.decode(frame))
            if message.event == "update":
                return self._update(_book.decode(message.result))
            if bytes(message.result) not in (b"", b"null"):
                raise msgspec.ValidationError(f"event {(message.event or '')[:40]!r} of a book")
        if message.channel == TRADES and message.event == "update":
            found = _trades.decode(message.result)
            return [self._trade(data) for data in (found if isinstance(found, list) else [found])]
        return []

    def _update(self, data: Book) -> list[AnyEvent]:
        topic = _TOPIC.fullmatch(data.s)
        if topic is None:
            raise msgspec.ValidationError(f"topic {data.s[:40]!r}")
        depth, symbol = int(topic[2]), self._name(topic[1])
        if symbol is None:
            return [Rejected.unknown(topic[1])]
        chain = self._chain(symbol)
        if depth > DEPTH or not self._counts(symbol, depth, data.full):
            return []
        try:
            bids, asks = _levels(data.b), _levels(data.a)
        except ValueError as error:
            return [Rejected("frame.number", str(error), symbol), *chain.lost("an unusable update")]
        time_us = clamp_us(data.t * 1000)
        if data.full:
            self._depths[symbol] = depth
            return chain.snapshot(Snapshot(symbol, bids, asks, data.u, time_us, depth=depth))
        if data.U is None:
            rejected = Rejected("frame.shape", "neither `full` nor `U`", symbol)
            return [rejected, *chain.lost("an unusable update")]
        if data.u < data.U:
            rejected = Rejected("frame.range", f"u {data.u} is before U {data.U}", symbol)
            return [rejected, *chain.lost("an unusable update")]
        return chain.delta(Delta(symbol, bids, asks, data.U, data.u, time_us), follows=data.U - 1)

    def _trade(self, data: TradeData) -> AnyEvent:
        symbol = self._name(data.currency_pair)
        if symbol is None:
            return Rejected.unknown(data.currency_pair)
        if data.side not in ("buy", "sell"):
            return Rejected("frame.shape", f"side {data.side[:40]!r}", symbol)
        try:
            price, size, time_us = PLAIN_PRICES[data.price], data.amount, _time_us(data.create_time_ms)
            empty = not SIZES[size] and is_zero(size)
        except ValueError as error:
            return Rejected("frame.number", str(error), symbol)
        if empty:
            return Rejected.empty_trade(size, symbol)
        return Trade(symbol, price, size, data.side, str(data.id), time_us)

    def _unsubscribed(self, answer: Answer) -> list[AnyEvent]:
        if answer.event != "unsubscribe" or answer.failure() is not None or not answer.payload:
            return []
        topic = _TOPIC.fullmatch(answer.payload[0])
        symbol = self._name(topic[1]) if topic else None
        return [] if symbol is None else self._chain(symbol).lost("unsubscribed", renewing=True)

    def _missing(self, frame: bytes) -> list[AnyEvent]:
        """Lost, of the books that an unreadable frame may have been an update of.

        The next number would tell as well, but a quiet book may have none for long.
        """
        channel = _ANY_CHANNEL.search(frame[:200]) or _ANY_CHANNEL.search(frame[-200:])
        if channel is not None and channel[1] != BOOKS.encode():
            return []
        if (topic := _ANY_TOPIC.search(frame)) is None:
            return self._unusable()
        name = self._name(topic[1].decode("utf-8", "replace"))
        return [] if name is None else self._unusable([name])


def _levels(rows: Rows | None) -> Levels:
    for _, size in rows or ():
        SIZES[size]
    return [(PLAIN_PRICES[price], size) for price, size in rows or ()]


def _time_us(milliseconds: str | int) -> int:
    """Microseconds of milliseconds with a fraction; its finer digits are dropped."""
    found = _MILLISECONDS.fullmatch(str(milliseconds)[:64])
    if found is None:
        raise ValueError(f"create_time_ms {str(milliseconds)[:40]!r}, allowed: milliseconds")
    return clamp_us(int(found[1]) * 1000 + int((found[2] or "").ljust(3, "0")[:3]))


class GateioSession:
    """One socket; a request for each channel of each symbol, so that a bad one spoils no other."""

    def __init__(self, symbols: Mapping[str, str], endpoints: Endpoints) -> None:
        """``symbols`` maps exchange symbol -> symbol."""
        self._symbols = symbols
        self._names = {symbol: name for name, symbol in symbols.items()}
        self._url = endpoints.ws_url
        self._ping_due = 0.0
        self._number = 0
        self._asked: dict[int, tuple[str, str, str]] = {}
        """Number of a request without an answer -> event, channel, pair."""
        self._renewals = Renewals()
        self._awaited = Awaited()
        self.heard = by_head(HEARD, {"obu": "book", "trades": "trade"}, symbols)

    def connect(self, answer: bytes | None = None) -> Connect:
        return Connect(f"{self._url}/ws/v4/")

    def opened(self, now: float) -> list[Command]:
        self._ping_due = now + PING_SECONDS
        return [self._subscribe(channel, name, now) for name in self._symbols for channel in CHANNELS]

    def received(self, frame: bytes, now: float) -> list[Command]:
        """See `Session.received`. Answers are short and name one of two events."""
        if len(frame) > ANSWER_BYTES or b'subscribe"' not in frame:
            return []
        try:
            return self._reply(_answer.decode(frame), now)
        except UNREADABLE:
            return []

    def timer(self, now: float) -> list[Command]:
        commands = [self._subscribe(BOOKS, name, now) for name in self._renewals.overdue(now)]
        commands += [self._subscribe(channel, name, now) for channel, name in self._awaited.overdue(now)]
        if now >= self._ping_due:
            self._ping_due = now + PING_SECONDS
            commands.append(_request({"time": int(now), "channel": "spot.ping"}))
        return commands

    def resync(self, symbol: str, reason: str, now: float, age_seconds: float = 0.0) -> list[Command]:
        """See `Session.resync`: only a new subscription brings a full push."""
        name = self._names.get(symbol)
        if name is None or not self._renewals.begin(name, now, age_seconds):
            return []
        return [self._ask("unsubscribe", BOOKS, name, now)]

    def again(self, symbol: str, channel: str, now: float) -> list[Command]:
        if channel == "book":
            return self.resync(symbol, "stale", now)
        name = self._names[symbol]
        return [self._ask("unsubscribe", TRADES, name, now), self._subscribe(TRADES, name, now)]

    def _reply(self, answer: Answer, now: float) -> list[Command]:
        if answer.channel not in CHANNELS or answer.event not in ANSWERS:
            return []
        name, failure = self._asker(answer), answer.failure()
        if answer.event == "unsubscribe":  # refused, it was not subscribed: then it can be now
            confirmed = answer.channel == BOOKS and name is not None and self._renewals.confirmed(name)
            return [self._subscribe(BOOKS, name, now)] if confirmed and name is not None else []
        if name is None:
            return [] if failure is None else [Refused(None, failure)]
        if failure is None or SUBSCRIBED in failure.lower():
            self._awaited.answered(answer.channel, name)
            return [Acknowledged((self._symbols[name],), (CHANNELS[answer.channel],))]
        if any(words in failure.lower() for words in NOT_LISTED):
            self._awaited.answered(None, name)
            return [Refused(self._symbols[name], failure, not_listed=True)]
        return [Refused(self._symbols[name], failure)]  # for a passing reason: it is asked for again

    def _asker(self, answer: Answer) -> str | None:
        """The pair that an answer is about: by its number, its payload, its error, or as the first such request."""
        channel, event = str(answer.channel), str(answer.event)
        asked = {number: about[2] for number, about in self._asked.items() if about[:2] == (event, channel)}
        name = asked.get(answer.id) if isinstance(answer.id, int) else None
        if name is None and answer.payload:
            name = next((name for name in self._symbols if [_topic(channel, name)] == answer.payload), None)
        elif name is None:
            words = re.findall(r"\w+", answer.failure() or "")
            named = (name for name in self._symbols if name in words)
            name = next(named, None) or next(iter(asked.values()), None)
        if name is not None:
            self._forget((event, channel, name))
        return name

    def _forget(self, about: tuple[str, str, str]) -> None:
        self._asked = {number: other for number, other in self._asked.items() if other != about}

    def _subscribe(self, channel: str, name: str, now: float) -> Command:
        self._awaited.asked(channel, [name], now)
        if channel == BOOKS:
            self._renewals.subscribed([name], now)
        return self._ask("subscribe", channel, name, now)

    def _ask(self, event: str, channel: str, name: str, now: float) -> Command:
        self._forget((event, channel, name))
        self._number += 1
        self._asked[self._number] = (event, channel, name)
        request = {"time": int(now), "id": self._number, "channel": channel, "event": event}
        return _request(request | {"payload": [_topic(channel, name)]})


def _topic(channel: str, name: str) -> str:
    return f"ob.{name}.{DEPTH}" if channel == BOOKS else name


def _request(fields: Mapping[str, object]) -> Command:
    return Send(json.dumps(fields, separators=(",", ":")))


class Gateio:
    """The exchange."""

    name = "gateio"
    endpoints = Endpoints("wss://api.gateio.ws", "https://api.gateio.ws")
    symbols_per_slot = 20
    silence_seconds = 45.0  # it says nothing by itself, but answers our ping every 15 s
    checksum: Checksum | None = None
    limits = Limits()  # none is documented

    def exchange_symbol(self, symbol: str) -> str:
        return "_".join(split(symbol))

    def listing(self, rest_url: str) -> str:
        return f"{rest_url}/api/v4/spot/currency_pairs"

    def listed(self, body: bytes) -> dict[str, str]:
        try:
            pairs = _listed.decode(body)
        except UNREADABLE as error:
            raise ValueError(str(error)) from error
        if not pairs:
            raise ValueError("an empty list of pairs")
        return {f"{one.base}{one.quote}": one.id for one in pairs if one.trade_status == "tradable"}

    def session(self, symbols: Mapping[str, str], endpoints: Endpoints) -> Session:
        return GateioSession(symbols, endpoints)

    def decoder(self, symbols: Mapping[str, str]) -> Decoder:
        return GateioDecoder(symbols)


EXCHANGE: Exchange = Gateio()
