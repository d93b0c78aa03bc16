"""Producers in memory, on a clock that jumps: the supervisor, connector, sessions and allowances that run for real,
against the simulator's exchanges without their server. Limits are counted by the simulator's own `Limits` and `Window`.

A loop whose time is virtual never waits: what is due next is done next, so that minutes take no longer than the work in
them, and every time is exact.
"""

from __future__ import annotations

import asyncio
import selectors
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from prometheus_client import CollectorRegistry
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close as CloseFrame

from COBY.exchanges import load
from COBY.exchanges.base import Endpoints, slots
from COBY.records import Status
from COBY.runtime.metrics import Metrics
from COBY.utils.timing import WallClock
from producers.allowance import Allowances
from producers.backoff import DEFAULTS, Backoff, Limits
from producers.connector import SlotConnector
from producers.raw import RawRecord
from producers.rest import Rest
from producers.supervisor import Supervisor
from producers.watch import Looking
from simulator.exchanges import EXCHANGES
from simulator.limits import Window
from simulator.sources import seeded
from simulator.venue import Answer, Close, Peer, Reply, Venue

START_NS = 1_790_000_000 * 10**9
ENDPOINTS = Endpoints("ws://venue", "http://venue")
LATENCY_SECONDS = (0.002, 0.120)
T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time` goes on only where nothing is left to do at once."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self.now


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0)
        if not found:
            assert timeout is not None, "nothing is left that could ever happen"
            self._loop.now += max(0.0, timeout)
        return found


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run it on a virtual clock that begins with 0."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


class Kept(Looking):
    """An outlet that keeps the statuses, and counts records."""

    def __init__(self, clock: WallClock) -> None:
        super().__init__(clock)
        self.statuses: list[Status] = []
        self.records: Counter[str] = Counter()

    def put(self, record: RawRecord) -> None:
        self.records[record.kind] += 1

    def put_status(self, status: Status) -> None:
        self.statuses.append(status)


class Logged(Kept):
    """An outlet to a raw topic that several producers share; it ends with its process, in mid-sentence."""

    def __init__(self, clock: WallClock, log: list[RawRecord]) -> None:
        super().__init__(clock)
        self.log = log
        self.is_dead = False
        self.dies_after: int | None = None
        """Records until the process is killed."""

    def put(self, record: RawRecord) -> None:
        if self.dies_after is not None:
            self.is_dead = self.is_dead or self.dies_after <= 0
            self.dies_after -= 1
        if not self.is_dead:
            super().put(record)
            self.log.append(record)


class VirtualSocket:
    """A client's end of a socket; the exchange's is a `Peer`. Messages arrive in order, after some milliseconds."""

    def __init__(self, house: House, peer: Peer) -> None:
        limits = house.venue.limits
        self.peer = peer
        self._house = house
        self._messages = Window(limits.messages_per_second, 1.0)
        self._come: asyncio.Queue[str | bytes | Close] = asyncio.Queue(100_000)
        self._ended: Close | None = None
        self._arrives = 0.0
        self.answer(peer.opened(house.now_us()))
        self._timer = asyncio.create_task(self._tick())

    async def recv(self, *, decode: bool | None) -> bytes:
        if self._ended is None:
            come = await self._come.get()
            if not isinstance(come, Close):
                return come.encode() if isinstance(come, str) else come
            self._end(come)
        raise self._closed()

    async def send(self, message: str) -> None:
        if self._ended is not None:
            raise self._closed()
        loop = asyncio.get_running_loop()
        # A loop's calls of one moment have no order.
        self._arrives = max(self._arrives + 1e-6, loop.time() + self._house.latency())
        loop.call_at(self._arrives, self._received, message)

    async def close(self) -> None:
        if self._ended is None:
            self._come.put_nowait(Close(1000, "client"))
            self._end(Close(1000, "client"))

    def answer(self, replies: list[Reply]) -> None:
        self._house.broken.update(self.peer.broken)
        self.peer.broken.clear()
        for reply in replies:
            self._come.put_nowait(reply)

    def _received(self, text: str) -> None:
        now = asyncio.get_running_loop().time()
        if self._ended is None:
            self._house.count("messages", self._messages, now)
            self._house.count("address_messages", self._house.messages, now)
            self.answer(self.peer.received(text, self._house.now_us()))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1)
            self.answer(self.peer.timer(self._house.now_us()))

    def _end(self, how: Close) -> None:
        self._ended = how
        self._timer.cancel()
        self._house.sockets.discard(self)

    def _closed(self) -> ConnectionClosedError:
        assert self._ended is not None
        return ConnectionClosedError(CloseFrame(self._ended.code, self._ended.message), None)


class House:
    """One exchange of the simulator, and what its clients did against its limits."""

    def __init__(self, name: str, symbols: tuple[str, ...], rate: int = 1) -> None:
        """``rate`` frames a second over all symbols, once the market is played."""
        kind = EXCHANGES[name]
        self.name = name
        self.venue: Venue = kind(seeded(name, kind.wire(), 1, symbols, rate), kind.LIMITS)
        self.venue.base_url = ENDPOINTS.ws_url
        limits = self.venue.limits
        self.messages = Window(limits.address_messages_per_second, 1.0)
        self._connects = Window(limits.connects_max, limits.connects_window_seconds)
        self._weight = Window(limits.rest_weight_max, limits.rest_weight_window_seconds)
        self.broken: Counter[str] = Counter()
        self.peaks: dict[str, int] = {}
        self.attempts: list[float] = []
        """When clients came, let in or not."""
        self.asked: list[float] = []
        """When REST was asked."""
        self.sent: dict[tuple[str, str], float] = {}
        """(symbol, id) of each trade -> when it happened."""
        self.refuses = False
        self.sockets: set[VirtualSocket] = set()
        self._random = Random(name)

    def latency(self) -> float:
        return self._random.uniform(*LATENCY_SECONDS)

    def now_us(self) -> int:
        return START_NS // 1000 + int(asyncio.get_running_loop().time() * 1e6)

    def count(self, name: str, window: Window, now: float, weight: int = 1) -> None:
        if not window.add(now, weight):
            self.broken[name] += 1
        self.peaks[name] = max(self.peaks.get(name, 0), window.peak)

    async def open(self, url: str) -> VirtualSocket:
        """The opener that a producer is given."""
        await asyncio.sleep(self.latency())
        now = asyncio.get_running_loop().time()
        self.attempts.append(now)
        self.count("connects", self._connects, now)
        if self.refuses:
            raise ConnectionRefusedError("429")
        peer = self.venue.connect(*asked(url), self.now_us())
        assert not isinstance(peer, Answer), peer
        socket = VirtualSocket(self, peer)
        self.sockets.add(socket)
        return socket

    async def play(self) -> None:
        """The market, frame by frame, to whoever has subscribed; until cancelled."""
        source, began = self.venue.source, asyncio.get_running_loop().time()
        while (due_us := source.peek_us()) is not None:
            await asyncio.sleep(max(0.0, began + due_us / 1e6 - asyncio.get_running_loop().time()))
            for frame in source.take(START_NS // 1000 + int(began * 1e6)):
                if frame.trade is not None:
                    for trade in (frame.trade, *frame.more_trades):
                        self.sent.setdefault((frame.symbol, trade.id), asyncio.get_running_loop().time())
                for socket in self.sockets:
                    if frame.stream in socket.peer.streams:
                        socket.answer([socket.peer.render(frame)])

    def drop(self) -> int:
        """All sockets end at once."""
        gone = list(self.sockets)
        for socket in gone:
            socket.answer([Close(1006, "dropped")])
        return len(gone)

    async def rest(self, url: str, method: str) -> bytes:
        await asyncio.sleep(self.latency())
        now, (path, query) = asyncio.get_running_loop().time(), asked(url)
        self.asked.append(now)
        self.count("rest_weight", self._weight, now, self.venue.weight(path, query))
        ask = self.venue.post if method == "POST" else self.venue.rest
        answer = ask(path, query, self.now_us())
        assert answer.status == 200, answer
        return answer.body.encode()


class HouseRest(Rest):
    """REST without HTTP: all but the transfer itself is the producer's."""

    def __init__(self, house: House, **how: Any) -> None:
        super().__init__(None, lambda: 0.5, **how)  # type: ignore[arg-type]
        self._house = house

    async def _attempt(self, url: str, failures: int, method: str = "GET") -> tuple[bytes | None, float]:
        return await self._house.rest(url, method), 0.0


class Producer:
    """What ``python -m producers`` runs for one exchange."""

    def __init__(
        self,
        house: House,
        symbols: tuple[str, ...],
        seed: int = 1,
        backoff: Limits = DEFAULTS,
        sockets: int = 5,
        outlet: Callable[[WallClock], Kept] = Kept,
        random: Callable[[], float] | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        exchange = load(house.name)
        self.house = house
        self.outlet = outlet(
            WallClock(lambda: START_NS + int(loop.time() * 1e9), lambda: int(loop.time() * 1e9))
        )
        allowances = Allowances.of(exchange.limits, monotonic=loop.time)
        rest = HouseRest(house, monotonic=loop.time, requests=allowances.requests)
        named: Mapping[str, str | None] = {one: exchange.exchange_symbol(one) for one in symbols}
        self.connectors = [
            SlotConnector(
                slot,
                exchange,
                ENDPOINTS,
                self.outlet,
                rest,
                allowances=allowances,
                opener=house.open,
            )
            for slot in slots(exchange, named, sockets)
        ]
        self.metrics = Metrics(CollectorRegistry())
        chance = random or Random(f"{house.name}:{seed}").random
        self.supervisors = [
            Supervisor(one, self.outlet, Backoff(chance, backoff), self.metrics, monotonic=loop.time)
            for one in self.connectors
        ]

    def acknowledged(self) -> set[tuple[str, str]]:
        """(symbol, channel) of all that is confirmed on an open connection."""
        found = [one.current.acknowledged for one in self.connectors if one.current is not None]
        return set().union(*found)


@asynccontextmanager
async def producing(houses: list[House], symbols: tuple[str, ...], **how: Any) -> Any:
    """A producer of each exchange, running; ``how``: see `Producer`."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        made = [Producer(house, symbols, **how) for house in houses]
        for producer in made:
            for supervisor in producer.supervisors:
                group.create_task(supervisor.run(stop))
        try:
            yield made
        finally:
            stop.set()


def asked(url: str) -> tuple[str, dict[str, str]]:
    """Path and query of a url."""
    parts = urlsplit(url)
    return parts.path, dict(parse_qsl(parts.query))
