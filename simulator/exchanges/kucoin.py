"""KuCoin's classic API on localhost, mounted at `/kucoin`: POST bullet-public, the socket it names, REST books. Pure.

After EXCHANGES.md §7, its captures and the exchange's page of error codes. Never seen on the wire by us: what a
connection with a wrong token is told (here: error 401, then the end), the texts of errors but those of 404 and 509,
what REST says of an unknown symbol (here: code 900001).
"""

import json
from collections import deque
from collections.abc import Mapping
from typing import Any, ClassVar

from simulator.exchanges.kucoin_wire import KucoinWire, book_data, stream_name
from simulator.limits import Limits
from simulator.sources import Source
from simulator.venue import Answer, Close, Peer, Reply, Venue
from simulator.wire import Frame, Levels, Wire, base_and_quote, joined, spaced

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
PING_US, PING_TIMEOUT_US = 18 * SECOND_US, 10 * SECOND_US
NO_PING_US = 60 * SECOND_US
MESSAGES_MAX, MESSAGES_US = 100, 10 * SECOND_US
SYMBOLS_MAX = 100
TOKENS_KEPT = 1000
TOPICS = ("/market/level2", "/market/match")
BOOKS = {"/api/v1/market/orderbook/level2_20": 20, "/api/v1/market/orderbook/level2_100": 100}


class KucoinVenue(Venue):
    """Its tokens are good for 24 hours."""

    name: ClassVar[str] = "kucoin"
    books_by_rest: ClassVar[bool] = True
    has_copies: ClassVar[bool] = True
    LIMITS: ClassVar[Limits] = Limits(streams_max=400, connects_max=30, connects_window_seconds=60.0)

    def __init__(self, source: Source, limits: Limits) -> None:
        super().__init__(source, limits)
        wire = source.wire
        assert isinstance(wire, KucoinWire)
        self._wire = wire
        self._tokens: dict[str, int] = {}
        self._given = 0
        # symbol -> number of the last update that went to a client
        self.sent: dict[str, int] = {}

    @staticmethod
    def wire() -> Wire:
        return KucoinWire()

    def connect(self, path: str, query: Mapping[str, str], now_us: int) -> Peer | Answer:
        if path not in ("", "/"):
            return Answer(404, "Not Found", content_type="text/plain")
        given_us = self._tokens.get(query.get("token", ""))
        is_known = given_us is not None and now_us - given_us < DAY_US
        return KucoinPeer(self, query.get("connectId", ""), is_known=is_known)

    def post(self, path: str, query: Mapping[str, str], now_us: int) -> Answer:
        if path != "/api/v1/bullet-public":
            return _failed(404, "404000", "Url Not Found")
        self._given += 1
        token = f"2neAiuYvAU61ZDXANAGAsiL4-{self._given:08d}=="
        self._tokens[token] = now_us
        if len(self._tokens) > TOKENS_KEPT:
            del self._tokens[next(iter(self._tokens))]
        server = {
            "endpoint": f"{self.base_url}/",
            "encrypt": True,
            "protocol": "websocket",
            "pingInterval": PING_US // 1000,
            "pingTimeout": PING_TIMEOUT_US // 1000,
        }
        return _answered({"token": token, "instanceServers": [server]})

    def rest(self, path: str, query: Mapping[str, str], now_us: int) -> Answer:
        if path in BOOKS:
            return self._book(joined(query.get("symbol", ""), "-"), BOOKS[path], now_us)
        if path == "/api/v2/symbols":
            return _answered([_listing(symbol) for symbol in self.source.symbols])
        if path == "/api/v1/timestamp":
            return _answered(now_us // 1000)
        if path == "/api/v3/market/orderbook/level2":
            return _failed(401, "400001", "Please check the header of your request for KC-API-KEY")
        return _failed(404, "404000", "Url Not Found")

    def _book(self, symbol: str, limit: int, now_us: int) -> Answer:
        """The book as told last, or, as REST and stream keep no step, one from the middle of that update."""
        if symbol not in self.source.symbols:
            return _failed(200, "900001", "symbol not exists")
        is_played = self.source.kind == "recording"
        book = self.source.snapshot(symbol) if is_played else self.source.book(symbol)
        if book is None:
            return _failed(503, "500000", "The recording holds no book of this symbol.")
        sequence, bids, asks = book.sequence, book.bids, book.asks
        amid = self._wire.amid(symbol, sequence) if self.sent.get(symbol) == sequence else None
        if amid is not None:
            sequence = amid.sequence
            bids, asks = self._written(symbol, amid.bids, limit), self._written(symbol, amid.asks, limit)
        return _answered(book_data(sequence, bids[:limit], asks[:limit], now_us), symbol)

    def _written(self, symbol: str, pairs: list[tuple[int, int]], limit: int) -> Levels:
        return self._wire.levels(symbol, pairs[:limit])


class KucoinPeer(Peer):
    """One connection."""

    def __init__(self, venue: KucoinVenue, connect_id: str, *, is_known: bool) -> None:
        super().__init__()
        self._venue, self._id, self._is_known = venue, connect_id, is_known
        self._opened_us = self._pinged_us = 0
        self._messages_us: deque[int] = deque()

    def opened(self, now_us: int) -> list[Reply]:
        self._opened_us = self._pinged_us = now_us
        if self._is_known:
            return [_json({"id": self._id, "type": "welcome"})]
        return [_error(self._id, 401, "token is invalid"), Close(1008, "token", "token is invalid")]

    def received(self, text: str, now_us: int) -> list[Reply]:
        request = _parsed(text)
        request_id = str(request.get("id", ""))
        if self._too_many(now_us):
            self.broken["messages"] += 1
            return [_error(request_id, 509, "exceed max permits per second")]
        if request.get("type") == "ping":
            self._pinged_us = now_us
            return [_json({"id": request_id, "type": "pong", "timestamp": now_us})]
        if request.get("type") not in ("subscribe", "unsubscribe"):
            return [_error(request_id, 415, "type is not supported")]
        wrong = self._subscribed(request["type"], request.get("topic"))
        if wrong is not None:
            return [_error(request_id, *wrong)]
        return [_json({"id": request_id, "type": "ack"})] if request.get("response") is True else []

    def timer(self, now_us: int) -> list[Reply]:
        if now_us - self._pinged_us >= NO_PING_US:
            return [_error(self._id, 400, "ping timeout"), Close(1000, "no_ping", "ping timeout")]
        if now_us - self._opened_us >= DAY_US:
            return [Close(1000, "lifetime", "24 hours")]
        return []

    def render(self, frame: Frame) -> str | bytes:
        if frame.last_id:
            self._venue.sent[frame.symbol] = frame.last_id
        return frame.text

    def _subscribed(self, kind: str, topic: object) -> tuple[int, str] | None:
        """What is wrong with it: nothing of it holds then."""
        if not isinstance(topic, str) or not topic:
            return 406, "topic is required"
        head, _, names = topic.partition(":")
        if not names or not all(name and name == name.strip() for name in names.split(",")):
            return 400, f"topic {topic} is invalid"
        symbols = {name: joined(name, "-") for name in names.split(",")}
        known = set(self._venue.source.symbols)
        unknown = [name for name, symbol in symbols.items() if symbol not in known or "-" not in name]
        if head not in TOPICS or unknown:
            return 404, f"topic {topic} is not found"
        if len(symbols) > SYMBOLS_MAX:
            self.broken["symbols"] += 1
            return 509, f"exceed max subscription count limitation of {SYMBOLS_MAX} per time"
        streams = dict.fromkeys(stream_name(head, symbol) for symbol in symbols.values())
        most = self._venue.limits.streams_max
        if kind == "subscribe" and len(self.streams.keys() | streams.keys()) > most:
            self.broken["topics"] += 1
            return 509, f"exceed max subscription count limitation of {most} per session"
        for stream in streams:
            if kind == "subscribe":
                self.streams[stream] = None
            else:
                self.streams.pop(stream, None)
        return None

    def _too_many(self, now_us: int) -> bool:
        """More than 100 messages within 10 s, this one included."""
        self._messages_us.append(now_us)
        while self._messages_us[0] <= now_us - MESSAGES_US:
            self._messages_us.popleft()
        return len(self._messages_us) > MESSAGES_MAX


def _parsed(text: str) -> dict[str, Any]:
    """The request; an empty one for what is no JSON object."""
    try:
        request = json.loads(text)
    except ValueError:
        return {}
    return request if isinstance(request, dict) else {}


def _listing(symbol: str) -> dict[str, Any]:
    base, quote = base_and_quote(symbol)
    name = spaced(symbol, "-")
    return {"symbol": name, "name": name, "baseCurrency": base, "quoteCurrency": quote, "enableTrading": True}


def _answered(data: Any, symbol: str | None = None) -> Answer:
    return Answer(200, _json({"code": "200000", "data": data}), symbol=symbol)


def _failed(status: int, code: str, message: str) -> Answer:
    return Answer(status, _json({"code": code, "msg": message}))


def _error(request_id: str, code: int, text: str) -> str:
    return _json({"id": request_id, "type": "error", "code": code, "data": text})


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
