"""From books to buckets, heatmaps and the book over all exchanges."""

from abc import ABC, abstractmethod

from COBY.models import ConsolidatedOrderBook, HeatmapData, ImbalanceMetrics, OrderBookSnapshot, PriceBuckets


class AggregationEngine(ABC):
    """Aggregates books, one at a time, by the same inner functions as the pipeline."""

    @abstractmethod
    def create_price_buckets(self, orderbook: OrderBookSnapshot, bucket_size: float) -> PriceBuckets:
        """Volume by floor(price / bucket_size) * bucket_size, each side by itself.

        `bucket_size` is in the quote currency, a positive multiple of 0.01; else `config.invalid`. The
        buckets add up to the book.
        """

    @abstractmethod
    def update_heatmap(self, symbol: str, buckets: PriceBuckets) -> HeatmapData:
        """The heatmap of `symbol` after these buckets: HEATMAP_DEPTH buckets a side, intensity 0..1."""

    @abstractmethod
    def calculate_imbalances(self, orderbook: OrderBookSnapshot) -> ImbalanceMetrics:
        """(bids - asks) / (bids + asks) of the best level, 5 and 20 levels, and the buckets; each -1..1."""

    @abstractmethod
    def aggregate_across_exchanges(self, symbol: str) -> ConsolidatedOrderBook:
        """The newest books of `symbol` added up, in order of exchange name; `missing`: which lack, why."""
