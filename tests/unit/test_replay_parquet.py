"""Records in Parquet are the records that fastavro reads, in every type, in many row groups, with bounded memory."""

import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from COBY.codec import encode
from COBY.records import BookTick, Bucket, Level, TradeEvent
from replay import parquet
from replay.export import PARQUET, export
from replay.items import Item
from schemas import IDS, schema_text
from tests.unit.test_codec import values

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ORIGIN = [("source", b"raw.okx.v1/2"), ("position", b"12:3"), ("settings", b"0123456789abcdef")]
TRADE = TradeEvent("BTCUSDT", "okx", 1_500_000, 1_600_000, 6_183_763_000_000, 1, "sell", "t1", False, True)


def item_of(record, time_ms=1_600, headers=ORIGIN):
    return Item(time_ms, "coby.any.v1", b"BTCUSDT", encode(record), list(headers), 0)


def as_fastavro_reads(item, name):
    schema = fastavro.parse_schema(json.loads(schema_text(name)), named_schemas={})
    return fastavro.schemaless_reader(io.BytesIO(item.value[5:]), schema, None)


@pytest.mark.parametrize("name", sorted(IDS))
def test_every_type_reads_back_as_fastavro_reads_it(name, tmp_path):
    number = iter(range(1_000_000))

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(values(json.loads(schema_text(name)), {}), min_size=1, max_size=4))
    def check(records):
        folder = tmp_path / f"{next(number)}.parquet"
        items = [item_of(record, time_ms) for time_ms, record in enumerate(records)]
        counts = export(items, str(folder), PARQUET)
        assert (counts.records, counts.left_out) == (len(records), 0)
        rows = pq.read_table(folder / f"{name}.parquet").to_pylist()
        origin = {"source": "raw.okx.v1/2", "position": "12:3", "settings": "0123456789abcdef"}
        for time_ms, (row, item) in enumerate(zip(rows, items, strict=True)):
            origin["stream_time"] = EPOCH + timedelta(milliseconds=time_ms)
            assert row == origin | as_fastavro_reads(item, name)

    check()


def test_columns_have_the_types_of_the_documents(tmp_path):
    book = BookTick(
        "BTCUSDT", "okx", 0, True, None, "c", 1, [], [], 10, [], [], None, None, 1, 1, 1, 1, -1, 1, []
    )  # fmt: skip
    full = [item_of(TRADE), item_of(book)]
    export(full, str(tmp_path / "x.parquet"), PARQUET)
    trade, tick = (pq.read_schema(tmp_path / "x.parquet" / f"{name}.parquet") for name in ("trade", "book"))
    time = pa.timestamp("us", "UTC")
    found = {
        name: trade.field(name).type for name in ("timestamp", "price", "size", "anomaly", "stream_time")
    }
    assert found == {
        "timestamp": time,
        "price": pa.decimal128(20, 8),
        "size": pa.decimal128(30, 8),
        "anomaly": pa.bool_(),
        "stream_time": time,
    }
    assert trade.names[-4:] == ["stream_time", "source", "position", "settings"]
    level_type = tick.field("bids").type.value_type
    assert [(one.name, one.type) for one in level_type] == [
        ("price", pa.decimal128(20, 8)),
        ("size", pa.decimal128(30, 8)),
    ]
    assert tick.field("imbalance").type == pa.decimal128(10, 8)
    assert [tick.field(name).nullable for name in ("imbalance", "live", "bids")] == [True, False, False]


def test_long_exports_come_in_row_groups_and_hold_little_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "WAITING_BYTES", 20_000)
    most, waiting = 0, parquet.ParquetFolder.write

    def watched(self, item, record):
        nonlocal most
        waiting(self, item, record)
        most = max(most, sum(file.waiting_bytes for file in self._files.values()))

    monkeypatch.setattr(parquet.ParquetFolder, "write", watched)

    def items():
        for tick in range(300):
            levels = [Level(tick + step, step) for step in range(1, 40)]
            buckets = [Bucket(tick, 3)]
            yield item_of(
                BookTick("BTCUSDT", "okx", tick, True, None, "c", 1, levels, levels[:5], 10, buckets, buckets,
                         None, None, 1, 1, 1, 1, None, 1, []),
                tick,
            )  # fmt: skip
            yield item_of(TRADE, tick)

    counts = export(items(), str(tmp_path / "x.parquet"), PARQUET)
    assert counts.by_type == {"book": 300, "trade": 300}
    assert most < 20_000
    books = pq.ParquetFile(tmp_path / "x.parquet" / "book.parquet")
    trades = pq.ParquetFile(tmp_path / "x.parquet" / "trade.parquet")
    assert books.metadata.num_row_groups > 3 > trades.metadata.num_row_groups
    table = books.read()
    assert table["timestamp"].to_pylist() == [EPOCH + timedelta(microseconds=tick) for tick in range(300)]
    assert table["bids"][299].as_py()[38] == {"price": Decimal("0.00000338"), "size": Decimal("0.00000039")}
    books.close()
    trades.close()


def test_what_no_column_can_hold_is_left_out_and_counted(tmp_path):
    too_large = TradeEvent("BTCUSDT", "okx", 0, 0, 10**20, 1, "buy", "t2", False, False)
    far_too_large = TradeEvent("BTCUSDT", "okx", 0, 0, 2**200, 1, "buy", "t3", False, False)
    none = Item(3, "coby.trade.v1", None, b"no record", [], 0)
    items = [item_of(TRADE), item_of(too_large), none, item_of(far_too_large), item_of(TRADE, 2_000, [])]
    counts = export(items, str(tmp_path / "x.parquet"), PARQUET)
    assert (counts.records, counts.by_type["trade"], counts.left_out, counts.unreadable) == (2, 2, 3, 0)
    rows = pq.read_table(tmp_path / "x.parquet" / "trade.parquet").to_pylist()
    assert [(row["trade_id"], row["source"]) for row in rows] == [("t1", "raw.okx.v1/2"), ("t1", None)]
