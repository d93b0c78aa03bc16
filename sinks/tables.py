"""The tables as the sink writes them: columns, key, and when a row may replace another one. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

Values = tuple[Any, ...]


class Table(NamedTuple):
    """One table. ``replaces``: SQL that lets the new row (excluded) replace the stored one (t); None: always."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    replaces: str | None = None

    def key_of(self, values: Values) -> Values:
        """The key's values of a row."""
        return tuple(value for column, value in zip(self.columns, values, strict=True) if column in self.key)


def _table(name: str, key: str, columns: str, replaces: str | None = None) -> Table:
    return Table(name, tuple(columns.split()), tuple(key.split()), replaces)


BOOKS = _table(
    "order_book_snapshots",
    "timestamp symbol exchange",
    "symbol exchange timestamp bids asks sequence_id mid_price spread bid_volume ask_volume received_at position",
)
TRADES = _table(
    "trade_events",
    "timestamp symbol exchange trade_id",
    "symbol exchange timestamp price size side trade_id received_at position",
)
CELLS = _table(
    "heatmap_data",
    "timestamp symbol bucket_size price_bucket side",
    "symbol timestamp bucket_size price_bucket volume side exchange_count received_at position",
)
HEATMAPS = _table(
    "heatmap_ticks",
    "timestamp symbol bucket_size",
    "symbol timestamp bucket_size exchanges missing covered_low covered_high received_at position",
)
CANDLES = _table(
    "ohlcv_data",
    "timestamp symbol timeframe",
    "symbol timestamp timeframe open_price high_price low_price close_price volume trade_count received_at position"
    " revision complete",
    replaces="excluded.revision >= t.revision",
)
GAPS = _table(
    "gaps",
    "from_time symbol exchange reason",
    "symbol exchange from_time until_time reason conn detail received_at position",
    # The closing record carries until_time; the opening one never opens it again.
    replaces="excluded.until_time IS NOT NULL OR t.until_time IS NULL",
)
QUALITY = _table(
    "quality",
    "timestamp symbol exchange",
    "symbol exchange timestamp score coverage accepted events rejected duplicates anomalies gaps crossed_ticks"
    " received_at position",
)
TABLES = {table.name: table for table in (BOOKS, TRADES, CELLS, HEATMAPS, CANDLES, GAPS, QUALITY)}


def last_per_key(table: Table, rows: Iterable[Values]) -> list[Values]:
    """One row per key, in order of first appearance: the last, by the rule of ``replaces`` where there is one.

    An upsert can't touch a row twice, and what it would do one after the other is decided here.
    """
    kept: dict[Values, Values] = {}
    for values in rows:
        key = table.key_of(values)
        former = kept.get(key)
        if former is None or _replaces(table, former, values):
            kept[key] = values
    return list(kept.values())


def _replaces(table: Table, former: Values, values: Values) -> bool:
    if table is CANDLES:
        column = table.columns.index("revision")
        return bool(values[column] >= former[column])
    if table is GAPS:
        column = table.columns.index("until_time")
        return values[column] is not None or former[column] is None
    return True
