"""A world in memory, on a clock of its own: one exchange of the simulator, one producer and slot of the pipeline.

No socket and no waiting: what a producer, its network and normalize do is done here in the order of a virtual clock,
by the pipeline's own functions (Session, SlotState) and the simulator's (Venue, Source). Requests take seeded
milliseconds to arrive, REST answers too; frames arrive in order and at once, so that after each of them the
pipeline's book can be laid beside the simulator's. A bad day's mishaps are dealt at their time.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from random import Random
from urllib.parse import parse_qsl, urlsplit

from COBY.exchanges import load
from COBY.exchanges.base import Ask, Endpoints, Slot
from COBY.records import UNITS, Gap, Record, Resync, TradeEvent
from COBY.slot import SlotState
from COBY.slot_state import Frame
from COBY.symbol_states import DeadLetter
from simulator.exchanges import EXCHANGES
from simulator.mischief import Message, Mischief, Pipe, Sent
from simulator.mishaps import Mishap
from simulator.sources import seeded
from simulator.venue import Answer, Close, Reply, Venue
from simulator.wire import Frame as SentFrame
from simulator.wire import Wire
from tests.sim.dealt import Dealt
from tests.sim.misfortune import Misfortune
from tests.sim.producer import Link, Producer
from tests.sim.truth import Chronicle, Reading

SECOND_US = 1_000_000
START_US = 1_790_000_000 * SECOND_US
GRID_US = SECOND_US // 2
SYMBOLS = ("BTCUSDT", "ETHUSDT")
ENDPOINTS = Endpoints("ws://venue", "http://venue")
ACTS_PER_SECOND_MAX = 2_000
CHECKSUM_LEVELS = {"kraken": 10}
"""Where a missing update shows in nothing but the checksum: so many levels are proven."""


class World:
    """One exchange and one slot, from the first handshake to the end of the market."""

    def __init__(
        self,
        name: str,
        seed: int,
        seconds: int = 20,
        rate: int = 100,
        wire: Wire | None = None,
        spoil: Callable[[SentFrame, Message], Message | None] = lambda _frame, text: text,
        day: Iterable[Mishap] = (),
    ) -> None:
        """``rate`` frames a second over both symbols; ``wire``: another than the venue's own.

        ``spoil``: what the network makes of a market frame, None: it is lost. ``day``: the mishaps.
        """
        kind = EXCHANGES[name]
        exchange = load(name)
        self.name = name
        self._spoil = spoil
        self.now_us = START_US
        self.seconds = seconds
        self.end_us = START_US + (seconds + 1) * SECOND_US
        writes = wire or kind.wire()
        # Nobody here listens to the smaller windows.
        self.source = seeded(name, writes, seed, SYMBOLS, rate, seconds, writes.depths[-1:])
        self.venue: Venue = kind(self.source, kind.LIMITS)
        self.venue.base_url = ENDPOINTS.ws_url
        self.symbols = {exchange.exchange_symbol(symbol): symbol for symbol in SYMBOLS}
        self.mischief = Mischief(self.source.wire)
        slot = Slot(f"{name}-0", name, self.symbols)
        self.slot = SlotState(exchange, slot, lambda _symbol: 10 * UNITS, 50)
        self.chronicles = {symbol: Chronicle(self.source, symbol) for symbol in SYMBOLS}
        self.producer = Producer(
            self, slot.name, lambda: exchange.session(self.symbols, ENDPOINTS), f"{name}:{seed}:producer"
        )
        self.records: list[Record | DeadLetter] = []
        self.sent_trades: list[tuple[str, str]] = []
        """(symbol, id) of each trade that has arrived, once."""
        self.made: dict[tuple[str, str], int] = {}
        """Units of each trade that the market has made."""
        self.updates: Counter[str] = Counter()
        self.differences: list[str] = []
        self.dealt: list[Dealt] = []
        self._day = list(day)
        # The market ends so much later.
        self.end_us += sum(mishap.lasts_us for mishap in self._day if mishap.kind == "quiet")
        self._misfortune = Misfortune(self)
        self._random = Random(f"{name}:{seed}")
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = self._offset = 0
        self._seen: set[str] = set()
        self._arrived: set[tuple[str, str]] = set()

    def run(self) -> World:
        """Live through all of it."""
        self.producer.attempt()
        self._every(SECOND_US, self._second)
        self._every(GRID_US, self._tick)
        self.after(0, self._market)
        for mishap in self._day:
            self.after(mishap.at_us, lambda mishap=mishap: self._misfortune.deal(mishap))  # type: ignore[misc]
        while self._queue and self._queue[0][0] <= self.end_us:
            self.now_us, order, act = heapq.heappop(self._queue)
            assert order < ACTS_PER_SECOND_MAX * (self.seconds + 1), "an endless loop"
            act()
        for chronicle in self.chronicles.values():
            chronicle.check()
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

    @property
    def acknowledged(self) -> set[tuple[str, str]]:
        """(symbol, channel) that the newest connection was confirmed."""
        return self.producer.links[-1].acknowledged if self.producer.links else set()

    # --- the virtual clock -----------------------------------------------------------------------------------------

    def after(self, delay_us: int, act: Callable[[], None]) -> None:
        """Do something later."""
        self._order += 1
        heapq.heappush(self._queue, (self.now_us + delay_us, self._order, act))

    def _every(self, period_us: int, act: Callable[[], None]) -> None:
        def again() -> None:
            act()
            self.after(period_us, again)

        self.after(period_us, again)

    def network_us(self) -> int:
        """How long a request takes, or an answer by REST."""
        return self._random.randrange(2_000, 120_000)

    # --- the exchange's side ---------------------------------------------------------------------------------------

    def ask(self, command: Ask) -> Answer:
        """What is asked before connecting."""
        asked = {"GET": self.venue.rest, "POST": self.venue.post}[command.method]
        path, query = _asked(command.url)
        return self.mischief.rest(path, query, self.now_us, lambda: asked(path, query, self.now_us))[0]

    def handshake(self, link: Link, urls: list[str]) -> bool:
        """Open the sockets of a connection; False if one is refused."""
        for url in urls:
            refused = self.mischief.handshake(self.now_us)
            peer = refused or self.venue.connect(*_asked(url), self.now_us)
            if isinstance(peer, Answer):
                return False
            link.peers.append(peer)
            link.pipes.append(Pipe())
        link.readings = {symbol: Reading(self.chronicles[symbol], symbol) for symbol in SYMBOLS}
        return True

    def opened(self, link: Link) -> None:
        """What the exchange says first."""
        for number, peer in enumerate(link.peers):
            self.reply(link, number, peer.opened(self.now_us))

    def request(self, link: Link, text: str, socket: int) -> None:
        """A request of the client's has arrived."""
        peer, pipe = link.peers[socket], link.pipes[socket]
        if not link.is_open or pipe.is_dead:
            return
        before = set(peer.streams)
        replies = peer.received(text, self.now_us)
        if pipe.answers(text, self.now_us):
            self.reply(link, socket, replies)
        for stream in peer.streams.keys() - before:
            for symbol in SYMBOLS:
                for frame in self.mischief.stale_trades(stream, self.source.trades(symbol)):
                    self._send(link, socket, frame, "")

    def rest(self, url: str) -> tuple[Answer, int]:
        """A REST answer, and how late it is besides the network's time."""
        path, query = _asked(url)
        return self.mischief.rest(path, query, self.now_us, lambda: self.venue.rest(path, query, self.now_us))

    def reply(self, link: Link, socket: int, replies: list[Reply]) -> None:
        """What the exchange says to one client; a close ends the connection."""
        mark = self._mark()
        for reply in replies:
            if not link.is_open or link.pipes[socket].is_dead:
                return
            if isinstance(reply, Close):
                self.producer.ended(link, reply.reason)
                return
            self.deliver(link, socket, link.pipes[socket].replies([Sent.of(reply, None, mark)], self.now_us))

    def deliver(self, link: Link, socket: int, sent: list[Sent]) -> None:
        """Messages that have come through a socket."""
        for one in sent:
            if link.is_open:
                self._arrive(link, socket, one)

    def _mark(self) -> dict[str, int]:
        return {symbol: self.source.told(symbol).sequence for symbol in SYMBOLS}

    def _market(self) -> None:
        frames = self.source.take(START_US)
        for symbol in {frame.symbol for frame in frames if frame.last_id}:
            self.chronicles[symbol].add()
        for frame in frames:
            if frame.trade is not None:
                self.made[frame.symbol, frame.trade.id] = _units(frame.trade.size)
            listeners = [
                (link, number)
                for link in self.producer.links
                for number, peer in enumerate(link.peers)
                if frame.stream in peer.streams
            ]
            fate = self.mischief.fate(frame) if listeners else ""
            if fate:
                self._misfortune.hit(frame, fate, listeners)
            for link, number in listeners:
                if link.is_open and frame.stream in link.peers[number].streams:
                    self._send(link, number, frame, fate)
        due_us = self.source.peek_us()
        if due_us is not None:
            self.after(max(0, START_US + due_us - self.now_us), self._market)

    def _send(self, link: Link, socket: int, frame: SentFrame, fate: str) -> None:
        message = self._spoil(frame, link.peers[socket].render(frame))
        pipe, reading = link.pipes[socket], link.readings[frame.symbol]
        if frame.last_id and (message is None or fate in ("drop_frames", "swap_frames")):
            reading.top = CHECKSUM_LEVELS.get(self.name)
        if message is not None:
            mark = {frame.symbol: frame.last_id} if frame.last_id else None
            sent = Sent.of(message, frame, mark)
            through = pipe.frame(sent, fate, self.now_us, self.mischief.spoil(fate))
            self.deliver(link, socket, through)

    # --- the way to normalize --------------------------------------------------------------------------------------

    def _arrive(self, link: Link, socket: int, sent: Sent) -> None:
        self.producer.received(link, sent.payload, socket)
        if isinstance(sent.mark, dict):
            for symbol, sequence in sent.mark.items():
                reading = link.readings[symbol]
                if sent.frame is not None and sequence < reading.reached:
                    reading.top = CHECKSUM_LEVELS.get(self.name)
                reading.reached = max(reading.reached, sequence)
        if sent.frame is not None:
            self._look(link, sent.frame, sent)

    def _second(self) -> None:
        for link in list(self.producer.links):
            for number, peer in enumerate(link.peers):
                self.reply(link, number, peer.timer(self.now_us))
        self.producer.second()

    def record(
        self, link: Link, kind: str, value: bytes, symbol: str | None = None, url: str | None = None
    ) -> None:
        """A raw record, as normalize takes it."""
        self._offset += 1
        frame = Frame(self._offset, link.name, link.seq, kind, value, symbol, url)
        self.slot.take(frame, self.now_us, self._emit)

    def _tick(self) -> None:
        self.slot.tick(self.now_us, self.now_us, self._emit)

    def _emit(self, record: Record | DeadLetter) -> None:
        self.records.append(record)
        if isinstance(record, Resync):
            self.after(self.network_us(), lambda: self.producer.resync(record))

    # --- one book beside the other ---------------------------------------------------------------------------------

    def _look(self, link: Link, frame: SentFrame, sent: Sent) -> None:
        if frame.trade is not None and not sent.is_spoilt:
            key = (frame.symbol, frame.trade.id)
            if key not in self._arrived:
                self._arrived.add(key)
                self.sent_trades.append(key)
        if not frame.last_id:
            return
        if self.slot.shown(frame.symbol) is not None:
            self._seen.add(frame.symbol)
        if frame.symbol not in self._seen:
            return
        self.updates["live" if self.slot.shown(frame.symbol) is not None else "blind"] += 1
        connection = self.slot._connections.find(link.name)
        book = None if connection is None else connection.processor.books[frame.symbol]
        if book is not None and book.reason is None:
            wrong = link.readings[frame.symbol].differs(book)
            if wrong is not None:
                self.differences.append(wrong)


def _units(size: str) -> int:
    return int(Decimal(size).scaleb(8))


def _asked(url: str) -> tuple[str, dict[str, str]]:
    """Path and query of a url."""
    parts = urlsplit(url)
    return parts.path, dict(parse_qsl(parts.query))
