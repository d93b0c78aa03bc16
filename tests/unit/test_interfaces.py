"""The five interfaces: exactly the user's methods, parameters and kinds of call."""

import inspect
import typing
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

import COBY.interfaces as interfaces
from COBY.models import (
    ConnectionStatus,
    ConsolidatedOrderBook,
    HeatmapData,
    ImbalanceMetrics,
    OrderBookMetrics,
    OrderBookSnapshot,
    PriceBuckets,
    ReplayStatus,
    TradeEvent,
)

BOOK, TRADE, NONE = OrderBookSnapshot, TradeEvent, type(None)

# Copied by hand from DESIGN.md: method -> (async?, parameters, what it returns).
PROMISED: dict[str, dict[str, tuple[bool, dict[str, object], object]]] = {
    "ExchangeConnector": {
        "connect": (True, {}, bool),
        "disconnect": (True, {}, NONE),
        "subscribe_orderbook": (True, {"symbol": str}, NONE),
        "subscribe_trades": (True, {"symbol": str}, NONE),
        "get_connection_status": (False, {}, ConnectionStatus),
        "add_data_callback": (False, {"callback": Callable[..., Any]}, NONE),
    },
    "DataProcessor": {
        "normalize_orderbook": (False, {"raw_data": dict[str, Any], "exchange": str}, BOOK),
        "normalize_trade": (False, {"raw_data": dict[str, Any], "exchange": str}, TRADE),
        "validate_data": (False, {"data": BOOK | TRADE}, bool),
        "calculate_metrics": (False, {"orderbook": BOOK}, OrderBookMetrics),
    },
    "AggregationEngine": {
        "create_price_buckets": (False, {"orderbook": BOOK, "bucket_size": float}, PriceBuckets),
        "update_heatmap": (False, {"symbol": str, "buckets": PriceBuckets}, HeatmapData),
        "calculate_imbalances": (False, {"orderbook": BOOK}, ImbalanceMetrics),
        "aggregate_across_exchanges": (False, {"symbol": str}, ConsolidatedOrderBook),
    },
    "StorageManager": {
        "store_orderbook": (True, {"data": BOOK}, bool),
        "store_trade": (True, {"data": TRADE}, bool),
        "get_historical_data": (
            True,
            {"symbol": str, "start": datetime, "end": datetime},
            list[dict[str, Any]],
        ),
        "get_latest_data": (True, {"symbol": str}, dict[str, Any]),
        "setup_database_schema": (False, {}, NONE),
    },
    "ReplayManager": {
        "create_replay_session": (
            False,
            {"start_time": datetime, "end_time": datetime, "speed": float},
            str,
        ),
        "start_replay": (True, {"session_id": str}, NONE),
        "pause_replay": (True, {"session_id": str}, NONE),
        "stop_replay": (True, {"session_id": str}, NONE),
        "get_replay_status": (False, {"session_id": str}, ReplayStatus),
        "resume": (True, {"session_id": str}, NONE),
        "seek": (True, {"session_id": str, "position": datetime}, NONE),
        "set_speed": (True, {"session_id": str, "speed": float}, NONE),
    },
}


@pytest.mark.parametrize("name", PROMISED)
def test_an_interface_has_exactly_the_promised_methods(name):
    assert getattr(interfaces, name).__abstractmethods__ == set(PROMISED[name])


@pytest.mark.parametrize(
    ("name", "method"), [(name, method) for name in PROMISED for method in PROMISED[name]]
)
def test_a_method_has_exactly_the_promised_signature(name, method):
    is_async, parameters, returned = PROMISED[name][method]
    function = getattr(getattr(interfaces, name), method)
    hints = typing.get_type_hints(function)
    assert inspect.iscoroutinefunction(function) is is_async
    assert list(inspect.signature(function).parameters) == ["self", *parameters]
    assert hints == {**parameters, "return": returned}


@pytest.mark.parametrize("name", PROMISED)
def test_an_interface_is_documented_and_can_not_be_made(name):
    interface = getattr(interfaces, name)
    assert inspect.getdoc(interface)
    assert all(inspect.getdoc(getattr(interface, method)) for method in PROMISED[name])
    with pytest.raises(TypeError, match="abstract"):
        interface()
