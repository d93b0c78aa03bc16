"""From one exchange's frames to models."""

from abc import ABC, abstractmethod
from typing import Any

from COBY.models import OrderBookMetrics, OrderBookSnapshot, TradeEvent


class DataProcessor(ABC):
    """Normalizes decoded frames, one at a time, by the same inner functions as the pipeline.

    `raw_data` is the decoded JSON object of one frame. What can't be used raises a ProcessingError with the
    code that the pipeline writes to the dead letters.
    """

    @abstractmethod
    def normalize_orderbook(self, raw_data: dict[str, Any], exchange: str) -> OrderBookSnapshot:
        """The whole book after this frame: a snapshot replaces it, a delta changes it.

        Prices in the quote, sizes in the base currency. Raises ProcessingError if the frame breaks the
        exchange's sequence or checksum, or is no book frame; `config.unknown_exchange` for another exchange.
        """

    @abstractmethod
    def normalize_trade(self, raw_data: dict[str, Any], exchange: str) -> TradeEvent:
        """The trade of this frame, `side` the taker's; several in one frame raise `multiple_events`."""

    @abstractmethod
    def validate_data(self, data: OrderBookSnapshot | TradeEvent) -> bool:
        """Whether the pipeline would take it: ranges, times, order and crossing of a book."""

    @abstractmethod
    def calculate_metrics(self, orderbook: OrderBookSnapshot) -> OrderBookMetrics:
        """Mid price, spread, volumes, imbalance (-1..1) and quality (0..1) of one book."""
