"""Bitfinex v2: book (P0 F0, 250 levels a side), trades by ``te``. Protocol: EXCHANGES.md §9.

Continuity: one sequence over all data frames of the connection (heartbeats, checksums, other channels; not events): a
frame out of turn blinds every book. Besides, the checksum, in a frame of its own. `SocketChain` without numbers.
Channel ids are the connection's, so they are saved. Numbers are JSON numbers whose texts make the checksum.
Seen on the wire: a connection of 2021 (books of 100 levels, sequence, removals before additions), trades. Never seen:
checksum frames (proven by published vectors), windows of 250, ``conf`` of two flags, ``unsubscribed``, info codes,
refusals by ``subId`` (from other clients' code).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import Annotated, Any, NamedTuple
from zlib import crc32

import msgspec
from msgspec import Raw

from COBY.channels import by_number
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
    Farewell,
    Levels,
    Notice,
    Refused,
    Rejected,
    Send,
    Session,
    Snapshot,
    Trade,
)
from COBY.json_numbers import natural, price_text, signed_size, text_of
from COBY.limits import Limits, Rate
from COBY.renewals import Awaited, Renewals
from COBY.symbols import split
from COBY.text import PLAIN_PRICES, is_zero
from COBY.utils.intervals import clamp_us

DEPTH = 250
CHECKSUM_LEVELS = 25
TIMESTAMP, SEQ_ALL, OB_CHECKSUM = 32768, 65536, 131072
FLAGS = SEQ_ALL | OB_CHECKSUM
CHANNELS = {"book": "book", "trades": "trade"}
PARAMETERS: dict[str, dict[str, str]] = {
    "book": {"prec": "P0", "freq": "F0", "len": str(DEPTH)},
    "trades": {},
}
KINDS = (("book", "P0", "F0"), ("trades", "P0", "F0"))
RESTART, PAUSE, RESUME = 20051, 20060, 20061
PAUSE_SECONDS = 180.0  # a pause takes two minutes at most; without its end the connection is given up
UNKNOWN_PAIR, INVALID, DUPLICATE, UNSUBSCRIBE_FAILED, NOT_SUBSCRIBED = 10001, 10300, 10301, 10400, 10401
CURRENCIES = {"USDT": "UST", "USDC": "UDC"}
_OURS = {name: ours for ours, name in CURRENCIES.items()}


class Level(msgspec.Struct, array_like=True, gc=False):
    """A level with its numbers as they stand in the frame; a ``count`` of 0 removes it, the amount tells the side."""

    price: Raw
    count: Annotated[int, msgspec.Meta(ge=0)]
    amount: Raw


class Fill(msgspec.Struct, array_like=True, gc=False):
    """A trade; ``mts`` milliseconds, the amount negative where the taker sold."""

    id: Annotated[int, msgspec.Meta(ge=0)]
    mts: int
    amount: Raw
    price: Raw


class Message(msgspec.Struct):
    """An event: what comes as an object and is not counted. Its fields may be anything."""

    event: object = None
    channel: object = None
    chanId: Annotated[int, msgspec.Meta(ge=-1, le=2**62)] = -1  # noqa: N815 - the exchange's own name
    symbol: object = None
    subId: object = None  # noqa: N815
    prec: object = "P0"
    freq: object = "F0"
    len: object = 25
    flags: object = None
    status: object = None
    version: object = None
    platform: object = None
    code: object = None
    msg: object = None
    said = property(lambda self: f"{self.code}: {self.msg}")


class Channel(NamedTuple):
    """What an id stands for: ``book`` or ``trades`` of our symbol; ``depth`` of a book."""

    name: str
    symbol: str
    depth: int


Flags = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_frame = msgspec.json.Decoder(Annotated[list[Raw], msgspec.Meta(min_length=2)])
_message = msgspec.json.Decoder(Message)
_word = msgspec.json.Decoder(str)
_crc = msgspec.json.Decoder(Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)])
_level = msgspec.json.Decoder(Level)
_levels = msgspec.json.Decoder(list[Level])
_fill = msgspec.json.Decoder(Fill)
_fills = msgspec.json.Decoder(list[Fill])
_pairs = msgspec.json.Decoder(tuple[Annotated[list[str], msgspec.Meta(min_length=1)]])


class BitfinexDecoder(ChainedDecoder[SocketChain]):
    """Frames of one connection -> events."""

    def __init__(self, symbols: Mapping[str, str]) -> None:
        """``symbols`` maps exchange symbol -> symbol; empty: any symbol, under its canonical name."""
        super().__init__(symbols, SocketChain)
        self._channels: dict[int, Channel] = {}
        self._flags: int | None = None
        self._last: int | None = None

    def decode(self, frame: bytes, kind: str, symbol: str | None, url: str | None) -> list[AnyEvent]:
        if kind != "ws":
            return []
        try:
            if frame.lstrip()[:1] == b"{":
                return self._event(_message.decode(frame))
            return self._data(_frame.decode(frame))
        except (*UNREADABLE, ValueError) as error:
            # An update, or an event that changes what an id stands for: nothing said after it is certain.
            self._last = None
            return [Rejected.of(error), *self._unusable()]

    def save(self) -> object:
        channels = {str(number): list(channel) for number, channel in sorted(self._channels.items())}
        return {"chains": super().save(), "channels": channels, "flags": self._flags, "last": self._last}

    def load(self, state: object) -> None:
        saved = msgspec.convert(state, dict[str, Any])
        super().load(saved["chains"])
        channels = {int(at): Channel(*one) for at, one in saved["channels"].items()}
        served = set(self._symbols.values())
        self._channels = {at: one for at, one in channels.items() if not served or one.symbol in served}
        self._flags, self._last = saved["flags"], saved["last"]

    def _event(self, message: Message) -> list[AnyEvent]:
        if message.event == "subscribed":
            return self._subscribed(message)
        if message.event == "unsubscribed":
            return self._dropped(message.chanId, "unsubscribed")
        if message.event == "conf" and message.status == "OK" and message.flags != self._flags:
            self._flags, self._last = msgspec.convert(message.flags, Flags), None
            return self._unusable()
        if message.event == "info" and message.code is not None:
            paused = sorted(self._chains) if message.code == PAUSE else []
            lost = [event for symbol in paused for event in self._chain(symbol).lost(message.said, True)]
            return [Notice("notice", message.said), *lost]
        return []

    def _subscribed(self, message: Message) -> list[AnyEvent]:
        """Frames of what had that id before, or of an older subscription to the same, count no more."""
        name, kind = str(message.symbol), (message.channel, message.prec, message.freq)
        if kind not in KINDS or not name.startswith("t"):
            return self._dropped(message.chanId, "its channel is another's")
        symbol = self._symbols.get(name) if self._symbols else canonical(name)
        if symbol is None:
            return [Rejected.unknown(name), *self._dropped(message.chanId, "its channel is another's")]
        channel = Channel(str(message.channel), symbol, natural(str(message.len)))
        older = [number for number, one in self._channels.items() if one[:2] == channel[:2]]
        gone = [self._dropped(number, "subscribed anew") for number in (message.chanId, *older)]
        self._channels[message.chanId] = channel
        return [event for events in gone for event in events]

    def _dropped(self, number: int, detail: str) -> list[AnyEvent]:
        """An id stands for nothing any more: Lost, of the book it stood for."""
        channel = self._channels.pop(number, None)
        if channel is None or channel.name != "book":
            return []
        return self._chain(channel.symbol).lost(detail, renewing=True)

    def _data(self, parts: list[Raw]) -> list[AnyEvent]:
        """``[id, payload, …]`` or ``[id, word, payload, …]``, then sequence number and time as the flags say."""
        number, word = natural(text_of(parts[0])), None
        payload, rest = parts[1], parts[2:]
        if text_of(payload).startswith('"'):
            word = _word.decode(payload)
            if word != "hb" and len(parts) > 2:
                payload, rest = parts[2], parts[3:]
        events, time_us = self._counted(rest)
        channel = self._channels.get(number)
        if channel is None or word == "hb":
            return events  # a heartbeat may come before `subscribed`
        try:
            if channel.name == "trades":
                return events + self._trades(channel.symbol, word, payload)
            return events + self._book(channel, word, payload, time_us)
        except (*UNREADABLE, ValueError) as error:
            events.append(msgspec.structs.replace(Rejected.of(error), symbol=channel.symbol))
            return events + (self._unusable([channel.symbol]) if channel.name == "book" else [])

    def _counted(self, rest: list[Raw]) -> tuple[list[AnyEvent], int | None]:
        """Lost, of all books, if the frame is out of turn; and its time. Recordings may not have begun with flags."""
        numbered, stamped = bool(rest) or self._last is not None, len(rest) > 1
        if self._flags is not None:
            numbered, stamped = bool(self._flags & SEQ_ALL), bool(self._flags & TIMESTAMP)
        if len(rest) < numbered + stamped:
            raise ValueError("a frame without sequence number or time")
        time_us = clamp_us(natural(text_of(rest[numbered])) * 1000) if stamped else None
        last, self._last = self._last, natural(text_of(rest[0])) if numbered else None
        if last is None or self._last is None or self._last == last + 1:
            return [], time_us
        detail = f"expected {last + 1}, got {self._last}"
        return [event for _, chain in sorted(self._chains.items()) for event in chain.lost(detail)], time_us

    def _book(self, of: Channel, word: str | None, payload: Raw, time_us: int | None) -> list[AnyEvent]:
        symbol, chain = of.symbol, self._chain(of.symbol)
        if word == "cs":
            told = _crc.decode(payload)
            return chain.delta(Delta(symbol, [], [], None, None, time_us, told), None)
        if word is not None:
            raise ValueError(f"a book frame {word[:20]!r}")
        if bytes(payload)[1:].lstrip()[:1] not in (b"[", b"]"):
            bids, asks = _sides([_level.decode(payload)])
            return chain.delta(Delta(symbol, bids, asks, None, None, time_us), None)
        rows = _levels.decode(payload)
        if not all(row.count for row in rows):
            raise ValueError("a removal in a snapshot")
        bids, asks = _sides(rows)
        return chain.snapshot(Snapshot(symbol, bids, asks, None, time_us, depth=of.depth))

    @staticmethod
    def _trades(symbol: str, word: str | None, payload: Raw) -> list[AnyEvent]:
        """Each trade comes as ``te`` and once more as ``tu``, which is left; a snapshot has the newest first."""
        if word == "te":
            return [_trade(symbol, _fill.decode(payload), False)]
        if word is None:
            return [_trade(symbol, fill, True) for fill in reversed(_fills.decode(payload))]
        return []


def _sides(rows: Iterable[Level]) -> tuple[Levels, Levels]:
    """Bids and asks: price as the exchange writes it, and the size without the sign that tells the side."""
    sides: tuple[list[tuple[str, str]], list[tuple[str, str]]] = ([], [])
    for row in rows:
        minus, size = signed_size(row.amount)
        if is_zero(size) or (not row.count and size != "1"):
            raise ValueError(f"an amount of {size!r} for {row.count} orders")
        sides[minus].append((price_text(bytes(row.price)), size if row.count else "0"))
    return sides


def _trade(symbol: str, fill: Fill, history: bool) -> AnyEvent:
    sells, size = signed_size(fill.amount)
    if is_zero(size):
        return Rejected.empty_trade(size, symbol)
    price, side = PLAIN_PRICES[text_of(fill.price)], "sell" if sells else "buy"
    return Trade(symbol, price, size, side, str(fill.id), clamp_us(fill.mts * 1000), history)


def checksum(bids: Levels, asks: Levels) -> int:
    """CRC32, signed, of the best 25 levels, bid and ask in turn, price:amount of each; the amounts of asks negative."""
    parts: list[str] = []
    for bid, ask in zip_longest(bids, asks):
        parts += bid or ()
        parts += (ask[0], f"-{ask[1]}") if ask else ()
    value = crc32(":".join(parts).encode())
    return value - 2**32 if value >= 2**31 else value


def canonical(name: str) -> str:
    """Our symbol of ``tBTCUST`` or ``tDOGE:USD``."""
    base, colon, quote = name.removeprefix("t").partition(":")
    if not colon and len(base) == 6:
        base, quote = base[:3], base[3:]
    return _OURS.get(base, base) + _OURS.get(quote, quote)


class BitfinexSession:
    """One socket: the flags first; once they are confirmed, book and trades of each symbol of the slot."""

    def __init__(self, symbols: Mapping[str, str], endpoints: Endpoints) -> None:
        """``symbols`` maps exchange symbol -> symbol."""
        self._symbols = symbols
        self._names = {symbol: name for name, symbol in symbols.items()}
        self._url = endpoints.ws_url
        self._ids: dict[tuple[str, str], int] = {}
        self._confirmed = False
        self._paused_until: float | None = None
        self._renewals = Renewals()
        self._awaited = Awaited()
        self.heard = by_number(self._ids, CHANNELS, symbols)

    def connect(self, answer: bytes | None = None) -> Connect:
        return Connect(f"{self._url}/ws/2")

    def opened(self, now: float) -> list[Command]:
        return [_send(event="conf", flags=FLAGS)]

    def received(self, frame: bytes, now: float) -> list[Command]:
        """See `Session.received`. Data frames are arrays, all else is an object."""
        if frame.startswith(b"["):
            return []
        try:
            message = _message.decode(frame)
        except UNREADABLE:
            return []
        answer = {"info": self._info, "conf": self._conf, "subscribed": self._subscribed,
                  "unsubscribed": self._unsubscribed, "error": self._refused}.get(str(message.event))  # fmt: skip
        return [] if answer is None else answer(message, now)

    def timer(self, now: float) -> list[Command]:
        if self._paused_until is not None:
            return [Farewell("a pause without an end")] if now >= self._paused_until else []
        late = [("book", name) for name in self._renewals.overdue(now)]
        for one in late:
            self._ids.pop(one, None)
        return [self._subscribe(*one, now) for one in late + self._awaited.overdue(now)]

    def resync(self, symbol: str, reason: str, now: float, age_seconds: float = 0.0) -> list[Command]:
        """See `Session.resync`: only a new subscription brings a snapshot. One that is asked for will bring it."""
        name = self._names.get(symbol, "")
        number = self._ids.get(("book", name))
        if number is None or self._paused_until is not None:
            return []
        renewed = self._renewals.begin(name, now, age_seconds)
        return [_send(event="unsubscribe", chanId=number)] if renewed else []

    def again(self, symbol: str, channel: str, now: float) -> list[Command]:
        if channel == "book":
            return self.resync(symbol, "stale", now)
        number = self._ids.get(("trades", self._names[symbol]))
        return [] if number is None else [_send(event="unsubscribe", chanId=number)]

    def _info(self, message: Message, now: float) -> list[Command]:
        """After a pause all has to be subscribed anew: by a new connection, which begins with nothing."""
        if message.version not in (None, 2):
            return [Refused(None, f"version {message.version}, read here: 2")]
        if isinstance(message.platform, dict) and message.platform.get("status") == 0:
            return [Refused(None, "the exchange is in maintenance")]
        if message.code == PAUSE:
            self._paused_until = now + PAUSE_SECONDS
        return [Farewell(message.said)] if message.code in (RESTART, RESUME) else []

    def _conf(self, message: Message, now: float) -> list[Command]:
        flags = message.flags if isinstance(message.flags, int) else 0
        if message.status != "OK" or flags & FLAGS != FLAGS:
            return [Refused(None, f"flags {FLAGS}: {message.status} {message.flags}")]
        wanted, self._confirmed = () if self._confirmed else self._symbols, True
        return [self._subscribe(channel, name, now) for name in wanted for channel in CHANNELS]

    def _subscribed(self, message: Message, now: float) -> list[Command]:
        channel, name = str(message.channel), str(message.symbol)
        if channel not in CHANNELS or name not in self._symbols:
            return []
        self._ids[channel, name] = message.chanId
        self._awaited.answered(channel, name)
        return [Acknowledged((self._symbols[name],), (CHANNELS[channel],))]

    def _unsubscribed(self, message: Message, now: float) -> list[Command]:
        """Asked for or not: it has to be subscribed."""
        for channel, name in [one for one, number in self._ids.items() if number == message.chanId]:
            del self._ids[channel, name]
            if channel == "book":
                self._renewals.confirmed(name)
            return [self._subscribe(channel, name, now)]
        return []

    def _refused(self, message: Message, now: float) -> list[Command]:
        """What it is about is told by what was sent along, else by channel and symbol; else it is the whole request."""
        channel, _, name = str(message.subId or f"{message.channel} {message.symbol}").partition(" ")
        if message.code in (UNSUBSCRIBE_FAILED, NOT_SUBSCRIBED):  # then it can be subscribed now
            return self._unsubscribed(message, now)
        if message.code == DUPLICATE and (channel, name) in self._ids:
            return []  # it was confirmed just now
        is_symbol = message.code == INVALID and str(message.msg).startswith("symbol")
        if name in self._symbols and (is_symbol or message.code == UNKNOWN_PAIR):
            self._awaited.answered(None, name)
            return [Refused(self._symbols[name], message.said, not_listed=True)]
        return [Refused(None, message.said)]

    def _subscribe(self, channel: str, name: str, now: float) -> Command:
        self._awaited.asked(channel, [name], now)
        if channel == "book":
            self._renewals.subscribed([name], now)
        return _send(
            event="subscribe", channel=channel, symbol=name, subId=f"{channel} {name}", **PARAMETERS[channel]
        )


def _send(**fields: object) -> Send:
    return Send(json.dumps(fields, separators=(",", ":")))


class Bitfinex:
    """The exchange."""

    name = "bitfinex"
    endpoints = Endpoints("wss://api-pub.bitfinex.com", "https://api-pub.bitfinex.com")
    symbols_per_slot = 12  # two channels each, of the 25 that a connection may have
    silence_seconds = 35.0  # each channel is told to be alive after 15 s of quiet
    checksum: Checksum | None = Checksum(CHECKSUM_LEVELS, checksum)
    limits = Limits(connects=Rate(16, 62.0))  # 20 a minute

    def exchange_symbol(self, symbol: str) -> str:
        base, quote = (CURRENCIES.get(name, name) for name in split(symbol))
        return f"t{base}{'' if len(base) == len(quote) == 3 else ':'}{quote}"

    def listing(self, rest_url: str) -> str:
        return f"{rest_url}/v2/conf/pub:list:pair:exchange"

    def listed(self, body: bytes) -> dict[str, str]:
        try:
            (pairs,) = _pairs.decode(body)
        except UNREADABLE as error:
            raise ValueError(f"no list of pairs: {error}") from error
        return {canonical(f"t{pair}"): f"t{pair}" for pair in pairs}

    def session(self, symbols: Mapping[str, str], endpoints: Endpoints) -> Session:
        return BitfinexSession(symbols, endpoints)

    def decoder(self, symbols: Mapping[str, str]) -> Decoder:
        return BitfinexDecoder(symbols)


EXCHANGE: Exchange = Bitfinex()
