"""The user's AggregationEngine, and that it runs on the pipeline's own functions."""

import inspect
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import COBY.aggregate
import COBY.aggregation
import COBY.merging
import COBY.metrics
from COBY.aggregate import AggregateTask
from COBY.aggregation import Aggregator
from COBY.book import Book
from COBY.codec import encode
from COBY.config import Config
from COBY.exchanges.base import Snapshot
from COBY.interfaces import AggregationEngine
from COBY.models import (
    ConsolidatedOrderBook,
    HeatmapData,
    HeatmapPoint,
    ImbalanceMetrics,
    OrderBookSnapshot,
    PriceBuckets,
    PriceLevel,
)
from COBY.side import Side
from COBY.stage import StoredRecord
from COBY.ticks import book_tick
from COBY.utils.exceptions import AggregationError, ConfigurationError, ValidationError

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)
CONFIG = Config(exchanges=("a", "b"), heatmap_depth=3)


@pytest.fixture
def engine():
    return Aggregator(CONFIG)


def book(bids, asks, exchange="a", at=AT, symbol="BTCUSDT"):
    sides = [tuple(PriceLevel(*level) for level in side) for side in (bids, asks)]
    return OrderBookSnapshot(symbol, exchange, at, *sides)


BOOK = book([(99, 1), (95, 3), (75, 7)], [(101, 2), (129.99, 4)])


def test_it_is_the_interface_with_further_parameters_keyword_only():
    assert issubclass(Aggregator, AggregationEngine)
    for name in (
        "create_price_buckets",
        "update_heatmap",
        "calculate_imbalances",
        "aggregate_across_exchanges",
    ):
        promised = list(inspect.signature(getattr(AggregationEngine, name)).parameters)
        ours = inspect.signature(getattr(Aggregator, name)).parameters
        assert list(ours)[: len(promised)] == promised
        assert all(one.kind is one.KEYWORD_ONLY for one in list(ours.values())[len(promised) :])


# --- create_price_buckets -----------------------------------------------------------------------------------


def test_buckets_are_the_floor_of_the_price_on_both_sides(engine):
    assert engine.create_price_buckets(BOOK, 10.0) == PriceBuckets(
        "BTCUSDT", AT, 10.0, {70.0: 7.0, 90.0: 4.0}, {100.0: 2.0, 120.0: 4.0}
    )


def test_a_price_on_the_border_belongs_to_the_bucket_above(engine):
    found = engine.create_price_buckets(book([(100, 1), (99.99, 2)], [(110, 4), (119.99, 8)]), 10)
    assert (found.bid_buckets, found.ask_buckets) == ({90.0: 2.0, 100.0: 1.0}, {110.0: 12.0})


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.integers(1, 10**6), st.integers(1, 10**6)),
    st.sampled_from([0.01, 0.25, 1.0, 10.0, 333.33]),
)
def test_buckets_add_up_to_the_book(levels, size):
    bids = [(price / 100, amount / 1000) for price, amount in levels.items()]
    found = Aggregator(CONFIG).create_price_buckets(book(bids, []), size)
    assert sum(found.bid_buckets.values()) == pytest.approx(sum(levels.values()) / 1000)
    cents = round(size * 100)
    assert {round(price * 100) for price in found.bid_buckets} == {price // cents * cents for price in levels}


@pytest.mark.parametrize("size", [0, -1, 0.005, 0.001, 10.001, float("nan"), float("inf"), 1e13, 1e-9])
def test_a_bucket_size_that_is_no_positive_multiple_of_a_cent_is_refused(engine, size):
    with pytest.raises(ConfigurationError, match=r"config\.invalid.*multiple of 0\.01"):
        engine.create_price_buckets(BOOK, size)


def test_a_book_of_impossible_numbers_is_refused_and_forgotten(engine):
    with pytest.raises(ValidationError, match=r"value\.price"):
        engine.create_price_buckets(book([(1e12, 1)], []), 10.0)
    with pytest.raises(AggregationError, match=r"aggregate\.no_book"):
        engine.aggregate_across_exchanges("BTCUSDT")


# --- update_heatmap -----------------------------------------------------------------------------------------


def test_a_heatmap_of_one_books_buckets_by_hand(engine):
    """Three buckets a side: 90, 80, 70 and 100, 110, 120; the largest volume is 7."""
    found = engine.update_heatmap("BTCUSDT", engine.create_price_buckets(BOOK, 10.0))
    assert isinstance(found, HeatmapData)
    assert [(point.price, point.volume, point.side, point.exchange_count) for point in found.data] == [
        (90.0, 4.0, "bid", 1),
        (70.0, 7.0, "bid", 1),
        (100.0, 2.0, "ask", 1),
        (120.0, 4.0, "ask", 1),
    ]
    assert [point.intensity for point in found.data] == pytest.approx([4 / 7, 1, 2 / 7, 4 / 7], abs=1e-8)
    assert (found.symbol, found.timestamp, found.bucket_size) == ("BTCUSDT", AT, 10.0)
    assert (found.low, found.high) == (70.0, 130.0)


def test_a_heatmap_over_exchanges_told_by_name(engine):
    first = engine.update_heatmap("BTCUSDT", engine.create_price_buckets(BOOK, 10.0), exchange="a")
    assert (first.exchanges, first.missing) == (("a",), {"b": "no_tick"})
    other = engine.create_price_buckets(book([(109, 1), (91, 2)], [(111, 1)], "b", LATER), 10.0)
    both = engine.update_heatmap("BTCUSDT", other, exchange="b")
    assert (both.exchanges, both.missing, both.timestamp) == (("a", "b"), {}, LATER)
    assert both.data[:2] == (
        HeatmapPoint(100.0, 1.0, 0.16666667, "bid", 1),
        HeatmapPoint(90.0, 6.0, 1.0, "bid", 2),
    )


def test_buckets_of_another_size_are_not_added_up(engine):
    engine.update_heatmap("BTCUSDT", engine.create_price_buckets(BOOK, 10.0), exchange="a")
    found = engine.update_heatmap("BTCUSDT", engine.create_price_buckets(BOOK, 5.0), exchange="b")
    assert (found.exchanges, found.missing) == (("b",), {"a": "no_tick"})


def test_an_empty_book_is_an_empty_heatmap(engine):
    found = engine.update_heatmap(
        "BTCUSDT", PriceBuckets("BTCUSDT", AT, 10.0, {}, {100.0: 0.0, 110.0: 1e-12})
    )
    assert (found.data, found.low, found.high) == ((), None, None)


def test_a_bucket_that_begins_at_zero_is_one(engine):
    found = engine.update_heatmap("BTCUSDT", engine.create_price_buckets(book([(5, 1)], [(6, 2)]), 10.0))
    assert [(point.price, point.side) for point in found.data] == [(0.0, "bid"), (0.0, "ask")]


@pytest.mark.parametrize(
    ("symbol", "buckets", "code"),
    [
        ("ETHUSDT", {}, "aggregate.symbol"),
        ("BTCUSDT", {105.0: 1.0}, "aggregate.buckets"),
        ("BTCUSDT", {-10.0: 1.0}, "aggregate.buckets"),
        ("BTCUSDT", {100.0: -1.0}, "aggregate.buckets"),
        ("BTCUSDT", {100.0: float("nan")}, "aggregate.buckets"),
    ],
)
def test_buckets_that_can_not_be_are_an_error_with_a_code(engine, symbol, buckets, code):
    with pytest.raises(AggregationError) as error:
        engine.update_heatmap(symbol, PriceBuckets("BTCUSDT", AT, 10.0, buckets, {}))
    assert error.value.code == code


# --- calculate_imbalances -----------------------------------------------------------------------------------


def test_imbalances_by_hand(engine):
    """Top (1-2)/3; all levels (11-6)/17; buckets 90, 80, 70 hold 11 and 100, 110, 120 hold 6."""
    found = engine.calculate_imbalances(BOOK)
    assert isinstance(found, ImbalanceMetrics)
    assert [found.top, found.depth5, found.depth20, found.bucketed] == pytest.approx(
        [-1 / 3, 5 / 17, 5 / 17, 5 / 17], abs=1e-8
    )
    deep = book([(100 - n, 1) for n in range(30)], [(101 + n, 3) for n in range(30)])
    found = engine.calculate_imbalances(deep)
    assert [found.top, found.depth5, found.depth20] == [-0.5, -0.5, -0.5]


def test_imbalances_of_nothing_are_none(engine):
    assert engine.calculate_imbalances(book([], [])) == ImbalanceMetrics(None, None, None, None)
    assert engine.calculate_imbalances(book([(1, 1)], [])).top == 1.0


def test_imbalances_use_the_symbols_own_bucket_size():
    engine = Aggregator(Config(heatmap_depth=1, eth_bucket_size=1.0, btc_bucket_size=10.0))
    levels = [(99.9, 1), (98.5, 1)], [(100.1, 1), (109, 5)]
    assert engine.calculate_imbalances(book(*levels)).bucketed == pytest.approx(-4 / 8)
    assert engine.calculate_imbalances(book(*levels, symbol="ETHUSDT")).bucketed == 0.0


# --- aggregate_across_exchanges -----------------------------------------------------------------------------


def test_the_newest_books_of_all_exchanges_are_one(engine):
    engine.create_price_buckets(book([(1, 1)], [], "a"), 10.0)
    engine.create_price_buckets(BOOK, 10.0)
    engine.create_price_buckets(book([(99, 5)], [(100.5, 1)], "b", LATER), 10.0)
    assert engine.aggregate_across_exchanges("BTCUSDT") == ConsolidatedOrderBook(
        "BTCUSDT",
        LATER,
        (PriceLevel(99.0, 6.0), PriceLevel(95.0, 3.0), PriceLevel(75.0, 7.0)),
        (PriceLevel(100.5, 1.0), PriceLevel(101.0, 2.0), PriceLevel(129.99, 4.0)),
        ("a", "b"),
        {},
    )


def test_an_exchange_not_seen_is_missing(engine):
    engine.create_price_buckets(BOOK, 10.0)
    assert engine.aggregate_across_exchanges("BTCUSDT").missing == {"b": "no_tick"}


def test_no_book_at_all_is_an_error(engine):
    with pytest.raises(AggregationError, match=r"aggregate\.no_book"):
        engine.aggregate_across_exchanges("BTCUSDT")


# --- the same inner functions -------------------------------------------------------------------------------


class BrokenError(Exception):
    pass


def broken(*args, **kwargs):
    raise BrokenError


def tick():
    one = Book(CONFIG.bucket_size_units("BTCUSDT"))
    one.snapshot(Snapshot("BTCUSDT", [("99", "1")], [("101", "2")], 1, None))
    one.flush()
    return book_tick("BTCUSDT", "a", 500_000, 3, CONFIG.bucket_size_units("BTCUSDT"), one, "c1", [])


def pipeline(made=None):
    """A book into a tick, a tick into a heatmap and a consolidated book."""
    record = StoredRecord(0, 0, b"BTCUSDT", encode(made or tick()), [])
    return AggregateTask(Config(exchanges=("a",), heatmap_depth=3), 0).process([record])


def buckets(engine):
    return engine.create_price_buckets(BOOK, 10.0)


def warm(engine):
    return engine.update_heatmap("BTCUSDT", PriceBuckets("BTCUSDT", AT, 10.0, {90.0: 1.0}, {100.0: 2.0}))


def shown(engine):
    engine.create_price_buckets(BOOK, 10.0)
    return engine.aggregate_across_exchanges("BTCUSDT")


def uneven(engine):
    return engine.calculate_imbalances(BOOK)


INNER = {
    "buckets": ([(Side, "flush")], buckets),
    "heatmap": ([(COBY.aggregation, "heatmap"), (COBY.aggregate, "heatmap")], warm),
    "cells": ([(COBY.merging, "_cell")], warm),
    "top buckets": ([(Side, "top_buckets")], uneven),
    "imbalances": ([(COBY.aggregation, "imbalances"), (COBY.merging, "imbalances")], uneven),
    "imbalance": ([(COBY.merging, "imbalance")], uneven),
    "consolidated": ([(COBY.aggregation, "consolidated"), (COBY.aggregate, "consolidated")], shown),
    "merge": ([(COBY.merging, "merge")], shown),
}


@pytest.mark.parametrize("name", INNER)
def test_a_broken_inner_function_breaks_the_named_method_and_the_pipeline(monkeypatch, name):
    places, named = INNER[name]
    assert named(Aggregator(CONFIG)) is not None
    assert len(pipeline()) == 2
    for owner, function in places:
        monkeypatch.setattr(owner, function, broken)
    with pytest.raises(BrokenError):
        named(Aggregator(CONFIG))
    with pytest.raises(BrokenError):
        pipeline()
