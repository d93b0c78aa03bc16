"""Many partitions read side by side by one consumer, a piece of one at a time: what is held is two pieces of each.

While a piece is worked on the one after it is fetched: going over to another partition takes the broker longer than
tasks take for a piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from COBY.stage import StoredRecord
from COBY.utils.exceptions import ReplayError
from replay.log import BATCH_RECORDS, Log, stored

PIECE_BYTES = 512 * 1024
"""What a piece is to hold, about: the next one has as many records as that much was in the last."""
LEAST_RECORDS = 10
OVERHEAD_BYTES = 500
"""Of a record in memory, about, beside its value."""


class Pieces:
    """Reads pieces of partitions. Close it before the ``log``, which nothing else reads by meanwhile."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._reader = ThreadPoolExecutor(1, "pieces")

    def close(self) -> None:
        """End reading."""
        self._reader.shutdown(cancel_futures=True)

    def read(self, topic: str, number: int, first: int, end: int) -> Iterator[StoredRecord]:
        """The records [first, end) of a partition.

        BrokerError as `Log`; ReplayError `replay.no_start` where retention has taken one of them meanwhile.
        """
        at, until = first, min(end, first + LEAST_RECORDS)
        fetched = self._reader.submit(self._fetch, topic, number, at, until)
        while at < end:
            records = fetched.result()
            count = _fitting(records)
            at, until = until, min(end, until + count)
            if at < end:
                fetched = self._reader.submit(self._fetch, topic, number, at, until)
            yield from records

    def _fetch(self, topic: str, number: int, first: int, end: int) -> list[StoredRecord]:
        records = [stored(one) for batch in self._log.batches(topic, number, first, end) for one in batch]
        if [one.offset for one in records] != list(range(first, end)):
            message = f"records from offset {first} to {end} can't be read any more"
            raise ReplayError("replay.no_start", message, where=f"{topic}/{number}", allowed="a later start")
        return records


def _fitting(records: list[StoredRecord]) -> int:
    """How many such records are a piece."""
    size = sum(len(one.value or b"") + OVERHEAD_BYTES for one in records)
    return max(LEAST_RECORDS, min(BATCH_RECORDS, len(records) * PIECE_BYTES // size))
