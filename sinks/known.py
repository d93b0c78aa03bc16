"""What the database knows of latest values: up to where it has stored, and when a key's newest record was received."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psycopg
from psycopg import sql

from COBY.config import Config
from COBY.ohlcv import TIMEFRAMES_US
from COBY.runtime.database import Connection, connect
from COBY.runtime.redis import latest_key
from COBY.topics import PARTITIONS, partition_of
from COBY.utils.exceptions import StorageError
from COBY.utils.logging import get_logger
from sinks.intake import Partition
from sinks.schema import check_schema
from sinks.tables import CANDLES, CONTINUITY, GAPS, QUALITY, TRADES

TABLES = {"trade": TRADES, "gap": GAPS, "quality": QUALITY, "continuity": CONTINUITY, "ohlcv": CANDLES}
"""Channel -> table, of the channels whose keys may change rarely; the others have every key at every tick."""
NEAR = 100
"""Rows of a key, newest first, among which the last received one is looked for: times are not quite in order."""

log = get_logger(__name__)


class Key(NamedTuple):
    """A latest value: its key in Redis, and what stands in it for symbol and exchange or timeframe."""

    latest: str
    symbol: str
    part: str


class Known:
    """The database's answers; None and empty once it could not be asked."""

    def __init__(self, conn: Connection | None) -> None:
        """Made by `asking`."""
        self._conn = conn

    @property
    def complete(self) -> bool:
        """Whether the database has answered all that was asked."""
        return self._conn is not None

    def next_offset(self, partition: Partition) -> int | None:
        """Up to where the partition is stored: what lies before it is in the tables."""
        query = "SELECT next_offset FROM sink_progress WHERE topic = %s AND partition = %s"
        return self._ask(query, *partition)

    def received_ms(self, channel: str, key: Key) -> int | None:
        """When the newest stored record of a key was received, in milliseconds since 1970; None: there is none."""
        table = TABLES[channel]
        query = sql.SQL(
            "SELECT floor(extract(epoch FROM max(received_at)) * 1000)::bigint FROM (SELECT received_at FROM {table} "
            "WHERE symbol = %s AND {part} = %s ORDER BY {time} DESC LIMIT %s) AS near"
        ).format(
            table=sql.Identifier(table.name),
            part=sql.Identifier("timeframe" if table is CANDLES else "exchange"),
            time=sql.Identifier(table.key[0]),
        )
        return self._ask(query, key.symbol, key.part, NEAR)

    def _ask(self, query: str | sql.Composed, *values: object) -> int | None:
        """The one number of the one row; None where there is none."""
        if self._conn is None:
            return None
        try:
            row = self._conn.execute(query, values).fetchone()
        except psycopg.Error as error:
            _warn(error)
            self._conn = None
            return None
        number = None if row is None else row[0]
        assert number is None or isinstance(number, int)
        return number


@contextmanager
def asking(cfg: Config) -> Iterator[Known]:
    """The database, as far as it can be asked; a rebuild goes on without it."""
    try:
        conn = connect(cfg)
    except StorageError as error:
        _warn(error)
        yield Known(None)
        return
    with conn:
        try:
            check_schema(conn)
        except (StorageError, psycopg.Error) as error:
            _warn(error)
            yield Known(None)
            return
        yield Known(conn)


def keys_of(cfg: Config, channel: str, partition: Partition) -> Iterator[Key]:
    """The keys of latest values that records of this partition have; none of channels without TABLES."""
    if channel not in TABLES:
        return
    parts = tuple(TIMEFRAMES_US) if channel == "ohlcv" else cfg.exchanges
    for symbol in cfg.symbols:
        if partition_of(symbol.encode(), PARTITIONS) == partition[1]:
            for part in parts:
                yield Key(latest_key(cfg.topic_prefix, channel, symbol, part), symbol, part)


def _warn(error: Exception) -> None:
    log.warning("database_not_asked", error=" ".join(str(error).split()))
