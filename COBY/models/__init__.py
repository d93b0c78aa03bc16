"""The public models."""

from COBY.models.core import (
    BOOK_SIDES,
    TRADE_SIDES,
    ConsolidatedOrderBook,
    HeatmapData,
    HeatmapPoint,
    ImbalanceMetrics,
    OrderBookMetrics,
    OrderBookSnapshot,
    PriceBuckets,
    PriceLevel,
    TradeEvent,
)
from COBY.models.sessions import REPLAY_STATES, ConnectionStatus, ReplaySession, ReplayStatus

__all__ = [
    "BOOK_SIDES",
    "REPLAY_STATES",
    "TRADE_SIDES",
    "ConnectionStatus",
    "ConsolidatedOrderBook",
    "HeatmapData",
    "HeatmapPoint",
    "ImbalanceMetrics",
    "OrderBookMetrics",
    "OrderBookSnapshot",
    "PriceBuckets",
    "PriceLevel",
    "ReplaySession",
    "ReplayStatus",
    "TradeEvent",
]
