"""What one undisturbed worker makes of the records that lie in Kafka: tasks run again over a range of stream time.

A task begins at the newest checkpoint before the range, else at the oldest record, and works under the settings that
`coby.settings.v1` names for it, offset by offset. aggregate reads the book topic, as it did the first time: whether
that topic is right, the comparison of normalize's records has said by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from confluent_kafka import Message

from COBY.aggregate import AggregateTask
from COBY.config import Config
from COBY.normalize import NormalizeTask
from COBY.snapshots import Snapshot
from COBY.stage import Output, Task, header, parse_position
from COBY.topics import PARTITIONS, partition_of, topic_name
from COBY.utils.exceptions import ReplayError
from replay.checkpoints import Work, checkpoints, not_after
from replay.contents import Position
from replay.log import Log, Range, stored
from replay.settings import Taken, in_force, taken_up

Tell = Callable[[str], object]
LAST_INDEX = 2**63


class Recomputed(NamedTuple):
    """One output and where it stands."""

    output: Output
    source: str
    position: Position


class Recomputation:
    """Tasks over one range. After `run`, ``reach`` says by source before which position nothing is missing."""

    def __init__(
        self, log: Log, prefix: str, taken: Mapping[str, list[Taken]], within: Range, tell: Tell
    ) -> None:
        """``taken``: what each task took up (settings.py)."""
        self.reach: dict[str, Position] = {}
        self.at_head = True
        """Whether no task met the end of the range: what follows is not there yet."""
        self._log = log
        self._prefix = prefix
        self._taken = taken
        self._within = within
        self._tell = tell

    def run(
        self, works: list[Work], ends: Mapping[Work, int], watch: Callable[[Work, Message], None]
    ) -> Iterator[Recomputed]:
        """The outputs of the range. ``ends``: offsets at which reading ends; ``watch`` sees every record read.

        ReplayError `replay.no_start`, `replay.settings`.
        """
        fits = {
            work: not_after(
                min(ends[work], self._log.first_since(work.topic, work.partition, self._within.from_ms))
            )
            for work in works
        }
        found = checkpoints(self._log, self._prefix, fits, self._tell)
        for place, work in enumerate(works, 1):
            oldest, _ = self._log.bounds(work.topic, work.partition)
            if oldest >= ends[work]:
                continue
            start, task, config = begin(work, oldest, found[work], self._taken[work.source], self._tell)
            self._tell(f"{place}/{len(works)} {work.source}: from offset {start} to {ends[work]} at most")
            yield from self._outputs(work, task, config, (start, ends[work]), watch)

    def _outputs(
        self,
        work: Work,
        task: Task,
        config: Config,
        bounds: tuple[int, int],
        watch: Callable[[Work, Message], None],
    ) -> Iterator[Recomputed]:
        changes = [one for one in self._taken[work.source] if one.next_offset > bounds[0]]
        passed = _Passed(work, self._within)
        for batch in self._log.batches(work.topic, work.partition, *bounds):
            for message in batch:
                watch(work, message)
                passed.read(message)
                while changes and changes[0].next_offset <= int(message.offset() or 0):
                    config = changes.pop(0).config
                    task = under(config, work, task)
                for output in task.process([stored(message)]):
                    one = placed(output)
                    passed.see(one)
                    if self._within.holds(output.timestamp_ms):
                        yield one
            if passed.is_done(config):
                self.at_head = False
                break
        if work.stage == "normalize":
            self.reach[work.source] = (task.next_offset or bounds[0], 0)
        else:
            self.reach |= {source: (last, LAST_INDEX) for source, (last, _) in passed.last.items()}


class _Passed:
    """Whether a task's stream time has left the range: a mark or its own ticks tell."""

    def __init__(self, work: Work, within: Range) -> None:
        self.last: dict[str, Position] = {}
        self._work = work
        self._until_ms = within.to_ms
        self._beyond: set[bytes] = set()
        self._is_marked = False

    def read(self, message: Message) -> None:
        if message.timestamp()[1] >= self._until_ms:
            self._is_marked = self._is_marked or ("kind", b"mark") in (message.headers() or [])

    def see(self, one: Recomputed) -> None:
        self.last[one.source] = one.position
        if one.output.topic in ("book", "consolidated") and one.output.timestamp_ms >= self._until_ms:
            self._beyond.add(one.output.key)

    def is_done(self, config: Config) -> bool:
        """All symbols of a partition have one stream time in normalize; in aggregate each its own."""
        if self._work.stage == "normalize":
            return self._is_marked or bool(self._beyond)
        number = self._work.partition
        served = {symbol.encode() for symbol in config.symbols}
        here = {key for key in served if partition_of(key, PARTITIONS) == number}
        return bool(here) and here <= self._beyond


def told(cfg: Config, log: Log) -> Mapping[str, list[Taken]]:
    """What each task took up, as `coby.settings.v1` tells. ReplayError `replay.settings`."""
    topic = topic_name(cfg.topic_prefix, "settings")
    records = [
        stored(message)
        for number in log.partitions(topic)
        for batch in log.batches(topic, number, *log.bounds(topic, number))
        for message in batch
    ]
    taken = taken_up(cfg, records)
    if not taken:
        allowed = "topics that `python -m streams` has worked on (TOPIC_PREFIX)"
        raise ReplayError("replay.settings", "no task has told its settings", where=topic, allowed=allowed)
    return taken


class Beginning(NamedTuple):
    """A task that is to take the record of ``offset`` next, under these settings."""

    offset: int
    task: Task
    config: Config


def begin(work: Work, oldest: int, found: Iterable[Snapshot], taken: list[Taken], tell: Tell) -> Beginning:
    """From the first of the checkpoints that can be taken up, else from the oldest record, if that is the first.

    ReplayError `replay.no_start`, `replay.settings`.
    """
    for snapshot in found:
        if snapshot.next_offset < oldest:
            break  # retention took what follows it
        config = in_force(taken, snapshot.next_offset, work.source)
        task = make_task(config, work)
        try:
            task.load(snapshot.state)
        except Exception as error:  # whatever a state that is none makes a task raise
            tell(f"checkpoint of {work.source} at {snapshot.next_offset} passed over: {error!r}")
            continue
        if task.next_offset == snapshot.next_offset:
            return Beginning(snapshot.next_offset, task, config)
    if oldest:
        message = f"no checkpoint before the range, and the records before offset {oldest} are gone"
        allowed = "a later start, after a checkpoint (they are made at full hours)"
        raise ReplayError("replay.no_start", message, where=work.source, allowed=allowed)
    config = in_force(taken, oldest, work.source)
    return Beginning(oldest, make_task(config, work), config)


def under(config: Config, work: Work, task: Task) -> Task:
    """The task as it goes on under other settings."""
    other = make_task(config, work)
    other.load(task.save())
    return other


def make_task(config: Config, work: Work) -> Task:
    """The task of a source under these settings."""
    if work.stage == "aggregate":
        return AggregateTask(config, work.partition)
    return NormalizeTask(config, work.source.split(".")[1], work.partition)


def placed(output: Output) -> Recomputed:
    """An output with where it stands, as its headers say."""
    source, position = header(output.headers, "source"), header(output.headers, "position")
    assert source is not None, "every derived record says where it stands"
    assert position is not None, "every derived record says where it stands"
    return Recomputed(output, source.decode(), parse_position(position))
