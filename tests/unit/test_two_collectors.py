"""Two producers of one slot, one of them killed again and again, on a virtual clock: no blind tick, no trade twice or
lost.

The producers are those that run for real, the exchange is the simulator's; what they publish is one raw log, in the
order in which it was published, and the pipeline's own slot makes of it what normalize makes of a raw topic. tests/e2e
has the same with processes and a real Kafka.
"""

import asyncio
from collections import Counter
from decimal import Decimal
from random import Random

import pytest

from COBY.exchanges import load
from COBY.exchanges.base import slots
from COBY.records import UNITS, BookTick, Resync, TradeEvent
from COBY.slot import SlotState
from COBY.slot_state import Frame
from COBY.symbol_states import DeadLetter
from tests.virtual_producers import START_NS, House, Logged, Producer, run
from tests.waiting import until

SYMBOLS = ("BTCUSDT", "ETHUSDT")
GRID_US = 500_000
START_US = START_NS // 1000
AGAIN_SECONDS = 1.5  # until a supervisor of processes has started the next
# Books by REST; pushed with a link; pushed with a checksum; one count over a connection; two sockets.
NAMES = ("binance", "okx", "kraken", "coinbase", "huobi")


class Collector:
    """A process: a producer that may be killed at any record, and is started again."""

    def __init__(self, house, log, seed):
        self.house, self.log = house, log
        self.random = Random(seed)
        self.kills = 0
        self.begin()

    def begin(self):
        self.producer = Producer(
            self.house, SYMBOLS, outlet=lambda clock: Logged(clock, self.log), random=self.random.random
        )
        stop = asyncio.Event()
        self.tasks = [asyncio.create_task(one.run(stop)) for one in self.producer.supervisors]

    async def kill(self, after_records):
        """-9 after so many records more; what it had open is gone, and it says nothing of that."""
        self.producer.outlet.dies_after = after_records
        await until(lambda: self.producer.outlet.is_dead, 30)
        self.kills += 1
        for connector in self.producer.connectors:
            for connection in list(connector.connections):
                connection.reader.cancel()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def stop(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class Normalize:
    """A slot that follows the log as it grows, and the clock's marks; resyncs go to whose the connection is."""

    def __init__(self, name, log, collectors):
        exchange = load(name)
        (slot,) = slots(exchange, {symbol: exchange.exchange_symbol(symbol) for symbol in SYMBOLS}, 5)
        self.slot = SlotState(exchange, slot, lambda _symbol: 10 * UNITS, 50)
        self.log, self.collectors = log, collectors
        self.records, self.read = [], 0

    async def run(self):
        tick = START_US // GRID_US + 1
        while True:
            await asyncio.sleep((tick * GRID_US - START_US) / 1e6 - asyncio.get_running_loop().time())
            self.follow()
            self.slot.tick(tick * GRID_US, tick * GRID_US, self.emit)
            tick += 1

    def follow(self):
        for record in self.log[self.read :]:
            self.read += 1
            frame = Frame(
                self.read, record.conn, record.seq, record.kind, record.value, record.symbol, record.url
            )
            self.slot.take(frame, record.received_ns // 1000, self.emit)

    def emit(self, record):
        self.records.append(record)
        if isinstance(record, Resync):
            asyncio.get_running_loop().create_task(self.ask(record))

    async def ask(self, record):
        for collector in self.collectors:
            for connector in collector.producer.connectors:
                if connector.has(record.conn):
                    await connector.resync(record.conn, record.symbol, record.reason, record.timestamp)

    def of(self, kind):
        return [record for record in self.records if isinstance(record, kind)]


async def lived(name, seconds, seed, deal):
    """Both collectors live, then ``deal``, then everything at rest; (normalize, house, when both were live)."""
    house, log, random = House(name, SYMBOLS, rate=16), [], Random(f"{name}:{seed}")
    collectors = [Collector(house, log, f"{name}:{seed}:{number}") for number in range(2)]
    normalize = Normalize(name, log, collectors)
    tasks = [asyncio.create_task(work) for work in (house.play(), normalize.run())]
    await until(lambda: all(len(one.producer.acknowledged()) == 4 for one in collectors), 60)
    await until(lambda: len(house.venue.source.symbols) == 2 and len(normalize.of(BookTick)) > 30, 60)
    began = asyncio.get_running_loop().time()
    await deal(collectors, random, began + seconds)
    await asyncio.sleep(5)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    normalize.follow()
    for collector in collectors:
        await collector.stop()
    return normalize, house, began


def judged(normalize, house, began):
    """No blind tick, no trade twice or lost, no dead letter; the books are the exchange's at the end."""
    began_us = START_US + int(began * 1e6)
    ticks = [one for one in normalize.of(BookTick) if one.timestamp > began_us]
    assert [(one.timestamp - START_US, one.symbol, one.reason) for one in ticks if not one.live] == []
    assert len(ticks) > 50
    trades = Counter((one.symbol, one.trade_id) for one in normalize.of(TradeEvent))
    assert set(trades.values()) == {1}
    sent = {one for one, at in house.sent.items() if at > began}
    assert len(sent) > 20
    assert sent <= set(trades)
    assert normalize.of(DeadLetter) == []
    for symbol in SYMBOLS:
        book, truth = normalize.slot.shown(symbol), house.venue.source.book(symbol)
        book.flush()
        best = [(Decimal(side[0][0]), Decimal(side[0][1])) for side in (truth.bids, truth.asks)]
        shown = [side.best() for side in (book.bids, book.asks)]
        assert [price * UNITS for price, _ in best] == shown


@pytest.mark.parametrize("name", NAMES)
def test_one_of_two_is_killed_every_ten_seconds(name):
    async def deal(collectors, random, until_seconds):
        while asyncio.get_running_loop().time() < until_seconds:
            one = collectors[sum(each.kills for each in collectors) % 2]
            await one.kill(random.randrange(40))
            await asyncio.sleep(AGAIN_SECONDS)
            one.begin()
            await asyncio.sleep(10 - AGAIN_SECONDS)

    normalize, house, began = run(lived(name, 40, 1, deal))
    assert sum(one.kills for one in normalize.collectors) >= 4
    judged(normalize, house, began)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("name", NAMES)
def test_kills_at_any_record(name, seed):
    async def deal(collectors, random, until_seconds):
        while asyncio.get_running_loop().time() < until_seconds:
            one = random.choice(collectors)
            await one.kill(random.randrange(100))
            await asyncio.sleep(random.uniform(0, 2))
            one.begin()
            # The other may go only once this one's books are there again.
            await until(lambda one=one: len(one.producer.acknowledged()) == 4, 30)
            await asyncio.sleep(random.uniform(3, 8))

    judged(*run(lived(name, 60, seed, deal)))


def test_one_that_dies_over_and_over_takes_the_others_book_from_nobody():
    async def deal(collectors, random, until_seconds):
        crashing = collectors[1]
        while asyncio.get_running_loop().time() < until_seconds:
            await crashing.kill(random.randrange(3, 12))
            crashing.begin()

    normalize, house, began = run(lived("okx", 15, 1, deal))
    assert normalize.collectors[1].kills > 15
    judged(normalize, house, began)
