"""OKX v5: books (400 levels a side), trades. Protocol: EXCHANGES.md §5.

Continuity: `SocketChain` by prevSeqId == last seqId (numbers may go down: only the link counts); besides, the checksum
where it is not 0. Seen on the wire: books of 2022 (checksums, no sequence), trades of 2026. Never seen: books with
sequence numbers, maintenance resets, notices, error 60018 (its text is from clients' logs).
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Annotated
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
    Farewell,
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
from COBY.text import PLAIN_PRICES, SIZES, is_zero
from COBY.utils.intervals import clamp_us

DEPTH = 400
CHECKSUM_LEVELS = 25
CHANNELS = {"books": "book", "trades": "trade"}
QUIET_SECONDS = 20.0
"""Without any frame for 30 s the exchange closes; the text ``ping`` keeps the connection."""
HEARD = rb'^\{"arg":\{"channel":"(?P<channel>books|trades)","instId":"(?P<name>[^"]+)"'
HOUR_SECONDS = 3600.0
OPERATIONS_PER_HOUR = 440
"""480 subscriptions and unsubscriptions an hour are allowed on a connection; before that, another one is made."""
UPGRADE = "64008"
NOT_LISTED = "60018"

SequenceId = Annotated[int, msgspec.Meta(ge=-1, le=2**63 - 1)]
Row = Annotated[list[str], msgspec.Meta(min_length=2)]
"""price, size, a deprecated field, number of orders."""


class Argument(msgspec.Struct, gc=False):
    """What a frame belongs to."""

    channel: str = ""
    instId: str = ""  # noqa: N815 - the exchange's own name


class BookData(msgspec.Struct, gc=False):
    """One snapshot or update; ``ts`` milliseconds."""

    asks: list[Row]
    bids: list[Row]
    ts: str
    checksum: int = 0
    prevSeqId: SequenceId | None = None  # noqa: N815
    seqId: SequenceId | None = None  # noqa: N815


class Books(msgspec.Struct, gc=False):
    """A frame of ``books``."""

    arg: Argument
    action: str
    data: list[BookData]


class TradeData(msgspec.Struct, gc=False):
    """One trade, of one taker's order at one price: its id is that of the last fill."""

    instId: str  # noqa: N815
    tradeId: str  # noqa: N815
    px: str
    sz: str
    side: str
    ts: str


class Trades(msgspec.Struct, gc=False):
    """A frame of ``trades``."""

    arg: Argument
    data: list[TradeData]


class Other(msgspec.Struct):
    """What else comes: acknowledgements, errors, notices, other channels."""

    arg: Argument | None = None
    event: str | None = None
    code: str | None = None
    msg: str | None = None


_books = msgspec.json.Decoder(Books)
_trades = msgspec.json.Decoder(Trades)
_other = msgspec.json.Decoder(Other)


class OkxDecoder(ChainedDecoder[SocketChain]):
    """Frames of one connection -> events."""

    separator = "-"

    def __init__(self, symbols: Mapping[str, str]) -> None:
        """``symbols`` maps exchange symbol -> symbol; empty: any symbol, under its canonical name."""
        super().__init__(symbols, SocketChain)

    def decode(self, frame: bytes, kind: str, symbol: str | None, url: str | None) -> list[AnyEvent]:
        if kind != "ws" or frame == b"pong":
            return []
        try:
            if frame.startswith(b'{"arg":{"channel":"trades",'):
                return [self._trade(data) for data in _trades.decode(frame).data]
            if frame.startswith(b'{"arg":{"channel":"books",'):
                return self._book_frame(_books.decode(frame))
            return self._other_frame(frame)
        except (*UNREADABLE, ValueError) as error:
            return [Rejected.of(error), *self._missing(frame)]

    def _book_frame(self, message: Books) -> list[AnyEvent]:
        symbol = self._name(message.arg.instId)
        if symbol is None:
            return [Rejected.unknown(message.arg.instId)]
        chain = self._chain(symbol)
        if message.action not in ("snapshot", "update"):
            rejected = Rejected("frame.shape", f"action {message.action!r}", symbol)
            return [rejected, *chain.lost("an unusable update")]
        try:  # all of it before the chain moves
            found = [_event(symbol, message.action, data) for data in message.data]
        except ValueError as error:
            return [Rejected("frame.number", str(error), symbol), *chain.lost("an unusable update")]
        events: list[AnyEvent] = []
        for event, data in zip(found, message.data, strict=True):
            if isinstance(event, Snapshot):
                events += chain.snapshot(event)
            elif event.checksum is None and (data.seqId is None or data.prevSeqId is None):
                events += chain.lost("nothing proves it")
            else:
                events += chain.delta(event, data.prevSeqId)
        return events

    def _missing(self, frame: bytes) -> list[AnyEvent]:
        """Lost, of the books that an unreadable frame was an update of. Any other is missed by the next link."""
        head = frame[:200]
        if b'"books"' not in head:
            return []
        named = [name for name in self._symbols if f'"{name}"'.encode() in head]
        return self._unusable([self._symbols[name] for name in named] or None)

    def _trade(self, data: TradeData) -> AnyEvent:
        symbol = self._name(data.instId)
        if symbol is None:
            return Rejected.unknown(data.instId)
        if data.side not in ("buy", "sell"):
            return Rejected("frame.shape", f"side {data.side!r}", symbol)
        try:
            price, time_us = PLAIN_PRICES[data.px], _time_us(data.ts)
            SIZES[data.sz]
        except ValueError as error:
            return Rejected("frame.number", str(error), symbol)
        if is_zero(data.sz):
            return Rejected.empty_trade(data.sz, symbol)
        return Trade(symbol, price, data.sz, data.side, data.tradeId, time_us)

    def _other_frame(self, frame: bytes) -> list[AnyEvent]:
        """Other spellings of our channels, acknowledgements, notices, channels that are not ours."""
        if not_ours(frame):
            return []
        message = _other.decode(frame)
        if message.event == "notice":
            return [Notice("notice", f"{message.code}: {message.msg}")]
        if message.event == "unsubscribe" and message.arg is not None and message.arg.channel == "books":
            symbol = self._name(message.arg.instId)
            return [] if symbol is None else self._chain(symbol).lost("unsubscribed", renewing=True)
        if message.event is not None or message.arg is None:
            return []
        if message.arg.channel == "books":
            return self._book_frame(_books.decode(frame))
        if message.arg.channel == "trades":
            return [self._trade(data) for data in _trades.decode(frame).data]
        return []


def _event(symbol: str, action: str, data: BookData) -> Snapshot | Delta:
    bids, asks, time_us = _levels(data.bids), _levels(data.asks), _time_us(data.ts)
    told = data.checksum or None
    if action == "snapshot":
        return Snapshot(symbol, bids, asks, data.seqId, time_us, depth=DEPTH, checksum=told)
    return Delta(symbol, bids, asks, None, data.seqId, time_us, told)


def _levels(rows: list[Row]) -> Levels:
    for row in rows:
        SIZES[row[1]]
    return [(PLAIN_PRICES[row[0]], row[1]) for row in rows]


def _time_us(milliseconds: str) -> int:
    return clamp_us(int(milliseconds) * 1000)


def checksum(bids: Levels, asks: Levels) -> int:
    """CRC32, signed, of the best 25 levels, bid and ask in turn, price:size of each, as the exchange prints them."""
    parts: list[str] = []
    for place in range(max(len(bids), len(asks))):
        for side in (bids, asks):
            if place < len(side):
                parts += side[place]
    value = crc32(":".join(parts).encode())
    return value - 2**32 if value >= 2**31 else value


class OkxSession:
    """One socket on the public endpoint; a request per symbol, so that a bad one spoils no other."""

    def __init__(self, symbols: Mapping[str, str], endpoints: Endpoints) -> None:
        """``symbols`` maps exchange symbol -> symbol."""
        self._symbols = symbols
        self._names = {symbol: name for name, symbol in symbols.items()}
        self._url = endpoints.ws_url
        self._heard = 0.0
        self._pinged = False
        self._operations: deque[float] = deque()
        self._renewals = Renewals()
        self._awaited = Awaited()
        self.heard = by_head(HEARD, CHANNELS, symbols)

    def connect(self, answer: bytes | None = None) -> Connect:
        return Connect(f"{self._url}/ws/v5/public")

    def opened(self, now: float) -> list[Command]:
        self._heard = now
        return [command for name in self._symbols for command in self._ask("subscribe", CHANNELS, name, now)]

    def received(self, frame: bytes, now: float) -> list[Command]:
        """See `Session.received`. Data frames say nothing of an event."""
        self._heard, self._pinged = now, False
        if b'"event"' not in frame[:200]:
            return []
        try:
            return self._reply(_other.decode(frame), now)
        except UNREADABLE:
            return []

    def timer(self, now: float) -> list[Command]:
        commands: list[Command] = []
        for name in self._renewals.overdue(now):
            commands += self._ask("subscribe", ("books",), name, now)
        for channel, name in self._awaited.overdue(now):
            commands += self._ask("subscribe", (channel,), name, now)
        if now - self._heard >= QUIET_SECONDS and not self._pinged:
            self._pinged = True
            commands.append(Send("ping"))
        return commands

    def resync(self, symbol: str, reason: str, now: float, age_seconds: float = 0.0) -> list[Command]:
        """See `Session.resync`: only a new subscription brings a snapshot."""
        name = self._names.get(symbol)
        if name is None or not self._renewals.begin(name, now, age_seconds):
            return []
        return self._ask("unsubscribe", ("books",), name, now)

    def again(self, symbol: str, channel: str, now: float) -> list[Command]:
        if channel == "book":
            return self.resync(symbol, "stale", now)
        name = self._names[symbol]
        return [
            *self._ask("unsubscribe", ("trades",), name, now),
            *self._ask("subscribe", ("trades",), name, now),
        ]

    def _reply(self, message: Other, now: float) -> list[Command]:
        if message.event == "notice" and message.code == UPGRADE:
            return [Farewell(message.msg or UPGRADE)]
        if message.event == "error":
            return [self._refusal(message)]
        if message.event == "channel-conn-count-error":
            return [Refused(None, message.msg or message.event)]
        if message.arg is None or message.arg.instId not in self._symbols:
            return []
        name, channel = message.arg.instId, message.arg.channel
        if message.event == "subscribe" and channel in CHANNELS:
            self._awaited.answered(channel, name)
            return [Acknowledged((self._symbols[name],), (CHANNELS[channel],))]
        if message.event == "unsubscribe" and channel == "books" and self._renewals.confirmed(name):
            return self._ask("subscribe", ("books",), name, now)
        return []

    def _refusal(self, message: Other) -> Refused:
        """60018 names the instrument that does not exist; any other error is about the request as a whole."""
        text = message.msg or ""
        reason = f"{message.code}: {text}"
        if message.code == NOT_LISTED:
            for name, symbol in self._symbols.items():
                if f"instId:{name} " in text.replace(",", " ") + " ":
                    self._awaited.answered(None, name)
                    return Refused(symbol, reason, not_listed=True)
        return Refused(None, reason)

    def _ask(self, operation: str, channels: Iterable[str], name: str, now: float) -> list[Command]:
        if operation == "subscribe":
            for channel in channels:
                self._awaited.asked(channel, [name], now)
            if "books" in channels:
                self._renewals.subscribed([name], now)
        arguments = [{"channel": channel, "instId": name} for channel in channels]
        while self._operations and now - self._operations[0] > HOUR_SECONDS:
            self._operations.popleft()
        self._operations.extend(now for _ in arguments)
        if len(self._operations) > OPERATIONS_PER_HOUR:
            return [Farewell("the connection's subscriptions of this hour are used up")]
        return [Send(json.dumps({"op": operation, "args": arguments}, separators=(",", ":")))]


class Okx:
    """The exchange."""

    name = "okx"
    endpoints = Endpoints("wss://ws.okx.com:8443", "https://www.okx.com")
    symbols_per_slot = 20
    silence_seconds = 60.0  # a quiet book is kept alive once a minute, and our ping is answered before
    checksum: Checksum | None = Checksum(CHECKSUM_LEVELS, checksum)
    limits = Limits(connects=Rate(2, 1.5))  # 3 a second

    def exchange_symbol(self, symbol: str) -> str:
        return "-".join(split(symbol))

    def listing(self, rest_url: str) -> str:
        return f"{rest_url}/api/v5/public/instruments?instType=SPOT"

    def listed(self, body: bytes) -> dict[str, str]:
        found = [row for row in rows(body, "data") if row.text("state") == "live"]
        return {row.text("baseCcy") + row.text("quoteCcy"): row.text("instId") for row in found}

    def session(self, symbols: Mapping[str, str], endpoints: Endpoints) -> Session:
        return OkxSession(symbols, endpoints)

    def decoder(self, symbols: Mapping[str, str]) -> Decoder:
        return OkxDecoder(symbols)


EXCHANGE: Exchange = Okx()
