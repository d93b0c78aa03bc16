"""Which records are new, wherever reading begins.

Writers write again, identical, what they wrote before a crash, and readers drop what is not newer than the last
position of its source (COBY/runtime/reader.py). Who begins in the middle of a partition does not know those positions.
So it first looks back, to every earlier record of at least some stream time, and looks farther back when a record of
an earlier time comes: a repeat has the time of its original, so the original is then among those seen.
"""

from __future__ import annotations

from api.ws.channels import Partition
from COBY.runtime.reader import Position, Reader

ALL_MS = -(2**63)
"""The floor of a partition whose past is known as a whole."""


class Repeats:
    """The positions taken in some partitions, and how far back they are known."""

    def __init__(self) -> None:
        """Nothing known."""
        self._reader = Reader()
        self._floors: dict[Partition, int] = {}

    def begin(self, partition: Partition, floor_ms: int) -> None:
        """From now on records are shown, beginning with all earlier ones whose time is at least that."""
        self._reader.forget(*partition)
        self._floors[partition] = floor_ms

    def deepen(self, partition: Partition, floor_ms: int) -> None:
        """Earlier ones, down to that time, were shown too."""
        self._floors[partition] = min(floor_ms, self._floors[partition])

    def knows(self, partition: Partition, time_ms: int) -> bool:
        """Whether `is_new` can be asked of a record of that time."""
        return time_ms >= self._floors[partition]

    def is_new(self, partition: Partition, source: str, position: Position) -> bool:
        """Take a position; False for a repeat. Earlier records may be shown afterwards: the highest counts."""
        return self._reader.is_new(*partition, source, position)

    def forget(self, partition: Partition) -> None:
        """It is read no more."""
        self._reader.forget(*partition)
        self._floors.pop(partition, None)
