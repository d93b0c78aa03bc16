"""Tasks and their snapshots: where a task starts, and how it is saved (DESIGN.md, Recovery 2 and 3)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from faust.types import TP

from COBY.runtime import crash
from COBY.runtime.metrics import Metrics
from COBY.snapshots import Snapshot
from COBY.stage import Task
from COBY.utils.exceptions import BrokerError
from COBY.utils.logging import get_logger
from streams.outbox import Outbox
from streams.snapshots import Place, SnapshotStore

log = get_logger(__name__)


class Source(NamedTuple):
    """What reads one topic: its stage, its exchange (None: all) and the task of each partition."""

    stage: str
    exchange: str | None
    make_task: Callable[[int], Task]


@dataclass
class Reader:
    """A task and where it stands."""

    source: Source
    task: Task
    next_offset: int
    """Of the next record it takes; the task's own, or where reading starts."""
    oldest: int
    """The partition's oldest offset when reading started: a hole up to it is retention."""
    saved: int | None = None
    """The ``next_offset`` of its last snapshot that is in Kafka."""
    saved_at: float = field(default_factory=time.monotonic)
    """When that was, or when the task was taken over."""
    number: int = 0
    """Of its next snapshot."""
    counted: dict[tuple[str, ...], int] = field(default_factory=dict)
    """What `counters` has taken over of the task's totals."""


class Saver(Protocol):
    """Where the worker's tasks come from and go to."""

    async def restore(
        self, wanted: Mapping[TP, Source], bounds: Mapping[TP, tuple[int, int]]
    ) -> dict[TP, Reader]:
        """A reader for each partition, from its best snapshot or from the oldest record. ``bounds``: oldest, end."""

    async def save(self, tp: TP, reader: Reader) -> None:
        """Write a snapshot if the task has gone on since its last one."""


class KafkaSaver:
    """The Saver that goes by the state and checkpoint topics."""

    def __init__(
        self,
        store: SnapshotStore,
        outbox: Outbox,
        metrics: Metrics,
        settings: str,
        tell_settings: Callable[[str, int], None],
    ) -> None:
        """``settings``: the hash of those that shape results; ``tell_settings`` (source, next offset) is called
        where a task takes them up.
        """
        self._store = store
        self._outbox = outbox
        self._metrics = metrics
        self._settings = settings
        self._tell_settings = tell_settings

    async def restore(
        self, wanted: Mapping[TP, Source], bounds: Mapping[TP, tuple[int, int]]
    ) -> dict[TP, Reader]:
        """See `Saver.restore`."""
        places = {place_of(tp, source): bounds[tp][1] for tp, source in wanted.items()}
        found = await self._store.read(places)
        return {
            tp: self._restored(tp, source, bounds[tp][0], found[place_of(tp, source)])
            for tp, source in wanted.items()
        }

    def _restored(self, tp: TP, source: Source, oldest: int, snapshots: list[Snapshot]) -> Reader:
        """The first snapshot that loads as a whole; a task that failed to take one up is thrown away."""
        for snapshot in snapshots:
            task = source.make_task(tp.partition)
            where = {"topic": tp.topic, "partition": tp.partition, "next": snapshot.next_offset}
            try:
                task.load(snapshot.state)
            except Exception as error:
                log.error("snapshot_unusable", **where, error=repr(error))
                continue
            if task.next_offset != snapshot.next_offset:
                log.error("snapshot_unusable", **where, error=f"its task is at {task.next_offset}")
                continue
            log.info("restored", **where, snapshot=snapshot.number)
            if snapshot.settings != self._settings:
                self._tell_settings(source_name(tp), snapshot.next_offset)
            # What retention took is not there to seek to; the task is told by the offsets it then sees.
            at = snapshot.next_offset
            return Reader(source, task, at, oldest, saved=at, number=snapshot.number + 1)
        log.info("starts_from_the_oldest", topic=tp.topic, partition=tp.partition, offset=oldest)
        self._tell_settings(source_name(tp), oldest)
        return Reader(source, source.make_task(tp.partition), oldest, oldest)

    async def save(self, tp: TP, reader: Reader) -> None:
        """See `Saver.save`. The state is taken at once, and written when all outputs before it are delivered."""
        at = reader.next_offset
        if reader.saved == at or reader.task.next_offset != at:
            return
        stage, topic, partition = place_of(tp, reader.source)
        started, started_at = time.perf_counter(), time.monotonic()
        state = reader.task.save()
        snapshot = Snapshot(stage, topic, partition, reader.number, at, self._settings, state)
        self._metrics.snapshot_seconds.labels(stage).observe(time.perf_counter() - started)
        await self._outbox.settled()
        crash.reached("streams.delivered")
        try:
            await self._store.write(snapshot)
        except BrokerError as error:
            if error.code != "kafka.too_large":
                raise
            # Recovery takes longer without it, and loses nothing.
            log.error("snapshot_too_large", topic=tp.topic, partition=tp.partition, bytes=len(state))
            return
        reader.number += 1
        if reader.saved is None or at > reader.saved:
            reader.saved = at
            reader.saved_at = started_at
        crash.reached("streams.saved")


def place_of(tp: TP, source: Source) -> Place:
    """Stage, topic without prefix, partition."""
    return source.stage, source_name(tp).rpartition("/")[0], tp.partition


def source_name(tp: TP) -> str:
    """``coby.book.v1``, 2 -> ``book.v1/2``, as in the header ``source`` of normalize's records."""
    return f"{tp.topic.partition('.')[2]}/{tp.partition}"
