"""How long tables keep rows: by TimescaleDB's own policies where its edition has them, else by dropping on a timer.

RETENTION_TABLES counts for all tables but ohlcv_data, which has RETENTION_CANDLES; 0 keeps for ever. Age is counted
from when a chunk was made, not from the times in it: an old recording played today is kept as long as live data.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from time import monotonic

from psycopg import sql

from COBY.config import Config
from COBY.runtime.database import Connection
from sinks.tables import CANDLES, TABLES

TIMER_SECONDS = 3600.0
RETRY_SECONDS = 300.0
REMOVE = "SELECT remove_retention_policy(%s::regclass, if_exists => true)"
ADD = "SELECT add_retention_policy(%s::regclass, drop_created_before => %s::interval)"


class Retention:
    """The rule of one process: when it is due, and doing it."""

    def __init__(self, cfg: Config) -> None:
        """Due at once."""
        self._keep = {
            name: timedelta(seconds=cfg.retention_candles if name == CANDLES.name else cfg.retention_tables)
            for name in TABLES
        }
        self._due = monotonic()

    def is_due(self) -> bool:
        """Whether `apply` should be called now."""
        return monotonic() >= self._due

    def apply(self, conn: Connection) -> int:
        """Set the policies, or drop chunks that are too old; returns how many chunks were dropped."""
        self._due = monotonic() + RETRY_SECONDS  # if this fails
        spans = chunk_spans(conn)
        # A chunk is filled while its span lasts: counted from its making, its last rows are that much younger.
        ages = {table: keep + spans[table] for table, keep in self._keep.items() if keep}
        dropped = 0
        if has_policies(conn):
            set_policies(conn, ages)
        else:
            dropped = sum(drop_old(conn, table, age) for table, age in ages.items())
        self._due = monotonic() + TIMER_SECONDS
        return dropped


def has_policies(conn: Connection) -> bool:
    """Whether this edition of TimescaleDB has retention policies (the Apache-2 one has not)."""
    row = conn.execute("SELECT current_setting('timescaledb.license', true)").fetchone()
    return row is not None and row[0] == "timescale"


def chunk_spans(conn: Connection) -> dict[str, timedelta]:
    """The time that one chunk of each hypertable covers."""
    rows = conn.execute(
        "SELECT hypertable_name, time_interval FROM timescaledb_information.dimensions "
        "WHERE hypertable_schema = current_schema()"
    )
    return {str(name): span for name, span in rows if isinstance(span, timedelta)}


def set_policies(conn: Connection, ages: Mapping[str, timedelta]) -> None:
    """Make the policies say this; a table without an age has none."""
    for table in TABLES:
        with conn.transaction():
            conn.execute(REMOVE, [table])
            if table in ages:
                conn.execute(ADD, [table, ages[table]])


def drop_old(conn: Connection, table: str, age: timedelta) -> int:
    """Drop the table's chunks that were made longer ago than this; returns how many."""
    query = sql.SQL("SELECT count(*) FROM drop_chunks({}::regclass, created_before => %s::interval)")
    with conn.transaction():
        conn.execute("SET LOCAL lock_timeout = '1s'")  # it can wait until later, the rows behind it can't
        row = conn.execute(query.format(sql.Literal(table)), [age]).fetchone()
    assert row is not None
    assert isinstance(row[0], int)
    return row[0]
