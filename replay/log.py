"""Partitions of Kafka read by offset or time, by a consumer that is in no group's way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from time import monotonic, sleep
from typing import Any, NamedTuple

from confluent_kafka import KafkaException, Message
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]  # re-exported without __all__

from COBY.config import Config
from COBY.runtime.kafka import ANSWER_SECONDS, admin, broker_error, require_broker
from COBY.runtime.offsets import MOVING, offsets_at
from COBY.runtime.ranges import range_consumer, read_range
from COBY.stage import StoredRecord

Place = tuple[str, int]
"""Topic and partition."""
BATCH_RECORDS = 500
PAUSE_SECONDS = 0.2
QUIET_SECONDS = 30.0
"""A partition that says it holds more and gives nothing for so long can't be read."""


class Range(NamedTuple):
    """Stream time from ``from_ms`` until, without, ``to_ms``; milliseconds, as Kafka keeps times."""

    from_ms: int
    to_ms: int

    def holds(self, time_ms: int) -> bool:
        """Whether that time is in it."""
        return self.from_ms <= time_ms < self.to_ms


class Log:
    """The topics of a TOPIC_PREFIX. Errors: BrokerError `kafka.refused`, `kafka.silent`, `kafka.unreachable`."""

    def __init__(self, cfg: Config) -> None:
        """Asks the broker which topics there are."""
        self._admin = admin(cfg)
        self.topics = require_broker(cfg, self._admin).topics
        # Partition after partition is assigned: a fetch that waits for more holds the next one up.
        more = {"fetch_wait_max_ms": 10, "topic_metadata_refresh_fast_interval_ms": 10}
        self._consumer = range_consumer(cfg, "verify", **more)

    def close(self) -> None:
        """End the consumer."""
        self._consumer.close()

    def partitions(self, topic: str) -> list[int]:
        """The numbers of a topic's partitions; none of a topic that is not there."""
        return sorted(self.topics[topic].partitions) if topic in self.topics else []

    def bounds(self, topic: str, number: int) -> tuple[int, int]:
        """Oldest offset and end offset of now."""
        oldest, newest = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]
        return self._offset(topic, number, oldest), self._offset(topic, number, newest)

    def first_since(self, topic: str, number: int, time_ms: int) -> int:
        """Offset of the first record of that time or later; the end offset if there is none."""
        offset = self._offset(topic, number, OffsetSpec.for_timestamp(max(0, time_ms)))
        return offset if offset >= 0 else self.bounds(topic, number)[1]

    def all_bounds(self, places: Iterable[Place]) -> dict[Place, tuple[int, int]]:
        """`bounds` of several partitions at once."""
        asked = list(places)
        oldest = self._offsets(asked, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        newest = self._offsets(asked, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        return {place: (offset, newest[place]) for place, offset in oldest.items()}

    def all_first_since(self, times_ms: Mapping[Place, int]) -> dict[Place, int]:
        """`first_since` of several partitions at once, each with a time of its own."""
        found: dict[Place, int] = {}
        for time_ms in set(times_ms.values()):
            asked = [place for place, time in times_ms.items() if time == time_ms]
            found |= self._offsets(asked, OffsetSpec.for_timestamp(max(0, time_ms)))
        none = [place for place, offset in found.items() if offset < 0]
        return found | self._offsets(none, OffsetSpec.latest())  # type: ignore[no-untyped-call]

    def _offset(self, topic: str, number: int, spec: OffsetSpec) -> int:
        return self._offsets([(topic, number)], spec)[topic, number]

    def _offsets(self, places: Sequence[Place], spec: OffsetSpec) -> dict[Place, int]:
        """Asked by a client of its own: on the consumer's connection each question waits behind a long fetch."""
        until = monotonic() + ANSWER_SECONDS
        while places:
            try:
                return offsets_at(self._admin, places, spec)
            except KafkaException as error:
                if error.args[0].code() not in MOVING or monotonic() > until:
                    where = ", ".join(f"{topic}/{number}" for topic, number in places[:3])
                    raise broker_error("kafka.refused", error, where=where) from error
                # The client goes on asking by the leader that it knows; looking at the topics tells it the new one.
                self._admin.list_topics(timeout=ANSWER_SECONDS)
                sleep(PAUSE_SECONDS)
        return {}

    def batches(self, topic: str, number: int, start: int, end: int) -> Iterator[list[Message]]:
        """The records from offset ``start`` up to, without, ``end``, in pieces, where they still exist."""
        place = (topic, number)
        messages = read_range(self._consumer, place, start, end, silence_seconds=QUIET_SECONDS)
        while batch := list(islice(messages, BATCH_RECORDS)):
            yield batch


def stored(message: Any) -> StoredRecord:
    """A consumed message as tasks take it."""
    return StoredRecord(
        message.offset(), message.timestamp()[1], message.key(), message.value(), message.headers() or []
    )
