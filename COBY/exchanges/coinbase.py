"""Coinbase Advanced Trade: level2 (the whole book), market_trades, heartbeats. Protocol: EXCHANGES.md §2 A.

Continuity: `sequence_num` counts every message of the connection, whatever its channel (`Counted`); a message missing
blinds all its books. Within that a `SocketChain` without numbers: books have none of their own.
Seen on the wire, in single frames: trades, heartbeats, acknowledgements. Seen in documentation only: level2. Never
seen: a gap, an unsubscription, a second snapshot on the same connection, refusals (the older feed's text is
``Failed to subscribe``, ``… is not a valid product``), whether an error is counted (here: it has no number). What an
unsubscribed book might still send behind its next snapshot can't be told from the new one's updates: the session
subscribes only when the unsubscription was answered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from COBY.asking import InTurn, Key, Request
from COBY.channels import by_head
from COBY.continuity import ChainedDecoder, SocketChain
from COBY.counted import Counted
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
    Refused,
    Rejected,
    Repeated,
    Session,
    Snapshot,
    Trade,
    not_ours,
)
from COBY.limits import Limits, Rate
from COBY.listings import rows
from COBY.pacing import Paced
from COBY.symbols import split
from COBY.text import PLAIN_PRICES, SIZES, is_zero
from COBY.utils.intervals import clamp_us, to_us

CHANNELS = {"level2": "book", "market_trades": "trade"}
BOOKS, TRADES, BEATS, LISTING = "l2_data", "market_trades", "heartbeats", "subscriptions"
"""The channels of messages. Those of level2 have another name."""
HEARTBEATS = Key(BEATS, BEATS)
TAKERS = {"BUY": "sell", "SELL": "buy"}
"""The maker's side -> the taker's."""
MESSAGES_PER_SECOND = 4
"""8 a second are allowed from an address, where two connections at a time are usual."""
SNAPSHOT_SECONDS = 20.0
"""So long a confirmed subscription may take to bring its snapshot, which has megabytes."""
OWN_USDC = ("USDT-USDC", "EURC-USDC")  # every other market in USDC is the one in USD
HEAD_BYTES = 300
HEARD = rb'^\{"channel":"(?P<channel>l2_data|market_trades)".*?"product_id":"(?P<name>[^"]+)"'
END = 2**63 - 1

Time = Annotated[datetime, msgspec.Meta(tz=True)]


class Level(msgspec.Struct, gc=False):
    """One change of a book; ``new_quantity`` is absolute."""

    side: Literal["bid", "offer"]
    price_level: str
    new_quantity: str
    event_time: str | None = None


class BookEvent(msgspec.Struct, gc=False):
    """One snapshot or update of one product."""

    type: str
    product_id: str
    updates: list[Level]


class TradeData(msgspec.Struct, gc=False):
    """One trade; ``side`` is the maker's."""

    trade_id: Annotated[str, msgspec.Meta(min_length=1)]
    product_id: str
    price: str
    size: str
    side: str
    time: Time


class TradesEvent(msgspec.Struct, gc=False):
    """Trades, the newest first."""

    type: Literal["snapshot", "update"]
    trades: list[TradeData]


class Listed(msgspec.Struct):
    """What the connection is subscribed to: products by channel."""

    subscriptions: dict[str, list[str]]


class Message(msgspec.Struct):
    """Any message, its events unread; ``type`` and what follows are an error's. All may be anything."""

    channel: Any = None
    sequence_num: Any = None
    events: msgspec.Raw = msgspec.Raw(b"[]")
    type: Any = None
    message: Any = None
    reason: Any = None


_message = msgspec.json.Decoder(Message)
_events = msgspec.json.Decoder(list[msgspec.Raw])
_book = msgspec.json.Decoder(BookEvent)
_trades = msgspec.json.Decoder(list[TradesEvent])
_listed = msgspec.json.Decoder(list[Listed])


def own_name(symbols: Mapping[str, str], product: str) -> str | None:
    """The name under which a product was asked for: BTC-USDC may be answered as BTC-USD, whose book it shares."""
    if product in symbols:
        return product
    name = f"{product}C"
    return name if product.endswith("-USD") and name in symbols and name not in OWN_USDC else None


def subscriptions_of(events: msgspec.Raw) -> dict[str, list[str]]:
    """Products by channel, of all events of an acknowledgement."""
    found: dict[str, list[str]] = {}
    for event in _listed.decode(events):
        for channel, products in event.subscriptions.items():
            found.setdefault(channel, []).extend(products)
    return found


class CoinbaseDecoder(ChainedDecoder[SocketChain]):
    """Frames of one connection -> events."""

    def __init__(self, symbols: Mapping[str, str]) -> None:
        """``symbols`` maps exchange symbol -> symbol; empty: any symbol, under its canonical name."""
        super().__init__(symbols, SocketChain)
        self._counted = Counted()
        self._subscribed: set[str] = set()

    def decode(self, frame: bytes, kind: str, symbol: str | None, url: str | None) -> list[AnyEvent]:
        if kind != "ws":
            return []
        try:
            if not_ours(frame):
                return []
            message = _message.decode(frame)
        except UNREADABLE as error:
            return self._unread(Rejected.of(error))
        number = message.sequence_num
        if message.channel is None and number is None:
            return []  # an error, or the older feed, whose messages have no channel
        if type(number) is not int or not 0 <= number < END:
            return self._unread(Rejected("frame.shape", "sequence_num, allowed: 0 to 2^63 - 2"))
        missing = self._counted.take(number)
        if missing is None and message.channel != TRADES:
            return [
                Repeated()
            ]  # of an old message trades count all the same: their ids tell whether they are new
        lost = self._lose(sorted(self._chains), missing) if missing else []
        try:
            return lost + self._read(message.channel, message.events)
        except UNREADABLE as error:
            harmless = message.channel in (TRADES, LISTING)
            return [*lost, Rejected.of(error), *([] if harmless else self._unusable())]

    def save(self) -> object:
        counted = msgspec.to_builtins(self._counted)
        return {"chains": super().save(), "counted": counted, "subscribed": sorted(self._subscribed)}

    def load(self, state: object) -> None:
        saved = msgspec.convert(state, dict[str, Any])
        super().load(saved["chains"])
        self._counted = msgspec.convert(saved["counted"], Counted)
        self._subscribed = msgspec.convert(saved["subscribed"], set[str])

    def _name(self, product: str) -> str | None:
        if not self._symbols:
            return product.replace("-", "")
        name = own_name(self._symbols, product)
        return None if name is None else self._symbols[name]

    def _unread(self, rejected: Rejected) -> list[AnyEvent]:
        """Nobody knows what it was, nor its number: the next message counts from where it is."""
        self._counted = Counted()
        return [rejected, *self._unusable()]

    def _lose(self, symbols: list[str], detail: str, renewing: bool = False) -> list[AnyEvent]:
        met = [self._chains[symbol] for symbol in symbols if symbol in self._chains]
        return [event for chain in met for event in chain.lost(detail, renewing)]

    def _read(self, channel: object, events: msgspec.Raw) -> list[AnyEvent]:
        if channel == BOOKS:
            return [event for raw in _events.decode(events) for event in self._book(raw)]
        if channel == TRADES:
            return [
                self._trade(event.type == "snapshot", data)
                for event in _trades.decode(events)
                for data in reversed(event.trades)
            ]
        if channel == LISTING:
            return self._listing(subscriptions_of(events))
        if isinstance(channel, str):
            return []
        return [Rejected("frame.shape", "a message that does not name its channel"), *self._unusable()]

    def _listing(self, listed: dict[str, list[str]]) -> list[AnyEvent]:
        """A book that is subscribed no longer gets no more updates.

        An acknowledgement lists all that is subscribed, so also the heartbeats, which our sessions ask for first. One
        without them is taken for a part of the list: as a whole one it would blind every other book.
        """
        books = {name for product in listed.get("level2", ()) if (name := self._name(product)) is not None}
        if BEATS not in listed:
            self._subscribed |= books
            return []
        gone, self._subscribed = sorted(self._subscribed - books), books
        return self._lose(gone, "unsubscribed", renewing=True)

    def _book(self, raw: msgspec.Raw) -> list[AnyEvent]:
        """One event of several, so that a broken one blinds the book that it names, and only else all."""
        try:
            event = _book.decode(raw)
        except UNREADABLE as error:
            product = _product(bytes(raw))
            symbol = None if product is None else self._name(product)
            named = None if product is None else [symbol] if symbol is not None else []
            return [Rejected.of(error), *self._unusable(named)]
        return self._change(event)

    def _change(self, event: BookEvent) -> list[AnyEvent]:
        symbol = self._name(event.product_id)
        if symbol is None:
            return [Rejected.unknown(event.product_id)]
        chain = self._chain(symbol)
        rejected = Rejected("frame.shape", f"type {event.type[:40]!r}", symbol)
        sides: dict[str, list[tuple[str, str]]] = {"bid": [], "offer": []}
        try:
            for level in event.updates:
                SIZES[level.new_quantity]
                sides[level.side].append((PLAIN_PRICES[level.price_level], level.new_quantity))
            time_us = _time_us(event.updates)
            if event.type == "snapshot":
                return chain.snapshot(Snapshot(symbol, sides["bid"], sides["offer"], None, time_us))
            if event.type == "update":
                return chain.delta(Delta(symbol, sides["bid"], sides["offer"], None, None, time_us), None)
        except ValueError as error:
            rejected = Rejected("frame.number", str(error), symbol)
        return [rejected, *chain.lost("an unusable update")]

    def _trade(self, history: bool, data: TradeData) -> AnyEvent:
        symbol = self._name(data.product_id)
        if symbol is None:
            return Rejected.unknown(data.product_id)
        if data.side not in TAKERS:
            return Rejected("frame.shape", f"side {data.side[:40]!r}", symbol)
        try:
            price = PLAIN_PRICES[data.price]
            SIZES[data.size]
        except ValueError as error:
            return Rejected("frame.number", str(error), symbol)
        if is_zero(data.size):
            return Rejected.empty_trade(data.size, symbol)
        time_us = clamp_us(to_us(data.time))
        return Trade(symbol, price, data.size, TAKERS[data.side], data.trade_id, time_us, history)


def _time_us(updates: list[Level]) -> int | None:
    """The time of the last change; None where there is none, or 1970 (snapshots) or the year 1 stands for none."""
    if not updates or updates[-1].event_time is None:
        return None
    time_us = to_us(msgspec.convert(updates[-1].event_time, Time))
    return clamp_us(time_us) if time_us > 0 else None


class CoinbaseSession:
    """One socket. A request for each product, so that a bad one spoils no other."""

    def __init__(self, symbols: Mapping[str, str], endpoints: Endpoints) -> None:
        """``symbols`` maps exchange symbol -> symbol."""
        self._symbols = symbols
        self._names = {symbol: name for name, symbol in symbols.items()}
        self._url = endpoints.ws_url
        self._asking = InTurn(_text, Paced(MESSAGES_PER_SECOND, 1.0))
        self._bare = set(symbols)
        """Books without a snapshot since they were last subscribed."""
        shared = {name[:-1]: symbol for name, symbol in symbols.items() if name.endswith("-USDC")}
        self.heard = by_head(HEARD, {"l2_data": "book", "market_trades": "trade"}, {**shared, **symbols})

    def connect(self, answer: bytes | None = None) -> Connect:
        return Connect(f"{self._url}/")

    def opened(self, now: float) -> list[Command]:
        """See `Session.opened`. The heartbeats first: they keep all else open."""
        # Both names of one book would end each other's subscription.
        shared = [name for name in self._symbols if name.endswith("-USDC") and name not in OWN_USDC]
        twice = [name for name in shared if name[:-1] in self._symbols]
        names = [name for name in self._symbols if name not in twice]
        for key in (HEARTBEATS, *(Key(channel, name) for name in names for channel in CHANNELS)):
            self._asking.subscribe(key, now)
        refused = [
            Refused(self._symbols[name], f"{name[:-1]} has its book", not_listed=True) for name in twice
        ]
        return [*refused, *self._asking.due(now)]

    def received(self, frame: bytes, now: float) -> list[Command]:
        """See `Session.received`. The head tells data from acknowledgements and errors."""
        head = frame[:HEAD_BYTES]
        if b'"subscriptions"' in head or b'"error"' in head:
            try:
                return self._reply(_message.decode(frame), now) + self._asking.due(now)
            except UNREADABLE:
                return []
        if self._bare and b'"snapshot"' in head and b'"l2_data"' in head:
            product = _product(head) or ""
            self._bare = {name for name in self._bare if own_name({name: ""}, product) is None}
        return []

    def timer(self, now: float) -> list[Command]:
        self._asking.repeat(now)
        return self._asking.due(now)

    def resync(self, symbol: str, reason: str, now: float, age_seconds: float = 0.0) -> list[Command]:
        """See `Session.resync`: only a new subscription brings a snapshot, and if that did not, a new connection."""
        key, asking = Key("level2", self._names.get(symbol, "")), self._asking
        if key not in asking.since or now - asking.since[key] < age_seconds:
            return []
        if key.name not in self._bare:
            self._bare.add(key.name)
            asking.renew(key, now)
        elif key in asking.confirmed and now - asking.since[key] >= SNAPSHOT_SECONDS:
            return [Farewell(f"no snapshot of {key.name}")]
        return asking.due(now)

    def again(self, symbol: str, channel: str, now: float) -> list[Command]:
        if channel == "book":
            return self.resync(symbol, "stale", now)
        self._asking.renew(Key("market_trades", self._names[symbol]), now)
        return self._asking.due(now)

    def _reply(self, message: Message, now: float) -> list[Command]:
        if message.type == "error":
            return self._refused(
                ": ".join(str(part) for part in (message.message, message.reason) if part), now
            )
        if message.channel != LISTING:
            return []
        listed = subscriptions_of(message.events)
        found = {HEARTBEATS} if BEATS in listed else set()
        for channel in CHANNELS:
            names = (own_name(self._symbols, product) for product in listed.get(channel, ()))
            found |= {Key(channel, name) for name in names if name is not None}
        # Whether it is the whole list: see `CoinbaseDecoder._listing`.
        new = self._asking.listed(found, HEARTBEATS in found, now)
        return [
            Acknowledged((self._symbols[key.name],), (CHANNELS[key.channel],))
            for key in new
            if key != HEARTBEATS
        ]

    def _refused(self, text: str, now: float) -> list[Command]:
        """An error is about the product that it names, else about the request that waits for its answer."""
        operation, key = self._asking.refused() or ("", HEARTBEATS)
        words = re.findall(r"[\w-]+", text)
        name = next((name for name in self._symbols if name in words), key.name)
        if name not in self._symbols or "authent" in text.lower():
            return [Refused(None, text)]
        if operation == "unsubscribe" and name == key.name:  # it was not subscribed: then it can be now
            self._asking.subscribe(key, now)
            return []
        if "product" not in text.lower():
            return [Refused(self._symbols[name], text)]  # for a passing reason: it is asked for again
        self._asking.forget(name)
        return [Refused(self._symbols[name], text, not_listed=True)]


def _text(request: Request) -> str:
    operation, (channel, name) = request
    products = {} if channel == BEATS else {"product_ids": [name]}
    return json.dumps({"type": operation, **products, "channel": channel}, separators=(",", ":"))


def _product(text: bytes) -> str | None:
    """The first product that a message, or a part of it, names."""
    found = re.search(rb'"product_id"\s*:\s*"([\w-]+)"', text)
    return None if found is None else found[1].decode()


class Coinbase:
    """The exchange."""

    name = "coinbase"
    endpoints = Endpoints("wss://advanced-trade-ws.coinbase.com", "https://api.coinbase.com")
    symbols_per_slot = 10  # a message missing blinds all of them, and each snapshot has megabytes
    silence_seconds = 10.0  # it sends a heartbeat each second
    checksum: Checksum | None = None
    limits = Limits(connects=Rate(6, 1.5), messages=Rate(6, 1.5))  # 8 a second of both

    def exchange_symbol(self, symbol: str) -> str:
        return "-".join(split(symbol))

    def listing(self, rest_url: str) -> str:
        return f"{rest_url}/api/v3/brokerage/market/products?product_type=SPOT"

    def listed(self, body: bytes) -> dict[str, str]:
        found = [row for row in rows(body, "products") if not row.get("is_disabled")]
        return {
            row.text("base_currency_id") + row.text("quote_currency_id"): row.text("product_id")
            for row in found
        }

    def session(self, symbols: Mapping[str, str], endpoints: Endpoints) -> Session:
        return CoinbaseSession(symbols, endpoints)

    def decoder(self, symbols: Mapping[str, str]) -> Decoder:
        return CoinbaseDecoder(symbols)


EXCHANGE: Exchange = Coinbase()
