"""Rows turned into records again: by hand, and against the record whose row the sink made."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from COBY.book import Book
from COBY.exchanges.base import Snapshot
from COBY.records import NAMES, Candle, Cell, Continuity, Gap, Heatmap, Included, Missing, Quality, TradeEvent
from COBY.ticks import book_tick
from replay.queries import TABLES
from replay.revived import LACKING, Shape, record_of
from sinks.rows import rows_of

ONE = 10**8
TEN = 10 * ONE
T = 1_700_000_000_000_000
AT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def shape(_symbol):
    return Shape(TEN, 5)


def book_row(bids, asks, **more):
    levels = {
        "bids": [[price, "1.50000000"] for price in bids],
        "asks": [[price, "2.00000000"] for price in asks],
    }
    figures = dict.fromkeys(("mid_price", "spread", "bid_volume", "ask_volume"), Decimal("3.25"))
    row = {"symbol": "BTCUSDT", "exchange": "x", "timestamp": AT, "sequence_id": 7}
    return row | levels | figures | more


def revive(record):
    """The record of the rows that the sink makes of it, as psycopg gives them."""
    rows = [
        dict(zip(row.table.columns, row.values, strict=True)) for row in rows_of(record, "5:1", 1_000_000)
    ]
    row, cells = rows[0], rows[1:]
    for column in ("bids", "asks", "exchanges", "missing"):
        if column in row:
            row[column] = json.loads(row[column])
    columns = {"sides": "side", "prices": "price_bucket", "volumes": "volume", "counts": "exchange_count"}
    row |= {name: [cell[column] for cell in cells] or None for name, column in columns.items()}
    return record_of(NAMES[type(record)], row, shape)


# --- books --------------------------------------------------------------------------------------------------------


def test_a_book_knows_the_range_of_its_stored_levels_and_no_more():
    """Buckets of 10: of 95 … 112 bids [100, 110) is whole, [90, 100) is not; asks 113 … 139.99999999 fill to 140."""
    row = book_row(["112.00000000", "105.00000000", "95.00000000"], ["113.00000000", "139.99999999"])
    tick = record_of("book", row, shape)
    assert [(level.price, level.size) for level in tick.bids] == [
        (112 * ONE, 3 * ONE // 2), (105 * ONE, 3 * ONE // 2), (95 * ONE, 3 * ONE // 2)
    ]  # fmt: skip
    assert (tick.covered_low, tick.covered_high) == (95 * ONE, 140 * ONE - 1)
    assert [(one.price, one.volume) for one in tick.bid_buckets] == [
        (110 * ONE, 3 * ONE // 2), (100 * ONE, 3 * ONE // 2)
    ]  # fmt: skip
    assert [(one.price, one.volume) for one in tick.ask_buckets] == [
        (110 * ONE, 2 * ONE),
        (130 * ONE, 2 * ONE),
    ]
    assert (tick.mid_price, tick.spread, tick.bid_volume, tick.ask_volume) == (3 * ONE + ONE // 4,) * 4
    assert (tick.live, tick.reason, tick.conn, tick.bars, tick.sequence_id) == (True, None, None, [], 7)
    assert (tick.timestamp, tick.bucket_size) == (T, TEN)


def test_all_levels_in_one_bucket_are_no_whole_bucket():
    tick = record_of("book", book_row(["108.00000000", "101.00000000"], ["109.00000000"]), shape)
    assert (tick.bid_buckets, tick.ask_buckets) == ([], [])
    assert (tick.covered_low, tick.covered_high) == (101 * ONE, 109 * ONE)


@pytest.mark.parametrize(
    ("bids", "asks", "covered"),
    [
        ([], ["101.00000000", "150.00000000"], (101 * ONE, 150 * ONE)),
        (["99.00000000", "50.00000000"], [], (50 * ONE, 99 * ONE)),
        ([], [], (0, 0)),
    ],
)
def test_an_empty_side_is_not_said_to_be_empty_everywhere(bids, asks, covered):
    """None would say that all prices are known."""
    tick = record_of("book", book_row(bids, asks, mid_price=None, spread=None), shape)
    assert (tick.covered_low, tick.covered_high) == covered
    assert (tick.mid_price, tick.spread) == (None, None)
    assert len(tick.bids) + len(tick.asks) == len(bids) + len(asks)


LEVELS = st.dictionaries(st.integers(1, 4_000), st.integers(1, 10**12), max_size=120)


def texts(levels, base, sign):
    """Levels (steps from the base -> size) as an exchange has them, best first."""
    return [
        (f"{Decimal(base + sign * step) / 100:.8f}", f"{Decimal(size).scaleb(-8):.8f}")
        for step, size in sorted(levels.items())
    ]


@settings(max_examples=150, deadline=None)
@given(LEVELS, LEVELS, st.booleans(), st.booleans(), st.integers(1, 60), st.sampled_from([1, 50, 250]))
def test_a_book_is_the_live_one_as_far_as_its_stored_levels_go(
    bids, asks, cut_bids, cut_asks, depth, hundredths
):
    """Levels and figures are equal; its buckets are live's, all of those inside the range that it knows."""
    size = hundredths * ONE // 100
    book = Book(size)
    book.snapshot(
        Snapshot("BTCUSDT", texts(bids, 5_000, -1), texts(asks, 5_000, 1), 3, None, cut_bids, cut_asks)
    )
    live = book_tick("BTCUSDT", "x", T, depth, size, book, "c1", [])
    (stored,) = rows_of(live, "5:1", 1_000_000)
    row = dict(zip(stored.table.columns, stored.values, strict=True))
    row |= {side: json.loads(row[side]) for side in ("bids", "asks")}
    found = record_of("book", row, lambda _: Shape(size, depth))
    for name in (
        "symbol",
        "exchange",
        "timestamp",
        "live",
        "reason",
        "sequence_id",
        "bids",
        "asks",
        "bucket_size",
    ):
        assert getattr(found, name) == getattr(live, name)
    for name in ("mid_price", "spread", "bid_volume", "ask_volume", "imbalance", "quality"):
        assert getattr(found, name) == getattr(live, name)
    low, high = found.covered_low, found.covered_high
    if live.bids or live.asks:
        assert low >= (live.covered_low or 0)
        assert high <= (live.covered_high or high)
    for side in ("bid_buckets", "ask_buckets"):
        # What the best bucket holds beyond the best price is known, too: it is nothing.
        found_buckets, live_buckets = getattr(found, side), getattr(live, side)
        if side == "bid_buckets":
            assert found_buckets == [one for one in live_buckets if one.price >= low]
        else:
            assert found_buckets == [one for one in live_buckets if one.price + size - 1 <= high]


# --- the others -----------------------------------------------------------------------------------------------------


def test_a_heatmap_by_hand():
    """Intensity: 2 / 4 and 1 / 3 of the largest, half-even. Order: bids from the best downwards, asks upwards."""
    row = {
        "symbol": "BTCUSDT", "timestamp": AT, "bucket_size": Decimal("10.00"),
        "covered_low": Decimal(90), "covered_high": None,
        "exchanges": [{"exchange": "a", "covered_low": "90.00000000", "covered_high": None}],
        "missing": {"zz": "stale", "b": "crossed"},
        "sides": ["ask", "ask", "bid", "bid"],
        "prices": [Decimal(120), Decimal(110), Decimal(90), Decimal(100)],
        "volumes": [Decimal(3), Decimal("1.5"), Decimal(1), Decimal("0.00000001")],
        "counts": [1, 2, 3, 4],
    }  # fmt: skip
    assert record_of("heatmap", row, shape) == Heatmap(
        "BTCUSDT", T, TEN,
        [
            Cell(100 * ONE, 1, 0, "bid", 4), Cell(90 * ONE, ONE, 33_333_333, "bid", 3),
            Cell(110 * ONE, 3 * ONE // 2, 50_000_000, "ask", 2), Cell(120 * ONE, 3 * ONE, ONE, "ask", 1),
        ],
        90 * ONE, None, [Included("a", 90 * ONE, None)], [Missing("b", "crossed"), Missing("zz", "stale")],
    )  # fmt: skip


HUGE = 10**30 - 1
"""22 digits and 8 decimals: more than a default Decimal context keeps."""


@pytest.mark.parametrize(
    "record",
    [
        TradeEvent("BTCUSDT", "x", T - 5, T, 6_183_763_000_001, HUGE, "sell", "a-1"),
        Heatmap("BTCUSDT", T, TEN, [], None, None, [], [Missing("x", "stale")]),
        Heatmap("BTCUSDT", T, TEN, [Cell(ONE, HUGE, ONE, "bid", 1)], 1, 2, [Included("x", None, 7)], []),
        Candle("BTCUSDT", T, "5m", 1, HUGE // 10**11, 1, 2, HUGE, 9, 3, True, T + 7),
        Gap("BTCUSDT", "x", T, T - 9, None, "stale", None, "seen"),
        Gap("BTCUSDT", "x", T, T - 9, T - 1, "stale", "c1", ""),
        Quality("BTCUSDT", "x", T, ONE, 1, 2, *range(3, 15)),
        Continuity("BTCUSDT", "x", T, T - 9, T - 1, "both", 1, 2, 3, "c", 4, None),
    ],
)
def test_what_the_sink_has_stored_comes_back_as_it_was(record):
    assert revive(record) == record


def test_every_table_says_what_it_does_not_hold():
    assert LACKING.keys() == TABLES.keys()
    assert timedelta(days=1) == TABLES["trade"].ahead
