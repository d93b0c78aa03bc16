"""The tables as the sink writes them: columns, key, and when a row may replace another one. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

Values = tuple[Any, ...]

LATER = (
    "excluded.position IS NULL OR t.position IS NULL"
    " OR string_to_array(excluded.position, ':')::bigint[] >= string_to_array(t.position, ':')::bigint[]"
)
"""Of two records of one key that which its source wrote later stands, though an older one come again by hand."""


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
    # The closing record follows the opening one; a book lost again at the same stream time opens its gap anew.
    replaces=LATER,
)
QUALITY = _table(
    "quality",
    "timestamp symbol exchange",
    "symbol exchange timestamp score coverage accepted events rejected duplicates anomalies gaps crossed_ticks"
    " received_at position blind_us crossed_us checksum_failures skewed clamped clock_skew_us",
)
CONTINUITY = _table(
    "continuity",
    "start_time symbol exchange",
    "symbol exchange start_time end_time rule sequenced checked snapshots conn connections reason received_at position",
    replaces=LATER,
)
TABLES = {table.name: table for table in (BOOKS, TRADES, CELLS, HEATMAPS, CANDLES, GAPS, QUALITY, CONTINUITY)}


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
    if table.replaces is LATER:
        places = [_position(table, one) for one in (former, values)]
        return None in places or places[0] <= places[1]  # type: ignore[operator]  # neither is None
    return True


def _position(table: Table, values: Values) -> tuple[int, ...] | None:
    text = values[table.columns.index("position")]
    return None if text is None else tuple(map(int, text.split(":")))
