"""The database as a source of a replay: rows of what topics no longer hold, as records again.

`Stored.parts` says what there is to give and where each topic goes on (borders.py), `Stored.streams` gives it. What no
table holds `without_table` names, what a table does not hold of a record `revived.LACKING`, and since when there are
rows `Stored.begins`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row

from COBY.codec import encode
from COBY.config import Config
from COBY.runtime.database import Connection, connect, is_passing, refused, unreachable
from COBY.topics import topic_name
from COBY.utils.exceptions import ReplayError
from COBY.utils.intervals import from_us, to_us
from replay.borders import Pair, Part, parts_of
from replay.items import DATABASE, Item, Name
from replay.log import Log, Range
from replay.queries import TABLES, Chosen, Key, Query, any_before, page, whose
from replay.revived import Row, Shape, record_of

FROM = ("from", b"database")
"""The header of a record made of a row, in place of `settings`, which rows do not tell."""
FIRST_SPAN = timedelta(seconds=10)
PLACE_BITS = 62
"""Of a place in a stream: it is kept as a 64-bit integer."""


def without_table(topics: Iterable[str]) -> list[str]:
    """Those of the topics (without prefix) that the database can't give, because no table holds them."""
    return [topic for topic in topics if topic not in TABLES]


class Stored:
    """The tables over one range. Use it in one thread, and close it.

    It connects when first asked, and again where that connection broke: a StorageError `db.unreachable` may be tried
    again. Queries are short, a page each, so that a session that is slow or paused holds nothing in the database.
    Errors of all that asks: StorageError `db.unreachable`, `db.refused`.
    """

    def __init__(self, cfg: Config, within: Range, chosen: Chosen) -> None:
        """``within``: stream time."""
        self.within = within
        self.cfg = cfg
        self._chosen = chosen
        self._conn: Connection | None = None

    def parts(self, topics: Sequence[str], log: Log | None) -> list[Part]:
        """What the range's rows can give of these topics (without prefix), those without a table left out.

        ``log``: where topics are read for their borders; None: none is, and rows are given though topics hold the same.
        Further errors: those of `borders.parts_of`.
        """
        parts: list[Part] = []
        for topic in topics:
            if topic in TABLES:
                rows = self.ask(whose(topic, self._chosen, *self._span()))
                pairs = [Pair(row["symbol"], row["exchange"]) for row in rows]
                parts += parts_of(self.cfg, log, topic, pairs)
        return parts

    def begins(self, topics: Sequence[str]) -> dict[str, int | None]:
        """Topic -> the stream time (milliseconds) from which on its table has rows, of those asked for.

        The range's own beginning where there are older rows: nothing of the range is known to be missing then. None
        where there are neither older ones nor any of the range. Topics without a table are left out.
        """
        found: dict[str, int | None] = {}
        since, until = self._span()
        for topic in topics:
            if topic not in TABLES:
                continue
            if self.ask(any_before(topic, self._chosen, since)):
                found[topic] = self.within.from_ms
                continue
            firsts = [row["first"] for row in self.ask(whose(topic, self._chosen, since, until))]
            found[topic] = to_us(min(firsts)) // 1000 if firsts else None
        return found

    def streams(self, parts: Iterable[Part]) -> list[StoredStream]:
        """One for each topic partition, of what `parts` gave now or earlier, here or elsewhere."""
        places: dict[tuple[str, int], list[Part]] = {}
        for part in parts:
            places.setdefault((part.topic, part.partition), []).append(part)
        return [StoredStream(self, ours) for _, ours in sorted(places.items())]

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def ask(self, query: Query) -> list[Row]:
        """All rows of a query."""
        try:
            if self._conn is None:
                self._conn = connect(self.cfg)
                # Whose rows there are may take long to see; a page is too short to be compiled for.
                self._conn.execute("SET statement_timeout = 0; SET jit = off")
            with self._conn.cursor(row_factory=dict_row) as cursor:
                rows: list[Any] = cursor.execute(*query).fetchall()
                return rows
        except psycopg.Error as error:
            self.close()
            raise (unreachable(self.cfg, error) if is_passing(error) else refused(error)) from error

    def _span(self) -> tuple[datetime, datetime]:
        return from_us(self.within.from_ms * 1000), from_us(self.within.to_ms * 1000)


class StoredStream:
    """Rows of one topic partition as items, by (stream time, source, position): a `Stream`.

    A place is the stream time since the range's beginning in microseconds, and beside it how many items of the very
    same time come before: it stays right where the table changes elsewhere, and reading goes on there at once.
    """

    def __init__(self, stored: Stored, parts: Sequence[Part]) -> None:
        """``parts``: of one topic and partition."""
        self._stored = stored
        self._parts = list(parts)
        self._topic = parts[0].topic
        self._full_name = topic_name(stored.cfg.topic_prefix, self._topic)
        self._from_us, self._to_us = stored.within.from_ms * 1000, stored.within.to_ms * 1000
        self._bits = PLACE_BITS - (self._to_us - self._from_us).bit_length()

    @property
    def name(self) -> Name:
        """See `Stream.name`."""
        return self._full_name, self._parts[0].partition, DATABASE

    def since(self, place: int) -> Iterator[Item]:
        """See `Stream.since`. Errors as `Stored`; ReplayError `replay.too_dense`."""
        time_us, index = -1, 0
        for row in self._rows(self._from_us + (place >> self._bits)):
            at_us = to_us(row["stream_time"])
            index = index + 1 if at_us == time_us else 0
            time_us = at_us
            if index >> self._bits:
                text = f"more than {1 << self._bits:,} rows of {self._topic} at {row['stream_time']}"
                raise ReplayError("replay.too_dense", text, allowed="a shorter range")
            item_place = (at_us - self._from_us << self._bits) + index
            if item_place >= place:
                yield self._item(row, at_us, item_place)

    def _rows(self, since_us: int) -> Iterator[Row]:
        """From that stream time on, page by page. A span of time is asked for at once: short where rows are many."""
        table, span = TABLES[self._topic], FIRST_SPAN
        at, end, after = from_us(since_us), from_us(self._to_us), None
        while at < end:
            until = min(end, at + span)
            rows = self._stored.ask(page(self._topic, self._parts, at, until, after))
            yield from rows
            if len(rows) == table.page_rows:
                after = _key(rows[-1])
                at, span = after[0], max(span / 2, timedelta(seconds=1))
            else:
                at, after = until, None
                span = span * 2 if 4 * len(rows) < table.page_rows else span

    def _item(self, row: Row, at_us: int, place: int) -> Item:
        record = record_of(self._topic, row, self._shape)
        key = row["symbol"].encode()
        headers: list[tuple[str, bytes | None]] = [
            ("source", row["source"].encode()),
            ("position", row["position"].encode()),
            FROM,
        ]
        return Item(at_us // 1000, self._full_name, key, encode(record), headers, place)

    def _shape(self, symbol: str) -> Shape:
        return Shape(self._stored.cfg.bucket_size_units(symbol), self._stored.cfg.heatmap_depth)


def _key(row: Row) -> Key:
    return row["stream_time"], row["source"], row["place"]
