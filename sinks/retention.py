"""How long tables keep rows: by TimescaleDB's own policies where its edition has them, else by dropping on a timer.

RETENTION_TABLES counts for all tables but ohlcv_data, which has RETENTION_CANDLES; 0 keeps for ever.
"""

from __future__ import annotations

from datetime import timedelta
from time import monotonic

from psycopg import sql

from COBY.config import Config
from COBY.runtime.database import Connection
from sinks.tables import CANDLES, TABLES

TIMER_SECONDS = 3600.0
RETRY_SECONDS = 300.0


class Retention:
    """The rule of one process: what is due, and doing it."""

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
        dropped = 0
        if has_policies(conn):
            set_policies(conn, self._keep)
        else:
            dropped = sum(drop_old(conn, table, keep) for table, keep in self._keep.items() if keep)
        self._due = monotonic() + TIMER_SECONDS
        return dropped


def has_policies(conn: Connection) -> bool:
    """Whether this edition of TimescaleDB has retention policies (the Apache-2 one has not)."""
    row = conn.execute("SELECT current_setting('timescaledb.license', true)").fetchone()
    return row is not None and row[0] == "timescale"


def set_policies(conn: Connection, keep: dict[str, timedelta]) -> None:
    """Make the policies say this; a duration of nothing means no policy."""
    for table, duration in keep.items():
        with conn.transaction():
            conn.execute("SELECT remove_retention_policy(%s::regclass, if_exists => true)", [table])
            if duration:
                conn.execute("SELECT add_retention_policy(%s::regclass, %s::interval)", [table, duration])


def drop_old(conn: Connection, table: str, keep: timedelta) -> int:
    """Drop the table's chunks that lie wholly before now - keep; returns how many."""
    query = sql.SQL("SELECT count(*) FROM drop_chunks({}::regclass, older_than => %s::interval)")
    row = conn.execute(query.format(sql.Literal(table)), [keep]).fetchone()
    assert row is not None
    assert isinstance(row[0], int)
    return row[0]
