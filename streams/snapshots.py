"""Recovery snapshots in Kafka: written when all that came before is delivered, read when a partition is taken over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from confluent_kafka import Message, TopicPartition

from COBY.config import Config
from COBY.runtime.kafka import ANSWER_SECONDS, GaplessProducer
from COBY.runtime.ranges import range_consumer, read_range
from COBY.snapshots import Snapshot, candidates, key, keys, pack, usable
from COBY.topics import PARTITIONS, partition_of, topic_name
from COBY.utils.exceptions import ProcessingError
from COBY.utils.logging import get_logger

QUIET_SECONDS = 30.0
"""A topic that says it holds more and gives nothing for so long can't be read."""
HOUR_SECONDS = 3600

Place = tuple[str, str, int]
"""Stage, topic without prefix, partition."""

log = get_logger(__name__)


class SnapshotStore:
    """The state and checkpoint topics of one TOPIC_PREFIX."""

    def __init__(
        self, cfg: Config, producer: GaplessProducer, clock: Callable[[], float] = time.time
    ) -> None:
        """``clock`` gives seconds since 1970: checkpoints are made at full hours."""
        self._cfg = cfg
        self._producer = producer
        self._clock = clock
        self._hours: dict[Place, int] = {}

    async def write(self, snapshot: Snapshot) -> None:
        """Write one and see it delivered; the first of an hour into the checkpoints too."""
        hour = int(self._clock() // HOUR_SECONDS)
        topics = [self._topic("state", snapshot.stage)]
        if self._hours.get(snapshot.task) != hour:
            topics.append(self._topic("checkpoint", snapshot.stage))
        name, value = key(snapshot), pack(snapshot)
        await asyncio.gather(*[self._deliver(topic, name, value) for topic in topics])
        self._hours[snapshot.task] = hour

    async def read(self, wanted: dict[Place, int]) -> dict[Place, list[Snapshot]]:
        """Tasks with the ends of their partitions -> the snapshots to try, best first.

        The checkpoints are only looked at for tasks of which the state topic holds none that can be used: an older
        snapshot is as right as a newer one, it only takes longer.
        """
        return await asyncio.to_thread(self._read, wanted)

    def _read(self, wanted: dict[Place, int]) -> dict[Place, list[Snapshot]]:
        found: dict[Place, list[Snapshot]] = {place: [] for place in wanted}
        for kind in ("state", "checkpoint"):
            missing = {place for place in wanted if not found[place]}
            for stage in sorted({place[0] for place in missing}):
                ours = {place for place in missing if place[0] == stage}
                read = list(self._snapshots(self._topic(kind, stage), ours))
                for place in ours:
                    mine = (one for one in read if one.task == place)
                    found[place] = candidates(mine, wanted[place])
        return found

    def _snapshots(self, topic: str, places: Iterable[Place]) -> Iterator[Snapshot]:
        """The usable snapshots of these tasks in a topic; what can't be used is told and passed over."""
        asked = {one for place in places for one in keys(*place)}

        def refuse(message: Message, error: ProcessingError) -> None:
            where = {"topic": topic, "partition": message.partition(), "offset": message.offset()}
            log.error("snapshot_unusable", **where, error=str(error))

        messages = self._messages(topic, sorted({partition_of(one, PARTITIONS) for one in asked}))
        return usable(messages, asked, refuse)

    def _messages(self, topic: str, partitions: Iterable[int]) -> Iterator[Message]:
        """Every record of these partitions up to their ends of now. BrokerError kafka.silent, kafka.refused."""
        consumer = range_consumer(self._cfg, "snapshots")
        try:
            for number in partitions:
                place = TopicPartition(topic, number)
                first, end = consumer.get_watermark_offsets(place, timeout=ANSWER_SECONDS) or (0, 0)
                yield from read_range(consumer, (topic, number), first, end, silence_seconds=QUIET_SECONDS)
        finally:
            consumer.close()

    def _topic(self, kind: str, stage: str) -> str:
        return topic_name(self._cfg.topic_prefix, f"{kind}.{stage}")

    async def _deliver(self, topic: str, name: bytes, value: bytes) -> None:
        done = asyncio.get_running_loop().create_future()

        def delivered(error: Any, _message: Any) -> None:  # from within poll, which the loop's thread calls
            if error is None and not done.done():
                done.set_result(None)

        while not self._producer.offer(topic, value, name, on_delivery=delivered):
            await asyncio.sleep(0.01)  # the outbox serves deliveries meanwhile
        await done
