"""A small run for the tests of `coby verify`: hand-made frames through the real tasks, as a worker would write them.

One exchange, two symbols, 75 s over a full minute. A worker that erred is one whose outputs are changed before they
are written.
"""

import re
import time
from collections import defaultdict

import pytest
from click.testing import CliRunner

from COBY.aggregate import AggregateTask
from COBY.codec import encode
from COBY.normalize import NormalizeTask
from COBY.records import Settings
from COBY.runtime.cli import main as coby
from COBY.runtime.kafka import make_producer
from COBY.snapshots import Snapshot, key, pack
from COBY.stage import StoredRecord
from COBY.topics import PARTITIONS, RAW_PARTITIONS, partition_of, topic_name
from tests.raw import RawLog, book_body, depth, trade

SECOND_NS = 10**9
RAW_PARTITION = partition_of(b"binance-0", RAW_PARTITIONS)
RAW_TASK, SOURCE = "raw.binance.v1", f"raw.binance.v1/{RAW_PARTITION}"
SECONDS = 75
SYMBOLS = {"BTCUSDT": 60_000, "ETHUSDT": 3_000}
DERIVED = ("trade", "book", "gap", "quality", "continuity", "heatmap", "consolidated", "ohlcv")


def frames(start_ns, jumped=None) -> RawLog:
    """Marks each half second, a book and a trade of each symbol in between, one lost connection.

    ``jumped``: prices that are others after the loss."""
    log = RawLog()
    log.mark(start_ns)
    for half in range(2 * SECONDS):
        at, conn = start_ns + half * SECOND_NS // 2 + SECOND_NS // 10, "c1" if half < 40 else "c2"
        prices = SYMBOLS if half < 40 else {**SYMBOLS, **(jumped or {})}
        if half in (0, 40):
            log.event(at, "connected", conn)
            for symbol, price in prices.items():
                levels = [[f"{price + step}.50", "1.25"] for step in range(60)]
                below = [[f"{price - 1 - step}.50", "2.5"] for step in range(60)]
                log.frame(at, book_body(half, below, levels), conn, "http", symbol=symbol)
        for symbol, price in prices.items():
            changed = [[f"{price - 1 - half % 7}.50", f"{half % 9 + 1}.75"]]
            log.frame(at, depth(half + 1, half + 1, changed, [], symbol), conn)
            log.frame(
                at, trade(half, f"{price}.25", f"0.{half + 1:08}", at // 10**6, half % 2 == 0, symbol), conn
            )
        if half == 38:
            log.event(at, "disconnected", conn, reason="test")
        log.mark(start_ns + (half + 1) * SECOND_NS // 2)
    return log


class Made:
    """What one worker made of a log, by topic; of the book topic by partition, with the offsets they get."""

    def __init__(self, log, config, later=None, at=None, skip=None):
        """``later``: settings from the record ``at`` on; ``skip``: a record that the worker passes over."""
        self.states = {}
        task = NormalizeTask(config, "binance", RAW_PARTITION)
        self.outputs = []
        for record in log.records:
            if record.offset == at:
                self.states[SOURCE] = (at, task.save())
                task = self.taken_up(task, NormalizeTask(later or config, "binance", RAW_PARTITION))
            if record.offset == skip:
                task.next_offset = skip + 1
            else:
                self.outputs += task.process([record])
        self.aggregate(config, later or config)

    def aggregate(self, config, later):
        books = defaultdict(list)
        for one in self.outputs:
            if one.topic == "book":
                books[partition_of(one.key, PARTITIONS)].append(one)
        for number, found in books.items():
            task = AggregateTask(config, number)
            for offset, one in enumerate(found):
                if offset == len(found) // 2:
                    self.states[f"book.v1/{number}"] = (offset, task.save())
                    task = self.taken_up(task, AggregateTask(later, number))
                self.outputs += task.process(
                    [StoredRecord(offset, one.timestamp_ms, one.key, one.value, one.headers)]
                )

    @staticmethod
    def taken_up(task, other):
        other.load(task.save())
        return other


class Run:
    """A prefix of topics with a run in it."""

    def __init__(self, cfg, log, outputs, told):
        """``told``: (source, next offset, config) as the workers tell their settings."""
        self.cfg, self.log = cfg, log
        self.producer = make_producer(cfg, pytest.fail)
        for record in log.records:
            self.put(
                topic_name(cfg.topic_prefix, "raw", "binance"), record.value, record.key, record.headers,
                timestamp_ms=record.timestamp, partition=RAW_PARTITION,
            )  # fmt: skip
        for source, offset, config in told:
            value = encode(Settings(config.settings_hash, config.shaping_settings(), source, offset))
            self.put(topic_name(cfg.topic_prefix, "settings"), value, f"{source}@{offset}".encode())
        self.write(outputs)

    def put(self, *args, **more):
        self.producer.produce(*args, **more)

    def write(self, outputs):
        for one in outputs:
            topic = topic_name(self.cfg.topic_prefix, one.topic)
            self.put(topic, one.value, one.key, one.headers, timestamp_ms=one.timestamp_ms)
        assert self.producer.flush(30) == 0

    def checkpoint(self, source, at, state, number=0, config=None):
        topic, _, partition = source.rpartition("/")
        stage = "aggregate" if topic == "book.v1" else "normalize"
        used = config or self.cfg
        snapshot = Snapshot(stage, topic, int(partition), number, at, used.settings_hash, state)
        self.put(topic_name(self.cfg.topic_prefix, f"checkpoint.{stage}"), pack(snapshot), key(snapshot))
        assert self.producer.flush(30) == 0

    def verify(self, env, *args, first=0.0, last=3600.0):
        """(exit code, table: name -> verdict, the rest of the output)."""
        start_ms = self.log.records[0].timestamp
        times = [str(start_ms + round(seconds * 1000)) for seconds in (first, last)]
        command = ["verify", "--from", times[0], "--to", times[1], *args]
        result = CliRunner().invoke(coby, command, env=env, catch_exceptions=False)
        rows = re.findall(r"^(\S.*?)  +([\d,]+)  ([0-9a-f-]+) +(\S.*)$", result.stdout, re.MULTILINE)
        names = [row[0].strip().removeprefix(f"{self.cfg.topic_prefix}.") for row in rows]
        assert len(set(names)) == len(names)
        table = {name: (int(row[1].replace(",", "")), row[3]) for name, row in zip(names, rows, strict=True)}
        return result.exit_code, table, result.stderr + result.stdout


def started_ns():
    """75 s that are over, and hold a full minute in their middle."""
    return (time.time_ns() // SECOND_NS // 60 * 60 - 60 - 40) * SECOND_NS


def told(config, offset=0):
    return [
        (SOURCE, offset, config),
        *[(f"book.v1/{number}", offset, config) for number in range(PARTITIONS)],
    ]


def different(table):
    return {name for name, (_, text) in table.items() if text.startswith("DIFFERENT")}


def changed(outputs, topic, number, change):
    """The outputs with the n-th record of a topic changed."""
    places = [place for place, one in enumerate(outputs) if one.topic == topic]
    place = places[number]
    return [*outputs[:place], *change(outputs[place]), *outputs[place + 1 :]]


ALONE = ("--no-database", "--no-redis", "--wait", "0")
