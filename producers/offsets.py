"""Asking Kafka where a partition begins and ends, also in the moment in which its leader is being chosen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from COBY.runtime import ranges
from COBY.runtime.kafka import ANSWER_SECONDS, broker_error
from COBY.utils.exceptions import BrokerError

RETRY_SECONDS = 0.2
Answer = TypeVar("Answer")


def bounds(consumer: Consumer, topic: str, number: int) -> tuple[int, int]:
    """First offset and end offset. BrokerError `kafka.unreachable` if no leader answers within ten seconds."""
    partition = TopicPartition(topic, number)
    answer = _asked(topic, lambda: consumer.get_watermark_offsets(partition, ANSWER_SECONDS))
    assert answer is not None, "the call was not cached"
    return answer


def first_since(consumer: Consumer, topic: str, number: int, time_ms: int) -> int | None:
    """Offset of the first record with that time or a later one, None if there is none. Errors as `bounds`."""
    partition = TopicPartition(topic, number, time_ms)
    (found,) = _asked(topic, lambda: consumer.offsets_for_times([partition], ANSWER_SECONDS))
    if found.error is not None:
        raise broker_error("kafka.unreachable", found.error, where=topic)
    offset = int(found.offset)
    return offset if offset >= 0 else None


def read_range(consumer: Consumer, topic: str, number: int, start: int, end: int) -> Iterator[Message]:
    """The records of one partition from offset ``start`` up to, without, ``end``, where they still exist.

    BrokerError `kafka.unreachable` if none comes for ten seconds.
    """
    try:
        yield from ranges.read_range(consumer, (topic, number), start, end, silence_seconds=ANSWER_SECONDS)
    except BrokerError as error:
        raise BrokerError("kafka.unreachable", error.message, where=topic) from error


def _asked(topic: str, question: Callable[[], Answer]) -> Answer:
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            return question()
        except KafkaException as error:
            # A topic just made has no leader yet; one whose broker died gets another.
            if time.monotonic() > deadline:
                raise broker_error("kafka.unreachable", error, where=topic) from error
        time.sleep(RETRY_SECONDS)
