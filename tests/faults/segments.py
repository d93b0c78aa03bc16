"""Who wrote what, read from Kafka's own files: a consumer is not told, but each batch names its producer.

Each life of a worker's producer has an id of its own, given by the broker. Layout of a batch's head: Kafka's
documentation, Message Format, RecordBatch.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HEAD = struct.Struct(">qiibIhiqqqhii")
BEFORE_LENGTH_COUNTS = 12
MAGIC = 2


class Batch(NamedTuple):
    """The records from offset ``first`` until the next batch's."""

    first: int
    producer_id: int


def batches(segment: Path) -> Iterator[Batch]:
    """The batches of one file ``….log``, in order; a last one that is still being written is left out."""
    with segment.open("rb") as file:
        at, size = 0, segment.stat().st_size
        while at + HEAD.size <= size:
            file.seek(at)
            first, length, _, magic, _, _, _, _, _, producer_id, *_ = HEAD.unpack(file.read(HEAD.size))
            if length <= 0 or magic != MAGIC:
                return
            yield Batch(first, producer_id)
            at += BEFORE_LENGTH_COUNTS + length


class Writers:
    """Offset -> producer id, of one partition."""

    def __init__(self, logs: Path, topic: str, partition: int) -> None:
        """``logs``: a broker's log.dirs."""
        segments = sorted((logs / f"{topic}-{partition}").glob("*.log"))
        found = [batch for segment in segments for batch in batches(segment)]
        self._firsts = [batch.first for batch in found]
        self._ids = [batch.producer_id for batch in found]

    def of(self, offset: int) -> int:
        """The producer of the record at that offset. IndexError if no file has it."""
        at = bisect_right(self._firsts, offset) - 1
        if at < 0:
            raise IndexError(f"offset {offset} is in no segment")
        return self._ids[at]
