"""HTX, once Huobi: mbp.400 with REQ on /feed, trade.detail on /ws: two sockets. Protocol: EXCHANGES.md §6.

Each frame is gzip of JSON on its own. Continuity: `JoinedChain`: prevSeqNum == last seqNum; the snapshot is the answer
to a request on the same socket and is joined to the updates held for it.
Seen on the wire: gzip, pings, acknowledgements, trades (newest first within a frame), updates of mbp.20 and mbp.150
and a reply. Never seen: mbp.400 itself (its window is taken to be told as mbp.20's: what a better level pushes out is
not deleted), null replies, error replies, ``action`` close, the list of symbols.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import inf
from typing import Annotated, Any, Generic, TypeVar

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
    Levels,
    Refused,
    Rejected,
    Send,
    Session,
    Snapshot,
    Trade,
    not_ours,
)
from COBY.inflation import InflationError, inflated, opening
from COBY.joining import JoinedChain
from COBY.limits import Limits
from COBY.listings import rows
from COBY.pacing import Paced
from COBY.renewals import REPEAT_SECONDS, Awaited
from COBY.text import fixed_prices, fixed_sizes, is_zero
from COBY.utils.intervals import clamp_us

DEPTH = 400
BOOK, TRADES = f"mbp.{DEPTH}", "trade.detail"
CHANNELS = {BOOK: "book", TRADES: "trade"}
SOCKETS = {BOOK: 0, TRADES: 1}
SNAPSHOT = "snapshot"
HEAD_BYTES = 64
HEARD = rb'^\{"ch":"market\.(?P<name>[^".]+)\.(?P<channel>mbp|trade)'
SUBSCRIPTIONS = (4, 0.6)
"""So many in a time. 10 requests a second are allowed on a connection: two such times may arrive within one."""
SNAPSHOTS = (2, 0.75)
"""A few requests for a snapshot a second are answered, those beyond refused."""
RETRY_SECONDS = 1.0
"""A snapshot that came as null, or was refused, is asked for again so much later; one that was too old sooner."""
TOO_OLD_SECONDS = 0.5
OUTSTANDING_SECONDS = 2.0
UNKNOWN_SYMBOL = "invalid symbol"

Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 2)]
Data = TypeVar("Data")
Level = tuple[msgspec.Raw, msgspec.Raw]


class Tick(msgspec.Struct, gc=False, rename="camel"):
    """An update; a side without changes may be missing."""

    seq_num: Number
    prev_seq_num: Number
    bids: list[Level] | None = None
    asks: list[Level] | None = None


class Book(msgspec.Struct, gc=False, rename="camel"):
    """A whole book."""

    seq_num: Number
    bids: list[Level]
    asks: list[Level]


class Reply(msgspec.Struct, gc=False):
    """The answer to a request for a snapshot; its data can be null."""

    rep: str
    ts: int
    status: str = "ok"
    data: Book | None = None


class TradeData(msgspec.Struct, gc=False, rename="camel"):
    """One trade. ``id`` is a number of 27 digits, more than other clients' numbers hold; once it was a text."""

    ts: int
    amount: msgspec.Raw
    price: msgspec.Raw
    direction: str
    trade_id: Number | None = None
    id: msgspec.Raw = msgspec.Raw(b"")


class Deals(msgspec.Struct, gc=False):
    """The trades of a frame."""

    data: list[TradeData]


class Frame(msgspec.Struct, Generic[Data], gc=False):
    """A frame of one of our channels; ``ts`` milliseconds."""

    ch: str
    ts: int
    tick: Data


class Control(msgspec.Struct, rename={"code": "err-code", "text": "err-msg"}):
    """The head of any frame, and the whole of what is no data. Its fields may be anything."""

    ch: object = None
    rep: object = None
    subbed: object = None
    unsubbed: object = None
    ping: object = None
    action: object = None
    status: object = None
    id: object = None
    ts: object = None
    code: object = None
    text: object = None
    data: msgspec.Raw = msgspec.Raw(b"")


_updates = msgspec.json.Decoder(Frame[Tick])
_replies = msgspec.json.Decoder(Reply)
_trades = msgspec.json.Decoder(Frame[Deals])
_controls = msgspec.json.Decoder(Control)
_FAST = re.compile(rb'\{"ch":"market\.[a-z0-9]{1,40}\.(mbp\.400|trade\.detail)"')
_TOPIC = re.compile(r"market\.([a-z0-9]{1,40})\.([a-z0-9.]{1,40})", re.ASCII)
_NAMED = re.compile(rb'"(ch|rep|subbed|unsubbed)"\s*:\s*"market\.([^".]*)\.([^"]*)')
_NO_DATA = re.compile(rb'\s*\{\s*"(?:ping|id|status|action)"')
_TEXT_ID = re.compile(rb'"([0-9]{1,40})"')


def _topic(channel: object) -> tuple[str, str]:
    """The exchange's symbol and the kind of a channel of the spot market; empty texts for anything else."""
    found = _TOPIC.fullmatch(channel) if isinstance(channel, str) else None
    return (found[1], found[2]) if found else ("", "")


class HuobiDecoder(ChainedDecoder[RestChain]):
    """Frames of one connection, of both its sockets -> events."""

    def __init__(self, symbols: Mapping[str, str]) -> None:
        """``symbols`` maps exchange symbol -> symbol; empty: any symbol, under its canonical name."""
        super().__init__(symbols, JoinedChain)
        self._confirmed: dict[str, int] = {}
        """Symbol -> when its trades were confirmed, until the first of them."""

    def decode(self, frame: bytes, kind: str, symbol: str | None, url: str | None) -> list[AnyEvent]:
        if kind != "ws":
            return []
        try:
            text = inflated(frame)
        except InflationError as error:
            return [Rejected("frame.gzip", str(error)), *self._unusable()]
        try:
            found = _FAST.match(text)
            if found is None:
                return self._other(text)
            return self._trades(text) if found[1] == b"trade.detail" else self._update(text)
        except (*UNREADABLE, ValueError) as error:
            return [Rejected.of(error), *self._missing(text)]

    def save(self) -> object:
        return {"chains": super().save(), "confirmed": dict(sorted(self._confirmed.items()))}

    def load(self, state: object) -> None:
        saved = msgspec.convert(state, dict[str, dict[str, Any]])
        super().load(saved["chains"])
        self._confirmed = msgspec.convert(saved["confirmed"], dict[str, int])

    def _name(self, name: str) -> str | None:
        return self._symbols.get(name) if self._symbols else name.upper() or None

    def _other(self, text: bytes) -> list[AnyEvent]:
        """Other spellings of our channels, replies, acknowledgements, channels that are not ours."""
        if not_ours(text):
            return []
        head = _controls.decode(text)
        name, kind = _topic(head.ch or head.rep or head.subbed or head.unsubbed)
        if kind not in CHANNELS:
            return []
        if head.ch:
            return self._update(text) if kind == BOOK else self._trades(text)
        symbol = self._name(name)
        if symbol is None:
            return [Rejected.unknown(name)]
        if head.rep:
            return self._snapshot(_replies.decode(text), symbol) if kind == BOOK else []
        if head.unsubbed:
            return self._chain(symbol).lost("unsubscribed") if kind == BOOK else []
        if kind == TRADES and type(head.ts) is int:
            self._confirmed[symbol] = clamp_us(head.ts * 1000)
        return []

    def _missing(self, text: bytes) -> list[AnyEvent]:
        """Lost, of the books that a frame nobody can read may have been an update of."""
        found = _NAMED.search(text[:300])
        if found is None:
            return [] if _NO_DATA.match(text) else self._unusable()
        if found[1] != b"ch" or not found[3].startswith(b"mbp"):
            return []
        symbol = self._name(found[2].decode("ascii", "replace"))
        return [] if symbol is None else self._unusable([symbol])

    def _update(self, text: bytes) -> list[AnyEvent]:
        message = _updates.decode(text)
        name, _ = _topic(message.ch)
        symbol, tick = self._name(name), message.tick
        if symbol is None:
            return [Rejected.unknown(name)]
        first, last = tick.prev_seq_num + 1, tick.seq_num
        try:
            if last < tick.prev_seq_num:
                raise ValueError(f"seqNum {last} is before prevSeqNum {tick.prev_seq_num}")
            bids, asks = _levels(tick.bids or []), _levels(tick.asks or [])
        except ValueError as error:
            rejected = Rejected("frame.number", str(error), symbol)
            return [rejected, *self._chain(symbol).lost("an unusable update", last)]
        return self._chain(symbol).delta(Delta(symbol, bids, asks, first, last, clamp_us(message.ts * 1000)))

    def _snapshot(self, reply: Reply, symbol: str) -> list[AnyEvent]:
        book = reply.data
        if book is None or reply.status != "ok":
            return []  # its session asks again
        try:
            bids, asks = _levels(book.bids), _levels(book.asks)
        except ValueError as error:
            return [Rejected("frame.number", str(error), symbol)]
        time_us = clamp_us(reply.ts * 1000)
        return self._chain(symbol).snapshot(Snapshot(symbol, bids, asks, book.seq_num, time_us, depth=DEPTH))

    def _trades(self, text: bytes) -> list[AnyEvent]:
        """Oldest first: the exchange sends them the other way round.

        On each subscription the last trade is sent once more: it is no later than the acknowledgement.
        """
        message = _trades.decode(text)
        (name, _), data = _topic(message.ch), message.tick.data
        symbol = self._name(name)
        if symbol is None:
            return [Rejected.unknown(name)]
        confirmed_us = self._confirmed.pop(symbol, -1) if data else -1
        return [_trade(symbol, one, confirmed_us) for one in sorted(data, key=lambda one: one.trade_id or 0)]


def _trade(symbol: str, data: TradeData, confirmed_us: int) -> AnyEvent:
    """``confirmed_us``: what was traded until then is history."""
    if data.direction not in ("buy", "sell"):
        return Rejected("frame.shape", f"direction {data.direction[:40]!r}", symbol)
    text = _TEXT_ID.fullmatch(data.id)
    trade_id = text[1].decode() if text and data.trade_id is None else data.trade_id
    if trade_id is None:
        return Rejected("frame.shape", "a trade without tradeId", symbol)
    try:
        price, size = fixed_prices(0)[bytes(data.price)], fixed_sizes(0)[bytes(data.amount)]
    except ValueError as error:
        return Rejected("frame.number", str(error), symbol)
    if is_zero(size):
        return Rejected.empty_trade(size, symbol)
    time_us = clamp_us(data.ts * 1000)
    return Trade(symbol, price, size, data.direction, str(trade_id), time_us, time_us <= confirmed_us)


def _levels(levels: list[Level]) -> Levels:
    """Numbers may have exponents and needless zeros: one text for one price."""
    prices, sizes = fixed_prices(0), fixed_sizes(0)
    return [(prices[bytes(price)], sizes[bytes(size)]) for price, size in levels]


class HuobiSession:
    """One connection of two sockets: books and their snapshots on the first, trades on the second."""

    def __init__(self, symbols: Mapping[str, str], endpoints: Endpoints) -> None:
        """``symbols`` maps exchange symbol -> symbol."""
        self._symbols = symbols
        self._names = {symbol: name for name, symbol in symbols.items()}
        self._url = endpoints.ws_url
        # Errors name nothing but the number of their request.
        asks = [(kind, name) for name in symbols for kind in (BOOK, TRADES, SNAPSHOT)]
        self._requests = {str(number): ask for number, ask in enumerate(asks, start=1)}
        self._ids = {ask: number for number, ask in self._requests.items()}
        self._paced = {kind: Paced(*SUBSCRIPTIONS) for kind in CHANNELS}
        self._paced[SNAPSHOT] = Paced(*SNAPSHOTS)
        self._awaited = Awaited()
        self._due: dict[str, float] = {}
        """When to ask for the snapshots that have not come."""
        self._asked: dict[str, float] = {}
        self.heard = by_head(HEARD, {"mbp": "book", "trade": "trade"}, symbols, head=opening)

    def connect(self, answer: bytes | None = None) -> Connect:
        return Connect(f"{self._url}/feed", (f"{self._url}/ws",))

    def opened(self, now: float) -> list[Command]:
        for kind in CHANNELS:
            for name in self._symbols:
                self._subscribe(kind, name, now)
        return self._go(now)

    def received(self, frame: bytes, now: float) -> list[Command]:
        """See `Session.received`. Of data frames, which begin with their channel, only the opening is inflated."""
        if opening(frame, HEAD_BYTES).startswith(b'{"ch"'):
            return []
        try:
            return [*self._answer(_controls.decode(inflated(frame)), now), *self._go(now)]
        except (*UNREADABLE, InflationError):
            return []

    def timer(self, now: float) -> list[Command]:
        for kind, name in self._awaited.overdue(now):
            self._subscribe(kind, name, now)
        return self._go(now)

    def resync(self, symbol: str, reason: str, now: float, age_seconds: float = 0.0) -> list[Command]:
        """See `Session.resync`: another snapshot is asked for; the subscription stays."""
        name = self._names.get(symbol)
        if name is None:
            return []
        ago = now - self._asked.get(name, -inf)
        if ago >= (max(age_seconds, OUTSTANDING_SECONDS) if name in self._due else age_seconds):
            self._due[name] = now + (TOO_OLD_SECONDS if reason == "snapshot_too_old" else 0.0)
        return self._go(now)

    def again(self, symbol: str, channel: str, now: float) -> list[Command]:
        """See `Session.again`. A second subscription is confirmed like the first; then the snapshot is asked for."""
        self._subscribe({"book": BOOK, "trade": TRADES}[channel], self._names[symbol], now)
        return self._go(now)

    def _subscribe(self, kind: str, name: str, now: float) -> None:
        self._awaited.asked(kind, [name], now)
        self._ask("sub", kind, kind, name)

    def _ask(self, verb: str, kind: str, channel: str, name: str) -> None:
        request = {verb: f"market.{name}.{channel}", "id": self._ids[kind, name]}
        self._paced[kind].add(json.dumps(request, separators=(",", ":")), socket=SOCKETS[channel])

    def _go(self, now: float) -> list[Command]:
        """What may be sent now."""
        for name in [name for name, due in self._due.items() if now >= due]:
            self._due[name], self._asked[name] = now + REPEAT_SECONDS, now
            self._ask("req", SNAPSHOT, BOOK, name)
        return [command for paced in self._paced.values() for command in paced.due(now)]

    def _answer(self, message: Control, now: float) -> list[Command]:
        if type(message.ping) is int:
            return [Send(f'{{"pong":{message.ping}}}')]
        if message.action == "close":
            return [Farewell("close")]
        if message.status == "error":
            return self._refused(message, now)
        name, kind = _topic(message.subbed or message.rep)
        if name not in self._symbols or kind not in CHANNELS:
            return []
        if message.rep is not None:
            if bytes(message.data) in (b"", b"null"):
                self._due[name] = now + RETRY_SECONDS
            else:
                self._due.pop(name, None)
            return []
        self._awaited.answered(kind, name)
        if kind == BOOK:
            self._due[name] = now
        return [Acknowledged((self._symbols[name],), (CHANNELS[kind],))]

    def _refused(self, message: Control, now: float) -> list[Command]:
        """By the number of the request; an error without one that we gave is about the connection as a whole."""
        reason = f"{message.code}: {message.text}"
        kind, name = self._requests.get(str(message.id), ("", ""))
        if not name:
            return [Refused(None, reason)]
        if UNKNOWN_SYMBOL in str(message.text):
            self._awaited.answered(None, name)
            self._due.pop(name, None)
            return [Refused(self._symbols[name], reason, not_listed=True)]
        if kind == SNAPSHOT:
            self._due[name] = now + RETRY_SECONDS  # too many at once, mostly
            return []
        return [Refused(self._symbols[name], reason)]


class Huobi:
    """The exchange."""

    name = "huobi"
    endpoints = Endpoints("wss://api.huobi.pro", "https://api.huobi.pro")
    symbols_per_slot = 20  # some 100 channels are allowed; so many snapshots come within eight seconds
    silence_seconds = 15.0  # each socket is pinged every five
    checksum: Checksum | None = None
    limits = Limits(sockets=2)  # messages are limited by connection: see the session

    def exchange_symbol(self, symbol: str) -> str:
        return symbol.lower()

    def listing(self, rest_url: str) -> str:
        return f"{rest_url}/v1/common/symbols"

    def listed(self, body: bytes) -> dict[str, str]:
        found = [row for row in rows(body, "data") if row.text("state") == "online"]
        return {
            (row.text("base-currency") + row.text("quote-currency")).upper(): row.text("symbol")
            for row in found
        }

    def session(self, symbols: Mapping[str, str], endpoints: Endpoints) -> Session:
        return HuobiSession(symbols, endpoints)

    def decoder(self, symbols: Mapping[str, str]) -> Decoder:
        return HuobiDecoder(symbols)


EXCHANGE: Exchange = Huobi()
