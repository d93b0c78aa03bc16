"""Where each task has to begin so that all of a range is made again as it was, whatever the derived topics still hold.

normalize begins at its newest checkpoint before the range. Heatmaps and consolidated books of T follow from the book
records of T alone. Candles do not: they are taken from aggregate's newest checkpoint that had closed no tick of the
range, and normalize begins early enough to make every tick again that was not closed in it. What was open in that
checkpoint is not taken up (it may be of other settings), nor what it says of offsets in the book topic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import NamedTuple

import msgspec

from COBY.aggregate import State
from COBY.config import Config
from COBY.slots import slots_of
from COBY.snapshots import Snapshot
from COBY.topics import PARTITIONS, RAW_PARTITIONS, partition_of
from COBY.utils.exceptions import ReplayError
from replay.checkpoints import Work, checkpoints, not_after, work_of
from replay.items import Item
from replay.log import Log, Range
from replay.recompute import begin
from replay.settings import Taken

NORMALIZED = ("trade", "book", "gap", "quality", "continuity")
AGGREGATED = ("heatmap", "consolidated", "ohlcv")
CANDLES = "ohlcv"


class Wanted(NamedTuple):
    """What is asked for: names of topics, symbols and exchanges; of the last two none is all.

    Exchanges choose among normalize's records; aggregate's are of all exchanges.
    """

    within: Range
    topics: frozenset[str]
    symbols: frozenset[str]
    exchanges: frozenset[str]

    @property
    def needs_aggregate(self) -> bool:
        """Whether any of aggregate's topics is."""
        return not self.topics.isdisjoint(AGGREGATED)

    def follows(self, symbol: str) -> bool:
        """Whether the symbol is."""
        return not self.symbols or symbol in self.symbols

    def reads(self, exchange: str) -> bool:
        """Whether the exchange has to be read: an aggregate needs them all."""
        return self.needs_aggregate or not self.exchanges or exchange in self.exchanges

    def has(self, name: str, item: Item) -> bool:
        """Whether a record of the topic ``name`` takes part."""
        if name not in self.topics or not self.within.holds(item.time_ms):
            return False
        if self.symbols and (item.key or b"").decode() not in self.symbols:
            return False
        return not self.exchanges or name in AGGREGATED or exchange_of(item.source or "") in self.exchanges


class Grid(NamedTuple):
    """Between two ticks, microseconds: ``then_us`` the least that live had, ``now_us`` one that overrides it."""

    then_us: int
    now_us: int | None

    def begins_us(self, from_us: int) -> int:
        """From when on all has to be made again for the ticks from ``from_us`` on: one holds trades since the last."""
        if self.now_us is None:
            return from_us
        return max(0, (-(-from_us // self.now_us) - 1) * self.now_us)

    def has(self, closed_us: int) -> bool:
        """Whether candles can go on where that tick was the last: the next one would hold trades before it again."""
        return self.now_us is None or closed_us % self.now_us == 0


class Start(NamedTuple):
    """A task of normalize reads offsets up to ``end``, from the first of the checkpoints ``found``, else the oldest."""

    work: Work
    end: int
    found: list[Snapshot]


class Starts(NamedTuple):
    """``candles``: of the book topic's partitions, the checkpoints that candles are taken from."""

    tasks: list[Start]
    candles: dict[int, Snapshot]


class Looking:
    """Looks for the starts."""

    def __init__(
        self,
        log: Log,
        prefix: str,
        taken: Mapping[str, list[Taken]],
        wanted: Wanted,
        grid: Grid,
        tell: Callable[[str], object],
    ) -> None:
        """``taken``: what each task took up (settings.py)."""
        self._log = log
        self._prefix = prefix
        self._taken = taken
        self._wanted = wanted
        self._grid = grid
        self._tell = tell

    def works(self, ends: Mapping[str, int]) -> dict[Work, int]:
        """The tasks of normalize that have to run, and where their partitions end.

        ``ends``: that by source; where it says nothing, it is the end of now. ReplayError `replay.empty`.
        """
        works: dict[Work, int] = {}
        for source, taken in self._taken.items():
            work = work_of(self._prefix, source)
            if work.stage != "normalize" or not self._serves(work, taken):
                continue
            if work.partition not in self._log.partitions(work.topic):
                self._tell(f"{source} is no more: {work.topic}")
            elif end := ends.get(source, self._log.bounds(work.topic, work.partition)[1]):
                works[work] = end
        if not works:
            raise ReplayError("replay.empty", "the raw topics hold nothing of what is asked for")
        return works

    def starts(self, works: Mapping[Work, int]) -> Starts:
        """Where they begin. ReplayError `replay.no_start`, `replay.settings`."""
        candles = self._candles() if CANDLES in self._wanted.topics else {}
        latest = {work: min(end, self._latest(work, candles)) for work, end in works.items()}
        fits = {work: not_after(offset) for work, offset in latest.items()}
        found = checkpoints(self._log, self._prefix, fits, self._tell)
        return Starts([self._start(work, works[work], found[work]) for work in works], candles)

    def _start(self, work: Work, end: int, found: list[Snapshot]) -> Start:
        """Tried out, so that what can't be is known at once."""
        oldest, _ = self._log.bounds(work.topic, work.partition)
        offset = begin(work, oldest, found, self._taken[work.source], self._tell).offset
        self._tell(f"{work.source}: from offset {offset} to {end} at most")
        return Start(work, end, [one for one in found if one.next_offset == offset])

    def _serves(self, work: Work, taken: list[Taken]) -> bool:
        """Whether a slot of the partition has, under any of the settings, a symbol that is asked for."""
        exchange = exchange_of(work.source)
        if not self._wanted.reads(exchange):
            return False
        found = (symbol for one in taken for symbol in served(one.config, exchange, work.partition))
        return any(self._wanted.follows(symbol) for symbol in found)

    # --- candles ---------------------------------------------------------------------------------------------------

    def _symbols(self, number: int) -> set[str]:
        """Those asked for of a partition of the book topic, under any of its settings."""
        taken = self._taken.get(f"book.v1/{number}", [])
        known = {symbol for one in taken for symbol in one.config.symbols if self._wanted.follows(symbol)}
        return {symbol for symbol in known if partition_of(symbol.encode(), PARTITIONS) == number}

    def _candles(self) -> dict[int, Snapshot]:
        numbers = [number for number in range(PARTITIONS) if self._symbols(number)]
        fits = {work_of(self._prefix, f"book.v1/{number}"): self._is_before for number in numbers}
        found = checkpoints(self._log, self._prefix, fits, self._tell)
        return {work.partition: snapshots[0] for work, snapshots in found.items() if snapshots}

    def _is_before(self, snapshot: Snapshot) -> bool:
        """Whether no tick of the range was closed in it."""
        try:
            state = msgspec.msgpack.decode(snapshot.state, type=State)
        except msgspec.MsgspecError as error:
            place = f"{snapshot.topic}/{snapshot.partition}"
            self._tell(f"checkpoint of {place} at {snapshot.next_offset} passed over: {error!r}")
            return False
        first_us = self._wanted.within.from_ms * 1000
        ours = self._symbols(snapshot.partition)
        closed_us = [one.waiting.closed_us for name, one in state.symbols.items() if name in ours]
        return all(one < first_us and self._grid.has(one) for one in closed_us)

    def _latest(self, work: Work, candles: Mapping[int, Snapshot]) -> int:
        """The offset from which on, at the latest, a task has to be made again."""
        times_us, offsets = [self._grid.begins_us(self._wanted.within.from_ms * 1000)], []
        if CANDLES in self._wanted.topics:
            for number in range(PARTITIONS):
                for symbol in self._symbols(number):
                    next_us = _next_us(candles.get(number), symbol, self._grid.then_us)
                    if next_us is not None:  # what makes a tick has its time, or a later one
                        times_us.append(next_us)
                    else:
                        offsets.append(self._first_served(work, symbol))
        latest = self._log.first_since(work.topic, work.partition, min(times_us) // 1000)
        return min([latest, *(one for one in offsets if one is not None)])

    def _first_served(self, work: Work, symbol: str) -> int | None:
        """Offset from which on the task had that symbol."""
        for one in self._taken[work.source]:
            if symbol in served(one.config, exchange_of(work.source), work.partition):
                return one.next_offset
        return None


def exchange_of(source: str) -> str:
    """``raw.x.v1/2`` -> ``x``; of other sources what stands there."""
    return source.split(".")[1] if source.startswith("raw.") else source


def served(config: Config, exchange: str, partition: int) -> Set[str]:
    """The symbols whose slots come to a partition of an exchange's raw topic."""
    if exchange not in config.exchanges:
        return set()
    return {
        symbol
        for slot in slots_of(config, exchange)
        if partition_of(slot.name.encode(), RAW_PARTITIONS) == partition
        for symbol in slot.symbols.values()
    }


def changes(log: Log, taken: list[Taken], work: Work, within: Range) -> list[Config]:
    """The settings that a task had in the range."""
    first, end = (log.first_since(work.topic, work.partition, time_ms) for time_ms in within)
    before = [one.config for one in taken if one.next_offset <= first]
    return before[-1:] + [one.config for one in taken if first < one.next_offset < end]


def settings_of(item: Item) -> str:
    """The hash under which a record was made."""
    return next((value or b"" for name, value in item.headers if name == "settings"), b"").decode()


def _next_us(snapshot: Snapshot | None, symbol: str, grid_us: int) -> int | None:
    """The first tick of a symbol that was not closed, None where nothing is known of it."""
    if snapshot is None:
        return None
    saved = msgspec.msgpack.decode(snapshot.state, type=State).symbols.get(symbol)
    if saved is None:
        return None
    if saved.waiting.closed_us:
        return saved.waiting.closed_us + grid_us
    return min((time_us for ticks in saved.waiting.open.values() for time_us in ticks), default=0)
