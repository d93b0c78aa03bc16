"""Reading partitions from a place on, each record once: what hub and resuming clients have in common. Blocking."""

from __future__ import annotations

from typing import NamedTuple

from confluent_kafka import Message

from api.ws.channels import Partition
from api.ws.items import Item, headers_of, item_of, origin_of
from api.ws.past import LOOK_BACK_MS, Past
from api.ws.repeats import Repeats
from COBY.codec import decode
from COBY.records import Record
from COBY.runtime.reader import Position, place_of
from COBY.topics import TOPICS
from COBY.utils.exceptions import ProcessingError
from COBY.utils.logging import get_logger

log = get_logger(__name__)


class Lost(NamedTuple):
    """Records that retention took before they were read: [first, end)."""

    partition: Partition
    topic: str
    first: int
    end: int


class Tail:
    """Some partitions, being read. One thread uses it.

    ``next``: the offset after the last record taken, by partition; whoever uses a Tail adds and removes partitions
    by `begin` and `drop`.
    """

    def __init__(self, names: dict[str, str], aside: Past) -> None:
        """``names``: full topic name -> short one; ``aside``: the reader for looking back."""
        self._names = names
        self._aside = aside
        self._repeats = Repeats()
        self._seen_from: dict[Partition, int] = {}
        self.next: dict[Partition, int] = {}
        self.has_looked_back = False
        """Set when ``aside`` was used by `take`: where it reads for others too, it has to begin anew at ``next``."""

    def begin(self, partition: Partition, first: int, floor_ms: int, place: int) -> None:
        """Records are taken from ``place`` on; ``first`` and ``floor_ms`` are what `Past.look_back` found.

        The positions of the records between the two are learned.
        """
        self._repeats.begin(partition, floor_ms)
        self._seen_from[partition] = first
        self._learn(partition, first, place)
        self.next[partition] = place

    def drop(self, partition: Partition) -> None:
        """It is read no more."""
        self._repeats.forget(partition)
        self._seen_from.pop(partition, None)
        self.next.pop(partition, None)

    def take(self, message: Message) -> list[Item | Lost]:
        """What one message of `Past.more` says: what was lost before it, and its record if that is new.

        What can't be read is logged and left out: its dead letter is the sinks' to write. KafkaException, BrokerError:
        nothing was taken, ask again.
        """
        topic, number, offset = message.topic() or "", message.partition(), message.offset()
        assert number is not None
        assert offset is not None
        channel = self._names[topic]
        partition = (channel, number)
        expected = self.next.get(partition)
        if expected is None or offset < expected:
            return []  # of a partition just dropped, or begun anew
        time_ms = message.timestamp()[1]
        if message.error() is None and not self._repeats.knows(partition, time_ms):
            self._deepen(partition, time_ms)
        is_hole = offset > expected and TOPICS[channel].cleanup != "compact"
        found: list[Item | Lost] = [Lost(partition, topic, expected, offset)] if is_hole else []
        self.next[partition] = offset + (message.error() is None)
        if message.error() is not None:
            return found  # the partition's end
        try:
            item = self._item(message, channel, partition)
        except ProcessingError as error:
            log.warning("unreadable", topic=topic, partition=number, offset=offset, error=str(error))
            return found
        return found if item is None else [*found, item]

    def _item(self, message: Message, channel: str, partition: Partition) -> Item | None:
        record, source, position = _origin(channel, message)
        if not self._repeats.is_new(partition, source, position):
            return None
        item = item_of(message, record or decode(message.value()), source, position)
        if item.channel != channel:
            raise ProcessingError("codec.format", f"a {item.channel} record", where=channel)
        return item

    def _deepen(self, partition: Partition, time_ms: int) -> None:
        """A record of a time before what was looked at: its original may lie there."""
        floor_ms = time_ms - LOOK_BACK_MS
        before = self._seen_from[partition]
        self.has_looked_back = True
        first = self._aside.since(partition, floor_ms, before)
        self._learn(partition, first, before)
        self._seen_from[partition] = first
        self._repeats.deepen(partition, floor_ms)

    def _learn(self, partition: Partition, first: int, end: int) -> None:
        for message in self._aside.read(partition, first, end):
            try:
                _, source, position = _origin(partition[0], message)
            except ProcessingError:
                continue  # it was no record of its topic's when it came, either
            self._repeats.is_new(partition, source, position)


def _origin(channel: str, message: Message) -> tuple[Record | None, str, Position]:
    """(the record, where it had to be decoded for this; source; position). ProcessingError."""
    if channel != "status":
        return None, *place_of(headers_of(message))
    record = decode(message.value())
    return record, *origin_of(record, headers_of(message))
