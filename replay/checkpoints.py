"""Where recomputing a task may begin: the newest checkpoint before the range (DESIGN.md, Recovery 8)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from confluent_kafka import Message

from COBY.snapshots import Snapshot, candidates, keys, usable
from COBY.topics import PARTITIONS, partition_of, topic_name
from COBY.utils.exceptions import ProcessingError
from replay.log import Log

KEPT = 3
"""Checkpoints kept of a task while looking: the newest, and two in case it can't be taken up."""


class Work(NamedTuple):
    """One task: its source as in headers (``raw.x.v1/2``), and the topic of its input."""

    source: str
    stage: str
    topic: str
    partition: int

    @property
    def place(self) -> tuple[str, str, int]:
        """As `Snapshot.task`."""
        return self.stage, self.source.rpartition("/")[0], self.partition


def work_of(prefix: str, source: str) -> Work:
    """The task of a source."""
    name, _, number = source.rpartition("/")
    return Work(source, "aggregate" if name == "book.v1" else "normalize", f"{prefix}.{name}", int(number))


def checkpoints(
    log: Log, prefix: str, latest: Mapping[Work, int], tell: Callable[[str], None]
) -> dict[Work, list[Snapshot]]:
    """Of each task the checkpoints whose next offset is not above ``latest``, the greatest first, at most three."""
    found: dict[Work, list[Snapshot]] = {work: [] for work in latest}
    by_place = {work.place: work for work in latest}
    for stage in sorted({work.stage for work in latest}):
        topic = topic_name(prefix, f"checkpoint.{stage}")
        asked = {key for work in latest if work.stage == stage for key in keys(*work.place)}
        for snapshot in _snapshots(log, topic, asked, tell):
            if (work := by_place.get(snapshot.task)) is not None:
                found[work] = candidates([*found[work], snapshot], latest[work])[:KEPT]
    return found


def _snapshots(log: Log, topic: str, asked: set[bytes], tell: Callable[[str], None]) -> Iterable[Snapshot]:
    """The usable ones under these keys; what can't be used is told and passed over."""

    def refuse(message: Message, error: ProcessingError) -> None:
        tell(f"checkpoint {topic}/{message.partition()} at {message.offset()} passed over: {error}")

    there = set(log.partitions(topic))
    for number in sorted({partition_of(key, PARTITIONS) for key in asked} & there):
        for batch in log.batches(topic, number, *log.bounds(topic, number)):
            yield from usable(batch, asked, refuse)
