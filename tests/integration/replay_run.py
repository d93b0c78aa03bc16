"""A run for the tests of replays from the database: two exchanges, 75 s, in topics and tables, then half expired.

The trades' own times run up to five seconds ahead of and behind their receipt. A worker of the first exchange has
crashed and repeated what it wrote. One exchange's records come later than the other's, as a slower worker's do.
"""

import time
from collections import Counter, defaultdict
from contextlib import contextmanager

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from COBY.aggregate import AggregateTask
from COBY.normalize import NormalizeTask
from COBY.runtime.kafka import make_producer
from COBY.stage import StoredRecord, parse_position
from COBY.topics import PARTITIONS, RAW_PARTITIONS, partition_of, topic_name
from replay.log import Log
from sinks.timescale import TimescaleSink
from tests.conftest import delete_topics
from tests.integration.sink_helpers import prepare, running, settings, settled, until
from tests.integration.verify_run import SECOND_NS, SECONDS, SYMBOLS
from tests.raw import RawLog, book_body, depth, trade

TABLED = ("trade", "book", "heatmap", "ohlcv", "gap", "quality", "continuity")
DERIVED = (*TABLED, "consolidated")
SLOW_MS = 3_000
"""How much later the second exchange's records are written."""

MADE, LOST = (0, 26, 66, 106), (20, 60, 100)
"""Half seconds at which the first exchange's connections begin and end."""


def began_ns():
    """75 s that are over, and hold the end of a minute at 10 s and at 70 s."""
    return (time.time_ns() // SECOND_NS // 60 * 60 - 130) * SECOND_NS


def task_of(config, exchange):
    return NormalizeTask(config, exchange, partition_of(f"{exchange}-0".encode(), RAW_PARTITIONS))


def full_frames(start_ns) -> RawLog:
    """Marks each half second, a book and a trade of each symbol in between, connections lost for a while."""
    log = RawLog("binance-0")
    log.mark(start_ns)
    for half in range(2 * SECONDS):
        at, conn = start_ns + half * SECOND_NS // 2 + SECOND_NS // 10, f"c{sum(half >= one for one in MADE)}"
        if half in MADE:
            log.event(at, "connected", conn)
            for symbol, price in SYMBOLS.items():
                asks = [[f"{price + 7 * step}.50", "1.25"] for step in range(60)]
                bids = [[f"{price - 1 - 7 * step}.50", "2.5"] for step in range(60)]
                log.frame(at, book_body(half, bids, asks), conn, "http", symbol=symbol)
        for symbol, price in SYMBOLS.items():
            changed = [[f"{price - 1 - half % 7}.50", f"{half % 9 + 1}.75"]]
            log.frame(at, depth(half + 1, half + 1, changed, [], symbol), conn)
            ms = at // 10**6 + (half % 11 - 5) * 1_000
            log.frame(at, trade(half, f"{price}.25", f"0.{half + 1:08}", ms, half % 2 == 0, symbol), conn)
        if half in LOST:
            log.event(at, "disconnected", conn, reason="test")
        log.mark(start_ns + (half + 1) * SECOND_NS // 2)
    return log


def trade_frames(start_ns) -> RawLog:
    """Trades alone: its books were never connected."""
    log = RawLog("okx-0")
    log.mark(start_ns)
    for half in range(2 * SECONDS):
        at = start_ns + half * SECOND_NS // 2 + SECOND_NS // 5
        if half == 0:
            log.event(at, "connected")
        for symbol, price in SYMBOLS.items():
            name = symbol.replace("USDT", "-USDT")
            ms = at // 10**6 + (5 - half % 11) * 1_000
            data = {"instId": name, "tradeId": str(half), "px": f"{price}.75", "sz": "0.5", "side": "sell"}
            log.frame(at, {"arg": {"channel": "trades", "instId": name}, "data": [data | {"ts": str(ms)}]})
        log.mark(start_ns + (half + 1) * SECOND_NS // 2)
    return log


def made(config, start_ns):
    """All that the stages make of it, in the order of writing, without repeats."""
    late = [
        (one.timestamp_ms + slow, number, one)
        for slow, exchange, log in (
            (0, "binance", full_frames(start_ns)),
            (SLOW_MS, "okx", trade_frames(start_ns)),
        )
        for number, one in enumerate(task_of(config, exchange).process(log.records))
    ]
    outputs = [one for _, _, one in sorted(late, key=lambda item: item[:2])]
    books = defaultdict(list)
    for one in outputs:
        if one.topic == "book":
            books[partition_of(one.key, PARTITIONS)].append(one)
    for number, found in books.items():
        task = AggregateTask(config, number)
        for offset, one in enumerate(found):
            record = StoredRecord(offset, one.timestamp_ms, one.key, one.value, one.headers)
            outputs += task.process([record])
    return outputs


def place(one):
    """(source, position) of an output, item or message's headers."""
    named = dict(one.headers)
    return named["source"].decode(), parse_position(named["position"])


def with_repeats(outputs):
    """What the first exchange's worker wrote between a third and two thirds, it wrote again from a third on."""
    own = [number for number, one in enumerate(outputs) if place(one)[0].startswith("raw.binance")]
    first, last = own[len(own) // 3], own[2 * len(own) // 3]
    again = [outputs[number] for number in own if first <= number <= last]
    return [*outputs[: last + 1], *again, *outputs[last + 1 :]]


def write(config, outputs):
    """Into the topics."""
    producer = make_producer(config, pytest.fail)
    for one in outputs:
        topic = topic_name(config.topic_prefix, one.topic)
        producer.produce(topic, one.value, one.key, one.headers, timestamp_ms=one.timestamp_ms)
    assert producer.flush(30) == 0


def expire(config, log, share):
    """Let retention take this share of each derived topic partition's records."""
    gone = []
    for name in DERIVED:
        topic = topic_name(config.topic_prefix, name)
        for number in log.partitions(topic):
            _, end = log.bounds(topic, number)
            if end:
                gone.append(TopicPartition(topic, number, int(end * share)))
    admin = AdminClient({"bootstrap.servers": config.kafka_bootstrap_servers, "log_level": 0})
    for done in admin.delete_records(gone).values():
        done.result(30)


@contextmanager
def half_expired(kafka, timescale, prefix):
    """The run, all stored and half of each topic expired: (cfg, database, its beginning in ns, outputs, a Log)."""
    with timescale.database() as database:
        cfg = settings(kafka, database, prefix=prefix, EXCHANGES="binance,okx", SYMBOLS=",".join(SYMBOLS))
        prepare(cfg)
        start_ns = began_ns()
        outputs = made(cfg, start_ns)
        written = with_repeats(outputs)
        write(cfg, written)
        counts = Counter(one.topic for one in written)
        with running(TimescaleSink, cfg) as store:
            until(lambda: all(settled(database.dsn, name, counts[name]) for name in TABLED), 60, store)
        log = Log(cfg)
        expire(cfg, log, 0.5)
        yield cfg, database, start_ns, outputs, log
        log.close()
    delete_topics(kafka.bootstrap_servers, prefix)
