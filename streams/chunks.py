"""Chunks of records between Kafka and the tasks: cutting, ordering, and which of them are acked. Pure.

A chunk is what one Faust event carries, because Faust's cost is per event: up to 500 records or 1 MiB of one partition.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from faust.types import TP

from COBY.stage import InRecord

MAX_RECORDS = 500
MAX_BYTES = 1024 * 1024
"""Of keys and values. A single larger record is a chunk of its own."""

Records = Sequence[InRecord]


class Chunk(NamedTuple):
    """Consecutive records of one partition; ``epoch`` tells whether they were fetched before the last seek."""

    tp: TP
    epoch: int
    records: Records

    @property
    def last_offset(self) -> int:
        """Offset of its last record."""
        return self.records[-1].offset


def cut(records: Records) -> Iterator[Records]:
    """Cut what was fetched of one partition into pieces within both limits."""
    start = size = 0
    for at, record in enumerate(records):
        length = len(record.value or b"") + len(record.key or b"")
        if at > start and (at - start == MAX_RECORDS or size + length > MAX_BYTES):
            yield records[start:at]
            start, size = at, 0
        size += length
    if records:
        yield records[start:]


class Queue:
    """Pieces fetched and not yet delivered; given out oldest first, those of one partition in their order."""

    def __init__(self) -> None:
        self._pieces: dict[TP, deque[Records]] = {}
        self._newest_ms: dict[TP, int] = {}

    def __contains__(self, tp: object) -> bool:
        """Whether a piece of the partition waits."""
        return tp in self._pieces

    def __bool__(self) -> bool:
        """Whether any piece waits."""
        return bool(self._pieces)

    def add(self, tp: TP, records: Records) -> None:
        """Append what was fetched."""
        if records:
            self._pieces.setdefault(tp, deque()).extend(cut(records))

    def pop(self, behind: Collection[TP] = ()) -> tuple[TP, Records] | None:
        """The oldest piece by its partition's running maximum of record times; ties by (topic, partition).

        ``behind`` are partitions that have records not fetched yet: nothing of the same number is given out before
        them, or one exchange would run ahead of the others and aggregate would have to keep all its ticks.
        """
        blocked = {tp.partition for tp in behind}
        ready = [tp for tp in self._pieces if tp.partition not in blocked]
        if not ready:
            return None
        tp = min(ready, key=lambda tp: (self._time_ms(tp), tp))
        pieces = self._pieces[tp]
        self._newest_ms[tp] = self._time_ms(tp)
        piece = pieces.popleft()
        if not pieces:
            del self._pieces[tp]
        return tp, piece

    def clear(self) -> None:
        """Forget everything: positions are about to change."""
        self._pieces.clear()
        self._newest_ms.clear()

    def _time_ms(self, tp: TP) -> int:
        first_ms = self._pieces[tp][0][0].timestamp
        return max(first_ms, self._newest_ms.get(tp, first_ms))


class Ledger:
    """Which delivered chunks are acked; per partition the end of the acked prefix is what may be committed."""

    def __init__(self) -> None:
        self._open: dict[TP, deque[int]] = {}
        self._acked: dict[TP, set[int]] = {}
        self._ends: dict[TP, int] = {}

    def delivered(self, tp: TP, last_offset: int) -> None:
        """A chunk was given out; within a partition in order of offset."""
        self._open.setdefault(tp, deque()).append(last_offset)

    def ack(self, tp: TP, last_offset: int) -> None:
        """A chunk is done. One that was forgotten meanwhile changes nothing."""
        waiting = self._open.get(tp)
        if not waiting or not waiting[0] <= last_offset <= waiting[-1]:
            return
        acked = self._acked.setdefault(tp, set())
        acked.add(last_offset)
        while waiting and waiting[0] in acked:
            acked.discard(waiting[0])
            self._ends[tp] = waiting.popleft() + 1

    def end(self, tp: TP) -> int | None:
        """The offset after the acked prefix; None while nothing is acked."""
        return self._ends.get(tp)

    def given(self, tp: TP) -> int | None:
        """The offset after the last chunk given out and not acked; None without one. From any thread."""
        try:
            return self._open[tp][-1] + 1
        except (KeyError, IndexError):
            return None

    def clear(self) -> None:
        """Forget everything."""
        self._open.clear()
        self._acked.clear()
        self._ends.clear()
