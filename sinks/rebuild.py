"""Filling an empty Redis: each partition from the topics, helped by the database where the newest record lies far back.

A partition's entries appear all at once and end at its newest record of that moment, so that no reader ever sees an
older value than before the loss. What is read: the tail of the partition (TAILS), and beyond it, record by record,
the newest of each key that the database knows and the tail does not hold.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from confluent_kafka import Consumer, Message, TopicPartition

from COBY.config import Config
from COBY.runtime.kafka import ANSWER_SECONDS
from COBY.runtime.ranges import range_consumer, read_range
from COBY.runtime.redis import Client
from COBY.utils.exceptions import CobyError
from COBY.utils.logging import get_logger
from sinks.cache import entry_of_message, write_rebuilt
from sinks.intake import Partition
from sinks.known import TABLES, Key, Known, asking, keys_of
from sinks.latest import TAIL, TAILS, Entry
from sinks.letters import Letter

LOOK_AHEAD = 10_000
"""Records read from the offset at which the database says a key's newest one was received, at most."""

log = get_logger(__name__)


class Span(NamedTuple):
    """A partition's oldest offset and its end."""

    first: int
    end: int


class Filled:
    """What has been filled, partition by partition; an attempt that breaks off leaves what is done."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.ends: dict[Partition, int] = {}
        """Up to where each partition is filled."""
        self.letters: list[Letter] = []
        """Records that can't be used and were not read before."""
        self.new: Counter[str] = Counter()
        """Records that were not read before, by channel."""
        self.complete = True
        """Whether the database could be asked for all of it."""


class Rebuild:
    """Fills partitions one after the other. One thread uses it."""

    def __init__(
        self, cfg: Config, names: Mapping[str, str], client: Client, stopped: Callable[[], bool]
    ) -> None:
        """``names``: full topic name -> channel; ``stopped``: whether to give up."""
        self._cfg = cfg
        self._names = names
        self._client = client
        self._stopped = stopped

    def fill(
        self,
        spans: Mapping[Partition, Span],
        known: Mapping[Partition, int],
        filled: Filled,
        *,
        without_database: bool = True,
    ) -> None:
        """Fill these partitions, each noted in ``filled``; told to stop, it leaves the rest unmarked.

        ``known``: up to where each has been read before. ``without_database`` False: nothing is done while the
        database can't be asked. redis.RedisError, KafkaException, BrokerError.
        """
        consumer = range_consumer(self._cfg, "rebuild")
        try:
            with asking(self._cfg) as database:
                for partition, span in spans.items():
                    if not (database.complete or without_database):
                        break
                    tail = Tail(self._names[partition[0]], known.get(partition, 0))
                    entries = self._entries(consumer, partition, span, database, tail)
                    if self._stopped():
                        break
                    write_rebuilt(self._client, self._cfg.topic_prefix, partition, entries)
                    filled.ends[partition] = span.end
                    filled.letters += tail.letters
                    filled.new[tail.channel] += tail.new
                filled.complete = filled.complete and database.complete
        finally:
            consumer.close()

    def _entries(
        self, consumer: Consumer, partition: Partition, span: Span, database: Known, tail: Tail
    ) -> list[Entry]:
        """What Redis would hold of the partition, in order of writing."""
        start = tail_start(tail.channel, span)
        if start >= span.end:
            return []
        if tail.channel in TABLES and (stored := database.next_offset(partition)) is not None:
            # What the database has not got yet it can't name: read from there, if that is further back.
            start = max(span.first, min(start, stored))
        messages = read_range(consumer, partition, start, span.end, stopped=self._stopped)
        kept = Kept(self._usable(tail.noted(messages), tail.refuse))
        there = kept.latest_keys()
        found = [
            self._find(consumer, partition, key, database.received_ms(tail.channel, key), start)
            for key in keys_of(self._cfg, tail.channel, partition)
            if key.latest not in there
        ]
        return [entry for entry in found if entry is not None] + kept.entries()

    def _usable(
        self, messages: Iterable[Message], refuse: Callable[[Message, CobyError], object]
    ) -> Iterator[Entry]:
        for message in messages:
            try:
                yield entry_of_message(self._cfg.topic_prefix, self._names, message)
            except CobyError as error:
                refuse(message, error)

    def _find(
        self, consumer: Consumer, partition: Partition, key: Key, received_ms: int | None, end: int
    ) -> Entry | None:
        """The newest entry of a key among the records from that time on, before ``end``; None: there is none."""
        if received_ms is None:
            return None
        (place,) = consumer.offsets_for_times(
            [TopicPartition(*partition, received_ms)], timeout=ANSWER_SECONDS
        )
        first = place.offset
        if not 0 <= first < end:
            return None
        near = read_range(consumer, partition, first, min(end, first + LOOK_AHEAD), stopped=self._stopped)
        usable = self._usable(near, lambda *_: None)  # buried when it was first read
        found = [entry for entry in usable if entry.latest == key.latest]
        if not found:
            log.warning("latest_not_found", key=key.latest, topic=partition[0], offset=first)
            return None
        # Long out of the live feed, and out of order in it.
        return max(found, key=lambda entry: entry.position)._replace(feed_length=0)


class Tail:
    """What is noted of a partition's records while they are read: those not read before ``known``."""

    def __init__(self, channel: str, known: int) -> None:
        self.channel = channel
        self.new = 0
        self.letters: list[Letter] = []
        self._known = known

    def noted(self, messages: Iterable[Message]) -> Iterator[Message]:
        """The records, counted."""
        for message in messages:
            self.new += self._is_new(message)
            yield message

    def refuse(self, message: Message, error: CobyError) -> None:
        """Note a record that can't be used."""
        if self._is_new(message):
            self.letters.append(Letter(message, error.code, error.detail()))

    def _is_new(self, message: Message) -> bool:
        offset = message.offset()
        assert offset is not None
        return offset >= self._known


def tail_start(channel: str, span: Span) -> int:
    """Where the tail of a partition begins that is read in any case."""
    return max(span.first, span.end - TAILS.get(channel, TAIL))


class Kept:
    """Entries in order, reduced to what Redis keeps: the newest of each key and source, and each feed's last ones."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        """Takes all entries; repeats and older ones fall out, as they would one by one."""
        self._newest: dict[str, tuple[int, Entry]] = {}
        self._feeds: dict[str, deque[tuple[int, Entry]]] = {}
        for number, entry in enumerate(entries):
            former = self._newest.get(entry.field)
            if former is not None and entry.position <= former[1].position:
                continue
            self._newest[entry.field] = number, entry
            feed = self._feeds.setdefault(entry.feed, deque(maxlen=entry.feed_length))
            feed.append((number, entry))

    def latest_keys(self) -> set[str]:
        """The keys of latest values among them."""
        return {entry.latest for _, entry in self._newest.values()}

    def entries(self) -> list[Entry]:
        """What is kept, in order."""
        kept = dict(self._newest.values())
        for feed in self._feeds.values():
            kept |= dict(feed)
        return [kept[number] for number in sorted(kept)]
