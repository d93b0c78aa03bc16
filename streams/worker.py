"""The worker: one task per partition read, its chunks in, its outputs to Kafka, and the ack when they are delivered.

It decides nothing about records: that is the task's (COBY/stage.py). It decides whether a chunk continues its task.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from faust.types import TP, EventT

from COBY.runtime import crash
from COBY.runtime.metrics import Metrics
from COBY.stage import Output
from COBY.utils.exceptions import BrokerError
from COBY.utils.logging import get_logger
from streams.chunks import Chunk, Records
from streams.outbox import Outbox
from streams.saving import Reader, Saver, Source
from streams.telling import tell

if TYPE_CHECKING:
    from streams.transport import Consumer

SAVE_SECONDS = 10.0
"""Longer than this nobody waits for a snapshot: not a rebalance, not the end."""

log = get_logger(__name__)


class TaskFailedError(Exception):
    """A task raised: a bug. The process has to end, and the chunk stays unacked."""


class Worker:
    """All tasks of this process. `failed` ends with the error that must end the process."""

    def __init__(self, sources: Mapping[str, Source], outbox: Outbox, metrics: Metrics, saver: Saver) -> None:
        """``sources`` by full topic name; ``saver``: where tasks come from and are saved."""
        self.readers: dict[TP, Reader] = {}
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ready = False
        self._sources = sources
        self._outbox = outbox
        self._metrics = metrics
        self._saver = saver
        self._saving = asyncio.Lock()
        self._holes: dict[TP, tuple[int, int]] = {}
        self._stopping = False

    # --- positions -------------------------------------------------------------------------------------------------

    def keep(self, assigned: set[TP]) -> None:
        """Drop the tasks of partitions that went to another worker, which has them from now on."""
        for tp in self.readers.keys() - assigned:
            self.drop(tp)
        self.ready = True
        log.info("assigned", partitions=[f"{tp.topic}/{tp.partition}" for tp in sorted(assigned)])

    async def start_offsets(self, bounds: Mapping[TP, tuple[int, int]]) -> dict[TP, int]:
        """Where to read on, for every partition of ours; see transport.Positions."""
        for tp, (oldest, end) in bounds.items():
            if (reader := self.readers.get(tp)) is None:
                continue
            if reader.next_offset > end:
                log.error("topic_made_anew", **_where(tp), next=reader.next_offset, end=end)
                self.drop(tp)
            reader.oldest = oldest
        missing = {tp: self._sources[tp.topic] for tp in sorted(bounds) if tp not in self.readers}
        if missing:
            self.readers |= await self._saver.restore(missing, bounds)
        return {tp: max(oldest, self.readers[tp].next_offset) for tp, (oldest, _) in bounds.items()}

    def saved_offset(self, tp: TP) -> int | None:
        """See transport.Positions."""
        reader = self.readers.get(tp)
        return None if reader is None else reader.saved

    async def save(self) -> None:
        """Save every task that has gone on, one after the other; for want of time the rest is left to the next time."""
        try:
            async with asyncio.timeout(SAVE_SECONDS), self._saving:
                for tp, reader in list(self.readers.items()):
                    if not self.failed.done():  # a task that raised is in no state to be kept
                        await self._saver.save(tp, reader)
        except TimeoutError:
            log.warning("not_saved", seconds=SAVE_SECONDS)

    async def save_every(self, seconds: float) -> None:
        """Save each task once in so many seconds, evenly over that time: chunks wait while a state is taken."""
        await asyncio.sleep(seconds)
        while True:
            for tp in list(self.readers):
                async with self._saving:
                    reader = self.readers.get(tp)
                    if reader is not None and not self.failed.done():
                        await self._saver.save(tp, reader)
                await asyncio.sleep(seconds / max(1, len(self.readers)))
            if not self.readers:
                await asyncio.sleep(seconds)

    def drop(self, tp: TP) -> None:
        """Forget a task; the next `start_offsets` makes it anew."""
        self.readers.pop(tp, None)

    # --- chunks ----------------------------------------------------------------------------------------------------

    async def take(self, event: EventT[Any]) -> None:
        """One chunk: through its task, outputs queued for Kafka; acked once Kafka has confirmed them all."""
        chunk, consumer = cast(Chunk, event.value), cast("Consumer", event.app.consumer)
        reader = self.readers.get(chunk.tp)
        if self._stopping or reader is None or chunk.epoch != consumer.epoch:
            return  # it comes again, to whoever reads the partition then
        records = [record for record in chunk.records if record.offset >= reader.next_offset]
        if not records:
            event.ack()
        elif self._continues(reader, records) or await self._mend(chunk, reader, records, consumer):
            outputs = self._process(chunk.tp, reader, records)
            if outputs is not None:
                crash.reached("streams.processed")
                await self._outbox.send(reader.source.stage, outputs, event.ack)

    def _process(self, tp: TP, reader: Reader, records: Records) -> list[Output] | None:
        stage, started = reader.source.stage, time.perf_counter()
        try:
            outputs = reader.task.process(records)
            reader.next_offset = records[-1].offset + 1
            if reader.task.next_offset != reader.next_offset:
                raise AssertionError(f"the task is at {reader.task.next_offset}, not {reader.next_offset}")
        except Exception as error:
            place = {"first": records[0].offset, "last": records[-1].offset}
            log.critical("task_failed", **_where(tp), **place, exc_info=True)
            self.fail(TaskFailedError(f"{tp.topic}/{tp.partition} at {records[0].offset}: {error!r}"))
            return None
        self._metrics.batch_seconds.labels(stage).observe(time.perf_counter() - started)
        self._metrics.records.labels(stage).inc(len(records))
        # Of the chunk's first record, which has waited longest.
        self._metrics.hops.labels(stage).observe(max(0.0, time.time() - records[0].timestamp / 1000))
        tell(outputs)
        return outputs

    # --- holes -----------------------------------------------------------------------------------------------------

    @staticmethod
    def _continues(reader: Reader, records: Records) -> bool:
        first, last = records[0].offset, records[-1].offset
        return first == reader.next_offset and last - first + 1 == len(records)

    async def _mend(self, chunk: Chunk, reader: Reader, records: Records, consumer: Consumer) -> bool:
        """Records are missing. True: retention took them, the task goes on; else it starts again from its start."""
        first, last, expected = records[0].offset, records[-1].offset, reader.next_offset
        where = {**_where(chunk.tp), "expected": expected, "first": first}
        if last - first + 1 == len(records):
            if first > reader.oldest:
                reader.oldest = (await consumer.earliest_offsets(chunk.tp))[chunk.tp]
            if chunk.epoch != consumer.epoch:
                return False
            if first <= reader.oldest:
                log.warning("records_gone", **where)
                return True
        if self._holes.get(chunk.tp) == (expected, first):
            message = f"some offsets from {expected} to {last} can't be read"
            where_text, allowed = "{topic}/{partition}".format(**where), "a topic without compaction"
            self.fail(BrokerError("kafka.hole", message, where=where_text, allowed=allowed))
            return False
        log.error("hole", **where)
        self._holes[chunk.tp] = (expected, first)
        self.drop(chunk.tp)
        await consumer.perform_seek()
        return False

    # --- the end ---------------------------------------------------------------------------------------------------

    def fail(self, error: Exception) -> None:
        """Take no more chunks and have the process end with this error (the first one counts)."""
        self._stopping = True
        if not self.failed.done():
            self.failed.set_exception(error)

    def stop(self) -> None:
        """Take no more chunks."""
        self._stopping = True


def _where(tp: TP) -> dict[str, Any]:
    return {"topic": tp.topic, "partition": tp.partition}
