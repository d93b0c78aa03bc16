"""When the first record at or after an offset was made: what lag in seconds is counted from."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic

from confluent_kafka import Consumer, KafkaException, TopicPartition

from COBY.config import Config
from COBY.runtime.kafka import client_settings
from COBY.utils.logging import get_logger

READ_SECONDS = 2.0
POLL_SECONDS = 0.1
BATCH = 500

Place = tuple[str, int, int]
"""Topic, partition, offset."""

log = get_logger(__name__)


class FirstTimes:
    """Reads one record a partition, by a consumer without a group, and remembers what is asked for again.

    A place that stays is read once: a group that stands still costs nothing. One thread uses it.
    """

    def __init__(self, cfg: Config) -> None:
        """Connects when first asked."""
        self._settings = client_settings(cfg) | {
            "group.id": f"{cfg.topic_prefix}-lag",  # librdkafka wants one; nothing joins it
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",  # retention may just have taken the place
            # A broker sends the batch that the record is in at least: no more than that is wanted.
            "fetch.message.max.bytes": 1_024,
            "fetch.wait.max.ms": 50,
            "queued.min.messages": 1,
            "queued.max.messages.kbytes": 4_096,
        }
        self._consumer: Consumer | None = None
        self._known: dict[Place, int] = {}

    def close(self) -> None:
        """End its client."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def read(self, places: Iterable[Place]) -> dict[Place, int]:
        """Milliseconds since the epoch, by place. Those that did not come within two seconds are left out."""
        asked = set(places)
        self._known = {place: time_ms for place, time_ms in self._known.items() if place in asked}
        missing = asked - self._known.keys()
        # Two groups may stand at two places of one partition, and a client reads a partition at one: in rounds.
        while missing:
            this = {(topic, number): (topic, number, at) for topic, number, at in sorted(missing)}
            missing -= set(this.values())
            try:
                self._known |= self._fetch(this)
            except KafkaException as error:
                log.warning("times_unread", error=str(error))
                break
        return dict(self._known)

    def _fetch(self, places: dict[tuple[str, int], Place]) -> dict[Place, int]:
        if self._consumer is None:
            self._consumer = Consumer(self._settings)
        consumer = self._consumer
        found: dict[Place, int] = {}
        asked = [TopicPartition(*place) for place in places.values()]
        consumer.assign(asked)
        consumer.resume(asked)  # a pause outlives the assignment it was made in
        until = monotonic() + READ_SECONDS
        try:
            while len(found) < len(places) and monotonic() < until:
                for message in consumer.consume(BATCH, POLL_SECONDS):
                    topic, number, offset = message.topic() or "", message.partition(), message.offset()
                    place = places.get((topic, -1 if number is None else number))
                    if message.error() is not None or place is None or place in found:
                        continue
                    if offset is not None and offset >= place[2]:
                        found[place] = message.timestamp()[1]
                        consumer.pause([TopicPartition(topic, place[1])])
        finally:
            consumer.unassign()
        return found
