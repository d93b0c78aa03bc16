"""The rows that records should have left in the tables, by the tables' documentation (docs/tables.md). Pure.

Written anew and not taken from the sinks, so that a shared mistake can show. A unit is what one record leaves in one
table: a row, or all cells of one tick.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from replay.fields import Plain, canonical

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Row = dict[str, Any]
Key = tuple[str, ...]


class Layout(NamedTuple):
    """A table: the columns of a unit's key, and whether the record's own time is the column ``timestamp``."""

    topic: str
    key: tuple[str, ...]
    is_timed: bool = True


LAYOUTS = {
    "order_book_snapshots": Layout("book", ("timestamp", "symbol", "exchange")),
    "trade_events": Layout("trade", ("timestamp", "symbol", "exchange", "trade_id"), False),
    "heatmap_data": Layout("heatmap", ("timestamp", "symbol", "bucket_size")),
    "heatmap_ticks": Layout("heatmap", ("timestamp", "symbol", "bucket_size")),
    "ohlcv_data": Layout("ohlcv", ("timestamp", "symbol", "timeframe"), False),
    "gaps": Layout("gap", ("from_time", "symbol", "exchange", "reason"), False),
    "quality": Layout("quality", ("timestamp", "symbol", "exchange")),
    "continuity": Layout("continuity", ("start_time", "symbol", "exchange"), False),
}


class Unit(NamedTuple):
    """``rank``: it gives way to a later unit of its key whose rank is not lower."""

    table: str
    rows: list[Row]
    rank: int = 0

    @property
    def key(self) -> Key:
        """Its key, in canonical text."""
        return key_of(self.table, self.rows[0])


def key_of(table: str, row: Row) -> Key:
    """The key of the unit that a row belongs to."""
    return tuple(str(canonical(row[column])) for column in LAYOUTS[table].key)


def packed(rows: Sequence[Row]) -> bytes:
    """Rows as bytes that are equal when the rows are, in whatever order they came."""
    return "\n".join(sorted(json.dumps(canonical(row), sort_keys=True) for row in rows)).encode()


def unpacked(content: bytes) -> list[Row]:
    """The rows, canonical, that `packed` was given."""
    return [json.loads(line) for line in content.splitlines()]


def units_of(topic: str, record: Plain, position: str, store_interval_us: int) -> list[Unit]:
    """What a record of that topic leaves in the tables: nothing, where it is not to be stored."""
    match topic:
        case "trade":
            return [Unit("trade_events", [_only(record, TRADE) | {"position": position}])]
        case "book":
            is_kept = record["live"] and _is_on_grid(record, store_interval_us)
            return [Unit("order_book_snapshots", [_book(record, position)])] if is_kept else []
        case "heatmap":
            return _heatmap(record, position) if _is_on_grid(record, store_interval_us) else []
        case "ohlcv":
            return [Unit("ohlcv_data", [_candle(record, position)], record["revision"])]
        case "gap":
            return [Unit("gaps", [_only(record, GAP) | _told(record, position)])]
        case "quality":
            return [Unit("quality", [_only(record, QUALITY) | _told(record, position)])]
        case "continuity":
            return [Unit("continuity", [_only(record, CONTINUITY) | _told(record, position)])]
    return []


TRADE = "symbol exchange timestamp received_at price size side trade_id"
BOOK = "symbol exchange timestamp sequence_id mid_price spread bid_volume ask_volume"
GAP = "symbol exchange from_time until_time reason conn detail"
QUALITY = "symbol exchange timestamp score coverage accepted events rejected duplicates anomalies gaps crossed_ticks"
QUALITY += " blind_us crossed_us checksum_failures skewed clamped clock_skew_us"
CONTINUITY = "symbol exchange start_time end_time rule sequenced checked snapshots conn connections reason"


def _only(record: Plain, names: str) -> Row:
    return {name: record[name] for name in names.split()}


def _told(record: Plain, position: str) -> Row:
    return {"received_at": record["timestamp"], "position": position}


def _is_on_grid(record: Plain, interval_us: int) -> bool:
    return not (record["timestamp"] - EPOCH) // timedelta(microseconds=1) % interval_us


def _book(record: Plain, position: str) -> Row:
    sides = {side: [[level["price"], level["size"]] for level in record[side]] for side in ("bids", "asks")}
    return _only(record, BOOK) | sides | _told(record, position)


def _heatmap(record: Plain, position: str) -> list[Unit]:
    shared = _only(record, "symbol timestamp bucket_size") | _told(record, position)
    known = _only(record, "exchanges covered_low covered_high")
    missing = {item["exchange"]: item["reason"] for item in record["missing"]}
    units = [Unit("heatmap_ticks", [shared | known | {"missing": missing}])]
    cells = [
        shared | _only(cell, "volume side exchange_count") | {"price_bucket": cell["price"]}
        for cell in record["data"]
    ]
    return [*units, Unit("heatmap_data", cells)] if cells else units


def _candle(record: Plain, position: str) -> Row:
    prices = {f"{name}_price": record[name] for name in ("open", "high", "low", "close")}
    rest = _only(record, "symbol timestamp timeframe volume trade_count revision complete received_at")
    return rest | prices | {"position": position}
