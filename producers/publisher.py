"""Raw records -> Kafka: one bounded buffer per process, dropping the newest frames while it is full.

A frame is never dropped in silence: its ``seq`` is used up, an event ``dropped`` covers the hole, and new
snapshots are asked for. A delivery error ends the process, because what followed would leave a hole.
"""

from __future__ import annotations

import asyncio
from functools import cache, partial
from typing import Protocol

from confluent_kafka import KafkaError, Message

from COBY.codec import encode
from COBY.config import Config
from COBY.records import Status
from COBY.runtime.kafka import make_producer
from COBY.runtime.memory import memory
from COBY.runtime.metrics import Metrics
from COBY.topics import RAW_PARTITIONS, partition_of, topic_name
from COBY.utils.exceptions import BrokerError
from COBY.utils.timing import WallClock
from producers.raw import RawRecord

STAGE = "producers"
KAFKA_HOP = "kafka"
MIB = 1024 * 1024
HEADROOM_RECORDS = 10_000
"""Room in librdkafka's queue beyond our own bound, for events: they are written while frames are dropped."""
HEADROOM_KIB = 64 * 1024
POLL_SECONDS = 0.01


@cache
def _place(slot: str) -> tuple[bytes, int]:
    """Key and partition of a slot's records."""
    key = slot.encode()
    return key, partition_of(key, RAW_PARTITIONS)


class Holed(Protocol):
    """A stream that lost frames to the full buffer."""

    def resume(self) -> None:
        """There is room again: cover the hole, ask for snapshots."""


class Publisher:
    """The way of one exchange's records into Kafka. Not thread-safe: it lives in one event loop."""

    def __init__(self, cfg: Config, exchange: str, metrics: Metrics, clock: WallClock) -> None:
        """``clock`` stamps ``received_ns``. Nothing is sent before the first record."""
        self.clock = clock
        self.topic = topic_name(cfg.topic_prefix, "raw", exchange)
        self.full = False
        self._status_topic = topic_name(cfg.topic_prefix, "status")
        self._limit_records = cfg.data_buffer_size
        self._limit_bytes = cfg.max_memory_usage * MIB // 4
        self._producer = make_producer(
            cfg,
            self._fail,
            queue_buffering_max_messages=self._limit_records + HEADROOM_RECORDS,
            queue_buffering_max_kbytes=self._limit_bytes // 1024 + HEADROOM_KIB,
        )
        self._records = 0
        self._bytes = 0
        self._holed: dict[Holed, None] = {}
        self._failure: BrokerError | None = None
        self._buffered = metrics.buffered.labels(STAGE)
        self._outputs = metrics.outputs.labels(STAGE, self.topic)
        self._hop = metrics.hops.labels(KAFKA_HOP)
        self._delivered_ns = 0
        """When the first record was received of those delivered since the last look."""

    def has_room(self, size_bytes: int) -> bool:
        """Whether a frame of that size may be put; once full, not before the buffer is half empty."""
        if not self.full:
            records, size = self._records, self._bytes
            # An empty buffer takes any frame: one larger than the whole bound could else never pass.
            too_large = records > 0 and size + size_bytes > self._limit_bytes
            self.full = records >= self._limit_records or too_large or memory().full
        return not self.full

    def put(self, record: RawRecord) -> None:
        """Send a record, full or not: frames ask has_room first. BrokerError `kafka.queue_full`."""
        size = len(record.value or b"")
        key, partition = _place(record.slot)
        sent = self._producer.offer(
            self.topic,
            record.value,
            key,
            record.headers(),
            timestamp_ms=record.received_ns // 1_000_000,
            partition=partition,
            on_delivery=partial(self._delivered, size, record.received_ns),
        )
        if not sent:
            raise BrokerError(
                "kafka.queue_full", "not even events fit into the queue any more", where=self.topic
            )
        self._records += 1
        self._bytes += size

    def put_status(self, status: Status) -> None:
        """Send a status; left out while the buffer is full, as the next one follows within a second."""
        if not self.full:
            self._producer.offer(self._status_topic, encode(status), status.slot.encode())

    def dropping(self, stream: Holed) -> None:
        """Remember that a stream lost frames: it is told when there is room again."""
        self._holed[stream] = None

    def forget(self, stream: Holed) -> None:
        """The stream has ended."""
        self._holed.pop(stream, None)

    async def run(self) -> None:
        """Serve deliveries until cancelled; raises the BrokerError of a record that can't be delivered."""
        while True:
            self.serve()
            await asyncio.sleep(POLL_SECONDS)

    def serve(self) -> None:
        """Take deliveries in; end the dropping when the buffer is half empty; raise what went wrong."""
        self._producer.poll(0)
        if self._failure is not None:
            raise self._failure
        self._buffered.set(self._records)
        if self._delivered_ns:
            self._hop.observe(max(0.0, self.clock.now_us() / 1e6 - self._delivered_ns / 1e9))
            self._delivered_ns = 0
        half = self._records * 2 <= self._limit_records and self._bytes * 2 <= self._limit_bytes
        if self.full and half and not memory().full:
            self.full = False
            holed, self._holed = self._holed, {}
            for stream in holed:
                stream.resume()

    async def flush(self, seconds: float) -> None:
        """Wait until all is delivered; BrokerError `kafka.unflushed` if that takes longer than `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while len(self._producer):
                    self.serve()
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError as error:
            message = f"{len(self._producer)} records were not delivered within {seconds:g} s"
            raise BrokerError("kafka.unflushed", message, where=self.topic) from error

    @property
    def healthy(self) -> bool:
        """Whether frames are taken."""
        return not self.full and self._failure is None

    def _delivered(self, size: int, received_ns: int, error: KafkaError | None, _message: Message) -> None:
        self._records -= 1
        self._bytes -= size
        self._delivered_ns = self._delivered_ns or received_ns
        if error is None:
            self._outputs.inc()

    def _fail(self, error: BrokerError) -> None:
        self._failure = self._failure or error
