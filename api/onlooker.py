"""An onlooker of the topics, for as long as somebody asks: frames a second, latencies, the newest dead letters.

It reads what everyone may read, from the ends of the topics on, and joins no group: nothing that the other programs
say of themselves is needed, and nothing of theirs is disturbed. What it tells is what a reader of the topics has.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_END, Consumer, KafkaException, Message, TopicPartition

from api.seen import Hop, Seen
from COBY.codec import decode
from COBY.config import Config
from COBY.records import TradeEvent
from COBY.runtime.kafka import client_settings
from COBY.topics import PARTITIONS, RAW_PARTITIONS, topic_name
from COBY.utils.exceptions import ProcessingError
from COBY.utils.logging import get_logger

IDLE_SECONDS = 30.0
"""It stops when nobody has asked for so long."""
PAUSE_SECONDS = 1.0
BATCH, BATCH_SECONDS = 500, 0.05
AHEAD_KIB = 8 * 1024
EVERY = 5
"""Of trades, one in so many is decoded: an onlooker must not be the load."""
LETTERS = 50
"""Newest dead letters that are kept, and read of each partition at first."""
FRAMES = (b"ws", b"http")
HOP_OF = {"trade": "normalize", "book": "tick", "heatmap": "aggregate"}

log = get_logger(__name__)


class Letter(NamedTuple):
    """A dead letter by its headers."""

    timestamp_ms: int
    stage: str
    code: str
    detail: str
    topic: str | None


class Sight(NamedTuple):
    """What it has seen: ``seconds`` whole seconds, at most those of the window."""

    seconds: int
    last_age_seconds: float | None
    rates: dict[str, float]
    hops: list[Hop]
    letters: list[Letter]
    letter_count: int | None
    """Dead letters that the topic keeps; None: not known yet."""


class Onlooker:
    """Its thread begins with the first question and ends when there are no more."""

    def __init__(self, cfg: Config) -> None:
        self._cfg = cfg
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._asked = 0.0
        self._forget()

    def _forget(self) -> None:
        self._seen = Seen()
        self._letters: deque[Letter] = deque(maxlen=LETTERS)
        self._letter_count: int | None = None

    def ask(self) -> Sight:
        """What was seen up to now; the first answer after a pause is empty."""
        with self._lock:
            self._asked = now = time.monotonic()
            if self._thread is None and not self._ended.is_set():
                self._forget()
                self._thread = threading.Thread(target=self._run, name="onlooker", daemon=True)
                self._thread.start()
            age = None if self._seen.last_at is None else now - self._seen.last_at
            letters = sorted(self._letters, key=lambda one: -one.timestamp_ms)
            return Sight(
                self._seen.seconds(now),
                age,
                self._seen.rates(now),
                self._seen.hops(now),
                letters,
                self._letter_count,
            )

    def close(self) -> None:
        """End it."""
        self._ended.set()
        if (thread := self._thread) is not None:
            thread.join()

    def _run(self) -> None:
        while self._goes_on():
            try:
                self._read()
            except KafkaException as error:
                log.warning("onlooker_waits", error=str(error))
                self._ended.wait(PAUSE_SECONDS)

    def _goes_on(self) -> bool:
        with self._lock:
            goes_on = not self._ended.is_set() and time.monotonic() < self._asked + IDLE_SECONDS
            if not goes_on:
                self._thread = None
            return goes_on

    def _read(self) -> None:
        reader = Reader(self._cfg)
        try:
            with self._lock:
                self._letter_count = reader.begin()
            while not self._ended.is_set() and time.monotonic() < self._asked + IDLE_SECONDS:
                self._take(reader)
        finally:
            reader.close()

    def _take(self, reader: Reader) -> None:
        messages = reader.more()
        now, wall = time.monotonic(), time.time()
        with self._lock:
            for message in messages:
                if (letter := reader.letter_of(message)) is not None:
                    self._letters.append(letter)
                    assert self._letter_count is not None
                    self._letter_count += reader.is_new(message)
                else:
                    reader.note(message, self._seen, now, wall)


class Reader:
    """A consumer of raw topics, trades, books, heatmaps and dead letters. One thread uses it."""

    def __init__(self, cfg: Config) -> None:
        prefix = cfg.topic_prefix
        self._consumer = Consumer(
            client_settings(cfg) | {"group.id": "onlooker", "enable.auto.commit": False}
        )
        self._exchanges = {topic_name(prefix, "raw", name): name for name in cfg.exchanges}
        self._hops = {topic_name(prefix, name): name for name in HOP_OF}
        self._dlq = topic_name(prefix, "dlq")
        self._dlq_ends: dict[int, int] = {}
        self._trades = 0

    def begin(self) -> int:
        """Read on from now; how many dead letters there are. KafkaException where Kafka does not answer."""
        count, places = 0, []
        for number in range(PARTITIONS):
            low, high = self._consumer.get_watermark_offsets(TopicPartition(self._dlq, number), timeout=10)
            count += high - low
            self._dlq_ends[number] = high
            places.append(TopicPartition(self._dlq, number, max(low, high - LETTERS)))
        self._consumer.assign([*places, *self._ends()])
        return count

    def _ends(self) -> Iterator[TopicPartition]:
        for topics, partitions in ((self._exchanges, RAW_PARTITIONS), (self._hops, PARTITIONS)):
            for topic in topics:
                yield from (TopicPartition(topic, number, OFFSET_END) for number in range(partitions))

    def more(self) -> list[Message]:
        """What has come."""
        found = self._consumer.consume(BATCH, BATCH_SECONDS)
        return [message for message in found if message.error() is None]

    def close(self) -> None:
        """Leave."""
        self._consumer.close()

    def letter_of(self, message: Message) -> Letter | None:
        """The dead letter that it is; None: it is another record."""
        if message.topic() != self._dlq:
            return None
        said = _headers(message)
        stage, code, detail = (said.get(name, "") for name in ("stage", "code", "detail"))
        return Letter(message.timestamp()[1], stage, code, detail, said.get("topic"))

    def is_new(self, message: Message) -> bool:
        """Whether a dead letter came after `begin`, which has counted the others."""
        return (message.offset() or 0) >= self._dlq_ends[message.partition() or 0]

    def note(self, message: Message, seen: Seen, now: float, wall: float) -> None:
        """A frame, or a derived record: how long it took."""
        topic = message.topic() or ""
        if (exchange := self._exchanges.get(topic)) is not None:
            headers: Any = dict(message.headers() or ())
            if headers.get("kind") in FRAMES:
                seen.frame(exchange, now)
                seen.latency("kafka", None, wall - int(headers["received_ns"]) / 1e9, now)
            return
        name = self._hops[topic]
        seen.latency(HOP_OF[name], None, wall - message.timestamp()[1] / 1e3, now)
        if name == "trade":
            self._trades += 1
            if self._trades % EVERY == 1:
                _note_trade(message, seen, now)


def _note_trade(message: Message, seen: Seen, now: float) -> None:
    try:
        trade = decode(message.value())
    except ProcessingError:
        return  # the sinks write its dead letter
    if isinstance(trade, TradeEvent):
        seen.latency("receive", trade.exchange, (trade.received_at - trade.timestamp) / 1e6, now)


def _headers(message: Message) -> dict[str, str]:
    pairs: Any = message.headers() or ()
    return {name: value.decode(errors="replace") for name, value in pairs if value is not None}
