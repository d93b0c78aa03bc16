"""A recording of replayed records: its lines are what they say, and give key, time, headers and value back whole."""

import base64
import gzip
import io
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from COBY.codec import decode, encode
from COBY.records import Candle, Gap, TradeEvent
from replay.export import RECORDING, export
from replay.items import Item
from replay.lines import line_of
from schemas import FORMER, IDS, former_text, schema_text
from tests.unit.test_codec import values

TRADE = TradeEvent(
    "BTCUSDT", "binance", 1_500_000, 1_600_000, 6_183_763_000_000, 1, "sell", "t1", False, True
)
ORIGIN = [("source", b"raw.binance.v1/2"), ("position", b"12:3"), ("settings", b"0123456789abcdef")]
OWN = {"topic", "key", "timestamp_ms", "headers", "type", "schema_id", "value"}


def item_of(record, headers=ORIGIN, key=b"BTCUSDT", time_ms=1_600):
    return Item(time_ms, "coby.trade.v1", key, encode(record), list(headers), 7)


def rebuilt(line):
    """(topic, key, timestamp, headers, value) of a line, by json, fastavro and the .avsc files alone."""
    row = json.loads(line)
    headers = row["headers"].items() if isinstance(row["headers"], dict) else row["headers"]
    whole = [(name, as_bytes(value)) for name, value in headers]
    return row["topic"], as_bytes(row["key"]), row["timestamp_ms"], whole, rebuilt_value(row)


def rebuilt_value(row):
    if "value" in row:
        return as_bytes(row["value"])
    number = row["schema_id"]
    (path,) = [name for name, known in IDS.items() if known == number]
    assert row["type"] == path
    schema = json.loads((Path("schemas") / f"{path}.avsc").read_text())
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema, named_schemas={}), typed(row, schema, {}))
    return b"\0" + number.to_bytes(4, "big") + body.getvalue()


def typed(value, schema, named):
    """JSON's texts as the Decimals and datetimes that fastavro writes."""
    if isinstance(schema, list):
        return None if value is None else typed(value, schema[1], named)
    if isinstance(schema, str):
        return typed(value, named[schema], named) if schema in named else value
    if schema["type"] == "record":
        named[f"coby.{schema['name']}"] = schema
        return {
            field["name"]: typed(value[field["name"]], field["type"], named) for field in schema["fields"]
        }
    if schema["type"] == "array":
        if isinstance(schema["items"], dict):
            named[f"coby.{schema['items']['name']}"] = schema["items"]
        return [typed(item, schema["items"], named) for item in value]
    if schema.get("logicalType") == "decimal":
        return Decimal(value)
    return datetime.fromisoformat(value) if schema.get("logicalType") else value


def as_bytes(value):
    if isinstance(value, dict):
        return base64.b64decode(value["base64"])
    return None if value is None else value.encode()


def whole(item):
    return item.topic, item.key, item.time_ms, item.headers, item.value


def test_a_line_is_the_record_in_the_form_of_all_json():
    assert json.loads(line_of(item_of(TRADE), TRADE)) == {
        "topic": "coby.trade.v1",
        "key": "BTCUSDT",
        "timestamp_ms": 1600,
        "headers": {"source": "raw.binance.v1/2", "position": "12:3", "settings": "0123456789abcdef"},
        "type": "trade",
        "schema_id": 1,
        "symbol": "BTCUSDT",
        "exchange": "binance",
        "timestamp": "1970-01-01T00:00:01.500000Z",
        "received_at": "1970-01-01T00:00:01.600000Z",
        "price": "61837.63000000",
        "size": "0.00000001",
        "side": "sell",
        "trade_id": "t1",
        "time_replaced": False,
        "anomaly": True,
    }


@pytest.mark.parametrize("name", sorted(IDS))
def test_every_record_comes_back_from_its_line_byte_for_byte(name):
    names = st.text(st.characters(codec="utf-8"), max_size=5)
    headers = st.lists(st.tuples(names, st.none() | st.binary(max_size=5)), max_size=4)

    @settings(max_examples=25, deadline=None)
    @given(values(json.loads(schema_text(name)), {}), headers, st.none() | st.binary(max_size=5))
    def check(record, headers, key):
        item = item_of(record, headers, key)
        line = line_of(item, record)
        assert rebuilt(line) == whole(item)
        assert line.count(b"\n") == 1
        assert "value" not in json.loads(line)  # the fields say it all

    check()


@pytest.mark.parametrize("name", [*sorted(IDS), *(f"former {number}" for number in FORMER)])
def test_no_field_of_a_record_has_a_name_of_the_line(name):
    text = former_text(int(name.split()[1])) if name.startswith("former") else schema_text(name)
    assert not OWN & {field["name"] for field in json.loads(text)["fields"]}


@pytest.mark.parametrize(
    "value", [None, b"", b"no record", b"\0\0\0\0\1\xff", encode(TRADE) + b"more", b"\0\0\0\x27\x0f"]
)
def test_a_value_that_is_no_record_stands_there_as_it_is(value):
    item = Item(5, "coby.trade.v1", b"\xff", value, [("a", b"1"), ("a", None)], 0)
    line = line_of(item, None)
    assert rebuilt(line) == whole(item)
    assert json.loads(line)["type"] is None


def test_a_value_that_another_writer_wrote_in_its_own_way_stands_beside_its_fields():
    text = "BTCUSDT\0"
    ours = encode(TradeEvent(text, "", 0, 0, 1, 1, "", "", False, False))
    # The price 1 once more with a leading zero byte: Avro allows it, and means the same.
    place = ours.index(text.encode()) + len(text) + 3
    assert ours[place : place + 2] == b"\2\1"
    other = ours[:place] + b"\4\0\1" + ours[place + 2 :]
    item = Item(5, "coby.trade.v1", None, other, [], 0)
    line = line_of(item, decode(other))
    assert decode(other) == decode(ours)
    assert (json.loads(line)["price"], rebuilt(line)) == ("0.00000001", whole(item))


def test_a_record_of_a_former_schema_comes_back_too():
    quality = {
        "symbol": "BTCUSDT",
        "exchange": "okx",
        "timestamp": datetime.fromisoformat("2026-01-02T03:04:00Z"),
    }
    numbers = dict.fromkeys(("events", "rejected", "duplicates", "anomalies", "gaps", "crossed_ticks"), 3)
    shares = {name: Decimal("0.5") for name in ("score", "coverage", "accepted")}
    body = io.BytesIO()
    fastavro.schemaless_writer(
        body, fastavro.parse_schema(json.loads(former_text(4))), quality | numbers | shares
    )
    item = Item(5, "coby.quality.v1", b"BTCUSDT", b"\0\0\0\0\4" + body.getvalue(), [], 0)
    line = line_of(item, decode(item.value))
    row = json.loads(line)
    assert (row["type"], row["score"], row["clamped"], rebuilt(line)) == (
        "quality",
        "0.50000000",
        0,
        whole(item),
    )


def test_a_time_that_no_text_can_say_leaves_the_bytes():
    record = TradeEvent("BTCUSDT", "binance", 2**62, 0, 1, 1, "buy", "t", False, False)
    item = item_of(record)
    line = line_of(item, record)
    assert (json.loads(line)["type"], "price" in json.loads(line), rebuilt(line)) == (
        "trade",
        False,
        whole(item),
    )


@pytest.mark.parametrize("name", ["day.jsonl", "day.jsonl.gz"])
def test_a_recording_replays_as_it_was_recorded(tmp_path, name):
    candle = Candle("ETHUSDT", 0, "1m", 1, 2, 1, 2, 5, 2, 1, True, 61_000_000)
    gap = Gap("BTCUSDT", "okx", 5_000_000, 4_000_000, None, "checksum", "c1", "ten levels")
    items = [item_of(TRADE), item_of(candle, time_ms=61_000), item_of(gap), Item(9, "t", None, b"x", [], 0)]
    counts = export(iter(items), str(tmp_path / name), RECORDING)
    content = (tmp_path / name).read_bytes()
    lines = (gzip.decompress(content) if name.endswith("gz") else content).splitlines()
    assert [rebuilt(line) for line in lines] == [whole(item) for item in items]
    assert (counts.records, counts.by_type, counts.unreadable) == (4, {"trade": 1, "ohlcv": 1, "gap": 1}, 1)
    assert (counts.from_ms, counts.to_ms, counts.gaps) == (9, 61_000, {("okx", "BTCUSDT"): 1})
