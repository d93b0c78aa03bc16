"""Heatmaps of a range: SQL over ticks and cells, and columns of a resolution from their rows. Pure.

A column that stands for several ticks holds the largest volume that each cell had at any of them, so that a wall stays
a wall however far one zooms out. What it does not know it says: an exchange that was missing at one of its ticks is
missing, its covered range is what was covered at all of them, `ticks` is how many were stored.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Context, Decimal
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

from api.history.tables import HOUR_US, MINUTE_US, Query
from api.shapes import BOOLEAN, INTEGER, PRICE, RATIO, SIZE, TEXT, TIME, Column, Row, listed
from api.times import DAY_US, Span, length_text
from COBY.text import ratio
from COBY.utils.exceptions import ValidationError
from COBY.utils.intervals import from_us, interval_us, to_us

USUAL_US = 5 * MINUTE_US
LONGEST_US = 7 * DAY_US
WIDEST_US = HOUR_US
MOST_CELLS = 100_000
"""Cells that a page may have, about."""
MOST_ROWS = 750_000
"""Rows of heatmap_data that a page may be made of, about: what is read within a second or two."""
NOT_LISTED = "not_listed"

COLUMNS = (
    Column("symbol", TEXT),
    Column("timestamp", TIME),
    Column("bucket_size", PRICE),
    Column(
        "data",
        listed(
            Column("price", PRICE),
            Column("volume", SIZE),
            Column("intensity", RATIO),
            Column("side", TEXT),
            Column("exchange_count", INTEGER),
        ),
    ),
    Column("covered_low", PRICE),
    Column("covered_high", PRICE),
    Column(
        "exchanges",
        listed(Column("exchange", TEXT), Column("covered_low", PRICE), Column("covered_high", PRICE)),
    ),
    Column("missing", listed(Column("exchange", TEXT), Column("reason", TEXT))),
    Column("ticks", INTEGER),
    Column("complete", BOOLEAN),
)
"""The record's fields (docs/topics.md, heatmap); ``ticks`` stored that the column is made of; ``complete``: all there
have to be, and no exchange that lists the symbol was missing at any."""
EPOCH = "'1970-01-01T00:00:00Z'::timestamptz"
_WHERE = "timestamp >= %(since)s AND timestamp < %(until)s AND symbol = %(symbol)s"
_TICKS = (
    "SELECT timestamp, bucket_size, exchanges::text, missing::text, covered_low, covered_high"
    f" FROM heatmap_ticks WHERE {_WHERE} ORDER BY timestamp, bucket_size"
)
# One text for all cells of a column: so many small values would take longer to hand over than to find.
_CELLS = f"""
SELECT time, bucket_size, max(largest), string_agg(concat_ws(' ', side, price_bucket, volume, count), ','
    ORDER BY side DESC, CASE side WHEN 'bid' THEN -price_bucket ELSE price_bucket END)
    FILTER (WHERE price_bucket >= %(low)s AND price_bucket < %(high)s)
FROM (
    SELECT time, bucket_size, side, price_bucket, volume, count,
        max(volume) OVER (PARTITION BY time, bucket_size) AS largest
    FROM (
        SELECT date_bin(%(step)s, timestamp, {EPOCH}) AS time, bucket_size, side, price_bucket,
            max(volume) AS volume, max(exchange_count) AS count
        FROM heatmap_data WHERE {_WHERE} GROUP BY 1, 2, 3, 4
    ) AS cells
) AS shares GROUP BY 1, 2
"""
_EXACT = Context(prec=100)  # the default would round what has more than 28 digits
_LOWEST, _HIGHEST = Decimal(0), Decimal(10**12)


class Prices(NamedTuple):
    """The prices asked for: cells whose lower edge is from ``low`` to below ``high``."""

    low: Decimal = _LOWEST
    high: Decimal = _HIGHEST


class Tick(NamedTuple):
    """A row of heatmap_ticks; lists as JSON text."""

    timestamp: datetime
    bucket_size: Decimal
    exchanges: str
    missing: str
    covered_low: Decimal | None
    covered_high: Decimal | None


def resolution_us(text: str | None, step_us: int) -> int:
    """Microseconds of a column; None: one for each stored tick, ``step_us`` apart.

    ValidationError `api.resolution` for what is no multiple of that, or more than an hour.
    """
    if text is None:
        return step_us
    try:
        found = interval_us(text)
    except ValidationError as error:
        error.where = "query.resolution"
        raise
    if found % step_us or found > max(WIDEST_US, step_us):
        allowed = f"a multiple of STORE_INTERVAL ({length_text(step_us)}), at most {length_text(WIDEST_US)}"
        raise ValidationError(
            "api.resolution", f"a column of {text}", where="query.resolution", allowed=allowed
        )
    return found


def aligned(span: Span, resolution: int) -> Span:
    """The whole columns that begin in the range. ValidationError `api.range_empty` where none does."""
    found = Span(*(-(-time // resolution) * resolution for time in span))
    if found.since_us >= found.until_us:
        text, allowed = "no column begins in the range", f"a range of {length_text(resolution)} or more"
        raise ValidationError("api.range_empty", text, where="query.from", allowed=allowed)
    return found


def page_span(span: Span, resolution: int, step_us: int, depth: int, limit: int) -> Span:
    """The part of an aligned range that a page has; ``depth``: buckets a side. At least one column."""
    ticks_each = resolution // step_us
    columns = min(limit, MOST_CELLS // (2 * depth), MOST_ROWS // (2 * depth * ticks_each))
    return Span(span.since_us, min(span.until_us, span.since_us + max(1, columns) * resolution))


def newest(symbol: str, span: Span) -> Query:
    """The time of the newest stored tick of the span; no row where there is none."""
    text = f"SELECT timestamp FROM heatmap_ticks WHERE {_WHERE} ORDER BY timestamp DESC LIMIT 1"
    return text, {"symbol": symbol, "since": from_us(span.since_us), "until": from_us(span.until_us)}


def ticks(symbol: str, span: Span) -> Query:
    """Rows of Tick in the range, in order of time."""
    return _TICKS, _values(symbol, span)


def cells(symbol: str, span: Span, resolution: int, prices: Prices) -> Query:
    """(column's time, bucket_size, its largest volume, its cells as text or null) in the range, in no order."""
    step = from_us(resolution) - from_us(0)
    return _CELLS, _values(symbol, span) | {"step": step, **prices._asdict()}


def with_cells(tick_rows: Iterable[Tick], lost: Sequence[Span]) -> Iterator[Tick]:
    """The ticks whose cells are not lost: ticks are dropped by the week, cells by the day.

    Of a tick at which no exchange was there nothing is lost.
    """
    for tick in tick_rows:
        time_us = to_us(tick.timestamp)
        if tick.exchanges == "[]" or not any(part.since_us <= time_us < part.until_us for part in lost):
            yield tick


def columns(
    symbol: str, tick_rows: Iterable[Tick], cell_rows: Iterable[Sequence[Any]], resolution: int, step_us: int
) -> list[Row]:
    """The rows of COLUMNS, by time and bucket size."""
    step = from_us(resolution) - from_us(0)
    start = from_us(0)

    def column_of(tick: Tick) -> tuple[datetime, Decimal]:
        return start + (tick.timestamp - start) // step * step, tick.bucket_size

    cells_of = {(time, size): (largest, text) for time, size, largest, text in cell_rows}
    found: list[Row] = []
    for (time, size), group in groupby(sorted(tick_rows, key=column_of), column_of):
        largest, text = cells_of.get((time, size), (None, None))
        data = [] if text is None else [_cell(part, largest) for part in text.split(",")]
        found.append((symbol, time, size, data, *_known(list(group), resolution // step_us)))
    return found


def _values(symbol: str, span: Span) -> dict[str, Any]:
    return {"symbol": symbol, "since": from_us(span.since_us), "until": from_us(span.until_us)}


def _cell(text: str, largest: Decimal) -> tuple[Decimal, Decimal, Decimal, str, int]:
    side, price, volume, count = text.split(" ")
    return Decimal(price), Decimal(volume), _intensity(volume, largest), side, int(count)


def _intensity(volume: str, largest: Decimal) -> Decimal:
    """volume / largest as the pipeline computes it: half-even at the eighth decimal."""
    return Decimal(ratio(_units(Decimal(volume)), _units(largest))).scaleb(-8)


def _units(value: Decimal) -> int:
    return int(_EXACT.scaleb(value, 8))


def _known(group: Sequence[Tick], expected: int) -> tuple[Any, ...]:
    """covered_low, covered_high, exchanges, missing, ticks, complete of the ticks of one column."""
    included: dict[str, tuple[Decimal | None, Decimal | None]] = {}
    missing: dict[str, str] = {}
    for tick in group:
        missing |= _missing(tick.missing)
        for exchange, low, high in _exchanges(tick.exchanges):
            former = included.get(exchange, (None, None))
            included[exchange] = _both(former, (low, high))
    covered: tuple[Decimal | None, Decimal | None] = (None, None)
    for tick in group:
        covered = _both(covered, (tick.covered_low, tick.covered_high))
    exchanges = [(name, *included[name]) for name in sorted(included.keys() - missing.keys())]
    lacks = [name for name, reason in missing.items() if reason != NOT_LISTED]
    complete = not lacks and len(group) >= expected
    return *covered, exchanges, sorted(missing.items()), len(group), complete


def _both(
    one: tuple[Decimal | None, Decimal | None], other: tuple[Decimal | None, Decimal | None]
) -> tuple[Decimal | None, Decimal | None]:
    """What both ranges hold; None is no limit."""
    lows = [low for low in (one[0], other[0]) if low is not None]
    highs = [high for high in (one[1], other[1]) if high is not None]
    return max(lows, default=None), min(highs, default=None)


@lru_cache(maxsize=1_000)
def _missing(text: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(text)
    return found


@lru_cache(maxsize=10_000)
def _exchanges(text: str) -> list[tuple[str, Decimal | None, Decimal | None]]:
    return [
        (one["exchange"], _maybe(one["covered_low"]), _maybe(one["covered_high"])) for one in json.loads(text)
    ]


def _maybe(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
