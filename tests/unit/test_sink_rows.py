"""Records to rows: exact numbers, and what is stored at all. Also what they become in Redis."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from COBY.jsonform import plain
from COBY.records import Candle, Gap, Heatmap, Record, Settings, Status, TradeEvent
from COBY.runtime.redis import feed_key, latest_key
from COBY.utils.exceptions import ValidationError
from sinks.latest import Origin, entry_of, key_parts
from sinks.patience import pauses
from sinks.rows import decimal, rows_of
from sinks.tables import CANDLES, GAPS, TABLES, TRADES, last_per_key

SECOND_US = 1_000_000
TRADE = TradeEvent("BTCUSDT", "binance", 1_500_000, 1_600_000, 6_183_763_000_000, 1, "sell", "t1")
CANDLE = Candle("BTCUSDT", 0, "1m", 1, 4, 1, 2, 10**29 + 1, 7, 3, False, 62_000_000)
HEATMAP = Heatmap("BTCUSDT", 1_000_000, 10**9, [], None, None, [], [])


def values_of(row):
    return dict(zip(row.table.columns, row.values, strict=True))


@given(st.integers(-(10**30), 10**30))
def test_units_become_decimals_without_losing_a_digit(units):
    found = decimal(units)
    assert found.as_tuple().exponent == -8
    sign, digits, _ = found.as_tuple()
    assert int("".join(map(str, digits))) * (-1 if sign else 1) == units


def test_a_size_of_thirty_digits_stays_exact():
    assert decimal(123_456_789_012_345_678_901_234_567_890) == Decimal("1234567890123456789012.34567890")


def test_a_trade_is_one_row_of_its_own_time():
    (row,) = rows_of(TRADE, "5:2", SECOND_US)
    assert row.table is TRADES
    assert values_of(row) == {
        "symbol": "BTCUSDT",
        "exchange": "binance",
        "timestamp": datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC),
        "price": Decimal("61837.63"),
        "size": Decimal("0.00000001"),
        "side": "sell",
        "trade_id": "t1",
        "received_at": datetime(1970, 1, 1, 0, 0, 1, 600_000, tzinfo=UTC),
        "position": "5:2",
    }


def test_a_candle_keeps_revision_and_completeness():
    (row,) = rows_of(CANDLE, "9:0", SECOND_US)
    found = values_of(row)
    assert found["volume"] == Decimal("1000000000000000000000.00000001")
    assert (found["revision"], found["complete"], found["trade_count"]) == (3, False, 7)


def test_a_heatmap_without_cells_still_leaves_its_tick():
    (row,) = rows_of(HEATMAP, "1:0", SECOND_US)
    assert row.table.name == "heatmap_ticks"
    assert values_of(row)["exchanges"] == "[]"
    assert rows_of(HEATMAP, "1:0", 3 * SECOND_US) == []


def test_a_time_that_no_table_takes_is_an_error_with_a_code():
    record = Gap("BTCUSDT", "binance", 1, 10**18, None, "stale", None, "")
    with pytest.raises(ValidationError) as caught:
        rows_of(record, "1:0", SECOND_US)
    assert caught.value.code == "time.invalid"


def test_a_record_without_a_table_is_a_bug_of_the_caller():
    with pytest.raises(TypeError):
        rows_of(Settings("h", "t"), "1:0", SECOND_US)


def candle_values(revision, close):
    row = rows_of(msgspec.structs.replace(CANDLE, revision=revision, close=close), "1:0", SECOND_US)
    return row[0].values


@pytest.mark.parametrize(
    ("revisions", "kept"), [([0, 1], 1), ([1, 0], 0), ([2, 2], 1), ([0, 2, 1], 1), ([0], 0)]
)
def test_of_rows_with_one_key_a_candle_of_the_highest_last_revision_stays(revisions, kept):
    rows = [candle_values(revision, close) for close, revision in enumerate(revisions, start=5)]
    assert last_per_key(CANDLES, rows) == [rows[kept]]


def test_of_rows_with_one_key_the_last_stays_and_others_are_left_alone():
    rows = [
        rows_of(TradeEvent("BTCUSDT", "binance", 1, 1, 1, size, "buy", trade_id), "1:0", 1)[0].values
        for trade_id, size in [("a", 1), ("b", 2), ("a", 3)]
    ]
    assert last_per_key(TRADES, rows) == [rows[2], rows[1]]


def gap_rows(*positions):
    """Opened, closed, opened again: of one key, because stream time stood still."""
    opened = Gap("BTCUSDT", "binance", 1, 1, None, "stale", None, "")
    gaps = (opened, msgspec.structs.replace(opened, until_time=1), opened)
    return [rows_of(gap, position, 1)[0].values for gap, position in zip(gaps, positions, strict=True)]


def test_an_open_gap_that_comes_again_by_hand_does_not_replace_a_closed_one():
    rows = gap_rows("9:2", "10:0", "9:2")
    assert last_per_key(GAPS, rows) == [rows[1]]


def test_a_gap_that_opens_again_at_the_same_stream_time_is_open():
    rows = gap_rows("9:2", "10:0", "10:1")
    assert last_per_key(GAPS, rows) == [rows[2]]


def test_keys_are_columns():
    for table in TABLES.values():
        assert set(table.key) < set(table.columns)
        assert len(table.key_of(table.columns)) == len(table.key)


def test_json_has_decimal_strings_and_times_with_microseconds():
    assert plain(TRADE) == {
        "symbol": "BTCUSDT",
        "exchange": "binance",
        "timestamp": "1970-01-01T00:00:01.500000Z",
        "received_at": "1970-01-01T00:00:01.600000Z",
        "price": "61837.63000000",
        "size": "0.00000001",
        "side": "sell",
        "trade_id": "t1",
        "time_replaced": False,
        "anomaly": False,
    }
    status = Status("binance", "binance-0", None, "subscribed", 0, None, 2, "closed", None, 1_000_000)
    found = plain(status)
    assert (found["conn"], found["reconnects"], found["observed_at"]) == (
        None,
        2,
        "1970-01-01T00:00:01.000000Z",
    )


@pytest.mark.parametrize(
    ("record", "parts"),
    [
        (TRADE, ("BTCUSDT", "binance")),
        (CANDLE, ("BTCUSDT", "1m")),
        (HEATMAP, ("BTCUSDT",)),
        (Status("binance", "binance-0", None, "s", 0, None, 0, "closed", None, 1), ("binance-0",)),
    ],
)
def test_the_latest_value_of_a_kind_has_a_key(record: Record, parts: tuple[str, ...]):
    assert key_parts(record) == parts


def test_keys_in_redis_are_those_of_the_documents():
    assert latest_key("coby", "book", "BTCUSDT", "binance") == "coby:latest:book:BTCUSDT:binance"
    assert feed_key("coby", "trade", "BTCUSDT") == "coby:feed:trade:BTCUSDT"


def test_an_entry_says_where_it_came_from():
    entry = entry_of("coby", "trade", TRADE, "raw.binance.v1/2", (5, 1), Origin("coby.trade.v1", 3, 88))
    value = json.loads(entry.value)
    origin = {name: value[name] for name in ("source", "position", "topic", "partition", "offset")}
    assert origin == {
        "source": "raw.binance.v1/2",
        "position": "5:1",
        "topic": "coby.trade.v1",
        "partition": 3,
        "offset": 88,
    }
    assert entry.position == (5, 1)


def test_pauses_double_to_a_cap_and_are_cut_at_random():
    longest, shortest = pauses(lambda: 1.0), pauses(lambda: 0.0)
    assert [next(longest) for _ in range(8)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])
    assert next(shortest) == pytest.approx(0.05)
