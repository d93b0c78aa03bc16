"""What the tables say of a book's past: its quality by minute, and the intervals in which it was proven."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from psycopg import sql
from psycopg.rows import dict_row

from COBY.runtime.database import Connection
from COBY.utils.exceptions import StorageError
from COBY.utils.intervals import format_us, from_us
from COBY.utils.timing import to_us
from sinks.tables import CONTINUITY, QUALITY, Table

MAX_ROWS = 100_000
PRIVATE = ("received_at", "position")
"""Columns that say how a row came to be, not what it is about."""
Row = dict[str, Any]


class Asked(NamedTuple):
    """Whose past, and which: from ``since_us`` to before ``until_us``; None: no limit, all exchanges."""

    symbol: str
    exchange: str | None = None
    since_us: int | None = None
    until_us: int | None = None


def qualities(conn: Connection, asked: Asked) -> list[Row]:
    """The minutes that end after ``since_us`` and not after ``until_us``, by exchange and time.

    psycopg.Error; StorageError `db.range_too_large` for more than MAX_ROWS.
    """
    return _rows(conn, QUALITY, asked, "timestamp > {since} AND timestamp <= {until}", "exchange, timestamp")


def intervals(conn: Connection, asked: Asked) -> list[Row]:
    """The intervals of which any part lies in the range, by exchange and time. Errors as `qualities`."""
    where = "end_time >= {since} AND start_time < {until}"
    return _rows(conn, CONTINUITY, asked, where, "exchange, start_time")


def _rows(conn: Connection, table: Table, asked: Asked, where: str, order: str) -> list[Row]:
    columns = [column for column in table.columns if column not in PRIVATE]
    conditions = [sql.SQL("symbol = %(symbol)s")]
    if asked.exchange is not None:
        conditions.append(sql.SQL("exchange = %(exchange)s"))
    limits = {"since": sql.SQL("%(since)s::timestamptz"), "until": sql.SQL("%(until)s::timestamptz")}
    query = sql.SQL("SELECT {columns} FROM {table} WHERE {where} ORDER BY {order} LIMIT {limit}").format(
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        table=sql.Identifier(table.name),
        where=sql.SQL(" AND ").join([*conditions, sql.SQL(where).format(**limits)]),
        order=sql.SQL(order),
        limit=sql.Literal(MAX_ROWS + 1),
    )
    values = {
        "symbol": asked.symbol,
        "exchange": asked.exchange,
        "since": "-infinity" if asked.since_us is None else from_us(asked.since_us),
        "until": "infinity" if asked.until_us is None else from_us(asked.until_us),
    }
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(query, values).fetchall()
    if len(rows) > MAX_ROWS:
        text = f"more than {MAX_ROWS} rows of {table.name}"
        raise StorageError("db.range_too_large", text, allowed="a shorter range (--from, --to)")
    return rows


def plain(row: Row) -> Row:
    """A row fit for JSON: decimals as strings of eight decimals, times as RFC 3339 in UTC."""
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:.8f}"
    return format_us(to_us(value)) if isinstance(value, datetime) else value


def proven_us(rows: list[Row], asked: Asked) -> int:
    """How long the intervals lasted within the range, in all, in microseconds."""
    total = 0
    for row in rows:
        start, end = to_us(row["start_time"]), to_us(row["end_time"])
        start = start if asked.since_us is None else max(start, asked.since_us)
        end = end if asked.until_us is None else min(end, asked.until_us)
        total += max(0, end - start)
    return total
