"""The seeded market of all ten exchanges as raw topics, in memory: real producers on a virtual clock, and the clock's
marks. And what workers make of it, fed in pieces that come in another order than time.
"""

import asyncio
from collections import Counter, defaultdict
from random import Random

from COBY.aggregate import AggregateTask
from COBY.normalize import NormalizeTask
from COBY.stage import StoredRecord, header
from COBY.topics import PARTITIONS, RAW_PARTITIONS, partition_of
from producers.raw import RawRecord
from simulator.exchanges import EXCHANGES
from tests.virtual_producers import START_NS, House, Logged, Producer, run

SYMBOLS = ("BTCUSDT", "ETHUSDT")
NAMES = tuple(sorted(EXCHANGES))
GRID_NS = 500_000_000
RAW_PARTITION = {name: partition_of(f"{name}-0".encode(), RAW_PARTITIONS) for name in NAMES}


def market(seconds, rate=8, drop_at=None, dropped=("okx", "kraken")):
    """Exchange -> partition -> records. ``rate`` frames a second each; sockets of some drop at a second."""

    async def played():
        logs = {name: [] for name in NAMES}
        houses = [House(name, SYMBOLS, rate=rate) for name in NAMES]
        made = [
            Producer(one, SYMBOLS, outlet=lambda clock, n=one.name: Logged(clock, logs[n])) for one in houses
        ]
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        tasks = [loop.create_task(each.run(stop)) for one in made for each in one.supervisors]
        tasks += [loop.create_task(one.play()) for one in houses]
        for half in range(2 * seconds):
            await asyncio.sleep(max(0.0, half / 2 - loop.time()))
            if half == 2 * (seconds if drop_at is None else drop_at) - 1:  # in between two marks
                for house in houses:
                    _ = house.drop() if house.name in dropped else None
            for log in logs.values():
                log.append(RawRecord("clock", START_NS + half * GRID_NS, "clock", 0, "mark", b""))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return logs

    return {name: partitions(log) for name, log in run(played()).items()}


def partitions(log):
    """A log of one exchange as its partitions: marks come to all of them."""
    found = {number: [] for number in range(RAW_PARTITIONS)}
    for one in log:
        is_mark = one.kind == "mark"
        for number in found if is_mark else (partition_of(one.slot.encode(), RAW_PARTITIONS),):
            headers = [(name, text.encode()) for name, text in one.headers()]
            record = StoredRecord(
                len(found[number]), one.received_ns // 10**6, one.slot.encode(), one.value, headers
            )
            found[number].append(record)
    return found


class Worker:
    """What one worker makes of it: its outputs, and states of its tasks on the way."""

    def __init__(self, raw, config, states_at=(), closed_at=(), seed=1):
        """Seconds of stream time at which states are kept: ``states_at`` of normalize, ``closed_at`` of aggregate."""
        self.states = defaultdict(list)
        """Source -> (next offset, state)."""
        self.outputs, self.books = [], defaultdict(list)
        self.states_at, self.closed_at = (
            [START_NS // 10**6 + 1000 * seconds for seconds in given] for given in (states_at, closed_at)
        )
        pieces = []
        for exchange, found in raw.items():
            for number, records in found.items():
                task = NormalizeTask(config, exchange, number)
                pieces.append(self._normalized(task, f"raw.{exchange}.v1/{number}", records))
        self._in_turn(pieces, Random(seed))
        for number, found in sorted(self.books.items()):
            self._aggregated(AggregateTask(config, number), f"book.v1/{number}", found)

    def _normalized(self, task, source, records):
        """Its books by pieces."""
        left = list(self.states_at)
        for place in range(0, len(records), 37):
            piece = records[place : place + 37]
            if left and piece[0].timestamp >= left[0]:
                left.pop(0)
                self.states[source].append((piece[0].offset, task.save()))
            outputs = task.process(piece)
            self.outputs += outputs
            yield [one for one in outputs if one.topic == "book"]

    def _in_turn(self, pieces, random):
        """Whoever comes first is chance."""
        while pieces:
            chosen = random.choice(pieces)
            books = next(chosen, None)
            if books is None:
                pieces.remove(chosen)
                continue
            for one in books:
                found = self.books[partition_of(one.key, PARTITIONS)]
                found.append(StoredRecord(len(found), one.timestamp_ms, one.key, one.value, one.headers))

    def _aggregated(self, task, source, records):
        left, closed_ms = list(self.closed_at), 0
        for record in records:
            if left and closed_ms >= left[0]:
                left.pop(0)
                self.states[source].append((record.offset, task.save()))
            outputs = task.process([record])
            closed_ms = max([closed_ms, *(one.timestamp_ms for one in outputs)])
            self.outputs += outputs

    def contents(self, first_ms, last_ms, topics=None):
        """(topic, source, key) -> (value, key, timestamp, headers) of a range, in order."""
        found = defaultdict(list)
        for one in self.outputs:
            if first_ms <= one.timestamp_ms < last_ms and (topics is None or one.topic in topics):
                group = one.topic, header(one.headers, "source"), one.key
                found[group].append((one.value, one.key, one.timestamp_ms, tuple(one.headers)))
        return dict(found)


def counts(found):
    """Records by topic."""
    total = Counter()
    for (topic, *_), records in found.items():
        total[topic] += len(records)
    return total
