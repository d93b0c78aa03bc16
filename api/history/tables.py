"""The resources that are rows of one table: columns, order, limits, and the SQL of a page. Pure.

Every query names its range on the table's own time column, so that chunks outside are never touched, and orders by the
table's key, so that an index gives the rows in order and a page costs what its rows cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from api.pages import Cursor, Key
from api.shapes import BOOLEAN, INTEGER, PRICE, RATIO, SIZE, TEXT, TIME, Column, Kind, Row
from api.times import DAY_US, Span
from COBY.utils.intervals import from_us, to_us

HOUR_US, MINUTE_US = DAY_US // 24, DAY_US // 1_440
Query = tuple[str, dict[str, Any]]
Names = Mapping[str, str | None]
"""What rows are asked for beside the range: symbol, exchange (None: all), timeframe."""


def _columns(**kinds: Kind) -> tuple[Column, ...]:
    return tuple(Column(name, kind) for name, kind in kinds.items())


class Resource(NamedTuple):
    """Rows of one table. ``key``: its key's columns in the key's order, the time first."""

    name: str
    table: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    usual_us: int
    longest_us: int
    in_full: bool = False
    """Whether each stored tick of the time it covers is looked at for what is missing, not the ends alone."""
    until: str | None = None
    """The end of rows that last, as SQL; such a row belongs to a range that any part of it lies in."""
    always: str | None = None
    """Rows that belong to every symbol and exchange, as SQL."""
    stored_as: Mapping[str, str] = {}
    """Column of the answer -> what it is in the table, where that differs."""

    @property
    def key_types(self) -> tuple[type, ...]:
        """Of a cursor: the time, then texts."""
        return (int, *(str for _ in self.key[1:]))

    def key_of(self, row: Row) -> Key:
        """The key of a row, for a cursor."""
        places = {column.name: place for place, column in enumerate(self.columns)}
        time, *others = (row[places[name]] for name in self.key)
        return (to_us(time), *others)

    def page(self, names: Names, cursor: Cursor, floor_us: int, rows: int) -> Query:
        """The first ``rows`` rows of the cursor's range behind its key (an empty key: from the beginning).

        ``floor_us``: when the first of the rows that last may have begun; else the range's own beginning.
        """
        time, span = self.key[0], cursor.span
        where = [f"{time} >= %(since)s", f"{time} < %(until)s", *self._whose(names)]
        values = {**names, "since": from_us(floor_us), "until": from_us(span.until_us), "rows": rows}
        if self.until is not None:
            where.append(f"{self.until} >= %(begin)s")
            values["begin"] = from_us(span.since_us)
        if cursor.key:
            behind = [f"%(key{place})s" for place in range(len(self.key))]
            where.append(f"({', '.join(self.key)}) > ({', '.join(behind)})")
            moment, *others = cursor.key
            values["key0"] = values["since"] = from_us(int(moment))
            values |= {f"key{place}": other for place, other in enumerate(others, 1)}
        select = ", ".join(self._selected(column.name) for column in self.columns)
        text = f"SELECT {select} FROM {self.table} WHERE {' AND '.join(where)}"
        return f"{text} ORDER BY {', '.join(self.key)} LIMIT %(rows)s", values

    def floor(self, names: Names, span: Span) -> Query:
        """When the first of the rows that last into the range began; null: none does. Only where there is ``until``.

        The subquery is not to be merged: the planner would walk the key from the oldest row on.
        """
        time = self.key[0]
        where = [f"{time} < %(since)s", f"{self.until} >= %(since)s", *self._whose(names)]
        text = f"SELECT {time} AS began FROM {self.table} WHERE {' AND '.join(where)} OFFSET 0"
        return f"SELECT min(began) FROM ({text}) AS lasting", {**names, "since": from_us(span.since_us)}

    def _whose(self, names: Names) -> list[str]:
        own = [f"{name} = %({name})s" for name, value in names.items() if value is not None]
        if not own or self.always is None:
            return own
        return [f"({' AND '.join(own)} OR {self.always})"]

    def _selected(self, name: str) -> str:
        stored = self.stored_as.get(name)
        return name if stored is None else f"{stored} AS {name}"


TRADES = Resource(
    "trades",
    "trade_events",
    ("timestamp", "symbol", "exchange", "trade_id"),
    _columns(
        symbol=TEXT,
        exchange=TEXT,
        timestamp=TIME,
        received_at=TIME,
        price=PRICE,
        size=SIZE,
        side=TEXT,
        trade_id=TEXT,
    ),
    usual_us=MINUTE_US,
    longest_us=DAY_US,
    in_full=True,
)
CANDLES = Resource(
    "ohlcv",
    "ohlcv_data",
    # Of one symbol and timeframe the time alone is the order, and ohlcv_data_by_timeframe gives it.
    ("timestamp",),
    _columns(
        symbol=TEXT,
        timestamp=TIME,
        timeframe=TEXT,
        open=PRICE,
        high=PRICE,
        low=PRICE,
        close=PRICE,
        volume=SIZE,
        trade_count=INTEGER,
        revision=INTEGER,
        complete=BOOLEAN,
        received_at=TIME,
    ),
    usual_us=DAY_US,
    longest_us=1_827 * DAY_US,
    stored_as={name: f"{name}_price" for name in ("open", "high", "low", "close")},
)
GAPS = Resource(
    "gaps",
    "gaps",
    ("from_time", "symbol", "exchange", "reason"),
    _columns(
        symbol=TEXT,
        exchange=TEXT,
        timestamp=TIME,
        from_time=TIME,
        until_time=TIME,
        reason=TEXT,
        conn=TEXT,
        detail=TEXT,
    ),
    usual_us=DAY_US,
    longest_us=31 * DAY_US,
    until="coalesce(until_time, 'infinity'::timestamptz)",
    # Records that Kafka deleted before they were stored: nobody knows whose they were.
    always="symbol = '*'",
    stored_as={"timestamp": "received_at"},
)
CONTINUITY = Resource(
    "continuity",
    "continuity",
    ("start_time", "symbol", "exchange"),
    _columns(
        symbol=TEXT,
        exchange=TEXT,
        timestamp=TIME,
        start_time=TIME,
        end_time=TIME,
        rule=TEXT,
        sequenced=INTEGER,
        checked=INTEGER,
        snapshots=INTEGER,
        conn=TEXT,
        connections=INTEGER,
        reason=TEXT,
    ),
    usual_us=DAY_US,
    longest_us=31 * DAY_US,
    until="end_time",
    stored_as={"timestamp": "received_at"},
)
QUALITY = Resource(
    "quality",
    "quality",
    ("timestamp", "symbol", "exchange"),
    _columns(
        symbol=TEXT,
        exchange=TEXT,
        timestamp=TIME,
        score=RATIO,
        coverage=RATIO,
        accepted=RATIO,
        events=INTEGER,
        rejected=INTEGER,
        duplicates=INTEGER,
        anomalies=INTEGER,
        gaps=INTEGER,
        crossed_ticks=INTEGER,
        blind_us=INTEGER,
        crossed_us=INTEGER,
        checksum_failures=INTEGER,
        skewed=INTEGER,
        clamped=INTEGER,
        clock_skew_us=INTEGER,
    ),
    usual_us=HOUR_US,
    longest_us=31 * DAY_US,
)
BOOKS = Resource(
    "metrics",
    "order_book_snapshots",
    ("timestamp", "symbol", "exchange"),
    _columns(
        symbol=TEXT,
        exchange=TEXT,
        timestamp=TIME,
        mid_price=PRICE,
        spread=PRICE,
        bid_volume=SIZE,
        ask_volume=SIZE,
        bids=TEXT,
        asks=TEXT,
    ),
    usual_us=5 * MINUTE_US,
    longest_us=DAY_US,
    in_full=True,
    # No figure wants more than the best 20 levels.
    stored_as={side: f"jsonb_path_query_array({side}, '$[0 to 19]')::text" for side in ("bids", "asks")},
)
RESOURCES = (TRADES, CANDLES, GAPS, CONTINUITY, QUALITY, BOOKS)
