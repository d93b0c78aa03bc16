"""Records on their way into the database: repeats dropped, decoded, made into rows, counted against the limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from confluent_kafka import Message

from COBY.codec import decode
from COBY.records import NAMES, Record
from COBY.runtime.reader import Reader, place_of
from COBY.utils.exceptions import CobyError, ProcessingError
from sinks.intake import Partition, headers_of
from sinks.letters import Letter
from sinks.rows import Row, rows_of
from sinks.writer import Item, Step


class Hole(NamedTuple):
    """Offsets [first, end) of a partition that Kafka no longer has and the database never got."""

    topic: str
    partition: int
    first: int
    end: int


class Batch:
    """What is written in one transaction."""

    def __init__(self) -> None:
        """Empty."""
        self.items: list[Item] = []
        self.letters: list[Letter] = []
        self.holes: list[Hole] = []
        self.steps: dict[Partition, tuple[int, int]] = {}
        """From where to where each partition moves: (expected, next offset)."""
        self.records = 0
        self.rows = 0
        self.refused: list[Message] = []
        """Records of items that the database refused."""

    def __bool__(self) -> bool:
        return bool(self.steps)

    def written(self) -> Counter[str]:
        """Rows by table, without those refused."""
        refused = {id(message) for message in self.refused}
        return Counter(
            row.table.name for item in self.items if id(item.message) not in refused for row in item.rows
        )

    def move(self, partition: Partition, expected: int, next_offset: int) -> None:
        """Take the record before ``next_offset``; ``expected`` counts for the partition's first one only."""
        first, _ = self.steps.get(partition, (expected, 0))
        self.steps[partition] = (first, next_offset)
        self.records += 1


class Taker:
    """Takes records into batches: knows the next offset of each partition and the positions taken."""

    def __init__(self, names: Mapping[str, str], store_interval_us: int) -> None:
        """``names``: full topic name -> name in the table of topics."""
        self._names = names
        self._interval_us = store_interval_us
        self._reader = Reader()
        self.next_offsets: dict[Partition, int] = {}
        self.repeats = 0

    def start(self, offsets: dict[Partition, int], positions: Mapping[Partition, Mapping[str, str]]) -> None:
        """Begin anew at these offsets, having taken these positions."""
        for partition in self.next_offsets:
            self._reader.forget(*partition)
        self.next_offsets = dict(offsets)
        for partition, state in positions.items():
            self._reader.load(*partition, state)

    def take(self, batch: Batch, message: Message) -> None:
        """Put one record into the batch: its rows, or a dead letter; a repeat only moves the offset."""
        partition, offset = _place(message)
        expected = self.next_offsets.get(partition)
        if expected is None or offset < expected:
            return  # given up, or fetched before a seek
        if offset > expected:
            # Derived topics are neither compacted nor transactional: only retention makes holes in offsets.
            batch.holes.append(Hole(*partition, expected, offset))
        batch.move(partition, expected, offset + 1)
        self.next_offsets[partition] = offset + 1
        try:
            rows = self._rows(message, partition)
        except CobyError as error:
            batch.letters.append(Letter(message, error.code, error.detail()))
            return
        if rows:
            batch.items.append(Item(message, rows))
            batch.rows += len(rows)

    def steps(self, batch: Batch) -> list[Step]:
        """How the progress moves with the batch; call it before anything further is taken."""
        return [
            Step(*partition, first, next_offset, self._reader.save(*partition))
            for partition, (first, next_offset) in sorted(batch.steps.items())
        ]

    def _rows(self, message: Message, partition: Partition) -> list[Row]:
        source, position = place_of(headers_of(message))
        if not self._reader.is_new(*partition, source, position):
            self.repeats += 1
            return []
        record = decode_as(message, self._names[partition[0]])
        return rows_of(record, f"{position[0]}:{position[1]}", self._interval_us)


def decode_as(message: Message, name: str) -> Record:
    """The record of a message from the topic of that name; ProcessingError `codec.…`, `codec.wrong_schema`."""
    record = decode(message.value())
    if NAMES[type(record)] != name:
        text = f"a record of schema {NAMES[type(record)]} in the topic {name}"
        raise ProcessingError("codec.wrong_schema", text, allowed=name)
    return record


def _place(message: Message) -> tuple[Partition, int]:
    topic, number, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert number is not None
    assert offset is not None
    return (topic, number), offset
