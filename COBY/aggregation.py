"""The user's AggregationEngine: one item at a time, by the functions that the aggregate stage calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from COBY.conversion import checked_texts, float_text
from COBY.interfaces import AggregationEngine
from COBY.merging import cells_imbalance, consolidated, heatmap, imbalances
from COBY.models import (
    ConsolidatedOrderBook,
    HeatmapData,
    HeatmapPoint,
    ImbalanceMetrics,
    OrderBookSnapshot,
    PriceBuckets,
    PriceLevel,
)
from COBY.records import UNITS, BookTick, Bucket, Level, MergedLevel
from COBY.side import Side
from COBY.text import PRICES, SIZES, NumberError
from COBY.ticks import unproven_tick
from COBY.utils.exceptions import AggregationError, ConfigurationError
from COBY.utils.intervals import from_us, to_us

if TYPE_CHECKING:  # settings are passed in: a pure file never reads them by itself
    from COBY.config import Config

UNNAMED = ""
"""The exchange of buckets whose origin is not told."""


class Aggregator(AggregationEngine):
    """Keeps the newest book of each exchange and symbol that it was shown."""

    def __init__(self, config: Config) -> None:
        """HEATMAP_DEPTH, EXCHANGES and bucket sizes come from the settings."""
        self._config = config
        self._books: dict[str, dict[str, OrderBookSnapshot]] = {}
        self._buckets: dict[str, dict[str, BookTick]] = {}

    def create_price_buckets(self, orderbook: OrderBookSnapshot, bucket_size: float) -> PriceBuckets:
        """All buckets of a book; the book is then known to ``aggregate_across_exchanges``."""
        size = _bucket_units(bucket_size)
        bids, asks = _side(orderbook.bids, 1, size), _side(orderbook.asks, -1, size)
        self._books.setdefault(orderbook.symbol, {})[orderbook.exchange] = orderbook
        volumes = [
            {at * size / UNITS: volume / UNITS for at, volume in sorted(side.buckets.items())}
            for side in (bids, asks)
        ]
        return PriceBuckets(orderbook.symbol, orderbook.timestamp, bucket_size, *volumes)

    def update_heatmap(self, symbol: str, buckets: PriceBuckets, *, exchange: str = UNNAMED) -> HeatmapData:
        """The heatmap over the newest buckets of each ``exchange`` told so far; of this one alone if none is told."""
        if buckets.symbol != symbol:
            raise AggregationError("aggregate.symbol", f"buckets of {buckets.symbol} for {symbol}")
        size = _bucket_units(buckets.bucket_size)
        own = _bucket_tick(exchange, buckets, size)
        newest = {} if exchange == UNNAMED else self._buckets.setdefault(symbol, {})
        newest[exchange] = own
        # Buckets of another size can't be added up with these: their exchange is missing until it brings new ones.
        ticks: dict[str, BookTick | None] = {
            name: one if one.bucket_size == size else None for name, one in newest.items()
        }
        if exchange != UNNAMED:
            ticks = dict.fromkeys(self._config.exchanges) | ticks
        frame = heatmap(symbol, to_us(buckets.timestamp), size, self._config.heatmap_depth, ticks)
        return HeatmapData(
            symbol,
            buckets.timestamp,
            buckets.bucket_size,
            tuple(
                HeatmapPoint(
                    cell.price / UNITS,
                    cell.volume / UNITS,
                    cell.intensity / UNITS,
                    cell.side,
                    cell.exchange_count,
                )
                for cell in frame.data
            ),
            tuple(one.exchange for one in frame.exchanges),
            {one.exchange: one.reason for one in frame.missing},
            None if frame.covered_low is None else frame.covered_low / UNITS,
            None if frame.covered_high is None else frame.covered_high / UNITS,
        )

    def calculate_imbalances(self, orderbook: OrderBookSnapshot) -> ImbalanceMetrics:
        """Of one book; ``bucketed`` over HEATMAP_DEPTH buckets a side of the symbol's configured size."""
        size = self._config.bucket_size_units(orderbook.symbol)
        tick = _tick(orderbook, size, self._config.heatmap_depth)
        frame = heatmap(
            orderbook.symbol, tick.timestamp, size, self._config.heatmap_depth, {orderbook.exchange: tick}
        )
        figures = (*imbalances(tick.bids, tick.asks), cells_imbalance(frame.data))
        return ImbalanceMetrics(*(None if figure is None else figure / UNITS for figure in figures))

    def aggregate_across_exchanges(self, symbol: str) -> ConsolidatedOrderBook:
        """The newest books shown to ``create_price_buckets``, added up. AggregationError ``aggregate.no_book``."""
        books = self._books.get(symbol, {})
        if not books:
            raise AggregationError(
                "aggregate.no_book", f"no book of {symbol} yet", allowed="create_price_buckets first"
            )
        size = self._config.bucket_size_units(symbol)
        ticks: dict[str, BookTick | None] = dict.fromkeys(self._config.exchanges)
        ticks |= {name: _tick(book, size, self._config.heatmap_depth) for name, book in books.items()}
        newest = max(to_us(book.timestamp) for book in books.values())
        merged = consolidated(symbol, newest, ticks, ())
        return ConsolidatedOrderBook(
            symbol,
            from_us(newest),
            _models(merged.bids),
            _models(merged.asks),
            tuple(merged.exchanges),
            {one.exchange: one.reason for one in merged.missing},
        )


def _bucket_units(bucket_size: float) -> int:
    try:
        units = PRICES[float_text(bucket_size)]
    except NumberError:
        units = 0
    if not units or units % (UNITS // 100):
        raise ConfigurationError(
            "config.invalid", f"bucket size {bucket_size}", allowed="a positive multiple of 0.01"
        )
    return units


def _side(levels: tuple[PriceLevel, ...], sign: int, bucket_size: int) -> Side:
    side = Side(sign, bucket_size)
    side.replace(checked_texts(levels), False)
    side.flush()
    return side


def _tick(book: OrderBookSnapshot, bucket_size: int, depth: int) -> BookTick:
    bids, asks = _side(book.bids, 1, bucket_size), _side(book.asks, -1, bucket_size)
    return unproven_tick(
        book.symbol,
        book.exchange,
        to_us(book.timestamp),
        bucket_size,
        (bids.top(len(bids.order)), asks.top(len(asks.order))),
        (bids.top_buckets(depth), asks.top_buckets(depth)),
    )


def _bucket_tick(exchange: str, buckets: PriceBuckets, bucket_size: int) -> BookTick:
    """Buckets alone: the best price is known only as its bucket, which is all that a heatmap asks of it."""
    try:
        sides = (_buckets(buckets.bid_buckets, True), _buckets(buckets.ask_buckets, False))
    except NumberError as error:
        raise AggregationError("aggregate.buckets", str(error)) from error
    if odd := [bucket.price for side in sides for bucket in side if bucket.price % bucket_size]:
        raise AggregationError(
            "aggregate.buckets",
            f"a bucket at {odd[0] / UNITS}",
            allowed=f"multiples of {buckets.bucket_size}",
        )
    levels = tuple([Level(bucket.price, bucket.volume) for bucket in side[:1]] for side in sides)
    return unproven_tick(
        buckets.symbol, exchange, to_us(buckets.timestamp), bucket_size, (levels[0], levels[1]), sides
    )


def _buckets(volumes: dict[float, float], falling: bool) -> list[Bucket]:
    units = {_price(price): SIZES[float_text(volume)] for price, volume in volumes.items()}
    found = [Bucket(price, volume) for price, volume in units.items() if volume]
    return sorted(found, key=lambda bucket: bucket.price, reverse=falling)


def _price(price: float) -> int:
    return PRICES[float_text(price)] if price else 0


def _models(levels: list[MergedLevel]) -> tuple[PriceLevel, ...]:
    return tuple(PriceLevel(level.price / UNITS, level.size / UNITS) for level in levels)
