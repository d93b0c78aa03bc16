"""What the tables and Redis must hold by what lies in the topics, read anew: no code of the sinks'.

Values are decoded by plain fastavro; rows are made by the columns' meaning in DESIGN.md (Tables). A stored tick is one
whose T is divisible by STORE_INTERVAL; a trade's key is (timestamp, symbol, exchange, trade_id); of a candle the
highest revision stands, of gaps and intervals of continuity the later record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import redis
from psycopg import sql

from COBY.config import Config
from COBY.topics import topic_name
from tests.faults.content import Position, each, partitions, place_of
from tests.reference.compare import decode

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TABLES = {
    "trade_events": "timestamp symbol exchange trade_id price size side received_at position",
    "order_book_snapshots": "timestamp symbol exchange bids asks sequence_id mid_price spread bid_volume ask_volume"
    " received_at position",
    "heatmap_data": "timestamp symbol bucket_size price_bucket side volume exchange_count received_at position",
    "heatmap_ticks": "timestamp symbol bucket_size exchanges missing covered_low covered_high received_at position",
    "ohlcv_data": "timestamp symbol timeframe open_price high_price low_price close_price volume trade_count"
    " received_at position revision complete",
    "gaps": "from_time symbol exchange reason until_time conn detail received_at position",
    "quality": "timestamp symbol exchange score coverage accepted events rejected duplicates anomalies gaps"
    " crossed_ticks blind_us crossed_us checksum_failures skewed clamped clock_skew_us received_at position",
    "continuity": "start_time symbol exchange end_time rule sequenced checked snapshots conn connections reason"
    " received_at position",
}
KEY_LENGTHS = {"trade_events": 4, "order_book_snapshots": 3, "heatmap_data": 5, "heatmap_ticks": 3}
KEY_LENGTHS |= {"ohlcv_data": 3, "gaps": 4, "quality": 3, "continuity": 3}
SIDES = {"bid": "bid", "ask": "ask"}
PARTS = {"trade": ("symbol", "exchange"), "book": ("symbol", "exchange"), "gap": ("symbol", "exchange")}
PARTS |= {"quality": ("symbol", "exchange"), "continuity": ("symbol", "exchange")}
PARTS |= {"heatmap": ("symbol",), "consolidated": ("symbol",)}
PARTS |= {"ohlcv": ("symbol", "timeframe")}

STORED = {"trade": ("trade_events",), "book": ("order_book_snapshots",), "ohlcv": ("ohlcv_data",)}
STORED |= {"heatmap": ("heatmap_data", "heatmap_ticks"), "gap": ("gaps",), "quality": ("quality",)}
STORED |= {"continuity": ("continuity",)}
"""Topic -> tables."""

Row = tuple[Any, ...]
Rows = dict[str, dict[Row, Row]]
"""Table -> key -> all columns but id."""


def distinct(config: Config, name: str) -> Iterator[tuple[str, Position, Any, dict[str, Any]]]:
    """(source, position, message, decoded) of each record, repeats dropped as a reader drops them."""
    topic = topic_name(config.topic_prefix, name)
    for partition in partitions(config, topic):
        newest: dict[str, Position] = {}
        for message in each(config, topic, partition):
            place = place_of(message.headers() or [])
            if place is None or place[1] <= newest.get(place[0], (-1, -1)):
                continue
            newest[place[0]] = place[1]
            yield *place, message, decode(name, message.value())


def time_of(us: int | None) -> datetime | None:
    """Microseconds since 1970 as the database shows them."""
    return None if us is None else EPOCH + timedelta(microseconds=us)


def text(value: Decimal | None) -> str | None:
    """Eight decimals."""
    return None if value is None else f"{value:.8f}"


def expected_rows(config: Config, names: Iterable[str] = tuple(STORED)) -> Rows:
    """By what is in these topics now."""
    rows: Rows = {table: {} for name in names for table in STORED[name]}
    for name in names:
        for _, position, _, record in distinct(config, name):
            for table, row in rows_of(name, record, f"{position[0]}:{position[1]}", config.store_interval_us):
                put(rows[table], table, row)
    return rows


def put(rows: dict[Row, Row], table: str, row: Row) -> None:
    """The later row of a key stands, but for an older revision."""
    key, columns = row[: KEY_LENGTHS[table]], TABLES[table].split()
    former = rows.get(key)
    if former is not None and table == "ohlcv_data":
        at = columns.index("revision")
        if row[at] < former[at]:
            return
    rows[key] = row


def rows_of(name: str, one: dict[str, Any], position: str, store_us: int) -> Iterator[tuple[str, Row]]:
    """(table, row) of one record."""
    at = time_of(one["timestamp"])
    if name == "trade":
        head = (at, one["symbol"], one["exchange"], one["trade_id"], one["price"], one["size"], one["side"])
        yield "trade_events", (*head, time_of(one["received_at"]), position)
    elif name == "book" and one["live"] and one["timestamp"] % store_us == 0:
        sides = [
            [[text(level["price"]), text(level["size"])] for level in one[side]] for side in ("bids", "asks")
        ]
        figures = [one[field] for field in ("sequence_id", "mid_price", "spread", "bid_volume", "ask_volume")]
        yield "order_book_snapshots", (at, one["symbol"], one["exchange"], *sides, *figures, at, position)
    elif name == "heatmap" and one["timestamp"] % store_us == 0:
        yield from heatmap_rows(one, at, position)
    elif name == "ohlcv":
        prices = [one[field] for field in ("open", "high", "low", "close", "volume", "trade_count")]
        head = (at, one["symbol"], one["timeframe"], *prices)
        yield "ohlcv_data", (*head, time_of(one["received_at"]), position, one["revision"], one["complete"])
    elif name == "gap":
        key = (time_of(one["from_time"]), one["symbol"], one["exchange"], one["reason"])
        yield "gaps", (*key, time_of(one["until_time"]), one["conn"], one["detail"], at, position)
    elif name == "quality":
        columns = TABLES["quality"].split()[3:-2]
        yield (
            "quality",
            (at, one["symbol"], one["exchange"], *(one[field] for field in columns), at, position),
        )
    elif name == "continuity":
        key = (time_of(one["start_time"]), one["symbol"], one["exchange"], time_of(one["end_time"]))
        columns = TABLES["continuity"].split()[4:-2]
        yield "continuity", (*key, *(one[field] for field in columns), at, position)


def heatmap_rows(one: dict[str, Any], at: datetime | None, position: str) -> Iterator[tuple[str, Row]]:
    """One row of the tick, one of each cell."""
    key = (at, one["symbol"], Decimal(one["bucket_size"]).quantize(Decimal("0.01")))
    covered = ("covered_low", "covered_high")
    exchanges = [
        {"exchange": item["exchange"], **{name: text(item[name]) for name in covered}}
        for item in one["exchanges"]
    ]
    missing = {item["exchange"]: item["reason"] for item in one["missing"]}
    yield "heatmap_ticks", (*key, exchanges, missing, *(one[name] for name in covered), at, position)
    for cell in one["data"]:
        figures = (cell["volume"], cell["exchange_count"])
        yield "heatmap_data", (*key, cell["price"], SIDES[cell["side"]], *figures, at, position)


def table_problems(
    config: Config, connection: psycopg.Connection[Any], names: Iterable[str] = tuple(STORED)
) -> Iterator[str]:
    """Where the tables of these topics differ, by SHA-256 and then by the first row that differs."""
    for table, expected in expected_rows(config, names).items():
        columns = TABLES[table].split()
        query = sql.SQL("SELECT {} FROM {}").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(table)
        )
        actual = {row[: KEY_LENGTHS[table]]: row for row in connection.execute(query)}
        if hash_of(expected.values()) == hash_of(actual.values()):
            continue
        differing = [key for key in expected.keys() | actual.keys() if expected.get(key) != actual.get(key)]
        if differing:
            key = min(differing)
            both = f"expected {expected.get(key)}, found {actual.get(key)}"
            yield f"I2 table {table}: {key}: {both}; {len(differing)} rows differ"


def hash_of(rows: Iterable[Row]) -> str:
    """SHA-256 of rows in any order."""
    total = hashlib.sha256()
    for line in sorted(repr([_plain(value) for value in row]) for row in rows):
        total.update(line.encode())
    return total.hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:.8f}"
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True)
    return value.isoformat() if isinstance(value, datetime) else value


def cache_problems(config: Config, cache: redis.Redis, names: Iterable[str] = tuple(PARTS)) -> Iterator[str]:
    """Where `latest` in Redis is not the last record of these topics, field by field."""
    prefix = config.topic_prefix
    for name in names:
        parts = PARTS[name]
        last: dict[str, tuple[str, Position, Any, dict[str, Any]]] = {}
        for one in distinct(config, name):
            last[":".join([prefix, "latest", name, *(one[3][part] for part in parts)])] = one
        for key, (source, position, message, record) in sorted(last.items()):
            found = json.loads(str(cache.get(key) or "{}"))
            where = {"source": source, "position": f"{position[0]}:{position[1]}", "topic": message.topic()}
            where["partition"] = (
                message.partition()
            )  # not the offset: a rebuilt cache may have met the repeat
            expected = {**as_json(record), **where}
            for field in expected:
                if not same(expected[field], found.get(field)):
                    yield f"I6 {key}: {field}: expected {expected[field]}, found {found.get(field)}"
                    break


def as_json(value: Any) -> Any:
    """Decimals as texts of eight decimals; all else as it is (`same` knows times)."""
    if isinstance(value, Decimal):
        return text(value)
    if isinstance(value, dict):
        return {name: as_json(item) for name, item in value.items()}
    return [as_json(item) for item in value] if isinstance(value, list) else value


def same(expected: Any, found: Any) -> bool:
    """Whether a JSON value is the record's; times are microseconds here and RFC 3339 there."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(same(expected[name], found.get(name)) for name in expected)
    if isinstance(expected, list):
        return isinstance(found, list) and len(expected) == len(found) and all(map(same, expected, found))
    if isinstance(found, str) and isinstance(expected, int):
        return (datetime.fromisoformat(found) - EPOCH) // timedelta(microseconds=1) == expected
    return bool(expected == found)
