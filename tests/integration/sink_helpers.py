"""What the tests of the sinks share: settings, records with positions, a sink in a thread, plain SQL."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from confluent_kafka import Consumer, Message
from prometheus_client import CollectorRegistry

from COBY.codec import encode
from COBY.config import Config, load_config
from COBY.records import NAMES, Candle, Gap, Record, TradeEvent
from COBY.runtime.database import connect
from COBY.runtime.kafka import apply_topics, make_producer
from COBY.runtime.metrics import Metrics
from COBY.topics import topic_name
from sinks.schema import migrate

START_US = 1_790_000_000_000_000  # 2026-09-21 14:13:20 UTC
SECOND_US = 1_000_000


def settings(*sources: Any, prefix: str, **more: str) -> Config:
    """A Config for servers of tests/servers.py."""
    environ = {"TOPIC_PREFIX": prefix, "LOG_FILE": "-", "BATCH_WRITE_SIZE": "100"}
    for source in sources:
        environ |= source.env
    return load_config(environ | more)


def prepare(cfg: Config) -> None:
    """Topics and tables."""
    apply_topics(cfg)
    with connect(cfg) as conn:
        migrate(conn)


def trade(number: int, **more: Any) -> TradeEvent:
    """The n-th trade, one a millisecond; size n + 1 units of 1e-8."""
    fields = {
        "symbol": "BTCUSDT",
        "exchange": "binance",
        "timestamp": START_US + number * 1_000,
        "received_at": START_US + number * 1_000 + 7,
        "price": 6_183_763_000_000,
        "size": number + 1,
        "side": "buy",
        "trade_id": str(number),
    }
    return TradeEvent(**fields | more)


def candle(**more: Any) -> Candle:
    """A candle of one second."""
    fields = {
        "symbol": "BTCUSDT",
        "timestamp": START_US,
        "timeframe": "1s",
        "open": 100,
        "high": 400,
        "low": 50,
        "close": 200,
        "volume": 1_000,
        "trade_count": 3,
        "revision": 0,
        "complete": True,
        "received_at": START_US + 3 * SECOND_US,
    }
    return Candle(**fields | more)


def gap(**more: Any) -> Gap:
    """A hole that is open."""
    fields = {
        "symbol": "BTCUSDT",
        "exchange": "binance",
        "timestamp": START_US,
        "from_time": START_US,
        "until_time": None,
        "reason": "sequence_gap",
        "conn": "c1",
        "detail": "expected 5, found 7",
    }
    return Gap(**fields | more)


class Feeder:
    """Writes records into topics as the stages do."""

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        self.errors: list[Exception] = []
        self._producer = make_producer(cfg, self.errors.append)

    def send(
        self, record: Record, position: str, source: str = "raw.binance.v1/0", headers: Any = None
    ) -> None:
        """One record with its position."""
        key = getattr(record, "symbol", None) or record.slot  # type: ignore[attr-defined]
        own = [("source", source.encode()), ("position", position.encode()), ("settings", b"s")]
        topic = topic_name(self.cfg.topic_prefix, NAMES[type(record)])
        self._producer.produce(topic, encode(record), key.encode(), own if headers is None else headers)

    def raw(self, name: str, value: bytes | None, position: str | None, key: bytes = b"BTCUSDT") -> None:
        """Any bytes into the topic of that name."""
        own = [] if position is None else [("source", b"raw.binance.v1/0"), ("position", position.encode())]
        self._producer.produce(topic_name(self.cfg.topic_prefix, name), value, key, own)

    def trades(self, first: int, end: int) -> None:
        """Trades first … end - 1, positions first:0 …, delivered."""
        for number in range(first, end):
            self.send(trade(number), f"{number}:0")
        self.flush()

    def flush(self) -> None:
        """All delivered."""
        assert self._producer.flush(60) == 0
        assert not self.errors


class Running:
    """A sink in a thread."""

    def __init__(self, sink: Any, stop: threading.Event, metrics: Metrics) -> None:
        self.sink = sink
        self.metrics = metrics
        self.stop = stop
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.sink.run()
        except BaseException as error:
            self.error = error

    def join(self, seconds: float = 60) -> BaseException | None:
        """Wait for its end; the error it ended with."""
        self.thread.join(seconds)
        assert not self.thread.is_alive(), "the sink did not end"
        return self.error


@contextmanager
def running(kind: Any, cfg: Config) -> Iterator[Running]:
    """A sink of that class while the block runs; stopped after it, which must take less than a minute."""
    stop, metrics = threading.Event(), Metrics(CollectorRegistry())
    run = Running(kind(cfg, stop, metrics), stop, metrics)
    try:
        yield run
    finally:
        stop.set()
        run.join()


def until(holds: Callable[[], Any], seconds: float = 60, run: Running | None = None) -> Any:
    """What ``holds`` returns once it is true; AssertionError after the time, or when the sink died."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert run is None or run.error is None, f"the sink ended: {run and run.error!r}"
        assert time.monotonic() < end, f"not within {seconds} seconds, last: {found!r}"
        time.sleep(0.05)
    return found


def query(dsn: str, text: str, *values: Any) -> list[tuple[Any, ...]]:
    """Plain SQL."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        return conn.execute(text, values).fetchall()


def settled(dsn: str, name: str, count: int) -> bool:
    """Whether the sink's progress in the topics of that name adds up to ``count`` records."""
    return (
        query(dsn, "SELECT sum(next_offset) FROM sink_progress WHERE topic LIKE %s", f"%.{name}.v1")[0][0]
        or 0
    ) == count


def dead_letters(cfg: Config) -> list[tuple[Message, Mapping[str, str]]]:
    """All dead letters so far, with their own headers as text (the first of each name)."""
    settings = cfg.kafka_client_settings()
    consumer = Consumer({**settings, "group.id": "x", "enable.auto.commit": False})
    topic = topic_name(cfg.topic_prefix, "dlq")
    found = []
    try:
        from confluent_kafka import TopicPartition

        ends = {}
        for number in range(12):
            _, end = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=30)
            if end:
                ends[number] = end
        if not ends:
            return []
        consumer.assign([TopicPartition(topic, number, 0) for number in ends])
        while len(found) < sum(ends.values()):
            found += [message for message in consumer.consume(100, 1.0) if message.error() is None]
    finally:
        consumer.close()
    return [
        (message, {name: value.decode() for name, value in reversed(message.headers() or [])})
        for message in found
    ]
