"""What models train on, as NumPy arrays, pandas or Arrow, with what proves it. Pure.

Everywhere unknown is NaN and its mask False; zero means zero.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from COBY.jsonform import plain
from COBY.orchestrator.messages import Missed
from COBY.orchestrator.ticks import CANDLE_FIELDS, IMBALANCES, SIDES, Flags, Floats
from COBY.records import Continuity, Gap

if TYPE_CHECKING:
    import pandas
    import pyarrow


@dataclass(frozen=True, slots=True, eq=False)
class CandleTensor:
    """The last finished candles of a timeframe as they were known at each time.

    ``values`` [time, candle (the newest last), CANDLE_FIELDS]; ``known`` [time, candle]: a candle in which nothing was
    traded is told by nobody, so it is unknown. ``complete``: every exchange was seen from its beginning to its end.
    """

    values: Floats
    known: Flags
    complete: Flags


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """Rows at the times [start, end) of a grid; what was received until the cut, and nothing after it.

    ``times`` [time] datetime64[us], UTC · ``volumes`` [time, price bucket, side (bid, ask)] and ``known`` of the same
    shape: bucket ``depth`` holds the mid price, lower prices before it; ``bucket_sizes`` [time] · ``mid`` [time] ·
    ``imbalances`` [time, IMBALANCES] · ``candles``: timeframe -> CandleTensor · ``present`` [time, exchange]: who is in
    the row's sums, columns as ``exchanges``.

    ``gaps``: holes that touch the range, as they were known at the cut; ``proof``: the intervals in which each
    exchange's book was proven; ``missed``: what did not reach this reader.
    """

    symbol: str
    depth: int
    times: NDArray[np.datetime64]
    volumes: Floats
    known: Flags
    bucket_sizes: Floats
    mid: Floats
    imbalances: Floats
    candles: Mapping[str, CandleTensor]
    exchanges: tuple[str, ...]
    present: Flags
    gaps: tuple[Gap, ...]
    proof: tuple[Continuity, ...]
    missed: tuple[Missed, ...]

    def numpy(self) -> dict[str, NDArray[np.generic]]:
        """Its arrays by name, candles as ``candles_<timeframe>``, their masks as ``candles_<timeframe>_known``."""
        names = ("times", "volumes", "known", "bucket_sizes", "mid", "imbalances", "present")
        arrays: dict[str, NDArray[np.generic]] = {name: getattr(self, name) for name in names}
        for timeframe, candles in self.candles.items():
            for name in ("values", "known", "complete"):
                suffix = "" if name == "values" else f"_{name}"
                arrays[f"candles_{timeframe}{suffix}"] = getattr(candles, name)
        return arrays

    def columns(self) -> Iterator[tuple[str, Floats]]:
        """The same flat, one column each: mid, bucket_size, imbalances, bid-2 … ask+1, 1m[-1].close."""
        yield "mid", self.mid
        yield "bucket_size", self.bucket_sizes
        for number, name in enumerate(IMBALANCES):
            yield name, self.imbalances[:, number]
        for side, name in enumerate(SIDES):
            for bucket in range(2 * self.depth):
                yield f"{name}{bucket - self.depth:+d}", self.volumes[:, bucket, side]
        for timeframe, candles in self.candles.items():
            count = candles.values.shape[1]
            for candle in range(count):
                for field, name in enumerate(CANDLE_FIELDS):
                    yield f"{timeframe}[{candle - count}].{name}", candles.values[:, candle, field]

    def pandas(self) -> pandas.DataFrame:
        """One row a time (index `time`, UTC), the flat columns; gaps, proof and missed in ``attrs``."""
        import pandas

        index = pandas.DatetimeIndex(self.times, name="time", tz="UTC")
        frame = pandas.DataFrame(dict(self.columns()), index=index)
        frame.attrs.update(self._told())
        return frame

    def arrow(self) -> pyarrow.Table:
        """The same as an Arrow table, unknown as null; gaps, proof and missed as JSON in the schema's metadata."""
        import pyarrow

        arrays = [pyarrow.array(self.times.astype("int64"), pyarrow.timestamp("us", "UTC"))]
        arrays += [pyarrow.array(column, mask=np.isnan(column)) for _, column in self.columns()]
        names = ["time", *(name for name, _ in self.columns())]
        metadata = {name: json.dumps(told) for name, told in self._told().items()}
        return pyarrow.table(arrays, names, metadata={"symbol": self.symbol, **metadata})

    def _told(self) -> dict[str, list[dict[str, object]]]:
        return {
            "gaps": [plain(gap) for gap in self.gaps],
            "proof": [plain(one) for one in self.proof],
            "missed": [
                {"reason": one.reason, "detail": one.detail, "channel": one.channel, "count": one.count}
                for one in self.missed
            ],
        }
