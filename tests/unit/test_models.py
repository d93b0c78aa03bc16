"""The public models: positional use, what follows from the fields, and what is refused."""

import dataclasses
import math
import pickle
from datetime import UTC, datetime, timedelta, timezone

import pytest

import COBY.models as models
from COBY.models import (
    ConnectionStatus,
    ConsolidatedOrderBook,
    HeatmapData,
    HeatmapPoint,
    ImbalanceMetrics,
    OrderBookMetrics,
    OrderBookSnapshot,
    PriceBuckets,
    PriceLevel,
    ReplaySession,
    ReplayStatus,
    TradeEvent,
)
from COBY.utils.exceptions import ValidationError

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

# Copied by hand from DESIGN.md, "Models": names and order of what is positional.
PROMISED = {
    "OrderBookSnapshot": "symbol exchange timestamp bids asks sequence_id",
    "PriceLevel": "price size count",
    "TradeEvent": "symbol exchange timestamp price size side trade_id",
    "PriceBuckets": "symbol timestamp bucket_size bid_buckets ask_buckets",
    "HeatmapData": "symbol timestamp bucket_size data",
    "HeatmapPoint": "price volume intensity side",
    "OrderBookMetrics": "mid_price spread bid_volume ask_volume imbalance quality",
    "ImbalanceMetrics": "top depth5 depth20 bucketed",
    "ConsolidatedOrderBook": "symbol timestamp bids asks exchanges missing",
    "ConnectionStatus": "exchange state since last_message_at reconnects breaker error",
    "ReplayStatus": "id state position speed records error",
}


def book(bids: list[PriceLevel], asks: list[PriceLevel]) -> OrderBookSnapshot:
    return OrderBookSnapshot("BTCUSDT", "binance", NOW, bids, asks)


@pytest.mark.parametrize("name", PROMISED)
def test_the_promised_fields_come_first_and_in_order(name):
    fields = dataclasses.fields(getattr(models, name))
    promised = PROMISED[name].split()
    assert [field.name for field in fields][: len(promised)] == promised
    missing = dataclasses.MISSING
    rest = fields[len(promised) :]
    assert all(field.default is not missing or field.default_factory is not missing for field in rest)


def test_every_model_is_frozen_and_has_no_room_for_more():
    for name in [*PROMISED, "ReplaySession"]:
        kind = getattr(models, name)
        assert kind.__dataclass_params__.frozen, name
        assert "__dict__" not in dir(kind), name


def test_a_book_knows_mid_price_spread_and_volumes():
    snapshot = book(
        [PriceLevel(100.0, 1.5), PriceLevel(99.0, 0.25, 3)], [PriceLevel(101.0, 2.0), PriceLevel(103.0, 0.5)]
    )
    assert snapshot.mid_price == 100.5
    assert snapshot.spread == 1.0
    assert snapshot.bid_volume == 1.75
    assert snapshot.ask_volume == 2.5
    assert snapshot.sequence_id is None
    assert isinstance(snapshot.bids, tuple)


def test_an_unsorted_book_still_finds_its_best_prices():
    snapshot = book([PriceLevel(99.0, 1), PriceLevel(100.0, 1)], [PriceLevel(103.0, 1), PriceLevel(102.0, 1)])
    assert (snapshot.mid_price, snapshot.spread) == (101.0, 2.0)


def test_a_crossed_book_has_a_negative_spread():
    assert book([PriceLevel(101.0, 1)], [PriceLevel(100.0, 1)]).spread == -1.0


@pytest.mark.parametrize("empty", ["bids", "asks"])
def test_a_book_with_an_empty_side_has_no_middle(empty):
    level = [PriceLevel(100.0, 2.0)]
    snapshot = book([] if empty == "bids" else level, [] if empty == "asks" else level)
    assert snapshot.mid_price is None
    assert snapshot.spread is None
    volumes = {"bids": snapshot.bid_volume, "asks": snapshot.ask_volume}
    assert volumes.pop(empty) is None
    assert list(volumes.values()) == [2.0]


def test_volumes_do_not_lose_small_sizes():
    sizes = [1e16, 1.0, -0.0, 1.0]  # naive addition gives 1e16
    assert book([PriceLevel(100.0 - i, size) for i, size in enumerate(sizes)], []).bid_volume == 1e16 + 2


def test_the_consolidated_book_has_the_same_properties():
    consolidated = ConsolidatedOrderBook(
        "BTCUSDT", NOW, [PriceLevel(10.0, 1)], [PriceLevel(12.0, 3)], ["a"], {"b": "stale"}
    )
    assert (consolidated.mid_price, consolidated.spread) == (11.0, 2.0)
    assert (consolidated.bid_volume, consolidated.ask_volume) == (1, 3)
    assert consolidated.exchanges == ("a",)


def test_times_are_kept_in_utc():
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    trade = TradeEvent("BTCUSDT", "binance", elsewhere, 1.0, 2.0, "buy", "7")
    assert trade.timestamp == NOW
    assert trade.timestamp.tzinfo is UTC


def test_a_heatmap_lists_its_exchanges_and_what_it_covers():
    point = HeatmapPoint(100.0, 2.5, 1.0, "bid")
    heatmap = HeatmapData("BTCUSDT", NOW, 10.0, [point], ["binance"], {"kraken": "stale"}, 90.0, 120.0)
    assert heatmap.data == (point,)
    assert (heatmap.exchanges, heatmap.missing) == (("binance",), {"kraken": "stale"})
    assert (heatmap.low, heatmap.high) == (90.0, 120.0)
    assert HeatmapData("BTCUSDT", NOW, 10.0, []).low is None


def test_models_can_be_pickled_and_compared():
    snapshot = book([PriceLevel(1.0, 1.0)], [])
    assert pickle.loads(pickle.dumps(snapshot)) == snapshot


NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 - a naive time is the point
REFUSED = {
    "PriceLevel.price": [lambda bad=bad: PriceLevel(bad, 1.0) for bad in (0.0, -1.0, math.nan, math.inf)],
    "PriceLevel.size": [lambda bad=bad: PriceLevel(1.0, bad) for bad in (-1e-9, math.nan, math.inf)],
    "OrderBookSnapshot.timestamp": [
        lambda: OrderBookSnapshot("BTCUSDT", "a", NAIVE, [], []),
        lambda: OrderBookSnapshot("BTCUSDT", "a", "2026-01-01", [], []),
    ],
    "TradeEvent.timestamp": [lambda: TradeEvent("BTCUSDT", "a", NAIVE, 1.0, 1.0, "buy", "1")],
    "TradeEvent.price": [lambda: TradeEvent("BTCUSDT", "a", NOW, 0.0, 1.0, "buy", "1")],
    "TradeEvent.size": [lambda: TradeEvent("BTCUSDT", "a", NOW, 1.0, -1.0, "buy", "1")],
    "TradeEvent.side": [
        lambda bad=bad: TradeEvent("BTCUSDT", "a", NOW, 1.0, 1.0, bad, "1") for bad in ("bid", "BUY")
    ],
    "PriceBuckets.bucket_size": [lambda: PriceBuckets("BTCUSDT", NOW, 0.0, {}, {})],
    "HeatmapPoint.volume": [lambda: HeatmapPoint(1.0, -1.0, 0.5, "bid")],
    "HeatmapPoint.intensity": [
        lambda bad=bad: HeatmapPoint(1.0, 1.0, bad, "bid") for bad in (-0.1, 1.1, math.nan)
    ],
    "HeatmapPoint.side": [lambda: HeatmapPoint(1.0, 1.0, 1.0, "buy")],
    "HeatmapData.bucket_size": [lambda: HeatmapData("BTCUSDT", NOW, math.nan, [])],
    "OrderBookMetrics.imbalance": [lambda: OrderBookMetrics(1, 1, 1, 1, 1.5, 1)],
    "OrderBookMetrics.quality": [lambda: OrderBookMetrics(1, 1, 1, 1, 0, 1.5)],
    "ImbalanceMetrics.depth20": [lambda: ImbalanceMetrics(0, 1, -1.01, None)],
    "ConnectionStatus.reconnects": [
        lambda: ConnectionStatus("a", "connected", NOW, None, -1, "closed", None)
    ],
    "ConnectionStatus.last_message_at": [lambda: ConnectionStatus("a", "up", NOW, NAIVE, 0, "closed", None)],
    "ReplaySession.end_time": [lambda: ReplaySession("1", NOW, NOW, 1.0)],
    "ReplaySession.speed": [
        lambda bad=bad: ReplaySession("1", NOW, NOW + timedelta(1), bad)
        for bad in (-1.0, 0.05, 1001.0, math.nan, math.inf)
    ],
    "ReplayStatus.state": [lambda: ReplayStatus("1", "dancing", None, 1.0, 0, None)],
}


@pytest.mark.parametrize("where", REFUSED)
def test_an_impossible_value_is_refused_with_the_field(where):
    for build in REFUSED[where]:
        with pytest.raises(ValidationError) as caught:
            build()
        assert (caught.value.code, caught.value.where) == ("model.invalid", where)
        assert caught.value.allowed


def test_what_is_at_the_edge_is_taken():
    PriceLevel(1e-8, 0.0)
    HeatmapPoint(0.0, 0.0, 0.0, "ask")
    OrderBookMetrics(None, None, None, None, None, 0.0)
    ImbalanceMetrics(-1, 1, None, 0)
    ConnectionStatus("a", "connected", NOW, NOW, 0, "closed", None, "a-0", NOW)
    ReplaySession("1", NOW, NOW + timedelta(1), 0)
    ReplayStatus("1", "paused", NOW, 1.0, 0, None)
