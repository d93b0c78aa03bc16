"""A range of stream time recomputed from the raw topics and compared with everything that was made of it.

DESIGN.md, Recovery 8 (what a range is) and 9 (what equality is). Nothing is written anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from COBY.config import Config
from COBY.topics import PARTITIONS, partition_of, topic_name
from COBY.utils.exceptions import ReplayError
from replay.cache import NAME as CACHE
from replay.cache import Cache
from replay.checkpoints import Work, work_of
from replay.contents import Difference, Line, Spool, Verdict, compare
from replay.database import Tables
from replay.expected import AGGREGATED, NORMALIZED, Expected, Wanted
from replay.found import Found, Patience
from replay.log import Log, Range
from replay.raw import RawCheck
from replay.recompute import Recomputation, told
from replay.settings import Taken

Tell = Callable[[str], None]
WAIT_SECONDS = 10.0


class Report(NamedTuple):
    """All lines; the differences, smallest first; how many records were behind."""

    lines: list[Line]
    differences: list[Difference]
    behind: int


class Options(NamedTuple):
    """``symbols``: none for all. ``wait_seconds``: for writers that are behind, in all."""

    symbols: frozenset[str] = frozenset()
    with_database: bool = True
    with_redis: bool = True
    wait_seconds: float = WAIT_SECONDS


def verify(cfg: Config, within: Range, options: Options, tell: Tell) -> Report:
    """Recompute and compare. ``tell`` is given lines of progress.

    ReplayError `replay.settings`, `replay.no_start`, `replay.empty`; BrokerError, StorageError.
    """
    spool, log = Spool(), Log(cfg)
    try:
        verdicts = list(_Verification(cfg, within, options, tell, log, spool).verdicts())
    finally:
        log.close()
        spool.close()
    if not any(verdict.line.records or verdict.behind or verdict.differences for verdict in verdicts):
        raise ReplayError(
            "replay.empty", "neither raw topics nor what is made of them hold anything of the range"
        )
    differences = sorted(one for verdict in verdicts for one in verdict.differences)
    return Report(
        [verdict.line for verdict in verdicts], differences, sum(verdict.behind for verdict in verdicts)
    )


class _Verification:
    def __init__(
        self, cfg: Config, within: Range, options: Options, tell: Tell, log: Log, spool: Spool
    ) -> None:
        self._cfg = cfg
        self._range = within
        self._options = options
        self._tell = tell
        self._log = log
        self._spool = spool
        self._wanted = Wanted(options.symbols)
        self._patience = Patience(options.wait_seconds)

    def verdicts(self) -> Iterator[Verdict]:
        """Stage by stage: aggregate is judged by the book topic that normalize was judged by before."""
        taken = told(self._cfg, self._log)
        again = Recomputation(self._log, self._cfg.topic_prefix, taken, self._range, self._tell)
        expected = Expected(self._cfg.topic_prefix, self._spool, self._wanted, self._cfg.store_interval_us)
        found = Found(self._log, self._cfg.topic_prefix, self._range, self._wanted, again.reach)
        raw = RawCheck(self._range)
        works = self._works(taken)
        for stage, names in (("normalize", NORMALIZED), ("aggregate", AGGREGATED)):
            ours = [work for work in works if work.stage == stage]
            ends = {work: self._log.bounds(work.topic, work.partition)[1] for work in ours}
            for one in again.run(ours, ends, raw.see):
                expected.add(one)
            if stage == "normalize":
                yield from raw.verdicts()
            yield from self._topics(names, expected, found)
        if self._options.with_database:
            self._tell("comparing the tables")
            tables = Tables(self._cfg, expected, found, self._range, self._options.symbols, self._spool)
            yield from tables.verdicts(self._patience)
        if self._options.with_redis and again.at_head:
            self._tell("comparing the latest values")
            cache = Cache(self._cfg, expected, found, self._range, self._wanted, self._spool)
            yield cache.verdict(self._patience)
        elif self._options.with_redis:
            yield Verdict(Line(CACHE, 0, "-", "not compared: the range ends before the head"), [])

    def _topics(self, names: tuple[str, ...], expected: Expected, found: Found) -> Iterator[Verdict]:
        for name in self._wanted.topics(names):
            self._tell(f"comparing {topic_name(self._cfg.topic_prefix, name)}")
            found.read(expected.sides[name], self._spool, self._patience)
        # Compared only now: how far a writer has come, any of its topics may tell.
        for name in self._wanted.topics(names):
            yield compare(expected.sides[name], found.sides[name], found.is_behind)

    def _works(self, taken: Mapping[str, list[Taken]]) -> list[Work]:
        works = []
        for source in taken:
            work = work_of(self._cfg.topic_prefix, source)
            if work.partition not in self._log.partitions(work.topic):
                self._tell(f"{source} is no more: {work.topic}")
            elif work.stage == "normalize" or self._is_asked(work.partition):
                works.append(work)
        return works

    def _is_asked(self, partition: int) -> bool:
        symbols = self._options.symbols
        return not symbols or partition in {partition_of(one.encode(), PARTITIONS) for one in symbols}
