"""The one place that asks the tables: a page and what it lacks, in one view of the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NamedTuple

from api.formats import Page
from api.history import candles, flow, heatmap, holes
from api.history.holes import Grid, Hole
from api.history.tables import CANDLES, GAPS, Names, Query, Resource
from api.pages import Cursor, Key, encode
from api.shapes import Row
from api.times import Span
from COBY.runtime.database import AsyncConnection, AsyncPool
from COBY.utils.intervals import to_us

AT_ONCE_ROWS = 500
"""Rows made of an answer's bytes before the event loop goes on with others: a millisecond or two."""
_ONE_VIEW = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"


class View:
    """One view of the database: what is written meanwhile does not show."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def rows(self, query: Query) -> list[Any]:
        """All rows. Planned anew each time: only with the values is it known which chunks need not be touched."""
        text, values = query
        cursor = await self._conn.execute(text, values, prepare=False)
        found: list[Any] = []
        while part := await cursor.fetchmany(AT_ONCE_ROWS):
            found += part
            await asyncio.sleep(0)
        return found

    async def value(self, query: Query) -> Any:
        """The only value of the only row."""
        ((found,),) = await self.rows(query)
        return found


@asynccontextmanager
async def view(pool: AsyncPool) -> AsyncIterator[View]:
    """A view while the block runs. psycopg.Error, PoolTimeout."""
    async with pool.connection() as conn, conn.transaction():
        await conn.execute(_ONE_VIEW)
        yield View(conn)


class Walk(NamedTuple):
    """A page that is asked for: where it begins, how many rows at most, and what its cursor belongs to."""

    cursor: Cursor
    limit: int
    query: dict[str, Any]

    def next(self, key: Key) -> str:
        """The text of the cursor that goes on behind ``key``."""
        return encode(Cursor(self.cursor.span, key), self.query)


class Parts(NamedTuple):
    """The parts of a range whose rows retention took, and those that are kept."""

    lost: list[Span]
    kept: list[Span]


async def read_page(
    pool: AsyncPool, resource: Resource, names: Names, walk: Walk, symbols: Sequence[str], step_us: int
) -> Page:
    """A page of rows of one table, and the holes of the time it covers.

    ``symbols``: those it is about; ``step_us``: STORE_INTERVAL.
    """
    async with view(pool) as database:
        floor_us = walk.cursor.span.since_us
        if resource.until is not None and not walk.cursor.key:
            floor_us = await _floor(database, resource, names, walk.cursor.span)
        rows = await database.rows(resource.page(names, walk.cursor, floor_us, walk.limit + 1))
        more, rows = len(rows) > walk.limit, rows[: walk.limit]
        key = resource.key_of(rows[-1]) if more else None
        covered = _covered(walk.cursor, key)
        if resource is CANDLES:
            found = await _candle_holes(database, names, covered, rows)
        else:
            grid = holes.around(covered, step_us)
            parts = await _parts(database, resource.table, covered) if resource.in_full else None
            found = await _holes(database, names, covered, symbols, grid, parts)
    said = holes.meta(covered, found)
    return Page(resource.columns, rows, None if key is None else walk.next(key), said)


async def read_heatmap(
    pool: AsyncPool,
    symbol: str,
    walk: Walk,
    page: Span,
    resolution: int,
    prices: heatmap.Prices,
    step_us: int,
) -> Page:
    """The columns of ``page``, a part of the walk's range."""
    async with view(pool) as database:
        parts = await _parts(database, "heatmap_data", page)
        ticks = await database.rows(heatmap.ticks(symbol, page))
        cells = await database.rows(heatmap.cells(symbol, page, resolution, prices))
        grid = holes.moments(page, step_us)
        missing = await _holes(database, {"symbol": symbol}, page, (symbol,), grid, parts)
    # An iterator: its work is the thread's.
    whole = heatmap.with_cells(map(heatmap.Tick._make, ticks), parts.lost)
    rows: list[Row] = await asyncio.to_thread(heatmap.columns, symbol, whole, cells, resolution, step_us)
    is_last = page.until_us >= walk.cursor.span.until_us
    return Page(
        heatmap.COLUMNS, rows, None if is_last else walk.next((page.until_us,)), holes.meta(page, missing)
    )


async def newest_ticks(pool: AsyncPool, symbols: Sequence[str], span: Span) -> dict[str, int]:
    """Symbol -> the time of its newest stored tick of the span, in microseconds. psycopg.Error, PoolTimeout."""
    async with view(pool) as database:
        found = {symbol: await database.rows(heatmap.newest(symbol, span)) for symbol in symbols}
    return {symbol: to_us(rows[0][0]) for symbol, rows in found.items() if rows}


async def read_flow(
    pool: AsyncPool,
    symbol: str,
    exchanges: Sequence[str] | None,
    walk: Walk,
    page: Span,
    resolution: int,
    step_us: int,
) -> Page:
    """Trades added up by ``resolution``, of ``page``, a part of the walk's range."""
    async with view(pool) as database:
        parts = await _parts(database, flow.TABLE, page)
        found = await database.rows(flow.flow(symbol, exchanges, page, resolution))
        grid = holes.around(page, step_us)
        missing = await _holes(database, {"symbol": symbol}, page, (symbol,), grid, parts)
    is_last = page.until_us >= walk.cursor.span.until_us
    cursor = None if is_last else walk.next((page.until_us,))
    return Page(flow.COLUMNS, flow.rows(symbol, found), cursor, holes.meta(page, missing))


def _covered(cursor: Cursor, last: Key | None) -> Span:
    """The time that a page tells of: from the cursor's place on, to its last row if there are more."""
    # Behind a row whose time is its whole key nothing more is of that time.
    begin = int(cursor.key[0]) + (len(cursor.key) == 1) if cursor.key else cursor.span.since_us
    begin = max(begin, cursor.span.since_us)
    end = cursor.span.until_us if last is None else int(last[0]) + 1
    return Span(begin, max(end, begin + 1))


async def _floor(database: View, resource: Resource, names: Names, span: Span) -> int:
    began: datetime | None = await database.value(resource.floor(names, span))
    return span.since_us if began is None else to_us(began)


async def _holes(
    database: View, names: Names, span: Span, symbols: Sequence[str], grid: Grid, parts: Parts | None
) -> list[Hole]:
    """What ticks and gaps say, and chunks: ``parts`` (None: only the first and last tick are looked at)."""
    exchange = names.get("exchange")
    seen: list[Hole] = []
    for symbol in symbols:
        if parts is None:
            ((first, last),) = await database.rows(holes.bounds(symbol, grid))
            seen += holes.from_ticks(symbol, span, grid, [(None, None, first, last)])
            continue
        rows = await database.rows(holes.runs(symbol, exchange, grid))
        seen += [Hole(symbol, holes.ALL, *part, holes.NOT_KEPT) for part in parts.lost]
        for part in parts.kept:
            seen += holes.from_ticks(symbol, part, grid, rows)
    told = await _gaps(database, names.get("symbol"), exchange, span)
    # Of a thousand each this is a million comparisons.
    return await asyncio.to_thread(holes.merged, told, seen, grid)


async def _parts(database: View, table: str, span: Span) -> Parts:
    return Parts(*holes.from_chunks(span, await database.rows(holes.kept(table, span))))


async def _gaps(database: View, symbol: str | None, exchange: str | None, span: Span) -> list[Hole]:
    names = {"symbol": symbol, "exchange": exchange}
    floor_us = await _floor(database, GAPS, names, span)
    return holes.from_gaps(await database.rows(holes.gaps(symbol, exchange, span, floor_us)))


async def _candle_holes(database: View, names: Names, span: Span, rows: Sequence[Row]) -> list[Hole]:
    """What the candles themselves say, and the gaps: ticks are kept for weeks, candles for ever."""
    asked = candles.Asked(str(names["symbol"]), str(names["timeframe"]), span)
    lacking = await asyncio.to_thread(candles.absent, asked, rows)
    if lacking:
        whole = await database.rows(candles.whole(asked))
        lacking = await asyncio.to_thread(candles.without, lacking, asked, whole)
    told = await _gaps(database, asked.symbol, None, span)
    cut = await asyncio.to_thread(candles.incomplete, asked, rows)
    return sorted([*told, *lacking, *cut], key=lambda hole: (hole.from_us, hole.exchange))
