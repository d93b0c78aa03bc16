"""What a range lacks: SQL that finds it, and holes from what was found. Pure.

Three things tell. Chunks: where a table has none any more, nothing is kept. The stored ticks of heatmap_ticks: there is
one of every symbol at every point of the grid of STORE_INTERVAL, and it says which exchanges were missing and why;
where there is none, nothing was stored. The gaps: holes between two ticks, and from when to when exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from api.history.tables import GAPS, Query
from api.pages import Cursor
from api.times import Span
from COBY.utils.intervals import format_us, from_us, to_us

MOST_HOLES = 1_000
NOT_KEPT, NOT_STORED = "not_kept", "not_stored"
NOT_LISTED = "not_listed"
"""An exchange that does not list a symbol lacks nothing of it."""
ALL = "*"


class Hole(NamedTuple):
    """Time of which something is not known; ``until_us`` None: it goes on. ``exchange`` "*": of all."""

    symbol: str
    exchange: str
    from_us: int
    until_us: int | None
    reason: str


class Grid(NamedTuple):
    """The stored ticks that have to be there: from ``first_us`` to ``last_us``, both included, a ``step_us`` apart.

    ``lead_us``: how far before a tick that time begins which it tells of.
    """

    first_us: int
    last_us: int
    step_us: int
    lead_us: int


def moments(span: Span, step_us: int) -> Grid:
    """Of rows that are ticks themselves: those in the range."""
    return Grid(-(-span.since_us // step_us) * step_us, (span.until_us - 1) // step_us * step_us, step_us, 0)


def around(span: Span, step_us: int) -> Grid:
    """Of rows at any time: a tick T tells of what was from the tick before until T."""
    return Grid(span.since_us // step_us * step_us, -(-span.until_us // step_us) * step_us, step_us, step_us)


_KEPT = (
    "SELECT range_start, range_end FROM timescaledb_information.chunks WHERE hypertable_schema = current_schema()"
    " AND hypertable_name = %(table)s AND range_end > %(since)s ORDER BY range_start"
)
_RANGE = "timestamp >= %(first)s AND timestamp <= %(last)s AND symbol = %(symbol)s"
_BOUNDS = (
    f"SELECT (SELECT timestamp FROM heatmap_ticks WHERE {_RANGE} ORDER BY timestamp LIMIT 1),"
    f" (SELECT timestamp FROM heatmap_ticks WHERE {_RANGE} ORDER BY timestamp DESC LIMIT 1)"
)
# Rows: (exchange or null, reason or null, first missing tick, last missing tick); then (null, null, first, last tick).
_RUNS = f"""
WITH ticks AS MATERIALIZED (
    SELECT timestamp, missing, row_number() OVER (ORDER BY timestamp) AS number,
        lag(timestamp) OVER (ORDER BY timestamp) AS former
    FROM heatmap_ticks WHERE {_RANGE}
), lacking AS (
    SELECT timestamp, item.key AS exchange, item.value AS reason,
        number - row_number() OVER (PARTITION BY item.key, item.value ORDER BY timestamp) AS run
    FROM ticks, jsonb_each_text(missing) AS item
    WHERE missing <> '{{}}'::jsonb AND item.value <> '{NOT_LISTED}'
        AND (%(exchange)s::text IS NULL OR item.key = %(exchange)s)
)
(SELECT exchange, reason, min(timestamp), max(timestamp) FROM lacking
    GROUP BY exchange, reason, run ORDER BY 3, 1 LIMIT %(rows)s)
UNION ALL
(SELECT NULL, '{NOT_STORED}', former + %(step)s, timestamp - %(step)s FROM ticks
    WHERE timestamp - former > %(step)s ORDER BY timestamp LIMIT %(rows)s)
UNION ALL
SELECT NULL, NULL, min(timestamp), max(timestamp) FROM ticks
"""


def kept(table: str, span: Span) -> Query:
    """(beginning, end) of each chunk of a table that ends after the range's beginning, in order."""
    return _KEPT, {"table": table, "since": from_us(span.since_us)}


def bounds(symbol: str, grid: Grid) -> Query:
    """(first, last) stored tick of the grid; nulls: there is none."""
    return _BOUNDS, {"symbol": symbol, "first": from_us(grid.first_us), "last": from_us(grid.last_us)}


def runs(symbol: str, exchange: str | None, grid: Grid) -> Query:
    """Runs of ticks that lack an exchange, or are lacking themselves, and the first and last tick."""
    step = from_us(grid.step_us) - from_us(0)
    values = {"exchange": exchange, "step": step, "rows": MOST_HOLES + 1}
    return _RUNS, bounds(symbol, grid)[1] | values


def gaps(symbol: str | None, exchange: str | None, span: Span, floor_us: int) -> Query:
    """The gaps that reach into the range, as rows of GAPS."""
    names = {"symbol": symbol, "exchange": exchange}
    return GAPS.page(names, Cursor(span, ()), floor_us, MOST_HOLES + 1)


def from_chunks(span: Span, chunks: Iterable[tuple[datetime, datetime]]) -> tuple[list[Span], list[Span]]:
    """The parts of the range that are not kept, and those that are, by the rows of `kept`.

    Before a chunk there was another one, which retention took: not always the oldest, as age counts from its making.
    After the newest one nothing can have been taken yet.
    """
    lost, rest, at = [], [], span.since_us
    for first, last in chunks:
        if (start := to_us(first)) > at:
            lost.append(Span(at, min(start, span.until_us)))
        at = max(at, start)
        if at >= span.until_us:
            break
        rest.append(Span(at, min(to_us(last), span.until_us)))
        at = to_us(last)
    if at < span.until_us:
        rest.append(Span(at, span.until_us))
    return lost, rest


def from_ticks(symbol: str, span: Span, grid: Grid, rows: Iterable[Sequence[Any]]) -> list[Hole]:
    """The holes that the rows of `runs` tell of (or the one of `bounds`, with two nulls before), within the range."""
    found: list[Hole] = []

    def lacking(exchange: str, reason: str, first_us: int, last_us: int) -> None:
        since = max(span.since_us, first_us - grid.lead_us)
        until = min(span.until_us, last_us + grid.step_us - grid.lead_us)
        if since < until:
            found.append(Hole(symbol, exchange, since, until, reason))

    for exchange, reason, first, last in rows:
        if reason is not None:
            lacking(exchange or ALL, reason, to_us(first), to_us(last))
        elif first is None:
            lacking(ALL, NOT_STORED, grid.first_us, grid.last_us)
        else:
            lacking(ALL, NOT_STORED, grid.first_us, to_us(first) - grid.step_us)
            lacking(ALL, NOT_STORED, to_us(last) + grid.step_us, grid.last_us)
    return found


def from_gaps(rows: Iterable[Sequence[Any]]) -> list[Hole]:
    """The holes that rows of GAPS are."""
    names = [column.name for column in GAPS.columns]
    places = [names.index(name) for name in ("symbol", "exchange", "from_time", "until_time", "reason")]
    found = []
    for row in rows:
        symbol, exchange, since, until, reason = (row[place] for place in places)
        if reason != NOT_LISTED:
            found.append(
                Hole(symbol, exchange, to_us(since), None if until is None else to_us(until), reason)
            )
    return found


def merged(told: Iterable[Hole], seen: Iterable[Hole], grid: Grid) -> list[Hole]:
    """All holes in order of time, those of the grid's ticks (``seen``) without what a gap (``told``) says better.

    A tick says what was before it: one at a gap's very end is still the gap's.
    """
    begins_us, ends_us = grid.lead_us, grid.step_us - grid.lead_us
    gaps_of: dict[tuple[str, str], list[Hole]] = {}
    for hole in told:
        gaps_of.setdefault((hole.symbol, hole.exchange), []).append(hole)

    def is_told(hole: Hole) -> bool:
        return any(
            one.from_us <= hole.from_us + begins_us
            and (
                one.until_us is None
                or (hole.until_us is not None and hole.until_us <= one.until_us + ends_us)
            )
            for one in gaps_of.get((hole.symbol, hole.exchange), ())
        )

    rest = [hole for hole in seen if not is_told(hole)]
    everything = [hole for group in gaps_of.values() for hole in group] + rest
    return sorted(everything, key=lambda hole: (hole.from_us, hole.symbol, hole.exchange, hole.reason))


def meta(span: Span, holes: Sequence[Hole]) -> dict[str, Any]:
    """What an answer says of the time it covers: `complete`, and the holes, the first thousand of them."""
    shown = [
        {
            "symbol": hole.symbol,
            "exchange": hole.exchange,
            "from": format_us(hole.from_us),
            "to": None if hole.until_us is None else format_us(hole.until_us),
            "reason": hole.reason,
        }
        for hole in holes[:MOST_HOLES]
    ]
    return {
        "complete": not holes,
        "gaps": shown,
        "more_gaps": len(holes) > MOST_HOLES,
        "from": format_us(span.since_us),
        "to": format_us(span.until_us),
    }
