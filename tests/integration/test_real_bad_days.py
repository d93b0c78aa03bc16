"""Bad days of all ten exchanges over real sockets: real producers reconnect and ask again, nothing of Kafka. When the
market has ended and all is proven again, every book is the simulator's, and no trade was counted twice."""

import asyncio
import random
import time
from contextlib import asynccontextmanager

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from COBY.exchanges import load
from COBY.exchanges.base import Endpoints
from COBY.records import TradeEvent
from COBY.runtime.metrics import Metrics
from COBY.utils.timing import WallClock
from producers.backoff import Backoff
from producers.connector import SlotConnector
from producers.rest import Rest
from producers.supervisor import Supervisor
from producers.watch import Looking, Watch
from simulator.exchanges import EXCHANGES
from simulator.runner import Pace
from tests.integration.test_real_sockets import PATIENCE_SECONDS, SYMBOLS, held, sent, slot_of
from tests.sim.virtual import CHECKSUM_LEVELS
from tests.simulator_client import serving

pytestmark = pytest.mark.usefixtures("in_real_time")

TURN_SECONDS = 0.05
TICK_SECONDS = 0.5


class Outlet(Looking):
    """Keeps nothing, not even the status."""

    def put_status(self, status):
        self.status = status


class Noting(Watch):
    """Remembers the trades that were accepted, too."""

    def __init__(self, *arguments):
        self.accepted = []
        super().__init__(*arguments)

    def _emit(self, record):
        if isinstance(record, TradeEvent):
            self.accepted.append((record.symbol, record.trade_id))
        super()._emit(record)


class Producer:
    """One exchange's producer, and what normalize would make of its records."""

    def __init__(self, name, where, http, seed):
        slot, outlet = slot_of(name), Outlet(WallClock())
        self.watch = Noting(load(name), slot, time.monotonic)
        draw = random.Random(f"{name}:{seed}").random
        self.connector = SlotConnector(slot, load(name), where, outlet, Rest(http, draw))
        self.connector.add_data_callback(self.watch.take)
        metrics = Metrics(CollectorRegistry())
        self.supervisor = Supervisor(self.connector, outlet, Backoff(draw), metrics)
        self._clock = outlet.clock

    async def serve(self):
        """Ticks, and requests for snapshots to the connection that they name."""
        ticked = time.monotonic()
        while True:
            await asyncio.sleep(TURN_SECONDS)
            asked, self.watch.resyncs = self.watch.resyncs, []
            for one in asked:
                await self.connector.resync(one.conn, one.symbol, one.reason, one.timestamp)
            if time.monotonic() - ticked >= TICK_SECONDS:
                ticked = time.monotonic()
                self.watch.tick(self._clock.now_us())


@asynccontextmanager
async def producing(server, seed):
    """Producers of all ten, until the block ends."""
    stop, producers = asyncio.Event(), {}
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
        serving_tasks = []
        for name in sorted(EXCHANGES):
            here = f"127.0.0.1:{server.port}/{name}"
            one = producers[name] = Producer(name, Endpoints(f"ws://{here}", f"http://{here}"), http, seed)
            group.create_task(one.supervisor.run(stop))
            serving_tasks.append(group.create_task(one.serve()))
        try:
            yield producers
        finally:
            stop.set()
            for task in serving_tasks:
                task.cancel()


def proven(name, levels, sign):
    """All levels; where nothing but a checksum tells of a loss, those that it covers."""
    best = sorted(levels.items(), key=lambda level: -sign * level[0])
    return best[: CHECKSUM_LEVELS.get(name)]


async def differing(reader, producers, books):
    """What is not yet as it has to be: markets that go on, books that are blind, or not the simulator's.

    Books that are right are taken off the list: later they may go stale, as a market that has ended is silent.
    """
    ledger = (await reader.get("/_sim/ledger"))["exchanges"]
    wrong = [f"{name} is {one['state']}" for name, one in ledger.items() if one["state"] != "ended"]
    for name, symbol in [] if wrong else list(books):
        book = producers[name].watch._state.shown(symbol)
        if book is None:
            wrong.append(f"{name} {symbol} is blind")
            continue
        truth = await reader.get(f"/_sim/book?exchange={name}&symbol={symbol}")
        book.flush()
        if all(
            proven(name, held(side, sign), sign) == proven(name, sent(levels, side, sign), sign)
            for side, levels, sign in ((book.bids, truth["bids"], 1), (book.asks, truth["asks"], -1))
        ):
            books.remove((name, symbol))
        else:
            wrong.append(f"{name} {symbol} differs")
    return wrong


@pytest.mark.parametrize(
    "seed", [1, pytest.param(2, marks=pytest.mark.long), pytest.param(3, marks=pytest.mark.long)]
)
async def test_after_a_bad_day_every_book_is_the_simulators(seed):
    names, deadline = tuple(sorted(EXCHANGES)), time.monotonic() + PATIENCE_SECONDS
    day = {"bad_day": seed, "bad_rate": 30, "seconds": 14, "seed": seed}
    async with (
        serving(exchanges=names, rate=300, pace=Pace(settle_seconds=4), **day) as (server, reader),
        producing(server, seed) as producers,
    ):
        books = [
            (name, symbol)
            for name in names
            for symbol in SYMBOLS
            if not any(
                mishap.kind == "delist" and mishap.symbol == symbol
                for mishap in server.options.day(server.instances[name].faults.kinds)
            )
        ]
        # A book that is wrong stays so, as the market has ended; what is on its way yet arrives, or is asked for again.
        while wrong := await differing(reader, producers, books):
            assert time.monotonic() < deadline, wrong
            await asyncio.sleep(TURN_SECONDS * 10)
        ledger = (await reader.get("/_sim/ledger"))["exchanges"]
        for name in names:
            accepted = producers[name].watch.accepted
            assert len(accepted) == len(set(accepted)) > 50, name
            dealt = [event for event in ledger[name]["events"] if event["event"] == "fault"]
            assert len(dealt) >= 2, name
