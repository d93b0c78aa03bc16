"""Messages read from topics by a consumer of their own, without a group."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from COBY.config import Config
from COBY.orchestrator.cursors import Partition, cursor_text
from COBY.orchestrator.messages import Message, Missed, Moved, Place, Update, channel_of
from COBY.orchestrator.wanted import Wanted
from COBY.runtime.kafka import broker_error, make_consumer
from COBY.runtime.offsets import Offsets
from COBY.runtime.reader import Reader
from COBY.runtime.reading import Consumed, consumed
from COBY.utils.exceptions import BrokerError, ProcessingError

WAIT_SECONDS = 0.1
FETCH_RECORDS = 500


class KafkaFeed:
    """A `Feed` of partitions from known offsets on. Its cursor speaks of what was handed out alone."""

    def __init__(
        self,
        cfg: Config,
        wanted: Wanted,
        begin: Mapping[Partition, int],
        taken: Mapping[Partition, Mapping[str, str]],
        scene: Sequence[Message] = (),
    ) -> None:
        """``begin``: the next offset of each partition; ``taken``: positions taken before; ``scene`` comes first."""
        self._cfg = cfg
        self._wanted = wanted
        self._next = dict(begin)
        self._run: int | None = None
        self._reader, self._passed = Reader(), Reader()
        self._passed_next = dict(begin)
        for (topic, number), positions in taken.items():
            self._reader.load(topic, number, positions)
            self._passed.load(topic, number, positions)
        self._scene: Sequence[Message] = scene
        self._lock = threading.Lock()
        # Left to itself the client would go on at the oldest record and say nothing.
        self._consumer = make_consumer(cfg, f"{cfg.topic_prefix}.orchestrator", auto_offset_reset="error")
        self._assign()

    def is_read(self) -> bool:
        """Whether all that is there now was read. BrokerError `kafka.refused`."""
        ends = _asked(Offsets(self._cfg).ends, list(self._next))
        return all(self._next[place] >= end for place, end in ends.items())

    async def batch(self) -> Sequence[Message]:
        """What has come within a tenth of a second. BrokerError `kafka.refused`."""
        if self._scene:
            scene, self._scene = self._scene, ()
            return scene
        return await asyncio.to_thread(self._read)

    def passed(self, message: Message) -> None:
        """Remember where to go on after it."""
        if not isinstance(message, Update) or message.place is None:
            return
        topic, number, offset = message.place
        self._passed_next[topic, number] = offset + 1
        if message.session is not None and message.run is not None and message.n is not None:
            self._passed.is_new(topic, number, message.session, (message.run, message.n))
        elif message.source is not None and message.position is not None:
            self._passed.is_new(topic, number, message.source, message.position)

    def cursor(self) -> str:
        """Offsets and positions of what was handed out."""
        taken = {place: self._passed.save(*place) for place in self._passed_next}
        return cursor_text(self._passed_next, taken)

    async def close(self) -> None:
        """End the consumer, once the thread that may be reading has let go of it."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        with self._lock:
            self._consumer.close()

    def _assign(self) -> None:
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in self._next.items()])

    def _read(self) -> list[Message]:
        found: list[Message] = []
        lost: list[Partition] = []
        with self._lock:
            first = self._consumer.poll(WAIT_SECONDS)
            batch: list[Any] = []
            if first is not None:
                batch = [first, *self._consumer.consume(FETCH_RECORDS, 0)]
            for message in batch:
                place = (message.topic(), message.partition())
                error = message.error()
                if error is None:
                    self._take(place, message, found)
                elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                    lost.append(place)
                else:
                    raise broker_error("kafka.refused", error, where=f"{place[0]}/{place[1]}")
            if lost:
                found += self._resumed(lost)
        return found

    def _take(self, place: Partition, message: Any, found: list[Message]) -> None:
        offset, following = message.offset(), self._next[place]
        if offset < following:
            return  # fetched before the last assignment
        if offset > following:
            found.append(_hole("hole", place, following, offset))
        self._next[place] = offset + 1
        try:
            one = consumed(message, self._reader)
        except ProcessingError as error:
            found.append(Missed("unusable", str(error), count=1))
            return
        if one is None:
            return
        if one.run is not None:
            if self._run is not None and one.run > self._run:
                found.append(Moved(str(one.session), one.run))
            self._run = one.run
        update = _update(one, message.topic())
        if self._wanted.has(update):
            found.append(update)

    def _resumed(self, lost: list[Partition]) -> list[Message]:
        """Retention was faster: go on at the oldest there is, and say what is gone."""
        oldest = _asked(Offsets(self._cfg).oldest, lost)
        gone = [_hole("retention", place, self._next[place], oldest[place]) for place in lost]
        self._next |= oldest
        for place in lost:
            self._passed_next[place] = oldest[place]
        self._assign()
        return list(gone)


def _asked(
    ask: Callable[[list[Partition]], dict[Partition, int]], places: list[Partition]
) -> dict[Partition, int]:
    try:
        return ask(places)
    except (KafkaException, TimeoutError) as error:
        raise BrokerError("kafka.refused", str(error) or "no answer", where=places[0][0]) from error


def _hole(reason: str, place: Partition, first: int, end: int) -> Missed:
    channel = place[0].split(".")[-2]
    # A topic that was made anew begins below: how much is gone nobody knows.
    count = end - first if end > first else None
    return Missed(reason, f"{place[0]}/{place[1]}: offsets {first} to {end} did not come", channel, count)


def _update(one: Consumed, topic: str) -> Update:
    return Update(
        channel_of(one.record),
        one.record,
        one.source,
        one.position,
        one.prelude,
        one.session,
        one.run,
        one.n,
        Place(topic, one.partition, one.offset),
    )
