"""The StorageManager of the user's documents: one row at a time by the sink's own `write_rows`, and reading back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, TypeVar

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg_pool import PoolTimeout

from COBY.config import Config
from COBY.interfaces import StorageManager
from COBY.models import OrderBookSnapshot, PriceLevel, TradeEvent
from COBY.records import BookTick, Level
from COBY.records import TradeEvent as TradeRecord
from COBY.runtime.database import Connection, connect, is_passing, make_pool, refused, unreachable
from COBY.text import divide
from COBY.utils.exceptions import StorageError, ValidationError
from COBY.utils.timing import to_us
from sinks.rows import Row, book_row, trade_row
from sinks.schema import migrate
from sinks.tables import BOOKS, CANDLES, CELLS, CONTINUITY, GAPS, HEATMAPS, QUALITY, TRADES, Table
from sinks.writer import write_rows

HISTORY = (BOOKS, TRADES, CELLS, HEATMAPS, CANDLES, GAPS, QUALITY, CONTINUITY)
MAX_ROWS = 100_000
T = TypeVar("T")


class TimescaleStorage(StorageManager):
    """Stores and finds rows. Thread-safe; the async methods run in threads. Close it."""

    def __init__(self, cfg: Config, *, max_connections: int = 4) -> None:
        """Connects when first used. ``max_connections``: those used at the same time."""
        self._cfg = cfg
        self._pool = make_pool(cfg, max_size=max_connections)

    async def store_orderbook(self, data: OrderBookSnapshot) -> bool:
        """Store one book, replacing the row of its (timestamp, symbol, exchange); True once committed."""
        return await asyncio.to_thread(self._store, book_row(_book(data), None))

    async def store_trade(self, data: TradeEvent) -> bool:
        """Store one trade; its (timestamp, symbol, exchange, trade_id) stays one row. True once committed."""
        return await asyncio.to_thread(self._store, trade_row(_trade(data), None, received=False))

    async def get_historical_data(
        self, symbol: str, start: datetime, end: datetime, *, limit: int = MAX_ROWS
    ) -> list[dict[str, Any]]:
        """Rows of ``symbol`` from all tables, ``start`` included, ``end`` excluded, oldest first.

        Each dict is a row by column, decimals as Decimal, times in UTC, and `table`, its table's name.
        ValidationError `time.naive`; StorageError `db.range_too_large` for more than ``limit`` rows.
        """
        if to_us(start) >= to_us(end):
            raise ValidationError("time.invalid", f"{start} is not before {end}", allowed="start before end")
        return await asyncio.to_thread(self._read, lambda conn: _history(conn, symbol, start, end, limit))

    async def get_latest_data(self, symbol: str) -> dict[str, Any]:
        """The newest row of ``symbol`` of each table, by the table's name; tables without one are left out.

        `heatmap_data` is a list: all cells of the newest tick.
        """
        return await asyncio.to_thread(self._read, lambda conn: _latest(conn, symbol))

    def setup_database_schema(self) -> None:
        """Create or migrate the tables; doing it twice changes nothing."""
        with connect(self._cfg) as conn:
            migrate(conn)

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def _store(self, row: Row) -> bool:
        def write(conn: Connection) -> bool:
            with conn.transaction(), conn.cursor() as cursor:
                return write_rows(cursor, row.table, [row.values]) == 1

        return self._read(write)

    def _read(self, work: Callable[[Connection], T]) -> T:
        try:
            with self._pool.connection() as conn:
                return work(conn)
        except (psycopg.Error, PoolTimeout) as error:
            raise (unreachable(self._cfg, error) if is_passing(error) else refused(error)) from error


def _history(
    conn: Connection, symbol: str, start: datetime, end: datetime, limit: int
) -> list[dict[str, Any]]:
    found: list[tuple[datetime, dict[str, Any]]] = []
    for table in HISTORY:
        time = _time_of(table)
        query = sql.SQL(
            "SELECT {columns} FROM {table} WHERE symbol = %s AND {time} >= %s AND {time} < %s "
            "ORDER BY {key} LIMIT %s"
        ).format(
            columns=_identifiers(table.columns),
            table=sql.Identifier(table.name),
            time=sql.Identifier(time),
            key=_identifiers(table.key),
        )
        rows = _dicts(conn, query, [symbol, start, end, limit + 1 - len(found)])
        found += [(row[time], {"table": table.name, **row}) for row in rows]
        if len(found) > limit:
            allowed = f"at most {limit} rows; a shorter range"
            raise StorageError("db.range_too_large", f"{symbol} from {start} to {end}", allowed=allowed)
    return [row for _, row in sorted(found, key=lambda pair: pair[0])]


def _latest(conn: Connection, symbol: str) -> dict[str, Any]:
    latest: dict[str, Any] = {}
    for table in HISTORY:
        time = sql.Identifier(_time_of(table))
        query = sql.SQL(
            "SELECT {columns} FROM {table} WHERE symbol = %s AND {time} = "
            "(SELECT max({time}) FROM {table} WHERE symbol = %s) ORDER BY {key}"
        ).format(
            columns=_identifiers(table.columns),
            table=sql.Identifier(table.name),
            time=time,
            key=_identifiers(table.key),
        )
        rows = _dicts(conn, query, [symbol, symbol])
        if rows:
            latest[table.name] = rows if table is CELLS else rows[-1]
    return latest


def _dicts(conn: Connection, query: sql.Composed, values: list[object]) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, values).fetchall()


def _time_of(table: Table) -> str:
    return table.key[0]  # hypertables: the key begins with the time


def _identifiers(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _trade(data: TradeEvent) -> TradeRecord:
    return TradeRecord(
        symbol=data.symbol,
        exchange=data.exchange,
        timestamp=to_us(data.timestamp),
        received_at=0,
        price=_units(data.price),
        size=_units(data.size),
        side=data.side,
        trade_id=data.trade_id,
    )


def _book(data: OrderBookSnapshot) -> BookTick:
    """The record of a book: levels best first, metrics computed from the exact sums."""
    bids = sorted(_levels(data.bids), key=lambda level: -level.price)
    asks = sorted(_levels(data.asks), key=lambda level: level.price)
    best = (bids[0].price, asks[0].price) if bids and asks else None
    return BookTick(
        symbol=data.symbol,
        exchange=data.exchange,
        timestamp=to_us(data.timestamp),
        live=True,
        reason=None,
        conn=None,
        sequence_id=data.sequence_id,
        bids=bids,
        asks=asks,
        bucket_size=0,
        bid_buckets=[],
        ask_buckets=[],
        covered_low=None,
        covered_high=None,
        mid_price=None if best is None else divide(sum(best), 2),
        spread=None if best is None else best[1] - best[0],
        bid_volume=sum(level.size for level in bids) if bids else None,
        ask_volume=sum(level.size for level in asks) if asks else None,
        imbalance=None,
        quality=0,
        bars=[],
    )


def _levels(levels: Sequence[PriceLevel]) -> list[Level]:
    return [Level(_units(level.price), _units(level.size)) for level in levels]


def _units(value: float) -> int:
    """A float as units of 1e-8: the shortest decimal that means it, rounded half-even."""
    return int((Decimal(repr(value)) * 10**8).to_integral_value(ROUND_HALF_EVEN))
