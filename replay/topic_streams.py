"""Pieces of topics as streams: one consumer for all of a session, each partition read no farther ahead than it must be.

A partition's records are yielded once: repeats go by (source, position), as every reader does (Recovery 6).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic
from types import MappingProxyType
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from COBY.config import Config
from COBY.runtime.kafka import broker_error
from COBY.runtime.ranges import range_consumer
from COBY.stage import parse_position
from COBY.utils.exceptions import BrokerError
from replay.items import TOPIC, Item, Name

AHEAD_RECORDS = 8_000
AHEAD_BYTES = 2 * 1024 * 1024
"""Read ahead of one partition, at most; once less than half of both is left, it is fetched again."""
REFILL_RECORDS = 64
"""Below half, what has come is taken so often, without waiting: who waits for a fetch is late."""
QUEUED_RECORDS, QUEUED_BYTES = 2_000, 256 * 1024
"""What the client itself holds of a partition, about: it is thrown away when that pauses."""
FETCH_RECORDS = 500
FETCH_SECONDS = 0.05
QUIET_SECONDS = 30.0
"""A partition that says it holds more and gives nothing for so long can't be read."""

Headers = list[tuple[str, bytes | None]]
Positions = Mapping[str, tuple[int, int]]
"""Source -> the last position taken of it."""


class Stopped(Exception):  # noqa: N818  # no error: reading was asked to end
    """Reading was asked to end."""


class Piece(NamedTuple):
    """Offsets [first, end) of a partition; ``positions``: what was taken of it before, by source."""

    topic: str
    partition: int
    first: int
    end: int
    positions: Positions = MappingProxyType({})

    @property
    def name(self) -> Name:
        """The name of its stream."""
        return self.topic, self.partition, TOPIC


class Wanted(NamedTuple):
    """Which records take part: times [from_ms, to_ms) (to_ms None: all), keys and exchanges (empty: all)."""

    from_ms: int = 0
    to_ms: int | None = None
    keys: frozenset[bytes] = frozenset()
    exchanges: frozenset[str] = frozenset()

    def has(self, item: Item) -> bool:
        """Whether it does."""
        if item.time_ms < self.from_ms or (self.to_ms is not None and item.time_ms >= self.to_ms):
            return False
        if self.keys and item.key not in self.keys:
            return False
        return not self.exchanges or self._is_of(item.source)

    def _is_of(self, source: str | None) -> bool:
        if source is None or not source.startswith("raw."):
            return True  # over all exchanges
        return source.split(".")[1] in self.exchanges


class TopicStreams:
    """The streams of several pieces, to be merged by one thread. BrokerError `kafka.refused`, `kafka.silent`."""

    def __init__(
        self, cfg: Config, pieces: Sequence[Piece], wanted: Wanted, stopped: Callable[[], bool]
    ) -> None:
        """``stopped`` is asked while nothing comes: reading then raises Stopped."""
        fetch: dict[str, Any] = {
            "fetch_wait_max_ms": 10,
            "fetch_message_max_bytes": QUEUED_BYTES,
            "queued_min_messages": QUEUED_RECORDS,
            # Once it holds as much, a second would pass before it fetches again.
            "fetch_queue_backoff_ms": 5,
            # A topic new to the client is looked for at once.
            "topic_metadata_refresh_fast_interval_ms": 10,
        }
        self._consumer = range_consumer(cfg, "replay", **fetch)
        self._stopped = stopped
        self.streams = [TopicStream(self, piece, wanted) for piece in pieces if piece.first < piece.end]
        self._by_place = {(one.piece.topic, one.piece.partition): one for one in self.streams}

    def close(self) -> None:
        """End the consumer."""
        self._consumer.close()

    def begin(self, places: Mapping[Name, int]) -> None:
        """Read all partitions from these places on, 0 where there is none: before the streams are asked."""
        for stream in self.streams:
            stream.begin(places.get(stream.name, 0))
        wanted = [stream.start() for stream in self.streams if not stream.is_read]
        if wanted:
            self._consumer.assign(wanted)

    def lost(self) -> list[str]:
        """What retention took while it was being read, a sentence each."""
        return [
            f"{one.piece.topic}/{one.piece.partition}: from offset {one.lost_from} on records went while they were read"
            for one in self.streams
            if one.lost_from is not None
        ]

    def refill(self, stream: TopicStream) -> None:
        """Fetch again if little is left of that stream, and take what has come."""
        stream.resume(self._consumer)
        for message in self._consumer.consume(FETCH_RECORDS, 0):
            self._take(message)

    def pull(self, stream: TopicStream) -> None:
        """Wait until that stream has something or is at its end."""
        heard = monotonic()
        while not stream.ready and not stream.is_read:
            if self._stopped():
                raise Stopped
            first = self._consumer.poll(FETCH_SECONDS)
            if first is not None:
                self._take(first)
                self.refill(stream)
                heard = monotonic()
            elif monotonic() > heard + QUIET_SECONDS:
                text = (
                    f"nothing came for {QUIET_SECONDS:g} seconds, though the range ends at {stream.piece.end}"
                )
                raise BrokerError(
                    "kafka.silent", text, where=f"{stream.piece.topic}/{stream.piece.partition}"
                )

    def _take(self, message: Message) -> None:
        stream = self._by_place.get((message.topic() or "", message.partition() or 0))
        error = message.error()
        if error is None:
            if stream is not None:
                stream.take(message, self._consumer)
        elif error.code() != KafkaError._PARTITION_EOF:
            raise broker_error("kafka.refused", error, where=message.topic())
        elif stream is not None:
            stream.reached(message.offset() or 0)


class TopicStream:
    """One piece of a partition: see `items.Stream`."""

    def __init__(self, streams: TopicStreams, piece: Piece, wanted: Wanted) -> None:
        """Reads nothing yet."""
        self.piece = piece
        self.ready: deque[Message] = deque()
        self.is_read = False
        """Whether all of the piece has come."""
        self.lost_from: int | None = None
        """Retention took records while it was read: the first offset that is missing."""
        self._streams = streams
        self._wanted = wanted
        self._begun = self._next = piece.first
        self._bytes = 0
        self._is_paused = False

    @property
    def name(self) -> Name:
        """Topic, partition, and that it is a topic's."""
        return self.piece.name

    def begin(self, place: int) -> None:
        """Where its reading begins."""
        self._begun = self._next = max(place, self.piece.first)
        self.is_read = self._next >= self.piece.end

    def start(self) -> TopicPartition:
        """The same for a consumer."""
        return TopicPartition(self.piece.topic, self.piece.partition, self._next)

    def since(self, place: int) -> Iterator[Item]:
        """The records from where reading has begun, which must be ``place``, that take part, without repeats. Once."""
        assert max(place, self.piece.first) == self._begun
        taken = dict(self.piece.positions)
        ready, has = self.ready, self._wanted.has
        while True:
            if not len(ready) % REFILL_RECORDS and not self.is_read and self._is_behind():
                self._streams.refill(self)
                self._streams.pull(self)
            if not ready:
                return
            message = ready.popleft()
            self._bytes -= len(message)
            item = item_of(message)
            if item.source is not None and item.position is not None:
                if item.position <= taken.get(item.source, (-1, -1)):
                    continue
                taken[item.source] = item.position
            if has(item):
                yield item

    def take(self, message: Message, consumer: Consumer) -> None:
        """One record that was fetched."""
        offset = message.offset()
        assert offset is not None
        if offset < self._next or self.is_read:
            return
        if offset > self._next:
            self.lost_from = self._next if self.lost_from is None else self.lost_from
        if offset < self.piece.end:
            self.ready.append(message)
            self._bytes += len(message)
        self._next = offset + 1
        if self._next >= self.piece.end:
            self._end(consumer)
        elif not self._is_paused and (len(self.ready) >= AHEAD_RECORDS or self._bytes >= AHEAD_BYTES):
            consumer.pause([self._partition()])
            self._is_paused = True

    def reached(self, offset: int) -> None:
        """The partition ends there."""
        self.is_read = self.is_read or offset >= self.piece.end

    def resume(self, consumer: Consumer) -> None:
        """Fetch again if it was paused and little is left."""
        if self._is_paused and self._is_behind():
            consumer.resume([self._partition()])
            self._is_paused = False

    def _is_behind(self) -> bool:
        return len(self.ready) <= AHEAD_RECORDS // 2 and self._bytes <= AHEAD_BYTES // 2

    def _end(self, consumer: Consumer) -> None:
        self.is_read = True
        consumer.pause([self._partition()])

    def _partition(self) -> TopicPartition:
        return TopicPartition(self.piece.topic, self.piece.partition)


def item_of(message: Message) -> Item:
    """A consumed record. Derived ones say first where they come from: `source`, then `position`."""
    headers: Headers = message.headers() or []  # type: ignore[assignment]  # bytes, as they are read
    source = position = None
    if len(headers) > 1:
        (one, first), (other, second) = headers[0], headers[1]
        if one == "source" and other == "position" and first is not None and second is not None:
            source, position = first.decode(), parse_position(second)
    offset = message.offset()
    assert offset is not None
    return Item(
        message.timestamp()[1],
        message.topic() or "",
        message.key(),
        message.value(),
        headers,
        offset,
        source,
        position,
    )
