"""Arrays over a range of times, of what was received within another. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from COBY.ohlcv import SETTLE_US, TIMEFRAMES_US
from COBY.orchestrator.ticks import (
    CANDLE_FIELDS,
    IMBALANCES,
    Cells,
    Exchanges,
    Flags,
    Floats,
    Middle,
    candle_row,
    number_of,
    volumes_row,
)
from COBY.orchestrator.training import CandleTensor
from COBY.records import Candle, Continuity, Gap


class Ticks(NamedTuple):
    """The ticks of some times, None where none was received."""

    cells: Sequence[Cells | None]
    middles: Sequence[Middle | None]
    exchanges: tuple[str, ...]

    @classmethod
    def of(
        cls,
        cells: Mapping[int, Cells],
        middles: Mapping[int, Middle],
        times_us: Sequence[int],
        since_us: int,
        at_us: int,
    ) -> Ticks:
        """A tick T is received at T: those of [since, at)."""
        known = [time_us if since_us <= time_us < at_us else -1 for time_us in times_us]
        chosen, middle = [cells.get(one) for one in known], [middles.get(one) for one in known]
        found: set[str] = set()
        for tick in (*chosen, *middle):
            if tick is not None:
                found |= tick.exchanges.present | tick.exchanges.absent
        return cls(chosen, middle, tuple(sorted(found)))

    def rows(
        self, depth: int, required: Collection[str] | None
    ) -> tuple[Floats, Flags, Floats, Floats, Floats]:
        """Volumes, known, bucket sizes, mid prices, imbalances; unknown where a ``required`` exchange is not in it."""
        count = len(self.cells)
        volumes, known = np.full((count, 2 * depth, 2), np.nan), np.zeros((count, 2 * depth, 2), np.bool_)
        sizes, mid = np.full(count, np.nan), np.full(count, np.nan)
        imbalances = np.full((count, len(IMBALANCES)), np.nan)
        for row, (cells, middle) in enumerate(zip(self.cells, self.middles, strict=True)):
            mid_price = None
            if middle is not None and middle.exchanges.has(required):
                mid_price = middle.mid_price
                mid[row] = number_of(mid_price)
                imbalances[row] = [number_of(one) for one in middle.imbalances]
            if cells is not None and cells.exchanges.has(required):
                sizes[row] = number_of(cells.bucket_size)
                volumes[row], known[row] = volumes_row(cells, mid_price, depth)
        return volumes, known, sizes, mid, imbalances

    def present(self) -> Flags:
        """[time, exchange]: who is in the heatmap's sums."""
        flags = np.zeros((len(self.cells), len(self.exchanges)), np.bool_)
        for row, cells in enumerate(self.cells):
            present = Exchanges(frozenset(), frozenset()) if cells is None else cells.exchanges
            flags[row] = [name in present.present for name in self.exchanges]
        return flags


def candle_tensor(
    candles: Iterable[Candle], timeframe: str, count: int, times_us: Sequence[int], at_us: int
) -> CandleTensor:
    """The last ``count`` candles that had settled at each time, in the newest revision received by then."""
    length = TIMEFRAMES_US[timeframe]
    shape = (len(times_us), count)
    values = np.full((*shape, len(CANDLE_FIELDS)), np.nan)
    known, complete = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    ours = [one for one in candles if one.timeframe == timeframe]
    waiting = iter(sorted(ours, key=lambda one: (one.received_at, one.revision)))
    following = next(waiting, None)
    newest: dict[int, Candle] = {}
    for row, time_us in enumerate(times_us):
        if time_us >= at_us:
            break
        while following is not None and following.received_at <= time_us:
            newest[following.timestamp] = following
            following = next(waiting, None)
        last = (time_us - SETTLE_US) // length - 1
        for column in range(count):
            candle = newest.get((last - count + 1 + column) * length)
            if candle is not None:
                values[row, column] = candle_row(candle)
                known[row, column], complete[row, column] = True, candle.complete
    return CandleTensor(values, known, complete)


def holes(gaps: Iterable[Gap], within: range, start_us: int, end_us: int) -> tuple[Gap, ...]:
    """Those that touch [start, end), each as it was last told within that time of receipt."""
    newest = {(one.from_time, one.exchange, one.reason): one for one in gaps if one.timestamp in within}
    touching = [
        one
        for one in newest.values()
        if one.from_time < end_us and (one.until_time is None or one.until_time > start_us)
    ]
    return tuple(sorted(touching, key=lambda one: (one.from_time, one.exchange, one.reason)))


def proven(proof: Iterable[Continuity], within: range, start_us: int, end_us: int) -> tuple[Continuity, ...]:
    """The proven intervals that touch [start, end), each as it was last told within that time of receipt."""
    newest = {(one.exchange, one.start_time): one for one in proof if one.timestamp in within}
    touching = [one for one in newest.values() if one.start_time < end_us and one.end_time >= start_us]
    return tuple(sorted(touching, key=lambda one: (one.exchange, one.start_time)))
