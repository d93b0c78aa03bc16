"""What is asked of the tables: whose rows there are in a range, and these, a page at a time in the order of a replay.

Rows without a position are not of the topics (the StorageManager's, and the sink's own gaps): they are never asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg import sql

from COBY.utils.intervals import from_us
from replay.borders import Part

Query = tuple[sql.Composed, dict[str, Any]]
Key = tuple[datetime, str, list[int]]
"""Stream time, source, position: rows are in this order, and no two have the same."""

APART = timedelta(minutes=1)
"""A source's positions and stream times rise together (the first mark may set time back a little). A row that is
further than this on the other side of the border is none of the source: its symbol was on another slot then, whose
positions are no measure."""


class Table(NamedTuple):
    """A table. ``is_timed``: its key's ``timestamp`` is stream time, by which hypertables are quick to search.

    ``ahead``: how far the key's time may be after stream time; None: nothing is known of that.
    """

    name: str
    is_timed: bool
    page_rows: int
    by_exchange: bool = True
    ahead: timedelta | None = None

    @property
    def time(self) -> sql.Composable:
        """The column of stream time, in queries that call the table t."""
        return sql.Identifier("t", "timestamp" if self.is_timed else "received_at")


# A trade's own time is at most a day ahead of stream time (DESIGN.md, Integrity); a candle begins before it is told.
TABLES = {
    "trade": Table("trade_events", False, 2_000, ahead=timedelta(days=1)),
    "book": Table("order_book_snapshots", True, 200),
    "heatmap": Table("heatmap_ticks", True, 100, by_exchange=False),
    "ohlcv": Table("ohlcv_data", False, 2_000, by_exchange=False, ahead=timedelta()),
    "gap": Table("gaps", False, 2_000),
    "quality": Table("quality", True, 2_000),
    "continuity": Table("continuity", False, 2_000),
}
"""Topic (without prefix) -> its table."""


class Chosen(NamedTuple):
    """Rows of these symbols and exchanges, empty for all. Tables over all exchanges know of no exchange."""

    symbols: frozenset[str] = frozenset()
    exchanges: frozenset[str] = frozenset()


def whose(topic: str, chosen: Chosen, since: datetime, until: datetime) -> Query:
    """Rows (symbol, exchange or null, first stream time) of what there is from ``since`` to before ``until``."""
    table = TABLES[topic]
    exchange = sql.Identifier("t", "exchange") if table.by_exchange else sql.SQL("NULL::text")
    select = sql.SQL("SELECT t.symbol, {} AS exchange, min({}) AS first").format(exchange, table.time)
    where = _where(topic, chosen, _range(table))
    text = select + where + sql.SQL(" GROUP BY 1, 2")
    return _with_chunks(topic, text), _values(chosen) | {"since": since, "until": until}


def any_before(topic: str, chosen: Chosen, since: datetime) -> Query:
    """A row, if there is anything from before ``since``."""
    before = sql.SQL("{} < %(since)s").format(TABLES[topic].time)
    text = sql.SQL("SELECT 1") + _where(topic, chosen, before) + sql.SQL(" LIMIT 1")
    return _with_chunks(topic, text), _values(chosen) | {"since": since}


def page(topic: str, parts: Sequence[Part], since: datetime, until: datetime, after: Key | None) -> Query:
    """The first rows of these parts, in order, as many as the table's ``page_rows`` at most.

    Columns beside the table's own: `stream_time`, `source`, `place` (the position as an array of two), which are a
    row's Key; of heatmaps the cells as well. ``after``: only what comes after that key.
    """
    table = TABLES[topic]
    join = "t.symbol = p.symbol" + " AND t.exchange = p.exchange" * table.by_exchange
    where = [_range(table), _OURS, _has_cells(topic)]
    if after is not None:
        where.append(sql.SQL("({}, {}, {}) > (%(time)s, %(source)s, %(place)s::bigint[])").format(
            table.time, _SOURCE, _PLACE
        ))  # fmt: skip
    text = sql.SQL(
        "SELECT t.*, {time} AS stream_time, {source} AS source, {place} AS place FROM {name} AS t JOIN {parts}"
        " ON {join} WHERE {where} ORDER BY {time}, {source}, {place} LIMIT {limit}"
    ).format(
        time=table.time,
        source=_SOURCE,
        place=_PLACE,
        name=sql.Identifier(table.name),
        parts=_PARTS,
        join=sql.SQL(join),
        where=sql.SQL(" AND ").join(where),
        limit=sql.Literal(table.page_rows),
    )
    if topic == "heatmap":
        text = _WITH_CELLS.format(page=text)
    values = {"since": since, "until": until} | _columns(parts)
    if after is not None:
        values |= dict(zip(("time", "source", "place"), after, strict=True))
    return _with_chunks(topic, text), values


_PLACE = sql.SQL("string_to_array(t.position, ':')::bigint[]")
_SOURCE = sql.SQL('p.source COLLATE "C"')
_PARTS = sql.SQL(
    "unnest(%(symbols)s::text[], %(exchanges)s::text[], %(sources)s::text[], %(firsts)s::bigint[],"
    " %(indexes)s::bigint[], %(earliest)s::timestamptz[], %(latest)s::timestamptz[])"
    " AS p(symbol, exchange, source, first, index, earliest, latest)"
)
_OURS = sql.SQL(
    "t.position IS NOT NULL AND (p.first IS NULL OR t.received_at < p.earliest"
    " OR (t.received_at <= p.latest AND string_to_array(t.position, ':')::bigint[] < ARRAY[p.first, p.index]))"
)
# Cells are dropped by the day, their ticks by the week (as their chunks are): that a tick has no cells says that there
# was nothing only while the chunk is there that would hold them.
_CHUNKS = sql.SQL(
    "WITH chunks AS MATERIALIZED (SELECT range_start, range_end FROM timescaledb_information.chunks"
    " WHERE hypertable_schema = current_schema() AND hypertable_name = 'heatmap_data') "
)
_HAS_CELLS = sql.SQL(
    "(t.exchanges = '[]'::jsonb OR EXISTS (SELECT 1 FROM chunks"
    " WHERE t.timestamp >= chunks.range_start AND t.timestamp < chunks.range_end))"
)
_WITH_CELLS = sql.SQL(
    "SELECT t.*, c.* FROM ({page}) AS t LEFT JOIN LATERAL (SELECT"
    " array_agg(side ORDER BY side, price_bucket) AS sides,"
    " array_agg(price_bucket ORDER BY side, price_bucket) AS prices,"
    " array_agg(volume ORDER BY side, price_bucket) AS volumes,"
    " array_agg(exchange_count ORDER BY side, price_bucket) AS counts"
    " FROM heatmap_data AS d WHERE d.timestamp = t.timestamp AND d.symbol = t.symbol"
    " AND d.bucket_size = t.bucket_size AND d.position = t.position) AS c ON true"
    " ORDER BY t.stream_time, t.source, t.place"
)


def _where(topic: str, chosen: Chosen, time: sql.Composable) -> sql.Composed:
    conditions = [sql.SQL("t.position IS NOT NULL"), time, _has_cells(topic)]
    if chosen.symbols:
        conditions.append(sql.SQL("t.symbol = ANY(%(symbols)s)"))
    if chosen.exchanges and TABLES[topic].by_exchange:
        conditions.append(sql.SQL("t.exchange = ANY(%(exchanges)s)"))
    where = sql.SQL(" AND ").join(conditions)
    return sql.SQL(" FROM {} AS t WHERE {}").format(sql.Identifier(TABLES[topic].name), where)


def _range(table: Table) -> sql.Composable:
    text = sql.SQL("{0} >= %(since)s AND {0} < %(until)s").format(table.time)
    if table.ahead is not None:
        # Says nothing new, but which chunks need not be looked at.
        text += sql.SQL(" AND t.timestamp <= %(until)s::timestamptz + {}").format(sql.Literal(table.ahead))
    return text


def _has_cells(topic: str) -> sql.Composable:
    return _HAS_CELLS if topic == "heatmap" else sql.SQL("true")


def _with_chunks(topic: str, text: sql.Composed) -> sql.Composed:
    return _CHUNKS + text if topic == "heatmap" else text


def _values(chosen: Chosen) -> dict[str, Any]:
    return {"symbols": sorted(chosen.symbols), "exchanges": sorted(chosen.exchanges)}


def _columns(parts: Sequence[Part]) -> dict[str, Any]:
    """Parts as arrays for unnest."""
    borders = [part.border for part in parts]
    times = [None if border is None else from_us(border.time_us) for border in borders]
    return {
        "symbols": [part.pair.symbol for part in parts],
        "exchanges": [part.pair.exchange for part in parts],
        "sources": [part.source for part in parts],
        "firsts": [None if border is None else border.position[0] for border in borders],
        "indexes": [None if border is None else border.position[1] for border in borders],
        "earliest": [None if time is None else time - APART for time in times],
        "latest": [None if time is None else time + APART for time in times],
    }
