"""The public models: what users, the API and the interfaces exchange. Frozen; positional use as in the
documents.

Prices and sizes are floats in units of the quote and base currency, times are datetimes in UTC. (Inside the
pipeline the same things are integers of 1e-8 and microseconds: records.py.) Impossible values raise
ValidationError `model.invalid`.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from COBY.utils.exceptions import ValidationError

TRADE_SIDES = ("buy", "sell")
BOOK_SIDES = ("bid", "ask")


def _invalid(model: object, field_name: str, value: object, allowed: str) -> ValidationError:
    where = f"{type(model).__name__}.{field_name}"
    return ValidationError("model.invalid", f"{field_name} is {value!r}", where=where, allowed=allowed)


def _check(model: object, field_name: str, holds: bool, allowed: str) -> None:
    if not holds:
        raise _invalid(model, field_name, getattr(model, field_name), allowed)


def _check_price(model: object, price: float) -> None:
    _check(model, "price", math.isfinite(price) and price > 0, "a finite number above 0")


def _check_not_negative(model: object, field_name: str, value: float) -> None:
    _check(model, field_name, math.isfinite(value) and value >= 0, "a finite number from 0")


def _set_utc(model: object, *field_names: str) -> None:
    """Turn aware times into UTC; refuse naive ones: nobody could know what they mean."""
    for field_name in field_names:
        moment = getattr(model, field_name)
        if not isinstance(moment, datetime) or moment.utcoffset() is None:
            raise _invalid(model, field_name, moment, "a datetime with an offset, such as datetime.now(UTC)")
        object.__setattr__(model, field_name, moment.astimezone(UTC))


def _set_tuple(model: object, *field_names: str) -> None:
    for field_name in field_names:
        object.__setattr__(model, field_name, tuple(getattr(model, field_name)))


@dataclass(frozen=True, slots=True)
class PriceLevel:
    """All orders at one price: `size` in the base currency, `count` orders where the exchange tells it."""

    price: float
    size: float
    count: int | None = None

    def __post_init__(self) -> None:
        """Checks price and size."""
        _check_price(self, self.price)
        _check_not_negative(self, "size", self.size)


class _TwoSided:
    """What follows from two sides of levels; for any order of the levels."""

    __slots__ = ()
    bids: tuple[PriceLevel, ...]
    asks: tuple[PriceLevel, ...]

    @property
    def mid_price(self) -> float | None:
        """Middle of best bid and best ask; None when a side is empty."""
        best = self._best()
        return None if best is None else (best[0] + best[1]) / 2

    @property
    def spread(self) -> float | None:
        """Best ask minus best bid, below 0 in a crossed book; None when a side is empty."""
        best = self._best()
        return None if best is None else best[1] - best[0]

    @property
    def bid_volume(self) -> float | None:
        """Sum of the sizes of all bids, in the base currency; None when there are none."""
        return _volume(self.bids)

    @property
    def ask_volume(self) -> float | None:
        """Sum of the sizes of all asks, in the base currency; None when there are none."""
        return _volume(self.asks)

    def _best(self) -> tuple[float, float] | None:
        if not self.bids or not self.asks:
            return None
        return max(level.price for level in self.bids), min(level.price for level in self.asks)


def _volume(levels: Iterable[PriceLevel]) -> float | None:
    sizes = [level.size for level in levels]
    return math.fsum(sizes) if sizes else None


@dataclass(frozen=True, slots=True)
class OrderBookSnapshot(_TwoSided):
    """One exchange's book of one symbol at `timestamp`; bids from the highest, asks from the lowest on."""

    symbol: str
    exchange: str
    timestamp: datetime
    bids: tuple[PriceLevel, ...]
    asks: tuple[PriceLevel, ...]
    sequence_id: int | None = None

    def __post_init__(self) -> None:
        """Takes any sequences of levels, keeps tuples; the time goes to UTC."""
        _set_tuple(self, "bids", "asks")
        _set_utc(self, "timestamp")


@dataclass(frozen=True, slots=True)
class TradeEvent:
    """One trade. `side` is the taker's: `buy` or `sell`; `timestamp` the exchange's own trade time."""

    symbol: str
    exchange: str
    timestamp: datetime
    price: float
    size: float
    side: str
    trade_id: str

    def __post_init__(self) -> None:
        """Checks price, size and side; the time goes to UTC."""
        _set_utc(self, "timestamp")
        _check_price(self, self.price)
        _check_not_negative(self, "size", self.size)
        _check(self, "side", self.side in TRADE_SIDES, "buy or sell")


@dataclass(frozen=True, slots=True)
class PriceBuckets:
    """Volume by price bucket: the key P stands for prices in [P, P + bucket_size); empty ones are absent."""

    symbol: str
    timestamp: datetime
    bucket_size: float
    bid_buckets: dict[float, float]
    ask_buckets: dict[float, float]

    def __post_init__(self) -> None:
        """Checks the bucket size; the time goes to UTC."""
        _set_utc(self, "timestamp")
        _check(
            self, "bucket_size", math.isfinite(self.bucket_size) and self.bucket_size > 0, "a number above 0"
        )


@dataclass(frozen=True, slots=True)
class HeatmapPoint:
    """One cell: volume in [price, price + bucket size), intensity = volume / largest volume of the frame."""

    price: float
    volume: float
    intensity: float
    side: str
    exchange_count: int = 1

    def __post_init__(self) -> None:
        """Checks volume, intensity (0..1) and side (bid or ask). A bucket may begin at 0."""
        _check_not_negative(self, "price", self.price)
        _check_not_negative(self, "volume", self.volume)
        _check(self, "intensity", 0 <= self.intensity <= 1, "a number from 0 to 1")
        _check(self, "side", self.side in BOOK_SIDES, "bid or ask")


@dataclass(frozen=True, slots=True)
class HeatmapData:
    """One frame of the heatmap over `exchanges`; `missing` says which lack, and why (exchange -> reason).

    Within [low, high) an absent cell is empty; outside it nothing is known. None: no bound is known.
    """

    symbol: str
    timestamp: datetime
    bucket_size: float
    data: tuple[HeatmapPoint, ...]
    exchanges: tuple[str, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        """Takes any sequences, keeps tuples; checks the bucket size; the time goes to UTC."""
        _set_tuple(self, "data", "exchanges")
        _set_utc(self, "timestamp")
        _check(
            self, "bucket_size", math.isfinite(self.bucket_size) and self.bucket_size > 0, "a number above 0"
        )


@dataclass(frozen=True, slots=True)
class OrderBookMetrics:
    """Figures of one book. imbalance = (bid_volume - ask_volume) / (bid_volume + ask_volume), quality 0..1.

    None where a side is empty.
    """

    mid_price: float | None
    spread: float | None
    bid_volume: float | None
    ask_volume: float | None
    imbalance: float | None
    quality: float

    def __post_init__(self) -> None:
        """Checks the ranges of imbalance and quality."""
        _check_share(self, "imbalance")
        _check(self, "quality", 0 <= self.quality <= 1, "a number from 0 to 1")


@dataclass(frozen=True, slots=True)
class ImbalanceMetrics:
    """(bids - asks) / (bids + asks), each -1..1: of the best level, 5 and 20 levels a side, and the buckets.

    None where there is nothing on either side.
    """

    top: float | None
    depth5: float | None
    depth20: float | None
    bucketed: float | None

    def __post_init__(self) -> None:
        """Checks the ranges."""
        for name in ("top", "depth5", "depth20", "bucketed"):
            _check_share(self, name)


def _check_share(model: object, field_name: str) -> None:
    value = getattr(model, field_name)
    _check(model, field_name, value is None or -1 <= value <= 1, "a number from -1 to 1, or None")


@dataclass(frozen=True, slots=True)
class ConsolidatedOrderBook(_TwoSided):
    """One symbol's book over `exchanges`, sizes of a price added up; `missing`: exchange -> reason."""

    symbol: str
    timestamp: datetime
    bids: tuple[PriceLevel, ...]
    asks: tuple[PriceLevel, ...]
    exchanges: tuple[str, ...]
    missing: Mapping[str, str]

    def __post_init__(self) -> None:
        """Takes any sequences, keeps tuples; the time goes to UTC."""
        _set_tuple(self, "bids", "asks", "exchanges")
        _set_utc(self, "timestamp")
