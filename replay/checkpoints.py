"""Where recomputing a task may begin: the newest checkpoint before the range (DESIGN.md, Recovery 8)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from confluent_kafka import Message

from COBY.snapshots import Snapshot, candidates, keys, usable
from COBY.topics import PARTITIONS, partition_of, topic_name
from COBY.utils.exceptions import ProcessingError
from replay.log import Log

ANY = 2**63
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


Fits = Callable[[Snapshot], bool]


def checkpoints(
    log: Log, prefix: str, fits: Mapping[Work, Fits], tell: Callable[[str], object]
) -> dict[Work, list[Snapshot]]:
    """Of each task the checkpoints that fit, the greatest next offset first, at most three."""
    found: dict[Work, list[Snapshot]] = {work: [] for work in fits}
    by_place = {work.place: work for work in fits}
    for stage in sorted({work.stage for work in fits}):
        topic = topic_name(prefix, f"checkpoint.{stage}")
        asked = {key for work in fits if work.stage == stage for key in keys(*work.place)}
        for snapshot in _snapshots(log, topic, asked, tell):
            work = by_place.get(snapshot.task)
            if work is not None and fits[work](snapshot):
                found[work] = candidates([*found[work], snapshot], ANY)[:KEPT]
    return found


def not_after(latest: int) -> Fits:
    """Whether a checkpoint's next offset is not above that one."""
    return lambda snapshot: snapshot.next_offset <= latest


def _snapshots(log: Log, topic: str, asked: set[bytes], tell: Callable[[str], object]) -> Iterable[Snapshot]:
    """The usable ones under these keys; what can't be used is told and passed over."""

    def refuse(message: Message, error: ProcessingError) -> None:
        tell(f"checkpoint {topic}/{message.partition()} at {message.offset()} passed over: {error}")

    there = set(log.partitions(topic))
    for number in sorted({partition_of(key, PARTITIONS) for key in asked} & there):
        for batch in log.batches(topic, number, *log.bounds(topic, number)):
            yield from usable(batch, asked, refuse)
