"""Marks in raw topics: writing one, and finding the newest ones there."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import Consumer, Message

from COBY.config import Config
from COBY.runtime.kafka import GaplessProducer, make_consumer
from COBY.topics import RAW_PARTITIONS
from producers.offsets import bounds, first_since, read_range

CLOCK = "clock"


def put_mark(producer: GaplessProducer, topic: str, partition: int, time_us: int) -> None:
    """Send the mark of ``time_us`` (T, microseconds): empty value, T as Kafka's timestamp too."""
    headers = [("received_ns", str(time_us * 1000)), ("conn", CLOCK), ("seq", "0"), ("kind", "mark")]
    producer.produce(topic, b"", CLOCK.encode(), headers, timestamp_ms=time_us // 1000, partition=partition)


def last_marks(cfg: Config, topics: Iterable[str], since_us: int) -> dict[tuple[str, int], int | None]:
    """For every partition of the topics its newest mark, None where none is newer than ``since_us``.

    Older ones need not be found: no mark before now is written. Kafka finds the first record with a time after
    ``since_us`` by its index, and in a sane topic there is none. BrokerError `kafka.unreachable`.
    """
    consumer = make_consumer(cfg, f"{cfg.topic_prefix}.marks")
    try:
        found: dict[tuple[str, int], int | None] = {}
        for topic in topics:
            for number in range(RAW_PARTITIONS):
                found[topic, number] = _newest(consumer, topic, number, since_us)
        return found
    finally:
        consumer.close()


def _newest(consumer: Consumer, topic: str, number: int, since_us: int) -> int | None:
    start = first_since(consumer, topic, number, since_us // 1000 + 1)
    if start is None:
        return None
    _, end = bounds(consumer, topic, number)
    times = [mark_time_us(message) for message in read_range(consumer, topic, number, start, end)]
    return max((time_us for time_us in times if time_us is not None), default=None)


def mark_time_us(message: Message) -> int | None:
    """T of a mark in microseconds, None for any other record."""
    headers = dict(message.headers() or ())
    text = headers.get("received_ns")
    if headers.get("kind") != b"mark" or not isinstance(text, bytes) or not text.isdigit():
        return None
    return int(text) // 1000
