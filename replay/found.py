"""What lies in the derived topics, read as far as the range and what was recomputed of it ask for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from confluent_kafka import Message

from COBY.stage import header, parse_position
from COBY.topics import partition_of, topic_name
from replay.contents import WHOLE, Content, Difference, Group, Position, Side, Spool
from replay.expected import Wanted
from replay.log import Log, Range, stored

PAUSE_SECONDS = 0.2


class Patience:
    """How long writers that are behind are waited for, all together."""

    def __init__(self, seconds: float) -> None:
        """Seconds in all."""
        self._left = seconds

    def wait(self) -> bool:
        """Let a little of it pass; False when there is none left."""
        if self._left <= 0:
            return False
        self._left -= PAUSE_SECONDS
        time.sleep(PAUSE_SECONDS)
        return True


@dataclass
class Seen:
    """While one partition is read: the last position of each group, and the groups that have left the range."""

    last: dict[Group, Position] = field(default_factory=dict)
    past: set[Group] = field(default_factory=set)

    def holds(self, wanted: Mapping[Group, Position]) -> bool:
        """Whether each group has come to the position wanted."""
        return all(self.last.get(group, (-1, -1)) >= position for group, position in wanted.items())


class Found:
    """The derived topics of the range."""

    def __init__(
        self, log: Log, prefix: str, within: Range, wanted: Wanted, reach: Mapping[str, Position]
    ) -> None:
        """``reach``: of each source, the position from which on nothing was recomputed."""
        self.sides: dict[str, Side] = {}
        self.reached: dict[str, Position] = {}
        """Source -> the greatest position seen in any topic."""
        self.needed: dict[tuple[str, int], int] = {}
        """Topic (full name) and partition -> the offset after the last record of the range."""
        self._log = log
        self._prefix = prefix
        self._within = within
        self._wanted = wanted
        self._reach = reach

    def read(self, expected: Side, spool: Spool, patience: Patience) -> None:
        """One topic, until all that is expected of it is there, or patience ends."""
        topic = topic_name(self._prefix, expected.name)
        side = self.sides[expected.name] = Side(expected.name, topic, spool)
        numbers = self._log.partitions(topic)
        for number in numbers:
            last = {
                group: next(reversed(taken))
                for group, taken in expected.groups.items()
                if taken and partition_of(group.key, len(numbers)) == number
            }
            self._read_partition(topic, number, side, last, patience)

    def is_behind(self, group: Group, position: Position) -> bool:
        """Whether the writer of the group has not come to that position in any topic."""
        return position > self.reached.get(group.source, (-1, -1))

    def is_beyond(self, source: str, position: Position) -> bool:
        """Whether it was not recomputed, because it was not there yet when that ended."""
        return source in self._reach and position >= self._reach[source]

    def _read_partition(
        self, topic: str, number: int, side: Side, wanted: Mapping[Group, Position], patience: Patience
    ) -> None:
        at, seen = self._log.first_since(topic, number, self._within.from_ms), Seen()
        while True:
            _, end = self._log.bounds(topic, number)
            for batch in self._log.batches(topic, number, at, end):
                for message in batch:
                    self._take(message, side, seen, wanted)
                if wanted and wanted.keys() <= seen.past:
                    return
            at = max(at, end)
            if seen.holds(wanted) or not patience.wait():
                return

    def _take(self, message: Message, side: Side, seen: Seen, wanted: Mapping[Group, Position]) -> None:
        record = stored(message)
        key = record.key or b""
        if not self._wanted.has(key):
            return
        if side.name == "dlq" and header(record.headers, "stage") != b"normalize":
            return
        source, position = header(record.headers, "source"), header(record.headers, "position")
        try:
            if source is None or position is None:
                raise ValueError("no header")
            group, at = Group(key, source.decode()), parse_position(position)
        except ValueError:
            where = f"partition {message.partition()} offset {message.offset()}"
            side.odd.append(Difference(WHOLE, side.label, where, "says neither its source nor its position"))
            return
        seen.last[group] = max(at, seen.last.get(group, at))
        self.reached[group.source] = max(at, self.reached.get(group.source, at))
        if record.timestamp >= self._within.to_ms and seen.last[group] >= wanted.get(group, at):
            seen.past.add(group)
        if not self._within.holds(record.timestamp) or self.is_beyond(group.source, at):
            return
        place = (str(message.topic()), message.partition() or 0)
        self.needed[place] = max(record.offset + 1, self.needed.get(place, 0))
        side.add(group, at, Content(key, record.value, record.timestamp, list(record.headers)))
