"""Coinbase's Advanced Trade WebSocket on localhost, mounted at `/coinbase`: `ws://host:port/coinbase`. Pure.

After EXCHANGES.md §2 A and the exchange's pages "WebSocket Overview", "WebSocket Channels", "WebSocket Rate Limits".
The first data of a book come before its acknowledgement, those of trades after it: both have been seen. Never seen on
the wire by us: the text of an error (here the older feed's), what follows a second subscription to the same (here: an
acknowledgement and nothing else), an unsubscription, the codes of closes, and what becomes of too many messages (here
the driver closes).
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from simulator.exchanges.coinbase_wire import (
    NO_TIME,
    CoinbaseWire,
    book_event,
    book_stream,
    message,
    renumbered,
    trade_stream,
    trades_of,
)
from simulator.limits import Limits
from simulator.sources import Source
from simulator.stamps import Stamps
from simulator.venue import Answer, Close, Peer, Reply, Venue
from simulator.wire import Frame, Wire, base_and_quote

SECOND_US = 1_000_000
FIRST_REQUEST_US = 5 * SECOND_US
# Documented: between 60 and 90 s.
QUIET_US = 75 * SECOND_US
STREAMS = {"level2": book_stream, "market_trades": trade_stream}
# These have books of their own; all other markets in USDC are those in USD.
OWN_USDC = ("USDT-USDC", "EURC-USDC")


class CoinbaseVenue(Venue):
    """All that its connections share."""

    name: ClassVar[str] = "coinbase"
    # Both figures are an address's, without authentication; each client is its own address here.
    LIMITS: ClassVar[Limits] = Limits(
        connects_max=8, connects_window_seconds=1.0, address_messages_per_second=8
    )

    @staticmethod
    def wire() -> Wire:
        return CoinbaseWire()

    def connect(self, path: str, query: Mapping[str, str], now_us: int) -> Peer | Answer:
        if path not in ("", "/"):
            return Answer(404, "Not found", content_type="text/plain")
        return CoinbasePeer(self.source)

    def rest(self, path: str, query: Mapping[str, str], now_us: int) -> Answer:
        """The list of products; market data needs none of its REST."""
        if path != "/api/v3/brokerage/market/products":
            return Answer(404, '{"error":"NOT_FOUND","message":"not found"}')
        wire = self.source.wire
        assert isinstance(wire, CoinbaseWire)
        products = [_product(wire, symbol) for symbol in self.source.symbols]
        return Answer(200, _json({"products": products, "num_products": len(products)}))


class CoinbasePeer(Peer):
    """One connection. Every message on it has the next number, whatever its channel."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        wire = source.wire
        assert isinstance(wire, CoinbaseWire)
        self._source, self._stamp = source, Stamps()
        self._symbols = {wire.product(symbol): symbol for symbol in source.symbols}
        # channel -> products, in the order of their subscription
        self._held: dict[str, dict[str, None]] = {}
        self._count = self._beats = 0
        self._was_asked = self._was_traffic = False
        self._opened_us = self._heard_us = 0

    def opened(self, now_us: int) -> list[Reply]:
        self._opened_us = self._heard_us = now_us
        return []

    def received(self, text: str, now_us: int) -> list[Reply]:
        request = _parsed(text)
        if isinstance(request, str):
            return [_error(request)]
        self._was_asked = True
        channel, products = request["channel"], list(map(self._routed, request.get("product_ids", [])))
        if request["type"] == "unsubscribe":
            self._unsubscribe(channel, products)
            return [self._subscriptions(now_us)]
        if channel == "heartbeats":
            self._held[channel] = {"heartbeats": None}
            return [self._subscriptions(now_us)]
        unknown = [name for name in products if name not in self._symbols]
        if unknown:  # the whole request is ignored
            return [_error(f"{unknown[0]} is not a valid product")]
        return self._subscribe(channel, products, now_us)

    def timer(self, now_us: int) -> list[Reply]:
        """A heartbeat; the end of who has asked for nothing, or gets nothing and has no heartbeats."""
        if self._was_traffic:
            self._was_traffic, self._heard_us = False, now_us
        if not self._was_asked and now_us - self._opened_us >= FIRST_REQUEST_US:
            self.broken["first_subscribe"] += 1
            return [Close(1008, "no_subscribe", "no subscribe message within 5 seconds")]
        if "heartbeats" in self._held:
            self._beats += 1
            event = {"current_time": self._stamp(now_us), "heartbeat_counter": self._beats}
            return [self._numbered(message("heartbeats", self._stamp(now_us), _json(event)))]
        if self._was_asked and now_us - self._heard_us >= QUIET_US:
            return [Close(1000, "quiet", "no updates")]
        return []

    def render(self, frame: Frame) -> str:
        self._was_traffic = True
        return self._numbered(frame.as_text)

    def resend_snapshot(self, symbol: str, now_us: int) -> list[Reply]:
        """A snapshot on a live subscription; `symbol` as `BTCUSDT`."""
        name = next(name for name, known in self._symbols.items() if known == symbol)
        return self._book(name, now_us)

    def _subscribe(self, channel: str, products: list[str], now_us: int) -> list[Reply]:
        held = self._held.setdefault(channel, {})
        new = [name for name in dict.fromkeys(products) if name not in held]
        held.update(dict.fromkeys(new))
        self.streams.update(dict.fromkeys(STREAMS[channel](name) for name in new))
        if channel == "level2":
            data = [reply for name in new for reply in self._book(name, now_us)]
            return [*data, self._subscriptions(now_us)]
        acknowledgement = self._subscriptions(now_us)
        return [acknowledgement, *(reply for name in new for reply in self._trades(name, now_us))]

    def _unsubscribe(self, channel: str, products: list[str]) -> None:
        """Without products, from all of the channel."""
        held = self._held.get(channel, {})
        for name in products or list(held):
            held.pop(name, None)
            if channel in STREAMS:
                self.streams.pop(STREAMS[channel](name), None)
        if not held:
            self._held.pop(channel, None)

    def _subscriptions(self, now_us: int) -> str:
        """All that the connection is subscribed to."""
        held = {channel: list(names) for channel, names in self._held.items()}
        return self._numbered(message("subscriptions", self._stamp(now_us), _json({"subscriptions": held})))

    def _book(self, name: str, now_us: int) -> list[Reply]:
        """Nothing while a recording has not come to its own snapshot."""
        book = self._source.book(self._symbols[name])
        if book is None:
            return []
        event = book_event("snapshot", name, book.bids, book.asks, NO_TIME)
        return [self._numbered(message("l2_data", self._stamp(now_us), event))]

    def _trades(self, name: str, now_us: int) -> list[Reply]:
        """The last trades, the newest first; nothing of a recording, whose messages are not cut apart."""
        if self._source.kind != "seeded":
            return []
        deals = [trades_of(frame.as_text) for frame in reversed(self._source.trades(self._symbols[name]))]
        event = f'{{"type":"snapshot","trades":[{",".join(deals)}]}}'
        return [self._numbered(message("market_trades", self._stamp(now_us), event))] if deals else []

    def _routed(self, name: str) -> str:
        """A market in USDC is the one in USD, and answers under that name."""
        is_shared = name.endswith("-USDC") and name not in OWN_USDC and name[:-1] in self._symbols
        return name[:-1] if is_shared else name

    def _numbered(self, text: str) -> str:
        number, self._count = self._count, self._count + 1
        return renumbered(text, number)


def _parsed(text: str) -> dict[str, Any] | str:
    """A request with a type, one known channel and a list of products, or what is wrong with it."""
    try:
        request = json.loads(text)
    except ValueError:
        return "malformed JSON"
    if not isinstance(request, dict) or request.get("type") not in ("subscribe", "unsubscribe"):
        return "unknown message type"
    channel, products = request.get("channel"), request.get("product_ids", [])
    if channel != "heartbeats" and channel not in STREAMS:
        return f"{channel} is not a valid channel"
    if not isinstance(products, list) or not all(isinstance(name, str) for name in products):
        return "malformed product_ids"
    if request["type"] == "subscribe" and channel in STREAMS and not products:
        return "no products provided"
    return request


def _error(reason: str) -> str:
    """It has no number."""
    return _json({"type": "error", "message": f"Failed to subscribe: {reason}"})


def _product(wire: CoinbaseWire, symbol: str) -> dict[str, Any]:
    base, quote = base_and_quote(symbol)
    return {
        "product_id": wire.product(symbol),
        "product_type": "SPOT",
        "base_currency_id": base,
        "quote_currency_id": quote,
        "is_disabled": False,
        "trading_disabled": False,
    }


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
