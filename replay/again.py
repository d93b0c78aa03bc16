"""A range made anew from the raw topics, as one stream: what live wrote, or would have written under other settings.

The tasks of all raw partitions run side by side and are merged as `items.merged` has it; what a book record closes
comes right after it. Between records of one task, and of one key of aggregate, the order is live's. All goes through
as it comes: held are a piece of each partition, and the tasks' states.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from COBY.config import Config
from COBY.stage import Output, header
from COBY.topics import PARTITIONS, partition_of, topic_name
from replay.closing import Closing
from replay.items import TOPIC, Item, Name, merged
from replay.log import Log, Range
from replay.overrides import Overrides
from replay.pieces import Pieces
from replay.recompute import Beginning, begin, placed, told, under
from replay.settings import Taken
from replay.starts import AGGREGATED, NORMALIZED, Grid, Looking, Start, Wanted, changes

NAME: Name = ("recompute", 0, TOPIC)
ALL = frozenset((*NORMALIZED, *AGGREGATED))


class Again:
    """The stream (`items.Stream`). ``ends``: source -> where reading ends; kept, another has the same items."""

    def __init__(
        self,
        cfg: Config,
        within: Range,
        *,
        topics: Collection[str] = ALL,
        symbols: Collection[str] = (),
        exchanges: Collection[str] = (),
        overrides: Mapping[str, str] | None = None,
        tell: Callable[[str], object] = str,
        ends: Mapping[str, int] | None = None,
    ) -> None:
        """Settles where it begins and ends. ``symbols``, ``exchanges``: none for all; ``overrides``: see Overrides.

        ReplayError `replay.override`, `replay.settings`, `replay.no_start`, `replay.empty`; BrokerError.
        """
        assert ALL.issuperset(topics), f"names among {sorted(ALL)}"
        self.name = NAME
        self._cfg = cfg
        self._wanted = Wanted(within, frozenset(topics) or ALL, frozenset(symbols), frozenset(exchanges))
        self._tell = tell
        other = Overrides(overrides or {})
        log = Log(cfg)
        try:
            of_then = told(cfg, log)
            self._taken = other.over(of_then) if overrides else of_then
            grid = Grid(min(_grids(of_then)), other.grid_us)
            looking = Looking(log, cfg.topic_prefix, self._taken, self._wanted, grid, tell)
            works = looking.works(ends or {})
            other.check(one for work in works for one in changes(log, of_then[work.source], work, within))
            self._starts = looking.starts(works)
        finally:
            log.close()
        self.ends = {start.work.source: start.end for start in self._starts.tasks}

    def since(self, place: int) -> Iterator[Item]:
        """Its items without the first ``place``, which are made again, and thrown away.

        ReplayError `replay.no_start` once retention has taken what it is made from.
        """
        log = Log(self._cfg)
        pieces = Pieces(log)
        try:
            for number, item in enumerate(self._items(log, pieces)):
                if number >= place:
                    yield item._replace(place=number)
        finally:
            pieces.close()
            log.close()

    def _items(self, log: Log, pieces: Pieces) -> Iterator[Item]:
        names = {topic_name(self._cfg.topic_prefix, name): name for name in ALL}
        book = topic_name(self._cfg.topic_prefix, "book")
        closing = self._closing()
        tasks = [
            _TaskStream(
                self._cfg.topic_prefix,
                start,
                self._beginning(log, start),
                self._taken[start.work.source],
                pieces,
                self._wanted.within.to_ms,
            )
            for start in self._starts.tasks
        ]
        for _, _, item in merged(tasks, {}):
            if self._wanted.has(names.get(item.topic, ""), item):
                yield item
            if item.topic != book or not closing:
                continue
            task = closing.get(partition_of(item.key or b"", PARTITIONS))
            for output in task.take(item) if task is not None else ():
                made = _item(self._cfg.topic_prefix, output, 0)
                if self._wanted.has(output.topic, made):
                    yield made

    def _closing(self) -> dict[int, Closing]:
        found = {}
        for number in range(PARTITIONS) if self._wanted.needs_aggregate else ():
            if taken := self._taken.get(f"book.v1/{number}"):
                found[number] = Closing(number, taken, self._starts.candles.get(number))
        return found

    def _beginning(self, log: Log, start: Start) -> Beginning:
        work = start.work
        oldest, _ = log.bounds(work.topic, work.partition)
        return begin(work, oldest, start.found, self._taken[work.source], self._tell)


class _TaskStream:
    """All that a task of normalize makes, from its start until its stream time has left the range."""

    def __init__(
        self,
        prefix: str,
        start: Start,
        beginning: Beginning,
        taken: list[Taken],
        pieces: Pieces,
        until_ms: int,
    ) -> None:
        self.name: Name = (start.work.topic, start.work.partition, TOPIC)
        self._prefix = prefix
        self._start = start
        self._beginning = beginning
        self._changes = [one for one in taken if one.next_offset > beginning.offset]
        self._pieces = pieces
        self._until_ms = until_ms

    def since(self, place: int) -> Iterator[Item]:
        """Its items, once; ``place`` is 0."""
        assert place == 0
        work, end, _ = self._start
        offset, task, _ = self._beginning
        changes = list(self._changes)
        for record in self._pieces.read(work.topic, work.partition, offset, end):
            while changes and changes[0].next_offset <= record.offset:
                task = under(changes.pop(0).config, work, task)
            for output in task.process([record]):
                yield _item(self._prefix, output, place)
                place += 1
            if record.timestamp >= self._until_ms and header(record.headers, "kind") == b"mark":
                return


def _grids(taken: Mapping[str, list[Taken]]) -> Iterator[int]:
    return (one.config.update_frequency_us for ours in taken.values() for one in ours)


def _item(prefix: str, output: Output, place: int) -> Item:
    _, source, position = placed(output)
    return Item(
        output.timestamp_ms,
        topic_name(prefix, output.topic),
        output.key,
        output.value,
        list(output.headers),
        place,
        source,
        position,
    )
