"""Dead letters of a sink once more, into the place that refused them, by that sink's own functions.

Never into a topic: what a stage could not use stays in its raw topic, and mended code takes it up by recompute.
Exactly once: a row whose key is there is left alone (a candle or gap follows its table's own rule), all rows of a
record are written in one transaction, and Redis compares positions. So a retry can be repeated at will.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import NamedTuple

import psycopg
import redis
from confluent_kafka import Message
from psycopg import sql

from COBY.config import Config
from COBY.runtime.database import Connection, connect, is_passing, refused, unreachable
from COBY.runtime.reader import place_of
from COBY.runtime.redis import Client, make_client, require_redis
from COBY.topics import topic_name
from COBY.utils.exceptions import CobyError, StorageError
from sinks.batch import decode_as
from sinks.cache import LOST, entry_of_message, write_entries
from sinks.dlq import DeadLetter
from sinks.intake import headers_of
from sinks.latest import CHANNELS
from sinks.rows import TOPICS, Row, rows_of
from sinks.schema import check_schema
from sinks.writer import Cursor, Item, isolate

STORED, PRESENT, OUTDATED, EMPTY, REFUSED = "stored", "present", "outdated", "empty", "refused"
"""What became of a letter: stored now; there already; a newer one is there; nothing of it is ever stored (a tick
between two of STORE_INTERVAL, a book that is not live); refused again."""

RECOMPUTE = "recompute: mended code reads the record again from its topic; nothing is written there twice"


class Outcome(NamedTuple):
    """What became of one letter, and why it was refused (`<code>: …`; empty otherwise)."""

    letter: DeadLetter
    result: str
    reason: str = ""


def retry(cfg: Config, letters: Iterable[DeadLetter]) -> Iterator[Outcome]:
    """Give each letter to the sink that refused it, in order; connects when a letter first needs it.

    A letter that is refused again stays where it is. StorageError `db.…`, `redis.…` when a server does not answer or
    is not ours to write to.
    """
    with ExitStack() as stack:
        conn: Connection | None = None
        client: Client | None = None
        for letter in letters:
            try:
                message = _original(letter)
                if letter.stage == "timescale":
                    conn = conn or _database(cfg, stack)
                    yield Outcome(letter, _store(conn, cfg, message))
                else:
                    client = client or _redis(cfg, stack)
                    yield Outcome(letter, _cache(client, cfg, message))
            except CobyError as error:
                if error.code.startswith(("db.", "redis.")) and not isinstance(error, _RefusedError):
                    raise
                yield Outcome(letter, REFUSED, str(error))


class _RefusedError(StorageError):
    """The record itself is to blame, not the server."""


def _original(letter: DeadLetter) -> Message:
    """The record as the sink read it; CobyError `dlq.not_retried`, `dlq.bytes_missing`."""
    if letter.stage not in ("timescale", "redis") or not letter.of_a_sink:
        text = f"{letter.stage} is no sink: its letters are not retried"
        raise StorageError("dlq.not_retried", text, where=letter.origin, allowed=RECOMPUTE)
    if letter.value is None and letter.text("sha256") is not None:
        text = "the record was too large for a dead letter, which holds its SHA-256 alone"
        raise StorageError("dlq.bytes_missing", text, where=letter.origin, allowed=RECOMPUTE)
    return letter.original()


def _store(conn: Connection, cfg: Config, message: Message) -> str:
    names = {topic_name(cfg.topic_prefix, name): name for name in TOPICS}
    record = decode_as(message, _name(names, message))
    _, position = place_of(headers_of(message))
    rows = rows_of(record, f"{position[0]}:{position[1]}", cfg.store_interval_us)
    if not rows:
        return EMPTY
    try:
        with conn.transaction(), conn.cursor() as cursor:
            return _add(cursor, message, rows, cfg.batch_write_size)
    except psycopg.Error as error:
        raise (unreachable(cfg, error) if is_passing(error) else refused(error)) from error


def _add(cursor: Cursor, message: Message, rows: list[Row], limit: int) -> str:
    """Write the rows that may still be written; within the caller's transaction."""
    before = [_position_there(cursor, row) for row in rows]
    open_rows = [
        row
        for row, position in zip(rows, before, strict=True)
        if position is None or (row.table.replaces and position[0] != _position(row))
    ]
    if not open_rows:
        return PRESENT
    faults = isolate(cursor, [Item(message, open_rows)], limit)
    if faults:
        error = faults[0].error
        raise _RefusedError(f"db.{error.sqlstate or 'value'}", str(error).strip())
    after = [_position_there(cursor, row) for row in open_rows]
    written = any(
        found is not None and found[0] == _position(row) for row, found in zip(open_rows, after, strict=True)
    )
    return STORED if written else OUTDATED


def _position_there(cursor: Cursor, row: Row) -> tuple[object, ...] | None:
    """(position,) of the row that has this one's key; None where there is no such row."""
    key = row.table.key
    values = dict(zip(row.table.columns, row.values, strict=True))
    query = sql.SQL("SELECT position FROM {} WHERE {}").format(
        sql.Identifier(row.table.name),
        sql.SQL(" AND ").join(sql.SQL("{} = %s").format(sql.Identifier(column)) for column in key),
    )
    try:
        with cursor.connection.transaction():  # a savepoint: the key itself may be what is refused
            return cursor.execute(query, [values[column] for column in key]).fetchone()
    except psycopg.DataError:
        return None


def _position(row: Row) -> object:
    return row.values[row.table.columns.index("position")]


def _cache(client: Client, cfg: Config, message: Message) -> str:
    names = {topic_name(cfg.topic_prefix, name): name for name in CHANNELS}
    _name(names, message)
    entry = entry_of_message(cfg.topic_prefix, names, message)
    place = (str(message.topic()), int(message.partition() or 0))
    try:
        (answer,) = write_entries(client, cfg.topic_prefix, [(entry, place)])
    except redis.RedisError as error:
        raise StorageError("redis.refused", str(error)) from error
    if answer == LOST:
        text = "Redis is being filled from the topics"
        raise _RefusedError("redis.not_built", text, where=f"{place[0]}/{place[1]}", allowed="later")
    return STORED if answer else OUTDATED


def _name(names: dict[str, str], message: Message) -> str:
    topic = str(message.topic())
    if topic not in names:
        text = f"{topic} is no topic of this sink"
        raise StorageError("dlq.other_topic", text, allowed=" ".join(names))
    return names[topic]


def _database(cfg: Config, stack: ExitStack) -> Connection:
    conn = stack.enter_context(connect(cfg))
    check_schema(conn)
    return conn


def _redis(cfg: Config, stack: ExitStack) -> Client:
    client: Client = stack.enter_context(make_client(cfg))
    require_redis(cfg, client)
    return client
