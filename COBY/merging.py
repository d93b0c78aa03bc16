"""The book ticks of one symbol at one T, over all exchanges, as one heatmap and one consolidated book."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from COBY.metrics import imbalance, middle
from COBY.records import (
    UNITS,
    BookTick,
    Bucket,
    Cell,
    Consolidated,
    Heatmap,
    Included,
    Level,
    MergedLevel,
    Missing,
)
from COBY.text import divide

TOP_LEVELS = 50
NO_TICK = "no_tick"
"""Reason of an exchange that has no record at T: its stream time jumped over it."""

Ticks = Mapping[str, BookTick | None]
"""Exchange -> its record at T, for every configured exchange, in order of name."""


def split(ticks: Ticks) -> tuple[list[BookTick], list[Missing]]:
    """The live ones, and who is missing and why, each by name."""
    live = [tick for _, tick in sorted(ticks.items()) if tick is not None and tick.live]
    missing = [
        Missing(exchange, NO_TICK if tick is None else tick.reason or "")
        for exchange, tick in sorted(ticks.items())
        if tick is None or not tick.live
    ]
    return live, missing


def heatmap(symbol: str, time_us: int, bucket_size: int, depth: int, ticks: Ticks) -> Heatmap:
    """``depth`` contiguous buckets a side from the best consolidated price; empty ones are left out."""
    live, missing = split(ticks)
    best_bid = max((tick.bids[0].price for tick in live if tick.bids), default=None)
    best_ask = min((tick.asks[0].price for tick in live if tick.asks), default=None)
    low = None if best_bid is None else (best_bid // bucket_size - depth + 1) * bucket_size
    top = None if best_ask is None else (best_ask // bucket_size + depth) * bucket_size
    bids = _sum(
        bucket for tick in live for bucket in tick.bid_buckets if low is not None and bucket.price >= low
    )
    asks = _sum(
        bucket for tick in live for bucket in tick.ask_buckets if top is not None and bucket.price < top
    )
    largest = max([volume for volume, _ in (*bids.values(), *asks.values())], default=0)
    cells = [_cell(price, *bids[price], "bid", largest) for price in sorted(bids, reverse=True)]
    cells += [_cell(price, *asks[price], "ask", largest) for price in sorted(asks)]
    included = [Included(tick.exchange, tick.covered_low, tick.covered_high) for tick in live]
    covered = _covered(low, top, bucket_size, included)
    return Heatmap(symbol, time_us, bucket_size, cells, *covered, included, missing)


def consolidated(symbol: str, time_us: int, ticks: Ticks, cells: Sequence[Cell]) -> Consolidated:
    """All books as one; ``cells`` are the heatmap's, for the imbalance over buckets."""
    live, missing = split(ticks)
    bids = merge((level for tick in live for level in tick.bids), reverse=True)
    asks = merge((level for tick in live for level in tick.asks), reverse=False)
    mid_price, spread = middle(bids[0].price if bids else None, asks[0].price if asks else None)
    return Consolidated(
        symbol,
        time_us,
        bids,
        asks,
        mid_price,
        spread,
        *imbalances(bids, asks),
        cells_imbalance(cells),
        [tick.exchange for tick in live],
        missing,
    )


def merge(levels: Iterable[Level], reverse: bool) -> list[MergedLevel]:
    """The best 50 prices, sizes of a price added up; ``reverse`` for bids. Exact, as each book gave its best 50."""
    sums: dict[int, tuple[int, int]] = {}
    for level in levels:
        size, count = sums.get(level.price, (0, 0))
        sums[level.price] = (size + level.size, count + 1)
    return [MergedLevel(price, *sums[price]) for price in sorted(sums, reverse=reverse)[:TOP_LEVELS]]


def imbalances(
    bids: Sequence[MergedLevel | Level], asks: Sequence[MergedLevel | Level]
) -> tuple[int | None, int | None, int | None]:
    """Of the best level, 5 and 20 levels, in units."""

    def of(count: int) -> int | None:
        bid_volume = sum([level.size for level in bids[:count]])
        return imbalance(bid_volume, sum([level.size for level in asks[:count]]))

    return of(1), of(5), of(20)


def cells_imbalance(cells: Iterable[Cell]) -> int | None:
    """Of the heatmap's cells, in units."""
    volumes = {"bid": 0, "ask": 0}
    for cell in cells:
        volumes[cell.side] += cell.volume
    return imbalance(volumes["bid"], volumes["ask"])


def _sum(buckets: Iterable[Bucket]) -> dict[int, tuple[int, int]]:
    """price -> (volume over the exchanges, number of exchanges)."""
    sums: dict[int, tuple[int, int]] = {}
    for bucket in buckets:
        if bucket.volume <= 0:
            continue  # none of ours: a cell is there because something is in it
        volume, count = sums.get(bucket.price, (0, 0))
        sums[bucket.price] = (volume + bucket.volume, count + 1)
    return sums


def _cell(price: int, volume: int, count: int, side: str, largest: int) -> Cell:
    return Cell(price, volume, divide(volume * UNITS, largest), side, count)


def _covered(
    low: int | None, high: int | None, bucket_size: int, included: Sequence[Included]
) -> tuple[int | None, int | None]:
    """The range in which an empty cell means zero at every exchange in the sum, on bucket edges."""
    known_lows = [one.covered_low for one in included if one.covered_low is not None]
    known_highs = [one.covered_high for one in included if one.covered_high is not None]
    lows = [-(-price // bucket_size) * bucket_size for price in known_lows]
    highs = [(price + 1) // bucket_size * bucket_size for price in known_highs]
    if low is not None:
        lows.append(low)
    if high is not None:
        highs.append(high)
    return max(lows, default=None), min(highs, default=None)
