"""A world in memory, on a clock of its own: one exchange of the simulator, one session and slot of the pipeline.

No socket and no waiting: what a producer, its network and normalize do is done here in the order of a virtual clock,
by the pipeline's own functions (Session, SlotState) and the simulator's (Venue, Source). Requests take seeded
milliseconds to arrive, REST answers too; frames arrive in order and at once, so that after each of them the
pipeline's book can be laid beside the simulator's.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from random import Random
from urllib.parse import parse_qsl, urlsplit

from COBY.book import Book
from COBY.exchanges import load
from COBY.exchanges.base import Acknowledged, Ask, Command, Connect, Endpoints, Fetch, Send, Slot
from COBY.records import UNITS, Gap, Record, Resync, TradeEvent
from COBY.slot import SlotState
from COBY.slot_state import DeadLetter, Frame
from COBY.text import PRICES
from simulator.exchanges import EXCHANGES
from simulator.sources import seeded
from simulator.venue import Answer, Close, Peer, Reply, Venue
from simulator.wire import Book as SentBook
from simulator.wire import Frame as SentFrame
from simulator.wire import Wire

SECOND_US = 1_000_000
START_US = 1_790_000_000 * SECOND_US
GRID_US = SECOND_US // 2
SYMBOLS = ("BTCUSDT", "ETHUSDT")
ENDPOINTS = Endpoints("ws://venue", "http://venue")
Message = str | bytes
"""Of a socket: text, or binary."""


class World:
    """One exchange, one slot, one connection, from the first handshake to the end of the market."""

    def __init__(
        self,
        name: str,
        seed: int,
        seconds: int = 20,
        rate: int = 100,
        wire: Wire | None = None,
        spoil: Callable[[SentFrame, Message], Message | None] = lambda _frame, text: text,
    ) -> None:
        """``rate`` frames a second over both symbols; ``wire``: another than the venue's own.

        ``spoil``: what the network makes of a market frame, None: it is lost.
        """
        kind = EXCHANGES[name]
        exchange = load(name)
        self._spoil = spoil
        self.now_us = START_US
        self.end_us = START_US + (seconds + 1) * SECOND_US
        self.source = seeded(name, wire or kind.wire(), seed, SYMBOLS, rate, seconds)
        self.venue: Venue = kind(self.source, kind.LIMITS)
        self.venue.base_url = ENDPOINTS.ws_url
        self.symbols = {exchange.exchange_symbol(symbol): symbol for symbol in SYMBOLS}
        slot = Slot(f"{name}-0", name, self.symbols)
        self.slot = SlotState(exchange, slot, lambda _symbol: 10 * UNITS, 50)
        self.session = exchange.session(self.symbols, ENDPOINTS)
        self.peers: list[Peer] = []
        """The exchange's ends of the connection's sockets, in the order of their numbers."""
        self.records: list[Record | DeadLetter] = []
        self.acknowledged: set[tuple[str, str]] = set()
        self.sent_trades: list[tuple[str, str]] = []
        """(symbol, id) of each trade sent."""
        self.sent_volume = 0
        """Their sizes in units."""
        self.updates: Counter[str] = Counter()
        self.differences: list[str] = []
        self._random = Random(f"{name}:{seed}")
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = self._seq = self._offset = 0
        self._arrived_us: dict[int, int] = {}
        self._seen: set[str] = set()

    def run(self) -> World:
        """Live through all of it."""
        self._connect()
        self._every(SECOND_US, self._second)
        self._every(GRID_US, self._tick)
        self._after(0, self._market)
        while self._queue and self._queue[0][0] <= self.end_us:
            self.now_us, _, act = heapq.heappop(self._queue)
            act()
        return self

    def of(self, kind: type) -> list[Record | DeadLetter]:
        """The records of a kind."""
        return [record for record in self.records if isinstance(record, kind)]

    def trades(self) -> list[tuple[str, str]]:
        """(symbol, id) of each trade accepted."""
        return [(one.symbol, one.trade_id) for one in self.records if isinstance(one, TradeEvent)]

    def gaps(self) -> list[Gap]:
        """The gaps announced."""
        return [one for one in self.records if isinstance(one, Gap)]

    # --- the virtual clock -----------------------------------------------------------------------------------------

    def _after(self, delay_us: int, act: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._queue, (self.now_us + delay_us, self._order, act))

    def _every(self, period_us: int, act: Callable[[], None]) -> None:
        def again() -> None:
            act()
            self._after(period_us, again)

        self._after(period_us, again)

    def _network_us(self) -> int:
        return self._random.randrange(2_000, 120_000)

    @property
    def _monotonic(self) -> float:
        return (self.now_us - START_US) / SECOND_US

    # --- the exchange's side ---------------------------------------------------------------------------------------

    def _connect(self) -> None:
        target = self._target()
        for url in (target.url, *target.more):
            peer = self.venue.connect(*_asked(url), self.now_us)
            assert not isinstance(peer, Answer), peer
            self.peers.append(peer)
        self._event("connected")
        for number, peer in enumerate(self.peers):
            self._deliver(peer.opened(self.now_us), number)
        self._obey(self.session.opened(self._monotonic))

    def _target(self) -> Connect:
        """Where the session wants to connect, with the answers that it wants before."""
        target = self.session.connect()
        while isinstance(target, Ask):
            ask = {"GET": self.venue.rest, "POST": self.venue.post}[target.method]
            target = self.session.connect(ask(*_asked(target.url), self.now_us).body.encode())
        return target

    def _market(self) -> None:
        for frame in self.source.take(START_US):
            listeners = [number for number, peer in enumerate(self.peers) if frame.stream in peer.streams]
            for number in listeners:
                message = self._spoil(frame, self.peers[number].render(frame))
                if message is not None:
                    self._deliver([message], number)
                    self._look(frame)
        due_us = self.source.peek_us()
        if due_us is not None:
            self._after(max(0, START_US + due_us - self.now_us), self._market)

    def _request(self, text: str, socket: int) -> None:
        self._deliver(self.peers[socket].received(text, self.now_us), socket)

    def _rest(self, command: Fetch) -> None:
        answer = self.venue.rest(*_asked(command.url), self.now_us)
        body = answer.body.encode()
        self._after(self._network_us(), lambda: self._take("http", body, command.symbol, command.url))

    # --- the producer's side ---------------------------------------------------------------------------------------

    def _deliver(self, replies: list[Reply], socket: int = 0) -> None:
        for reply in replies:
            assert not isinstance(reply, Close), reply
            frame = reply.encode() if isinstance(reply, str) else reply
            self._take("ws", frame)
            self._obey(self.session.received(frame, self._monotonic), socket)

    def _obey(self, commands: list[Command], socket: int = 0) -> None:
        for command in commands:
            if isinstance(command, Send):
                self._send(command.text, socket if command.socket is None else command.socket)
            elif isinstance(command, Fetch):
                delay_us = self._network_us() + round(command.delay_seconds * SECOND_US)
                self._after(delay_us, lambda command=command: self._rest(command))  # type: ignore[misc]
            elif isinstance(command, Acknowledged):
                self.acknowledged |= {(name, what) for name in command.symbols for what in command.channels}
            else:
                raise AssertionError(f"nothing here is refused or ended: {command}")

    def _send(self, text: str, socket: int) -> None:
        """Requests of one socket arrive in the order sent."""
        arrives_us = max(self.now_us + self._network_us(), self._arrived_us.get(socket, 0))
        self._arrived_us[socket] = arrives_us
        self._after(arrives_us - self.now_us, lambda: self._request(text, socket))

    def _second(self) -> None:
        self._event("alive")
        for number, peer in enumerate(self.peers):
            self._deliver(peer.timer(self.now_us), number)
        self._obey(self.session.timer(self._monotonic))

    def _event(self, name: str) -> None:
        self._take("event", json.dumps({"event": name}).encode())

    # --- normalize's side ------------------------------------------------------------------------------------------

    def _take(self, kind: str, value: bytes, symbol: str | None = None, url: str | None = None) -> None:
        self._seq += 1
        self._offset += 1
        frame = Frame(self._offset, "conn-1", self._seq, kind, value, symbol, url)
        self.slot.take(frame, self.now_us, self._emit)

    def _tick(self) -> None:
        self.slot.tick(self.now_us, self.now_us, self._emit)

    def _emit(self, record: Record | DeadLetter) -> None:
        self.records.append(record)
        if isinstance(record, Resync):
            self._after(self._network_us(), lambda: self._resync(record))

    def _resync(self, record: Resync) -> None:
        age_seconds = (self.now_us - record.timestamp) / SECOND_US
        self._obey(self.session.resync(record.symbol, record.reason, self._monotonic, age_seconds))

    # --- one book beside the other ---------------------------------------------------------------------------------

    def _look(self, frame: SentFrame) -> None:
        if frame.trade is not None:
            self.sent_trades.append((frame.symbol, frame.trade.id))
            self.sent_volume += int(Decimal(frame.trade.size).scaleb(8))
        if not frame.last_id:
            return
        book = self.slot.shown(frame.symbol)
        if book is not None:
            self._seen.add(frame.symbol)
        if frame.symbol not in self._seen:
            return
        self.updates["live" if book is not None else "blind"] += 1
        if book is not None:
            truth = self.source.book(frame.symbol)
            assert truth is not None
            assert truth.sequence == frame.last_id
            self._compare(frame, book, truth)

    def _compare(self, frame: SentFrame, book: Book, truth: SentBook) -> None:
        book.flush()
        for side, levels in ((book.bids, truth.bids), (book.asks, truth.asks)):
            held, expected = side.texts, dict(levels)
            if book.depth is None and side.edge is not None:
                sign, edge = (1 if side is book.bids else -1), side.edge
                held = {price: size for price, size in held.items() if sign * PRICES[price] >= edge}
                expected = {price: size for price, size in expected.items() if sign * PRICES[price] >= edge}
            if held != expected:
                wrong = sorted(set(held.items()) ^ set(expected.items()))[:6]
                self.differences.append(f"{frame.symbol} at {frame.last_id}: {wrong}")
        number = self.source.wire.printed(frame.symbol, frame.last_id)
        if book.sequence_id is not None and book.sequence_id != number:
            self.differences.append(f"{frame.symbol} says {book.sequence_id} at {number}")


def _asked(url: str) -> tuple[str, dict[str, str]]:
    """Path and query of a url."""
    parts = urlsplit(url)
    return parts.path, dict(parse_qsl(parts.query))
