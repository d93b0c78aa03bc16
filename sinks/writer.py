"""Rows into tables, and a batch with its progress in one transaction.

`write_rows` is the one inner function by which anything of ours gets into a table: the worker calls it with a batch,
the StorageManager with one row.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import psycopg
from confluent_kafka import Message
from psycopg import sql

from COBY.runtime import crash
from COBY.runtime.database import is_row_fault
from COBY.utils.exceptions import StorageError
from sinks.rows import Row
from sinks.tables import Table, Values, last_per_key

Cursor = psycopg.Cursor[tuple[object, ...]]


class Item(NamedTuple):
    """One record taken from Kafka and its rows."""

    message: Message
    rows: list[Row]


class Step(NamedTuple):
    """How far a topic partition moves: only from ``expected`` on, to ``next_offset``, with the positions taken."""

    topic: str
    partition: int
    expected: int
    next_offset: int
    positions: dict[str, str]


class Fault(NamedTuple):
    """A record whose rows the database refused, and why."""

    message: Message
    error: psycopg.Error


def write_rows(cursor: Cursor, table: Table, rows: Sequence[Values]) -> int:
    """Upsert rows by the table's key; returns how many were sent. Within the caller's transaction.

    Rows of one key: the last wins; a candle never gives way to a lower revision. Raises psycopg.Error.
    """
    kept = last_per_key(table, rows)
    if kept:
        copy_rows(cursor, table, kept)
        crash.reached("timescale.copied")
        upsert_rows(cursor, table)
        crash.reached("timescale.upserted")
    return len(kept)


def copy_rows(cursor: Cursor, table: Table, rows: Sequence[Values]) -> None:
    """COPY rows into the connection's temporary table of that name (made when first needed)."""
    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    staging = _staging(table)
    # Made once per connection; emptied, because an earlier write of the same transaction may have used it.
    cursor.execute(
        sql.SQL(
            "CREATE TEMP TABLE IF NOT EXISTS {staging} ON COMMIT DELETE ROWS AS "
            "SELECT {columns} FROM {table} WITH NO DATA; DELETE FROM {staging}"
        ).format(staging=staging, columns=columns, table=sql.Identifier(table.name))
    )
    with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(staging, columns)) as copy:
        for values in rows:
            copy.write_row(values)


def upsert_rows(cursor: Cursor, table: Table) -> None:
    """Move what `copy_rows` left in the temporary table into the table itself."""
    changed = [column for column in table.columns if column not in table.key]
    cursor.execute(
        sql.SQL(
            "INSERT INTO {table} AS t ({columns}) SELECT {columns} FROM {staging} "
            "ON CONFLICT ({key}) DO UPDATE SET {changes} WHERE {condition}"
        ).format(
            table=sql.Identifier(table.name),
            staging=_staging(table),
            columns=sql.SQL(", ").join(map(sql.Identifier, table.columns)),
            key=sql.SQL(", ").join(map(sql.Identifier, table.key)),
            changes=sql.SQL(", ").join(
                sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column)) for column in changed
            ),
            condition=sql.SQL(table.replaces or "true"),
        )
    )


def write_items(cursor: Cursor, items: Sequence[Item], limit: int) -> dict[str, int]:
    """Write the rows of all items, table by table, at most ``limit`` at once; returns rows sent by table name."""
    by_table: dict[Table, list[Values]] = {}
    for item in items:
        for row in item.rows:
            by_table.setdefault(row.table, []).append(row.values)
    return {
        table.name: sum(write_rows(cursor, table, rows[at : at + limit]) for at in range(0, len(rows), limit))
        for table, rows in by_table.items()
    }


def move_progress(cursor: Cursor, steps: Sequence[Step]) -> int:
    """Compare and set next_offset; returns how many steps held. Unless all did, the transaction must not commit.

    Done first in a transaction: it locks the rows, so a second writer waits here and then finds itself late.
    """
    cursor.execute(
        "UPDATE sink_progress p SET next_offset = s.next_offset, positions = s.positions, updated_at = now() "
        "FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[], %s::jsonb[]) "
        "AS s(topic, partition, expected, next_offset, positions) "
        "WHERE p.topic = s.topic AND p.partition = s.partition AND p.next_offset = s.expected",
        [
            [step.topic for step in steps],
            [step.partition for step in steps],
            [step.expected for step in steps],
            [step.next_offset for step in steps],
            [json.dumps(step.positions) for step in steps],
        ],
    )
    return cursor.rowcount


def is_done(cursor: Cursor, steps: Sequence[Step]) -> bool:
    """Whether the progress already is what the steps want: a commit whose answer was lost."""
    cursor.execute(
        "SELECT count(*) FROM sink_progress p JOIN unnest(%s::text[], %s::int[], %s::bigint[]) "
        "AS s(topic, partition, next_offset) USING (topic, partition, next_offset)",
        [
            [step.topic for step in steps],
            [step.partition for step in steps],
            [step.next_offset for step in steps],
        ],
    )
    row = cursor.fetchone()
    return row is not None and row[0] == len(steps)


def isolate(cursor: Cursor, items: Sequence[Item], limit: int) -> list[Fault]:
    """Write what can be written, halving around what can't; returns the records the database refuses.

    A record is written whole or not at all. Errors that no row is to blame for are raised.
    """
    try:
        with cursor.connection.transaction():  # a savepoint
            write_items(cursor, items, limit)
        return []
    except psycopg.Error as error:
        if not is_row_fault(error):
            raise
        if len(items) == 1:
            return [Fault(items[0].message, error)]
    half = len(items) // 2
    return isolate(cursor, items[:half], limit) + isolate(cursor, items[half:], limit)


def another_writer(steps: Sequence[Step]) -> StorageError:
    """The error of a writer that is not the only one: it must stop, whatever it holds is the other one's work."""
    places = ", ".join(f"{step.topic}/{step.partition} at {step.expected}" for step in steps)
    text = f"another writer has moved the progress of one of {places}"
    return StorageError("db.another_writer", text, allowed="one writer per topic partition")


def _staging(table: Table) -> sql.Identifier:
    return sql.Identifier("pg_temp", f"coby_{table.name}")
