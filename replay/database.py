"""The tables of TimescaleDB against the rows that the recomputed records should have left there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from itertools import groupby
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from COBY.config import Config
from COBY.runtime.database import connect, refused
from COBY.stage import parse_position
from COBY.topics import topic_name
from COBY.utils.intervals import from_us
from replay.contents import SHOWN_HASH, WHOLE, Difference, Entry, Line, Position, Spool, Verdict, verdict_text
from replay.expected import Expected, ExpectedUnit
from replay.fields import differing
from replay.found import Found, Patience
from replay.log import Range
from replay.tables import LAYOUTS, Key, Row, key_of, packed, unpacked

FETCH_ROWS = 2_000
Connection = psycopg.Connection[Any]


class Tables:
    """Compares table by table."""

    def __init__(
        self,
        cfg: Config,
        expected: Expected,
        found: Found,
        within: Range,
        symbols: frozenset[str],
        spool: Spool,
    ) -> None:
        """``symbols``: empty for all."""
        self._cfg = cfg
        self._expected = expected
        self._found = found
        self._range = within
        self._symbols = symbols
        self._spool = spool

    def verdicts(self, patience: Patience) -> Iterator[Verdict]:
        """One for each table. StorageError `db.unreachable`, `db.refused`."""
        with connect(self._cfg, autocommit=False) as conn:
            try:
                conn.execute("SET statement_timeout = 0")
                behind = self._behind(conn, patience)
                for table in LAYOUTS:
                    yield self._verdict(conn, table, behind)
            except psycopg.Error as error:
                raise refused(error) from error

    def _behind(self, conn: Connection, patience: Patience) -> set[str]:
        """Topics that the sink has not stored as far as the range, though it was waited for."""
        while True:
            rows = conn.execute("SELECT topic, partition, next_offset FROM sink_progress").fetchall()
            conn.commit()  # so that the next look sees what was stored meanwhile
            stored = {(topic, number): offset for topic, number, offset in rows}
            late = {place[0] for place, offset in self._found.needed.items() if stored.get(place, 0) < offset}
            kept = {topic_name(self._cfg.topic_prefix, layout.topic) for layout in LAYOUTS.values()}
            if not late & kept or not patience.wait():
                return late

    def _verdict(self, conn: Connection, table: str, behind: set[str]) -> Verdict:
        units = self._expected.units.get(table, {})
        late = topic_name(self._cfg.topic_prefix, LAYOUTS[table].topic) in behind
        found: dict[Key, Entry] = {}
        for key, rows in self._stored(conn, table):
            if not self._is_beyond(table, rows[0]):
                found[key] = self._spool.put(packed(rows))
        differences, missing, replaced = [], 0, 0
        for key in sorted(units.keys() | found.keys()):
            unit, entry = units.get(key), found.get(key)
            if unit is None:
                differences.append(self._difference(table, key, "should not be there"))
            elif entry is None:
                if self._is_replaced(conn, table, key, unit):
                    replaced += 1
                elif late:
                    missing += 1
                else:
                    differences.append(self._difference(table, key, "is missing"))
            elif entry.digest != unit.entry.digest:
                differences.append(self._differing(table, key, unit.entry, entry))
        note = f", {replaced} replaced since" if replaced else ""
        line = Line(table, len(found), _hash(found), verdict_text(len(differences), missing, note))
        return Verdict(line, sorted(differences), missing)

    def _stored(self, conn: Connection, table: str) -> Iterator[tuple[Key, list[Row]]]:
        """The rows of the range, unit by unit; rows without a position are not the topics'."""
        layout = LAYOUTS[table]
        time = sql.Identifier("timestamp" if layout.is_timed else "received_at")
        order = sql.SQL(", ").join(map(sql.Identifier, layout.key))
        where: list[sql.Composable] = [
            sql.SQL("{0} >= %s AND {0} < %s AND position IS NOT NULL").format(time)
        ]
        values: list[Any] = [from_us(self._range.from_ms * 1000), from_us(self._range.to_ms * 1000)]
        if self._symbols:
            where.append(sql.SQL("symbol = ANY(%s)"))
            values.append(sorted(self._symbols))
        text = sql.SQL("SELECT * FROM {} WHERE {} ORDER BY {}").format(
            sql.Identifier(table), sql.SQL(" AND ").join(where), order
        )
        with conn.cursor(f"verify_{table}", row_factory=dict_row) as cursor:
            cursor.itersize = FETCH_ROWS
            cursor.execute(text, values)
            rows = (_without_id(row) for row in cursor)
            for key, group in groupby(rows, lambda row: key_of(table, row)):
                yield key, list(group)

    def _is_beyond(self, table: str, row: Row) -> bool:
        """Whether the row is of a record that came after recomputing ended."""
        source = f"aggregate/{row['symbol']}"
        if "exchange" in row:
            source = self._expected.sources.get((row["exchange"], row["symbol"]), "")
        return self._found.is_beyond(source, _position(row))

    def _is_replaced(self, conn: Connection, table: str, key: Key, unit: ExpectedUnit) -> bool:
        """Whether a later record of the same key, not of this range, has taken the row's place, as it may."""
        where = sql.SQL(" AND ").join(
            sql.SQL("{} = %s").format(sql.Identifier(column)) for column in LAYOUTS[table].key
        )
        with conn.cursor(row_factory=dict_row) as cursor:
            cursor.execute(sql.SQL("SELECT * FROM {} WHERE {}").format(sql.Identifier(table), where), key)
            row = cursor.fetchone()
        if row is None or row["position"] is None or _position(row) <= unit.position:
            return False
        ranks = {"ohlcv_data": row.get("revision"), "gaps": unit.rank, "continuity": unit.rank}
        rank = ranks.get(table)
        ended = from_us(self._range.to_ms * 1000)
        is_later = row["received_at"] >= ended or self._is_beyond(table, row)
        return is_later and rank is not None and rank >= unit.rank

    def _difference(self, table: str, key: Key, what: str) -> Difference:
        return Difference(WHOLE, table, " ".join(key), what)

    def _differing(self, table: str, key: Key, expected: Entry, found: Entry) -> Difference:
        fields = differing(unpacked(self._spool.get(expected)), unpacked(self._spool.get(found)))
        more = f" and {len(fields) - 5} more" if len(fields) > 5 else ""
        return Difference(len(fields), table, " ".join(key), "; ".join(fields[:5]) + more)


def _without_id(row: Mapping[str, Any]) -> Row:
    return {name: value for name, value in row.items() if name != "id"}


def _position(row: Mapping[str, Any]) -> Position:
    return parse_position(str(row["position"]).encode())


def _hash(found: Mapping[Key, Entry]) -> str:
    whole = sha256()
    for key in sorted(found):
        whole.update(found[key].digest)
    return whole.hexdigest()[:SHOWN_HASH]
