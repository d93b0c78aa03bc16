"""Old chunks compressed, by TimescaleDB's policies, where its edition has them (Community; the Apache-2 one has not).

Only the tables that grow by gigabytes: candles, gaps, quality and intervals are small, and still revised. A chunk is
compressed COMPRESS_AFTER it was made, as retention counts; by default that is when topics no longer hold its records,
from which a replay reads them until then. Rows that come later for a compressed chunk are stored; it only costs more.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from psycopg import sql

from COBY.config import Config
from COBY.runtime.database import Connection
from sinks.retention import has_policies
from sinks.tables import BOOKS, CELLS, HEATMAPS, TRADES


class Layout(NamedTuple):
    """Columns of a table's key: those that have one value within a compressed block, and those it is sorted by."""

    segment_by: str
    order_by: str


LAYOUTS = {
    BOOKS.name: Layout("symbol, exchange", "timestamp"),
    TRADES.name: Layout("symbol, exchange", "timestamp, trade_id"),
    CELLS.name: Layout("symbol, bucket_size, side", "timestamp, price_bucket"),
    HEATMAPS.name: Layout("symbol, bucket_size", "timestamp"),
}
ENABLED = (
    "SELECT compression_enabled FROM timescaledb_information.hypertables "
    "WHERE hypertable_schema = current_schema() AND hypertable_name = %s"
)
REMOVE = "SELECT remove_compression_policy(%s::regclass, if_exists => true)"
ADD = "SELECT add_compression_policy(%s::regclass, compress_created_before => %s::interval)"


def compress(conn: Connection, cfg: Config) -> bool:
    """Make the policies say COMPRESS_AFTER (0: none); False where there are none to be had. psycopg.Error."""
    if not has_policies(conn):
        return False
    for table, layout in LAYOUTS.items():
        with conn.transaction():
            conn.execute("SET LOCAL lock_timeout = '1s'")  # it can wait until later, the rows behind it can't
            conn.execute(REMOVE, [table])
            if cfg.compress_after:
                if not _is_enabled(conn, table):
                    conn.execute(enable(table, layout))
                conn.execute(ADD, [table, timedelta(seconds=cfg.compress_after)])
    return True


def enable(table: str, layout: Layout) -> sql.Composed:
    """The statement that lets a table's chunks be compressed."""
    text = (
        "ALTER TABLE {} SET (timescaledb.compress, "
        "timescaledb.compress_segmentby = {}, timescaledb.compress_orderby = {})"
    )
    return sql.SQL(text).format(
        sql.Identifier(table), sql.Literal(layout.segment_by), sql.Literal(layout.order_by)
    )


def _is_enabled(conn: Connection, table: str) -> bool:
    row = conn.execute(ENABLED, [table]).fetchone()
    return row is not None and bool(row[0])
