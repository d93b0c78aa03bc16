"""Reading a stretch of a partition's past: what came before a place, from a place on, since a time.

One object is one consumer without a group, used by one thread at a time. KafkaException and BrokerError go to whoever
asked.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import monotonic
from typing import Any

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, Message, TopicPartition

from api.ws.channels import Partition
from api.ws.repeats import ALL_MS
from api.ws.topic_ids import TopicIds
from COBY.config import Config
from COBY.runtime.kafka import ANSWER_SECONDS, make_consumer
from COBY.topics import TOPICS, topic_name
from COBY.utils.exceptions import BrokerError

LOOK_BACK_MS = 10_000
"""Repeats farther back than this of stream time are rare, and looked for when one may have come."""
FETCH_RECORDS = 500
POLL_SECONDS = 0.1
NOT_THERE = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_TOPIC_ID,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
)
SHORTLY: dict[str, Any] = {
    "fetch_wait_max_ms": 50,
    "enable_partition_eof": True,
    "client_id": "coby-api",
    # What this process reads ahead for one client or for all is memory.
    "queued_max_messages_kbytes": 8_192,
    "fetch_queue_backoff_ms": 50,
}


class Past:
    """See above. Connects when first used."""

    def __init__(self, cfg: Config) -> None:
        """Its group is the Redis sink's, for `in_redis`; it never joins it nor commits."""
        self.lock = threading.Lock()
        """For whoever hands it from thread to thread."""
        self._cfg = cfg
        self._prefix = cfg.topic_prefix
        self._consumer = self._make()
        self._topics = TopicIds(cfg)
        self._known: dict[str, str] = {}

    def _make(self) -> Consumer:
        return make_consumer(self._cfg, f"{self._prefix}-redis", **SHORTLY)

    def close(self) -> None:
        """End its client."""
        self._consumer.close()

    def topic_id(self, name: str) -> str:
        """The id of a topic, which is read as that from now on. BrokerError."""
        found = self._topics.one(name)
        self.expect(name, found)
        return found

    def expect(self, name: str, topic_id: str) -> None:
        """That topic has this id: what the consumer knows of a former one, epochs and errors, is of no use."""
        if self._known.setdefault(name, topic_id) != topic_id:
            self._known[name] = topic_id
            self._consumer.close()
            self._consumer = self._make()

    def bounds(self, partition: Partition) -> tuple[int, int]:
        """(oldest offset, end offset)."""
        found = self._consumer.get_watermark_offsets(self._named(partition), ANSWER_SECONDS)
        if found is None:
            raise BrokerError("kafka.silent", "a broker does not answer", where=self._named(partition).topic)
        return found

    def in_redis(self, partition: Partition) -> int | None:
        """All records before this offset are in Redis; None: nobody has written any there."""
        (place,) = self._consumer.committed([self._named(partition)], ANSWER_SECONDS)
        return None if place.offset in (OFFSET_INVALID, None) or place.offset < 0 else place.offset

    def look_back(self, partition: Partition, offset: int) -> tuple[int, int]:
        """Where to begin before ``offset``, and the time from which on all records before it are then seen."""
        first, _ = self.bounds(partition)
        if offset <= first or TOPICS[partition[0]].cleanup == "compact":
            return first, ALL_MS
        last = next(self.read(partition, offset - 1, offset), None)
        if last is None:  # retention was faster
            return offset, ALL_MS
        floor_ms = last.timestamp()[1] - LOOK_BACK_MS
        return self.since(partition, floor_ms, offset), floor_ms

    def since(self, partition: Partition, time_ms: int, until: int) -> int:
        """The first offset whose time is at least that; at most ``until``."""
        asked = TopicPartition(self._named(partition).topic, partition[1], max(0, time_ms))
        (found,) = self._consumer.offsets_for_times([asked], ANSWER_SECONDS)
        if found.error is not None:
            raise KafkaException(found.error)
        return until if found.offset < 0 else min(found.offset, until)

    def read(self, partition: Partition, first: int, end: int) -> Iterator[Message]:
        """The records of [first, end). BrokerError `kafka.silent`."""
        if first >= end:
            return
        self.begin({partition: first})
        heard = monotonic()
        try:
            while monotonic() < heard + ANSWER_SECONDS:
                for message in self.more():
                    heard = monotonic()
                    offset = message.offset()
                    assert offset is not None
                    if message.error() is None and offset < end:
                        yield message
                    if offset + (message.error() is None) >= end:
                        return
        finally:
            self.leave()
        raise BrokerError("kafka.silent", "a partition can't be read", where=f"{partition[0]}/{partition[1]}")

    def begin(self, places: dict[Partition, int]) -> None:
        """From now on `more` gives what these hold from there on."""
        self._consumer.assign(
            [TopicPartition(self._named(name).topic, name[1], offset) for name, offset in places.items()]
        )

    def more(self) -> list[Message]:
        """What has come, or nothing after a moment; the end of a partition comes as a message with that error.

        Of a topic that is not there nothing comes: that is its own readers' matter, not that of the others.
        """
        first = self._consumer.poll(POLL_SECONDS)
        if first is None:
            return []
        found = []
        for message in (first, *self._consumer.consume(FETCH_RECORDS, 0)):
            error: Any = message.error()
            if error is None or error.code() == KafkaError._PARTITION_EOF:
                found.append(message)
            elif error.code() not in NOT_THERE:
                raise KafkaException(error)
        return found

    def leave(self) -> None:
        """`more` gives nothing any more."""
        self._consumer.unassign()

    def _named(self, partition: Partition) -> TopicPartition:
        return TopicPartition(topic_name(self._prefix, partition[0]), partition[1])
