"""What a range of candles lacks, by the candles themselves: SQL and holes. Pure.

There is no candle where there was no trade; and none where nothing was known. A candle of a longer timeframe that is
complete tells the first from the second: at every tick of it every exchange was live.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from api.history.holes import ALL, Hole
from api.history.tables import CANDLES, Query
from api.shapes import Row
from api.times import Span
from COBY.ohlcv import TIMEFRAMES_US
from COBY.utils.intervals import from_us, to_us

NO_CANDLE, INCOMPLETE = "no_candle", "incomplete"
MOST_CANDLES = 100_000
"""A request may ask for so many, whatever their timeframe; and for five years at most."""
_PLACES = {column.name: place for place, column in enumerate(CANDLES.columns)}
_TIME, _COMPLETE = _PLACES["timestamp"], _PLACES["complete"]
_WHOLE = (
    "SELECT timestamp, timeframe FROM ohlcv_data WHERE symbol = %(symbol)s AND timeframe = ANY(%(timeframes)s)"
    " AND timestamp >= %(since)s AND timestamp < %(until)s AND complete"
)


class Asked(NamedTuple):
    """Candles of a symbol and timeframe that begin in the range."""

    symbol: str
    timeframe: str
    span: Span

    @property
    def length_us(self) -> int:
        """Of one candle."""
        return TIMEFRAMES_US[self.timeframe]


def longest_us(timeframe: str) -> int:
    """How long a range of that timeframe may be."""
    return min(CANDLES.longest_us, MOST_CANDLES * TIMEFRAMES_US[timeframe])


def whole(asked: Asked) -> Query:
    """(start, timeframe) of the longer candles that reach into the range and are complete."""
    longer = [name for name, length in TIMEFRAMES_US.items() if length > asked.length_us]
    longest = max(TIMEFRAMES_US.values())
    values = {"symbol": asked.symbol, "timeframes": longer}
    since = from_us(asked.span.since_us // longest * longest)
    return _WHOLE, values | {"since": since, "until": from_us(asked.span.until_us)}


def absent(asked: Asked, rows: Sequence[Row]) -> list[Hole]:
    """Where the page has no candle: one hole for each run of them."""
    length, span = asked.length_us, asked.span
    expected = -(-span.since_us // length) * length
    found = []
    for start in (*(to_us(row[_TIME]) for row in rows), -(-span.until_us // length) * length):
        if start > expected:
            found.append(_hole(asked, expected, start, NO_CANDLE))
        expected = max(expected, start + length)
    return found


def without(lacking: Iterable[Hole], asked: Asked, whole_rows: Iterable[Sequence[Any]]) -> list[Hole]:
    """What is left of the holes where no longer, complete candle says that there was no trade."""
    known = _union((to_us(start), to_us(start) + TIMEFRAMES_US[name]) for start, name in whole_rows)
    ends = [end for _, end in known]
    found = []
    for hole in lacking:
        assert hole.until_us is not None
        at = hole.from_us
        for start, end in known[bisect_right(ends, at) :]:
            if start >= hole.until_us:
                break
            if start > at:
                found.append(_hole(asked, at, start, NO_CANDLE))
            at = end
        if at < hole.until_us:
            found.append(_hole(asked, at, hole.until_us, NO_CANDLE))
    return found


def incomplete(asked: Asked, rows: Sequence[Row]) -> list[Hole]:
    """Runs of candles at whose ticks not every exchange was live."""
    found: list[Hole] = []
    for row in rows:
        if row[_COMPLETE]:
            continue
        start = to_us(row[_TIME])
        if found and found[-1].until_us == start:
            start = found.pop().from_us
        found.append(_hole(asked, start, to_us(row[_TIME]) + asked.length_us, INCOMPLETE))
    return found


def _union(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same time as spans that do not touch, in order."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def _hole(asked: Asked, from_us: int, until_us: int, reason: str) -> Hole:
    return Hole(asked.symbol, ALL, from_us, until_us, reason)
